//! Options of the drivers, as texts. Pure; the words are Docker's.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use network::{BridgeOptions, GatewayMode, IpvlanFlag, IpvlanMode, MacvlanMode};
use types::{Error, Result};

use super::record::Driver;

type Options = BTreeMap<String, String>;

/// The prefix of bridge options.
const BRIDGE: &str = "com.docker.network.bridge.";
const MTU: &str = "com.docker.network.driver.mtu";
const DEFAULT_MTU: u32 = 1500;
const IFACE_PREFIX: &str = "com.docker.network.container_iface_prefix";
const DEFAULT_IFACE_PREFIX: &str = "eth";
const ENDPOINT: &str = "com.docker.network.endpoint.";

fn cannot_parse<T>(option: &str, value: &str, why: &str) -> Result<T> {
    Err(Error::invalid(format!("failed to parse {option} value: {value} ({why})")))
}

/// Go's `strconv.ParseBool`.
fn flag(options: &Options, option: &str, default: bool) -> Result<bool> {
    match options.get(option).map(String::as_str) {
        None => Ok(default),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => {
            cannot_parse(option, other, &format!("strconv.ParseBool: parsing {other:?}: invalid syntax"))
        }
    }
}

/// An option of the bridge driver, by the last part of its name.
pub(super) fn of_bridge<'a>(options: &'a Options, name: &str) -> Option<&'a str> {
    options.get(&format!("{BRIDGE}{name}")).map(String::as_str).filter(|value| !value.is_empty())
}

/// `com.docker.network.enable_ipv4`, `com.docker.network.enable_ipv6`.
pub(super) fn family(options: &Options, v6: bool) -> Result<Option<bool>> {
    let option = format!("com.docker.network.enable_ipv{}", if v6 { 6 } else { 4 });
    options.contains_key(&option).then(|| flag(options, &option, false)).transpose()
}

/// Bytes; 0 leaves it to the parent.
pub(super) fn mtu(driver: Driver, options: &Options) -> Result<u32> {
    let default = if driver == Driver::Bridge { DEFAULT_MTU } else { 0 };
    let Some(text) = options.get(MTU) else { return Ok(default) };
    match text.parse::<i64>() {
        Err(_) => cannot_parse(MTU, text, &format!("strconv.Atoi: parsing {text:?}: invalid syntax")),
        Ok(0) => Ok(default),
        Ok(number) => match u32::try_from(number) {
            Ok(mtu) if (68..=65535).contains(&mtu) => Ok(mtu),
            _ => Err(Error::invalid(format!("invalid MTU number: {number}"))),
        },
    }
}

/// A driver with its options.
pub(super) fn driver(driver: Driver, options: &Options) -> Result<network::Driver> {
    let text = |name: &str| options.get(name).map(String::as_str).unwrap_or_default();
    let invalid = |driver: &str, what: &str, text: &str, default: &str| {
        Error::internal(format!("requested {driver} {what} '{text}' is not valid, {default}"))
    };
    match driver {
        Driver::Macvlan => Ok(network::Driver::Macvlan(match text("macvlan_mode") {
            "" | "bridge" => MacvlanMode::Bridge,
            "private" => MacvlanMode::Private,
            "vepa" => MacvlanMode::Vepa,
            "passthru" => MacvlanMode::Passthru,
            other => {
                return Err(invalid("macvlan", "mode", other, "'bridge' mode is the macvlan driver default"));
            }
        })),
        Driver::Ipvlan => {
            let mode = match text("ipvlan_mode") {
                "" | "l2" => IpvlanMode::L2,
                "l3" => IpvlanMode::L3,
                "l3s" => IpvlanMode::L3s,
                other => {
                    return Err(invalid("ipvlan", "mode", other, "'l2' mode is the ipvlan driver default"));
                }
            };
            let flag = match text("ipvlan_flag") {
                "" | "bridge" => IpvlanFlag::Bridge,
                "private" => IpvlanFlag::Private,
                "vepa" => IpvlanFlag::Vepa,
                other => {
                    return Err(invalid("ipvlan", "flag", other, "'bridge' is the ipvlan driver default"));
                }
            };
            Ok(network::Driver::Ipvlan(mode, flag))
        }
        Driver::Bridge | Driver::Host | Driver::Null => Ok(network::Driver::Bridge(bridge(options)?)),
    }
}

fn bridge(options: &Options) -> Result<BridgeOptions> {
    let named = |name: &str| format!("{BRIDGE}{name}");
    let mode = |name: &str| match of_bridge(options, name) {
        None | Some("nat") => Ok(GatewayMode::Nat),
        Some("nat-unprotected") => Ok(GatewayMode::NatUnprotected),
        Some("routed") => Ok(GatewayMode::Routed),
        Some("isolated") => Ok(GatewayMode::Isolated),
        Some(other) => cannot_parse(&named(name), other, &format!("unknown gateway mode {other}")),
    };
    let default_host_ip = match of_bridge(options, "host_binding_ipv4") {
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Some(text) => match text.parse() {
            Ok(ip) => ip,
            Err(_) => return cannot_parse(&named("host_binding_ipv4"), text, "nil ip"),
        },
    };
    let trusted = of_bridge(options, "trusted_host_interfaces").unwrap_or_default();
    Ok(BridgeOptions {
        icc: flag(options, &named("enable_icc"), true)?,
        ip_masq: flag(options, &named("enable_ip_masquerade"), true)?,
        default_host_ip,
        inhibit_ipv4: flag(options, &named("inhibit_ipv4"), false)?,
        gateway_mode_v4: mode("gateway_mode_ipv4")?,
        gateway_mode_v6: mode("gateway_mode_ipv6")?,
        trusted_interfaces: trusted.split(':').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
    })
}

