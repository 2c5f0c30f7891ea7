//! From the flags of `docker run` to the body of `POST /containers/create`: Docker's `opts.go`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};
use types::config::{DeviceRequest, EndpointIpam, EndpointRequest, HealthConfig, LogConfig, Resources};
use types::{Config, HostConfig};

use crate::config::ConfigFile;
use crate::flags::Parsed;
use crate::opts::{device, env, limits, mount, names, network, port, size, time, to_map, volume};

type Result<T, E = String> = std::result::Result<T, E>;

/// What is asked of the daemon.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ContainerRequest {
    pub(crate) config: Config,
    pub(crate) host: HostConfig,
    pub(crate) endpoints: BTreeMap<String, EndpointRequest>,
}

impl ContainerRequest {
    /// The body of the request.
    pub(crate) fn body(&self) -> Value {
        let mut body = serde_json::to_value(&self.config).unwrap_or_else(|_| json!({}));
        body["HostConfig"] = serde_json::to_value(&self.host).unwrap_or_default();
        body["NetworkingConfig"] = json!({ "EndpointsConfig": self.endpoints });
        body
    }

    /// Leaves out what newer versions of the API do not take any more.
    pub(crate) fn for_version(&mut self, speaks: impl Fn(&str) -> bool) {
        if speaks("1.42") {
            self.host.resources.kernel_memory = 0;
        }
        if speaks("1.44") {
            // It belongs to the endpoint there.
            self.config.mac_address = String::new();
        }
    }

    /// A name server that the container will not reach.
    pub(crate) fn localhost_dns(&self) -> Option<IpAddr> {
        let servers = self.host.dns.iter().flatten().filter_map(|text| text.parse::<IpAddr>().ok());
        servers.into_iter().find(IpAddr::is_loopback)
    }
}

/// Reads every flag. The first argument is the image, the others are the command.
pub(crate) fn request(parsed: &Parsed, user: &ConfigFile, daemon: &str) -> Result<ContainerRequest> {
    let mac = parsed.text("mac-address");
    if !mac.is_empty() && !names::is_mac(mac.trim()) {
        return Err(format!("{mac} is not a valid mac address"));
    }
    let swappiness = parsed.int("memory-swappiness");
    if !(-1..=100).contains(&swappiness) {
        return Err(format!("invalid value: {swappiness}. Valid memory swappiness range is 0-100"));
    }
    let volumes = volumes(parsed)?;
    let ports = port::parse(&parsed.list("publish"), &parsed.list("expose"))?;
    let resources = resources(parsed, swappiness)?;
    let mut config = config(parsed, user, daemon)?;
    config.exposed_ports = ports.exposed;
    config.volumes = volumes.anonymous;
    let mut host = host_config(parsed, resources)?;
    host.binds = some_list(volumes.binds);
    host.port_bindings = Some(ports.bindings);
    if host.auto_remove && !matches!(host.restart_policy.name.as_str(), "" | "no") {
        return Err("conflicting options: cannot specify both --restart and --rm".to_owned());
    }
    let attachments: Vec<network::Attachment> =
        parsed.list("network").iter().map(|text| network::parse(text)).collect::<Result<_>>()?;
    host.network_mode =
        attachments.first().map_or_else(|| "default".to_owned(), |first| first.target.clone());
    let endpoints = endpoints(parsed, attachments)?;
    if let Some(endpoint) = endpoints.get(&host.network_mode) {
        config.mac_address = endpoint.mac_address.clone();
    }
    Ok(ContainerRequest { config, host, endpoints })
}

struct Volumes {
    anonymous: Option<BTreeMap<String, types::config::Empty>>,
    binds: Vec<String>,
}

fn volumes(parsed: &Parsed) -> Result<Volumes> {
    let mut anonymous = BTreeMap::new();
    let mut binds: Vec<String> = Vec::new();
    for spec in parsed.list("volume") {
        match volume::parse(&spec)? {
            volume::Volume::Anonymous(target) => drop(anonymous.insert(target, types::config::Empty {})),
            volume::Volume::Bind(bind) if binds.contains(&bind) => {}
            volume::Volume::Bind(bind) => binds.push(bind),
        }
    }
    Ok(Volumes { anonymous: Some(anonymous), binds })
}

