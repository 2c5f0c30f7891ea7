//! [`Networks`]: the door of this crate.

mod attach;
mod claim;
mod explain;
mod sweep;
mod watch;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ipnet::IpNet;

use crate::default_bridge;
use crate::driver::{forward, forwards, is_retired};
use crate::firewall::{self, BridgeRules, FirewallDriver};
use crate::ipam::{self, Ipam};
use crate::namespace::{Pool as NamespacePool, Sandbox};
use crate::netlink::{Socket, Stash};
use crate::port::{self, Ports, Reservation};
use crate::{Endpoint, Error, Network, NetworkConfig, Pool, Result};
pub use explain::{Explanation, Publication, Reach};
use sweep::Sweep;
use watch::Watch;

/// The networks of one daemon, in the network namespace of the thread that opened it. Calls may run side by side.
#[derive(Debug)]
pub struct Networks {
    config: NetworkConfig,
    bridge: Network,
    route: Stash,
    firewall: FirewallDriver,
    pool: NamespacePool,
    held: Mutex<Held>,
    /// Networks that the host is set up for, and the indexes of their interfaces on the host.
    ready: Mutex<BTreeMap<String, u32>>,
    /// Keeps other daemons off the bridge, from the first time we touch it.
    claim: OnceLock<UnixDatagram>,
    /// The host forwards IPv4, IPv6 only because of us.
    guarded: [AtomicBool; 2],
    /// Our table is there, made by us: what is new is added to it.
    installed: AtomicBool,
    sweep: Sweep,
    watch: OnceLock<Watch>,
}

/// What is given out.
#[derive(Debug)]
struct Held {
    /// By name.
    networks: BTreeMap<String, Space>,
    ports: Ports,
    /// By id, each with its reservations.
    endpoints: BTreeMap<String, (Endpoint, Vec<Reservation>)>,
}

/// A network and, for each of its pools, the addresses that are taken.
#[derive(Debug)]
struct Space {
    network: Network,
    addresses: Vec<Ipam>,
}

impl Space {
    /// Without the addresses that belong to the host and the user's machines.
    fn new(network: Network) -> Result<Self> {
        let addresses = network.pools.iter().map(addresses_of).collect::<Result<_>>()?;
        Ok(Self { network, addresses })
    }
}

fn addresses_of(pool: &Pool) -> Result<Ipam> {
    let mut addresses = Ipam::new(pool.subnet, pool.range);
    if let Some(gateway) = pool.gateway {
        addresses.reserve(gateway).map_err(|_| Error::Gateway(gateway))?;
    }
    let way_out = pool.way_out.filter(|_| pool.way_out != pool.gateway);
    for address in pool.reserved.iter().chain(&way_out) {
        addresses.reserve(*address).map_err(|_| Error::AddressInUse(*address))?;
    }
    Ok(addresses)
}

impl Networks {
    /// Looks at the host and chooses the subnets of the default bridge. Changes nothing yet (about 1 ms).
    ///
    /// # Errors
    /// Netlink cannot be used, the configuration is contradictory, or no subnet is free.
    pub fn open(config: NetworkConfig) -> Result<Self> {
        let route = Stash::new(Socket::route);
        let bridge = route.with(|socket| default_bridge::choose(&config, socket))?;
        let firewall = FirewallDriver::choose(config.firewall, config.firewall_v6, &config.bridge)?;
        let held = Held {
            networks: BTreeMap::from([(bridge.name.clone(), Space::new(bridge.clone())?)]),
            ports: Ports::new(port::ephemeral_range()),
            endpoints: BTreeMap::new(),
        };
        let pool = NamespacePool::new(config.pool_size);
        Ok(Self {
            config,
            bridge,
            route,
            firewall,
            pool,
            held: Mutex::new(held),
            ready: Mutex::default(),
            claim: OnceLock::new(),
            guarded: [AtomicBool::new(false), AtomicBool::new(false)],
            installed: AtomicBool::new(false),
            sweep: Sweep::default(),
            watch: OnceLock::new(),
        })
    }

    /// The default network as it stands.
    pub fn bridge(&self) -> &Network {
        &self.bridge
    }

    /// A subnet of a family for a new network: the first of the pools that overlaps nothing on this host.
    ///
    /// # Errors
    /// [`Error::NoSubnet`].
    pub fn free_subnet(&self, v6: bool) -> Result<IpNet> {
        let look = |error| Error::kernel("look at the host's routes", error);
        let routes = self.route.with(|socket| socket.routes().map_err(look))?;
        let held = self.held();
        let ours = held.networks.values().flat_map(|space| &space.network.pools).map(|pool| pool.subnet);
        default_bridge::free_subnet(
            &self.config,
            routes.into_iter().map(|(_, net)| net).chain(ours).collect(),
            v6,
        )
    }

