//! The content of table `inet wharf`.
//!
//! ```text
//! raw          nobody on a bridge may speak to the host's loopback addresses (route_localnet opens them)
//! prerouting,
//! output       to a local address -> publish: DNAT by map, first by exact address, then by port alone
//! postrouting  DNATed back into the bridge it came from, or from the host's loopback: masquerade, so that the
//!              answer comes back through us; from a bridge's subnet to elsewhere: masquerade
//! guard        only if it was us who made the host forward: what is not ours is still not passed on
//! forward      out of and into an internal bridge goes nothing;
//!              into a bridge goes only what belongs to a connection, comes from the same bridge, or was published
//! ```
//!
//! Sets and maps that hold addresses are there twice, `...4` and `...6`.

use std::net::IpAddr;

use ipnet::IpNet;

use super::expression::{
    Conntrack, Expression, Family, Layer, Meta, REG_1, REG_2, REG32_01, REG32_02, REG32_04, REG32_05, Verdict,
};
use super::nft::{
    Element, Field, Hook, IFNAME, INET_PROTO, INET_SERVICE, IPV4_ADDR, IPV6_ADDR, Set, Transaction,
};
use super::{BridgeRules, OpenPort, PortMapping};
use crate::GatewayMode;

/// Our bridges.
const BRIDGES: Set = set("bridges", &[IFNAME], &[]);
/// From which bridge one may go to which: itself, unless `icc` is off.
const PAIRS: Set = set("pairs", &[IFNAME, IFNAME], &[]);
/// Bridges that lead nowhere.
const INTERNAL: Set = set("internal", &[IFNAME], &[]);
/// From which interface of the host published ports are reached at containers' own addresses on which bridge.
const TRUSTED: Set = set("trusted", &[IFNAME, IFNAME], &[]);

const fn set(name: &'static str, key: &'static [Field], data: &'static [Field]) -> Set {
    Set { name, key, data, interval: false }
}

const fn ranges(name: &'static str, key: &'static [Field]) -> Set {
    Set { name, key, data: &[], interval: true }
}

/// The sets of one family, and where its addresses lie.
#[derive(Debug, Clone, Copy)]
struct Half {
    family: Family,
    /// A bridge and the addresses on it.
    inside: Set,
    /// Subnets that take the host's address outside.
    masquerade: Set,
    /// Bridges where every port of a container is reached at its own address.
    direct: Set,
    /// Bridges where published ports are.
    routed: Set,
    /// Those ports.
    open: Set,
    publish: Set,
    publish_any: Set,
    /// Offsets in the IP header.
    source: u32,
    destination: u32,
    address_len: u32,
    /// The register after protocol and address.
    port_register: u32,
    /// The register after an address.
    data_port_register: u32,
    /// Of ICMP.
    icmp: u8,
}

const V4: Half = Half {
    family: Family::V4,
    inside: ranges("inside4", &[IFNAME, IPV4_ADDR]),
    masquerade: ranges("masquerade4", &[IPV4_ADDR]),
    direct: set("direct4", &[IFNAME], &[]),
    routed: set("routed4", &[IFNAME], &[]),
    open: set("open4", &[INET_PROTO, IPV4_ADDR, INET_SERVICE], &[]),
    publish: set("publish4", &[INET_PROTO, IPV4_ADDR, INET_SERVICE], &[IPV4_ADDR, INET_SERVICE]),
    publish_any: set("publish4_any", &[INET_PROTO, INET_SERVICE], &[IPV4_ADDR, INET_SERVICE]),
    source: 12,
    destination: 16,
    address_len: 4,
    port_register: REG32_02,
    data_port_register: REG32_01,
    icmp: 1,
};

