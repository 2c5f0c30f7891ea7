//! The default bridge: choosing its subnet, making it, finding it again, and plugging containers in.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use ipnet::Ipv4Net;

use crate::namespace::Namespace;
use crate::netlink::Socket;
use crate::netlink::message::Batch;
use crate::netlink::route::{self, Link, Veth};
use crate::{Bridge, Endpoint, Error, NetworkConfig, Result, host_resolv_conf, ipam};

const DEFAULT_MTU: u32 = 1500;
/// The default network's name for users.
pub(crate) const DEFAULT_NETWORK: &str = "bridge";
/// `IFNAMSIZ` less the zero byte.
const NAME_LEN: usize = 15;
/// Interfaces of ours are called this and the first digits of their endpoint's id.
const VETH_PREFIX: &str = "veth";
const VETH_DIGITS: usize = 11;

/// Name of an endpoint's interface on the host.
pub(crate) fn host_interface(endpoint_id: &str) -> String {
    format!("{VETH_PREFIX}{}", endpoint_id.get(..VETH_DIGITS).unwrap_or(endpoint_id))
}

/// Looks at the host and decides what the bridge will be. What is there already stays as it is.
pub(crate) fn choose(config: &NetworkConfig, socket: &mut Socket) -> Result<Bridge> {
    let name = &config.bridge;
    check_name(name)?;
    let look = |error| Error::kernel("look at the host's interfaces", error);
    let link = socket.link(name).map_err(look)?;
    if let Some(link) = &link
        && link.kind != "bridge"
    {
        return Err(Error::InvalidBridge(format!("interface {name} exists and is no bridge")));
    }
    let index = link.map_or(0, |link| link.index);
    let addresses = socket.addresses().map_err(look)?;
    let own = addresses.iter().find(|(on, _)| *on == index && index != 0).map(|(_, address)| *address);
    let used: Vec<Ipv4Net> = socket
        .routes()
        .map_err(look)?
        .into_iter()
        .filter(|(on, _)| *on != index)
        .map(|(_, net)| net)
        .collect();

    let address = match (config.bip, own, config.subnet) {
        (Some(bip), ..) => checked(bip, name, &used)?,
        (None, Some(own), _) => own,
        (None, None, Some(subnet)) if !used.iter().any(|other| ipam::overlaps(subnet, *other)) => {
            first_host(subnet)
        }
        _ => first_host(free_subnet(config, used)?),
    };
    Ok(Bridge {
        network: DEFAULT_NETWORK.to_owned(),
        interface: name.clone(),
        subnet: address.trunc(),
        range: config.fixed_cidr,
        reserved: Vec::new(),
        gateway: address.addr(),
        internal: false,
        mtu: if config.mtu == 0 { DEFAULT_MTU } else { config.mtu },
        icc: config.icc,
        ip_masq: config.ip_masq,
        default_host_ip: config.default_host_ip,
    })
}

/// What the kernel takes as the name of an interface.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.is_empty()
        || matches!(name, "." | "..")
        || name.len() > NAME_LEN
        || name.contains(['/', ':'])
        || name.contains(char::is_whitespace)
    {
        return Err(Error::InvalidBridge(format!("{name:?} is no interface name")));
    }
    Ok(())
}

/// A configured address must be a host's, and its subnet must not be anywhere else on this host.
fn checked(bip: Ipv4Net, bridge: &str, used: &[Ipv4Net]) -> Result<Ipv4Net> {
    let address = bip.addr();
    let ends = bip.prefix_len() < 31 && (address == bip.network() || address == bip.broadcast());
    if bip.prefix_len() > 30
        || ends
        || address.is_loopback()
        || address.is_multicast()
        || address.is_unspecified()
    {
        return Err(Error::InvalidBridge(format!("{bip} (bip) is not a host's address in a subnet")));
    }
    match used.iter().find(|other| ipam::overlaps(bip, **other)) {
        Some(other) => Err(Error::Overlap { subnet: bip.trunc(), bridge: bridge.to_owned(), other: *other }),
        None => Ok(bip),
    }
}

fn first_host(subnet: Ipv4Net) -> Ipv4Net {
    let first = subnet.hosts().next().unwrap_or(subnet.network());
    Ipv4Net::new(first, subnet.prefix_len()).unwrap_or(subnet)
}