/// Go sends an empty list that nothing was added to as `null`.
fn some_list<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn config(parsed: &Parsed, user: &ConfigFile, daemon: &str) -> Result<Config> {
    let attach = parsed.list("attach");
    let interactive = parsed.on("interactive");
    let attached = |stream: &str| attach.is_empty() || attach.iter().any(|given| given == stream);
    let attach_stdin = interactive || attach.iter().any(|given| given == "stdin");
    let own = parsed.list("env");
    let proxies = user.proxy_environment(daemon, &own);
    let mut values = own;
    values.extend(proxies);
    let variables = env::read_pairs(&parsed.list("env-file"), values, env::Bare::FromEnvironment)?;
    let labels = env::read_pairs(&parsed.list("label-file"), parsed.list("label"), env::Bare::Dropped)?;
    let (image, command) = parsed.args.split_first().ok_or("an image is required")?;
    let entrypoint = parsed.changed("entrypoint").then(|| vec![parsed.text("entrypoint").to_owned()]);
    let text = |name: &str| parsed.text(name).to_owned();
    Ok(Config {
        hostname: text("hostname"),
        domainname: text("domainname"),
        user: text("user"),
        tty: parsed.on("tty"),
        open_stdin: interactive,
        attach_stdin,
        attach_stdout: attached("stdout"),
        attach_stderr: attached("stderr"),
        // Input ends for the container when this client goes.
        stdin_once: interactive && attach_stdin,
        env: some_list(variables),
        cmd: some_list(command.to_vec()),
        image: image.clone(),
        working_dir: text("workdir"),
        entrypoint,
        labels: Some(to_map(&labels)),
        stop_signal: text("stop-signal"),
        stop_timeout: parsed.changed("stop-timeout").then(|| parsed.int("stop-timeout")),
        healthcheck: health(parsed)?,
        ..Config::default()
    })
}

fn health(parsed: &Parsed) -> Result<Option<HealthConfig>> {
    let duration = |name: &str| match parsed.text(name) {
        "" => Ok(0),
        text => time::parse_duration(text),
    };
    let command = parsed.text("health-cmd");
    let health = HealthConfig {
        test: (!command.is_empty()).then(|| vec!["CMD-SHELL".to_owned(), command.to_owned()]),
        interval: duration("health-interval")?,
        timeout: duration("health-timeout")?,
        start_period: duration("health-start-period")?,
        start_interval: duration("health-start-interval")?,
        retries: parsed.int("health-retries"),
    };
    let given = health != HealthConfig::default();
    if parsed.on("no-healthcheck") {
        return match given {
            true => Err("--no-healthcheck conflicts with --health-* options".to_owned()),
            false => {
                Ok(Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }))
            }
        };
    }
    for (value, name) in [
        (health.interval, "interval"),
        (health.timeout, "timeout"),
        (health.retries, "retries"),
        (health.start_period, "start-period"),
        (health.start_interval, "start-interval"),
    ] {
        if value < 0 {
            return Err(format!("--health-{name} cannot be negative"));
        }
    }
    Ok(given.then_some(health))
}

