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

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::expression::{
    Conntrack, Expression, Layer, Meta, REG_1, REG_2, REG32_01, REG32_02, Verdict, ipv4,
};
use super::nft::{Element, Hook, IFNAME, INET_PROTO, INET_SERVICE, IPV4_ADDR, Set, Transaction};
use super::{BridgeRules, PortMapping};

/// Our bridges.
const BRIDGES: Set = Set { name: "bridges", key: &[IFNAME], data: &[], interval: false };
/// From which bridge one may go to which: itself, unless `icc` is off.
const PAIRS: Set = Set { name: "pairs", key: &[IFNAME, IFNAME], data: &[], interval: false };
/// Bridges that lead nowhere.
const INTERNAL: Set = Set { name: "internal", key: &[IFNAME], data: &[], interval: false };
/// A bridge and the addresses on it.
const INSIDE: Set = Set { name: "inside4", key: &[IFNAME, IPV4_ADDR], data: &[], interval: true };
/// Subnets that take the host's address outside.
const MASQUERADE: Set = Set { name: "masquerade4", key: &[IPV4_ADDR], data: &[], interval: true };
const PUBLISH: Set = Set {
    name: "publish4",
    key: &[INET_PROTO, IPV4_ADDR, INET_SERVICE],
    data: &[IPV4_ADDR, INET_SERVICE],
    interval: false,
};
const PUBLISH_ANY: Set = Set {
    name: "publish4_any",
    key: &[INET_PROTO, INET_SERVICE],
    data: &[IPV4_ADDR, INET_SERVICE],
    interval: false,
};

/// Offsets in an IPv4 header, and in those of TCP, UDP and SCTP alike.
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;
const DESTINATION_PORT: u32 = 2;
/// First byte of 127.0.0.0/8.
const LOOPBACK: u8 = 127;
/// `RTN_LOCAL`: an address of this host.
const LOCAL: u32 = 2;
/// Bits of `ct state` (established, related) and of `ct status` (`IPS_DST_NAT`).
const ESTABLISHED_RELATED: u32 = 2 | 4;
const DESTINATION_TRANSLATED: u32 = 1 << 5;

/// Everything but the ports, into an empty table.
pub(super) fn put(transaction: &mut Transaction, bridges: &[BridgeRules]) {
    for set in [&BRIDGES, &PAIRS, &INTERNAL, &INSIDE, &MASQUERADE, &PUBLISH, &PUBLISH_ANY] {
        transaction.add_set(set);
    }
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
    put_translation(transaction);
    put_filter(transaction);
    for bridge in bridges {
        put_bridge(transaction, bridge);
    }
}

/// Into an empty table: only what leads the namespace's own traffic to other ports.
pub(super) fn put_redirection(transaction: &mut Transaction) {
    transaction.add_set(&PUBLISH);
    transaction.add_chain("output", Some(Hook { kind: "nat", number: 3, priority: -100 }));
    transaction.add_rule("output", &published_exactly());
}

/// DNAT by exact address and port.
fn published_exactly() -> Vec<Expression> {
    let mut exact = ipv4().to_vec();
    exact.push(Expression::Meta(Meta::TransportProtocol, REG_1));
    exact.push(Expression::Payload { layer: Layer::Network, offset: DESTINATION, len: 4, to: REG32_01 });
    exact.push(Expression::Payload {
        layer: Layer::Transport,
        offset: DESTINATION_PORT,
        len: 2,
        to: REG32_02,
    });
    exact.push(Expression::Map(PUBLISH.name, REG_1));
    exact.push(Expression::Dnat { address: REG_1, port: REG32_01 });
    exact
}

fn put_translation(transaction: &mut Transaction) {
    use Expression::{
        Conntrack as Ct, DestinationType, Dnat, Equal, InSet, Map, Masquerade, Meta as Load, NotEqual,
        Payload,
    };
    let verdict = Expression::Verdict;
    let dnat = Dnat { address: REG_1, port: REG32_01 };
    let port_to = |to| Payload { layer: Layer::Transport, offset: DESTINATION_PORT, len: 2, to };
    let network = |offset, len, to| Payload { layer: Layer::Network, offset, len, to };

    transaction.add_rule("publish", &published_exactly());

    let any = [Load(Meta::TransportProtocol, REG_1), port_to(REG32_01), Map(PUBLISH_ANY.name, REG_1), dnat];
    transaction.add_rule("publish", &any);

    let local = [
        DestinationType(REG_1),
        Equal(REG_1, LOCAL.to_ne_bytes().to_vec()),
        verdict(Verdict::Jump("publish")),
    ];
    // A neighbour could send to 127.0.0.1; translating that would let it past the kernel's own check.
    let mut arriving = ipv4().to_vec();
    arriving.extend([network(DESTINATION, 1, REG_1), NotEqual(REG_1, vec![LOOPBACK])]);
    arriving.extend(local.clone());
    transaction.add_rule("prerouting", &arriving);
    transaction.add_rule("output", &local);

    let mut inside = ipv4().to_vec();
    inside.extend([Load(Meta::OutputName, REG_1), network(SOURCE, 4, REG_2), InSet(INSIDE.name, REG_1)]);
    let mut hairpin = inside.clone();
    hairpin.extend([
        Ct(Conntrack::Status, REG_1),
        Expression::Mask(REG_1, DESTINATION_TRANSLATED),
        NotEqual(REG_1, vec![0; 4]),
        Masquerade,
    ]);
    transaction.add_rule("postrouting", &hairpin);
    inside.push(verdict(Verdict::Return));
    transaction.add_rule("postrouting", &inside);

    let mut loopback = vec![Load(Meta::OutputName, REG_1), InSet(BRIDGES.name, REG_1)];
    loopback.extend(ipv4());
    loopback.extend([network(SOURCE, 1, REG_1), Equal(REG_1, vec![LOOPBACK]), Masquerade]);
    transaction.add_rule("postrouting", &loopback);

    let mut outside = ipv4().to_vec();
    outside.extend([network(SOURCE, 4, REG_1), InSet(MASQUERADE.name, REG_1), Masquerade]);
    transaction.add_rule("postrouting", &outside);
}

