//! A container's part in networks: entering them before its process exists, leaving them, joining and leaving while it
//! runs. All but the methods of [`Containers`] block.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use network::{Endpoint, JoinRequest, NameRecord, PortRequest, Sandbox, Scope};
use types::config::EndpointRequest;
use types::{ContainerId, Error, Result};

use super::record::Record;
use super::{Containers, Request, Shared, ask, files, links};
use crate::networks::{NetworkMember, options};

/// A container's network before its process exists.
pub(crate) struct Entered {
    /// `None`: the host's.
    pub(crate) netns: Option<OwnedFd>,
    /// Its endpoints.
    pub(crate) attached: Vec<Endpoint>,
    /// Whose `hosts` and `resolv.conf` it uses.
    pub(crate) files_of: ContainerId,
}

impl Containers {
    /// `network connect`: now if it runs, else at its next start.
    pub async fn connect(&self, name: &str, network: &str, want: EndpointRequest) -> Result<()> {
        let network = self.0.networks.find(network)?.name.clone();
        let handle = self.find(name)?;
        ask(&handle, |reply| Request::Connect { network, want: Box::new(want), reply }).await
    }

    /// `network disconnect`. With `force` also from a network that is gone.
    pub async fn disconnect(&self, name: &str, network: &str, force: bool) -> Result<()> {
        let found = self.0.networks.find(network);
        let network = match found {
            Ok(known) => known.name.clone(),
            Err(_) if force => network.to_owned(),
            Err(error) => return Err(error),
        };
        let handle = self.find(name)?;
        ask(&handle, |reply| Request::Disconnect { network, force, reply }).await
    }
}

/// Before a start: its namespace with all its endpoints.
pub(crate) fn enter(shared: &Shared, record: &Record) -> Result<Entered> {
    let fail = |error: Error| Error {
        message: format!("failed to set up container networking: {}", error.message),
        ..error
    };
    let mode = record.host_config.network_mode.as_str();
    let own = |netns, attached| Entered { netns, attached, files_of: record.id.clone() };
    let driver = shared.networks.driver();
    if record.config.network_disabled {
        return Ok(own(Some(driver.empty_namespace()?), Vec::new()));
    }
    if let Some(name) = mode.strip_prefix("container:") {
        // A 500 in Docker: a 404 would say that the container to be started is not there.
        let gone = |error: Error| {
            Error::internal(format!("joining network namespace of container: {}", error.message))
        };
        let other = shared.table().find(name).map_err(gone)?;
        let other = other.record();
        let run = other.state.run().ok_or_else(|| {
            Error::conflict(format!(
                "cannot join network namespace of a non running container: container {} is {}",
                other.name,
                other.state.status().as_str()
            ))
        })?;
        let netns = network::namespace_of(run.pid).map_err(|error| fail(error.into()))?;
        return Ok(Entered { netns: Some(netns), attached: Vec::new(), files_of: other.id.clone() });
    }
    match mode {
        "host" => return Ok(own(None, Vec::new())),
        "none" => {
            return Ok(own(Some(driver.empty_namespace().map_err(|e| fail(e.into()))?), Vec::new()));
        }
        _ => {}
    }
    // The mode's own network first, unless the container was disconnected from it.
    let mut names = Vec::new();
    for name in record.endpoints.keys() {
        let known = shared.networks.find(name).map_err(fail)?;
        let at = if known.name == mode || known.id == mode { 0 } else { names.len() };
        names.insert(at, known.name.clone());
    }
    let (sandbox, attached) = attach_all(shared, record, &names).map_err(fail)?;
    Ok(own(Some(sandbox.into_netns()), attached))
}

