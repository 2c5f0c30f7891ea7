//! Forgetting tracked UDP connections (`nfnetlink_conntrack.h`).
//!
//! The kernel decides on translation once, with the first packet of a connection, and a UDP "connection" lasts as long
//! as a client goes on sending. So a client that spoke before a port was published, or to a container that is gone,
//! would never reach the new one unless its entry is removed. TCP needs none of this: a new connection is a new entry.

use std::io;
use std::net::IpAddr;

use crate::netlink::Socket;
use crate::netlink::message::{Batch, NLM_F_DUMP, attributes};

const NFNL_SUBSYS_CTNETLINK: u16 = 1;
const IPCTNL_MSG_CT_NEW: u16 = 0;
const IPCTNL_MSG_CT_GET: u16 = 1;
const IPCTNL_MSG_CT_DELETE: u16 = 2;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const UDP: u8 = 17;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_FILTER: u16 = 25;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;
/// Which parts of a tuple count.
const FILTER_IP_SRC: u32 = 1 << 0;
const FILTER_PROTO_NUM: u32 = 1 << 3;
const FILTER_PROTO_DST_PORT: u32 = 1 << 5;

/// Entries removed at most in one go, and in one message.
const LIMIT: usize = 65_536;
const CHUNK: usize = 512;

/// Which UDP entries to forget.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entries<'a> {
    /// Sent to one of these ports of the host, by IPv6 if true.
    ToPorts(&'a [u16], bool),
    /// Answered by this container.
    AnsweredBy(IpAddr),
}

impl Entries<'_> {
    fn is_v6(self) -> bool {
        match self {
            Self::ToPorts(_, v6) => v6,
            Self::AnsweredBy(address) => address.is_ipv6(),
        }
    }

    /// What the kernel's filter cannot tell: whether an original tuple's port is one of several.
    fn include(self, tuple: &[u8]) -> bool {
        let Self::ToPorts(ports, _) = self else { return true };
        attributes(tuple, 0)
            .filter(|(kind, _)| *kind == CTA_TUPLE_PROTO)
            .flat_map(|(_, protocol)| attributes(protocol, 0))
            .filter(|(kind, _)| *kind == CTA_PROTO_DST_PORT)
            .any(|(_, port)| ports.iter().any(|wanted| wanted.to_be_bytes() == port))
    }
}

/// Removes them. Kernels before 5.8 cannot filter; there an error says so and nothing is removed.
pub(super) fn forget(socket: &mut Socket, entries: Entries<'_>) -> io::Result<()> {
    let kind = |message| NFNL_SUBSYS_CTNETLINK << 8 | message;
    let header = [if entries.is_v6() { AF_INET6 } else { AF_INET }, 0, 0, 0];
    let mut batch = Batch::new();
    batch.message(kind(IPCTNL_MSG_CT_GET), NLM_F_DUMP, &header);
    put_filter(&mut batch, entries);
    let mut tuples: Vec<Vec<u8>> = Vec::new();
    socket.query(&mut batch, |message| {
        if message.kind == kind(IPCTNL_MSG_CT_NEW)
            && tuples.len() < LIMIT
            && let Some((_, tuple)) = attributes(message.body, 4).find(|(kind, _)| *kind == CTA_TUPLE_ORIG)
            && entries.include(tuple)
        {
            tuples.push(tuple.to_vec());
        }
    })?;
    for chunk in tuples.chunks(CHUNK) {
        let mut batch = Batch::new();
        for tuple in chunk {
            batch.message(kind(IPCTNL_MSG_CT_DELETE), 0, &header);
            let open = batch.open(CTA_TUPLE_ORIG);
            batch.raw(tuple).close(open);
        }
        // Entries come and go; one that went meanwhile is what we want.
        match socket.request(&mut batch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn put_filter(batch: &mut Batch, entries: Entries<'_>) {
    let (tuple_kind, original, reply) = match entries {
        Entries::ToPorts([_], _) => (CTA_TUPLE_ORIG, FILTER_PROTO_NUM | FILTER_PROTO_DST_PORT, 0),
        Entries::ToPorts(..) => (CTA_TUPLE_ORIG, FILTER_PROTO_NUM, 0),
        Entries::AnsweredBy(_) => (CTA_TUPLE_REPLY, 0, FILTER_IP_SRC | FILTER_PROTO_NUM),
    };
    let tuple = batch.open(tuple_kind);
    if let Entries::AnsweredBy(address) = entries {
        let ip = batch.open(CTA_TUPLE_IP);
        match address {
            IpAddr::V4(address) => batch.attribute(CTA_IP_V4_SRC, &address.octets()),
            IpAddr::V6(address) => batch.attribute(CTA_IP_V6_SRC, &address.octets()),
        };
        batch.close(ip);
    }
    let protocol = batch.open(CTA_TUPLE_PROTO);
    batch.attribute(CTA_PROTO_NUM, &[UDP]);
    if let Entries::ToPorts([port], _) = entries {
        batch.attribute(CTA_PROTO_DST_PORT, &port.to_be_bytes());
    }
    batch.close(protocol).close(tuple);
    let filter = batch.open(CTA_FILTER);
    batch.u32(CTA_FILTER_ORIG_FLAGS, original);
    batch.u32(CTA_FILTER_REPLY_FLAGS, reply).close(filter);
}
