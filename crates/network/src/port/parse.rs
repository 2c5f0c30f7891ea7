//! From Docker's port maps to requests: pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use types::config::{Config, HostConfig};

use crate::{Error, PortRequest, Protocol, Result};

/// Parses `port/protocol`, where the protocol may be missing (`tcp`).
///
/// # Errors
/// Not a port or not a protocol, in Docker's words.
pub fn parse_exposed(text: &str) -> Result<(u16, Protocol)> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, ""));
    let number = port
        .parse::<u16>()
        .map_err(|_| Error::InvalidPort(format!("invalid port specification: {text:?}")))?;
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "" | "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        other => return Err(Error::InvalidPort(format!("invalid proto: {other}"))),
    };
    Ok((number, protocol))
}

/// Everything a container wants published: its `PortBindings`, and with `PublishAllPorts` each exposed port that has
/// no binding. Ordered by container port and protocol, as Docker assigns them.
///
/// # Errors
/// A text that is not a port, a range or an address, in Docker's words.
pub fn port_requests(config: &Config, host: &HostConfig) -> Result<Vec<PortRequest>> {
    let mut wanted: BTreeMap<(u16, Protocol), Vec<PortRequest>> = BTreeMap::new();
    for (port, bindings) in host.port_bindings.iter().flatten() {
        let (container_port, protocol) = parse_exposed(port)?;
        let requests = wanted.entry((container_port, protocol)).or_default();
        for binding in bindings.iter().flatten() {
            requests.push(PortRequest {
                container_port,
                protocol,
                host_ip: parse_host_ip(&binding.host_ip)?,
                host_ports: parse_host_ports(&binding.host_port)?,
            });
        }
    }
    if host.publish_all_ports {
        for port in config.exposed_ports.keys() {
            // An image may expose any text; what is no port is not published.
            let Ok((container_port, protocol)) = parse_exposed(port) else { continue };
            let requests = wanted.entry((container_port, protocol)).or_default();
            if requests.is_empty() {
                requests.push(PortRequest { container_port, protocol, host_ip: None, host_ports: None });
            }
        }
    }
    Ok(wanted.into_values().flatten().collect())
}

fn parse_host_ip(text: &str) -> Result<Option<IpAddr>> {
    match text.trim_start_matches('[').trim_end_matches(']') {
        "" => Ok(None),
        bare => bare.parse().map(Some).map_err(|_| Error::InvalidAddress(text.to_owned())),
    }
}

/// `8080`, `8080-8090`, or nothing (or 0) for any.
fn parse_host_ports(text: &str) -> Result<Option<(u16, u16)>> {
    let bad = || Error::InvalidPort(format!("invalid port specification: {text:?}"));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    if text.is_empty() {
        return Ok(None);
    }
    let range: (u16, u16) = (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
    match range {
        (0, 0) => Ok(None),
        (first, last) if first == 0 || last < first => Err(bad()),
        range => Ok(Some(range)),
    }
}

#[cfg(test)]
mod tests {
    use types::config::PortBinding;

    use super::*;

    fn bindings(of: &[(&str, &[(&str, &str)])]) -> HostConfig {
        let port_bindings = of.iter().map(|(port, list)| {
            let list = list
                .iter()
                .map(|(ip, port)| PortBinding { host_ip: (*ip).to_owned(), host_port: (*port).to_owned() })
                .collect();
            ((*port).to_owned(), Some(list))
        });
        HostConfig { port_bindings: Some(port_bindings.collect()), ..HostConfig::default() }
    }

    fn check(host: &HostConfig, exposed: &[&str], expect: &str) {
        let config = Config {
            exposed_ports: exposed.iter().map(|port| ((*port).to_owned(), Default::default())).collect(),
            ..Config::default()
        };
        let text = match port_requests(&config, host) {
            Ok(requests) => requests
                .iter()
                .map(|r| {
                    let ip = r.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
                    format!("{}/{}={ip}:{:?}", r.container_port, r.protocol, r.host_ports)
                })
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => error.to_string(),
        };
        assert_eq!(text, expect);
    }

    #[test]
    fn bindings_become_requests_in_the_order_of_ports() {
        let host = bindings(&[
            ("9000/tcp", &[("", "")]),
            ("80/tcp", &[("127.0.0.1", "18081"), ("[::1]", "0")]),
            ("81/udp", &[("", "8000-8010")]),
        ]);
        check(
            &host,
            &["80/tcp", "7/tcp"],
            "80/tcp=127.0.0.1:Some((18081, 18081)) 80/tcp=::1:None 81/udp=:Some((8000, 8010)) 9000/tcp=:None",
        );
    }

    #[test]
    fn publish_all_adds_exposed_ports_without_a_binding() {
        let host = HostConfig { publish_all_ports: true, ..bindings(&[("80", &[("", "8080")])]) };
        check(&host, &["80/tcp", "53/udp"], "53/udp=:None 80/tcp=:Some((8080, 8080))");
    }

    #[test]
    fn nonsense_is_refused_in_dockers_words() {
        for (port, ip, host, expect) in [
            ("x", "", "", "invalid port specification: \"x\""),
            ("80/icmp", "", "", "invalid proto: icmp"),
            ("80", "nowhere", "", "invalid IP address: nowhere"),
            ("80", "", "70000", "invalid port specification: \"70000\""),
            ("80", "", "90-80", "invalid port specification: \"90-80\""),
            ("80", "", "0-80", "invalid port specification: \"0-80\""),
        ] {
            check(&bindings(&[(port, &[(ip, host)])]), &[], expect);
        }
    }
}
