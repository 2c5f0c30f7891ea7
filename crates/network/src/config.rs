//! What the daemon's configuration says about the default bridge (`daemon.json`: `bridge`, `bip`, `mtu`, ...).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::Relay;

/// Not `docker0`, so that a real Docker may live beside us.
pub(crate) const DEFAULT_BRIDGE: &str = "wharf0";

/// Who filters and translates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirewallKind {
    /// Our own nf_tables table where the kernel has nf_tables, nothing elsewhere (then publishing is an error).
    #[default]
    Auto,
    /// Our own nf_tables table; a kernel without it is an error.
    Nft,
    /// We touch no firewall (`"iptables": false`): no masquerade, no isolation, no published ports.
    None,
}

/// Whose rules published ports obey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PublishPolicy {
    /// Docker's: they are led past what the host lets in.
    #[default]
    Docker,
    /// The host's own: what its firewall does not let in to the host does not come in.
    HostFirewall,
}

/// Settings of the default network, as in `daemon.json`.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// `bridge`: name of the bridge interface. Each daemon in a network namespace needs its own.
    pub bridge: String,
    /// `bip`: the bridge's own address and its subnet.
    pub bip: Option<Ipv4Net>,
    /// `fixed-cidr`: the part of the subnet that containers get addresses from.
    pub fixed_cidr: Option<Ipv4Net>,
    /// `default-gateway`: the way out of containers, if it is not the bridge's own address.
    pub default_gateway: Option<Ipv4Addr>,
    /// `default-gateway-v6`: as `default_gateway`.
    pub default_gateway_v6: Option<Ipv6Addr>,
    /// The subnet chosen by an earlier run, which the caller keeps: taken if `bip` is absent and it is still free.
    pub subnet: Option<IpNet>,
    /// `ipv6`: the default network has IPv6 too.
    pub ipv6: bool,
    /// `bip6`: as `bip`.
    pub bip6: Option<Ipv6Net>,
    /// `fixed-cidr-v6`: as `fixed-cidr`; without `bip6` also the subnet.
    pub fixed_cidr_v6: Option<Ipv6Net>,
    /// As `subnet`.
    pub subnet6: Option<IpNet>,
    /// `default-address-pools`: where a subnet is looked for, with the prefix length to cut; for a family that is not
    /// among them Docker's defaults.
    pub address_pools: Vec<(IpNet, u8)>,
    /// What makes this host's generated IPv6 subnets its own (RFC 4193, section 3.2.1). Must not change.
    pub global_id: [u8; 5],
    /// Id of the default network, for messages.
    pub network_id: String,
    /// `mtu`, bytes; 0 is 1500.
    pub mtu: u32,
    /// `icc`: containers on the default bridge may talk to each other.
    pub icc: bool,
    /// `ip-masq`: what leaves the bridge takes the host's address.
    pub ip_masq: bool,
    /// `ip-forward`: turn on the kernel's forwarding.
    pub ip_forward: bool,
    /// `ip`: host address for ports published without one.
    pub default_host_ip: IpAddr,
    /// `iptables`, `firewall-backend`.
    pub firewall: FirewallKind,
    /// `ip6tables`: the same for IPv6.
    pub firewall_v6: bool,
    /// `allow-direct-routing`: published ports are reached at containers' own addresses too.
    pub direct_routing: bool,
    /// `publish-policy`.
    pub publish_policy: PublishPolicy,
    /// `userland-proxy`: who carries what arrives on IPv6 host addresses. `None`: ports are published on IPv4 only.
    pub proxy: Option<Relay>,
    /// Namespaces kept ready, at most this many; 0 makes each on demand.
    pub pool_size: usize,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            bridge: DEFAULT_BRIDGE.to_owned(),
            bip: None,
            fixed_cidr: None,
            default_gateway: None,
            default_gateway_v6: None,
            subnet: None,
            ipv6: false,
            bip6: None,
            fixed_cidr_v6: None,
            subnet6: None,
            address_pools: Vec::new(),
            global_id: [0; 5],
            network_id: String::new(),
            mtu: 0,
            icc: true,
            ip_masq: true,
            ip_forward: true,
            default_host_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            firewall: FirewallKind::Auto,
            firewall_v6: true,
            direct_routing: false,
            publish_policy: PublishPolicy::Docker,
            proxy: None,
            pool_size: 4,
        }
    }
}
