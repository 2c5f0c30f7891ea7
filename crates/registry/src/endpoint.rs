//! Which addresses may serve a registry domain, in the order in which Docker tries them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Options, PlainHttp};

/// The host behind `docker.io`.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// One address that may serve a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://host[:port]`, without a trailing slash; a mirror may have a path.
    pub url: String,
    /// Whether another endpoint is the truth and this one only a copy.
    pub mirror: bool,
    /// Whether its certificate need not be known.
    pub insecure: bool,
}

impl Endpoint {
    /// `host[:port]`, the name under which `certs.d` keeps its certificates.
    pub fn host(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or(rest)
    }

    /// Whether this is HTTP over TLS.
    pub fn is_tls(&self) -> bool {
        self.url.starts_with("https://")
    }
}

/// The endpoints of `domain`: mirrors (of docker.io only), HTTPS, then plain HTTP if the host is an insecure one.
pub fn endpoints(options: &Options, domain: &str) -> Vec<Endpoint> {
    if domain == types::reference::DEFAULT_DOMAIN {
        let mirror = |url: &String| {
            let url = url.trim_end_matches('/').to_owned();
            let endpoint = Endpoint { url, mirror: true, insecure: false };
            let insecure = is_insecure(options, endpoint.host());
            Endpoint { insecure, ..endpoint }
        };
        let hub = Endpoint { url: format!("https://{DOCKER_HUB_HOST}"), mirror: false, insecure: false };
        return options.mirrors.iter().map(mirror).chain([hub]).collect();
    }
    let insecure = is_insecure(options, domain);
    let mut found = vec![Endpoint { url: format!("https://{domain}"), mirror: false, insecure }];
    if insecure && options.plain_http != PlainHttp::Never {
        found.push(Endpoint { url: format!("http://{domain}"), mirror: false, insecure });
    }
    found
}

/// `localhost`, 127.0.0.0/8, ::1, and what `insecure-registries` names by host, host:port, address or CIDR.
fn is_insecure(options: &Options, domain: &str) -> bool {
    let host = host_of(domain);
    let address = host.parse::<IpAddr>().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    options.insecure.iter().any(|entry| {
        let entry = entry.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        match (entry.split_once('/'), address) {
            (Some((network, bits)), Some(address)) => in_network(address, network, bits),
            (Some(_), None) => false,
            (None, _) => entry.eq_ignore_ascii_case(domain),
        }
    })
}

fn host_of(domain: &str) -> &str {
    match domain.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => domain.split(':').next().unwrap_or(domain),
    }
}

fn in_network(address: IpAddr, network: &str, bits: &str) -> bool {
    let Ok(bits) = bits.parse::<u32>() else { return false };
    match (address, network.parse()) {
        (IpAddr::V4(address), Ok(IpAddr::V4(network))) if bits <= 32 => {
            let mask = |ip: Ipv4Addr| u64::from(ip.to_bits()) >> (32 - bits);
            mask(address) == mask(network)
        }
        (IpAddr::V6(address), Ok(IpAddr::V6(network))) if bits <= 128 => {
            let mask = |ip: Ipv6Addr| ip.to_bits().checked_shr(128 - bits).unwrap_or(0);
            mask(address) == mask(network)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(domain: &str, expect: &str) {
        let options = Options {
            mirrors: vec!["https://mirror.example/".into(), "http://10.1.2.3:5000".into()],
            insecure: vec!["plain.example:80".into(), "10.0.0.0/8".into(), "fd00::/8".into()],
            ..Options::default()
        };
        let got: Vec<String> = endpoints(&options, domain)
            .into_iter()
            .map(|e| {
                format!("{}{}{}", e.url, if e.mirror { " m" } else { "" }, if e.insecure { " i" } else { "" })
            })
            .collect();
        assert_eq!(got.join(", "), expect, "{domain}");
    }

    #[test]
    fn endpoints_are_tried_in_dockers_order() {
        check(
            "docker.io",
            "https://mirror.example m, http://10.1.2.3:5000 m i, https://registry-1.docker.io",
        );
        check("r.example", "https://r.example");
        check("r.example:5000", "https://r.example:5000");
        check("localhost:5000", "https://localhost:5000 i, http://localhost:5000 i");
        check("127.9.9.9:5000", "https://127.9.9.9:5000 i, http://127.9.9.9:5000 i");
        check("[::1]:5000", "https://[::1]:5000 i, http://[::1]:5000 i");
        check("plain.example:80", "https://plain.example:80 i, http://plain.example:80 i");
        check("plain.example", "https://plain.example");
        check("10.200.0.1", "https://10.200.0.1 i, http://10.200.0.1 i");
        check("11.0.0.1", "https://11.0.0.1");
        check("[fd12::1]:1", "https://[fd12::1]:1 i, http://[fd12::1]:1 i");
        check("[fe80::1]:1", "https://[fe80::1]:1");
    }
}
