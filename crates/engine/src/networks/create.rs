//! `network create`: check, choose, make, record.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use types::config::{EndpointIpam, EndpointRequest};
use types::{Error, Result};

use super::record::{Custom, Driver, Kept};
use super::{IpamPool, Known, Networks, PREDEFINED};
use crate::{Timestamp, blocking, random};

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

    fn create_now(&self, request: NetworkRequest) -> Result<String> {
        check_name(&request.name)?;
        // One at a time: two requests may want the same name, subnet or interface.
        let _turn = self.changing();
        if self.known().contains_key(&request.name) {
            return Err(Error::conflict(format!("network with name {} already exists", request.name)));
        }
        let pool = validate(&request)?;
        let id = types::id::hex(&random::bytes::<32>()?);
        let mut custom = Custom {
            driver: Driver::Bridge,
            internal: request.internal,
            attachable: request.attachable,
            options: request.options,
            labels: request.labels,
            ipam_options: request.ipam_options,
            fixed_subnet: pool.is_some(),
            pool: pool.unwrap_or_default(),
            interface: String::new(),
            gateway: None,
        };
        custom.interface = match custom.bridge_option("name") {
            None | Some("") => format!("br-{}", id.get(..12).unwrap_or(&id)),
            Some(name) => name.to_owned(),
        };
        if custom.fixed_subnet {
            custom.gateway = custom.pool.gateway.parse().ok();
        } else {
            let subnet = self.driver().free_subnet()?;
            custom.pool.subnet = subnet.to_string();
            custom.gateway = subnet.hosts().next();
            custom.pool.gateway = custom.gateway.map(|ip| ip.to_string()).unwrap_or_default();
        }
        if custom.gateway.is_none() {
            custom.gateway = free_gateway(&custom.pool);
        }
        let subnet = custom.pool.subnet.clone();
        let bridge = custom.bridge(&request.name, &subnet)?;
        let kept = Kept { created: Timestamp::now(), subnet: Some(subnet), custom: Some(custom) };
        let json = serde_json::to_string(&kept).map_err(Error::internal)?;
        // Recorded first: what a crash leaves half made is found by its record and made whole at the next start.
        self.records().create(&id, &request.name, &json)?;
        if let Err(error) = self.driver().create(bridge) {
            if let Err(more) = self.records().delete(&id) {
                tracing::error!(id, error = %more, "cannot forget a network that was not made");
            }
            return Err(error.into());
        }
        self.known().insert(request.name.clone(), Known::new(id.clone(), request.name, kept).into());
        self.publish("create", &id, &[]);
        Ok(id)
    }

    /// What a user may ask of an endpoint on this network, in Docker's words and order (moby
    /// `validateEndpointSettings`). Of a network that is not there only what needs no network is checked.
    pub(crate) fn check_endpoint(&self, name: &str, want: &EndpointRequest) -> Result<()> {
        let known = self.find(name).ok();
        let ipam = want.ipam_config.clone().unwrap_or_default();
        let is_predefined = PREDEFINED.iter().any(|(known, _)| *known == name);
        let mut wrong = Vec::new();
        if is_predefined && !(ipam.ipv4_address.is_empty() && ipam.ipv6_address.is_empty()) {
            wrong.push("user specified IP address is supported on user defined networks only".to_owned());
        }
        if is_predefined && want.aliases.as_ref().is_some_and(|aliases| !aliases.is_empty()) {
            wrong.push(
                "network-scoped alias is supported only for containers in user defined networks".to_owned(),
            );
        }
        wrong.extend(bad_addresses(&ipam));
        if let Some(known) = &known {
            // The default bridge's subnet counts as chosen by the user.
            let is_chosen = known.custom().is_none_or(|custom| custom.fixed_subnet);
            wrong.extend(out_of_range(&ipam.ipv4_address, known.subnet().filter(|_| is_chosen)));
            wrong.extend(out_of_range(&ipam.ipv6_address, None));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let name = known.as_ref().map_or(name, |known| &known.name);
        Err(Error::invalid(format!(
            "invalid config for network {name}: invalid endpoint settings:\n{}",
            joined(&wrong)
        )))
    }
}

/// Addresses that are none.
fn bad_addresses(ipam: &EndpointIpam) -> Vec<String> {
    let mut wrong = Vec::new();
    if !ipam.ipv4_address.is_empty() && ipam.ipv4_address.parse::<Ipv4Addr>().is_err() {
        wrong.push(format!("invalid IPv4 address: {}", ipam.ipv4_address));
    }
    if !ipam.ipv6_address.is_empty() && ipam.ipv6_address.parse::<Ipv6Addr>().is_err() {
        wrong.push(format!("invalid IPv6 address: {}", ipam.ipv6_address));
    }
    for address in ipam.link_local_ips.iter().flatten() {
        if address.parse::<IpAddr>().is_err() {
            wrong.push(format!("invalid link-local IP address: {address}"));
        }
    }
    wrong
}

