//! Endpoints: joining, leaving, publishing, and taking over those of an earlier daemon.

use std::net::{IpAddr, Ipv4Addr};

use rustix::rand::{GetRandomFlags, getrandom};
use types::config::EndpointRequest;

use super::claim::Claim;
use super::{Networks, Space};
use crate::address::{fixed, format_mac, link_local, parse_mac};
use crate::driver::{configure, mac_of};
use crate::firewall::Ports;
use crate::namespace::Sandbox;
use crate::port::{self, Reservation};
use crate::{
    Endpoint, Error, GatewayMode, JoinRequest, Joined, Network, PortRequest, PublishPolicy, PublishedPort,
    Result,
};

impl Networks {
    /// Marks what a live endpoint has. What clashes is left out, so that nothing is given back twice.
    pub(super) fn take_over(&self, endpoint: &Endpoint) -> Result<()> {
        let mut held = self.held();
        let space = held
            .networks
            .get_mut(&endpoint.network)
            .ok_or_else(|| Error::NoNetwork(endpoint.network.clone()))?;
        for address in endpoint.addresses().iter().map(ipnet::IpNet::addr) {
            let mut pools = space.addresses.iter_mut();
            if !pools.any(|pool| pool.reserve(address).is_ok()) {
                return Err(Error::Restore {
                    endpoint: endpoint.id.clone(),
                    address,
                    network: endpoint.network.clone(),
                });
            }
        }
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
            if endpoint.is_carried(published) && self.config.proxy.is_some() {
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
        if let Err(error) = sandbox.set_way_out(std::slice::from_ref(&endpoint)) {
            let _ = self.leave(&endpoint);
            return Err(error);
        }
        Ok(Joined { netns: sandbox.into_netns(), endpoint })
    }

    /// Attaches a network stack to a network, with ports published. The way out is the caller's to set.
    ///
    /// # Errors
    /// No address, a port that is taken, or the kernel refuses; nothing is left behind.
    pub fn attach(&self, sandbox: &mut Sandbox, request: &JoinRequest<'_>) -> Result<Endpoint> {
        let id = new_id()?;
        let default = EndpointRequest::default();
        let want = request.want.unwrap_or(&default);
        let fixed_mac = if want.mac_address.is_empty() { None } else { Some(parse_mac(&want.mac_address)?) };
        let mut claim = Claim::addresses(self, request.network, fixed(want.ipam_config.as_ref())?)?;
        let own = claim.own_addresses().first().copied();
        let mac = fixed_mac.unwrap_or_else(|| mac_of(own.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))));
        claim.publish(request).map_err(|error| Error::Publish {
            name: request.name.to_owned(),
            endpoint: id.clone(),
            reason: error.to_string(),
        })?;
        let network = &claim.network;
        let internal = network.internal;
        let endpoint = Endpoint {
            host_interface: network.driver.calls().host_interface(&id),
            id,
            network: request.network.to_owned(),
            internal,
            gw_priority: want.gw_priority,
            container: request.container.clone(),
            address: claim.v4.map(|taken| taken.address),
            prefix: claim.v4.map_or(0, |taken| taken.prefix),
            gateway: claim.v4.and_then(|taken| taken.gateway).filter(|_| !network.on_link()),
            address6: claim.v6.map(|taken| taken.address),
            prefix6: claim.v6.map_or(0, |taken| taken.prefix),
            gateway6: claim.v6.and_then(|taken| taken.gateway).filter(|_| !network.on_link()),
            on_link: network.on_link(),
            mac: format_mac(mac),
            interface: request.interface.to_owned(),
            ports: claim.ports.clone(),
            open: self.open_ports(network, request.ports),
            relayed: self.config.publish_policy == PublishPolicy::HostFirewall,
            relayed6: !self.config.firewall_v6,
        };
        let link_local = link_local(want.ipam_config.as_ref())?;
        self.plug(network, &endpoint, (request.sysctls, &link_local), sandbox)?;
        // Known before its rules are there: whoever makes the table anew meanwhile includes them.
        let reservations = claim.keep();
        self.held().endpoints.insert(endpoint.id.clone(), (endpoint.clone(), reservations));
        if let Err(error) = self.add_ports(&endpoint).and_then(|()| self.carry(&endpoint)) {
            // The failure that the caller needs to know is this one.
            let _ = self.detach(sandbox, &endpoint);
            return Err(error);
        }
        Ok(endpoint)
    }

    /// What may be reached at the container's own address, if anybody may.
    fn open_ports(&self, network: &Network, ports: &[PortRequest]) -> Vec<(u16, crate::Protocol)> {
        let Some(options) = network.bridge().filter(|_| !network.internal) else { return Vec::new() };
        let routed = [options.gateway_mode_v4, options.gateway_mode_v6].contains(&GatewayMode::Routed);
        if !routed && !self.config.direct_routing && options.trusted_interfaces.is_empty() {
            return Vec::new();
        }
        let mut open: Vec<_> = ports.iter().map(|port| (port.container_port, port.protocol)).collect();
        open.sort_unstable();
        open.dedup();
        open
    }

    /// As [`Self::leave`], from a network stack that goes on living.
    ///
    /// # Errors
    /// The kernel refuses; address and ports are given back all the same.
    pub fn detach(&self, sandbox: &mut Sandbox, endpoint: &Endpoint) -> Result<()> {
        // First, so that nobody gets the address while this interface has it.
        let driver = self.held().networks.get(&endpoint.network).map(|space| space.network.driver.calls());
        let unplugged = match driver {
            Some(driver) => self.route.with(|socket| driver.unplug(endpoint, &mut sandbox.namespace, socket)),
            None => Ok(()),
        };
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
        match self.add_ports(&changed).and_then(|()| self.carry(&changed)) {
            Ok(()) => Ok(changed),
            Err(error) => {
                let mut held = self.held();
                changed.ports.iter().for_each(|port| held.ports.release(port));
                held.endpoints.insert(endpoint.id.clone(), (endpoint.clone(), Vec::new()));
                Err(error)
            }
        }
    }

    /// Makes the interfaces; what somebody removed of the network on the host is made again, once.
    fn plug(
        &self,
        network: &Network,
        endpoint: &Endpoint,
        (sysctls, link_local): (&[(String, String)], &[ipnet::IpNet]),
        sandbox: &mut Sandbox,
    ) -> Result<()> {
        let driver = network.driver.calls();
        let mut attempt = |index| {
            let namespace = &mut sandbox.namespace;
            let plugged = self
                .route
                .with(|socket| driver.plug(network, index, endpoint, namespace, socket))
                .and_then(|()| configure(endpoint, sysctls, link_local, namespace))
                .and_then(|()| self.route.with(|socket| driver.settle(network, endpoint, socket)));
            if plugged.is_err() {
                // The namespace may live on: it keeps nothing that is half done.
                let _ = self.route.with(|socket| driver.unplug(endpoint, namespace, socket));
            }
            plugged
        };
        let index = self.index(&network.name)?;
        let failed = match attempt(index) {
            Err(error) => error,
            joined => return joined,
        };
        let look = |error| Error::kernel("look at the host's interfaces", error);
        let now = self.route.with(|socket| socket.link(&network.interface).map_err(look))?;
        if now.is_some_and(|link| link.index == index) {
            return Err(failed);
        }
        self.ready().remove(&network.name);
        attempt(self.index(&network.name)?)
    }

    /// Hands the sockets of what it carries to the relay. They are its own then: it may be started anew.
    fn carry(&self, endpoint: &Endpoint) -> Result<()> {
        let Some(relay) = &self.config.proxy else { return Ok(()) };
        let mut sockets = match self.held().endpoints.get_mut(&endpoint.id) {
            Some((_, reservations)) => endpoint
                .ports
                .iter()
                .zip(reservations)
                .filter(|(port, _)| endpoint.is_carried(port))
                .map(|(_, reservation)| reservation.take())
                .collect::<Vec<_>>(),
            None => Vec::new(),
        }
        .into_iter();
        let carried = endpoint.carried().filter_map(|carried| Some((carried, sockets.next().flatten()?)));
        relay.publish(&carried.collect::<Vec<_>>())
    }

    /// Publishes; a table that somebody flushed is made again.
    fn add_ports(&self, endpoint: &Endpoint) -> Result<()> {
        match self.firewall.add(&Ports::of([endpoint])) {
            Err(error) if error.is_missing() => self.install(),
            other => other,
        }
    }

    /// Gives back the addresses and the ports. The interfaces go with the namespace.
    ///
    /// # Errors
    /// The firewall refuses; addresses and ports are given back all the same.
    pub fn leave(&self, endpoint: &Endpoint) -> Result<()> {
        // Out of the list first, so that nobody who makes the table anew includes it; free for others last.
        let Some((endpoint, reservations)) = self.held().endpoints.remove(&endpoint.id) else {
            return Ok(());
        };
        let removed = match self.firewall.remove(&Ports::of([&endpoint])) {
            Err(error) if error.is_missing() => self.install(),
            other => other,
        };
        let withdrawn = match &self.config.proxy {
            Some(relay) => relay.withdraw(endpoint.carried()),
            None => Ok(()),
        };
        let addresses: Vec<IpAddr> = endpoint.addresses().iter().map(ipnet::IpNet::addr).collect();
        self.give_back(&endpoint.network, &addresses, &endpoint.ports, reservations);
        removed.and(withdrawn)
    }

    pub(super) fn give_back(
        &self,
        network: &str,
        taken: &[IpAddr],
        ports: &[PublishedPort],
        reservations: Vec<Reservation>,
    ) {
        drop(reservations);
        let mut held = self.held();
        if let Some(Space { addresses, .. }) = held.networks.get_mut(network) {
            for pool in addresses {
                taken.iter().for_each(|address| pool.release(*address));
            }
        }
        for port in ports {
            held.ports.release(port);
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
