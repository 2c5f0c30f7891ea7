//! Legacy links between containers on the default bridge: lines in `/etc/hosts` and variables. (On networks that users
//! make a link is a name that the name server tells one container alone.)
//!
//! Kept as `ID:alias` in the host configuration, so that a link follows the linked container's name.

use std::net::IpAddr;

use network::Protocol;
use types::config::HostConfig;
use types::{Error, Result};

use super::record::Record;
use super::table::Handle;
use super::{Shared, network as own_network};

/// The mode in which links are made of lines and variables.
const MODE: &str = "bridge";

/// A linked container as it is now.
struct Linked {
    alias: String,
    record: std::sync::Arc<Record>,
}

/// `name`, `name:alias`, or as `inspect` tells it, `/name:/parent/alias`.
fn parse(link: &str) -> (&str, &str) {
    let (name, alias) = link.split_once(':').unwrap_or((link, link));
    (name, alias.rsplit('/').next().unwrap_or(alias))
}

/// At create: brings the links to the form in which they are kept.
pub(super) fn keep(shared: &Shared, host: &mut HostConfig) -> Result<()> {
    let is_default = host.network_mode == MODE;
    for link in host.links.iter_mut().flatten() {
        // 500s in Docker.
        if link.is_empty() {
            return Err(Error::internal("empty string specified for links"));
        }
        if link.matches(':').count() > 1 {
            return Err(Error::internal(format!("bad format for links: {link}")));
        }
        let (name, alias) = parse(link);
        let found = shared.table().find(name).map_err(|error| {
            Error::invalid(format!("could not get container for {name}: {}", error.message))
        })?;
        if found.record().host_config.network_mode == "host" {
            return Err(Error::invalid(
                "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
            ));
        }
        if is_default {
            *link = format!("{}:{alias}", found.record().id);
        }
    }
    Ok(())
}

/// Those that are there.
fn linked(shared: &Shared, record: &Record) -> Vec<Linked> {
    if record.host_config.network_mode != MODE {
        return Vec::new();
    }
    let links = record.host_config.links.iter().flatten().map(|link| parse(link));
    let find = |(id, alias): (&str, &str)| {
        let handle: Handle = shared.table().find(id).ok()?;
        Some(Linked { alias: alias.to_owned(), record: handle.record() })
    };
    links.filter_map(find).collect()
}

/// Before a start: all linked containers run, on the default bridge.
pub(super) fn check(shared: &Shared, record: &Record) -> Result<()> {
    for Linked { alias, record: child } in linked(shared, record) {
        if child.state.run().is_none() {
            return Err(Error::conflict(format!(
                "Cannot link to a non running container: /{} AS /{}/{alias}",
                child.name, record.name
            )));
        }
        if address_of(&child).is_none() {
            return Err(Error::internal(format!(
                "container {} not attached to default bridge network",
                child.id
            )));
        }
    }
    Ok(())
}

fn address_of(child: &Record) -> Option<IpAddr> {
    let endpoint = child.attached.iter().find(|endpoint| endpoint.network == MODE)?;
    endpoint.addresses().first().map(|net| net.addr())
}

/// Lines of `/etc/hosts`: an address and all names.
pub(super) fn hosts(shared: &Shared, record: &Record) -> Vec<(IpAddr, String)> {
    let line = |Linked { alias, record: child }: Linked| {
        let mut names = vec![alias];
        for name in [&child.config.hostname, &child.name] {
            if !name.is_empty() && !names.contains(name) {
                names.push(name.clone());
            }
        }
        Some((address_of(&child)?, names.join(" ")))
    };
    linked(shared, record).into_iter().filter_map(line).collect()
}

/// Variables that tell of linked containers.
pub(super) fn environment(shared: &Shared, record: &Record) -> Vec<String> {
    let of = |Linked { alias, record: child }: Linked| {
        let ports = child.config.exposed_ports.keys().filter_map(|port| network::parse_exposed(port).ok());
        let own = child.config.env.as_deref().unwrap_or_default();
        let name = format!("/{}/{alias}", record.name);
        Some(variables(&alias, &name, address_of(&child)?, ports.collect(), own))
    };
    linked(shared, record).into_iter().filter_map(of).flatten().collect()
}

