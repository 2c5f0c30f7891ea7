//! Links, addresses and routes (`rtnetlink(7)`): what our drivers need, and no more.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use rustix::io::Errno;

use super::message::{
    Batch, Message, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, attributes, number, text,
};
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
const IFLA_LINK: u16 = 5;
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
/// No waiting for others who might have the address (RFC 4862, section 5.4): we are who gives them out.
const IFA_F_NODAD: u8 = 2;
const IFA_F_TENTATIVE: u8 = 0x40;
const IFLA_MACVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_FLAGS: u16 = 2;
const IFLA_VLAN_ID: u16 = 1;
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
fn address_header(family: u8, prefix: u8, index: u32) -> [u8; 8] {
    let mut header = [family, prefix, 0, RT_SCOPE_UNIVERSE, 0, 0, 0, 0];
    header[4..].copy_from_slice(&index.to_ne_bytes());
    header
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
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

/// Takes an interface down, and then (an interface that is up keeps its name on older kernels) gives it this name.
pub(crate) fn put_retire(batch: &mut Batch, index: u32, name: &str) {
    batch.message(RTM_NEWLINK, 0, &link_header(index, 0, IFF_UP));
    batch.message(RTM_NEWLINK, 0, &link_header(index, 0, 0)).text(IFLA_IFNAME, name);
}

/// Removes an interface. Slow (tens of milliseconds): never while a container stops.
pub(crate) fn put_delete(batch: &mut Batch, index: u32) {
    batch.message(RTM_DELLINK, 0, &link_header(index, 0, 0));
}

/// Adds an address with its subnet's route. Nobody else is asked whether it is his.
pub(crate) fn put_address(batch: &mut Batch, index: u32, address: IpNet) {
    put_new_address(batch, index, address, if address.addr().is_ipv6() { IFA_F_NODAD } else { 0 });
}

/// As [`put_address`], on an interface that asks nobody anyway: so [`Socket::wait_for_addresses`] can tell when the
/// kernel has made it known.
pub(crate) fn put_pending_address(batch: &mut Batch, index: u32, address: IpNet) {
    put_new_address(batch, index, address, 0);
}

fn put_new_address(batch: &mut Batch, index: u32, address: IpNet, flags: u8) {
    let bytes = octets(address.addr());
    let mut header = address_header(family(address.addr()), address.prefix_len(), index);
    header[2] = flags;
    batch
        .message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &header)
        .attribute(IFA_LOCAL, &bytes)
        .attribute(IFA_ADDRESS, &bytes);
    if let IpNet::V4(address) = address {
        batch.attribute(IFA_BROADCAST, &address.broadcast().octets());
    }
}

/// Removes an address.
pub(crate) fn put_delete_address(batch: &mut Batch, index: u32, address: IpNet) {
    batch
        .message(RTM_DELADDR, 0, &address_header(family(address.addr()), address.prefix_len(), index))
        .attribute(IFA_LOCAL, &octets(address.addr()));
}

/// The way out of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Through a router.
    Gateway(IpAddr),
    /// Everything is on the link; for IPv6 if true.
    OnLink(bool),
}

/// Adds the default route, in place of one that is there.
pub(crate) fn put_default_route(batch: &mut Batch, index: u32, way: Way) {
    let (family, scope) = match way {
        Way::Gateway(gateway) => (family(gateway), RT_SCOPE_UNIVERSE),
        Way::OnLink(true) => (AF_INET6, RT_SCOPE_UNIVERSE),
        Way::OnLink(false) => (AF_INET, RT_SCOPE_LINK),
    };
    let header = [family, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0, 0, 0, 0];
    batch.message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &header);
    if let Way::Gateway(gateway) = way {
        batch.attribute(RTA_GATEWAY, &octets(gateway));
    }
    batch.u32(RTA_OIF, index);
}

/// An interface on another one, for a namespace.
#[derive(Debug)]
pub(crate) struct Child<'a> {
    pub(crate) name: &'a str,
    /// Of the interface it lies on.
    pub(crate) parent_index: u32,
    /// 0 is the parent's.
    pub(crate) mtu: u32,
    /// `None` is the kernel's choice.
    pub(crate) mac: Option<[u8; 6]>,
    /// `None`: the socket's own namespace.
    pub(crate) netns: Option<BorrowedFd<'a>>,
    pub(crate) kind: ChildKind,
}

/// What it is. Numbers are the kernel's (`if_link.h`).
#[derive(Debug, Clone, Copy)]
pub(crate) enum ChildKind {
    /// `MACVLAN_MODE_*`.
    Macvlan(u32),
    /// `IPVLAN_MODE_*` and `IPVLAN_F_*`.
    Ipvlan(u16, u16),
    /// A VLAN's number.
    Vlan(u16),
}

impl ChildKind {
    /// As the kernel calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Macvlan(_) => "macvlan",
            Self::Ipvlan(..) => "ipvlan",
            Self::Vlan(_) => "vlan",
        }
    }
}

