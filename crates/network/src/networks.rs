//! [`Networks`]: the door of this crate.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::rand::{GetRandomFlags, getrandom};

use crate::bridge;
use crate::firewall::{self, BridgeRules, FirewallDriver, PortMapping};
use crate::ipam::{Ipam, Refusal};
use crate::namespace::Pool;
use crate::netlink::{Socket, Stash};
use crate::port::{self, Ports, Reservation};
use crate::{Bridge, Endpoint, Error, JoinRequest, Joined, NetworkConfig, PublishedPort, Result};

/// The default network's name for users.
const NETWORK: &str = "bridge";
/// The interface's name in a container.
const INTERFACE: &str = "eth0";

/// The networks of one daemon, in the network namespace of the thread that opened it. Calls may run side by side.
#[derive(Debug)]
pub struct Networks {
    config: NetworkConfig,
    bridge: Bridge,
    route: Stash,
    firewall: FirewallDriver,
    pool: Pool,
    held: Mutex<Held>,
    /// The bridge's index, once the host is set up.
    ready: Mutex<Option<u32>>,
    /// Keeps other daemons off the bridge, from the first time we touch it.
    claim: OnceLock<UnixDatagram>,
    /// The host forwards only because of us.
    guarded: AtomicBool,
}

/// What is given out.
#[derive(Debug)]
struct Held {
    addresses: Ipam,
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
        let mut addresses = Ipam::new(bridge.subnet, config.fixed_cidr);
        addresses.reserve(bridge.gateway).map_err(|_| {
            Error::InvalidBridge(format!("{} is no address of {}", bridge.gateway, bridge.subnet))
        })?;
        let held = Held { addresses, ports: Ports::new(port::ephemeral_range()), endpoints: BTreeMap::new() };
        let pool = Pool::new(config.pool_size);
        Ok(Self {
            config,
            bridge,
            route,
            firewall,
            pool,
            held: Mutex::new(held),
            ready: Mutex::new(None),
            claim: OnceLock::new(),
            guarded: AtomicBool::new(false),
        })
    }

    /// The default network as it stands.
    pub fn bridge(&self) -> Bridge {
        self.bridge.clone()
    }

    /// The endpoints on the default network, ordered by id.
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
        let look = |error| Error::kernel("look at the bridge", error);
        let there = self.route.with(|socket| socket.link(&self.bridge.interface).map_err(look))?.is_some();
        if there || !live.is_empty() {
            let mut ready = self.ready();
            let index = self.setup()?;
            self.route.with(|socket| bridge::reconcile(index, live, socket))?;
            *ready = Some(index);
        } else {
            // An earlier daemon's rules would go on filtering for a bridge that is gone.
            self.firewall.teardown()?;
        }
        Ok(complaints)
    }

    /// Marks what a live endpoint has. What clashes is left out, so that nothing is given back twice.
    fn take_over(&self, endpoint: &Endpoint) -> Result<()> {
        let mut held = self.held();
        held.addresses.reserve(endpoint.address).map_err(|_| Error::Restore {
            endpoint: endpoint.id.clone(),
            address: endpoint.address,
            subnet: self.bridge.subnet,
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

    /// Makes a namespace attached to the default bridge, with its ports published.
    ///
    /// # Errors
    /// No address, a port that is taken, or the kernel refuses; nothing is left behind.
    pub fn join(&self, request: &JoinRequest<'_>) -> Result<Joined> {
        let id = new_id()?;
        let want = request.want.cloned().unwrap_or_default();
        let fixed = want.ipam_config.unwrap_or_default().ipv4_address;
        let fixed = if fixed.is_empty() { None } else { Some(bridge::parse_address(&fixed)?) };
        let fixed_mac =
            if want.mac_address.is_empty() { None } else { Some(bridge::parse_mac(&want.mac_address)?) };

        let mut claim = Claim::address(self, fixed)?;
        let mac = fixed_mac.unwrap_or_else(|| bridge::mac_of(claim.address));
        claim.publish(request).map_err(|error| Error::Publish {
            name: request.name.to_owned(),
            endpoint: id.clone(),
            reason: error.to_string(),
        })?;
        let endpoint = Endpoint {
            host_interface: bridge::host_interface(&id),
            id,
            network: NETWORK.to_owned(),
            container: request.container.clone(),
            address: claim.address,
            prefix: self.bridge.subnet.prefix_len(),
            gateway: self.bridge.gateway,
            mac: bridge::format_mac(mac),
            interface: INTERFACE.to_owned(),
            ports: claim.ports.clone(),
        };
        let netns = self.plug(&endpoint, mac)?;
        // Known before its rules are there: whoever makes the table anew meanwhile includes them.
        let reservations = claim.keep();
        self.held().endpoints.insert(endpoint.id.clone(), (endpoint.clone(), reservations));
        let mappings: Vec<_> = firewall::mappings(&endpoint).collect();
        if let Err(error) = self.add_ports(&mappings) {
            // The failure that the caller needs to know is this one.
            let _ = self.leave(&endpoint);
            return Err(error);
        }
        Ok(Joined { netns, endpoint })
    }

    /// Makes the interfaces; a bridge that somebody removed is made again, once.
    fn plug(&self, endpoint: &Endpoint, mac: [u8; 6]) -> Result<OwnedFd> {
        let attempt = |index| {
            let mut namespace = self.pool.take()?;
            self.route
                .with(|socket| bridge::plug(&self.bridge, index, endpoint, mac, &mut namespace, socket))
                .map(|()| namespace.fd)
        };
        let index = self.index()?;
        let failed = match attempt(index) {
            Err(error) => error,
            joined => return joined,
        };
        let look = |error| Error::kernel("look at the bridge", error);
        let now = self.route.with(|socket| socket.link(&self.bridge.interface).map_err(look))?;
        if now.is_some_and(|link| link.index == index) {
            return Err(failed);
        }
        *self.ready() = None;
        attempt(self.index()?)
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
        self.give_back(endpoint.address, &endpoint.ports, reservations);
        removed
    }

    fn give_back(&self, address: Ipv4Addr, ports: &[PublishedPort], reservations: Vec<Reservation>) {
        drop(reservations);
        let mut held = self.held();
        held.addresses.release(address);
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

    /// Removes our table and the bridge: for an uninstall and for tests, not for a daemon's stop.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn teardown(&self) -> Result<()> {
        self.claim()?;
        let mut ready = self.ready();
        *ready = None;
        self.firewall.teardown()?;
        self.route.with(|socket| bridge::teardown(&self.bridge.interface, socket))
    }

    /// The bridge's index, after setting up the host if that was not done yet.
    fn index(&self) -> Result<u32> {
        let mut ready = self.ready();
        match *ready {
            Some(index) => Ok(index),
            None => {
                let index = self.setup()?;
                let live = self.endpoints();
                self.route.with(|socket| bridge::reconcile(index, &live, socket))?;
                *ready = Some(index);
                Ok(index)
            }
        }
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
    fn setup(&self) -> Result<u32> {
        self.claim()?;
        let index = self.route.with(|socket| bridge::setup(&self.bridge, socket))?;
        let turn_on = self.config.ip_forward && !bridge::forwards();
        self.install_with(turn_on || self.firewall.has_guard()?)?;
        if turn_on {
            bridge::forward()?;
        }
        if self.firewall.is_overruled().unwrap_or(false) {
            tracing::warn!(
                interface = self.bridge.interface,
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
        let rules = BridgeRules {
            interface: self.bridge.interface.clone(),
            subnet: self.bridge.subnet,
            icc: self.bridge.icc,
            masquerade: self.bridge.ip_masq,
        };
        let held = self.held();
        let mappings: Vec<_> =
            held.endpoints.values().flat_map(|(endpoint, _)| firewall::mappings(endpoint)).collect();
        // Held until it is done, so that of two installations the later one knows more.
        self.firewall.install(&[rules], &mappings, guard)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self) -> MutexGuard<'_, Option<u32>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a join has taken so far: given back unless it is kept.
struct Claim<'a> {
    networks: &'a Networks,
    address: Ipv4Addr,
    ports: Vec<PublishedPort>,
    reservations: Vec<Reservation>,
    kept: bool,
}

impl<'a> Claim<'a> {
    fn address(networks: &'a Networks, fixed: Option<Ipv4Addr>) -> Result<Self> {
        let addresses = &mut networks.held().addresses;
        let taken = match fixed {
            Some(fixed) => addresses.reserve(fixed).map(|()| fixed),
            None => addresses.allocate(),
        };
        let wanted = IpAddr::V4(fixed.unwrap_or(Ipv4Addr::UNSPECIFIED));
        let address = taken.map_err(|refusal| match refusal {
            Refusal::Exhausted => {
                Error::NoAddress { network: NETWORK.to_owned(), id: networks.bridge.interface.clone() }
            }
            Refusal::InUse => Error::AddressInUse(wanted),
            Refusal::Outside => Error::AddressOutside { network: NETWORK.to_owned(), address: wanted },
        })?;
        Ok(Self { networks, address, ports: Vec::new(), reservations: Vec::new(), kept: false })
    }

    fn publish(&mut self, request: &JoinRequest<'_>) -> Result<()> {
        for port in request.ports {
            if !self.networks.firewall.translates() {
                return Err(Error::Unsupported("ports cannot be published without a firewall".to_owned()));
            }
            let default_ip = self.networks.config.default_host_ip;
            if port.host_ip.unwrap_or(default_ip).is_ipv6() {
                return Err(Error::Unsupported(
                    "publishing on an IPv6 host address is not implemented yet".to_owned(),
                ));
            }
            let (published, reservation) =
                self.networks.held().ports.allocate(port, default_ip, port::reserve)?;
            self.ports.push(published);
            self.reservations.push(reservation);
        }
        Ok(())
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
            self.networks.give_back(self.address, &self.ports, reservations);
        }
    }
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
