//! Networks: the predefined `bridge`, `host` and `none`, and those that users make.
//!
//! A network is a record in the store (`record.rs`) and, if it is a bridge, an interface and rules that the `network`
//! crate makes of it. Who is on it is told by the containers' records.

mod config;
mod create;
mod endpoint;
mod explain;
pub(crate) mod options;
mod record;
mod view;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::{RecordKind, Records, Store};
use types::{ContainerId, Error, Result};

pub use create::NetworkRequest;
pub use explain::PortExplanation;
use record::{Custom, Driver, Kept};
pub use view::{IpamPool, NetworkDetails, NetworkMember};

use crate::error::no_such_network;
use crate::{Events, Filters, Settings, Timestamp, blocking, parse_time, random};

/// All networks of this daemon. A cheap handle.
#[derive(Debug, Clone)]
pub struct Networks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    driver: Arc<network::Networks>,
    /// `default-network-opts`: by driver.
    default_options: BTreeMap<String, BTreeMap<String, String>>,
    relay: network::Relay,
    store: Arc<Store>,
    events: Events,
    /// By name. A std mutex: held for look-ups only.
    known: Mutex<BTreeMap<String, Arc<Known>>>,
    /// Held through a create or a remove, by blocking threads only.
    changing: Mutex<()>,
    // A std mutex: held for map operations only.
    members: Mutex<BTreeMap<ContainerId, Vec<(String, NetworkMember)>>>,
}

/// One network.
#[derive(Debug)]
pub(crate) struct Known {
    /// 64 hex digits.
    pub(crate) id: String,
    /// Unique; never changes.
    pub(crate) name: String,
    kept: Kept,
}

impl Known {
    fn new(id: String, name: String, kept: Kept) -> Self {
        Self { id, name, kept }
    }

    fn custom(&self) -> Option<&Custom> {
        self.kept.custom.as_ref()
    }

    /// Who makes it.
    pub(crate) fn driver(&self) -> Driver {
        match self.custom() {
            Some(custom) => custom.driver,
            None => PREDEFINED.iter().find(|(name, _)| *name == self.name).map_or(Driver::Null, |(_, d)| *d),
        }
    }

    fn scope(&self) -> &str {
        self.custom().map(|custom| custom.scope.as_str()).filter(|scope| !scope.is_empty()).unwrap_or("local")
    }

    /// A user made it: there containers find each other by name.
    pub(crate) fn has_names(&self) -> bool {
        self.custom().is_some()
    }

    /// A template: nobody can be on it.
    pub(crate) fn is_config_only(&self) -> bool {
        self.custom().is_some_and(|custom| custom.config_only)
    }

    /// What the interfaces of containers on it are called, before their number.
    pub(crate) fn interface_prefix(&self) -> &str {
        self.custom().map_or("eth", |custom| options::interface_prefix(&custom.options))
    }

    /// Nothing on it reaches another network.
    pub(crate) fn is_internal(&self) -> bool {
        self.custom().is_some_and(|custom| custom.internal)
    }
}

/// In Docker's order.
const PREDEFINED: [(&str, Driver); 3] =
    [("host", Driver::Host), ("bridge", Driver::Bridge), ("none", Driver::Null)];
const LIST_FILTERS: &[&str] = &["dangling", "driver", "id", "label", "label!", "name", "scope", "type"];

