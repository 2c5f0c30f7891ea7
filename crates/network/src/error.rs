//! What can fail. Texts that users read are Docker's own words.

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use types::ErrorKind;

/// Shorthand.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a network operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A netlink request was refused.
    #[error("{what}: {source}")]
    Kernel {
        /// What was attempted, with the names in it.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A subnet has no free address.
    #[error("no available {family} addresses on this network's address pools: {network} ({id})")]
    NoAddress {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// Name of the network.
        network: String,
        /// Its id or, for want of one, its interface.
        id: String,
    },
    /// Every pool overlaps something on this host.
    #[error("all predefined address pools have been fully subnetted")]
    NoSubnet,
    /// A fixed address is taken.
    #[error("Address already in use")]
    AddressInUse(IpAddr),
    /// A fixed address is outside of the subnet.
    #[error(
        "invalid config for network {network}: invalid endpoint settings:\nno configured subnet or ip-range contain the IP address {address}"
    )]
    AddressOutside {
        /// Name of the network.
        network: String,
        /// What was asked for.
        address: IpAddr,
    },
    /// Not an address.
    #[error("invalid IP address: {0}")]
    InvalidAddress(String),
    /// Not a hardware address.
    #[error("invalid MAC address: {0}")]
    InvalidMac(String),
    /// A port cannot be published.
    #[error("driver failed programming external connectivity on endpoint {name} ({endpoint}): {reason}")]
    Publish {
        /// Name of the container.
        name: String,
        /// Id of the endpoint.
        endpoint: String,
        /// Docker's words.
        reason: String,
    },
    /// Another container or program has the port.
    #[error("Bind for {ip}:{port} failed: port is already allocated", ip = bracketed(ip))]
    PortAllocated {
        /// Host address.
        ip: IpAddr,
        /// Host port.
        port: u16,
    },
    /// Another program has the port.
    #[error("failed to bind host port for {ip}:{port}{to}/{protocol}: {reason}",
        ip = bracketed(ip), to = to.map(|to| format!(":{to}")).unwrap_or_default(), reason = plain(source))]
    PortBind {
        /// Host address.
        ip: IpAddr,
        /// Host port.
        port: u16,
        /// The container's address and port, once known.
        to: Option<std::net::SocketAddr>,
        /// Protocol.
        protocol: crate::Protocol,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Nothing is free in the ephemeral range or the range asked for.
    #[error("all ports are allocated")]
    AllPortsAllocated,
    /// A text that should be a port is not.
    #[error("{0}")]
    InvalidPort(String),
    /// A gateway is no address of its subnet, or has another use.
    #[error("failed to allocate gateway ({0}): Address already in use")]
    Gateway(IpAddr),
    /// The bridge's settings make no sense.
    #[error("invalid default bridge: {0}")]
    InvalidBridge(String),
    /// Another daemon uses it.
    #[error(
        "bridge {0} is used by another daemon on this host; give each daemon its own (\"bridge\" in daemon.json)"
    )]
    BridgeInUse(String),
    /// No such network is known.
    #[error("network {0} not found")]
    NoNetwork(String),
    /// A subnet overlaps another network's.
    #[error("invalid pool request: Pool overlaps with other one on this address space")]
    PoolOverlap,
    /// An interface is another network's already.
    #[error(
        "networks {other} and {network} have the same bridge name: conflicts with network {other} ({interface})"
    )]
    SameInterface {
        /// The new network.
        network: String,
        /// The one that has it.
        other: String,
        /// The interface.
        interface: String,
    },
    /// The chosen subnet is not free.
    #[error("cannot use {subnet} for bridge {bridge}: it overlaps {other} on this host")]
    Overlap {
        /// What was asked for.
        subnet: IpNet,
        /// The bridge's interface.
        bridge: String,
        /// What is there.
        other: IpNet,
    },
    /// An endpoint found at restart has an address that is not free.
    #[error("endpoint {endpoint}: address {address} is not free on network {network}")]
    Restore {
        /// Id of the endpoint.
        endpoint: String,
        /// Its address.
        address: IpAddr,
        /// The network.
        network: String,
    },
    /// Options that a driver cannot follow, in Docker's words.
    #[error("{0}")]
    DriverOption(String),
    /// This kernel or configuration cannot do it.
    #[error("{0}")]
    Unsupported(String),
}

/// An address as it stands before a colon and a port.
fn bracketed(ip: &IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// The kernel's reason as Docker has it: lower case, without the number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

impl Error {
    /// Whether the kernel said that something is not there.
    pub(crate) fn is_missing(&self) -> bool {
        use rustix::io::Errno;
        matches!(self, Self::Kernel { source, .. }
            if [Errno::NOENT, Errno::NODEV].iter().any(|errno| source.raw_os_error() == Some(errno.raw_os_error())))
    }

    /// A kernel error with what was attempted.
    pub(crate) fn kernel(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Kernel { what: what.into(), source: source.into() }
    }

    /// What the doors need to know (Docker's statuses: most failures of a start are 500).
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::AddressOutside { .. }
            | Self::InvalidAddress(_)
            | Self::InvalidMac(_)
            | Self::InvalidPort(_)
            | Self::InvalidBridge(_) => ErrorKind::InvalidArgument,
            Self::NoNetwork(_) => ErrorKind::NotFound,
            Self::PoolOverlap | Self::SameInterface { .. } => ErrorKind::Forbidden,
            Self::Unsupported(_) => ErrorKind::NotImplemented,
            _ => ErrorKind::Internal,
        }
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error.to_string()).with_source(error)
    }
}
