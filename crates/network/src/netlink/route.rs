//! Links, addresses and routes (`rtnetlink(7)`): what a bridge and a veth pair need, and no more.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use ipnet::Ipv4Net;

use super::message::{Batch, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, attributes, number, text};
use super::{Socket, ip};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_BRPORT_ISOLATED: u16 = 33;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
/// RFC 8200, section 5.
const IPV6_MIN_MTU: u32 = 1280;
const VETH_INFO_PEER: u16 = 1;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_TABLE: u16 = 15;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IFF_UP: u32 = 1;
const IF_OPER_UP: u8 = 6;
/// How often, and after what pause, an interface is looked at again until it passes packets.
const SETTLE_LOOKS: u32 = 50;
const SETTLE_PAUSE: Duration = Duration::from_micros(200);
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// The bridge it is a port of; 0 is none.
    pub(crate) master: u32,
    /// `bridge`, `veth`, ...; empty for hardware.
    pub(crate) kind: String,
    pub(crate) up: bool,
    /// It passes packets.
    pub(crate) running: bool,
}

/// A veth pair: one end on the host's bridge, the other in a container.
#[derive(Debug)]
pub(crate) struct Veth<'a> {
    pub(crate) host_name: &'a str,
    pub(crate) bridge_index: u32,
    pub(crate) mtu: u32,
    pub(crate) peer_name: &'a str,
    pub(crate) peer_mac: [u8; 6],
    pub(crate) netns: BorrowedFd<'a>,
    /// The port may not talk to other isolated ports (`icc` off).
    pub(crate) isolated: bool,
}

/// `struct ifinfomsg`.
fn link_header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

/// `struct ifaddrmsg`.
fn address_header(prefix: u8, index: u32) -> [u8; 8] {
    let mut header = [AF_INET, prefix, 0, RT_SCOPE_UNIVERSE, 0, 0, 0, 0];
    header[4..].copy_from_slice(&index.to_ne_bytes());
    header
}

/// A bridge with a fixed hardware address, down.
pub(crate) fn put_bridge(batch: &mut Batch, name: &str, mac: [u8; 6], mtu: u32) {
    batch.message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link_header(0, 0, 0));
    batch.text(IFLA_IFNAME, name).attribute(IFLA_ADDRESS, &mac).u32(IFLA_MTU, mtu);
    let info = batch.open(IFLA_LINKINFO);
    batch.text(IFLA_INFO_KIND, "bridge").close(info);
}

/// The pair, its far end straight in the container's namespace and down (the kernel lets no end go up before they are
/// tied together), its near end a port of the bridge and up.
///
/// Three messages. The near end starts down so that the kernel gives it no IPv6 link-local address, which is of no use
/// on a bridge port and costs multicast traffic; hairpin lets a container reach itself by its own published port.
pub(crate) fn put_veth(batch: &mut Batch, veth: &Veth<'_>) {
    batch.message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link_header(0, 0, 0));
    batch.text(IFLA_IFNAME, veth.host_name).u32(IFLA_MTU, veth.mtu).u32(IFLA_MASTER, veth.bridge_index);
    let info = batch.open(IFLA_LINKINFO);
    batch.text(IFLA_INFO_KIND, "veth");
    let data = batch.open(IFLA_INFO_DATA);
    let peer = batch.open(VETH_INFO_PEER);
    batch.raw(&link_header(0, 0, 0));
    batch.text(IFLA_IFNAME, veth.peer_name).attribute(IFLA_ADDRESS, &veth.peer_mac).u32(IFLA_MTU, veth.mtu);
    // The number of a descriptor of ours; it is never negative.
    batch.u32(IFLA_NET_NS_FD, veth.netns.as_raw_fd().cast_unsigned());
    batch.close(peer).close(data).close(info);

    batch.message(RTM_NEWLINK, 0, &link_header(0, 0, 0)).text(IFLA_IFNAME, veth.host_name);
    let info = batch.open(IFLA_LINKINFO);
    batch.text(IFLA_INFO_SLAVE_KIND, "bridge");
    let data = batch.open(IFLA_INFO_SLAVE_DATA);
    batch.attribute(IFLA_BRPORT_MODE, &[1]).attribute(IFLA_BRPORT_ISOLATED, &[u8::from(veth.isolated)]);
    batch.close(data).close(info);
    // The kernel refuses this where the interface has no IPv6 at all.
    if veth.mtu >= IPV6_MIN_MTU && Path::new("/proc/sys/net/ipv6").exists() {
        let families = batch.open(IFLA_AF_SPEC);
        let inet6 = batch.open(u16::from(AF_INET6));
        batch.attribute(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE]).close(inet6).close(families);
    }

    batch.message(RTM_NEWLINK, 0, &link_header(0, IFF_UP, IFF_UP)).text(IFLA_IFNAME, veth.host_name);
}

/// Makes an interface, known by its index, go up.
pub(crate) fn put_up(batch: &mut Batch, index: u32) {
    batch.message(RTM_NEWLINK, 0, &link_header(index, IFF_UP, IFF_UP));
}

/// Makes an interface a port of a bridge.
pub(crate) fn put_master(batch: &mut Batch, name: &str, bridge_index: u32) {
    batch
        .message(RTM_NEWLINK, 0, &link_header(0, 0, 0))
        .text(IFLA_IFNAME, name)
        .u32(IFLA_MASTER, bridge_index);
}

/// Removes an interface. Slow (tens of milliseconds): never while a container stops.
pub(crate) fn put_delete(batch: &mut Batch, index: u32) {
    batch.message(RTM_DELLINK, 0, &link_header(index, 0, 0));
}

