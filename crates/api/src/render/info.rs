//! The daemon and its host.

use std::collections::BTreeMap;

use engine::runtimes::Program;
use engine::system::{Info, Version};
use serde_json::Value;
use types::{Error, Result};
use wire::ApiVersion;
use wire::system as body;

use super::sorted;

/// `GET /version`.
pub(crate) fn version(of: Version) -> body::Version {
    let text = |of: &str| of.to_owned();
    let engine: BTreeMap<String, String> = [
        ("ApiVersion", ApiVersion::MAX.to_string()),
        ("Arch", of.arch.clone()),
        ("BuildTime", of.build_time.clone()),
        ("Experimental", of.experimental.to_string()),
        ("GitCommit", of.git_commit.clone()),
        ("GoVersion", text(RUST_VERSION)),
        ("KernelVersion", of.kernel_version.clone()),
        ("MinAPIVersion", ApiVersion::MIN.to_string()),
        ("Os", of.os.clone()),
    ]
    .into_iter()
    .map(|(name, value)| (text(name), value))
    .collect();
    let part = |name: &str| body::Component {
        name: text(name),
        version: of.version.clone(),
        details: [(text("GitCommit"), of.git_commit.clone())].into(),
    };
    body::Version {
        platform: body::PlatformName { name: text("Wharf") },
        components: vec![
            body::Component { name: text("Engine"), version: of.version.clone(), details: engine },
            part("wharf-runtime"),
            part("docker-init"),
        ],
        version: of.version.clone(),
        api_version: ApiVersion::MAX.to_string(),
        min_api_version: ApiVersion::MIN.to_string(),
        git_commit: of.git_commit.clone(),
        go_version: text(RUST_VERSION),
        os: of.os,
        arch: of.arch,
        kernel_version: of.kernel_version,
        experimental: of.experimental,
        build_time: of.build_time,
    }
}

/// Stands where Docker names its Go compiler: clients print it and never act on it.
const RUST_VERSION: &str = concat!("rust", env!("CARGO_PKG_RUST_VERSION"));

/// `GET /info`, as the version has it: 1.50 dropped fields that older clients get by way of a sorted map.
pub(crate) fn info(of: Info, commit: &str, version: ApiVersion) -> Result<Value> {
    let mut body = current(of, commit, version);
    if version.before(25) {
        body.security_options = body.security_options.iter().map(|option| option_name(option)).collect();
    }
    if version.before(44) {
        body.runtimes.values_mut().for_each(|runtime| runtime.status = None);
    }
    if version.before(49) {
        body.firewall_backend = None;
        for commit in [&mut body.containerd_commit, &mut body.runc_commit, &mut body.init_commit] {
            commit.expected = commit.id.clone();
        }
    }
    let mut value = serde_json::to_value(body).map_err(Error::internal)?;
    if version.before(47)
        && let Some(registry) = value.get_mut("RegistryConfig").and_then(Value::as_object_mut)
    {
        registry.insert("AllowNondistributableArtifactsCIDRs".to_owned(), Value::Null);
        registry.insert("AllowNondistributableArtifactsHostnames".to_owned(), Value::Null);
    }
    if version.before(50) {
        if let Some(map) = value.as_object_mut() {
            map.insert("BridgeNfIptables".to_owned(), Value::Bool(false));
            map.insert("BridgeNfIp6tables".to_owned(), Value::Bool(false));
        }
        value = sorted(value);
    }
    Ok(value)
}

/// `name=seccomp,profile=builtin` is `seccomp` for clients up to 1.24.
fn option_name(option: &str) -> String {
    let first = option.split(',').next().unwrap_or_default();
    first.strip_prefix("name=").unwrap_or(first).to_owned()
}