/// What the interfaces of containers are called, before their number.
pub(super) fn interface_prefix(options: &Options) -> &str {
    options.get(IFACE_PREFIX).map(String::as_str).filter(|p| !p.is_empty()).unwrap_or(DEFAULT_IFACE_PREFIX)
}

/// The name that an endpoint's options give its interface.
pub(crate) fn endpoint_interface(options: &Options) -> Option<&str> {
    options.get(&format!("{ENDPOINT}ifname")).map(String::as_str).filter(|name| !name.is_empty())
}

/// Parameters of an endpoint's interface: paths below `/proc/sys/net` with `IFNAME` in the place of its name.
pub(crate) fn endpoint_sysctls(options: &Options) -> Result<Vec<(String, String)>> {
    let option = format!("{ENDPOINT}sysctls");
    let Some(text) = options.get(&option).filter(|text| !text.is_empty()) else { return Ok(Vec::new()) };
    text.split(',')
        .map(|assignment| {
            let bad = || {
                Error::invalid(format!(
                    "unrecognised network interface sysctl '{assignment}'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'"
                ))
            };
            let is_word = |word: &str| {
                !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
            };
            let (key, value) = assignment.split_once('=').ok_or_else(bad)?;
            match key.split('.').collect::<Vec<_>>()[..] {
                // Docker's client makes all of it lower case.
                ["net", family @ ("ipv4" | "ipv6" | "mpls"), kind, interface, name]
                    if interface.eq_ignore_ascii_case("IFNAME") && is_word(kind) && is_word(name) =>
                {
                    Ok((format!("{family}/{kind}/IFNAME/{name}"), value.to_owned()))
                }
                _ => Err(bad()),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn options_are_refused_in_dockers_words() {
        for (kind, name, value, expect) in [
            (
                Driver::Bridge,
                "com.docker.network.bridge.gateway_mode_ipv4",
                "foo",
                "failed to parse com.docker.network.bridge.gateway_mode_ipv4 value: foo (unknown gateway mode foo)",
            ),
            (
                Driver::Bridge,
                "com.docker.network.bridge.enable_icc",
                "foo",
                "failed to parse com.docker.network.bridge.enable_icc value: foo (strconv.ParseBool: parsing \"foo\": invalid syntax)",
            ),
            (
                Driver::Bridge,
                "com.docker.network.bridge.host_binding_ipv4",
                "foo",
                "failed to parse com.docker.network.bridge.host_binding_ipv4 value: foo (nil ip)",
            ),
            (
                Driver::Bridge,
                MTU,
                "foo",
                "failed to parse com.docker.network.driver.mtu value: foo (strconv.Atoi: parsing \"foo\": invalid syntax)",
            ),
            (
                Driver::Macvlan,
                "macvlan_mode",
                "foo",
                "requested macvlan mode 'foo' is not valid, 'bridge' mode is the macvlan driver default",
            ),
            (
                Driver::Ipvlan,
                "ipvlan_mode",
                "foo",
                "requested ipvlan mode 'foo' is not valid, 'l2' mode is the ipvlan driver default",
            ),
            (
                Driver::Ipvlan,
                "ipvlan_flag",
                "foo",
                "requested ipvlan flag 'foo' is not valid, 'bridge' is the ipvlan driver default",
            ),
        ] {
            let options = options(&[(name, value)]);
            let wrong = driver(kind, &options).map(drop).and_then(|()| mtu(kind, &options).map(drop));
            assert_eq!(wrong.unwrap_err().message, expect);
        }
    }

    #[test]
    fn parameters_of_an_endpoint_touch_its_interface_alone() {
        let read = |text: &str| {
            let options = options(&[("com.docker.network.endpoint.sysctls", text)]);
            endpoint_sysctls(&options).map_err(|error| error.message)
        };
        assert_eq!(
            read("net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.neigh.IFNAME.mcast_solicit=5").unwrap(),
            [
                ("ipv4/conf/IFNAME/log_martians".to_owned(), "1".to_owned()),
                ("ipv6/neigh/IFNAME/mcast_solicit".to_owned(), "5".to_owned())
            ]
        );
        for bad in [
            "net.ipv4.conf.IFNAME.log_martians",
            "net.ipv4.conf.all.log_martians=1",
            "net.ipv4.conf.IFNAME.../../x=1",
            "kernel.msgmax=1",
            "net.ipv4.ip_forward=1",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
