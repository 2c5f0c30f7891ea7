//! What a join takes before it changes the host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::Networks;
use crate::ipam::{Ipam, Refusal};
use crate::port::{self, Reservation};
use crate::{
    Error, GatewayMode, JoinRequest, Network, PortRequest, Protocol, PublishPolicy, PublishedPort, Result,
};

/// What a join has taken so far: given back unless it is kept.
pub(super) struct Claim<'a> {
    networks: &'a Networks,
    pub(super) network: Network,
    pub(super) v4: Option<Taken<Ipv4Addr>>,
    pub(super) v6: Option<Taken<Ipv6Addr>>,
    pub(super) ports: Vec<PublishedPort>,
    reservations: Vec<Reservation>,
    kept: bool,
}

/// An address, its subnet's prefix length and the way out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken<A> {
    pub(super) address: A,
    pub(super) prefix: u8,
    pub(super) gateway: Option<A>,
}

impl<'a> Claim<'a> {
    /// One of each family that the network has.
    pub(super) fn addresses(
        networks: &'a Networks,
        network: &str,
        (v4, v6): (Option<Ipv4Addr>, Option<Ipv6Addr>),
    ) -> Result<Self> {
        let mut held = networks.held();
        let space = held.networks.get_mut(network).ok_or_else(|| Error::NoNetwork(network.to_owned()))?;
        let network = space.network.clone();
        let taken4 = take(&network, &mut space.addresses, false, v4.map(IpAddr::V4))?;
        let taken6 = match take(&network, &mut space.addresses, true, v6.map(IpAddr::V6)) {
            Ok(taken6) => taken6,
            Err(error) => {
                for addresses in &mut space.addresses {
                    taken4.iter().for_each(|(address, _)| addresses.release(*address));
                }
                return Err(error);
            }
        };
        drop(held);
        let pool = |index: usize| &network.pools[index];
        let v4 = taken4.and_then(|(address, index)| {
            match (address, pool(index).way_out.or(pool(index).gateway)) {
                (IpAddr::V4(address), gateway) => {
                    let gateway = gateway.and_then(|gateway| match gateway {
                        IpAddr::V4(gateway) => Some(gateway),
                        IpAddr::V6(_) => None,
                    });
                    Some(Taken { address, prefix: pool(index).subnet.prefix_len(), gateway })
                }
                _ => None,
            }
        });
        let v6 = taken6.and_then(|(address, index)| {
            match (address, pool(index).way_out.or(pool(index).gateway)) {
                (IpAddr::V6(address), gateway) => {
                    let gateway = gateway.and_then(|gateway| match gateway {
                        IpAddr::V6(gateway) => Some(gateway),
                        IpAddr::V4(_) => None,
                    });
                    Some(Taken { address, prefix: pool(index).subnet.prefix_len(), gateway })
                }
                _ => None,
            }
        });
        Ok(Self { networks, network, v4, v6, ports: Vec::new(), reservations: Vec::new(), kept: false })
    }

    pub(super) fn own_addresses(&self) -> Vec<IpAddr> {
        let v4 = self.v4.map(|taken| IpAddr::V4(taken.address));
        v4.into_iter().chain(self.v6.map(|taken| IpAddr::V6(taken.address))).collect()
    }

