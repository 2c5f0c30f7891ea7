//! Bridges: an interface of the host's that its containers' interfaces are ports of.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use rustix::io::Errno;

use super::{NetworkDriver, remove_interface};
use crate::address::parse_mac;
use crate::default_bridge::check_name;
use crate::namespace::Namespace;
use crate::netlink::Socket;
use crate::netlink::message::Batch;
use crate::netlink::route::{self, Link, Veth};
use crate::{Endpoint, Error, GatewayMode, Network, Result};

/// Interfaces of ours are called this and the first digits of their endpoint's id.
const VETH_PREFIX: &str = "veth";
const VETH_DIGITS: usize = 11;
/// Each bridge with IPv6 has it, as in Docker.
const LINK_LOCAL: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), 64);

/// The driver.
pub(super) struct BridgeDriver;

impl NetworkDriver for BridgeDriver {
    fn validate(&self, network: &Network, others: &[&Network], host: &mut Socket) -> Result<()> {
        check_name(&network.interface)?;
        if let Some(other) = others.iter().find(|other| other.interface == network.interface) {
            return Err(Error::SameInterface {
                network: network.name.clone(),
                other: other.name.clone(),
                interface: network.interface.clone(),
            });
        }
        let isolated =
            [false, true].into_iter().find(|v6| network.gateway_mode(*v6) == GatewayMode::Isolated);
        if isolated.is_some() && !network.internal {
            return Err(Error::DriverOption(
                "gateway mode 'isolated' can only be used for an internal network".to_owned(),
            ));
        }
        existing(network, host).map(drop)
    }

    fn setup(&self, network: &Network, host: &mut Socket) -> Result<u32> {
        let name = &network.interface;
        let failed = |error: io::Error| Error::kernel(format!("set up bridge {name}"), error);
        let link = match existing(network, host)? {
            Some(link) => link,
            None => {
                let mut batch = Batch::new();
                let own = network.pools.iter().find_map(|pool| pool.gateway);
                let own = own.unwrap_or(IpAddr::V6(Ipv6Addr::LOCALHOST));
                route::put_bridge(&mut batch, name, mac_of(own), network.mtu);
                host.request(&mut batch).map_err(failed)?;
                existing(network, host)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?
            }
        };
        let wanted = network.host_addresses();
        let has_v6 = network.pool(true).is_some();
        set_ipv6(name, has_v6)?;
        let mut batch = Batch::new();
        let look = |error| Error::kernel(format!("look at bridge {name}"), error);
        let present = host.addresses().map_err(look)?.into_iter().filter(|(on, _)| *on == link.index);
        let present: Vec<IpNet> = present.map(|(_, address)| address).collect();
        let is_link_local =
            |address: &IpNet| matches!(address.addr(), IpAddr::V6(ip) if ip.is_unicast_link_local());
        for address in present.iter().filter(|a| !wanted.contains(a) && !is_link_local(a)) {
            route::put_delete_address(&mut batch, link.index, *address);
        }
        let link_local = has_v6.then_some(IpNet::V6(LINK_LOCAL));
        for address in wanted.into_iter().chain(link_local).filter(|address| !present.contains(address)) {
            route::put_address(&mut batch, link.index, address);
        }
        if !link.up {
            route::put_up(&mut batch, link.index);
        }
        host.request(&mut batch).map_err(failed)?;
        // The host reaches published ports by 127.0.0.1 too: such packets leave through the bridge. The firewall keeps
        // what arrives there away from the host's loopback.
        write_sysctl(&format!("net/ipv4/conf/{name}/route_localnet"), "1")?;
        Ok(link.index)
    }

    /// Down, it has no routes any more, and under another name it is in nobody's way: the next network may have its
    /// name and its subnet at once. One that was there before us stays as it is, as with Docker.
    fn teardown(&self, network: &Network, host: &mut Socket) -> Result<Option<u32>> {
        let name = &network.interface;
        if !network.owns_interface {
            return Ok(None);
        }
        let look = |error| Error::kernel(format!("look at bridge {name}"), error);
        let Some(link) = host.link(name).map_err(look)? else { return Ok(None) };
        let mut batch = Batch::new();
        route::put_retire(&mut batch, link.index, &retired_name(link.index));
        match host.request(&mut batch) {
            Ok(()) => Ok(Some(link.index)),
            // Somebody else was faster.
            Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => Ok(None),
            Err(error) => {
                tracing::debug!(name, %error, "a bridge is deleted at once");
                remove_interface(name, host).map(|()| None)
            }
        }
    }