impl Networks {
    /// Opens the networks; makes the ids of the predefined ones at the first start. Blocks. The host is changed by
    /// `restore` (containers), and by the first container that needs the default bridge.
    pub(crate) fn open(store: &Arc<Store>, settings: &Settings, events: Events) -> Result<Self> {
        let records = store.db().records(RecordKind::Network);
        let mut kept = BTreeMap::new();
        for record in records.list()? {
            match serde_json::from_str::<Kept>(&record.json) {
                Ok(body) => drop(kept.insert(record.name, (record.id, body))),
                // Left alone: a newer daemon may read it.
                Err(error) => tracing::error!(id = record.id, %error, "cannot read the record of a network"),
            }
        }
        let of_bridge = |of: fn(&Kept) -> Option<&String>| {
            kept.get("bridge").and_then(|(_, body)| of(body)?.parse().ok())
        };
        let subnets = [of_bridge(|body| body.subnet.as_ref()), of_bridge(|body| body.subnet6.as_ref())];
        let relay = network::Relay::new(settings.exec_root.clone());
        let proxy = settings.bridge.userland_proxy.then(|| relay.clone());
        let config = network::NetworkConfig {
            proxy,
            global_id: global_id(store)?,
            ..config::config(&settings.bridge, subnets)?
        };
        let driver = Arc::new(network::Networks::open(config)?);
        let chosen = |v6| driver.bridge().pool(v6).map(|pool| pool.subnet.to_string());
        let mut known = BTreeMap::new();
        for (name, _) in PREDEFINED {
            let (id, mut body, new) = match kept.remove(name) {
                Some((id, body)) => (id, body, false),
                None => {
                    let id = types::id::hex(&random::bytes::<32>()?);
                    (id, Kept { created: Timestamp::now(), ..Kept::default() }, true)
                }
            };
            let now = (chosen(false), chosen(true).or(body.subnet6.clone()));
            let moved = name == "bridge" && (&body.subnet, &body.subnet6) != (&now.0, &now.1);
            if moved {
                (body.subnet, body.subnet6) = now;
            }
            let json = serde_json::to_string(&body).map_err(Error::internal)?;
            if new {
                records.create(&id, name, &json)?;
            } else if moved {
                records.update(&id, name, &json, store::Durability::Process)?;
            }
            known.insert(name.to_owned(), Arc::new(Known::new(id, name.to_owned(), body)));
        }
        for (name, (id, mut body)) in kept {
            let Some(custom) = body.custom.take().map(Custom::modernised) else { continue };
            if !custom.config_only {
                let added = custom.network(&id, &name).and_then(|network| Ok(driver.add(network)?));
                if let Err(error) = added {
                    tracing::error!(network = name, %error, "cannot take over a network");
                }
            }
            body.custom = Some(custom);
            known.insert(name.clone(), Arc::new(Known::new(id, name, body)));
        }
        Ok(Self(Arc::new(Shared {
            driver,
            default_options: settings.bridge.default_network_options.clone(),
            relay,
            store: store.clone(),
            events,
            known: Mutex::new(known),
            changing: Mutex::default(),
            members: Mutex::default(),
        })))
    }

    /// What makes networks on the host. Its calls block.
    pub(crate) fn driver(&self) -> &Arc<network::Networks> {
        &self.0.driver
    }

    /// Containers' name server. Its calls block.
    pub(crate) fn relay(&self) -> &network::Relay {
        &self.0.relay
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Known>>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.0.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Vec<(String, NetworkMember)>>> {
        self.0.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn records(&self) -> Records<'_> {
        self.0.store.db().records(RecordKind::Network)
    }

    /// A network by its id, its name or the beginning of its id; 404 in Docker's words.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Known>> {
        let known = self.known();
        let by_id = || known.values().find(|network| network.id == name);
        if let Some(network) = known.get(name).or_else(by_id) {
            return Ok(network.clone());
        }
        let mut by_prefix = known.values().filter(|n| !name.is_empty() && n.id.starts_with(name));
        match (by_prefix.next(), by_prefix.next()) {
            (Some(network), None) => Ok(network.clone()),
            (Some(_), Some(_)) => Err(Error::invalid(format!(
                "network {name} is ambiguous ({} matches found based on ID prefix)",
                2 + by_prefix.count()
            ))),
            (None, _) => Err(no_such_network(name)),
        }
    }

    /// A container runs on these networks; on none (an empty list) any more.
    pub(crate) fn set_members(&self, container: &ContainerId, on: Vec<(String, NetworkMember)>) {
        let mut members = self.members();
        if on.is_empty() {
            members.remove(container);
        } else {
            members.insert(container.clone(), on);
        }
    }

