//! What is kept on disk about a network: a JSON document in the store, by id and name.
//!
//! Members may be added (with `#[serde(default)]`), never renamed: an older daemon's records are read.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};
use types::{Error, Result};

use super::IpamPool;
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
}

impl Driver {
    /// As users know it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::Null => "null",
        }
    }
}

/// One network. The default bridge has only its subnet here: the daemon's settings say the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// When it was made.
    pub(crate) created: Timestamp,
    /// The subnet in use, CIDR.
    #[serde(default)]
    pub(crate) subnet: Option<String>,
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
    /// As shown to users: what they asked for, or what was chosen.
    pub(crate) pool: IpamPool,
    /// The user chose the subnet, so addresses may be chosen too.
    pub(crate) fixed_subnet: bool,
    /// The bridge's interface on the host.
    pub(crate) interface: String,
    /// The gateway in use.
    pub(crate) gateway: Option<Ipv4Addr>,
}

/// The prefix of bridge options.
const BRIDGE: &str = "com.docker.network.bridge.";
const MTU: &str = "com.docker.network.driver.mtu";
const DEFAULT_MTU: u32 = 1500;

impl Custom {
    /// An option of the bridge driver, by the last part of its name.
    pub(crate) fn bridge_option(&self, name: &str) -> Option<&str> {
        self.options.get(&format!("{BRIDGE}{name}")).map(String::as_str)
    }

    fn flag(&self, name: &str, default: bool) -> Result<bool> {
        match self.bridge_option(name) {
            None => Ok(default),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some(other) => Err(Error::invalid(format!(
                "invalid value for {BRIDGE}{name}: strconv.ParseBool: parsing {other:?}: invalid syntax"
            ))),
        }
    }

    /// As the network crate takes it. Also the check of the options.
    pub(crate) fn bridge(&self, name: &str, subnet: &str) -> Result<network::Bridge> {
        let bad = |what: &str, text: &str| Error::invalid(format!("invalid {what}: {text}"));
        let subnet: ipnet::Ipv4Net = subnet.parse().map_err(|_| bad("subnet", subnet))?;
        let range = match self.pool.ip_range.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| bad("ip-range", text))?),
        };
        let mtu = match self.options.get(MTU).map(String::as_str) {
            None => DEFAULT_MTU,
            Some(text) => {
                text.parse().ok().filter(|mtu| (68..=65535).contains(mtu)).ok_or_else(|| bad(MTU, text))?
            }
        };
        let host_ip = match self.bridge_option("host_binding_ipv4") {
            None | Some("") => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Some(text) => text.parse().map_err(|_| bad("host_binding_ipv4", text))?,
        };
        for (option, fine) in [("gateway_mode_ipv4", "nat"), ("inhibit_ipv4", "false")] {
            if let Some(value) = self.bridge_option(option)
                && value != fine
                && !value.is_empty()
            {
                return Err(Error::not_implemented(format!(
                    "{BRIDGE}{option}={value} is not implemented yet"
                )));
            }
        }
        let reserved =
            self.pool.aux_addresses.values().map(|a| a.parse().map_err(|_| bad("auxiliary address", a)));
        let first = || subnet.hosts().next().unwrap_or(subnet.network());
        Ok(network::Bridge {
            network: name.to_owned(),
            interface: self.interface.clone(),
            subnet,
            range,
            reserved: reserved.collect::<Result<_>>()?,
            gateway: self.gateway.unwrap_or_else(first),
            internal: self.internal,
            mtu,
            icc: self.flag("enable_icc", true)?,
            ip_masq: self.flag("enable_ip_masquerade", true)?,
            default_host_ip: host_ip,
        })
    }
}