/// Makes it, down.
pub(crate) fn put_child(batch: &mut Batch, child: &Child<'_>) {
    batch.message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link_header(0, 0, 0));
    batch.text(IFLA_IFNAME, child.name).u32(IFLA_LINK, child.parent_index);
    if child.mtu != 0 {
        batch.u32(IFLA_MTU, child.mtu);
    }
    if let Some(mac) = child.mac {
        batch.attribute(IFLA_ADDRESS, &mac);
    }
    if let Some(netns) = child.netns {
        // The number of a descriptor of ours; it is never negative.
        batch.u32(IFLA_NET_NS_FD, netns.as_raw_fd().cast_unsigned());
    }
    let info = batch.open(IFLA_LINKINFO);
    batch.text(IFLA_INFO_KIND, child.kind.name());
    let data = batch.open(IFLA_INFO_DATA);
    match child.kind {
        ChildKind::Macvlan(mode) => batch.u32(IFLA_MACVLAN_MODE, mode),
        ChildKind::Ipvlan(mode, flags) => batch
            .attribute(IFLA_IPVLAN_MODE, &mode.to_ne_bytes())
            .attribute(IFLA_IPVLAN_FLAGS, &flags.to_ne_bytes()),
        ChildKind::Vlan(id) => batch.attribute(IFLA_VLAN_ID, &id.to_ne_bytes()),
    };
    batch.close(data).close(info);
}

/// An interface that leads nowhere, for a network without a parent.
pub(crate) fn put_dummy(batch: &mut Batch, name: &str) {
    batch.message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link_header(0, 0, 0));
    batch.text(IFLA_IFNAME, name);
    let info = batch.open(IFLA_LINKINFO);
    batch.text(IFLA_INFO_KIND, "dummy").close(info);
}

/// The index of the link whose removal a message tells of.
pub(crate) fn removed_link(message: &Message<'_>) -> Option<u32> {
    if message.kind == RTM_DELLINK { number(message.body, 4) } else { None }
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

    /// Every address: index of its interface, address and prefix length.
    pub(crate) fn addresses(&mut self) -> io::Result<Vec<(u32, IpNet)>> {
        let mut addresses = Vec::new();
        for family in [AF_INET, AF_INET6] {
            let mut batch = Batch::new();
            batch.message(RTM_GETADDR, NLM_F_DUMP, &address_header(family, 0, 0));
            let listed = self.query(&mut batch, |message| {
                let index = number(message.body, 4).unwrap_or(0);
                let prefix = message.body.get(1).copied().unwrap_or(32);
                // IPv6 has no IFA_LOCAL but where there is a peer.
                let of = |wanted| attributes(message.body, 8).find(|(kind, _)| *kind == wanted);
                let local = of(IFA_LOCAL).or_else(|| of(IFA_ADDRESS));
                if let Some(address) = local.and_then(|(_, value)| ip(value))
                    && let Ok(net) = IpNet::new(address, prefix)
                {
                    addresses.push((index, net));
                }
            });
            without_ipv6(family, listed)?;
        }
        Ok(addresses)
    }

    /// Waits until the IPv6 addresses of an interface are in use, a hundredth of a second at most.
    ///
    /// The kernel begins to listen to questions for a new address later, in a worker: a question that comes before is
    /// lost and asked again only after a second.
    pub(crate) fn wait_for_addresses(&mut self, index: u32) -> io::Result<()> {
        for _ in 0..SETTLE_LOOKS {
            let mut batch = Batch::new();
            batch.message(RTM_GETADDR, NLM_F_DUMP, &address_header(AF_INET6, 0, 0));
            let mut waits = false;
            self.query(&mut batch, |message| {
                let flags = message.body.get(2).copied().unwrap_or(0);
                waits |= number(message.body, 4) == Some(index) && flags & IFA_F_TENTATIVE != 0;
            })?;
            if !waits {
                return Ok(());
            }
            std::thread::sleep(SETTLE_PAUSE);
        }
        tracing::debug!(index, "an interface's addresses are not in use");
        Ok(())
    }

    /// The subnets that are directly on one of the host's interfaces, by the main routing tables. Link-local ones are
    /// on all of them.
    pub(crate) fn routes(&mut self) -> io::Result<Vec<(u32, IpNet)>> {
        let mut routes = Vec::new();
        for family in [AF_INET, AF_INET6] {
            let mut batch = Batch::new();
            batch.message(RTM_GETROUTE, NLM_F_DUMP, &[family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            let listed = self.query(&mut batch, |message| {
                let prefix = message.body.get(1).copied().unwrap_or(0);
                let scope = message.body.get(6).copied().unwrap_or(0);
                let unicast = message.body.get(7) == Some(&RTN_UNICAST);
                let mut table = u32::from(message.body.get(4).copied().unwrap_or(0));
                let (mut index, mut destination, mut direct) = (0, None, true);
                for (kind, value) in attributes(message.body, 12) {
                    match kind {
                        RTA_TABLE => table = number(value, 0).unwrap_or(0),
                        RTA_OIF => index = number(value, 0).unwrap_or(0),
                        RTA_DST => destination = ip(value),
                        RTA_GATEWAY => direct = false,
                        _ => {}
                    }
                }
                let on_link = match destination {
                    Some(IpAddr::V4(_)) => scope == RT_SCOPE_LINK,
                    Some(IpAddr::V6(address)) => direct && unicast && !address.is_unicast_link_local(),
                    None => false,
                };
                if let Some(destination) = destination
                    && on_link
                    && table == u32::from(RT_TABLE_MAIN)
                    && let Ok(net) = IpNet::new(destination, prefix)
                {
                    routes.push((index, net.trunc()));
                }
            });
            without_ipv6(family, listed)?;
        }
        Ok(routes)
    }
}

/// A kernel without IPv6 has no list of it.
fn without_ipv6(family: u8, listed: io::Result<()>) -> io::Result<()> {
    let absent = [Errno::OPNOTSUPP, Errno::AFNOSUPPORT].map(|errno| Some(errno.raw_os_error()));
    match listed {
        Err(error) if family == AF_INET6 && absent.contains(&error.raw_os_error()) => Ok(()),
        listed => listed,
    }
}