const V6: Half = Half {
    family: Family::V6,
    inside: ranges("inside6", &[IFNAME, IPV6_ADDR]),
    masquerade: ranges("masquerade6", &[IPV6_ADDR]),
    direct: set("direct6", &[IFNAME], &[]),
    routed: set("routed6", &[IFNAME], &[]),
    open: set("open6", &[INET_PROTO, IPV6_ADDR, INET_SERVICE], &[]),
    publish: set("publish6", &[INET_PROTO, IPV6_ADDR, INET_SERVICE], &[IPV6_ADDR, INET_SERVICE]),
    publish_any: set("publish6_any", &[INET_PROTO, INET_SERVICE], &[IPV6_ADDR, INET_SERVICE]),
    source: 8,
    destination: 24,
    address_len: 16,
    port_register: REG32_05,
    data_port_register: REG32_04,
    icmp: 58,
};

const HALVES: [Half; 2] = [V4, V6];

/// Offset in the headers of TCP, UDP and SCTP alike.
const DESTINATION_PORT: u32 = 2;
/// First byte of 127.0.0.0/8.
const LOOPBACK: u8 = 127;
/// `RTN_LOCAL`: an address of this host.
const LOCAL: u32 = 2;
/// Bits of `ct state` (established, related) and of `ct status` (`IPS_DST_NAT`).
const ESTABLISHED_RELATED: u32 = 2 | 4;
const DESTINATION_TRANSLATED: u32 = 1 << 5;

impl Half {
    fn of(address: IpAddr) -> &'static Self {
        const BOTH: &[Half; 2] = &HALVES;
        if address.is_ipv4() { &BOTH[0] } else { &BOTH[1] }
    }

    fn sets(&self) -> [&Set; 7] {
        [
            &self.inside,
            &self.masquerade,
            &self.direct,
            &self.routed,
            &self.open,
            &self.publish,
            &self.publish_any,
        ]
    }

    fn header(&self, offset: u32, len: u32, to: u32) -> Expression {
        Expression::Payload { layer: Layer::Network, offset, len, to }
    }

    fn source(&self, to: u32) -> Expression {
        self.header(self.source, self.address_len, to)
    }

    /// Loads protocol, destination and its port, as keys of [`Self::open`] and [`Self::publish`].
    fn service(&self) -> Vec<Expression> {
        let mut service = self.family.only();
        service.push(Expression::Meta(Meta::TransportProtocol, REG_1));
        service.push(self.header(self.destination, self.address_len, REG32_01));
        service.push(port_to(self.port_register));
        service
    }

    fn dnat(&self) -> Expression {
        Expression::Dnat { family: self.family, address: REG_1, port: self.data_port_register }
    }

    /// DNAT by exact address and port.
    fn published_exactly(&self) -> Vec<Expression> {
        let mut exact = self.service();
        exact.extend([Expression::Map(self.publish.name, REG_1), self.dnat()]);
        exact
    }

    /// DNAT by port alone.
    fn published_anywhere(&self) -> Vec<Expression> {
        let mut any = self.family.only();
        any.extend([
            Expression::Meta(Meta::TransportProtocol, REG_1),
            port_to(REG32_01),
            Expression::Map(self.publish_any.name, REG_1),
            self.dnat(),
        ]);
        any
    }
}

fn port_to(to: u32) -> Expression {
    Expression::Payload { layer: Layer::Transport, offset: DESTINATION_PORT, len: 2, to }
}

/// Everything but the ports, into an empty table. Without `v6` the sets are there, and nobody looks into them.
pub(super) fn put(transaction: &mut Transaction, bridges: &[BridgeRules], v6: bool) {
    let halves = if v6 { &HALVES[..] } else { &HALVES[..1] };
    for set in [&BRIDGES, &PAIRS, &INTERNAL, &TRUSTED] {
        transaction.add_set(set);
    }
    HALVES.iter().flat_map(Half::sets).for_each(|set| transaction.add_set(set));
    let hook = |kind, number, priority| Some(Hook { kind, number, priority });
    for (name, hook) in [
        ("publish", None),
        ("raw", hook("filter", 0, -300)),
        ("prerouting", hook("nat", 0, -100)),
        ("output", hook("nat", 3, -100)),
        ("postrouting", hook("nat", 4, 100)),
        ("forward", hook("filter", 2, 0)),
    ] {
        transaction.add_chain(name, hook);
    }
    put_destinations(transaction, halves);
    halves.iter().for_each(|half| put_sources(transaction, half));
    put_filter(transaction, halves);
    for bridge in bridges {
        put_bridge(transaction, bridge, true);
    }
}

