//! Networks: the predefined `bridge`, `host` and `none` (user-defined ones come with part D).

use std::collections::BTreeMap;

use types::Result;

use crate::Filters;
use crate::error::later;

/// One network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkDetails {
    /// Name.
    pub name: String,
    /// 64 hex digits.
    pub id: String,
    /// RFC 3339 with nanoseconds.
    pub created: String,
    /// `local`.
    pub scope: &'static str,
    /// `bridge`, `host`, `null`.
    pub driver: String,
    /// IPv4 is on.
    pub enable_ipv4: bool,
    /// IPv6 is on.
    pub enable_ipv6: bool,
    /// Subnets; `None` is Docker's `null`.
    pub ipam: Option<Vec<IpamPool>>,
    /// No way out.
    pub internal: bool,
    /// Containers may be attached by hand (cluster).
    pub attachable: bool,
    /// Routing mesh (cluster).
    pub ingress: bool,
    /// Driver options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Attached running containers by id (only from `inspect`).
    pub containers: BTreeMap<String, NetworkMember>,
}

/// One subnet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IpamPool {
    /// CIDR.
    pub subnet: String,
    /// CIDR; empty when not given.
    pub ip_range: String,
    /// Address; empty when not given.
    pub gateway: String,
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

/// All networks of this daemon. A cheap handle.
#[derive(Debug, Clone)]
pub struct Networks {}

impl Networks {
    /// Those that match (`driver id label name scope type dangling`), without their members.
    pub async fn list(&self, _filters: &Filters) -> Result<Vec<NetworkDetails>> {
        Err(later("network list"))
    }
    /// One by name, id or prefix of an id, with its members; 404 `network x not found`.
    pub async fn inspect(&self, _name: &str) -> Result<NetworkDetails> {
        Err(later("network inspect"))
    }
    /// Removes one. 403 for predefined ones; user-defined networks are not implemented yet.
    pub async fn remove(&self, _name: &str) -> Result<()> {
        Err(later("network remove"))
    }
}