fn resources(parsed: &Parsed, swappiness: i64) -> Result<Resources> {
    let bytes = |name: &str| match parsed.text(name) {
        "" => Ok(0),
        "-1" => Ok(-1),
        text => size::ram_in_bytes(text),
    };
    let each = |name: &str| parsed.list(name);
    let mut devices = Vec::new();
    let mut cdi_names = Vec::new();
    for text in each("device") {
        match device::is_cdi_name(&text) {
            true => cdi_names.push(text),
            false => devices.push(device::parse_device(&text)?),
        }
    }
    let mut requests: Vec<DeviceRequest> =
        each("gpus").iter().map(|text| device::parse_gpus(text)).collect::<Result<_>>()?;
    if !cdi_names.is_empty() {
        requests.push(DeviceRequest {
            driver: "cdi".to_owned(),
            device_ids: Some(cdi_names),
            ..DeviceRequest::default()
        });
    }
    let mut ulimits: BTreeMap<String, types::config::Ulimit> = BTreeMap::new();
    for text in each("ulimit") {
        let limit = limits::parse_ulimit(&text)?;
        ulimits.insert(limit.name.clone(), limit);
    }
    let bps = |name: &str| each(name).iter().map(|text| limits::parse_bps(text)).collect::<Result<Vec<_>>>();
    let iops =
        |name: &str| each(name).iter().map(|text| limits::parse_iops(text)).collect::<Result<Vec<_>>>();
    Ok(Resources {
        cgroup_parent: parsed.text("cgroup-parent").to_owned(),
        memory: bytes("memory")?,
        memory_reservation: bytes("memory-reservation")?,
        memory_swap: bytes("memory-swap")?,
        memory_swappiness: Some(swappiness),
        kernel_memory: bytes("kernel-memory")?,
        oom_kill_disable: Some(parsed.on("oom-kill-disable")),
        nano_cpus: match parsed.text("cpus") {
            "" => 0,
            text => size::nano_cpus(text)?,
        },

        cpu_shares: parsed.int("cpu-shares"),
        cpu_period: parsed.int("cpu-period"),
        cpu_quota: parsed.int("cpu-quota"),
        cpu_realtime_period: parsed.int("cpu-rt-period"),
        cpu_realtime_runtime: parsed.int("cpu-rt-runtime"),
        cpuset_cpus: parsed.text("cpuset-cpus").to_owned(),
        cpuset_mems: parsed.text("cpuset-mems").to_owned(),
        pids_limit: Some(parsed.int("pids-limit")),
        blkio_weight: u16::try_from(parsed.int("blkio-weight")).unwrap_or(0),
        blkio_weight_device: Some(
            each("blkio-weight-device")
                .iter()
                .map(|text| limits::parse_weight(text))
                .collect::<Result<_>>()?,
        ),
        blkio_device_read_bps: Some(bps("device-read-bps")?),
        blkio_device_write_bps: Some(bps("device-write-bps")?),
        blkio_device_read_iops: Some(iops("device-read-iops")?),
        blkio_device_write_iops: Some(iops("device-write-iops")?),

        ulimits: Some(ulimits.into_values().collect()),
        device_cgroup_rules: some_list(each("device-cgroup-rule")),
        devices: Some(devices),
        device_requests: some_list(requests),
        ..Resources::default()
    })
}