fn put_destinations(transaction: &mut Transaction, halves: &[Half]) {
    use Expression::{DestinationType, Equal, NotEqual};
    for half in halves {
        transaction.add_rule("publish", &half.published_exactly());
        transaction.add_rule("publish", &half.published_anywhere());
    }
    let local = [
        DestinationType(REG_1),
        Equal(REG_1, LOCAL.to_ne_bytes().to_vec()),
        Expression::Verdict(Verdict::Jump("publish")),
    ];
    // A neighbour could send to 127.0.0.1; translating that would let it past the kernel's own check. What comes to
    // ::1 from outside the kernel drops before all this.
    let mut arriving = Family::V4.only();
    arriving.extend([V4.header(V4.destination, 1, REG_1), NotEqual(REG_1, vec![LOOPBACK])]);
    arriving.extend(local.clone());
    transaction.add_rule("prerouting", &arriving);
    let mut arriving = Family::V6.only();
    arriving.extend(local.clone());
    transaction.add_rule("prerouting", &arriving);
    let mut leaving = Family::V4.only();
    leaving.extend(local.clone());
    transaction.add_rule("output", &leaving);
    // What is sent to ::1 comes from there, and the kernel takes no answer to that from outside: the relay serves it.
    let mut leaving = Family::V6.only();
    leaving.extend([V6.header(V6.destination, 16, REG_1), NotEqual(REG_1, LOOPBACK_V6.to_vec())]);
    leaving.extend(local);
    transaction.add_rule("output", &leaving);
}

fn put_sources(transaction: &mut Transaction, half: &Half) {
    use Expression::{Conntrack as Ct, Equal, InSet, Mask, Masquerade, Meta as Load, NotEqual};
    let mut inside = half.family.only();
    inside.extend([Load(Meta::OutputName, REG_1), half.source(REG_2), InSet(half.inside.name, REG_1)]);
    let mut hairpin = inside.clone();
    hairpin.extend([
        Ct(Conntrack::Status, REG_1),
        Mask(REG_1, DESTINATION_TRANSLATED),
        NotEqual(REG_1, vec![0; 4]),
        Masquerade,
    ]);
    transaction.add_rule("postrouting", &hairpin);
    inside.push(Expression::Verdict(Verdict::Return));
    transaction.add_rule("postrouting", &inside);

    if half.family == Family::V4 {
        let mut loopback = vec![Load(Meta::OutputName, REG_1), InSet(BRIDGES.name, REG_1)];
        loopback.extend(half.family.only());
        loopback.extend([half.header(half.source, 1, REG_1), Equal(REG_1, vec![LOOPBACK]), Masquerade]);
        transaction.add_rule("postrouting", &loopback);
    }

    let mut outside = half.family.only();
    outside.extend([half.source(REG_1), InSet(half.masquerade.name, REG_1), Masquerade]);
    transaction.add_rule("postrouting", &outside);
}

/// `::1`.
const LOOPBACK_V6: [u8; 16] = std::net::Ipv6Addr::LOCALHOST.octets();

