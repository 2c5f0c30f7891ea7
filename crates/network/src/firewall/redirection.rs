//! In a container's namespace: port 53 of the name server's address, led to the sockets that answer.
//!
//! Packet by packet and both ways, instead of NAT: the kernel keeps no table of connections for a container that needs
//! none, which all its other packets would pay for, and which questions could fill.

use std::net::Ipv4Addr;

use super::expression::{Expression, Family, Layer, Meta, REG_1, Verdict};
use super::nft::{Hook, Transaction};
use crate::netlink::Socket;
use crate::{Error, Protocol, Result};

const TABLE: &str = "wharf-names";
const CHAIN: &str = "output";
/// Where clients expect a name server.
const NAMES_PORT: u16 = 53;
/// `NF_INET_LOCAL_OUT`.
const OUTPUT: u32 = 3;
/// Before everything else (`NF_IP_PRI_RAW`).
const RAW: i32 = -300;
/// Offsets in the IPv4 header.
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;
/// Offsets in the headers of TCP and UDP alike.
const SOURCE_PORT: u32 = 0;
const DESTINATION_PORT: u32 = 2;
/// Of their checksums.
const CHECKSUM_TCP: u32 = 16;
const CHECKSUM_UDP: u32 = 6;

/// Leads what is sent to port 53 of `address` to these ports of it.
pub(crate) fn redirect_names(
    mut socket: Socket,
    address: Ipv4Addr,
    udp_port: u16,
    tcp_port: u16,
) -> Result<()> {
    let mut transaction = Transaction::new(TABLE);
    transaction.replace_table();
    transaction.add_chain(CHAIN, Some(Hook { kind: "filter", number: OUTPUT, priority: RAW }));
    transaction.add_rule(CHAIN, &elsewhere());
    for (protocol, port, checksum) in
        [(Protocol::Udp, udp_port, CHECKSUM_UDP), (Protocol::Tcp, tcp_port, CHECKSUM_TCP)]
    {
        let change = |at, port_at, from: u16, to: u16| {
            let mut rule = Family::V4.only();
            rule.extend([
                Expression::Meta(Meta::TransportProtocol, REG_1),
                Expression::Equal(REG_1, vec![protocol.number()]),
                Expression::Payload { layer: Layer::Network, offset: at, len: 4, to: REG_1 },
                Expression::Equal(REG_1, address.octets().to_vec()),
                Expression::Payload { layer: Layer::Transport, offset: port_at, len: 2, to: REG_1 },
                Expression::Equal(REG_1, from.to_be_bytes().to_vec()),
                Expression::Constant(REG_1, to.to_be_bytes().to_vec()),
                Expression::Write { from: REG_1, offset: port_at, len: 2, checksum },
            ]);
            rule
        };
        transaction.add_rule(CHAIN, &change(DESTINATION, DESTINATION_PORT, NAMES_PORT, port));
        transaction.add_rule(CHAIN, &change(SOURCE, SOURCE_PORT, port, NAMES_PORT));
    }
    let failed = |error| Error::kernel("set up table wharf-names", error);
    transaction.commit(&mut socket).map_err(failed)
}

/// What leaves by another interface than `lo` is looked at no further.
fn elsewhere() -> [Expression; 3] {
    let mut loopback = b"lo".to_vec();
    loopback.resize(16, 0);
    [
        Expression::Meta(Meta::OutputName, REG_1),
        Expression::NotEqual(REG_1, loopback),
        Expression::Verdict(Verdict::Return),
    ]
}