/// The first of the pools that overlaps no subnet and no name server of the host.
pub(crate) fn free_subnet(config: &NetworkConfig, mut used: Vec<Ipv4Net>) -> Result<Ipv4Net> {
    let (_, host_file) = host_resolv_conf();
    let servers =
        host_file.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok());
    used.extend(servers.filter_map(|server: Ipv4Addr| Ipv4Net::new(server, 32).ok()));
    let pools =
        if config.address_pools.is_empty() { ipam::default_pools() } else { config.address_pools.clone() };
    ipam::free_subnet(&pools, &used).ok_or(Error::NoSubnet)
}

/// What makes a bridge ours alone, as long as we live: another daemon that set it up too would remove our interfaces
/// and rules as leftovers. An abstract socket's name belongs to the network namespace and goes with the process.
pub(crate) fn claim(name: &str) -> Result<UnixDatagram> {
    let address = SocketAddr::from_abstract_name(format!("wharf-bridge-{name}"));
    address.and_then(|address| UnixDatagram::bind_addr(&address)).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Error::BridgeInUse(name.to_owned()),
        _ => Error::kernel(format!("claim bridge {name}"), error),
    })
}

/// Makes the bridge or brings it to what it should be; returns its index. Idempotent.
pub(crate) fn setup(bridge: &Bridge, socket: &mut Socket) -> Result<u32> {
    let name = &bridge.interface;
    let failed = |error: io::Error| Error::kernel(format!("set up bridge {name}"), error);
    let look = |error| Error::kernel(format!("look at bridge {name}"), error);
    let link = match socket.link(name).map_err(look)? {
        Some(link) if link.kind != "bridge" => {
            return Err(Error::InvalidBridge(format!("interface {name} exists and is no bridge")));
        }
        Some(link) => link,
        None => {
            let mut batch = Batch::new();
            route::put_bridge(&mut batch, name, mac_of(bridge.gateway), bridge.mtu);
            socket.request(&mut batch).map_err(failed)?;
            without_ipv6(name)?;
            socket.link(name).map_err(look)?.ok_or_else(|| {
                Error::kernel(format!("set up bridge {name}"), io::Error::from(io::ErrorKind::NotFound))
            })?
        }
    };
    let want = Ipv4Net::new(bridge.gateway, bridge.subnet.prefix_len())
        .map_err(|error| Error::InvalidBridge(error.to_string()))?;
    let mut batch = Batch::new();
    let mut present = false;
    for (_, address) in socket.addresses().map_err(look)?.into_iter().filter(|(on, _)| *on == link.index) {
        if address == want {
            present = true;
        } else {
            route::put_delete_address(&mut batch, link.index, address);
        }
    }
    if !present {
        route::put_address(&mut batch, link.index, want);
    }
    if !link.up {
        route::put_up(&mut batch, link.index);
    }
    socket.request(&mut batch).map_err(failed)?;
    // The host reaches published ports by 127.0.0.1 too: such packets leave through the bridge. The firewall keeps
    // what arrives there away from the host's loopback.
    write_sysctl(&format!("net/ipv4/conf/{name}/route_localnet"), "1")?;
    Ok(link.index)
}

const IP_FORWARD: &str = "net/ipv4/ip_forward";

/// Whether the host passes packets on.
pub(crate) fn forwards() -> bool {
    fs::read_to_string(format!("/proc/sys/{IP_FORWARD}")).is_ok_and(|now| now.trim() != "0")
}

/// Makes it do so.
pub(crate) fn forward() -> Result<()> {
    write_sysctl(IP_FORWARD, "1")
}

/// An IPv4 bridge has no use for link-local addresses and their traffic.
fn without_ipv6(name: &str) -> Result<()> {
    match write_sysctl(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1") {
        Err(error) if error.is_missing() => Ok(()),
        other => other,
    }
}

/// Sets a kernel parameter of the calling thread's namespace, unless it has that value: where `/proc/sys` is
/// read-only the administrator may have set it.
fn write_sysctl(name: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/{name}");
    if fs::read_to_string(&path).is_ok_and(|now| now.trim() == value) {
        return Ok(());
    }
    fs::write(&path, value).map_err(|error| Error::kernel(format!("set {path} to {value}"), error))
}