    /// Whether the host has an interface of this name.
    ///
    /// # Errors
    /// Netlink cannot be used.
    pub fn host_has(&self, interface: &str) -> Result<bool> {
        let look = |error| Error::kernel("look at the host's interfaces", error);
        Ok(self.route.with(|socket| socket.link(interface).map_err(look))?.is_some())
    }

    /// Makes a network, with what it needs on the host.
    ///
    /// # Errors
    /// It clashes with another one, or the kernel refuses; nothing is left behind.
    pub fn create(&self, network: Network) -> Result<()> {
        let (name, interface) = (network.name.clone(), network.interface.clone());
        let was_there = self.host_has(&interface)?;
        self.add(network)?;
        if let Err(error) = self.index(&name) {
            if was_there {
                self.held().networks.remove(&name);
            } else if let Err(more) = self.remove(&name) {
                tracing::warn!(interface, error = %more, "a network that was not made leaves something behind");
            }
            return Err(error);
        }
        Ok(())
    }

    /// Makes a network known without changing the host: one that an earlier daemon made. Call it before
    /// [`Self::restore`].
    ///
    /// # Errors
    /// It clashes with another one.
    pub fn add(&self, network: Network) -> Result<()> {
        let space = Space::new(network)?;
        let network = &space.network;
        let mut held = self.held();
        let others: Vec<&Network> = held.networks.values().map(|space| &space.network).collect();
        let clash = |one: &Pool| {
            others.iter().any(|other| other.pools.iter().any(|p| ipam::overlaps(one.subnet, p.subnet)))
        };
        if network.pools.iter().any(clash) {
            return Err(Error::PoolOverlap);
        }
        self.route.with(|socket| network.driver.calls().validate(network, &others, socket))?;
        held.networks.insert(network.name.clone(), space);
        Ok(())
    }

