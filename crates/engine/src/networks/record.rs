//! What is kept on disk about a network: a JSON document in the store, by id and name.
//!
//! Members may be added (with `#[serde(default)]`), never renamed: an older daemon's records are read.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use types::{Error, Result};

use super::{IpamPool, options};
use crate::Timestamp;

/// Who makes a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Driver {
    /// A bridge on the host.
    #[default]
    Bridge,
    /// The host's own network stack.
    Host,
    /// Nothing but `lo`.
    Null,
    /// Interfaces on one of the host's, with hardware addresses of their own.
    Macvlan,
    /// With that one's hardware address.
    Ipvlan,
}

impl Driver {
    /// As users know it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::Null => "null",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
        }
    }
}

/// One network. The default bridge has only its subnet here: the daemon's settings say the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// When it was made.
    pub(crate) created: Timestamp,
    /// The IPv4 subnet in use, CIDR.
    #[serde(default)]
    pub(crate) subnet: Option<String>,
    /// The IPv6 subnet in use, CIDR.
    #[serde(default)]
    pub(crate) subnet6: Option<String>,
    /// What the user asked for; absent for the predefined networks.
    #[serde(default)]
    pub(crate) custom: Option<Custom>,
}

/// A network that a user made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Custom {
    /// Who makes it.
    pub(crate) driver: Driver,
    /// Leads nowhere.
    pub(crate) internal: bool,
    /// For clusters; kept and shown.
    pub(crate) attachable: bool,
    /// Driver options.
    pub(crate) options: BTreeMap<String, String>,
    /// Labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Options of the address management; kept and shown.
    #[serde(default)]
    pub(crate) ipam_options: Option<BTreeMap<String, String>>,
    /// Address spaces, in the order in which they are shown.
    #[serde(default)]
    pub(crate) pools: Vec<KeptPool>,
    /// As [`KeptPool::shown`], in a record of a daemon that knew one pool only.
    #[serde(default, skip_serializing)]
    pub(super) pool: IpamPool,
    /// As [`KeptPool::fixed`].
    #[serde(default, skip_serializing)]
    pub(super) fixed_subnet: bool,
    /// As [`KeptPool::gateway`].
    #[serde(default, skip_serializing)]
    pub(super) gateway: Option<IpAddr>,
    /// The bridge's interface on the host, or the parent.
    pub(crate) interface: String,
    /// The parent was made for this network.
    #[serde(default)]
    pub(crate) owns_interface: bool,
    /// The bridge was there before this network.
    #[serde(default)]
    pub(crate) found_bridge: bool,
    /// IPv4 is off.
    #[serde(default)]
    pub(crate) without_ipv4: bool,
    /// IPv6 is on.
    #[serde(default)]
    pub(crate) ipv6: bool,
    /// `global` if the user says so; nothing else comes of it.
    #[serde(default)]
    pub(crate) scope: String,
    /// A template for other networks: nobody is ever on it.
    #[serde(default)]
    pub(crate) config_only: bool,
    /// The template it was made from.
    #[serde(default)]
    pub(crate) config_from: String,
}

/// An address space.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct KeptPool {
    /// As shown to users: what they asked for, or what was chosen.
    pub(crate) shown: IpamPool,
    /// The user chose the subnet, so addresses may be chosen too.
    pub(crate) fixed: bool,
    /// The gateway in use.
    pub(crate) gateway: Option<IpAddr>,
}

impl KeptPool {
    pub(crate) fn is_v6(&self) -> bool {
        self.subnet().is_some_and(|subnet| matches!(subnet, IpNet::V6(_)))
    }

    pub(crate) fn subnet(&self) -> Option<IpNet> {
        self.shown.subnet.parse().ok()
    }
}

impl Custom {
    /// Brings a record of an older daemon to today's shape.
    pub(crate) fn modernised(mut self) -> Self {
        if self.pools.is_empty() && !self.pool.subnet.is_empty() {
            let shown = std::mem::take(&mut self.pool);
            self.pools.push(KeptPool { shown, fixed: self.fixed_subnet, gateway: self.gateway });
        }
        self
    }

    /// The pools of families that are on.
    pub(crate) fn used_pools(&self) -> impl Iterator<Item = &KeptPool> {
        self.pools.iter().filter(|pool| if pool.is_v6() { self.ipv6 } else { !self.without_ipv4 })
    }

    /// As the network crate takes it.
    pub(crate) fn network(&self, id: &str, name: &str) -> Result<network::Network> {
        let bad = |what: &str, text: &str| Error::invalid(format!("invalid {what}: {text}"));
        let pool = |kept: &KeptPool| -> Result<network::Pool> {
            let shown = &kept.shown;
            let range = match shown.ip_range.as_str() {
                "" => None,
                text => Some(text.parse().map_err(|_| bad("ip-range", text))?),
            };
            let reserved =
                shown.aux_addresses.values().map(|a| a.parse().map_err(|_| bad("auxiliary address", a)));
            Ok(network::Pool {
                subnet: kept.subnet().ok_or_else(|| bad("subnet", &shown.subnet))?,
                range,
                reserved: reserved.collect::<Result<_>>()?,
                gateway: kept.gateway,
                way_out: None,
            })
        };
        Ok(network::Network {
            name: name.to_owned(),
            id: id.to_owned(),
            driver: options::driver(self.driver, &self.options)?,
            interface: self.interface.clone(),
            owns_interface: self.owns_interface || (self.driver == Driver::Bridge && !self.found_bridge),
            pools: self.used_pools().map(pool).collect::<Result<_>>()?,
            internal: self.internal,
            mtu: options::mtu(self.driver, &self.options)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_an_older_daemon_is_understood() {
        let old = r#"{"driver":"bridge","internal":false,"attachable":false,"options":{},"labels":{},
            "pool":{"subnet":"10.9.0.0/24","ip_range":"","gateway":"10.9.0.254"},"fixed_subnet":true,
            "interface":"br-1","gateway":"10.9.0.254"}"#;
        let custom: Custom = serde_json::from_str(old).unwrap();
        let custom = custom.modernised();
        let again: Custom = serde_json::from_str(&serde_json::to_string(&custom).unwrap()).unwrap();
        for custom in [custom, again.modernised()] {
            let network = custom.network("id", "n").unwrap();
            assert_eq!(network.pools.len(), 1);
            assert_eq!(network.pools[0].gateway, "10.9.0.254".parse().ok());
            assert!(custom.pools[0].fixed && network.bridge().is_some());
        }
    }
}
