//! The nouns: endpoints, published ports and what is asked for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use types::ContainerId;
use types::config::EndpointRequest;

use crate::relay::Carried;

/// A network that is a bridge on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// Name of the network; an [`Endpoint`] says it.
    pub network: String,
    /// The interface on the host, for example `wharf0`.
    pub interface: String,
    /// The address space. The caller keeps it and gives it back as `NetworkConfig::subnet` at the next start.
    pub subnet: Ipv4Net,
    /// Part of the subnet that automatic addresses come from; `None` is all of it.
    pub range: Option<Ipv4Net>,
    /// Addresses that no container gets: they belong to machines of the user's.
    pub reserved: Vec<Ipv4Addr>,
    /// The host's address on it, the containers' default gateway.
    pub gateway: Ipv4Addr,
    /// Nothing on it reaches another network, and no port is published.
    pub internal: bool,
    /// Bytes.
    pub mtu: u32,
    /// Containers may talk to each other.
    pub icc: bool,
    /// What leaves takes the host's address.
    pub ip_masq: bool,
    /// Host address for ports published without one.
    pub default_host_ip: IpAddr,
}

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
    /// IPv4 address in the container.
    pub address: Ipv4Addr,
    /// Length of the subnet's prefix.
    pub prefix: u8,
    /// Default gateway.
    pub gateway: Ipv4Addr,
    /// Hardware address, `02:42:ac:11:00:02`.
    pub mac: String,
    /// Name of the interface in the container.
    pub interface: String,
    /// Name of its other end on the host.
    pub host_interface: String,
    /// What is published, in the order asked for.
    pub ports: Vec<PublishedPort>,
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
    /// What is published on IPv6 host addresses, and so carried by the relay.
    pub(crate) fn carried(&self) -> impl Iterator<Item = Carried> + '_ {
        let to = |port: &PublishedPort| SocketAddrV4::new(self.address, port.container_port);
        self.ports.iter().filter(|port| port.host_ip.is_ipv6()).map(move |port| Carried {
            protocol: port.protocol,
            ip: port.host_ip,
            port: port.host_port,
            to: to(port),
        })
    }
}

/// The endpoint through which a container reaches other networks: the highest priority, then the first name.
pub fn way_out(endpoints: &[Endpoint]) -> Option<&Endpoint> {
    let leads_out = endpoints.iter().filter(|endpoint| !endpoint.internal);
    leads_out.min_by_key(|endpoint| (std::cmp::Reverse(endpoint.gw_priority), &endpoint.network))
}