    /// Tells what happened to a network, by its name or id.
    pub(crate) fn publish(&self, action: &str, name: &str, more: &[(&str, &str)]) {
        let Ok(known) = self.find(name) else { return };
        let mut attributes = BTreeMap::from([
            ("name".to_owned(), known.name.clone()),
            ("type".to_owned(), known.driver().name().to_owned()),
        ]);
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        self.0.events.publish("network", action, &known.id, attributes);
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
        let no_labels = BTreeMap::new();
        let used: Vec<String> =
            self.members().values().flatten().map(|(network, _)| network.clone()).collect();
        let matches = |n: &&Arc<Known>| {
            part("name", &n.name)
                && part("id", &n.id)
                && filters.exact("driver", n.driver().name())
                && filters.exact("scope", n.scope())
                && filters.exact("type", if n.custom().is_some() { "custom" } else { "builtin" })
                && filters.labels(n.custom().map_or(&no_labels, |custom| &custom.labels))
                // Predefined networks are never dangling.
                && dangling.is_none_or(|wanted| {
                    wanted == (n.custom().is_some() && !used.contains(&n.name))
                })
        };
        let mut known: Vec<Arc<Known>> = self.known().values().cloned().collect();
        let order = |n: &Arc<Known>| PREDEFINED.iter().position(|(name, _)| *name == n.name);
        known.sort_by_key(|n| (order(n).unwrap_or(PREDEFINED.len()), n.name.clone()));
        Ok(known.iter().filter(matches).map(|n| self.details(n)).collect())
    }

    /// One by name, id or prefix of an id, with its members; 404 `network x not found`.
    pub async fn inspect(&self, name: &str) -> Result<NetworkDetails> {
        let known = self.find(name)?;
        Ok(NetworkDetails { containers: self.members_of(&known.name), ..self.details(&known) })
    }

    fn members_of(&self, network: &str) -> BTreeMap<String, NetworkMember> {
        let members = self.members();
        let all = members.iter().flat_map(|(id, on)| on.iter().map(move |(name, member)| (id, name, member)));
        all.filter(|(_, name, _)| *name == network)
            .map(|(id, _, member)| (id.to_string(), member.clone()))
            .collect()
    }

