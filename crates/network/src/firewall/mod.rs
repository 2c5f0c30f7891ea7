//! Who filters and translates. One table of ours in nf_tables (`inet wharf`, or `inet wharf-BRIDGE` for a
//! daemon with a bridge of another name), or nothing.
//!
//! What grows lies in sets and maps, so a packet meets a fixed number of rules however many networks and ports there
//! are, and publishing a port is adding an element. Other tables are never read or changed.

mod conntrack;
mod expression;
mod nft;
mod redirection;
mod ruleset;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::DEFAULT_BRIDGE;
use crate::netlink::message::Message;
use crate::netlink::{Socket, Stash};
use crate::{Endpoint, Error, FirewallKind, GatewayMode, Protocol, Result};
use conntrack::Entries;
pub(crate) use nft::BaseChain;
use nft::Transaction;
pub(crate) use redirection::redirect_names;

/// A bridge as the firewall sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BridgeRules {
    pub(crate) interface: String,
    /// Each with how its packets get in and out.
    pub(crate) subnets: Vec<(IpNet, GatewayMode)>,
    /// Containers on it may talk to each other.
    pub(crate) icc: bool,
    /// Nothing on it reaches another network.
    pub(crate) internal: bool,
    /// What leaves it takes the host's address.
    pub(crate) masquerade: bool,
    /// Published ports are reached at containers' own addresses from everywhere.
    pub(crate) direct_routing: bool,
    /// Or only from these interfaces of the host.
    pub(crate) trusted: Vec<String>,
}

/// A published port as the firewall sees it. An unspecified `host` is every address of the host. Both addresses are of
/// one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortMapping {
    pub(crate) protocol: Protocol,
    pub(crate) host: IpAddr,
    pub(crate) host_port: u16,
    pub(crate) to: IpAddr,
    pub(crate) to_port: u16,
}

/// A container's port that may be reached at the container's own address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenPort {
    pub(crate) protocol: Protocol,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
}

/// What the firewall knows of endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) mappings: Vec<PortMapping>,
    pub(crate) open: Vec<OpenPort>,
}

impl Ports {
    /// Of some endpoints.
    pub(crate) fn of<'a>(endpoints: impl IntoIterator<Item = &'a Endpoint>) -> Self {
        let mut ports = Self::default();
        for endpoint in endpoints {
            ports.mappings.extend(endpoint.ports.iter().filter_map(|port| {
                Some(PortMapping {
                    protocol: port.protocol,
                    host: port.host_ip,
                    host_port: port.host_port,
                    to: endpoint.translated(port)?,
                    to_port: port.container_port,
                })
            }));
            for address in endpoint.addresses() {
                let open = |&(port, protocol): &(u16, Protocol)| OpenPort {
                    protocol,
                    address: address.addr(),
                    port,
                };
                ports.open.extend(endpoint.open.iter().map(open));
            }
        }
        ports
    }

    fn is_empty(&self) -> bool {
        self.mappings.is_empty() && self.open.is_empty()
    }

    fn put(&self, transaction: &mut Transaction, add: bool) {
        ruleset::put_ports(transaction, &self.mappings, add);
        ruleset::put_open(transaction, &self.open, add);
    }
}

