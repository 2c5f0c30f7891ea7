//! The relay: a small process beside the daemon that answers containers' name queries and carries what comes in on
//! IPv6 host addresses to their IPv4 ports. It outlives the daemon and is found again at `EXEC-ROOT/relay.sock`.
//!
//! ```text
//!  daemon ==seqpacket==> relay  (one epoll loop; a thread only for what has to wait: forwarding, TCP)
//!                          | 127.0.0.11 sockets, one pair for each container with names, made in its namespace by
//!                          |   the daemon; nftables there lead port 53 to them, so a container may use port 53 itself
//!                          | pidfds: a container's sockets are closed when it ends, whether a daemon lives or not
//!                          | [::]:PORT sockets, made by the daemon, their traffic carried to the container
//! ```
//!
//! The daemon's [`Relay`] knows all that the relay should know: should the relay die, it is started anew and told.

mod answer;
mod cache;
mod client;
mod forward;
mod message;
mod names;
mod protocol;
mod proxy;
mod server;
mod sockets;

pub(crate) use client::Carried;
pub use client::{NameRecord, Relay};
pub use protocol::Scope;
pub use server::relay_main;

/// The first word of the relay's command line.
pub const RELAY_NAME: &str = "wharf-relay";

#[cfg(test)]
mod tests;

/// A relay that runs in a thread of the caller's network namespace, for as long as something is served.
#[cfg(test)]
pub(crate) fn for_tests(dir: std::path::PathBuf) -> Relay {
    let listener = server::listen(&dir.join("relay.sock")).unwrap();
    std::thread::spawn(move || server::Server::new(listener).and_then(server::Server::run));
    Relay::new(dir)
}
