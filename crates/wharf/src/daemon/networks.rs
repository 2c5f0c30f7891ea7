//! What the configuration says about networks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use engine::settings::{AddressPool, BridgeSettings, PublishPolicy};
use serde_json::Value;

use super::values::{ConfigError, Values};

fn invalid(name: &str, why: impl Into<String>) -> ConfigError {
    ConfigError::Invalid { name: name.to_owned(), why: why.into() }
}

/// The default bridge, and what holds for all networks.
pub(super) fn build(values: &Values, defaults: &BridgeSettings) -> Result<BridgeSettings, ConfigError> {
    let optional = |name: &str| values.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let or = |name: &str, default: &str| optional(name).unwrap_or_else(|| default.to_owned());
    let on = |name: &str, default: bool| values.flag(name).unwrap_or(default);
    let mtu = values.number("mtu").unwrap_or(0);
    let bridge = BridgeSettings {
        name: or("bridge", &defaults.name),
        bip: optional("bip"),
        fixed_cidr: optional("fixed-cidr"),
        default_gateway: optional("default-gateway"),
        default_gateway_v6: optional("default-gateway-v6"),
        host_gateways: host_gateways(values)?,
        ipv6: on("ipv6", defaults.ipv6),
        bip6: optional("bip6"),
        fixed_cidr_v6: optional("fixed-cidr-v6"),
        address_pools: values.items("default-address-pools").iter().map(pool).collect::<Result<_, _>>()?,
        default_network_options: default_options(values)?,
        firewall_v6: on("ip6tables", defaults.firewall_v6),
        direct_routing: on("allow-direct-routing", defaults.direct_routing),
        publish_policy: policy(values)?,
        mtu: u32::try_from(mtu).map_err(|_| invalid("mtu", format!("invalid default MTU: {mtu}")))?,
        icc: on("icc", defaults.icc),
        ip_masq: on("ip-masq", defaults.ip_masq),
        ip_forward: on("ip-forward", defaults.ip_forward),
        host_ip: or("ip", &defaults.host_ip),
        firewall: on("iptables", defaults.firewall),
        userland_proxy: on("userland-proxy", defaults.userland_proxy),
    };
    if bridge.bip.is_some() && optional("bridge").is_some() {
        let why = "you specified -b & --bip, mutually exclusive options. Please specify only one";
        return Err(invalid("bridge", why));
    }
    Ok(bridge)
}

/// From the list, or from the single address that it was before Docker 28.
fn host_gateways(values: &Values) -> Result<Vec<IpAddr>, ConfigError> {
    let bad = |why: &str| invalid("host-gateway-ips", why);
    let single = values.text("host-gateway-ip").filter(|text| !text.is_empty()).map(str::to_owned);
    let addresses =
        values.list("host-gateway-ips").into_iter().chain(single).map(|text| {
            text.trim().parse::<IpAddr>().map_err(|_| bad(&format!("{text} is not an ip address")))
        });
    let addresses: Vec<IpAddr> = addresses.collect::<Result<_, _>>()?;
    for (family, is_of) in [("IPv4", IpAddr::is_ipv4 as fn(&IpAddr) -> bool), ("IPv6", IpAddr::is_ipv6)] {
        if addresses.iter().filter(|address| is_of(address)).count() > 1 {
            return Err(bad(&format!("only one {family} host gateway IP address can be specified")));
        }
    }
    Ok(addresses)
}

fn policy(values: &Values) -> Result<PublishPolicy, ConfigError> {
    match values.text("publish-policy").unwrap_or_default() {
        "" | "docker" => Ok(PublishPolicy::Docker),
        "host-firewall" => Ok(PublishPolicy::HostFirewall),
        other => Err(invalid("publish-policy", format!("{other:?} is not one of docker, host-firewall"))),
    }
}

