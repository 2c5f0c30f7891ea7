//! What the daemon was told: `daemon.json` and flags, as far as the domain needs it.

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use network::PublishPolicy;
use types::config::{LogConfig, Ulimit};

use crate::live::Live;

/// A base subnet, and the prefix length of the networks that it is cut into.
pub type AddressPool = (ipnet::IpNet, u8);

/// The daemon's settings. `Settings::default()` is a daemon without configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Persistent state (`data-root`).
    pub data_root: PathBuf,
    /// State that does not outlive a boot (`exec-root`).
    pub exec_root: PathBuf,
    /// How layers are kept (`storage-driver`); empty: the best that works.
    pub storage_driver: String,
    /// Default log driver and options (`log-driver`, `log-opts`).
    pub log: LogConfig,
    /// Cgroup under which containers live, relative to each hierarchy (`cgroup-parent`).
    pub cgroup_parent: String,
    /// Cgroups are units of systemd's, and `cgroup_parent` is a slice (`exec-opts`: `native.cgroupdriver`).
    pub systemd_cgroup: bool,
    /// Default limits of processes.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Run an init in every container (`init`).
    pub init: bool,
    /// The init bind-mounted into containers; our own static binary.
    pub init_path: PathBuf,
    /// Default seccomp profile: empty is the built-in one, `unconfined`, or a file.
    pub seccomp_profile: String,
    /// `no-new-privileges` for every container.
    pub no_new_privileges: bool,
    /// Default name servers.
    pub dns: Vec<String>,
    /// Default resolver options.
    pub dns_options: Vec<String>,
    /// Default search domains.
    pub dns_search: Vec<String>,
    /// Experimental features, for `info`.
    pub experimental: bool,
    /// The default bridge.
    pub bridge: BridgeSettings,
    /// What changes while the daemon runs.
    pub live: Live,
    /// Version of this build.
    pub version: String,
    /// Commit of this build.
    pub git_commit: String,
    /// When it was built, RFC 3339.
    pub build_time: String,
}

/// The default bridge network.
#[derive(Debug, Clone)]
pub struct BridgeSettings {
    /// Interface name; `none` turns the default network off.
    pub name: String,
    /// Address and prefix of the bridge (`bip`); `None` picks one.
    pub bip: Option<String>,
    /// Subnet containers get addresses from (`fixed-cidr`).
    pub fixed_cidr: Option<String>,
    /// The default bridge has IPv6 too (`ipv6`).
    pub ipv6: bool,
    /// As `bip` (`bip6`).
    pub bip6: Option<String>,
    /// As `fixed_cidr` (`fixed-cidr-v6`).
    pub fixed_cidr_v6: Option<String>,
    /// Where subnets are looked for, with the prefix length to cut (`default-address-pools`).
    pub address_pools: Vec<AddressPool>,
    /// Options of networks that do not say otherwise, by driver (`default-network-opts`).
    pub default_network_options: BTreeMap<String, BTreeMap<String, String>>,
    /// Own firewall rules for IPv6 (`ip6tables`).
    pub firewall_v6: bool,
    /// Published ports are reached at containers' own addresses too (`allow-direct-routing`).
    pub direct_routing: bool,
    /// Whose rules published ports obey (`publish-policy`).
    pub publish_policy: PublishPolicy,
    /// MTU; 0 is the default route's.
    pub mtu: u32,
    /// Containers may talk to each other (`icc`).
    pub icc: bool,
    /// Masquerade (`ip-masq`).
    pub ip_masq: bool,
    /// Turn on forwarding (`ip-forward`).
    pub ip_forward: bool,
    /// Default host address of published ports (`ip`).
    pub host_ip: String,
    /// Own firewall rules (`iptables`).
    pub firewall: bool,
    /// Userland proxy for published ports (`userland-proxy`).
    pub userland_proxy: bool,
}

impl Default for BridgeSettings {
    fn default() -> Self {
        Self {
            name: "wharf0".to_owned(),
            bip: None,
            fixed_cidr: None,
            ipv6: false,
            bip6: None,
            fixed_cidr_v6: None,
            address_pools: Vec::new(),
            default_network_options: BTreeMap::new(),
            firewall_v6: true,
            direct_routing: false,
            publish_policy: PublishPolicy::Docker,
            mtu: 0,
            icc: true,
            ip_masq: true,
            ip_forward: true,
            host_ip: "0.0.0.0".to_owned(),
            firewall: true,
            userland_proxy: true,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_root: "/var/lib/wharf".into(),
            exec_root: "/run/wharf".into(),
            storage_driver: String::new(),
            log: LogConfig { driver: "json-file".to_owned(), config: None },
            cgroup_parent: "/docker".to_owned(),
            systemd_cgroup: false,
            ulimits: BTreeMap::new(),
            init: false,
            init_path: std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into()),
            seccomp_profile: String::new(),
            no_new_privileges: false,
            dns: Vec::new(),
            dns_options: Vec::new(),
            dns_search: Vec::new(),
            experimental: false,
            bridge: BridgeSettings::default(),
            live: Live::default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            git_commit: String::new(),
            build_time: String::new(),
        }
    }
}
