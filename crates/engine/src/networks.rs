//! Networks: the predefined `bridge`, `host` and `none` (user-defined ones come with part D).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use store::{RecordKind, Store};
use types::{ContainerId, Error, Result};

use crate::error::{later, no_such_network};
use crate::settings::BridgeSettings;
use crate::{Filters, Timestamp, random};

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
pub struct Networks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    driver: network::Networks,
    /// The predefined ones, in Docker's order.
    known: Vec<Known>,
    // A std mutex: held for map operations only.
    members: Mutex<BTreeMap<ContainerId, (String, NetworkMember)>>,
}

#[derive(Debug)]
struct Known {
    name: &'static str,
    driver: &'static str,
    id: String,
    created: Timestamp,
}

/// What the store keeps of a predefined network.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Kept {
    created: Timestamp,
    #[serde(default)]
    subnet: Option<String>,
}

const PREDEFINED: [(&str, &str); 3] = [("host", "host"), ("bridge", "bridge"), ("none", "null")];
const LIST_FILTERS: &[&str] = &["dangling", "driver", "id", "label", "label!", "name", "scope", "type"];

impl Networks {
    /// Opens the predefined networks; makes their ids at the first start. Blocks. The host is changed by the first
    /// container that needs it, except for what `network::Networks::restore` (called by `restore`) cleans up.
    pub(crate) fn open(store: &Store, settings: &BridgeSettings) -> Result<Self> {
        let records = store.db().records(RecordKind::Network);
        let mut kept = BTreeMap::new();
        for record in records.list()? {
            let body: Kept = serde_json::from_str(&record.json).unwrap_or_default();
            kept.insert(record.name, (record.id, body));
        }
        let subnet = kept.get("bridge").and_then(|(_, body)| body.subnet.as_deref()?.parse().ok());
        let driver = network::Networks::open(config(settings, subnet)?)?;
        let chosen = driver.bridge().subnet.to_string();
        let mut known = Vec::new();
        for (name, kind) in PREDEFINED {
            let (id, mut body, new) = match kept.remove(name) {
                Some((id, body)) => (id, body, false),
                None => {
                    let id = types::id::hex(&random::bytes::<32>()?);
                    (id, Kept { created: Timestamp::now(), subnet: None }, true)
                }
            };
            let created = body.created;
            let moved = name == "bridge" && body.subnet.as_deref() != Some(&chosen);
            if moved {
                body.subnet = Some(chosen.clone());
            }
            let json = serde_json::to_string(&body).map_err(Error::internal)?;
            if new {
                records.create(&id, name, &json)?;
            } else if moved {
                records.update(&id, name, &json, store::Durability::Process)?;
            }
            known.push(Known { name, driver: kind, id, created });
        }
        Ok(Self(Arc::new(Shared { driver, known, members: Mutex::default() })))
    }

    /// The driver of the default bridge. Its calls block.
    pub(crate) fn driver(&self) -> &network::Networks {
        &self.0.driver
    }

    /// The id of a network by its name or id; 404 in Docker's words.
    pub(crate) fn find(&self, name: &str) -> Result<(&'static str, &str)> {
        let known = &self.0.known;
        known
            .iter()
            .find(|n| n.name == name || n.id == name)
            .or_else(|| {
                let mut by_prefix = known.iter().filter(|n| !name.is_empty() && n.id.starts_with(name));
                by_prefix.next().filter(|_| by_prefix.next().is_none())
            })
            .map(|n| (n.name, n.id.as_str()))
            .ok_or_else(|| no_such_network(name))
    }

    /// A container runs on a network, or (`None`) does not any more.
    pub(crate) fn set_member(&self, container: &ContainerId, member: Option<(String, NetworkMember)>) {
        let mut members = self.0.members.lock().unwrap_or_else(PoisonError::into_inner);
        match member {
            Some(member) => members.insert(container.clone(), member),
            None => members.remove(container),
        };
    }

