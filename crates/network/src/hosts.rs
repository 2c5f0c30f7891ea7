//! `/etc/hosts` of a container.

use std::net::IpAddr;

use crate::{Error, Result};

/// What goes into the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostsFile<'a> {
    /// The container's host name; may be a full domain name.
    pub hostname: &'a str,
    /// The container's domain name, if any.
    pub domainname: &'a str,
    /// The container's own addresses; empty without a network of its own.
    pub addresses: &'a [IpAddr],
    /// `--add-host`, each `name:address` (or `name=address`), where the address may be `host-gateway`.
    pub extra_hosts: &'a [String],
    /// Linked containers: an address and all names.
    pub links: &'a [(IpAddr, String)],
    /// What `host-gateway` stands for: the default bridge's gateway, or `host-gateway-ips`.
    pub host_gateways: &'a [IpAddr],
    /// Kernel or network without IPv6: the IPv6 lines are left out.
    pub no_ipv6: bool,
}

const V4: [(&str, &str); 1] = [("127.0.0.1", "localhost")];
const V6: [(&str, &str); 5] = [
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::", "ip6-localnet"),
    ("ff00::", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
];

/// The file, in Docker's order: loopback, extra hosts, then the container's own lines.
///
/// # Errors
/// An extra host is not `name:address`, or asks for a gateway that is not known.
pub fn hosts_file(want: &HostsFile<'_>) -> Result<String> {
    let mut text = String::new();
    let mut put = |address: &str, names: &str| {
        text.push_str(address);
        text.push('\t');
        text.push_str(names);
        text.push('\n');
    };
    for (address, names) in V4 {
        put(address, names);
    }
    if !want.no_ipv6 {
        for (address, names) in V6 {
            put(address, names);
        }
    }
    for extra in want.extra_hosts {
        let (name, address) = split_extra(extra)?;
        if address == "host-gateway" {
            if want.host_gateways.is_empty() {
                let why = "unable to derive the IP value for host-gateway";
                return Err(Error::InvalidAddress(why.to_owned()));
            }
            for gateway in want.host_gateways {
                put(&gateway.to_string(), name);
            }
        } else {
            let address = address.trim_start_matches('[').trim_end_matches(']');
            put(address, name);
        }
    }
    for (address, names) in want.links {
        put(&address.to_string(), names);
    }
    let names = own_names(want.hostname, want.domainname);
    for address in want.addresses {
        put(&address.to_string(), &names);
    }
    Ok(text)
}

/// `/etc/hostname`.
pub fn hostname_file(hostname: &str) -> String {
    format!("{hostname}\n")
}

/// The host name as the file has it: the full name, then the first label if there are more.
pub fn own_names(hostname: &str, domainname: &str) -> String {
    let mut full = hostname.to_owned();
    if !domainname.is_empty() {
        full.push('.');
        full.push_str(domainname);
    }
    match full.split_once('.') {
        Some((first, _)) => format!("{full} {first}"),
        None => full,
    }
}

fn split_extra(extra: &str) -> Result<(&str, &str)> {
    let bad = || Error::InvalidAddress(format!("invalid extra host: {extra:?}"));
    let (name, address) = extra.split_once(['=', ':']).ok_or_else(bad)?;
    if name.is_empty() || address.is_empty() {
        return Err(bad());
    }
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    if address != "host-gateway" && bare.parse::<IpAddr>().is_err() {
        return Err(Error::InvalidAddress(format!("invalid IP address in add-host: {address:?}")));
    }
    Ok((name, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

    fn own() -> Vec<IpAddr> {
        vec!["172.17.0.2".parse().unwrap()]
    }

    #[test]
    fn a_bridged_container_has_loopback_and_its_own_name() {
        let addresses = own();
        let want = HostsFile { hostname: "web", addresses: &addresses, ..HostsFile::default() };
        assert_eq!(hosts_file(&want).unwrap(), format!("{LOOPBACK}172.17.0.2\tweb\n"));
    }

    #[test]
    fn a_domain_name_gives_both_names() {
        for (hostname, domainname) in [("web", "a.test"), ("web.a.test", "")] {
            let addresses = own();
            let want = HostsFile { hostname, domainname, addresses: &addresses, ..HostsFile::default() };
            assert_eq!(hosts_file(&want).unwrap(), format!("{LOOPBACK}172.17.0.2\tweb.a.test web\n"));
        }
    }

    #[test]
    fn extra_hosts_come_before_the_own_line_and_know_the_gateway() {
        let addresses = own();
        let extra = ["db:10.0.0.5".to_owned(), "v6=[fd00::1]".to_owned(), "up:host-gateway".to_owned()];
        let want = HostsFile {
            hostname: "web",
            addresses: &addresses,
            extra_hosts: &extra,
            host_gateways: &["172.17.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            ..HostsFile::default()
        };
        let expect =
            format!("{LOOPBACK}10.0.0.5\tdb\nfd00::1\tv6\n172.17.0.1\tup\nfd00::1\tup\n172.17.0.2\tweb\n");
        assert_eq!(hosts_file(&want).unwrap(), expect);
    }

    #[test]
    fn bad_extra_hosts_are_refused() {
        for bad in ["", "name", ":1.2.3.4", "name:", "name:nowhere", "gate:host-gateway"] {
            let extra = [bad.to_owned()];
            let want = HostsFile { extra_hosts: &extra, ..HostsFile::default() };
            assert!(hosts_file(&want).is_err(), "{bad}");
        }
    }

    #[test]
    fn without_ipv6_its_lines_are_left_out() {
        let want = HostsFile { no_ipv6: true, ..HostsFile::default() };
        assert_eq!(hosts_file(&want).unwrap(), "127.0.0.1\tlocalhost\n");
    }
}