    /// Removes one that no running container is on. 403 for predefined ones.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let (this, name) = (self.clone(), name.to_owned());
        blocking(move || this.remove_now(&name)).await
    }

    fn remove_now(&self, name: &str) -> Result<()> {
        let _turn = self.changing();
        let known = self.find(name)?;
        let name = known.name.as_str();
        if known.custom().is_none() {
            return Err(Error::forbidden(format!("{name} is a pre-defined network and cannot be removed")));
        }
        let dependent = |other: &Arc<Known>| other.custom().is_some_and(|custom| custom.config_from == name);
        if known.is_config_only() && self.known().values().any(dependent) {
            return Err(Error::forbidden(format!(
                "error while removing network: configuration network {name:?} is in use"
            )));
        }
        let active: Vec<String> = self
            .driver()
            .endpoints()
            .into_iter()
            .filter(|endpoint| endpoint.network == name)
            .map(|endpoint| {
                let members = self.members();
                let on = members.get(&endpoint.container).into_iter().flatten();
                let member = on.clone().find(|(_, member)| member.endpoint_id == endpoint.id);
                let short = endpoint.id.get(..12).unwrap_or(&endpoint.id);
                let who =
                    member.map_or_else(|| endpoint.container.short().to_owned(), |(_, m)| m.name.clone());
                format!("name:{who:?} id:{short:?}")
            })
            .collect();
        if !active.is_empty() {
            return Err(Error::forbidden(format!(
                "error while removing network: network {name} has active endpoints ({})",
                active.join(", ")
            )));
        }
        // The record goes last: after a crash in between the network is whole again, and its removal not done.
        self.driver().remove(name)?;
        self.records().delete(&known.id)?;
        self.publish("destroy", name, &[]);
        self.known().remove(name);
        Ok(())
    }

    /// Removes those that users made and no running container is on; answers their names.
    pub async fn prune(&self, filters: &Filters) -> Result<Vec<String>> {
        filters.accept_only(&["label", "label!", "until"])?;
        let until = match filters.get("until") {
            [] => None,
            [text] => parse_time(text)?,
            _ => return Err(Error::invalid("more than one until filter specified")),
        };
        let (this, filters) = (self.clone(), filters.clone());
        blocking(move || {
            let all: Vec<Arc<Known>> = this.known().values().cloned().collect();
            let mut pruned = Vec::new();
            for known in all {
                let Some(custom) = known.custom() else { continue };
                if filters.labels(&custom.labels)
                    && until.is_none_or(|until| known.kept.created < until)
                    // One that is in use stays.
                    && this.remove_now(&known.name).is_ok()
                {
                    pruned.push(known.name.clone());
                }
            }
            this.0.events.publish(
                "network",
                "prune",
                "",
                BTreeMap::from([("reclaimed".to_owned(), "0".to_owned())]),
            );
            Ok(pruned)
        })
        .await
    }

    fn details(&self, known: &Known) -> NetworkDetails {
        let custom = known.custom();
        let shown = |custom: &Custom| custom.pools.iter().map(|pool| pool.shown.clone()).collect();
        let mut details = NetworkDetails {
            name: known.name.clone(),
            id: known.id.clone(),
            created: known.kept.created.rfc3339(),
            scope: known.scope().to_owned(),
            driver: known.driver().name().to_owned(),
            enable_ipv4: custom.is_none_or(|custom| !custom.without_ipv4),
            enable_ipv6: custom.is_some_and(|custom| custom.ipv6),
            ipam: custom.map(shown),
            ipam_options: custom.and_then(|custom| custom.ipam_options.clone()),
            internal: known.is_internal(),
            attachable: custom.is_some_and(|custom| custom.attachable),
            ingress: false,
            config_only: known.is_config_only(),
            config_from: custom.map(|custom| custom.config_from.clone()).unwrap_or_default(),
            options: custom.map(|custom| custom.options.clone()).unwrap_or_default(),
            labels: custom.map(|custom| custom.labels.clone()).unwrap_or_default(),
            containers: BTreeMap::new(),
        };
        if known.name == "bridge" {
            let bridge = self.0.driver.bridge();
            details.enable_ipv6 = bridge.pool(true).is_some();
            let pool = |pool: &network::Pool| IpamPool {
                subnet: pool.subnet.to_string(),
                ip_range: pool.range.map(|range| range.to_string()).unwrap_or_default(),
                gateway: pool.gateway.map(|ip| ip.to_string()).unwrap_or_default(),
                aux_addresses: pool.way_out.map(way_out_shown).into_iter().collect(),
            };
            details.ipam = Some(bridge.pools.iter().map(pool).collect());
            let option = |name: &str, value: String| (format!("com.docker.network.{name}"), value);
            let options = bridge.bridge().cloned().unwrap_or_default();
            details.options = BTreeMap::from([
                option("bridge.default_bridge", "true".to_owned()),
                option("bridge.enable_icc", options.icc.to_string()),
                option("bridge.enable_ip_masquerade", options.ip_masq.to_string()),
                option("bridge.host_binding_ipv4", options.default_host_ip.to_string()),
                option("bridge.name", bridge.interface.clone()),
                option("driver.mtu", bridge.mtu.to_string()),
            ]);
        }
        details
    }
}

/// What makes this host's generated IPv6 subnets its own: 40 random bits, kept (RFC 4193, section 3.2.1).
fn global_id(store: &Store) -> Result<[u8; 5]> {
    const KEY: &str = "ipv6-global-id";
    let kept = store.db().setting(KEY).map_err(Error::from)?;
    let mut number = kept.as_deref().and_then(|text| u64::from_str_radix(text, 16).ok());
    if number.is_none() {
        let bytes: [u8; 5] = random::bytes()?;
        store.db().set_setting(KEY, &types::id::hex(&bytes)).map_err(Error::from)?;
        number = u64::from_str_radix(&types::id::hex(&bytes), 16).ok();
    }
    let [_, _, _, id @ ..] = number.unwrap_or_default().to_be_bytes();
    Ok(id)
}

/// As Docker keeps `default-gateway`: an address of its own kind.
fn way_out_shown(address: std::net::IpAddr) -> (String, String) {
    let key = if address.is_ipv4() { "DefaultGatewayIPv4" } else { "DefaultGatewayIPv6" };
    (key.to_owned(), address.to_string())
}