fn put_filter(transaction: &mut Transaction) {
    use Expression::{Conntrack as Ct, Equal, InSet, Mask, Meta as Load, NotEqual, NotInSet, Payload};
    let accept = Expression::Verdict(Verdict::Accept);
    let drop = Expression::Verdict(Verdict::Drop);
    let input = Load(Meta::InputName, REG_1);
    let output = |to| Load(Meta::OutputName, to);
    let ct = |key, mask| [Ct(key, REG_1), Mask(REG_1, mask), NotEqual(REG_1, vec![0; 4])];

    let mut loopback = vec![input.clone(), InSet(BRIDGES.name, REG_1)];
    loopback.extend(ipv4());
    loopback.push(Payload { layer: Layer::Network, offset: DESTINATION, len: 1, to: REG_1 });
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
    for end in [input, output(REG_1)] {
        transaction.add_rule("forward", &[end, InSet(INTERNAL.name, REG_1), drop.clone()]);
    }
    accept(transaction, &state);
    accept(transaction, &status);
    transaction.add_rule("forward", &[output(REG_1), InSet(BRIDGES.name, REG_1), drop]);
}

/// The chain's presence tells the next daemon that forwarding was off before us.
pub(super) const GUARD: &str = "guard";

/// Keeps a host that was no router from becoming one.
pub(super) fn put_guard(transaction: &mut Transaction) {
    use Expression::{Meta as Load, NotInSet};
    transaction.add_chain(GUARD, Some(Hook { kind: "filter", number: 2, priority: 0 }));
    transaction.add_rule(
        GUARD,
        &[
            Load(Meta::InputName, REG_1),
            NotInSet(BRIDGES.name, REG_1),
            Load(Meta::OutputName, REG_1),
            NotInSet(BRIDGES.name, REG_1),
            Expression::Verdict(Verdict::Drop),
        ],
    );
}

fn put_bridge(transaction: &mut Transaction, bridge: &BridgeRules) {
    let name = interface(&bridge.interface);
    let only = |key| [Element { key, ..Element::default() }];
    transaction.add_elements(&BRIDGES, &only(name.clone()));
    if bridge.internal {
        transaction.add_elements(&INTERNAL, &only(name.clone()));
    }
    if bridge.icc {
        transaction.add_elements(&PAIRS, &only([name.clone(), name.clone()].concat()));
    }
    let (first, last) = (bridge.subnet.network(), bridge.subnet.broadcast());
    let inside = Element {
        key: [&name[..], &first.octets()].concat(),
        key_end: Some([&name[..], &last.octets()].concat()),
        ..Element::default()
    };
    transaction.add_elements(&INSIDE, &[inside]);
    if bridge.masquerade {
        transaction.add_elements(&MASQUERADE, &interval(bridge.subnet));
    }
}

/// A subnet as a set of ranges has it: its first address, and the first one after it.
fn interval(subnet: Ipv4Net) -> Vec<Element> {
    let first = Element { key: subnet.network().octets().to_vec(), ..Element::default() };
    match u32::from(subnet.broadcast()).checked_add(1) {
        Some(after) => {
            let key = Ipv4Addr::from(after).octets().to_vec();
            vec![first, Element { key, interval_end: true, ..Element::default() }]
        }
        None => vec![first],
    }
}

/// Adds ports, or removes them.
pub(super) fn put_ports(transaction: &mut Transaction, ports: &[PortMapping], add: bool) {
    let (mut exact, mut any) = (Vec::new(), Vec::new());
    for port in ports {
        let protocol = [port.protocol.number(), 0, 0, 0];
        let service = pad(port.host_port);
        let data = add.then(|| [port.to.octets(), pad(port.to_port)].concat());
        if port.host.is_unspecified() {
            any.push(Element { key: [protocol, service].concat(), data, ..Element::default() });
        } else {
            let key = [protocol, port.host.octets(), service].concat();
            exact.push(Element { key, data, ..Element::default() });
        }
    }
    for (set, elements) in [(&PUBLISH, exact), (&PUBLISH_ANY, any)] {
        if add {
            transaction.add_elements(set, &elements);
        } else {
            transaction.delete_elements(set, &elements);
        }
    }
}

/// A port in network order, padded to a register.
fn pad(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

/// An interface's name, padded with zeroes to `IFNAMSIZ`.
fn interface(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}
