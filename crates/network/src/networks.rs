//! [`Networks`]: the door of this crate.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use ipnet::Ipv4Net;
use rustix::rand::{GetRandomFlags, getrandom};
use types::config::EndpointRequest;

use crate::bridge;
use crate::firewall::{self, BridgeRules, FirewallDriver, PortMapping};
use crate::ipam::{self, Ipam, Refusal};
use crate::namespace::{Pool, Sandbox};
use crate::netlink::{Socket, Stash};
use crate::port::{self, Ports, Reservation};
use crate::{
    Bridge, Endpoint, Error, JoinRequest, Joined, NetworkConfig, PortRequest, Protocol, PublishedPort, Result,
};

/// The networks of one daemon, in the network namespace of the thread that opened it. Calls may run side by side.
#[derive(Debug)]
pub struct Networks {
    config: NetworkConfig,
    bridge: Bridge,
    route: Stash,
    firewall: FirewallDriver,
    pool: Pool,
    held: Mutex<Held>,
    /// Networks that the host is set up for, and their bridges' indexes.
    ready: Mutex<BTreeMap<String, u32>>,
    /// Keeps other daemons off the bridge, from the first time we touch it.
    claim: OnceLock<UnixDatagram>,
    /// The host forwards only because of us.
    guarded: AtomicBool,
}

/// What is given out.
#[derive(Debug)]
struct Held {
    /// By name.
    networks: BTreeMap<String, (Bridge, Ipam)>,
    ports: Ports,
    /// By id, each with its reservations.
    endpoints: BTreeMap<String, (Endpoint, Vec<Reservation>)>,
}

impl Networks {
    /// Looks at the host and chooses the subnet of the default bridge. Changes nothing yet (about 1 ms).
    ///
    /// # Errors
    /// Netlink cannot be used, the configuration is contradictory, or no subnet is free.
    pub fn open(config: NetworkConfig) -> Result<Self> {
        let route = Stash::new(Socket::route);
        let bridge = route.with(|socket| bridge::choose(&config, socket))?;
        let firewall = FirewallDriver::choose(config.firewall, &config.bridge)?;
        let addresses = addresses_of(&bridge)?;
        let held = Held {
            networks: BTreeMap::from([(bridge.network.clone(), (bridge.clone(), addresses))]),
            ports: Ports::new(port::ephemeral_range()),
            endpoints: BTreeMap::new(),
        };
        let pool = Pool::new(config.pool_size);
        Ok(Self {
            config,
            bridge,
            route,
            firewall,
            pool,
            held: Mutex::new(held),
            ready: Mutex::default(),
            claim: OnceLock::new(),
            guarded: AtomicBool::new(false),
        })
    }

    /// The default network as it stands.
    pub fn bridge(&self) -> Bridge {
        self.bridge.clone()
    }

    /// A subnet for a new network: the first of the pools that overlaps nothing on this host.
    ///
    /// # Errors
    /// [`Error::NoSubnet`].
    pub fn free_subnet(&self) -> Result<Ipv4Net> {
        let look = |error| Error::kernel("look at the host's routes", error);
        let routes = self.route.with(|socket| socket.routes().map_err(look))?;
        let held = self.held();
        let ours = held.networks.values().map(|(bridge, _)| bridge.subnet);
        bridge::free_subnet(&self.config, routes.into_iter().map(|(_, net)| net).chain(ours).collect())
    }

    /// Makes a network, and its bridge on the host.
    ///
    /// # Errors
    /// It clashes with another one, or the kernel refuses; nothing is left behind.
    pub fn create(&self, bridge: Bridge) -> Result<()> {
        let name = bridge.network.clone();
        let look = |error| Error::kernel("look at the host's interfaces", error);
        let was_there = self.route.with(|socket| socket.link(&bridge.interface).map_err(look))?.is_some();
        let interface = bridge.interface.clone();
        self.add(bridge)?;
        if let Err(error) = self.index(&name) {
            if was_there {
                self.held().networks.remove(&name);
            } else if let Err(more) = self.remove(&name) {
                tracing::warn!(interface, error = %more, "a network that was not made leaves something behind");
            }
            return Err(error);
        }
        Ok(())
    }