/// Attaches a new namespace to networks, or to none.
fn attach_all(shared: &Shared, record: &Record, names: &[String]) -> Result<(Sandbox, Vec<Endpoint>)> {
    let ports = network::port_requests(&record.config, &record.host_config)?;
    let publisher = publisher(shared, record, names);
    let mut sandbox = shared.networks.driver().sandbox()?;
    let mut attached = Vec::new();
    let done = names.iter().try_for_each(|name| -> Result<()> {
        let ports = if publisher.as_ref() == Some(name) { &ports[..] } else { &[] };
        let endpoint = attach(shared, record, &mut sandbox, name, &attached, ports)?;
        attached.push(endpoint);
        Ok(())
    });
    let done = done
        .and_then(|()| Ok(sandbox.set_way_out(&attached)?))
        .and_then(|()| serve_names(shared, record, &sandbox, &attached));
    match done {
        Ok(()) => Ok((sandbox, attached)),
        Err(error) => {
            leave(shared, &record.id, &attached);
            Err(error)
        }
    }
}

/// The network whose endpoint will be the way out: ports are published there.
fn publisher(shared: &Shared, record: &Record, names: &[String]) -> Option<String> {
    let leads_out = |name: &&String| !shared.networks.find(name).is_ok_and(|known| known.is_internal());
    let priority = |name: &String| record.endpoints.get(name).map_or(0, |want| want.gw_priority);
    names.iter().filter(leads_out).min_by_key(|name| (Reverse(priority(name)), (*name).clone())).cloned()
}

fn attach(
    shared: &Shared,
    record: &Record,
    sandbox: &mut Sandbox,
    name: &str,
    others: &[Endpoint],
    ports: &[PortRequest],
) -> Result<Endpoint> {
    let known = shared.networks.find(name)?;
    if known.is_config_only() {
        return Err(Error::forbidden("cannot create endpoint on configuration-only network"));
    }
    let want = record.endpoints.get(name);
    let no_options = BTreeMap::new();
    let driver_opts = want.and_then(|want| want.driver_opts.as_ref()).unwrap_or(&no_options);
    let prefix = known.interface_prefix();
    let free = |n: &u32| !others.iter().any(|other| other.interface == format!("{prefix}{n}"));
    let interface = match options::endpoint_interface(driver_opts) {
        Some(own) => own.to_owned(),
        None => format!("{prefix}{}", (0..).find(free).unwrap_or_default()),
    };
    let sysctls = options::endpoint_sysctls(driver_opts)?;
    let endpoint = shared.networks.driver().attach(
        sandbox,
        &JoinRequest {
            network: name,
            interface: &interface,
            container: &record.id,
            name: &record.name,
            want,
            ports,
            sysctls: &sysctls,
        },
    )?;
    Ok(endpoint)
}

/// Gives back what a container had. Its namespace goes by itself.
pub(crate) fn leave(shared: &Shared, id: &ContainerId, attached: &[Endpoint]) {
    let relay = shared.networks.relay();
    let left = attached.iter().try_for_each(|e| relay.remove(&e.id)).and_then(|()| relay.leave(id.as_str()));
    if let Err(error) = left {
        tracing::warn!(%id, %error, "the name server does not know that a container is gone");
    }
    for endpoint in attached {
        if let Err(error) = shared.networks.driver().leave(endpoint) {
            tracing::warn!(%id, network = endpoint.network, %error, "cannot give back an endpoint");
        }
    }
}