/// Why the address cannot be given; `subnet` is what the user chose for the network.
fn out_of_range(address: &str, subnet: Option<Ipv4Net>) -> Option<String> {
    if address.is_empty() {
        return None;
    }
    let Some(subnet) = subnet else {
        let only = "user specified IP address is supported only when connecting to networks with user configured subnets";
        return Some(only.to_owned());
    };
    let is_inside = address.parse::<Ipv4Addr>().is_ok_and(|address| subnet.contains(&address));
    (!is_inside).then(|| format!("no configured subnet or ip-range contain the IP address {address}"))
}

/// One as it is, several as a list.
fn joined(errors: &[String]) -> String {
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

/// Everything that needs no look at the host. Answers the pool that the user chose.
fn validate(request: &NetworkRequest) -> Result<Option<IpamPool>> {
    match request.driver.as_str() {
        "" | "bridge" => {}
        one @ ("host" | "null") => {
            return Err(Error::forbidden(format!("only one instance of {one:?} network is allowed")));
        }
        "overlay" => {
            return Err(Error::unavailable(
                "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this \
                 node to swarm and try again.",
            ));
        }
        later @ ("macvlan" | "ipvlan") => {
            return Err(Error::not_implemented(format!("the {later} network driver is not implemented yet")));
        }
        other => return Err(Error::not_found(format!("plugin {other:?} not found"))),
    }
    for (on, what) in [
        (request.enable_ipv6 == Some(true), "IPv6 on user-defined networks"),
        (request.enable_ipv4 == Some(false), "networks without IPv4"),
        (request.ingress, "ingress networks"),
        (request.config_only || !request.config_from.is_empty(), "configuration-only networks"),
        (request.scope == "swarm" || request.scope == "global", "networks of a swarm"),
    ] {
        if on {
            return Err(crate::error::later(what));
        }
    }
    if !matches!(request.ipam_driver.as_str(), "" | "default") {
        return Err(Error::not_found(format!("plugin {:?} not found", request.ipam_driver)));
    }
    let mut wrong = Vec::new();
    for pool in request.pools.iter().filter(|pool| **pool != IpamPool::default()) {
        check_pool(pool, &mut wrong);
    }
    if !wrong.is_empty() {
        return Err(Error::invalid(format!("invalid network config:\n{}", joined(&wrong))));
    }
    let mut v4 = request.pools.iter().filter(|pool| pool.subnet.parse::<Ipv4Net>().is_ok());
    let first = v4.next().cloned();
    if v4.next().is_some() {
        return Err(Error::invalid("bridge driver doesn't support multiple subnets"));
    }
    Ok(first)
}

/// Docker's checks of one pool (moby `ValidateIPAM`). Pools of a family that is off are left alone.
fn check_pool(pool: &IpamPool, wrong: &mut Vec<String>) {
    let Ok(subnet) = pool.subnet.parse::<IpNet>() else {
        wrong.push(format!("invalid subnet {}: invalid CIDR block notation", pool.subnet));
        return;
    };
    let IpNet::V4(subnet) = subnet else { return };
    if subnet != subnet.trunc() {
        wrong.push(format!("invalid subnet {subnet}: it should be {}", subnet.trunc()));
    }
    if !pool.ip_range.is_empty() {
        let text = &pool.ip_range;
        let why = match text.parse::<IpNet>() {
            Err(_) => Some("invalid CIDR block notation".to_owned()),
            Ok(IpNet::V6(_)) => Some("parent subnet is an IPv4 block".to_owned()),
            Ok(IpNet::V4(range)) if range != range.trunc() => Some(format!("it should be {}", range.trunc())),
            Ok(IpNet::V4(range)) if range.prefix_len() < subnet.prefix_len() => {
                Some(format!("CIDR block is bigger than its parent subnet {subnet}"))
            }
            Ok(IpNet::V4(range)) if !subnet.contains(&range.addr()) => {
                Some(format!("parent subnet {subnet} doesn't contain ip-range"))
            }
            Ok(_) => None,
        };
        wrong.extend(why.map(|why| format!("invalid ip-range {text}: {why}")));
    }
    let mut address = |what: String, text: &str| {
        let why = match text.parse::<IpAddr>() {
            Err(_) => "invalid address".to_owned(),
            Ok(IpAddr::V6(_)) => "parent subnet is an IPv4 block".to_owned(),
            Ok(IpAddr::V4(ip)) if !subnet.contains(&ip) => {
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
fn free_gateway(pool: &IpamPool) -> Option<Ipv4Addr> {
    let subnet: Ipv4Net = pool.subnet.parse().ok()?;
    let within: Ipv4Net = pool.ip_range.parse().unwrap_or(subnet);
    let taken = |ip: &Ipv4Addr| pool.aux_addresses.values().any(|aux| aux.parse() == Ok(*ip));
    within.hosts().find(|ip| *ip != subnet.network() && !taken(ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pool: IpamPool, expect: &str) {
        let request = NetworkRequest { name: "n".to_owned(), pools: vec![pool], ..Default::default() };
        let text = validate(&request).map(|_| String::new()).unwrap_or_else(|error| error.message);
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
        assert_eq!(free_gateway(&pool), Some(Ipv4Addr::new(10, 1, 0, 1)));
        pool.aux_addresses.insert("router".to_owned(), "10.1.0.1".to_owned());
        assert_eq!(free_gateway(&pool), Some(Ipv4Addr::new(10, 1, 0, 2)));
    }
}