    /// Makes a network known without changing the host: one that an earlier daemon made. Call it before
    /// [`Self::restore`].
    ///
    /// # Errors
    /// It clashes with another one.
    pub fn add(&self, bridge: Bridge) -> Result<()> {
        bridge::check_name(&bridge.interface)?;
        let addresses = addresses_of(&bridge)?;
        let mut held = self.held();
        if held.networks.values().any(|(other, _)| ipam::overlaps(other.subnet, bridge.subnet)) {
            return Err(Error::PoolOverlap);
        }
        if let Some((other, _)) =
            held.networks.values().find(|(other, _)| other.interface == bridge.interface)
        {
            return Err(Error::SameInterface {
                network: bridge.network,
                other: other.network.clone(),
                interface: bridge.interface,
            });
        }
        held.networks.insert(bridge.network.clone(), (bridge, addresses));
        Ok(())
    }

    /// Removes a network that nobody is on, and its bridge.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn remove(&self, network: &str) -> Result<()> {
        let mut ready = self.ready();
        let Some((bridge, _)) = self.held().networks.remove(network) else { return Ok(()) };
        ready.remove(network);
        self.install()?;
        self.route.with(|socket| bridge::teardown(&bridge.interface, socket))
    }

    /// The endpoints on all networks, ordered by id.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.held().endpoints.values().map(|(endpoint, _)| endpoint.clone()).collect()
    }

    /// Rebuilds addresses, ports and rules from the endpoints of live containers, and removes what else is left of
    /// ours on the host. Call it once after [`Self::open`], before the first [`Self::join`], even with an empty list.
    /// Returns the endpoints that could not be taken over wholly, with the reason; their containers go on running.
    ///
    /// # Errors
    /// The host's side could not be set up at all.
    pub fn restore(&self, live: &[Endpoint]) -> Result<Vec<(String, Error)>> {
        match self.claim() {
            // Nothing there is ours, and every join will say so.
            Err(error @ Error::BridgeInUse(_)) if live.is_empty() => {
                tracing::warn!(%error, "no bridge network");
                return Ok(Vec::new());
            }
            claimed => claimed?,
        }
        let mut complaints = Vec::new();
        for endpoint in live {
            if let Err(error) = self.take_over(endpoint) {
                complaints.push((endpoint.id.clone(), error));
            }
        }
        let names: Vec<String> = self.held().networks.keys().cloned().collect();
        let look = |error| Error::kernel("look at the bridge", error);
        let there = self.route.with(|socket| socket.link(&self.bridge.interface).map_err(look))?.is_some();
        if !there && live.is_empty() && names.len() == 1 {
            // An earlier daemon's rules would go on filtering for a bridge that is gone.
            self.firewall.teardown()?;
            return Ok(complaints);
        }
        for name in names {
            let needed = name != self.bridge.network
                || there
                || live.iter().any(|endpoint| endpoint.network == self.bridge.network);
            if needed && let Err(error) = self.index(&name) {
                if name == self.bridge.network {
                    return Err(error);
                }
                // The others work; a join to this one tries again and says so.
                tracing::error!(network = name, %error, "cannot set up a network");
            }
        }
        Ok(complaints)
    }

    /// Marks what a live endpoint has. What clashes is left out, so that nothing is given back twice.
    fn take_over(&self, endpoint: &Endpoint) -> Result<()> {
        let mut held = self.held();
        let (bridge, addresses) = held
            .networks
            .get_mut(&endpoint.network)
            .ok_or_else(|| Error::NoNetwork(endpoint.network.clone()))?;
        let subnet = bridge.subnet;
        addresses.reserve(endpoint.address).map_err(|_| Error::Restore {
            endpoint: endpoint.id.clone(),
            address: endpoint.address,
            subnet,
        })?;
        let mut complaint = Ok(());
        let mut endpoint = endpoint.clone();
        let mut reservations = Vec::new();
        endpoint.ports.retain(|port| {
            let free = held.ports.take(port);
            if !free {
                complaint = Err(Error::PortAllocated { ip: port.host_ip, port: port.host_port });
            }
            free
        });
        for published in &endpoint.ports {
            if published.host_ip.is_ipv6() {
                // The relay has it.
                reservations.push(None);
                continue;
            }
            // Somebody may have taken the port while no daemon held it. Our rules come first, so it stays published.
            match port::reserve(published.protocol, published.host_ip, published.host_port) {
                Ok(reservation) => reservations.push(reservation),
                Err(error) => {
                    tracing::warn!(%error, port = published.host_port, "a published port is in use")
                }
            }
        }
        held.endpoints.insert(endpoint.id.clone(), (endpoint, reservations));
        complaint
    }

    /// Makes a namespace with one endpoint.
    ///
    /// # Errors
    /// As [`Self::attach`].
    pub fn join(&self, request: &JoinRequest<'_>) -> Result<Joined> {
        let mut sandbox = self.sandbox()?;
        let endpoint = self.attach(&mut sandbox, request)?;
        if !endpoint.internal
            && let Err(error) = sandbox.set_way_out(&endpoint)
        {
            let _ = self.leave(&endpoint);
            return Err(error);
        }
        Ok(Joined { netns: sandbox.into_netns(), endpoint })
    }

    /// A new network stack with nothing but `lo`, up.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn sandbox(&self) -> Result<Sandbox> {
        Ok(Sandbox { namespace: self.pool.take()? })
    }

    /// Attaches a network stack to a network, with ports published. The way out is the caller's to set.
    ///
    /// # Errors
    /// No address, a port that is taken, or the kernel refuses; nothing is left behind.
    pub fn attach(&self, sandbox: &mut Sandbox, request: &JoinRequest<'_>) -> Result<Endpoint> {
        let id = new_id()?;
        let default = EndpointRequest::default();
        let want = request.want.unwrap_or(&default);
        let fixed = want.ipam_config.as_ref().map(|ipam| ipam.ipv4_address.as_str()).unwrap_or_default();
        let fixed = if fixed.is_empty() { None } else { Some(bridge::parse_address(fixed)?) };
        let fixed_mac =
            if want.mac_address.is_empty() { None } else { Some(bridge::parse_mac(&want.mac_address)?) };

        let mut claim = Claim::address(self, request.network, fixed)?;
        let mac = fixed_mac.unwrap_or_else(|| bridge::mac_of(claim.address));
        claim.publish(request).map_err(|error| Error::Publish {
            name: request.name.to_owned(),
            endpoint: id.clone(),
            reason: error.to_string(),
        })?;
        let endpoint = Endpoint {
            host_interface: bridge::host_interface(&id),
            id,
            network: request.network.to_owned(),
            internal: claim.bridge.internal,
            gw_priority: want.gw_priority,
            container: request.container.clone(),
            address: claim.address,
            prefix: claim.bridge.subnet.prefix_len(),
            gateway: claim.bridge.gateway,
            mac: bridge::format_mac(mac),
            interface: request.interface.to_owned(),
            ports: claim.ports.clone(),
        };
        self.plug(&claim.bridge, &endpoint, sandbox)?;
        // Known before its rules are there: whoever makes the table anew meanwhile includes them.
        let reservations = claim.keep();
        self.held().endpoints.insert(endpoint.id.clone(), (endpoint.clone(), reservations));
        let mappings: Vec<_> = firewall::mappings(&endpoint).collect();
        if let Err(error) = self.add_ports(&mappings).and_then(|()| self.carry(&endpoint)) {
            // The failure that the caller needs to know is this one.
            let _ = self.detach(&endpoint);
            return Err(error);
        }
        Ok(endpoint)
    }

    /// As [`Self::leave`], from a network stack that goes on living.
    ///
    /// # Errors
    /// The kernel refuses; address and ports are given back all the same.
    pub fn detach(&self, endpoint: &Endpoint) -> Result<()> {
        // First, so that nobody gets the address while this interface has it.
        let unplugged = self.route.with(|socket| bridge::unplug(endpoint, socket));
        let left = self.leave(endpoint);
        unplugged.and(left)
    }

    /// Publishes on a live endpoint what another one of the container published until it was detached.
    ///
    /// # Errors
    /// Somebody else has a port by now, or the firewall refuses; the endpoint is as it was.
    pub fn publish_again(
        &self,
        endpoint: &Endpoint,
        name: &str,
        ports: &[PublishedPort],
    ) -> Result<Endpoint> {
        let again = |port: &PublishedPort| PortRequest {
            container_port: port.container_port,
            protocol: port.protocol,
            host_ip: Some(port.host_ip),
            host_ports: Some((port.host_port, port.host_port)),
        };
        let ports: Vec<PortRequest> = ports.iter().map(again).collect();
        let mut taken = Vec::new();
        for port in &ports {
            let allocated =
                self.held().ports.allocate(port, IpAddr::V4(Ipv4Addr::UNSPECIFIED), port::reserve);
            match allocated {
                Ok(one) => taken.push(one),
                Err(error) => {
                    taken.iter().for_each(|(port, _)| self.held().ports.release(port));
                    return Err(Error::Publish {
                        name: name.to_owned(),
                        endpoint: endpoint.id.clone(),
                        reason: error.to_string(),
                    });
                }
            }
        }
        let (published, reservations): (Vec<PublishedPort>, Vec<Reservation>) = taken.into_iter().unzip();
        let changed = Endpoint { ports: published, ..endpoint.clone() };
        self.held().endpoints.insert(changed.id.clone(), (changed.clone(), reservations));
        let mappings: Vec<_> = firewall::mappings(&changed).collect();
        match self.add_ports(&mappings).and_then(|()| self.carry(&changed)) {
            Ok(()) => Ok(changed),
            Err(error) => {
                let mut held = self.held();
                changed.ports.iter().for_each(|port| held.ports.release(port));
                held.endpoints.insert(endpoint.id.clone(), (endpoint.clone(), Vec::new()));
                Err(error)
            }
        }
    }

    /// Makes the interfaces; a bridge that somebody removed is made again, once.
    fn plug(&self, bridge: &Bridge, endpoint: &Endpoint, sandbox: &mut Sandbox) -> Result<()> {
        let mut attempt = |index| {
            let plugged = self
                .route
                .with(|socket| bridge::plug(bridge, index, endpoint, &mut sandbox.namespace, socket));
            if plugged.is_err() {
                // The namespace may live on: it keeps nothing that is half done.
                let _ = self.route.with(|socket| bridge::unplug(endpoint, socket));
            }
            plugged
        };
        let index = self.index(&bridge.network)?;
        let failed = match attempt(index) {
            Err(error) => error,
            joined => return joined,
        };
        let look = |error| Error::kernel("look at the bridge", error);
        let now = self.route.with(|socket| socket.link(&bridge.interface).map_err(look))?;
        if now.is_some_and(|link| link.index == index) {
            return Err(failed);
        }
        self.ready().remove(&bridge.network);
        attempt(self.index(&bridge.network)?)
    }

    /// Hands the sockets of IPv6 host addresses to the relay. They are its own then: it may be started anew.
    fn carry(&self, endpoint: &Endpoint) -> Result<()> {
        let Some(relay) = &self.config.proxy else { return Ok(()) };
        let mut sockets = match self.held().endpoints.get_mut(&endpoint.id) {
            Some((_, reservations)) => endpoint
                .ports
                .iter()
                .zip(reservations)
                .filter(|(port, _)| port.host_ip.is_ipv6())
                .map(|(_, reservation)| reservation.take())
                .collect::<Vec<_>>(),
            None => Vec::new(),
        }
        .into_iter();
        for carried in endpoint.carried() {
            if let Some(socket) = sockets.next().flatten() {
                relay.publish(carried, socket.as_fd())?;
            }
        }
        Ok(())
    }

    /// Publishes; a table that somebody flushed is made again.
    fn add_ports(&self, mappings: &[PortMapping]) -> Result<()> {
        match self.firewall.add(mappings) {
            Err(error) if error.is_missing() => self.install(),
            other => other,
        }
    }

    /// Gives back the address and the ports. The interfaces go with the namespace.
    ///
    /// # Errors
    /// The firewall refuses; address and ports are given back all the same.
    pub fn leave(&self, endpoint: &Endpoint) -> Result<()> {
        // Out of the list first, so that nobody who makes the table anew includes it; free for others last.
        let Some((endpoint, reservations)) = self.held().endpoints.remove(&endpoint.id) else {
            return Ok(());
        };
        let mappings: Vec<_> = firewall::mappings(&endpoint).collect();
        let removed = match self.firewall.remove(&mappings) {
            Err(error) if error.is_missing() => self.install(),
            other => other,
        };
        let withdrawn = match &self.config.proxy {
            Some(relay) => endpoint.carried().try_for_each(|carried| relay.withdraw(carried)),
            None => Ok(()),
        };
        self.give_back(&endpoint.network, endpoint.address, &endpoint.ports, reservations);
        removed.and(withdrawn)
    }

    fn give_back(
        &self,
        network: &str,
        address: Ipv4Addr,
        ports: &[PublishedPort],
        reservations: Vec<Reservation>,
    ) {
        drop(reservations);
        let mut held = self.held();
        if let Some((_, addresses)) = held.networks.get_mut(network) {
            addresses.release(address);
        }
        for port in ports {
            held.ports.release(port);
        }
    }

    /// A namespace with nothing but `lo`, up: network mode `none`.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn empty_namespace(&self) -> Result<OwnedFd> {
        Ok(self.pool.take()?.fd)
    }

    /// Removes our table and all bridges: for an uninstall and for tests, not for a daemon's stop.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn teardown(&self) -> Result<()> {
        self.claim()?;
        let mut ready = self.ready();
        ready.clear();
        self.firewall.teardown()?;
        let interfaces: Vec<String> =
            self.held().networks.values().map(|(bridge, _)| bridge.interface.clone()).collect();
        interfaces
            .iter()
            .try_for_each(|interface| self.route.with(|socket| bridge::teardown(interface, socket)))
    }

    /// The index of a network's bridge, after setting up the host if that was not done yet.
    fn index(&self, network: &str) -> Result<u32> {
        let mut ready = self.ready();
        if let Some(index) = ready.get(network) {
            return Ok(*index);
        }
        let bridge = self.held().networks.get(network).map(|(bridge, _)| bridge.clone());
        let bridge = bridge.ok_or_else(|| Error::NoNetwork(network.to_owned()))?;
        let index = self.setup(&bridge)?;
        let mut live = self.endpoints();
        live.retain(|endpoint| endpoint.network == network);
        self.route.with(|socket| bridge::reconcile(index, &live, socket))?;
        ready.insert(network.to_owned(), index);
        Ok(index)
    }

    fn claim(&self) -> Result<()> {
        if self.claim.get().is_none() {
            // Of two threads that claim at once one finds it taken, by the other: so it looks again.
            match bridge::claim(&self.bridge.interface) {
                Ok(claim) => drop(self.claim.set(claim)),
                Err(error) if self.claim.get().is_none() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Bridge, rules, and last the forwarding, so that the host never forwards unguarded.
    fn setup(&self, bridge: &Bridge) -> Result<u32> {
        self.claim()?;
        let index = self.route.with(|socket| bridge::setup(bridge, socket))?;
        let turn_on = self.config.ip_forward && !bridge::forwards();
        self.install_with(turn_on || self.firewall.has_guard()?)?;
        if turn_on {
            bridge::forward()?;
        }
        if self.firewall.is_overruled().unwrap_or(false) {
            tracing::warn!(
                interface = bridge.interface,
                "iptables' FORWARD policy is DROP (Docker sets it): containers reach nothing outside until it has a rule that accepts this interface"
            );
        }
        Ok(index)
    }

    /// All rules of all endpoints, after somebody removed them.
    fn install(&self) -> Result<()> {
        self.install_with(self.guarded.load(Ordering::Relaxed))
    }

    /// In one transaction.
    fn install_with(&self, guard: bool) -> Result<()> {
        self.guarded.store(guard, Ordering::Relaxed);
        let held = self.held();
        let rules = held.networks.values().map(|(bridge, _)| BridgeRules {
            interface: bridge.interface.clone(),
            subnet: bridge.subnet,
            icc: bridge.icc,
            internal: bridge.internal,
            masquerade: bridge.ip_masq && !bridge.internal,
        });
        let rules: Vec<_> = rules.collect();
        let mappings: Vec<_> =
            held.endpoints.values().flat_map(|(endpoint, _)| firewall::mappings(endpoint)).collect();
        // Held until it is done, so that of two installations the later one knows more.
        self.firewall.install(&rules, &mappings, guard)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a join has taken so far: given back unless it is kept.
struct Claim<'a> {
    networks: &'a Networks,
    bridge: Bridge,
    address: Ipv4Addr,
    ports: Vec<PublishedPort>,
    reservations: Vec<Reservation>,
    kept: bool,
}

impl<'a> Claim<'a> {
    fn address(networks: &'a Networks, network: &str, fixed: Option<Ipv4Addr>) -> Result<Self> {
        let mut held = networks.held();
        let (bridge, addresses) =
            held.networks.get_mut(network).ok_or_else(|| Error::NoNetwork(network.to_owned()))?;
        let taken = match fixed {
            Some(fixed) => addresses.reserve(fixed).map(|()| fixed),
            None => addresses.allocate(),
        };
        let wanted = IpAddr::V4(fixed.unwrap_or(Ipv4Addr::UNSPECIFIED));
        let address = taken.map_err(|refusal| match refusal {
            Refusal::Exhausted => {
                Error::NoAddress { network: network.to_owned(), id: bridge.interface.clone() }
            }
            Refusal::InUse => Error::AddressInUse(wanted),
            Refusal::Outside => Error::AddressOutside { network: network.to_owned(), address: wanted },
        })?;
        let bridge = bridge.clone();
        drop(held);
        Ok(Self { networks, bridge, address, ports: Vec::new(), reservations: Vec::new(), kept: false })
    }

    fn publish(&mut self, request: &JoinRequest<'_>) -> Result<()> {
        // What leads nowhere is not led to either.
        let ports = if self.bridge.internal { &[] } else { request.ports };
        for port in ports {
            if !self.networks.firewall.translates() {
                return Err(Error::Unsupported("ports cannot be published without a firewall".to_owned()));
            }
            let default_ip = self.bridge.default_host_ip;
            let carries = self.networks.config.proxy.is_some();
            if port.host_ip.unwrap_or(default_ip).is_ipv6() && !carries {
                return Err(Error::Unsupported(
                    "publishing on an IPv6 host address needs the userland proxy".to_owned(),
                ));
            }
            let host_port = self.take(port, default_ip)?;
            let everywhere = port.host_ip.is_none() && default_ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            if everywhere && carries && port.protocol != Protocol::Sctp && port::host_has_ipv6() {
                let also = PortRequest {
                    host_ip: Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
                    host_ports: Some((host_port, host_port)),
                    ..port.clone()
                };
                match self.take(&also, default_ip) {
                    Err(error) if port.host_ports == also.host_ports => return Err(error),
                    // The user left the choice to us: IPv4 alone will do.
                    Err(error) => tracing::debug!(%error, host_port, "published on IPv4 only"),
                    Ok(_) => {}
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, port: &PortRequest, default_ip: IpAddr) -> Result<u16> {
        let (published, reservation) =
            self.networks.held().ports.allocate(port, default_ip, port::reserve)?;
        self.ports.push(published);
        self.reservations.push(reservation);
        Ok(published.host_port)
    }

    fn keep(mut self) -> Vec<Reservation> {
        self.kept = true;
        std::mem::take(&mut self.reservations)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.kept {
            let reservations = std::mem::take(&mut self.reservations);
            self.networks.give_back(&self.bridge.network, self.address, &self.ports, reservations);
        }
    }
}

/// A network's addresses, without those that belong to the host and the user's machines.
fn addresses_of(bridge: &Bridge) -> Result<Ipam> {
    let mut addresses = Ipam::new(bridge.subnet, bridge.range);
    addresses.reserve(bridge.gateway).map_err(|_| {
        Error::InvalidBridge(format!("{} is no address of {}", bridge.gateway, bridge.subnet))
    })?;
    for address in &bridge.reserved {
        addresses.reserve(*address).map_err(|_| Error::AddressInUse((*address).into()))?;
    }
    Ok(addresses)
}

/// 64 random hex digits.
fn new_id() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom(&mut bytes, GetRandomFlags::empty())
        .map_err(|error| Error::kernel("read random bytes", error))?;
    Ok(types::id::hex(&bytes))
}

#[cfg(test)]
mod tests;