/// Adds an address with its subnet's route.
pub(crate) fn put_address(batch: &mut Batch, index: u32, address: Ipv4Net) {
    batch
        .message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &address_header(address.prefix_len(), index))
        .attribute(IFA_LOCAL, &address.addr().octets())
        .attribute(IFA_ADDRESS, &address.addr().octets())
        .attribute(IFA_BROADCAST, &address.broadcast().octets());
}

/// Removes an address.
pub(crate) fn put_delete_address(batch: &mut Batch, index: u32, address: Ipv4Net) {
    batch
        .message(RTM_DELADDR, 0, &address_header(address.prefix_len(), index))
        .attribute(IFA_LOCAL, &address.addr().octets());
}

/// Adds the default route, in place of one that is there.
pub(crate) fn put_default_route(batch: &mut Batch, index: u32, gateway: Ipv4Addr) {
    let header = [AF_INET, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST, 0, 0, 0, 0];
    batch
        .message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &header)
        .attribute(RTA_GATEWAY, &gateway.octets())
        .u32(RTA_OIF, index);
}

fn link(body: &[u8]) -> Option<Link> {
    let mut link = Link {
        index: number(body, 4)?,
        name: String::new(),
        master: 0,
        kind: String::new(),
        up: number(body, 8)? & IFF_UP != 0,
        running: false,
    };
    for (kind, value) in attributes(body, 16) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_MASTER => link.master = number(value, 0)?,
            IFLA_OPERSTATE => link.running = value == [IF_OPER_UP],
            IFLA_LINKINFO => {
                link.kind = attributes(value, 0)
                    .find(|(kind, _)| *kind == IFLA_INFO_KIND)
                    .map(|(_, value)| text(value))
                    .unwrap_or_default();
            }
            _ => {}
        }
    }
    Some(link)
}

impl Socket {
    /// Every interface of the namespace.
    pub(crate) fn links(&mut self) -> io::Result<Vec<Link>> {
        let mut batch = Batch::new();
        batch.message(RTM_GETLINK, NLM_F_DUMP, &link_header(0, 0, 0));
        let mut links = Vec::new();
        self.query(&mut batch, |message| {
            if message.kind == RTM_NEWLINK {
                links.extend(link(message.body));
            }
        })?;
        Ok(links)
    }

    /// One interface, if there.
    pub(crate) fn link(&mut self, name: &str) -> io::Result<Option<Link>> {
        let mut batch = Batch::new();
        // An answer and then an acknowledgement: the same end for "found" and "not found".
        batch.message(RTM_GETLINK, super::message::NLM_F_ACK, &link_header(0, 0, 0)).text(IFLA_IFNAME, name);
        let mut found = None;
        match self.query(&mut batch, |message| found = link(message.body)) {
            Ok(()) => Ok(found),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until an interface that has a carrier passes packets, a hundredth of a second at most.
    ///
    /// The kernel acts on a new carrier later, in a worker: until then it drops what is sent, and an ARP question lost
    /// so is asked again only after a second. Since Linux 6.8 looking at the interface makes it act at once.
    pub(crate) fn settle(&mut self, name: &str) -> io::Result<()> {
        for _ in 0..SETTLE_LOOKS {
            match self.link(name)? {
                Some(link) if !link.running => std::thread::sleep(SETTLE_PAUSE),
                _ => return Ok(()),
            }
        }
        tracing::debug!(name, "an interface is up but not running");
        Ok(())
    }

    /// Every IPv4 address: index of its interface, address and prefix length.
    pub(crate) fn addresses(&mut self) -> io::Result<Vec<(u32, Ipv4Net)>> {
        let mut batch = Batch::new();
        batch.message(RTM_GETADDR, NLM_F_DUMP, &address_header(0, 0));
        let mut addresses = Vec::new();
        self.query(&mut batch, |message| {
            let index = number(message.body, 4).unwrap_or(0);
            let prefix = message.body.get(1).copied().unwrap_or(32);
            let local = attributes(message.body, 8).find(|(kind, _)| *kind == IFA_LOCAL);
            if let Some(IpAddr::V4(address)) = local.and_then(|(_, value)| ip(value))
                && let Ok(net) = Ipv4Net::new(address, prefix)
            {
                addresses.push((index, net));
            }
        })?;
        Ok(addresses)
    }

    /// The subnets that are directly on one of the host's interfaces, by the main IPv4 routing table.
    pub(crate) fn routes(&mut self) -> io::Result<Vec<(u32, Ipv4Net)>> {
        let mut batch = Batch::new();
        batch.message(RTM_GETROUTE, NLM_F_DUMP, &[AF_INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let mut routes = Vec::new();
        self.query(&mut batch, |message| {
            let prefix = message.body.get(1).copied().unwrap_or(0);
            let scope = message.body.get(6).copied().unwrap_or(0);
            let mut table = u32::from(message.body.get(4).copied().unwrap_or(0));
            let (mut index, mut destination) = (0, None);
            for (kind, value) in attributes(message.body, 12) {
                match kind {
                    RTA_TABLE => table = number(value, 0).unwrap_or(0),
                    RTA_OIF => index = number(value, 0).unwrap_or(0),
                    RTA_DST => destination = ip(value),
                    _ => {}
                }
            }
            if let Some(IpAddr::V4(destination)) = destination
                && scope == RT_SCOPE_LINK
                && table == u32::from(RT_TABLE_MAIN)
                && let Ok(net) = Ipv4Net::new(destination, prefix)
            {
                routes.push((index, net.trunc()));
            }
        })?;
        Ok(routes)
    }
}