/// Changes the record of a container as `network connect` does and, if it runs, its namespace.
pub(crate) fn connect(
    shared: &Shared,
    record: &mut Record,
    network: &str,
    want: EndpointRequest,
) -> Result<()> {
    check_mode(record, network, true)?;
    shared.networks.check_endpoint(network, &want).map_err(|error| match error.message.split_once(": ") {
        // Docker says for which network only where there may be several.
        Some((_, why)) if why.starts_with("invalid endpoint settings:") => Error::invalid(why),
        _ => error,
    })?;
    let runs = record.state.run().map(|run| run.pid);
    let exists = match runs {
        Some(_) => record.attached.iter().any(|endpoint| endpoint.network == network),
        None => record.endpoints.contains_key(network),
    };
    if exists {
        return Err(Error::forbidden(format!(
            "endpoint with name {} already exists in network {network}",
            record.name
        )));
    }
    record.endpoints.insert(network.to_owned(), want);
    let Some(pid) = runs else { return shared.keep(record) };
    let mut sandbox = Sandbox::of_process(pid)?;
    let endpoint = attach(shared, record, &mut sandbox, network, &record.attached, &[])?;
    record.attached.push(endpoint.clone());
    let mut finish = |record: &Record| -> Result<()> {
        sandbox.set_way_out(&record.attached)?;
        for address in endpoint.addresses() {
            files::add_address(shared, record, address.addr())?;
        }
        if has_names(shared, &endpoint) && !shared.networks.relay().serves(record.id.as_str()) {
            serve_names(shared, record, &sandbox, &record.attached)?;
            shared.networks.relay().watch(record.id.as_str(), pid)?;
            files::write_resolv_conf(shared, record, true)?;
        } else {
            announce(shared, record)?;
        }
        shared.keep(record)
    };
    finish(record).inspect_err(|_| {
        drop(shared.networks.relay().remove(&endpoint.id));
        if let Ok(mut sandbox) = Sandbox::of_process(pid) {
            drop(shared.networks.driver().detach(&mut sandbox, &endpoint));
        }
    })
}

/// The reverse.
pub(crate) fn disconnect(shared: &Shared, record: &mut Record, network: &str, force: bool) -> Result<()> {
    check_mode(record, network, false)?;
    let Some(pid) = record.state.run().map(|run| run.pid) else {
        if record.endpoints.remove(network).is_none() {
            return Err(Error::internal(format!(
                "container {} is not connected to the network {network}",
                record.id
            )));
        }
        return shared.keep(record);
    };
    let Some(position) = record.attached.iter().position(|endpoint| endpoint.network == network) else {
        if force {
            return Ok(());
        }
        return Err(Error::internal(format!(
            "container {} is not connected to network {network}",
            record.id
        )));
    };
    let endpoint = record.attached.remove(position);
    record.endpoints.remove(network);
    shared.keep(record)?;
    shared.networks.relay().remove(&endpoint.id)?;
    announce(shared, record)?;
    let mut sandbox = Sandbox::of_process(pid)?;
    shared.networks.driver().detach(&mut sandbox, &endpoint)?;
    for address in endpoint.addresses() {
        files::remove_address(shared, record, address.addr())?;
    }
    let Some(way_out) = network::way_out(&record.attached).cloned() else { return Ok(()) };
    sandbox.set_way_out(&record.attached)?;
    if endpoint.ports.is_empty() {
        return Ok(());
    }
    let published = shared.networks.driver().publish_again(&way_out, &record.name, &endpoint.ports)?;
    for attached in record.attached.iter_mut().filter(|attached| attached.id == published.id) {
        attached.clone_from(&published);
    }
    shared.keep(record)
}

/// Whether containers find each other by name where this endpoint is.
pub(crate) fn has_names(shared: &Shared, endpoint: &Endpoint) -> bool {
    shared.networks.find(&endpoint.network).is_ok_and(|known| known.has_names())
}

/// Gives a container a name server, if one of its networks has names, and others its names.
fn serve_names(shared: &Shared, record: &Record, sandbox: &Sandbox, attached: &[Endpoint]) -> Result<()> {
    let scope = scope(shared, record, attached);
    if scope.networks.is_empty() {
        return Ok(());
    }
    shared.networks.relay().serve(record.id.as_str(), sandbox, scope)?;
    name_records(shared, record, attached).into_iter().try_for_each(|of| shared.networks.relay().put(of))?;
    Ok(())
}

/// Tells the name server what has changed for a running container: its networks or its names.
pub(crate) fn announce(shared: &Shared, record: &Record) -> Result<()> {
    let relay = shared.networks.relay();
    relay.change(record.id.as_str(), scope(shared, record, &record.attached))?;
    name_records(shared, record, &record.attached).into_iter().try_for_each(|of| relay.put(of))?;
    Ok(())
}

