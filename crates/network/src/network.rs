//! What a network is: its driver, its address spaces and its options.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

/// A network as the host is to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its name; an [`crate::Endpoint`] says it.
    pub name: String,
    /// 64 hex digits, for messages and for the names of what is made for it.
    pub id: String,
    /// Who makes it.
    pub driver: Driver,
    /// On the host: a bridge's own interface, or the parent of containers' interfaces (`eth0`, `eth0.10`).
    pub interface: String,
    /// It was not there before this network (a bridge; a parent that is a VLAN's interface), and goes with it.
    pub owns_interface: bool,
    /// Address spaces, in the order in which addresses are taken. A bridge has at most one of each family.
    pub pools: Vec<Pool>,
    /// Nothing on it reaches another network, and no port is published.
    pub internal: bool,
    /// Bytes; 0 is the parent's (macvlan, ipvlan).
    pub mtu: u32,
}

/// An address space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// All of it.
    pub subnet: IpNet,
    /// The part that automatic addresses come from; `None` is all of it.
    pub range: Option<IpNet>,
    /// Addresses that no container gets: they belong to machines of the user's.
    pub reserved: Vec<IpAddr>,
    /// The containers' default gateway; on a bridge the host's own address. `None`: there is none.
    pub gateway: Option<IpAddr>,
    /// The containers' default gateway where it is another machine on a bridge (`default-gateway`).
    pub way_out: Option<IpAddr>,
}

/// Who makes a network, with that one's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Driver {
    /// A bridge on the host, and a pair of interfaces for each container.
    Bridge(BridgeOptions),
    /// Interfaces with hardware addresses of their own on one of the host's.
    Macvlan(MacvlanMode),
    /// Interfaces with the hardware address of one of the host's.
    Ipvlan(IpvlanMode, IpvlanFlag),
}

/// Options of a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeOptions {
    /// Containers may talk to each other.
    pub icc: bool,
    /// What leaves takes the host's address (in [`GatewayMode::Nat`] and [`GatewayMode::NatUnprotected`]).
    pub ip_masq: bool,
    /// Host address for ports published without one.
    pub default_host_ip: IpAddr,
    /// The host takes no IPv4 address on it.
    pub inhibit_ipv4: bool,
    /// How IPv4 leads in and out.
    pub gateway_mode_v4: GatewayMode,
    /// How IPv6 does.
    pub gateway_mode_v6: GatewayMode,
    /// Host interfaces from which published ports are reached at the containers' own addresses.
    pub trusted_interfaces: Vec<String>,
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self {
            icc: true,
            ip_masq: true,
            default_host_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            inhibit_ipv4: false,
            gateway_mode_v4: GatewayMode::Nat,
            gateway_mode_v6: GatewayMode::Nat,
            trusted_interfaces: Vec::new(),
        }
    }
}

/// How packets of one family get into and out of a bridge (`com.docker.network.bridge.gateway_mode_ipv4`, `_ipv6`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GatewayMode {
    /// By translation: published ports at the host's addresses.
    #[default]
    Nat,
    /// By translation, and every port also at the containers' own addresses.
    NatUnprotected,
    /// At the containers' own addresses alone, published ports only.
    Routed,
    /// Not at all: the host has no address there (internal networks only).
    Isolated,
}

/// How interfaces on one parent reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MacvlanMode {
    /// Directly.
    #[default]
    Bridge,
    /// Not at all.
    Private,
    /// Through the switch outside.
    Vepa,
    /// There is only one.
    Passthru,
}

/// On which layer a parent passes packets on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IpvlanMode {
    /// As a switch.
    #[default]
    L2,
    /// As a router.
    L3,
    /// As a router, through the host's firewall.
    L3s,
}

/// How interfaces on one parent reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IpvlanFlag {
    /// Directly.
    #[default]
    Bridge,
    /// Not at all.
    Private,
    /// Through the switch outside.
    Vepa,
}

impl Network {
    /// The options of a bridge.
    pub fn bridge(&self) -> Option<&BridgeOptions> {
        match &self.driver {
            Driver::Bridge(options) => Some(options),
            Driver::Macvlan(_) | Driver::Ipvlan(..) => None,
        }
    }

    /// The first address space of a family.
    pub fn pool(&self, v6: bool) -> Option<&Pool> {
        self.pools.iter().find(|pool| matches!(pool.subnet, IpNet::V6(_)) == v6)
    }

    /// How a family's packets get into and out of it.
    pub(crate) fn gateway_mode(&self, v6: bool) -> GatewayMode {
        match self.bridge() {
            Some(options) if v6 => options.gateway_mode_v6,
            Some(options) => options.gateway_mode_v4,
            None => GatewayMode::Routed,
        }
    }

    /// The host's own addresses on a bridge.
    pub(crate) fn host_addresses(&self) -> Vec<IpNet> {
        let inhibit = self.bridge().is_some_and(|bridge| bridge.inhibit_ipv4);
        let own = |pool: &Pool| {
            let v6 = matches!(pool.subnet, IpNet::V6(_));
            if (inhibit && !v6) || self.gateway_mode(v6) == GatewayMode::Isolated {
                return None;
            }
            IpNet::new(pool.gateway?, pool.subnet.prefix_len()).ok()
        };
        self.pools.iter().filter_map(own).collect()
    }

    /// Whether everything is on the link, so that the way out needs no gateway.
    pub(crate) fn on_link(&self) -> bool {
        matches!(self.driver, Driver::Ipvlan(IpvlanMode::L3 | IpvlanMode::L3s, _))
    }
}
