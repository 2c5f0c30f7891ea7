//! Hardware and fixed addresses as texts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use types::config::EndpointIpam;

use crate::{Error, Result};

/// Reads `02:42:ac:11:00:02` (or with dashes).
pub(crate) fn parse_mac(text: &str) -> Result<[u8; 6]> {
    let bad = || Error::InvalidMac(text.to_owned());
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2).ok_or_else(bad)?;
        *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
    }
    // The kernel refuses group addresses and the zero address for an interface.
    if parts.next().is_some() || mac[0] & 1 != 0 || mac == [0; 6] { Err(bad()) } else { Ok(mac) }
}

/// Writes it.
pub(crate) fn format_mac(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The fixed addresses of a request: IPv4 and IPv6.
pub(crate) fn fixed(ipam: Option<&EndpointIpam>) -> Result<(Option<Ipv4Addr>, Option<Ipv6Addr>)> {
    let Some(ipam) = ipam else { return Ok((None, None)) };
    let bad = |text: &str| Error::InvalidAddress(text.to_owned());
    let v4 = match ipam.ipv4_address.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| bad(text))?),
    };
    let v6 = match ipam.ipv6_address.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| bad(text))?),
    };
    Ok((v4, v6))
}

/// The link-local addresses of a request, each with the prefix that Docker gives it.
pub(crate) fn link_local(ipam: Option<&EndpointIpam>) -> Result<Vec<IpNet>> {
    let texts = ipam.and_then(|ipam| ipam.link_local_ips.as_deref()).unwrap_or_default();
    let net = |text: &String| {
        let bad = || Error::InvalidAddress(text.clone());
        let address: IpAddr = text.parse().map_err(|_| bad())?;
        IpNet::new(address, if address.is_ipv4() { 16 } else { 64 }).map_err(|_| bad())
    };
    texts.iter().map(net).collect()
}

/// The first address of a subnet that a host may have.
pub(crate) fn first_host(subnet: IpNet) -> IpAddr {
    // Of IPv6 the first is any router's.
    subnet.hosts().find(|ip| *ip != subnet.network()).unwrap_or(subnet.network())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_are_parsed() {
        let mac = [2, 0x42, 172, 17, 0, 2];
        assert_eq!(format_mac(mac), "02:42:ac:11:00:02");
        assert_eq!(parse_mac("02-42-AC-11-00-02").unwrap(), mac);
        for bad in [
            "",
            "02:42",
            "02:42:ac:11:00:02:01",
            "02:42:ac:11:00:0g",
            "01:00:00:00:00:01",
            "00:00:00:00:00:00",
            "2:42:ac:11:0:2",
        ] {
            assert!(parse_mac(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_first_host_is_no_networks_address() {
        for (subnet, first) in
            [("10.0.0.0/24", "10.0.0.1"), ("10.0.0.4/31", "10.0.0.5"), ("fd00::/64", "fd00::1")]
        {
            assert_eq!(first_host(subnet.parse().unwrap()).to_string(), first, "{subnet}");
        }
    }
}
