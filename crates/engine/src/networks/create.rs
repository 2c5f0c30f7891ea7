//! `network create`: check, choose, make, record.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use types::{Error, Result};

use super::record::{Custom, Driver, Kept, KeptPool};
use super::{IpamPool, Known, Networks, PREDEFINED, options};
use crate::{Timestamp, blocking, random};

/// `IFNAMSIZ` without the zero at its end.
const INTERFACE_NAME_BYTES: usize = 15;

/// What a user wants.
#[derive(Debug, Clone, Default)]
pub struct NetworkRequest {
    /// Name.
    pub name: String,
    /// Empty is `bridge`.
    pub driver: String,
    /// Empty is `local`.
    pub scope: String,
    /// `None` is on.
    pub enable_ipv4: Option<bool>,
    /// `None` is off.
    pub enable_ipv6: Option<bool>,
    /// Empty is `default`.
    pub ipam_driver: String,
    /// Kept and shown.
    pub ipam_options: Option<BTreeMap<String, String>>,
    /// Empty lets us choose.
    pub pools: Vec<IpamPool>,
    /// Leads nowhere.
    pub internal: bool,
    /// For clusters.
    pub attachable: bool,
    /// For clusters.
    pub ingress: bool,
    /// A template for other networks.
    pub config_only: bool,
    /// The template to use.
    pub config_from: String,
    /// Driver options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

impl Networks {
    /// Makes one; answers its id.
    pub async fn create(&self, request: NetworkRequest) -> Result<String> {
        let this = self.clone();
        blocking(move || this.create_now(request)).await
    }

    fn create_now(&self, mut request: NetworkRequest) -> Result<String> {
        check_name(&request.name)?;
        // One at a time: two requests may want the same name, subnet or interface.
        let _turn = self.changing();
        if self.known().contains_key(&request.name) {
            return Err(Error::conflict(format!("network with name {} already exists", request.name)));
        }
        let driver = driver_of(&request)?;
        if let Some(defaults) = self.0.default_options.get(driver.name()) {
            for (option, value) in defaults {
                request.options.entry(option.clone()).or_insert_with(|| value.clone());
            }
        }
        let template = self.template(&request)?;
        if let Some(template) = &template {
            request.pools = template.pools.iter().map(|pool| pool.shown.clone()).collect();
            request.options.clone_from(&template.options);
            request.labels.clone_from(&template.labels);
            request.ipam_options.clone_from(&template.ipam_options);
            request.enable_ipv4 = Some(!template.without_ipv4);
            request.enable_ipv6 = Some(template.ipv6);
        }
        let families = Families::of(&request)?;
        let pools = validate(&request, driver, families)?;
        let id = types::id::hex(&random::bytes::<32>()?);
        let mut custom = Custom {
            driver,
            internal: request.internal,
            attachable: request.attachable,
            options: request.options,
            labels: request.labels,
            ipam_options: request.ipam_options,
            pools: pools.into_iter().map(|shown| KeptPool { shown, fixed: true, gateway: None }).collect(),
            without_ipv4: !families.v4,
            ipv6: families.v6,
            scope: request.scope,
            config_only: request.config_only,
            config_from: request.config_from,
            ..Custom::default()
        };
        if !custom.config_only {
            self.choose(&id, &mut custom)?;
        }
        let made = (!custom.config_only).then(|| custom.network(&id, &request.name)).transpose()?;
        let kept = Kept { created: Timestamp::now(), custom: Some(custom), ..Kept::default() };
        let json = serde_json::to_string(&kept).map_err(Error::internal)?;
        // Recorded first: what a crash leaves half made is found by its record and made whole at the next start.
        self.records().create(&id, &request.name, &json)?;
        if let Some(network) = made
            && let Err(error) = self.driver().create(network)
        {
            if let Err(more) = self.records().delete(&id) {
                tracing::error!(id, error = %more, "cannot forget a network that was not made");
            }
            return Err(error.into());
        }
        self.known().insert(request.name.clone(), Known::new(id.clone(), request.name, kept).into());
        self.publish("create", &id, &[]);
        Ok(id)
    }

    /// The network whose configuration is to be used.
    fn template(&self, request: &NetworkRequest) -> Result<Option<Custom>> {
        if request.config_from.is_empty() {
            return Ok(None);
        }
        if request.config_only {
            return Err(Error::forbidden(
                "a configuration network cannot depend on another configuration network",
            ));
        }
        let specific = !request.pools.is_empty()
            || !request.options.is_empty()
            || !request.labels.is_empty()
            || request.enable_ipv6.is_some_and(|on| on);
        if specific {
            return Err(Error::forbidden(
                "user specified configurations are not supported if the network depends on a configuration network",
            ));
        }
        let name = &request.config_from;
        let missing = || Error::not_found(format!("configuration network {name:?} does not exist"));
        let known = self.known().get(name).cloned().ok_or_else(missing)?;
        known.custom().filter(|custom| custom.config_only).cloned().map(Some).ok_or_else(missing)
    }

