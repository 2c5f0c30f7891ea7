//! The expressions of rules: what a packet is loaded from, compared with and done to. Names are nf_tables' own.

use super::nft::{NFTA_DATA_VALUE, NFTA_LIST_ELEM};
use crate::netlink::message::Batch;

const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;
const NF_DROP: i32 = 0;
const NF_ACCEPT: i32 = 1;
const NFT_JUMP: i32 = -3;
const NFT_RETURN: i32 = -5;
const NFT_REG_VERDICT: u32 = 0;
const NFT_LOOKUP_F_INV: u32 = 1;
const NFT_NAT_DNAT: u32 = 1;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const NFT_FIB_RESULT_ADDRTYPE: u32 = 3;
const NFTA_FIB_F_DADDR: u32 = 2;
const NFT_PAYLOAD_CSUM_INET: u32 = 1;

/// 16 bytes wide; the first of a concatenation goes here.
pub(super) const REG_1: u32 = 1;
/// The second 16 bytes.
pub(super) const REG_2: u32 = 2;
/// Bytes 4 to 7 of [`REG_1`] and 8 to 11; the four bytes after it, and the four after those.
pub(super) const REG32_01: u32 = 9;
pub(super) const REG32_02: u32 = 10;
pub(super) const REG32_04: u32 = 12;
pub(super) const REG32_05: u32 = 13;

/// `NFT_META_*`: what is known of a packet besides its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meta {
    InputName = 6,
    OutputName = 7,
    NetworkProtocol = 15,
    TransportProtocol = 16,
}

/// `NFT_CT_*`: what is known of its connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Conntrack {
    State = 0,
    Status = 2,
}

/// `NFT_PAYLOAD_*_HEADER`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Layer {
    Network = 1,
    Transport = 2,
}

/// Of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    /// `NFPROTO_*`.
    fn number(self) -> u8 {
        match self {
            Self::V4 => NFPROTO_IPV4,
            Self::V6 => NFPROTO_IPV6,
        }
    }

    /// Goes on only for packets of this family: rules of an `inet` table see both.
    pub(super) fn only(self) -> Vec<Expression> {
        vec![Expression::Meta(Meta::NetworkProtocol, REG_1), Expression::Equal(REG_1, vec![self.number()])]
    }
}

/// What a rule ends in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verdict {
    Accept,
    Drop,
    Return,
    Jump(&'static str),
}