fn host_config(parsed: &Parsed, resources: Resources) -> Result<HostConfig> {
    let text = |name: &str| parsed.text(name).to_owned();
    let list = |name: &str| some_list(parsed.list(name));
    let is_joined =
        |mode: &str| mode.split_once(':').is_some_and(|(kind, id)| kind == "container" && !id.is_empty());
    let (pid, uts, userns, cgroupns) = (text("pid"), text("uts"), text("userns"), text("cgroupns"));
    if !(matches!(pid.as_str(), "" | "host") || is_joined(&pid)) {
        return Err("--pid: invalid PID mode".to_owned());
    }
    if !matches!(uts.as_str(), "" | "host") {
        return Err("--uts: invalid UTS mode".to_owned());
    }
    if !matches!(userns.as_str(), "" | "host") {
        return Err("--userns: invalid USER mode".to_owned());
    }
    if !matches!(cgroupns.as_str(), "" | "host" | "private") {
        return Err("--cgroupns: invalid CGROUP mode".to_owned());
    }
    let restart_policy = limits::parse_restart_policy(parsed.text("restart"))?;
    let log_options = parsed.list("log-opt");
    let log_driver = text("log-driver");
    if log_driver == "none" && !log_options.is_empty() {
        return Err("invalid logging opts for driver none".to_owned());
    }
    let security = security_options(parsed.list("security-opt"))?;
    let unconfined = security.len() != parsed.list("security-opt").len();
    let mut storage = BTreeMap::new();
    for option in parsed.list("storage-opt") {
        let (key, value) = option.split_once('=').ok_or("invalid storage option")?;
        storage.insert(key.to_owned(), value.to_owned());
    }
    let tmpfs = parsed.list("tmpfs").into_iter().map(|mount| match mount.split_once(':') {
        Some((path, options)) => (path.to_owned(), options.to_owned()),
        None => (mount, String::new()),
    });
    Ok(HostConfig {
        container_id_file: text("cidfile"),
        oom_score_adj: parsed.int("oom-score-adj"),
        auto_remove: parsed.on("rm"),
        privileged: parsed.on("privileged"),
        links: list("link"),
        publish_all_ports: parsed.on("publish-all"),
        dns: Some(parsed.list("dns")),
        dns_search: Some(parsed.list("dns-search")),
        dns_options: Some(parsed.list("dns-option")),
        extra_hosts: list("add-host"),
        volumes_from: list("volumes-from"),
        ipc_mode: text("ipc"),
        pid_mode: pid,
        uts_mode: uts,
        userns_mode: userns,
        cgroupns_mode: cgroupns,
        cap_add: capabilities(parsed.list("cap-add")),
        cap_drop: capabilities(parsed.list("cap-drop")),
        group_add: list("group-add"),
        restart_policy,
        security_opt: some_list(security),
        storage_opt: storage,
        readonly_rootfs: parsed.on("read-only"),
        log_config: LogConfig { driver: log_driver, config: Some(to_map(&log_options)) },
        volume_driver: text("volume-driver"),
        isolation: text("isolation"),
        shm_size: match parsed.text("shm-size") {
            "" => 0,
            text => size::ram_in_bytes(text)?,
        },
        resources,
        tmpfs: tmpfs.collect(),
        sysctls: to_map(&parsed.list("sysctl")),
        runtime: text("runtime"),
        mounts: parsed.list("mount").iter().map(|text| mount::parse(text)).collect::<Result<_>>()?,
        masked_paths: unconfined.then(Vec::new),
        readonly_paths: unconfined.then(Vec::new),
        annotations: to_map(&parsed.list("annotation")),
        init: parsed.changed("init").then(|| parsed.on("init")),
        ..HostConfig::default()
    })
}

/// Capabilities by their full names, each once.
fn capabilities(names: Vec<String>) -> Option<Vec<String>> {
    let full = names.into_iter().map(|name| match name.to_uppercase() {
        name if name == "ALL" || name.starts_with("CAP_") => name,
        name => format!("CAP_{name}"),
    });
    let unique: std::collections::BTreeSet<String> = full.collect();
    some_list(unique.into_iter().collect())
}

/// Checks `--security-opt`, reads a seccomp profile's file into its value, and takes `systempaths=unconfined` out: that
/// one is ours to carry out.
fn security_options(options: Vec<String>) -> Result<Vec<String>> {
    let mut kept = Vec::new();
    for option in options {
        if option == "systempaths=unconfined" {
            continue;
        }
        let split = option.split_once('=').or_else(|| match option.starts_with("no-new-privileges") {
            true => None,
            false => option.split_once(':'),
        });
        let (key, value) = split.unwrap_or((&option, ""));
        if value.is_empty() && key != "no-new-privileges" && !option.starts_with("no-new-privileges:") {
            return Err(device::invalid_security_option(&option));
        }
        if key != "seccomp" || matches!(value, "builtin" | "unconfined") {
            kept.push(option);
            continue;
        }
        let failed = |what: &str, why: String| format!("{what} seccomp profile ({value}) failed: {why}");
        let profile = std::fs::read(value)
            .map_err(|error| failed("opening", format!("open {value}: {}", crate::os_error(&error))))?;
        let json: Value = serde_json::from_slice(&profile)
            .map_err(|error| failed("compacting json for", error.to_string()))?;
        kept.push(format!("seccomp={json}"));
    }
    Ok(kept)
}

