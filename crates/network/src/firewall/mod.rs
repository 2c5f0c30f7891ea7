//! Who filters and translates. One table of ours in nf_tables (`inet wharf`, or `inet wharf-BRIDGE` for a
//! daemon with a bridge of another name), or nothing.
//!
//! What grows lies in sets and maps, so a packet meets a fixed number of rules however many networks and ports there
//! are, and publishing a port is adding an element. Other tables are never read or changed.

mod conntrack;
mod expression;
mod nft;
mod ruleset;

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;

use crate::config::DEFAULT_BRIDGE;
use crate::netlink::{Socket, Stash};
use crate::{Endpoint, Error, FirewallKind, Protocol, Result};
use conntrack::Entries;
use nft::Transaction;

/// A bridge as the firewall sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BridgeRules {
    pub(crate) interface: String,
    pub(crate) subnet: Ipv4Net,
    /// Containers on it may talk to each other.
    pub(crate) icc: bool,
    /// Nothing on it reaches another network.
    pub(crate) internal: bool,
    /// What leaves it takes the host's address.
    pub(crate) masquerade: bool,
}

/// A published port as the firewall sees it. An unspecified `host` is every address of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortMapping {
    pub(crate) protocol: Protocol,
    pub(crate) host: Ipv4Addr,
    pub(crate) host_port: u16,
    pub(crate) to: Ipv4Addr,
    pub(crate) to_port: u16,
}

/// The mappings of an endpoint's published ports (those on IPv4 host addresses: an IPv4 endpoint has no others).
pub(crate) fn mappings(endpoint: &Endpoint) -> impl Iterator<Item = PortMapping> + '_ {
    endpoint.ports.iter().filter_map(|port| match port.host_ip {
        IpAddr::V4(host) => Some(PortMapping {
            protocol: port.protocol,
            host,
            host_port: port.host_port,
            to: endpoint.address,
            to_port: port.container_port,
        }),
        IpAddr::V6(_) => None,
    })
}

/// Who filters and translates.
#[derive(Debug)]
pub(crate) enum FirewallDriver {
    /// Our table.
    Nft {
        /// Its name.
        table: String,
        /// Of nfnetlink.
        sockets: Stash,
    },
    /// Nobody.
    None,
}

/// A daemon with another bridge has another table, so that two may live side by side.
fn table_name(bridge: &str) -> String {
    if bridge == DEFAULT_BRIDGE { "wharf".to_owned() } else { format!("wharf-{bridge}") }
}

impl FirewallDriver {
    /// What was asked for or, with [`FirewallKind::Auto`], what the kernel has.
    pub(crate) fn choose(kind: FirewallKind, bridge: &str) -> Result<Self> {
        match kind {
            FirewallKind::None => Ok(Self::None),
            FirewallKind::Nft | FirewallKind::Auto => match nft::probe() {
                Ok(()) => Ok(Self::Nft { table: table_name(bridge), sockets: Stash::new(Socket::netfilter) }),
                Err(error) if kind == FirewallKind::Nft => Err(Error::kernel("use nf_tables", error)),
                Err(error) => {
                    tracing::warn!(%error, "no nf_tables: containers reach no other host, and ports cannot be published");
                    Ok(Self::None)
                }
            },
        }
    }

    /// Whether ports can be published.
    pub(crate) fn translates(&self) -> bool {
        matches!(self, Self::Nft { .. })
    }

    /// Makes the table anew in one transaction: no packet sees it half made, and no connection is cut. With `guard`
    /// the host passes on nothing but what comes from our bridges or goes to them.
    pub(crate) fn install(&self, bridges: &[BridgeRules], ports: &[PortMapping], guard: bool) -> Result<()> {
        self.commit("set up table wharf", |transaction| {
            transaction.replace_table();
            ruleset::put(transaction, bridges);
            if guard {
                ruleset::put_guard(transaction);
            }
            ruleset::put_ports(transaction, ports, true);
        })
    }