/// Plugs live containers in again if their ports were torn off the bridge, and removes what else is left of ours.
pub(crate) fn reconcile(index: u32, live: &[Endpoint], socket: &mut Socket) -> Result<()> {
    let failed = |error: io::Error| Error::kernel("plug endpoints into the bridge", error);
    let links = socket.links().map_err(|error| Error::kernel("look at the host's interfaces", error))?;
    for link in links.iter().filter(|link| link.kind == "veth") {
        let mut batch = Batch::new();
        let known = live.iter().any(|endpoint| endpoint.host_interface == link.name);
        if known && link.master != index {
            route::put_master(&mut batch, &link.name, index);
        } else if !known && is_leftover(link, index) {
            route::put_delete(&mut batch, link.index);
        }
        match socket.request(&mut batch).map_err(failed) {
            // Its namespace went away meanwhile, and it with it.
            Err(error) if error.is_missing() => {}
            other => other?,
        }
    }
    Ok(())
}

/// Ours: a port of our bridge with a name of our making.
fn is_leftover(link: &Link, bridge_index: u32) -> bool {
    link.master == bridge_index
        && link.name.len() == VETH_PREFIX.len() + VETH_DIGITS
        && link.name.starts_with(VETH_PREFIX)
}

/// Makes the pair and sets up the container's end.
pub(crate) fn plug(
    bridge: &Bridge,
    bridge_index: u32,
    endpoint: &Endpoint,
    namespace: &mut Namespace,
    socket: &mut Socket,
) -> Result<()> {
    let mac = parse_mac(&endpoint.mac)?;
    let name = &endpoint.interface;
    let mut batch = Batch::new();
    route::put_veth(
        &mut batch,
        &Veth {
            host_name: &endpoint.host_interface,
            bridge_index,
            mtu: bridge.mtu,
            peer_name: name,
            peer_mac: mac,
            netns: std::os::fd::AsFd::as_fd(&namespace.fd),
            isolated: !bridge.icc,
        },
    );
    socket.request(&mut batch).map_err(|error| {
        Error::kernel(format!("make interface {} on {}", endpoint.host_interface, bridge.interface), error)
    })?;

    let failed =
        |error: io::Error| Error::kernel(format!("set up {name} of endpoint {}", endpoint.id), error);
    let link = namespace.route.link(name).map_err(failed)?;
    let index = link.map(|link| link.index).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let address = Ipv4Net::new(endpoint.address, endpoint.prefix)
        .map_err(|error| Error::InvalidAddress(error.to_string()))?;
    let mut batch = Batch::new();
    route::put_up(&mut batch, index);
    route::put_address(&mut batch, index, address);
    namespace.route.request(&mut batch).map_err(failed)?;

    // In this order: a bridge has a carrier when one of its ports has.
    namespace.route.settle(name).map_err(failed)?;
    socket.settle(&endpoint.host_interface).and_then(|()| socket.settle(&bridge.interface)).map_err(failed)
}

/// Takes a live container's interface away: its end goes with ours.
pub(crate) fn unplug(endpoint: &Endpoint, socket: &mut Socket) -> Result<()> {
    teardown(&endpoint.host_interface, socket)
}

/// Removes the bridge, or any interface.
pub(crate) fn teardown(name: &str, socket: &mut Socket) -> Result<()> {
    let look = |error| Error::kernel(format!("look at interface {name}"), error);
    if let Some(link) = socket.link(name).map_err(look)? {
        let mut batch = Batch::new();
        route::put_delete(&mut batch, link.index);
        socket
            .request(&mut batch)
            .map_err(|error| Error::kernel(format!("remove interface {name}"), error))?;
    }
    Ok(())
}

/// Docker's hardware addresses: locally administered, unicast, made from the IPv4 address. The same address always
/// has the same one, so nobody's neighbour table is out of date when an address is used again.
pub(crate) fn mac_of(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

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

/// A fixed IPv4 address from a request.
pub(crate) fn parse_address(text: &str) -> Result<Ipv4Addr> {
    match text.parse() {
        Ok(IpAddr::V4(address)) => Ok(address),
        _ => Err(Error::InvalidAddress(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_are_made_from_addresses_and_parsed() {
        let mac = mac_of("172.17.0.2".parse().unwrap());
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
    fn a_configured_bridge_address_is_checked() {
        for (bip, ok) in [
            ("10.9.0.1/24", true),
            ("10.9.0.0/24", false),
            ("10.9.0.255/24", false),
            ("10.9.0.1/32", false),
            ("127.0.0.1/8", false),
            ("192.0.2.1/24", false),
        ] {
            let used = ["192.0.2.0/25".parse().unwrap()];
            assert_eq!(checked(bip.parse().unwrap(), "wharf0", &used).is_ok(), ok, "{bip}");
        }
    }
}
