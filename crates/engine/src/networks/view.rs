//! Networks as they are shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkDetails {
    /// Name.
    pub name: String,
    /// 64 hex digits.
    pub id: String,
    /// RFC 3339 with nanoseconds.
    pub created: String,
    /// `local`; `global` if the user says so.
    pub scope: String,
    /// `bridge`, `host`, `null`, `macvlan`, `ipvlan`.
    pub driver: String,
    /// IPv4 is on.
    pub enable_ipv4: bool,
    /// IPv6 is on.
    pub enable_ipv6: bool,
    /// Subnets; `None` is Docker's `null`.
    pub ipam: Option<Vec<IpamPool>>,
    /// Options of the address management.
    pub ipam_options: Option<BTreeMap<String, String>>,
    /// No way out.
    pub internal: bool,
    /// Containers may be attached by hand (cluster).
    pub attachable: bool,
    /// Routing mesh (cluster).
    pub ingress: bool,
    /// A template for other networks.
    pub config_only: bool,
    /// The template it was made from; empty without one.
    pub config_from: String,
    /// Driver options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Attached running containers by id (only from `inspect`).
    pub containers: BTreeMap<String, NetworkMember>,
}

/// One subnet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IpamPool {
    /// CIDR.
    pub subnet: String,
    /// CIDR; empty when not given.
    pub ip_range: String,
    /// Address; empty when not given.
    pub gateway: String,
    /// Addresses of machines that are not containers, by name.
    #[serde(default)]
    pub aux_addresses: BTreeMap<String, String>,
}

/// One container on a network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetworkMember {
    /// Container name without slash.
    pub name: String,
    /// Endpoint id.
    pub endpoint_id: String,
    /// Hardware address.
    pub mac_address: String,
    /// CIDR.
    pub ipv4_address: String,
    /// CIDR; empty without IPv6.
    pub ipv6_address: String,
}
