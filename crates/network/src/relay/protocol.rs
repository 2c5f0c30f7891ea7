//! What daemon and relay say to each other: one JSON document a packet, descriptors beside it, an answer to each.
//!
//! Members may be added (with `#[serde(default)]`), never renamed: a newer daemon finds an older relay running.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::Protocol;

/// A packet is at most this long.
pub(super) const PACKET_BYTES: usize = 128 * 1024;

/// One endpoint's names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) network: String,
    pub(super) address: Option<Ipv4Addr>,
    #[serde(default)]
    pub(super) address6: Option<Ipv6Addr>,
    /// The first is told to those who ask for the address.
    pub(super) names: Vec<String>,
}

/// What a container may ask.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scope {
    /// Networks whose names it sees.
    pub networks: Vec<String>,
    /// Who answers the rest; nobody if empty.
    pub servers: Vec<IpAddr>,
    /// Names that it alone knows others by (links), in lower case, and what those are called.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Request {
    /// What is there?
    Hello,
    /// With two descriptors: the container's UDP and TCP sockets.
    Serve { container: String, scope: Scope },
    /// Its networks have changed.
    Change { container: String, scope: Scope },
    /// With one descriptor: the pidfd of its first process.
    Watch { container: String },
    /// No more.
    Leave { container: String },
    /// An endpoint has names.
    Put { endpoint: String, entry: Entry },
    /// An endpoint is gone.
    Remove { endpoint: String },
    /// With one descriptor: the host's socket.
    Publish { port: String, protocol: Protocol, to: SocketAddr },
    /// As several [`Self::Publish`], with a descriptor each.
    PublishMany { ports: Vec<(String, Protocol, SocketAddr)> },
    /// No more.
    Withdraw { port: String },
    /// As several [`Self::Withdraw`].
    WithdrawMany { ports: Vec<String> },
    /// Forget all endpoints but these (sorted).
    KeepEndpoints { endpoints: Vec<String> },
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reply {
    #[serde(default)]
    pub(super) error: Option<String>,
    /// To [`Request::Hello`].
    #[serde(default)]
    pub(super) containers: Vec<String>,
    /// To [`Request::Hello`].
    #[serde(default)]
    pub(super) ports: Vec<String>,
}
