//! A container's own files: `hostname`, `hosts`, `resolv.conf`. Everything here blocks.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use network::Endpoint;
use types::{Error, Result};

use super::Shared;
use super::record::Record;

/// In a container's exec-root directory.
const ENDPOINTS: &str = "endpoints.json";
/// The same.
const THAW: &str = "thaw";

/// Makes a directory and its parents; an existing one stays as it is.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|e| Error::internal(format!("cannot create {}: {e}", path.display())))
}

/// Removes a directory with all in it; a missing one is fine.
pub(crate) fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::internal(format!("cannot remove {}: {error}", path.display()))),
    }
}

/// Keeps the endpoints of a container that is about to run beside its supervisor's socket: until they are on record, a
/// daemon that dies leaves it running, and the next one must know its addresses.
pub(crate) fn keep_endpoints(run_dir: &Path, attached: &[Endpoint]) -> Result<()> {
    let path = run_dir.join(ENDPOINTS);
    let kept = match attached {
        [] => fs::remove_file(&path).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        }),
        attached => fs::write(&path, serde_json::to_vec(attached).map_err(Error::internal)?),
    };
    kept.map_err(|e| Error::internal(format!("cannot write {}: {e}", path.display())))
}

/// What [`keep_endpoints`] kept; none if there is nothing to read.
pub(crate) fn kept_endpoints(run_dir: &Path) -> Vec<Endpoint> {
    let bytes = fs::read(run_dir.join(ENDPOINTS)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Marks a container that is frozen for the time of a commit, or takes the mark away: a daemon that dies in between must
/// not leave it frozen for ever.
pub(crate) fn mark_thaw(run_dir: &Path, marked: bool) -> Result<()> {
    let path = run_dir.join(THAW);
    let done = if marked { fs::write(&path, "") } else { fs::remove_file(&path) };
    done.map_err(|e| Error::internal(format!("cannot write {}: {e}", path.display())))
}

/// Whether the mark is there.
pub(crate) fn is_marked_thaw(run_dir: &Path) -> bool {
    run_dir.join(THAW).exists()
}

/// What `host-gateway` stands for: as the daemon was told, or the default bridge's gateway of each family.
fn host_gateways(shared: &Shared) -> Vec<IpAddr> {
    let told = &shared.settings.bridge.host_gateways;
    if !told.is_empty() {
        return told.clone();
    }
    shared.networks.driver().bridge().pools.iter().filter_map(|pool| pool.gateway).collect()
}

/// Writes the three files before a start.
pub(crate) fn write(shared: &Shared, record: &Record, attached: &[Endpoint]) -> Result<()> {
    let addresses: Vec<IpAddr> =
        attached.iter().flat_map(Endpoint::addresses).map(|net| net.addr()).collect();
    let dir = shared.data_dir(&record.id);
    make_dir(&dir, 0o710)?;
    let put = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).map_err(|e| Error::internal(format!("cannot write {}: {e}", path.display())))
    };
    let (config, host) = (&record.config, &record.host_config);
    let host_network = host.network_mode == "host";
    put("hostname", &format!("{}\n", config.hostname))?;

    let extra_hosts = host.extra_hosts.as_deref().unwrap_or_default();
    let gateways = host_gateways(shared);
    let hosts = network::HostsFile {
        hostname: &config.hostname,
        domainname: &config.domainname,
        addresses: &addresses,
        extra_hosts,
        links: &super::links::hosts(shared, record),
        host_gateways: &gateways,
        no_ipv6: false,
    };
    let mut text = network::hosts_file(&hosts)?;
    if host_network {
        // As Docker: the host's own file, then what the user adds.
        let own = fs::read_to_string("/etc/hosts").unwrap_or_default();
        if !own.is_empty() {
            let only_extra =
                network::HostsFile { extra_hosts, host_gateways: &gateways, ..Default::default() };
            let with_loopback = network::hosts_file(&only_extra)?;
            let loopback = network::hosts_file(&network::HostsFile::default())?;
            let added = with_loopback.strip_prefix(loopback.as_str()).unwrap_or_default();
            text = format!("{}\n{added}", own.trim_end());
        }
    }
    put("hosts", &text)?;

    let has_names = attached.iter().any(|endpoint| super::network::has_names(shared, endpoint));
    write_resolv_conf(shared, record, has_names)
}

/// The user's or the daemon's list.
fn pick(own: &Option<Vec<String>>, default: &[String]) -> Vec<String> {
    match own.as_deref() {
        Some(list) if !list.is_empty() => list.to_vec(),
        _ => default.to_vec(),
    }
}

/// The name servers that were asked for; empty for the host's.
pub(crate) fn name_servers(shared: &Shared, record: &Record) -> Result<Vec<IpAddr>> {
    pick(&record.host_config.dns, &shared.settings.dns)
        .iter()
        .map(|text| text.parse().map_err(|_| Error::invalid(format!("invalid IP address: {text}"))))
        .collect()
}

/// Writes `resolv.conf`, in place: it may be mounted. With `internal` it names our own name server.
pub(crate) fn write_resolv_conf(shared: &Shared, record: &Record, internal: bool) -> Result<()> {
    let (host, settings) = (&record.host_config, &shared.settings);
    let dns = network::DnsOptions {
        servers: name_servers(shared, record)?,
        search: pick(&host.dns_search, &settings.dns_search),
        options: pick(&host.dns_options, &settings.dns_options),
        ipv6: false,
        host_network: host.network_mode == "host",
    };
    let (path, host_file) = network::host_resolv_conf();
    let text = match internal {
        true => network::internal_resolv_conf(path, &host_file, &dns),
        false => network::resolv_conf(path, &host_file, &dns),
    };
    let path = shared.data_dir(&record.id).join("resolv.conf");
    fs::write(&path, text).map_err(|e| Error::internal(format!("cannot write {}: {e}", path.display())))
}

/// Adds an address of a running container to its `hosts`. The file is mounted in it, so it is changed in place.
pub(crate) fn add_address(shared: &Shared, record: &Record, address: IpAddr) -> Result<()> {
    change_hosts(shared, record, |text| {
        let line = format!(
            "{address}\t{}\n",
            network::own_names(&record.config.hostname, &record.config.domainname)
        );
        format!("{}\n{line}", text.trim_end_matches('\n'))
    })
}

/// Removes it.
pub(crate) fn remove_address(shared: &Shared, record: &Record, address: IpAddr) -> Result<()> {
    let address = address.to_string();
    change_hosts(shared, record, |text| {
        let others = text.lines().filter(|line| line.split_whitespace().next() != Some(&address));
        others.flat_map(|line| [line, "\n"]).collect()
    })
}

fn change_hosts(shared: &Shared, record: &Record, change: impl FnOnce(&str) -> String) -> Result<()> {
    let path = shared.data_dir(&record.id).join("hosts");
    let failed = |e: std::io::Error| Error::internal(format!("cannot change {}: {e}", path.display()));
    let text = fs::read_to_string(&path).map_err(failed)?;
    fs::write(&path, change(&text)).map_err(failed)
}