fn put_filter(transaction: &mut Transaction, halves: &[Half]) {
    use Expression::{Conntrack as Ct, Equal, InSet, Mask, Meta as Load, NotEqual, NotInSet};
    let accept = Expression::Verdict(Verdict::Accept);
    let drop = Expression::Verdict(Verdict::Drop);
    let input = Load(Meta::InputName, REG_1);
    let output = |to| Load(Meta::OutputName, to);
    let ct = |key, mask| [Ct(key, REG_1), Mask(REG_1, mask), NotEqual(REG_1, vec![0; 4])];

    let mut loopback = vec![input.clone(), InSet(BRIDGES.name, REG_1)];
    loopback.extend(Family::V4.only());
    loopback.push(V4.header(V4.destination, 1, REG_1));
    loopback.extend([Equal(REG_1, vec![LOOPBACK]), drop.clone()]);
    transaction.add_rule("raw", &loopback);

    let not_ours =
        [input.clone(), NotInSet(BRIDGES.name, REG_1), output(REG_1), NotInSet(BRIDGES.name, REG_1)];
    let [state, status] =
        [ct(Conntrack::State, ESTABLISHED_RELATED), ct(Conntrack::Status, DESTINATION_TRANSLATED)];
    let same_bridge = [input.clone(), output(REG_2), InSet(PAIRS.name, REG_1)];
    let accept = |transaction: &mut Transaction, what: &[Expression]| {
        transaction.add_rule("forward", &[what, std::slice::from_ref(&accept)].concat());
    };
    accept(transaction, &not_ours);
    accept(transaction, &same_bridge);
    for end in [input.clone(), output(REG_1)] {
        transaction.add_rule("forward", &[end, InSet(INTERNAL.name, REG_1), drop.clone()]);
    }
    accept(transaction, &state);
    accept(transaction, &status);
    for half in halves {
        let only = half.family.only();
        let to = |set: &Set| [output(REG_1), InSet(set.name, REG_1)];
        let open = [half.service(), vec![InSet(half.open.name, REG_1)]].concat();
        accept(transaction, &[&only[..], &to(&half.direct)].concat());
        accept(transaction, &[&to(&half.routed)[..], &open].concat());
        let trusted = [input.clone(), output(REG_2), InSet(TRUSTED.name, REG_1)];
        accept(transaction, &[&trusted[..], &open].concat());
        // As Docker: whoever may be reached by a port may be asked whether it is there, and told what fails.
        let icmp = [Load(Meta::TransportProtocol, REG_1), Equal(REG_1, vec![half.icmp])];
        accept(transaction, &[&only[..], &to(&half.routed), &icmp].concat());
    }
    let mut rest = if halves.len() == 1 { Family::V4.only() } else { Vec::new() };
    rest.extend([output(REG_1), InSet(BRIDGES.name, REG_1), drop]);
    transaction.add_rule("forward", &rest);
}

/// Whose presence tells the next daemon that forwarding was off before us: IPv4's and IPv6's.
pub(super) const GUARDS: [&str; 2] = ["guard", "guard6"];

/// Keeps a host that was no router of a family from becoming one.
pub(super) fn put_guard(transaction: &mut Transaction, v6: bool) {
    use Expression::{Meta as Load, NotInSet};
    let name = GUARDS[usize::from(v6)];
    transaction.add_chain(name, Some(Hook { kind: "filter", number: 2, priority: 0 }));
    let mut guard = if v6 { Family::V6 } else { Family::V4 }.only();
    guard.extend([
        Load(Meta::InputName, REG_1),
        NotInSet(BRIDGES.name, REG_1),
        Load(Meta::OutputName, REG_1),
        NotInSet(BRIDGES.name, REG_1),
        Expression::Verdict(Verdict::Drop),
    ]);
    transaction.add_rule(name, &guard);
}