/// Of one link (moby `daemon/links/links.go`).
fn variables(
    alias: &str,
    name: &str,
    address: IpAddr,
    mut ports: Vec<(u16, Protocol)>,
    own: &[String],
) -> Vec<String> {
    let prefix = alias.to_uppercase().replace('-', "_");
    let word = |protocol: Protocol| protocol.to_string().to_uppercase();
    ports.sort_unstable_by_key(|(port, protocol)| (*protocol, *port));
    let mut all = Vec::new();
    if let Some((port, protocol)) = ports.first() {
        all.push(format!("{prefix}_PORT={protocol}://{address}:{port}"));
    }
    let follows = |a: &(u16, Protocol), b: &(u16, Protocol)| a.1 == b.1 && a.0.checked_add(1) == Some(b.0);
    for run in ports.chunk_by(follows).filter(|run| run.len() > 1) {
        let ((first, protocol), (last, _)) = (run[0], run[run.len() - 1]);
        let start = format!("{prefix}_PORT_{first}_{}", word(protocol));
        all.push(format!("{start}_START={protocol}://{address}:{first}"));
        all.push(format!("{start}_PORT_START={first}"));
        all.push(format!("{start}_END={protocol}://{address}:{last}"));
        all.push(format!("{start}_PORT_END={last}"));
    }
    for (port, protocol) in &ports {
        let start = format!("{prefix}_PORT_{port}_{}", word(*protocol));
        all.push(format!("{start}={protocol}://{address}:{port}"));
        all.push(format!("{start}_ADDR={address}"));
        all.push(format!("{start}_PORT={port}"));
        all.push(format!("{start}_PROTO={protocol}"));
    }
    all.push(format!("{prefix}_NAME={name}"));
    let told = own.iter().filter(|variable| {
        let name = variable.split('=').next().unwrap_or_default();
        variable.contains('=') && !matches!(name, "HOME" | "PATH")
    });
    all.extend(told.map(|variable| format!("{prefix}_ENV_{variable}")));
    all
}

/// As `inspect` tells them; as they are kept on networks that users make.
pub(super) fn shown(shared: &Shared, record: &Record) -> Option<Vec<String>> {
    if record.host_config.network_mode != MODE {
        return record.host_config.links.clone();
    }
    let parent = &record.name;
    let text = |Linked { alias, record: child }: Linked| format!("/{}:/{parent}/{alias}", child.name);
    let mut links: Vec<String> = linked(shared, record).into_iter().map(text).collect();
    links.sort();
    Some(links).filter(|links| !links.is_empty())
}

/// Names that a container alone knows others by on networks that users make, in lower case.
pub(super) fn aliases(
    shared: &Shared,
    record: &Record,
    attached: &[network::Endpoint],
) -> std::collections::BTreeMap<String, String> {
    let on_networks = attached.iter().filter(|endpoint| own_network::has_names(shared, endpoint));
    let wants = on_networks.filter_map(|endpoint| record.endpoints.get(&endpoint.network)?.links.as_ref());
    let link = |link: &String| {
        let (name, alias) = parse(link);
        (alias.to_ascii_lowercase(), name.trim_start_matches('/').to_owned())
    };
    wants.flatten().map(link).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_in_all_their_forms() {
        for (link, expect) in
            [("db", ("db", "db")), ("db:data", ("db", "data")), ("/db:/web/data", ("/db", "data"))]
        {
            assert_eq!(parse(link), expect, "{link}");
        }
    }

    #[test]
    fn variables_are_dockers() {
        let ports = vec![(53, Protocol::Udp), (5433, Protocol::Tcp), (5432, Protocol::Tcp)];
        let own = ["FOO=bar".to_owned(), "PATH=/bin".to_owned()];
        let address = IpAddr::from([172, 17, 0, 2]);
        let mut all = variables("my-db", "/web/my-db", address, ports, &own);
        assert_eq!(all[0], "MY_DB_PORT=tcp://172.17.0.2:5432");
        all.sort();
        for expect in [
            "MY_DB_PORT_5432_TCP=tcp://172.17.0.2:5432",
            "MY_DB_PORT_5432_TCP_START=tcp://172.17.0.2:5432",
            "MY_DB_PORT_5432_TCP_PORT_END=5433",
            "MY_DB_PORT_53_UDP_PROTO=udp",
            "MY_DB_PORT_53_UDP_ADDR=172.17.0.2",
            "MY_DB_NAME=/web/my-db",
            "MY_DB_ENV_FOO=bar",
        ] {
            assert!(all.iter().any(|line| line == expect), "{expect}: {all:?}");
        }
        assert!(!all.iter().any(|line| line.contains("ENV_PATH")));
    }
}
