//! The nouns: endpoints, published ports and what is asked for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use types::ContainerId;
use types::config::EndpointRequest;

use crate::relay::Carried;

/// Transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// IANA protocol number.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// A port that is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRequest {
    /// The container's port.
    pub container_port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// Host address; `None` is the daemon's default.
    pub host_ip: Option<IpAddr>,
    /// First and last host port to try; `None` is any free one of the ephemeral range.
    pub host_ports: Option<(u16, u16)>,
}

/// A port that is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The container's port.
    pub container_port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// Host address; unspecified is every address of the host.
    pub host_ip: IpAddr,
    /// Host port.
    pub host_port: u16,
}

/// One container's attachment to one network. The caller keeps it (it is serialisable) and gives it back to
/// [`crate::Networks::leave`] or, after a restart, to [`crate::Networks::restore`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// 64 hex digits, new for each join.
    pub id: String,
    /// Name of the network.
    pub network: String,
    /// The network leads nowhere, so this is never the way out.
    #[serde(default)]
    pub internal: bool,
    /// Among a container's endpoints the highest is the way out.
    #[serde(default)]
    pub gw_priority: i64,
    /// The container.
    pub container: ContainerId,
    /// IPv4 address in the container; `None` on a network without IPv4.
    pub address: Option<Ipv4Addr>,
    /// Length of its subnet's prefix.
    pub prefix: u8,
    /// Default gateway; `None` if the network has none.
    pub gateway: Option<Ipv4Addr>,
    /// IPv6 address; `None` on a network without IPv6.
    #[serde(default)]
    pub address6: Option<Ipv6Addr>,
    /// Length of its subnet's prefix.
    #[serde(default)]
    pub prefix6: u8,
    /// Default gateway; `None` if the network has none.
    #[serde(default)]
    pub gateway6: Option<Ipv6Addr>,
    /// The way out needs no gateway: everything is on the link (ipvlan in its modes of layer 3).
    #[serde(default)]
    pub on_link: bool,
    /// Hardware address, `02:42:ac:11:00:02`.
    pub mac: String,
    /// Name of the interface in the container.
    pub interface: String,
    /// Name of its other end on the host; empty where there is none (macvlan, ipvlan).
    pub host_interface: String,
    /// What is published, in the order asked for.
    pub ports: Vec<PublishedPort>,
    /// Container ports that others may reach at the container's own address, where the network's mode lets them.
    #[serde(default)]
    pub open: Vec<(u16, Protocol)>,
    /// Its ports are served on the host by the relay, so that the host's rules for what comes in hold for them.
    #[serde(default)]
    pub relayed: bool,
    /// So are those on IPv6 host addresses, because the firewall leaves IPv6 alone.
    #[serde(default)]
    pub relayed6: bool,
}

/// What a container wants of a network.
#[derive(Debug, Clone, Copy)]
pub struct JoinRequest<'a> {
    /// Which network, by name.
    pub network: &'a str,
    /// The interface's name in the container.
    pub interface: &'a str,
    /// Who.
    pub container: &'a ContainerId,
    /// Its name, for messages (without the slash).
    pub name: &'a str,
    /// Addresses and the like; `None` is all defaults.
    pub want: Option<&'a EndpointRequest>,
    /// Ports to publish.
    pub ports: &'a [PortRequest],
    /// `net.` parameters of the interface: the parts of the path below `/proc/sys/net` without the interface's name
    /// (which stands where `IFNAME` is), and the value.
    pub sysctls: &'a [(String, String)],
}

/// The result of a join.
#[derive(Debug)]
pub struct Joined {
    /// The container's network namespace. When every descriptor of it and every process in it is gone, the kernel
    /// removes it with its interfaces: this is the whole teardown.
    pub netns: OwnedFd,
    /// The record to keep.
    pub endpoint: Endpoint,
}

impl Endpoint {
    /// Its addresses with their subnets' prefix lengths, IPv4 first.
    pub fn addresses(&self) -> Vec<IpNet> {
        let v4 = self.address.and_then(|ip| Ipv4Net::new(ip, self.prefix).ok());
        let v6 = self.address6.and_then(|ip| Ipv6Net::new(ip, self.prefix6).ok());
        v4.map(IpNet::V4).into_iter().chain(v6.map(IpNet::V6)).collect()
    }

    /// Where the firewall leads what arrives for a port; `None` if the relay has to carry it, because the container
    /// has no address of that family.
    pub(crate) fn translated(&self, port: &PublishedPort) -> Option<IpAddr> {
        match port.host_ip {
            _ if self.relayed => None,
            IpAddr::V4(_) => self.address.map(IpAddr::V4),
            IpAddr::V6(host) if self.relayed6 || host.is_loopback() => None,
            IpAddr::V6(_) => self.address6.map(IpAddr::V6),
        }
    }

    /// Whether the relay serves a port. What comes by ::1 is always its part: the kernel has no `route_localnet` for
    /// IPv6, so nothing from there can be led to a container.
    pub(crate) fn is_carried(&self, port: &PublishedPort) -> bool {
        self.translated(port).is_none() || port.host_ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    }

    /// What the relay carries.
    pub(crate) fn carried(&self) -> impl Iterator<Item = Carried> + '_ {
        let own = self.address.map(IpAddr::V4).or(self.address6.map(IpAddr::V6));
        let to = move |port: &PublishedPort| match port.host_ip {
            IpAddr::V6(_) => self.address6.map(IpAddr::V6).or(own),
            IpAddr::V4(_) => own,
        };
        self.ports.iter().filter(|port| self.is_carried(port)).filter_map(move |port| {
            Some(Carried {
                protocol: port.protocol,
                ip: port.host_ip,
                port: port.host_port,
                to: SocketAddr::new(to(port)?, port.container_port),
            })
        })
    }
}

/// A container's endpoints in the order in which they are the way out: those that lead out first, then the highest
/// priority, then those with both families, then the first name (moby `libnetwork/sandbox.go`, `Less`).
fn by_preference(endpoints: &[Endpoint]) -> Vec<&Endpoint> {
    let mut ordered: Vec<&Endpoint> = endpoints.iter().filter(|endpoint| !endpoint.internal).collect();
    ordered.sort_by_key(|endpoint| {
        let families = endpoint.addresses().len();
        (std::cmp::Reverse(endpoint.gw_priority), std::cmp::Reverse(families), &endpoint.network)
    });
    ordered
}

/// The endpoints through which a container reaches other networks, by IPv4 and by IPv6.
pub(crate) fn ways_out(endpoints: &[Endpoint]) -> (Option<&Endpoint>, Option<&Endpoint>) {
    let ordered = by_preference(endpoints);
    let v4 = ordered.iter().find(|e| e.gateway.is_some() || (e.on_link && e.address.is_some()));
    let v6 = ordered.iter().find(|e| e.gateway6.is_some() || (e.on_link && e.address6.is_some()));
    (v4.copied(), v6.copied())
}

/// The endpoint through which a container reaches other networks: by IPv4 or, if it has none, by IPv6.
pub fn way_out(endpoints: &[Endpoint]) -> Option<&Endpoint> {
    let (v4, v6) = ways_out(endpoints);
    v4.or(v6)
}