    /// Whether the table that is there, perhaps an earlier daemon's, has the guard.
    pub(crate) fn has_guard(&self) -> Result<bool> {
        let Self::Nft { table, sockets } = self else { return Ok(false) };
        sockets.with(|socket| {
            nft::has_chain(socket, table, ruleset::GUARD)
                .map_err(|error| Error::kernel("look at table wharf", error))
        })
    }

    /// Whether another firewall will drop our containers' traffic. Accepting in our table does not overrule it.
    pub(crate) fn is_overruled(&self) -> Result<bool> {
        let Self::Nft { sockets, .. } = self else { return Ok(false) };
        sockets.with(|socket| {
            let drops = nft::iptables_drops_forwarded(socket);
            drops.map_err(|error| Error::kernel("look at table filter", error))
        })
    }

    /// Publishes.
    pub(crate) fn add(&self, ports: &[PortMapping]) -> Result<()> {
        if ports.is_empty() {
            return Ok(());
        }
        self.commit("publish ports in table wharf", |transaction| {
            ruleset::put_ports(transaction, ports, true)
        })?;
        let udp = ports.iter().filter(|port| port.protocol == Protocol::Udp);
        let udp: Vec<u16> = udp.map(|port| port.host_port).collect();
        if !udp.is_empty() {
            self.forget(Entries::ToPorts(&udp));
        }
        Ok(())
    }

    /// Takes back what was published.
    pub(crate) fn remove(&self, ports: &[PortMapping]) -> Result<()> {
        if ports.is_empty() {
            return Ok(());
        }
        self.commit("withdraw ports from table wharf", |transaction| {
            ruleset::put_ports(transaction, ports, false)
        })?;
        if let Some(port) = ports.iter().find(|port| port.protocol == Protocol::Udp) {
            self.forget(Entries::AnsweredBy(port.to));
        }
        Ok(())
    }

    /// Best effort: what is not forgotten ends by itself, half a minute after the client's last packet.
    fn forget(&self, entries: Entries<'_>) {
        let Self::Nft { sockets, .. } = self else { return };
        let forgotten = sockets.with(|socket| {
            conntrack::forget(socket, entries).map_err(|error| Error::kernel("forget UDP connections", error))
        });
        if let Err(error) = forgotten {
            tracing::warn!(%error, ?entries, "old UDP connections stay");
        }
    }

    /// Removes the table, if it is there.
    pub(crate) fn teardown(&self) -> Result<()> {
        self.commit("remove table wharf", Transaction::remove_table)
    }

    fn commit(&self, what: &str, fill: impl FnOnce(&mut Transaction)) -> Result<()> {
        let Self::Nft { table, sockets } = self else { return Ok(()) };
        let mut transaction = Transaction::new(table);
        fill(&mut transaction);
        sockets.with(|socket| transaction.commit(socket).map_err(|error| Error::kernel(what, error)))
    }
}

/// In a container's namespace: leads what is sent to port 53 of `address` to these ports of it.
pub(crate) fn redirect_names(
    mut socket: Socket,
    address: Ipv4Addr,
    udp_port: u16,
    tcp_port: u16,
) -> Result<()> {
    let mut transaction = Transaction::new("wharf-names");
    let mapping = |protocol, to_port| PortMapping {
        protocol,
        host: address,
        host_port: NAMES_PORT,
        to: address,
        to_port,
    };
    transaction.replace_table();
    ruleset::put_redirection(&mut transaction);
    ruleset::put_ports(
        &mut transaction,
        &[mapping(Protocol::Udp, udp_port), mapping(Protocol::Tcp, tcp_port)],
        true,
    );
    let failed = |error| Error::kernel("set up table wharf-names", error);
    transaction.commit(&mut socket).map_err(failed)
}

/// Where clients expect a name server.
const NAMES_PORT: u16 = 53;