/// Who filters and translates.
#[derive(Debug)]
pub(crate) enum FirewallDriver {
    /// Our table.
    Nft {
        /// Its name.
        table: String,
        /// IPv6 too.
        v6: bool,
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
    pub(crate) fn choose(kind: FirewallKind, v6: bool, bridge: &str) -> Result<Self> {
        match kind {
            FirewallKind::None => Ok(Self::None),
            FirewallKind::Nft | FirewallKind::Auto => match nft::probe() {
                Ok(()) => {
                    Ok(Self::Nft { table: table_name(bridge), v6, sockets: Stash::new(Socket::netfilter) })
                }
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

    /// Makes the table anew in one transaction: no packet sees it half made, and no connection is cut. With `guards`
    /// (of IPv4, of IPv6) the host passes on nothing but what comes from our bridges or goes to them.
    pub(crate) fn install(&self, bridges: &[BridgeRules], ports: &Ports, guards: [bool; 2]) -> Result<()> {
        let has_v6 = matches!(self, Self::Nft { v6: true, .. });
        self.commit("set up table wharf", |transaction| {
            transaction.replace_table();
            ruleset::put(transaction, bridges, has_v6);
            for v6 in [false, true] {
                if guards[usize::from(v6)] {
                    ruleset::put_guard(transaction, v6);
                }
            }
            ports.put(transaction, true);
        })
    }

    /// Adds a bridge to the table that is there. Its rules are elements of sets, so this costs the same however many
    /// others there are.
    pub(crate) fn add_bridge(&self, bridge: &BridgeRules) -> Result<()> {
        self.commit("add a bridge to table wharf", |transaction| {
            ruleset::put_bridge(transaction, bridge, true);
        })
    }

    /// Takes it out again.
    pub(crate) fn remove_bridge(&self, bridge: &BridgeRules) -> Result<()> {
        self.commit("remove a bridge from table wharf", |transaction| {
            ruleset::put_bridge(transaction, bridge, false);
        })
    }

    /// Whether the table that is there, perhaps an earlier daemon's, has the guard of a family.
    pub(crate) fn has_guard(&self, v6: bool) -> Result<bool> {
        self.has_chain(ruleset::GUARDS[usize::from(v6)])
    }

    /// Whether our table is there as we made it: its last chain is the one without which it would let everything pass.
    pub(crate) fn is_installed(&self) -> Result<bool> {
        self.has_chain("forward")
    }

    fn has_chain(&self, chain: &str) -> Result<bool> {
        let Self::Nft { table, sockets, .. } = self else { return Ok(false) };
        sockets.with(|socket| {
            nft::has_chain(socket, table, chain).map_err(|error| Error::kernel("look at table wharf", error))
        })
    }

    /// Chains of other firewalls that drop our containers' traffic unless a rule of theirs accepts it. Accepting in
    /// our table does not overrule them.
    pub(crate) fn overruled_by(&self) -> Result<Vec<String>> {
        Ok(self.others_that_drop(nft::FORWARD)?.iter().map(ToString::to_string).collect())
    }

    /// Chains of other firewalls that drop what comes in for the host itself unless a rule of theirs accepts it.
    pub(crate) fn input_policies(&self) -> Result<Vec<BaseChain>> {
        self.others_that_drop(nft::INPUT)
    }

    /// Chains of other firewalls that drop what is passed on unless a rule of theirs accepts it.
    pub(crate) fn forward_policies(&self) -> Result<Vec<BaseChain>> {
        self.others_that_drop(nft::FORWARD)
    }

    fn others_that_drop(&self, hook: u32) -> Result<Vec<BaseChain>> {
        let Self::Nft { table, sockets, .. } = self else { return Ok(Vec::new()) };
        let chains = sockets.with(|socket| {
            nft::base_chains(socket).map_err(|error| Error::kernel("look at other tables", error))
        })?;
        let ours = |chain: &BaseChain| chain.family == "inet" && chain.table == *table;
        Ok(chains.into_iter().filter(|chain| chain.hook == hook && chain.drops && !ours(chain)).collect())
    }

    /// Whether the kernel leads a published port to its container right now.
    pub(crate) fn leads(&self, port: &PortMapping) -> Result<bool> {
        let Self::Nft { table, sockets, .. } = self else { return Ok(false) };
        let (set, key) = ruleset::place_of(port);
        sockets.with(|socket| {
            nft::has_element(socket, table, set, key)
                .map_err(|error| Error::kernel("look at table wharf", error))
        })
    }

    /// Whether a change that the kernel tells of was ours.
    pub(crate) fn asked(&self, port: u32) -> bool {
        match self {
            Self::Nft { sockets, .. } => sockets.asked(port),
            Self::None => false,
        }
    }

    /// The name of our table.
    pub(crate) fn table(&self) -> Option<&str> {
        match self {
            Self::Nft { table, .. } => Some(table),
            Self::None => None,
        }
    }

    /// Publishes.
    pub(crate) fn add(&self, ports: &Ports) -> Result<()> {
        if ports.is_empty() {
            return Ok(());
        }
        self.commit("publish ports in table wharf", |transaction| ports.put(transaction, true))?;
        for v6 in [false, true] {
            let udp = ports.mappings.iter().filter(|p| p.protocol == Protocol::Udp && p.to.is_ipv6() == v6);
            let udp: Vec<u16> = udp.map(|port| port.host_port).collect();
            if !udp.is_empty() {
                self.forget(Entries::ToPorts(&udp, v6));
            }
        }
        Ok(())
    }

    /// Takes back what was published.
    pub(crate) fn remove(&self, ports: &Ports) -> Result<()> {
        if ports.is_empty() {
            return Ok(());
        }
        self.commit("withdraw ports from table wharf", |transaction| ports.put(transaction, false))?;
        for v6 in [false, true] {
            let mut udp = ports.mappings.iter().filter(|p| p.protocol == Protocol::Udp);
            if let Some(port) = udp.find(|port| port.to.is_ipv6() == v6) {
                self.forget(Entries::AnsweredBy(port.to));
            }
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
        let Self::Nft { table, sockets, .. } = self else { return Ok(()) };
        let mut transaction = Transaction::new(table);
        fill(&mut transaction);
        sockets.with(|socket| transaction.commit(socket).map_err(|error| Error::kernel(what, error)))
    }
}

/// The table of ours from which a message says that something was removed.
pub(crate) fn removed_from(message: &Message<'_>) -> Option<String> {
    nft::removed_from(message)
}
