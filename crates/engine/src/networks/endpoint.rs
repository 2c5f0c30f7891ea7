//! What a user may ask of an endpoint on a network, in Docker's words and order (moby `validateEndpointSettings`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use types::config::{EndpointIpam, EndpointRequest};
use types::{Error, Result};

use super::create::joined;
use super::{Known, Networks, PREDEFINED, options};

impl Networks {
    /// Before a container is made or connected. Of a network that is not there only what needs no network is checked.
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
        let driver_opts = want.driver_opts.clone().unwrap_or_default();
        wrong.extend(options::endpoint_sysctls(&driver_opts).err().map(|error| error.message));
        if let Some(known) = &known {
            for (v6, address) in [(false, &ipam.ipv4_address), (true, &ipam.ipv6_address)] {
                wrong.extend(out_of_range(address, &self.chosen_subnets(known, v6)));
            }
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

    /// The subnets of a family that the user chose. The default bridge's count as such.
    fn chosen_subnets(&self, known: &Known, v6: bool) -> Vec<IpNet> {
        match known.custom() {
            Some(custom) => {
                let chosen = custom.used_pools().filter(|pool| pool.fixed && pool.is_v6() == v6);
                chosen.filter_map(|pool| pool.subnet()).collect()
            }
            None => self.driver().bridge().pool(v6).map(|pool| pool.subnet).into_iter().collect(),
        }
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

/// Why the address cannot be given; `subnets` are those that the user chose for the network.
fn out_of_range(address: &str, subnets: &[IpNet]) -> Option<String> {
    if address.is_empty() {
        return None;
    }
    if subnets.is_empty() {
        let only = "user specified IP address is supported only when connecting to networks with user configured subnets";
        return Some(only.to_owned());
    }
    let is_inside =
        address.parse().is_ok_and(|address: IpAddr| subnets.iter().any(|net| net.contains(&address)));
    (!is_inside).then(|| format!("no configured subnet or ip-range contain the IP address {address}"))
}