    /// Those that match (`driver id label name scope type dangling`), without their members.
    pub async fn list(&self, filters: &Filters) -> Result<Vec<NetworkDetails>> {
        filters.accept_only(LIST_FILTERS)?;
        for kind in filters.get("type") {
            if !matches!(kind.as_str(), "builtin" | "custom") {
                return Err(Error::invalid(format!("invalid filter: 'type'='{kind}'")));
            }
        }
        let dangling = if filters.has("dangling") { Some(filters.boolean("dangling", false)?) } else { None };
        let part = |name: &str, text: &str| {
            let wanted = filters.get(name);
            wanted.is_empty() || wanted.iter().any(|w| text.contains(w.as_str()))
        };
        let matches = |n: &&Known| {
            part("name", n.name)
                && part("id", &n.id)
                && filters.exact("driver", n.driver)
                && filters.exact("scope", "local")
                && filters.exact("type", "builtin")
                && filters.labels(&BTreeMap::new())
                // Predefined networks are never dangling.
                && dangling != Some(true)
        };
        Ok(self.0.known.iter().filter(matches).map(|n| self.details(n)).collect())
    }

    /// One by name, id or prefix of an id, with its members; 404 `network x not found`.
    pub async fn inspect(&self, name: &str) -> Result<NetworkDetails> {
        let (name, _) = self.find(name)?;
        let known = self.0.known.iter().find(|n| n.name == name).ok_or_else(|| no_such_network(name))?;
        let members = self.0.members.lock().unwrap_or_else(PoisonError::into_inner);
        let containers = members
            .iter()
            .filter(|(_, (network, _))| network == name)
            .map(|(id, (_, member))| (id.to_string(), member.clone()))
            .collect();
        Ok(NetworkDetails { containers, ..self.details(known) })
    }

    /// Makes one: user-defined networks are not implemented yet.
    pub async fn create(&self, name: &str) -> Result<String> {
        if self.find(name).is_ok() {
            return Err(Error::conflict(format!("network with name {name} already exists")));
        }
        Err(later("creating networks"))
    }

    /// Removes one. 403 for predefined ones.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let (name, _) = self.find(name)?;
        Err(Error::forbidden(format!("{name} is a pre-defined network and cannot be removed")))
    }

    /// Removes unused ones: there are only predefined ones, which stay.
    pub async fn prune(&self, filters: &Filters) -> Result<Vec<String>> {
        filters.accept_only(&["label", "label!", "until"])?;
        Ok(Vec::new())
    }

    fn details(&self, known: &Known) -> NetworkDetails {
        let mut details = NetworkDetails {
            name: known.name.to_owned(),
            id: known.id.clone(),
            created: known.created.rfc3339(),
            scope: "local",
            driver: known.driver.to_owned(),
            enable_ipv4: true,
            enable_ipv6: false,
            ipam: None,
            internal: false,
            attachable: false,
            ingress: false,
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
            containers: BTreeMap::new(),
        };
        if known.name == "bridge" {
            let bridge = self.0.driver.bridge();
            details.ipam = Some(vec![IpamPool {
                subnet: bridge.subnet.to_string(),
                ip_range: String::new(),
                gateway: bridge.gateway.to_string(),
            }]);
            let option = |name: &str, value: String| (format!("com.docker.network.{name}"), value);
            details.options = BTreeMap::from([
                option("bridge.default_bridge", "true".to_owned()),
                option("bridge.enable_icc", bridge.icc.to_string()),
                option("bridge.enable_ip_masquerade", bridge.ip_masq.to_string()),
                option("bridge.host_binding_ipv4", bridge.default_host_ip.to_string()),
                option("bridge.name", bridge.interface),
                option("driver.mtu", bridge.mtu.to_string()),
            ]);
        }
        details
    }
}

/// Settings as the network crate takes them.
fn config(settings: &BridgeSettings, subnet: Option<ipnet::Ipv4Net>) -> Result<network::NetworkConfig> {
    let net = |key: &str, text: &Option<String>| {
        text.as_deref()
            .map(|t| t.parse().map_err(|_| Error::invalid(format!("invalid {key}: {t:?}"))))
            .transpose()
    };
    Ok(network::NetworkConfig {
        bridge: settings.name.clone(),
        bip: net("bip", &settings.bip)?,
        fixed_cidr: net("fixed-cidr", &settings.fixed_cidr)?,
        subnet,
        mtu: settings.mtu,
        icc: settings.icc,
        ip_masq: settings.ip_masq,
        ip_forward: settings.ip_forward,
        default_host_ip: settings
            .host_ip
            .parse()
            .map_err(|_| Error::invalid(format!("invalid ip: {:?}", settings.host_ip)))?,
        firewall: if settings.firewall { network::FirewallKind::Auto } else { network::FirewallKind::None },
        ..network::NetworkConfig::default()
    })
}
