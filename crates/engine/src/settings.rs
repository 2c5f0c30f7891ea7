//! What the daemon was told: `daemon.json` and flags, as far as the domain needs it.

use std::collections::BTreeMap;
use std::net::IpAddr;
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
    /// On the way to registries.
    pub proxies: ProxySettings,
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
    /// Another machine that leads containers out (`default-gateway`).
    pub default_gateway: Option<String>,
    /// As `default_gateway` (`default-gateway-v6`).
    pub default_gateway_v6: Option<String>,
    /// What `host-gateway` in an extra host stands for, at most one address of each family (`host-gateway-ips`); empty is the
    /// default bridge's own.
    pub host_gateways: Vec<IpAddr>,
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
            default_gateway: None,
            default_gateway_v6: None,
            host_gateways: Vec::new(),
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
            proxies: ProxySettings::from_environment(),
            live: Live::default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            git_commit: String::new(),
            build_time: String::new(),
        }
    }
}

/// Proxies on the way to registries. Empty: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// For plain HTTP (`http-proxy`, `HTTP_PROXY`).
    pub http: String,
    /// For HTTPS (`https-proxy`, `HTTPS_PROXY`).
    pub https: String,
    /// Hosts that are reached directly, comma-separated (`no-proxy`, `NO_PROXY`).
    pub none: String,
}

impl ProxySettings {
    /// What the environment says, in capitals or not.
    pub fn from_environment() -> Self {
        let read = |name: &str| {
            let found = [name.to_owned(), name.to_lowercase()]
                .into_iter()
                .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
            found.unwrap_or_default()
        };
        Self { http: read("HTTP_PROXY"), https: read("HTTPS_PROXY"), none: read("NO_PROXY") }
    }

    /// A proxy's address with neither user nor password, for people to see.
    pub fn masked(url: &str) -> String {
        let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
        let end = rest.find('/').unwrap_or(rest.len());
        match rest[..end].rfind('@') {
            Some(at) => format!("{scheme}://xxxxx:xxxxx{}", &rest[at..]),
            None => url.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_sees_the_password_of_a_proxy() {
        for (url, expect) in [
            ("http://me:secret@proxy:3128/x@y", "http://xxxxx:xxxxx@proxy:3128/x@y"),
            ("http://proxy:3128/x@y", "http://proxy:3128/x@y"),
            ("proxy:3128", "proxy:3128"),
        ] {
            assert_eq!(ProxySettings::masked(url), expect);
        }
    }
}
