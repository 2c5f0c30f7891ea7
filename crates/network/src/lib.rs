//! Bridges, endpoints, ports and firewall: how a container reaches the world and is reached.
//!
//! | Word | Meaning |
//! |---|---|
//! | *network* | an address space with a driver; the default `bridge` or one that a user made |
//! | *endpoint* | one attachment of one container to one network: address, hardware address, interface pair |
//! | *namespace* | a network stack, held as a file descriptor and never as a bind mount |
//! | *published port* | a host address and port whose traffic goes to a container's port |
//! | *reservation* | a host socket that keeps other programs off a published port |
//!
//! ```text
//!  container netns          host netns                            outside
//!  +-------------+   veth   +---------------------------------+
//!  | lo    eth0 -|----------|- vethXXXXXXX -> wharf0 (bridge) |-- routing -- eth0 -->
//!  +-------------+          |   table inet wharf: masquerade, |
//!                           |   isolation, DNAT by maps       |
//!                           +---------------------------------+
//! ```
//!
//! **Invariant**: the kernel's state and what is told by the endpoints (which the caller keeps) are the whole
//! truth. This crate keeps no file (but for the [`Relay`]'s socket); after a restart [`Networks::restore`] rebuilds everything from the
//! endpoints of live containers. Everything here blocks: call it from blocking tasks, never from async ones.

mod address;
mod config;
mod default_bridge;
mod driver;
mod endpoint;
mod error;
mod firewall;
mod hosts;
pub mod ipam;
mod namespace;
mod netlink;
mod network;
mod networks;
mod port;
mod relay;
mod resolv_conf;

pub use config::{FirewallKind, NetworkConfig, PublishPolicy};
pub use endpoint::{Endpoint, JoinRequest, Joined, PortRequest, Protocol, PublishedPort, way_out};
pub use error::{Error, Result};
pub use hosts::{HostsFile, hostname_file, hosts_file, own_names};
pub use namespace::{Sandbox, namespace_of, same_namespace};
pub use network::{BridgeOptions, Driver, GatewayMode, IpvlanFlag, IpvlanMode, MacvlanMode, Network, Pool};
pub use networks::{Explanation, Networks, Publication, Reach};
pub use port::parse::{parse_exposed, port_requests};
pub use relay::{NameRecord, RELAY_NAME, Relay, Scope, relay_main};
pub use resolv_conf::{DnsOptions, host_resolv_conf, host_servers, internal_resolv_conf, resolv_conf};