/// One step of a rule. Registers are numbers of [`REG_1`] and its kind.
#[derive(Debug, Clone)]
pub(super) enum Expression {
    /// Loads.
    Meta(Meta, u32),
    /// Loads.
    Conntrack(Conntrack, u32),
    /// Loads `len` bytes at `offset`.
    Payload { layer: Layer, offset: u32, len: u32, to: u32 },
    /// Loads these bytes.
    Constant(u32, Vec<u8>),
    /// Writes `len` bytes at `offset` of the transport header, and mends the checksum that lies at `checksum` there.
    Write { from: u32, offset: u32, len: u32, checksum: u32 },
    /// Loads the type of the destination address (`RTN_*`).
    DestinationType(u32),
    /// Goes on if the register holds these bytes.
    Equal(u32, Vec<u8>),
    /// Goes on if it does not.
    NotEqual(u32, Vec<u8>),
    /// Keeps only these bits of a register of four bytes.
    Mask(u32, u32),
    /// Goes on if the key is in the set.
    InSet(&'static str, u32),
    /// Goes on if it is not.
    NotInSet(&'static str, u32),
    /// Goes on with what the map has for the key, in the same register.
    Map(&'static str, u32),
    /// Translates the destination to the address and the port in these registers.
    Dnat { family: Family, address: u32, port: u32 },
    /// Translates the source to the outgoing interface's address.
    Masquerade,
    /// Decides.
    Verdict(Verdict),
}

impl Expression {
    /// Writes it as a member of an open list.
    pub(super) fn put(&self, batch: &mut Batch) {
        let element = batch.open(NFTA_LIST_ELEM);
        batch.text(NFTA_EXPR_NAME, self.name());
        let data = batch.open(NFTA_EXPR_DATA);
        self.put_data(batch);
        batch.close(data).close(element);
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Meta(..) => "meta",
            Self::Conntrack(..) => "ct",
            Self::Payload { .. } | Self::Write { .. } => "payload",
            Self::DestinationType(_) => "fib",
            Self::Equal(..) | Self::NotEqual(..) => "cmp",
            Self::Mask(..) => "bitwise",
            Self::InSet(..) | Self::NotInSet(..) | Self::Map(..) => "lookup",
            Self::Dnat { .. } => "nat",
            Self::Masquerade => "masq",
            Self::Constant(..) | Self::Verdict(_) => "immediate",
        }
    }

    /// Attribute numbers are each expression's own (`NFTA_META_DREG`, `NFTA_META_KEY`, ...), in its enum's order.
    fn put_data(&self, batch: &mut Batch) {
        let value = |batch: &mut Batch, kind, bytes: &[u8]| {
            let open = batch.open(kind);
            batch.attribute(NFTA_DATA_VALUE, bytes).close(open);
        };
        match self {
            Self::Meta(key, to) => {
                batch.be32(1, *to).be32(2, *key as u32);
            }
            Self::Conntrack(key, to) => {
                batch.be32(1, *to).be32(2, *key as u32);
            }
            Self::Payload { layer, offset, len, to } => {
                batch.be32(1, *to).be32(2, *layer as u32).be32(3, *offset).be32(4, *len);
            }
            Self::Constant(to, bytes) => {
                batch.be32(1, *to);
                value(batch, 2, bytes);
            }
            Self::Write { from, offset, len, checksum } => {
                batch.be32(2, Layer::Transport as u32).be32(3, *offset).be32(4, *len).be32(5, *from);
                batch.be32(6, NFT_PAYLOAD_CSUM_INET).be32(7, *checksum);
            }
            Self::DestinationType(to) => {
                batch.be32(1, *to).be32(2, NFT_FIB_RESULT_ADDRTYPE).be32(3, NFTA_FIB_F_DADDR);
            }
            Self::Equal(from, bytes) => {
                batch.be32(1, *from).be32(2, 0);
                value(batch, 3, bytes);
            }
            Self::NotEqual(from, bytes) => {
                batch.be32(1, *from).be32(2, 1);
                value(batch, 3, bytes);
            }
            Self::Mask(register, mask) => {
                batch.be32(1, *register).be32(2, *register).be32(3, 4);
                value(batch, 4, &mask.to_ne_bytes());
                value(batch, 5, &[0; 4]);
            }
            Self::InSet(set, from) => {
                batch.text(1, set).be32(2, *from);
            }
            Self::NotInSet(set, from) => {
                batch.text(1, set).be32(2, *from).be32(5, NFT_LOOKUP_F_INV);
            }
            Self::Map(map, register) => {
                batch.text(1, map).be32(2, *register).be32(3, *register);
            }
            Self::Dnat { family, address, port } => {
                let family = u32::from(family.number());
                batch.be32(1, NFT_NAT_DNAT).be32(2, family).be32(3, *address).be32(5, *port);
            }
            Self::Masquerade => {}
            Self::Verdict(verdict) => put_verdict(batch, *verdict),
        }
    }
}

fn put_verdict(batch: &mut Batch, verdict: Verdict) {
    let (code, chain) = match verdict {
        Verdict::Accept => (NF_ACCEPT, None),
        Verdict::Drop => (NF_DROP, None),
        Verdict::Return => (NFT_RETURN, None),
        Verdict::Jump(chain) => (NFT_JUMP, Some(chain)),
    };
    batch.be32(1, NFT_REG_VERDICT);
    let data = batch.open(2);
    let open = batch.open(NFTA_DATA_VERDICT);
    batch.be32(NFTA_VERDICT_CODE, code.cast_unsigned());
    if let Some(chain) = chain {
        batch.text(NFTA_VERDICT_CHAIN, chain);
    }
    batch.close(open).close(data);
}