    /// Fills in what the user left to us: subnets, gateways, the interface on the host.
    fn choose(&self, id: &str, custom: &mut Custom) -> Result<()> {
        let network_driver = options::driver(custom.driver, &custom.options)?;
        for v6 in [false, true] {
            let wanted = if v6 { custom.ipv6 } else { !custom.without_ipv4 };
            if wanted && !custom.pools.iter().any(|pool| pool.is_v6() == v6) {
                let subnet = self.driver().free_subnet(v6)?.to_string();
                let shown = IpamPool { subnet, ..IpamPool::default() };
                custom.pools.push(KeptPool { shown, fixed: false, gateway: None });
            }
        }
        let isolated = |v6: bool| match &network_driver {
            network::Driver::Bridge(bridge) => {
                let mode = if v6 { bridge.gateway_mode_v6 } else { bridge.gateway_mode_v4 };
                mode == network::GatewayMode::Isolated
            }
            _ => false,
        };
        // What lies on the host's own link has the gateway that is there, if any: the user's to say. As in Docker the
        // first address is nobody's all the same.
        for pool in &mut custom.pools {
            let v6 = pool.is_v6();
            pool.gateway = match pool.shown.gateway.as_str() {
                "" if isolated(v6) => None,
                "" => free_gateway(&pool.shown),
                text => text.parse().ok(),
            };
            if !pool.fixed && pool.shown.gateway.is_empty() {
                pool.shown.gateway = pool.gateway.map(|ip| ip.to_string()).unwrap_or_default();
            }
        }
        for pool in &custom.pools {
            check_reserved(pool)?;
        }
        let parent = custom.options.get("parent").cloned().unwrap_or_default();
        custom.interface = match custom.driver {
            Driver::Macvlan | Driver::Ipvlan if parent.is_empty() => {
                // Nothing is reached through it but the other containers.
                custom.internal = true;
                network_driver.placeholder(id)
            }
            Driver::Macvlan | Driver::Ipvlan => parent,
            _ => match options::of_bridge(&custom.options, "name") {
                None => format!("br-{}", id.get(..12).unwrap_or(id)),
                Some(name) if name.len() > INTERFACE_NAME_BYTES => {
                    return Err(Error::internal("numerical result out of range"));
                }
                Some(name) => name.to_owned(),
            },
        };
        if matches!(custom.driver, Driver::Macvlan | Driver::Ipvlan) {
            let shared = |known: &Known| {
                known
                    .custom()
                    .is_some_and(|other| other.owns_interface && other.interface == custom.interface)
            };
            let is_shared = self.known().values().any(|known| shared(known));
            custom.owns_interface = is_shared || !self.driver().host_has(&custom.interface)?;
        } else {
            custom.found_bridge = self.driver().host_has(&custom.interface)?;
        }
        Ok(())
    }
}

/// Addresses that the user keeps for machines of his own are nobody else's, nor each other's.
fn check_reserved(pool: &KeptPool) -> Result<()> {
    let mut taken: Vec<IpAddr> = pool.gateway.into_iter().collect();
    for (name, text) in &pool.shown.aux_addresses {
        let Ok(address) = text.parse() else { continue };
        if taken.contains(&address) {
            return Err(Error::internal(format!(
                "failed to allocate secondary ip address ({name}:{text}): Address already in use"
            )));
        }
        taken.push(address);
    }
    Ok(())
}

/// Which families a network has.
#[derive(Debug, Clone, Copy)]
struct Families {
    v4: bool,
    v6: bool,
}

impl Families {
    fn of(request: &NetworkRequest) -> Result<Self> {
        let option = |v6| options::family(&request.options, v6);
        let v4 = request.enable_ipv4.or(option(false)?).unwrap_or(true);
        let v6 = request.enable_ipv6.or(option(true)?).unwrap_or(false);
        if !v4 && !v6 {
            return Err(Error::invalid("IPv4 or IPv6 must be enabled"));
        }
        Ok(Self { v4, v6 })
    }
}

/// One as it is, several as a list.
pub(super) fn joined(errors: &[String]) -> String {
    match errors {
        [one] => one.clone(),
        many => many.iter().map(|e| format!("* {e}")).collect::<Vec<_>>().join("\n"),
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.trim().is_empty() {
        return Err(Error::invalid(format!("invalid network name: {name:?}: name is empty")));
    }
    if PREDEFINED.iter().any(|(known, _)| *known == name) || name == "default" {
        return Err(Error::forbidden(format!("operation is not permitted on predefined {name} network")));
    }
    Ok(())
}

fn driver_of(request: &NetworkRequest) -> Result<Driver> {
    if request.ingress {
        return Err(Error::forbidden("Ingress network can only be global scope network"));
    }
    if request.scope == "swarm" {
        return Err(Error::forbidden("cannot create a swarm scoped network when swarm is not active"));
    }
    if request.config_only {
        let operator = request.internal || request.attachable || !request.scope.is_empty();
        let named = !matches!(request.driver.as_str(), "" | "default" | "null" | "bridge");
        if operator || named {
            return Err(Error::forbidden(
                "configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.",
            ));
        }
        return Ok(Driver::Null);
    }
    match request.driver.as_str() {
        "" | "default" | "bridge" => Ok(Driver::Bridge),
        "macvlan" => Ok(Driver::Macvlan),
        "ipvlan" => Ok(Driver::Ipvlan),
        one @ ("host" | "null") => {
            Err(Error::forbidden(format!("only one instance of {one:?} network is allowed")))
        }
        "overlay" => Err(Error::forbidden(
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this \
             node to swarm and try again.",
        )),
        other => Err(Error::not_found(format!("plugin {other:?} not found"))),
    }
}

/// Everything that needs no look at the host. Answers the pools that the user chose.
fn validate(request: &NetworkRequest, driver: Driver, families: Families) -> Result<Vec<IpamPool>> {
    if !matches!(request.ipam_driver.as_str(), "" | "default") {
        return Err(Error::not_found(format!("plugin {:?} not found", request.ipam_driver)));
    }
    let pools: Vec<IpamPool> =
        request.pools.iter().filter(|pool| **pool != IpamPool::default()).cloned().collect();
    let mut wrong = Vec::new();
    for pool in &pools {
        check_pool(pool, families.v6, &mut wrong);
    }
    if !wrong.is_empty() {
        return Err(Error::invalid(format!("invalid network config:\n{}", joined(&wrong))));
    }
    options::driver(driver, &request.options)?;
    options::mtu(driver, &request.options)?;
    let of_family = |v6: bool| {
        pools.iter().filter(move |pool| pool.subnet.parse().is_ok_and(|net: IpNet| is_v6(&net) == v6))
    };
    if driver == Driver::Bridge
        && ((families.v4 && of_family(false).count() > 1) || (families.v6 && of_family(true).count() > 1))
    {
        return Err(Error::forbidden("bridge driver doesn't support multiple subnets"));
    }
    for subnet in pools.iter().filter_map(|pool| pool.subnet.parse::<IpNet>().ok()) {
        if subnet.network().is_multicast() {
            let first = subnet.hosts().find(|ip| *ip != subnet.network()).unwrap_or(subnet.network());
            let prefix = subnet.prefix_len();
            return Err(Error::invalid(format!("multicast subnet '{first}/{prefix}' is not allowed")));
        }
    }
    Ok(pools)
}

fn is_v6(net: &IpNet) -> bool {
    matches!(net, IpNet::V6(_))
}

/// Docker's checks of one pool (moby `ValidateIPAM`). Pools of a family that is off are left alone.
fn check_pool(pool: &IpamPool, v6: bool, wrong: &mut Vec<String>) {
    let Ok(subnet) = pool.subnet.parse::<IpNet>() else {
        wrong.push(format!("invalid subnet {}: invalid CIDR block notation", pool.subnet));
        return;
    };
    if is_v6(&subnet) && !v6 {
        return;
    }
    let other_family = format!("parent subnet is an {} block", if is_v6(&subnet) { "IPv6" } else { "IPv4" });
    if subnet != subnet.trunc() {
        wrong.push(format!("invalid subnet {subnet}: it should be {}", subnet.trunc()));
    }
    if !pool.ip_range.is_empty() {
        let text = &pool.ip_range;
        let why = match text.parse::<IpNet>() {
            Err(_) => Some("invalid CIDR block notation".to_owned()),
            Ok(range) if is_v6(&range) != is_v6(&subnet) => Some(other_family.clone()),
            Ok(range) if range != range.trunc() => Some(format!("it should be {}", range.trunc())),
            Ok(range) if range.prefix_len() < subnet.prefix_len() => {
                Some(format!("CIDR block is bigger than its parent subnet {subnet}"))
            }
            Ok(range) if !subnet.contains(&range.addr()) => {
                Some(format!("parent subnet {subnet} doesn't contain ip-range"))
            }
            Ok(_) => None,
        };
        wrong.extend(why.map(|why| format!("invalid ip-range {text}: {why}")));
    }
    let mut address = |what: String, text: &str| {
        let why = match text.parse::<IpAddr>() {
            Err(_) => "invalid address".to_owned(),
            Ok(ip) if ip.is_ipv6() != is_v6(&subnet) => other_family.clone(),
            Ok(ip) if !subnet.contains(&ip) => {
                format!("parent subnet {subnet} doesn't contain this address")
            }
            Ok(_) => return,
        };
        wrong.push(format!("{what}: {why}"));
    };
    if !pool.gateway.is_empty() {
        address(format!("invalid gateway {}", pool.gateway), &pool.gateway);
    }
    for (name, text) in &pool.aux_addresses {
        address(format!("invalid auxiliary address {name}"), text);
    }
}

/// The first address that the user has given to nobody.
fn free_gateway(pool: &IpamPool) -> Option<IpAddr> {
    let subnet: IpNet = pool.subnet.parse().ok()?;
    let within: IpNet = pool.ip_range.parse().unwrap_or(subnet);
    let taken = |ip: &IpAddr| pool.aux_addresses.values().any(|aux| aux.parse() == Ok(*ip));
    let single = subnet.prefix_len() == subnet.max_prefix_len();
    within.hosts().find(|ip| (single || *ip != subnet.network()) && !taken(ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pool: IpamPool, expect: &str) {
        let request = NetworkRequest { name: "n".to_owned(), pools: vec![pool], ..Default::default() };
        let families = Families { v4: true, v6: true };
        let text = validate(&request, Driver::Bridge, families);
        let text = text.map(|_| String::new()).unwrap_or_else(|error| error.message);
        assert_eq!(text.strip_prefix("invalid network config:\n").unwrap_or(&text), expect);
    }

    fn pool(subnet: &str, range: &str, gateway: &str) -> IpamPool {
        let [subnet, ip_range, gateway] = [subnet, range, gateway].map(str::to_owned);
        IpamPool { subnet, ip_range, gateway, aux_addresses: BTreeMap::new() }
    }

    #[test]
    fn pools_are_checked_in_dockers_words() {
        for (subnet, range, gateway, expect) in [
            ("10.1.0.0/24", "10.1.0.128/25", "10.1.0.1", ""),
            ("10.300.0.0/24", "", "", "invalid subnet 10.300.0.0/24: invalid CIDR block notation"),
            ("10.1.0.1/24", "", "", "invalid subnet 10.1.0.1/24: it should be 10.1.0.0/24"),
            (
                "10.1.0.0/24",
                "10.0.0.0/8",
                "",
                "invalid ip-range 10.0.0.0/8: CIDR block is bigger than its parent subnet 10.1.0.0/24",
            ),
            (
                "10.1.0.0/24",
                "10.2.0.0/25",
                "",
                "invalid ip-range 10.2.0.0/25: parent subnet 10.1.0.0/24 doesn't contain ip-range",
            ),
            (
                "10.1.0.0/24",
                "",
                "10.2.0.1",
                "invalid gateway 10.2.0.1: parent subnet 10.1.0.0/24 doesn't contain this address",
            ),
            ("fd00:1::/64", "fd00:1::8000:0:0:0/65", "fd00:1::1", ""),
            ("fd00:1::1/64", "", "", "invalid subnet fd00:1::1/64: it should be fd00:1::/64"),
            ("fd00:1::/64", "", "10.1.1.1", "invalid gateway 10.1.1.1: parent subnet is an IPv6 block"),
            (
                "fd00:1::/64",
                "fd00:1::/48",
                "",
                "invalid ip-range fd00:1::/48: CIDR block is bigger than its parent subnet fd00:1::/64",
            ),
            ("ff02::/64", "", "", "multicast subnet 'ff02::1/64' is not allowed"),
            (
                "10.1.0.1/24",
                "x",
                "",
                "* invalid subnet 10.1.0.1/24: it should be 10.1.0.0/24\n* invalid ip-range x: invalid CIDR block notation",
            ),
        ] {
            check(pool(subnet, range, gateway), expect);
        }
    }

    #[test]
    fn the_gateway_is_the_first_address_that_is_nobodys() {
        let mut pool = pool("10.1.0.0/24", "", "");
        assert_eq!(free_gateway(&pool), "10.1.0.1".parse().ok());
        pool.aux_addresses.insert("router".to_owned(), "10.1.0.1".to_owned());
        assert_eq!(free_gateway(&pool), "10.1.0.2".parse().ok());
        pool.subnet = "fd00:1::/64".to_owned();
        assert_eq!(free_gateway(&pool), "fd00:1::1".parse().ok());
    }
}