    fn reconcile(&self, index: u32, live: &[Endpoint], host: &mut Socket) -> Result<()> {
        let failed = |error: io::Error| Error::kernel("plug endpoints into the bridge", error);
        let links = host.links().map_err(|error| Error::kernel("look at the host's interfaces", error))?;
        for link in links.iter().filter(|link| link.kind == "veth") {
            let mut batch = Batch::new();
            let known = live.iter().any(|endpoint| endpoint.host_interface == link.name);
            if known && link.master != index {
                route::put_master(&mut batch, &link.name, index);
            } else if !known && is_leftover(link, index) {
                route::put_delete(&mut batch, link.index);
            }
            match host.request(&mut batch).map_err(failed) {
                // Its namespace went away meanwhile, and it with it.
                Err(error) if error.is_missing() => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Makes the pair.
    fn plug(
        &self,
        network: &Network,
        index: u32,
        endpoint: &Endpoint,
        namespace: &Namespace,
        host: &mut Socket,
    ) -> Result<()> {
        let mac = parse_mac(&endpoint.mac)?;
        let mut batch = Batch::new();
        route::put_veth(
            &mut batch,
            &Veth {
                host_name: &endpoint.host_interface,
                bridge_index: index,
                mtu: network.mtu,
                peer_name: &endpoint.interface,
                peer_mac: mac,
                netns: std::os::fd::AsFd::as_fd(&namespace.fd),
                isolated: network.bridge().is_some_and(|bridge| !bridge.icc),
            },
        );
        host.request(&mut batch).map_err(|error| {
            let (interface, bridge) = (&endpoint.host_interface, &network.interface);
            Error::kernel(format!("make interface {interface} on {bridge}"), error)
        })
    }

    /// In this order: a bridge has a carrier when one of its ports has.
    fn settle(&self, network: &Network, endpoint: &Endpoint, host: &mut Socket) -> Result<()> {
        let settled = host.settle(&endpoint.host_interface).and_then(|()| host.settle(&network.interface));
        settled.map_err(|error| Error::kernel(format!("look at bridge {}", network.interface), error))
    }

    /// The container's end goes with ours.
    fn unplug(&self, endpoint: &Endpoint, _: &mut Namespace, host: &mut Socket) -> Result<()> {
        remove_interface(&endpoint.host_interface, host)
    }

    fn host_interface(&self, endpoint_id: &str) -> String {
        // No `veth0...`: who looks for an `eth0` on the host must not find this.
        let digits = endpoint_id.trim_start_matches('0');
        format!("{VETH_PREFIX}{}", digits.get(..VETH_DIGITS).unwrap_or(digits))
    }
}

/// The bridge, if there.
fn existing(network: &Network, host: &mut Socket) -> Result<Option<Link>> {
    let name = &network.interface;
    match host.link(name).map_err(|error| Error::kernel(format!("look at bridge {name}"), error))? {
        Some(link) if link.kind != "bridge" => {
            Err(Error::InvalidBridge(format!("interface {name} exists and is no bridge")))
        }
        link => Ok(link),
    }
}

/// What a bridge is called between its network's end and its own.
fn retired_name(index: u32) -> String {
    format!("gone-{index:08x}")
}

/// A bridge that an earlier daemon did not get to delete.
pub(crate) fn is_retired(link: &Link) -> bool {
    link.kind == "bridge" && !link.up && link.name == retired_name(link.index)
}

/// Ours: a port of our bridge with a name of our making.
fn is_leftover(link: &Link, bridge_index: u32) -> bool {
    link.master == bridge_index
        && link.name.len() == VETH_PREFIX.len() + VETH_DIGITS
        && link.name.starts_with(VETH_PREFIX)
}

/// An IPv4 bridge has no use for link-local addresses and their traffic. With IPv6 the host is the router there, and
/// nobody else may have its addresses, so it waits for no answer.
fn set_ipv6(bridge: &str, on: bool) -> Result<()> {
    let conf = |file: &str| format!("net/ipv6/conf/{bridge}/{file}");
    let set = if on {
        [("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", "0")]
            .iter()
            .try_for_each(|(file, value)| write_sysctl(&conf(file), value))
    } else {
        write_sysctl(&conf("disable_ipv6"), "1")
    };
    match set {
        Err(error) if error.is_missing() && !on => Ok(()),
        Err(error) if error.is_missing() => {
            Err(Error::Unsupported(format!("{bridge}: this host has no IPv6")))
        }
        other => other,
    }
}

/// `net.ipv4.ip_forward`, `net.ipv6.conf.all.forwarding`.
fn forwarding(v6: bool) -> &'static str {
    if v6 { "net/ipv6/conf/all/forwarding" } else { "net/ipv4/ip_forward" }
}

/// Whether the host passes packets on.
pub(crate) fn forwards(v6: bool) -> bool {
    fs::read_to_string(format!("/proc/sys/{}", forwarding(v6))).is_ok_and(|now| now.trim() != "0")
}

/// Makes it do so. A router learns no routes from router advertisements unless told to: interfaces by which the host
/// has learnt some go on doing so.
pub(crate) fn forward(v6: bool) -> Result<()> {
    if v6 {
        let conf = "/proc/sys/net/ipv6/conf";
        let interfaces = fs::read_dir(conf).map_err(|error| Error::kernel(format!("list {conf}"), error))?;
        for interface in interfaces.flatten() {
            let path = interface.path().join("accept_ra");
            if fs::read_to_string(&path).is_ok_and(|now| now.trim() == "1") {
                // An interface may go away meanwhile; the forwarding is what counts.
                let _ = fs::write(&path, "2");
            }
        }
    }
    write_sysctl(forwarding(v6), "1")
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

/// Docker's hardware addresses: locally administered, unicast, made from the IPv4 address (or the last four bytes of
/// the IPv6 one). The same address always has the same one, so nobody's neighbour table is out of date when an address
/// is used again.
pub(crate) fn mac_of(address: IpAddr) -> [u8; 6] {
    let [a, b, c, d] = match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = address.octets();
            [a, b, c, d]
        }
    };
    [0x02, 0x42, a, b, c, d]
}