/// `base=172.30.0.0/16,size=24` from a flag, an object with `base` and `size` from the file.
fn pool(value: &Value) -> Result<AddressPool, ConfigError> {
    let bad = |why: String| invalid("default-address-pools", why);
    let (mut base, mut size) = (String::new(), String::new());
    let mut set = |key: &str, value: String| match key {
        "base" => base = value,
        "size" => size = value,
        // Anything else is nobody's, and says so below.
        _ => {}
    };
    match value {
        Value::String(text) => {
            for field in text.split(',') {
                let (key, value) =
                    field.split_once('=').filter(|(key, _)| matches!(*key, "base" | "size")).ok_or_else(
                        || bad(format!("invalid field '{field}': it should be base=CIDR or size=BITS")),
                    )?;
                set(key, value.to_owned());
            }
        }
        other => {
            for (key, value) in other.as_object().into_iter().flatten() {
                set(
                    &key.to_ascii_lowercase(),
                    value.as_str().map_or_else(|| value.to_string(), str::to_owned),
                );
            }
        }
    }
    let net: ipnet::IpNet =
        base.parse().map_err(|_| bad(format!("invalid base pool {base:?}: invalid CIDR address")))?;
    let bits = size.parse::<u8>().ok().filter(|bits| *bits <= net.max_prefix_len());
    let bits = bits.ok_or_else(|| bad(format!("invalid pool size {size:?}")))?;
    if bits < net.prefix_len() {
        return Err(bad(format!("invalid pools: the base {net} is smaller than a network of size {bits}")));
    }
    if net != net.trunc() {
        return Err(bad(format!("invalid base pool {net}: it should be {}", net.trunc())));
    }
    Ok((net, bits))
}

/// By driver.
fn default_options(values: &Values) -> Result<BTreeMap<String, BTreeMap<String, String>>, ConfigError> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let of_driver = |(driver, options): (String, Value)| match options {
        Value::Object(options) => {
            Ok((driver, options.iter().map(|(option, value)| (option.clone(), text(value))).collect()))
        }
        other => Err(invalid("default-network-opts", format!("{driver}: {other} is no object of options"))),
    };
    values.map("default-network-opts").into_iter().map(of_driver).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::values::from_flags;
    use super::*;

    fn built(line: &str) -> Result<BridgeSettings, String> {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        build(&from_flags(&args).unwrap(), &BridgeSettings::default()).map_err(|e| e.to_string())
    }

    #[test]
    fn pools_and_options_reach_the_settings() {
        let settings = built(
            "--default-address-pool base=172.30.0.0/16,size=24 --default-address-pool base=fd00:1::/48,size=64 \
             --default-network-opt bridge=com.docker.network.driver.mtu=1400 --default-network-opt bridge=a=b \
             --ipv6 --fixed-cidr-v6 fd00:2::/64 --publish-policy host-firewall",
        )
        .unwrap();
        let pools =
            [("172.30.0.0/16", 24), ("fd00:1::/48", 64)].map(|(net, bits)| (net.parse().unwrap(), bits));
        assert_eq!(settings.address_pools, pools);
        assert_eq!(settings.default_network_options["bridge"]["com.docker.network.driver.mtu"], "1400");
        assert_eq!(settings.default_network_options["bridge"]["a"], "b");
        assert!(settings.ipv6 && settings.publish_policy == PublishPolicy::HostFirewall);
        assert_eq!(
            pool(&serde_json::json!({"base": "10.0.0.0/8", "size": 24})).unwrap(),
            ("10.0.0.0/8".parse().unwrap(), 24)
        );
    }

    #[test]
    fn the_hosts_gateway_may_have_an_address_of_each_family() {
        let settings = built("--host-gateway-ip fd00::1 --host-gateway-ip 10.0.0.1").unwrap();
        let expected: [IpAddr; 2] = ["fd00::1".parse().unwrap(), "10.0.0.1".parse().unwrap()];
        assert_eq!(settings.host_gateways, expected);
    }

    #[test]
    fn nonsense_is_refused() {
        for (line, want) in [
            ("--publish-policy no", "publish-policy: \"no\" is not one of docker, host-firewall"),
            (
                "--default-address-pool base=10.0.0.0/16,size=8",
                "default-address-pools: invalid pools: the base 10.0.0.0/16 is smaller than a network of size 8",
            ),
            (
                "--default-address-pool base=x,size=8",
                "default-address-pools: invalid base pool \"x\": invalid CIDR address",
            ),
            ("--host-gateway-ip x", "host-gateway-ips: x is not an ip address"),
            (
                "--host-gateway-ip 10.0.0.1 --host-gateway-ip fd00::1 --host-gateway-ip 10.0.0.2",
                "host-gateway-ips: only one IPv4 host gateway IP address can be specified",
            ),
            ("--default-network-opt bridge=a", "default-network-opts: bridge: \"a\" is no object of options"),
        ] {
            assert_eq!(built(line).unwrap_err(), want, "{line}");
        }
    }
}