fn current(of: Info, commit: &str, version: ApiVersion) -> body::Info {
    let registry_config = registry_config(&of);
    let runtime = |(name, program): (String, Program)| {
        let runtime_args = Some(program.args).filter(|args| !args.is_empty());
        (name, body::RuntimeInfo { path: program.path, runtime_args, status: None })
    };
    body::Info {
        id: of.id,
        containers: count(of.containers),
        containers_running: count(of.containers_running),
        containers_paused: count(of.containers_paused),
        containers_stopped: count(of.containers_stopped),
        images: count(of.images),
        driver: of.driver,
        driver_status: of.driver_status.into_iter().map(|(name, value)| [name, value]).collect(),
        system_status: None,
        plugins: body::PluginsInfo {
            volume: Some(of.volume_plugins),
            network: Some(of.network_plugins),
            authorization: None,
            log: Some(of.log_plugins),
        },
        memory_limit: of.memory_limit,
        swap_limit: of.swap_limit,
        kernel_memory: version.before(42) && of.kernel_memory_tcp,
        kernel_memory_tcp: of.kernel_memory_tcp,
        cpu_cfs_period: of.cpu_cfs_period,
        cpu_cfs_quota: of.cpu_cfs_quota,
        cpu_shares: of.cpu_shares,
        cpu_set: of.cpu_set,
        pids_limit: of.pids_limit,
        ipv4_forwarding: of.ipv4_forwarding,
        debug: of.debug,
        n_fd: count(of.n_fd),
        oom_kill_disable: of.oom_kill_disable,
        n_goroutines: count(of.n_goroutines),
        system_time: of.system_time,
        logging_driver: of.logging_driver,
        cgroup_driver: of.cgroup_driver,
        cgroup_version: of.cgroup_version,
        n_events_listener: count(of.n_events_listener),
        kernel_version: of.kernel_version,
        operating_system: of.operating_system,
        os_version: of.os_version,
        os_type: "linux".to_owned(),
        architecture: of.architecture,
        index_server_address: "https://index.docker.io/v1/".to_owned(),
        registry_config: Some(registry_config),
        ncpu: count(of.ncpu),
        mem_total: i64::try_from(of.mem_total).unwrap_or(i64::MAX),
        generic_resources: None,
        docker_root_dir: of.docker_root_dir,
        http_proxy: of.http_proxy,
        https_proxy: of.https_proxy,
        no_proxy: of.no_proxy,
        name: of.name,
        labels: of.labels,
        experimental_build: of.experimental,
        server_version: of.server_version,
        runtimes: of.runtimes.into_iter().map(runtime).collect(),
        default_runtime: of.default_runtime,
        swarm: body::SwarmInfo { local_node_state: "inactive".to_owned(), ..Default::default() },
        live_restore_enabled: of.live_restore,
        isolation: String::new(),
        init_binary: of.init_binary,
        containerd_commit: body::Commit::default(),
        runc_commit: body::Commit { id: commit.to_owned(), expected: String::new() },
        init_commit: body::Commit::default(),
        security_options: of.security_options,
        product_license: String::new(),
        default_address_pools: None,
        firewall_backend: Some(body::FirewallInfo { driver: "nftables".to_owned(), info: None }),
        cdi_spec_dirs: Vec::new(),
        containerd: None,
        warnings: Some(of.warnings).filter(|warnings| !warnings.is_empty()),
    }
}

/// Loopback is always allowed without TLS, as in Docker.
fn registry_config(of: &Info) -> body::RegistryConfig {
    let index = |name: &str, official: bool, mirrors: Vec<String>| {
        let info = body::IndexInfo { mirrors, name: name.to_owned(), official, secure: official };
        (name.to_owned(), info)
    };
    let (cidrs, names): (Vec<&String>, Vec<&String>) =
        of.insecure_registries.iter().partition(|r| r.contains('/'));
    let loopback = ["::1/128", "127.0.0.0/8"];
    let more = cidrs.into_iter().map(String::as_str).filter(|cidr| !loopback.contains(cidr));
    let mut index_configs: BTreeMap<_, _> =
        names.into_iter().map(|name| index(name, false, Vec::new())).collect();
    // Docker shows them as the base of paths.
    let mirrors: Vec<String> =
        of.registry_mirrors.iter().map(|mirror| format!("{}/", mirror.trim_end_matches('/'))).collect();
    index_configs.extend([index("docker.io", true, mirrors.clone())]);
    body::RegistryConfig {
        index_configs,
        insecure_registry_cidrs: loopback.into_iter().chain(more).map(str::to_owned).collect(),
        mirrors: Some(mirrors).filter(|mirrors| !mirrors.is_empty()),
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(version: &str) -> Vec<String> {
        let of =
            Info { security_options: vec!["name=seccomp,profile=builtin".to_owned()], ..Info::default() };
        let value = info(of, "abc", version.parse().unwrap()).unwrap();
        value.as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn older_versions_get_their_fields_sorted() {
        assert_eq!(keys("1.51")[0], "ID");
        let old = keys("1.48");
        assert!(old.is_sorted());
        assert!(
            old.iter().any(|key| key == "BridgeNfIptables")
                && !old.iter().any(|key| key == "FirewallBackend")
        );
    }

    #[test]
    fn security_options_lose_their_form_before_1_25() {
        let of =
            || Info { security_options: vec!["name=seccomp,profile=builtin".to_owned()], ..Info::default() };
        assert_eq!(info(of(), "abc", ApiVersion::new(24)).unwrap()["SecurityOptions"][0], "seccomp");
        assert_eq!(
            info(of(), "abc", ApiVersion::new(25)).unwrap()["SecurityOptions"][0],
            "name=seccomp,profile=builtin"
        );
    }
}