/// `EndpointsConfig`: the advanced form of `--network` together with `--ip`, `--network-alias` and their like, which
/// belong to the first network.
fn endpoints(
    parsed: &Parsed,
    mut attachments: Vec<network::Attachment>,
) -> Result<BTreeMap<String, EndpointRequest>> {
    let given = attachments.len();
    if attachments.is_empty() {
        attachments.push(network::Attachment::to("default"));
    }
    let mut endpoints = BTreeMap::new();
    for (index, mut attachment) in attachments.iter().cloned().enumerate() {
        if index == 0 {
            apply_flags(parsed, &mut attachment)?;
        }
        let target = attachment.target.clone();
        let endpoint = endpoint(attachment)?;
        if endpoints.contains_key(&target) {
            return Err(format!("network {target:?} is specified multiple times"));
        }
        // One network without wishes is said by the network mode alone.
        if given == 1 && endpoint == EndpointRequest::default() {
            continue;
        }
        endpoints.insert(target, endpoint);
    }
    let defined =
        attachments.iter().filter(|attachment| network::is_user_defined(&attachment.target)).count();
    if given > 0 && defined > 0 && defined < given {
        return Err(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
                .to_owned(),
        );
    }
    Ok(endpoints)
}

fn apply_flags(parsed: &Parsed, attachment: &mut network::Attachment) -> Result<()> {
    let aliases = parsed.list("network-alias");
    let links = parsed.list("link");
    let local = parsed.list("link-local-ip");
    let (ip, ip6, mac) = (parsed.text("ip"), parsed.text("ip6"), parsed.text("mac-address"));
    for (twice, flag, what) in [
        (!attachment.aliases.is_empty() && !aliases.is_empty(), "--network-alias", "alias"),
        (!attachment.links.is_empty() && !links.is_empty(), "--link", "links"),
        (!attachment.ipv4_address.is_empty() && !ip.is_empty(), "--ip", "IPv4 address"),
        (!attachment.ipv6_address.is_empty() && !ip6.is_empty(), "--ip6", "IPv6 address"),
        (!attachment.mac_address.is_empty() && !mac.is_empty(), "--mac-address", "MAC address"),
        (
            !attachment.link_local_ips.is_empty() && !local.is_empty(),
            "--link-local-ip",
            "link-local IP addresses",
        ),
    ] {
        if twice {
            return Err(format!("conflicting options: cannot specify both {flag} and per-network {what}"));
        }
    }
    if !aliases.is_empty() {
        attachment.aliases = aliases;
    }
    if network::is_user_defined(&attachment.target) && !links.is_empty() {
        attachment.links = links;
    }
    if !local.is_empty() {
        attachment.link_local_ips = local;
    }
    for (field, value) in [
        (&mut attachment.ipv4_address, ip),
        (&mut attachment.ipv6_address, ip6),
        (&mut attachment.mac_address, mac),
    ] {
        if !value.is_empty() {
            value.clone_into(field);
        }
    }
    Ok(())
}

fn endpoint(attachment: network::Attachment) -> Result<EndpointRequest> {
    if attachment.target.trim().is_empty() {
        return Err("no name set for network".to_owned());
    }
    if !network::is_user_defined(&attachment.target) {
        if !attachment.aliases.is_empty() {
            return Err("network-scoped aliases are only supported for user-defined networks".to_owned());
        }
        if !attachment.links.is_empty() {
            return Err("links are only supported for user-defined networks".to_owned());
        }
    }
    let mac = attachment.mac_address;
    if !mac.is_empty() && !names::is_mac(mac.trim()) {
        return Err(format!("{mac} is not a valid mac address"));
    }
    let ipam = EndpointIpam {
        ipv4_address: attachment.ipv4_address,
        ipv6_address: attachment.ipv6_address,
        link_local_ips: some_list(attachment.link_local_ips),
    };
    Ok(EndpointRequest {
        ipam_config: (ipam != EndpointIpam::default()).then_some(ipam),
        links: some_list(attachment.links),
        mac_address: mac,
        aliases: some_list(attachment.aliases),
        driver_opts: (!attachment.driver_options.is_empty()).then_some(attachment.driver_options),
        gw_priority: attachment.gateway_priority,
    })
}