    /// Removes a network that nobody is on, and what was made for it on the host.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn remove(&self, network: &str) -> Result<()> {
        let mut ready = self.ready();
        let Some(Space { network, .. }) = self.held().networks.remove(network) else { return Ok(()) };
        ready.remove(&network.name);
        if let Some(rules) = self.rules_of(&network) {
            self.change_rules(|| self.firewall.remove_bridge(&rules))?;
        }
        if self.held().networks.values().any(|other| other.network.interface == network.interface) {
            // Others lie on the same parent.
            return Ok(());
        }
        let retired = self.route.with(|socket| network.driver.calls().teardown(&network, socket))?;
        retired.into_iter().for_each(|index| self.sweep.put(index));
        Ok(())
    }

    /// The endpoints on all networks, ordered by id.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.held().endpoints.values().map(|(endpoint, _)| endpoint.clone()).collect()
    }

    /// Rebuilds addresses, ports and rules from the endpoints of live containers, and removes what else is left of
    /// ours on the host. Call it once after [`Self::open`], before the first [`Self::join`], even with an empty list.
    /// Returns the endpoints that could not be taken over wholly, with the reason; their containers go on running.
    ///
    /// # Errors
    /// The host's side could not be set up at all.
    pub fn restore(&self, live: &[Endpoint]) -> Result<Vec<(String, Error)>> {
        match self.claim() {
            // Nothing there is ours, and every join will say so.
            Err(error @ Error::BridgeInUse(_)) if live.is_empty() => {
                tracing::warn!(%error, "no bridge network");
                return Ok(Vec::new());
            }
            claimed => claimed?,
        }
        let look = |error| Error::kernel("look at the host's interfaces", error);
        let links = self.route.with(|socket| socket.links().map_err(look))?;
        links.iter().filter(|link| is_retired(link)).for_each(|link| self.sweep.put(link.index));
        let mut complaints = Vec::new();
        for endpoint in live {
            if let Err(error) = self.take_over(endpoint) {
                complaints.push((endpoint.id.clone(), error));
            }
        }
        let names: Vec<String> = self.held().networks.keys().cloned().collect();
        let there = self.host_has(&self.bridge.interface)?;
        if !there && live.is_empty() && names.len() == 1 {
            // An earlier daemon's rules would go on filtering for a bridge that is gone.
            self.firewall.teardown()?;
            return Ok(complaints);
        }
        for name in names {
            let needed = name != self.bridge.name
                || there
                || live.iter().any(|endpoint| endpoint.network == self.bridge.name);
            if needed && let Err(error) = self.index(&name) {
                if name == self.bridge.name {
                    return Err(error);
                }
                // The others work; a join to this one tries again and says so.
                tracing::error!(network = name, %error, "cannot set up a network");
            }
        }
        Ok(complaints)
    }

    /// From now on what others remove of ours on the host comes back at once. Call it after [`Self::restore`].
    ///
    /// # Errors
    /// The kernel does not tell of changes.
    pub fn watch(self: &Arc<Self>) -> Result<()> {
        let watch = Watch::start(self)?;
        // A second one would only do the same.
        let _ = self.watch.set(watch);
        Ok(())
    }

    /// A new network stack with nothing but `lo`, up.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn sandbox(&self) -> Result<Sandbox> {
        Ok(Sandbox { namespace: self.pool.take()? })
    }

    /// A namespace with nothing but `lo`, up: network mode `none`.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn empty_namespace(&self) -> Result<OwnedFd> {
        Ok(self.pool.take()?.fd)
    }

    /// Removes our table and all that was made for networks: for an uninstall and for tests, not for a daemon's stop.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn teardown(&self) -> Result<()> {
        self.claim()?;
        let mut ready = self.ready();
        ready.clear();
        self.installed.store(false, Ordering::Relaxed);
        self.firewall.teardown()?;
        let networks: Vec<Network> =
            self.held().networks.values().map(|space| space.network.clone()).collect();
        networks.iter().try_for_each(|network| {
            let retired = self.route.with(|socket| network.driver.calls().teardown(network, socket))?;
            retired.into_iter().for_each(sweep::remove);
            Ok(())
        })
    }

    /// The index of a network's interface on the host, after setting up the host if that was not done yet.
    fn index(&self, network: &str) -> Result<u32> {
        let mut ready = self.ready();
        if let Some(index) = ready.get(network) {
            return Ok(*index);
        }
        let found = self.held().networks.get(network).map(|space| space.network.clone());
        let network = found.ok_or_else(|| Error::NoNetwork(network.to_owned()))?;
        let driver = network.driver.calls();
        self.claim()?;
        let index = self.route.with(|socket| driver.setup(&network, socket))?;
        if network.bridge().is_some() {
            self.let_through(&network)?;
        }
        let mut live = self.endpoints();
        live.retain(|endpoint| endpoint.network == network.name);
        self.route.with(|socket| driver.reconcile(index, &live, socket))?;
        ready.insert(network.name.clone(), index);
        Ok(index)
    }

    fn claim(&self) -> Result<()> {
        if self.claim.get().is_none() {
            // Of two threads that claim at once one finds it taken, by the other: so it looks again.
            match default_bridge::claim(&self.bridge.interface) {
                Ok(claim) => drop(self.claim.set(claim)),
                Err(error) if self.claim.get().is_none() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Rules, and last the forwarding, so that the host never forwards unguarded.
    fn let_through(&self, network: &Network) -> Result<()> {
        let turn_on = |v6| self.config.ip_forward && network.pool(v6).is_some() && !forwards(v6);
        let turn_on = [turn_on(false), turn_on(true)];
        let installed = self.installed.load(Ordering::Relaxed);
        let mut new_guard = false;
        for v6 in [false, true] {
            let guarded = &self.guarded[usize::from(v6)];
            let there =
                if installed { guarded.load(Ordering::Relaxed) } else { self.firewall.has_guard(v6)? };
            let guard = turn_on[usize::from(v6)] || there;
            new_guard |= guarded.swap(guard, Ordering::Relaxed) != guard;
        }
        match self.rules_of(network) {
            Some(rules) if installed && !new_guard => {
                self.change_rules(|| self.firewall.add_bridge(&rules))?;
            }
            _ => self.install()?,
        }
        for v6 in [false, true] {
            if turn_on[usize::from(v6)] {
                forward(v6)?;
            }
        }
        for chain in self.firewall.overruled_by().unwrap_or_default() {
            tracing::warn!(
                interface = network.interface,
                chain,
                "another firewall drops forwarded packets (policy drop): containers reach nothing outside until it has a rule that accepts this interface"
            );
        }
        Ok(())
    }

    /// Changes our table, whatever its size, by what is new; should that fail, because somebody else was there too, it
    /// is made anew.
    fn change_rules(&self, change: impl FnOnce() -> Result<()>) -> Result<()> {
        if !self.installed.load(Ordering::Relaxed) {
            return self.install();
        }
        match change() {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::debug!(%error, "our table is made anew");
                self.install()
            }
        }
    }

    /// All rules of all endpoints, in one transaction.
    fn install(&self) -> Result<()> {
        let held = self.held();
        let bridges = held.networks.values().map(|space| &space.network);
        let rules: Vec<_> = bridges.filter_map(|network| self.rules_of(network)).collect();
        let ports = firewall::Ports::of(held.endpoints.values().map(|(endpoint, _)| endpoint));
        let guards = [0, 1].map(|family: usize| self.guarded[family].load(Ordering::Relaxed));
        // Held until it is done, so that of two installations the later one knows more.
        self.firewall.install(&rules, &ports, guards)?;
        self.installed.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn rules_of(&self, network: &Network) -> Option<BridgeRules> {
        let options = network.bridge()?;
        let subnets = network.pools.iter().map(|pool| pool.subnet);
        let mode = |net: IpNet| (net, network.gateway_mode(matches!(net, IpNet::V6(_))));
        Some(BridgeRules {
            interface: network.interface.clone(),
            subnets: subnets.map(mode).collect(),
            icc: options.icc,
            internal: network.internal,
            masquerade: options.ip_masq && !network.internal,
            direct_routing: self.config.direct_routing,
            trusted: options.trusted_interfaces.clone(),
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