/// After a restart of the daemon: everything that the name server should know.
pub(crate) fn restore_names<'a>(
    shared: &Shared,
    records: impl Iterator<Item = &'a Record> + Clone,
) -> Result<()> {
    let mut served = Vec::new();
    let mut names = Vec::new();
    let mut attached = Vec::new();
    for record in records {
        attached.extend(record.attached.clone());
        let Some(run) = record.state.run() else { continue };
        let scope = scope(shared, record, &record.attached);
        if !scope.networks.is_empty() {
            served.push((record.id.to_string(), run.pid, scope));
            names.extend(name_records(shared, record, &record.attached));
        }
    }
    shared.networks.relay().restore(served, names, &attached)?;
    Ok(())
}

/// The networks whose names a container sees, and who answers it the rest: nobody if no network leads out.
fn scope(shared: &Shared, record: &Record, attached: &[Endpoint]) -> Scope {
    let with_names = attached.iter().filter(|endpoint| has_names(shared, endpoint));
    let networks = with_names.map(|endpoint| endpoint.network.clone()).collect();
    let servers = if attached.iter().all(|endpoint| endpoint.internal) {
        Vec::new()
    } else {
        match files::name_servers(shared, record) {
            Ok(servers) if !servers.is_empty() => servers,
            _ => network::host_servers(),
        }
    };
    Scope { networks, servers, links: links::aliases(shared, record, attached) }
}

fn name_records(shared: &Shared, record: &Record, attached: &[Endpoint]) -> Vec<NameRecord> {
    let with_names = attached.iter().filter(|endpoint| has_names(shared, endpoint));
    let of = |endpoint: &Endpoint| NameRecord {
        endpoint: endpoint.id.clone(),
        network: endpoint.network.clone(),
        address: endpoint.address,
        address6: endpoint.address6,
        names: dns_names(record, &endpoint.network),
    };
    with_names.map(of).collect()
}

const SHARED: &str = "container sharing network namespace with another container or host cannot be connected to any other network";

/// Which containers may change their networks.
fn check_mode(record: &Record, network: &str, connects: bool) -> Result<()> {
    let mode = record.host_config.network_mode.as_str();
    if mode.starts_with("container:") {
        return Err(Error::invalid(SHARED));
    }
    if network == "host" && connects {
        return Err(Error::invalid(
            "cannot connect container to host network - container must be created in host network mode",
        ));
    }
    if network == "host" && mode == "host" {
        return Err(Error::invalid(
            "cannot disconnect container from host network - container was created in host network mode",
        ));
    }
    if mode == "host" && connects {
        return Err(Error::invalid(SHARED));
    }
    if network == "none" || (mode == "none" && record.endpoints.contains_key("none")) {
        return Err(Error::invalid(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode",
        ));
    }
    Ok(())
}

/// How a running container shows on its networks.
pub(crate) fn members_of(record: &Record) -> Vec<(String, NetworkMember)> {
    let mode = record.host_config.network_mode.as_str();
    if matches!(mode, "host" | "none") && record.attached.is_empty() {
        return vec![(
            mode.to_owned(),
            NetworkMember { name: record.name.clone(), ..NetworkMember::default() },
        )];
    }
    let member = |endpoint: &Endpoint| NetworkMember {
        name: record.name.clone(),
        endpoint_id: endpoint.id.clone(),
        mac_address: endpoint.mac.clone(),
        ipv4_address: endpoint.address.map(|ip| format!("{ip}/{}", endpoint.prefix)).unwrap_or_default(),
        ipv6_address: endpoint.address6.map(|ip| format!("{ip}/{}", endpoint.prefix6)).unwrap_or_default(),
    };
    record.attached.iter().map(|endpoint| (endpoint.network.clone(), member(endpoint))).collect()
}

/// The names by which others find it on a network, in Docker's order.
pub(crate) fn dns_names(record: &Record, network: &str) -> Vec<String> {
    let mut names = vec![record.name.clone()];
    let aliases = record.endpoints.get(network).and_then(|want| want.aliases.as_deref()).unwrap_or_default();
    let short = record.id.short().to_owned();
    for name in aliases.iter().chain([&short, &record.config.hostname]) {
        if !name.is_empty() && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}