/// Adds what is the bridge's own, or removes it: elements of sets, no rules.
pub(super) fn put_bridge(transaction: &mut Transaction, bridge: &BridgeRules, add: bool) {
    let name = interface(&bridge.interface);
    let only = |key| [Element { key, ..Element::default() }];
    put_elements(transaction, &BRIDGES, &only(name.clone()), add);
    if bridge.internal {
        put_elements(transaction, &INTERNAL, &only(name.clone()), add);
    }
    if bridge.icc {
        put_elements(transaction, &PAIRS, &only([name.clone(), name.clone()].concat()), add);
    }
    for from in &bridge.trusted {
        put_elements(transaction, &TRUSTED, &only([interface(from), name.clone()].concat()), add);
    }
    for (subnet, mode) in &bridge.subnets {
        let half = Half::of(subnet.network());
        let bytes = |address: IpAddr| [&name[..], &octets(address)].concat();
        let inside = Element {
            key: bytes(subnet.network()),
            key_end: Some(bytes(subnet.broadcast())),
            ..Element::default()
        };
        put_elements(transaction, &half.inside, &[inside], add);
        let translated = matches!(mode, GatewayMode::Nat | GatewayMode::NatUnprotected);
        if bridge.masquerade && translated {
            put_elements(transaction, &half.masquerade, &interval(*subnet), add);
        }
        match mode {
            GatewayMode::NatUnprotected => put_elements(transaction, &half.direct, &only(name.clone()), add),
            GatewayMode::Routed => put_elements(transaction, &half.routed, &only(name.clone()), add),
            GatewayMode::Nat if bridge.direct_routing => {
                put_elements(transaction, &half.routed, &only(name.clone()), add);
            }
            GatewayMode::Nat | GatewayMode::Isolated => {}
        }
    }
}

/// A subnet as a set of ranges has it: its first address, and the first one after it.
fn interval(subnet: IpNet) -> Vec<Element> {
    let first = Element { key: octets(subnet.network()), ..Element::default() };
    let after = match subnet.broadcast() {
        IpAddr::V4(last) => u32::from(last).checked_add(1).map(|next| next.to_be_bytes().to_vec()),
        IpAddr::V6(last) => u128::from(last).checked_add(1).map(|next| next.to_be_bytes().to_vec()),
    };
    let end = after.map(|key| Element { key, interval_end: true, ..Element::default() });
    std::iter::once(first).chain(end).collect()
}

/// The map in which a port is, and its key there.
pub(super) fn place_of(port: &PortMapping) -> (&'static Set, Vec<u8>) {
    let half = Half::of(port.to);
    let protocol = [port.protocol.number(), 0, 0, 0];
    let service = pad(port.host_port);
    if port.host.is_unspecified() {
        (&half.publish_any, [protocol, service].concat())
    } else {
        (&half.publish, [&protocol[..], &octets(port.host), &service].concat())
    }
}

/// Adds ports, or removes them.
pub(super) fn put_ports(transaction: &mut Transaction, ports: &[PortMapping], add: bool) {
    for half in &HALVES {
        let (mut exact, mut any) = (Vec::new(), Vec::new());
        for port in ports.iter().filter(|port| Half::of(port.to).family == half.family) {
            let data = add.then(|| [&octets(port.to)[..], &pad(port.to_port)].concat());
            let (set, key) = place_of(port);
            let elements = if set.name == half.publish_any.name { &mut any } else { &mut exact };
            elements.push(Element { key, data, ..Element::default() });
        }
        put_elements(transaction, &half.publish, &exact, add);
        put_elements(transaction, &half.publish_any, &any, add);
    }
}

/// Adds ports that are reached at containers' own addresses, or removes them.
pub(super) fn put_open(transaction: &mut Transaction, ports: &[OpenPort], add: bool) {
    for half in &HALVES {
        let of_family = ports.iter().filter(|port| Half::of(port.address).family == half.family);
        let element = |port: &OpenPort| {
            let protocol = [port.protocol.number(), 0, 0, 0];
            let key = [&protocol[..], &octets(port.address), &pad(port.port)].concat();
            Element { key, ..Element::default() }
        };
        put_elements(transaction, &half.open, &of_family.map(element).collect::<Vec<_>>(), add);
    }
}

fn put_elements(transaction: &mut Transaction, set: &Set, elements: &[Element], add: bool) {
    if add {
        transaction.add_elements(set, elements);
    } else {
        transaction.delete_elements(set, elements);
    }
}

/// A port in network order, padded to a register.
fn pad(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// An interface's name, padded with zeroes to `IFNAMSIZ`.
fn interface(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}