    /// Takes host ports where the network leads to them by the host's addresses.
    pub(super) fn publish(&mut self, request: &JoinRequest<'_>) -> Result<()> {
        // What leads nowhere is not led to either, and what has addresses of its own outside needs none of ours.
        let Some(options) = self.network.bridge().cloned().filter(|_| !self.network.internal) else {
            return Ok(());
        };
        let translates = |v6| {
            matches!(self.network.gateway_mode(v6), GatewayMode::Nat | GatewayMode::NatUnprotected)
                && if v6 { self.v6.is_some() } else { self.v4.is_some() }
        };
        let config = &self.networks.config;
        let (to_v4, to_v6) = (translates(false), translates(true) && config.firewall_v6);
        let carries = config.proxy.is_some();
        let host_has_v6 = port::host_has_ipv6();
        for port in request.ports {
            if !self.networks.firewall.translates() {
                return Err(Error::Unsupported("ports cannot be published without a firewall".to_owned()));
            }
            let host_terminated = config.publish_policy == PublishPolicy::HostFirewall;
            if host_terminated && (port.protocol == Protocol::Sctp || !carries) {
                return Err(Error::Unsupported(format!(
                    "{} ports cannot be published under the publish policy host-firewall",
                    port.protocol
                )));
            }
            let default_ip = options.default_host_ip;
            let explicit = port.host_ip.unwrap_or(default_ip);
            if !to_v4 && !to_v6 {
                // Reached at the container's own address alone.
                continue;
            }
            let reached = if explicit.is_ipv6() { to_v6 || carries } else { to_v4 || carries };
            if !reached {
                return Err(Error::Unsupported(format!(
                    "publishing on an {} host address needs the userland proxy",
                    if explicit.is_ipv6() { "IPv6" } else { "IPv4" }
                )));
            }
            let host_port = self.take(port, default_ip)?;
            let everywhere = port.host_ip.is_none() && default_ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            let also_v6 = to_v6 || (carries && port.protocol != Protocol::Sctp);
            if everywhere && also_v6 && host_has_v6 {
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
        let allocated = self.networks.held().ports.allocate(port, default_ip, port::reserve);
        let (published, reservation) = allocated.map_err(|error| match error {
            Error::PortBind { ip, port: host_port, protocol, source, .. } => {
                let own = self.own_addresses();
                let own = own.iter().find(|own| own.is_ipv4() == ip.is_ipv4()).or(own.first());
                let to = own.map(|own| SocketAddr::new(*own, port.container_port));
                Error::PortBind { ip, port: host_port, to, protocol, source }
            }
            other => other,
        })?;
        self.ports.push(published);
        self.reservations.push(reservation);
        Ok(published.host_port)
    }

    pub(super) fn keep(mut self) -> Vec<Reservation> {
        self.kept = true;
        std::mem::take(&mut self.reservations)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.kept {
            let reservations = std::mem::take(&mut self.reservations);
            self.networks.give_back(&self.network.name, &self.own_addresses(), &self.ports, reservations);
        }
    }
}

/// An address of a family and the position of its pool, from the first pool that has one. `None`: the network has no
/// such family.
fn take(
    network: &Network,
    addresses: &mut [Ipam],
    v6: bool,
    fixed: Option<IpAddr>,
) -> Result<Option<(IpAddr, usize)>> {
    let of_family = |ipam: &Ipam| matches!(ipam.subnet(), IpNet::V6(_)) == v6;
    let mut last = None;
    for (index, ipam) in addresses.iter_mut().enumerate().filter(|(_, ipam)| of_family(ipam)) {
        let taken = match fixed {
            Some(fixed) => ipam.reserve(fixed).map(|()| fixed),
            None => ipam.allocate(),
        };
        match taken {
            Ok(address) => return Ok(Some((address, index))),
            Err(Refusal::InUse) => last = Some(Refusal::InUse),
            Err(refusal) => last = last.or(Some(refusal)),
        }
    }
    let outside = || match fixed {
        Some(address) => Err(Error::AddressOutside { network: network.name.clone(), address }),
        None => Ok(None),
    };
    match (last, fixed) {
        (None, _) => outside(),
        (Some(Refusal::Outside), _) => outside(),
        (Some(Refusal::InUse), Some(fixed)) => Err(Error::AddressInUse(fixed)),
        (Some(_), _) => Err(Error::NoAddress {
            family: if v6 { "IPv6" } else { "IPv4" },
            network: network.name.clone(),
            id: if network.id.is_empty() { network.interface.clone() } else { network.id.clone() },
        }),
    }
}
