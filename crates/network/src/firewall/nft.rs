//! nf_tables over nfnetlink (`include/uapi/linux/netfilter/nf_tables.h`): transactions of tables, chains, sets, rules
//! and elements. Numbers are in network order, except inside of keys and constants that the kernel compares with its
//! own.

use std::io;

use super::expression::Expression;
use crate::netlink::Socket;
use crate::netlink::message::{
    Batch, Message, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, attributes, text,
};

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFNL_MSG_BATCH_BEGIN: u16 = 16;
const NFNL_MSG_BATCH_END: u16 = 17;
const NFPROTO_UNSPEC: u8 = 0;
const NFPROTO_INET: u8 = 1;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
/// `NF_INET_LOCAL_IN`, `NF_INET_FORWARD`.
pub(super) const INPUT: u32 = 1;
pub(super) const FORWARD: u32 = 2;

const NFT_MSG_NEWTABLE: u16 = 0;
const NFT_MSG_DELTABLE: u16 = 2;
const NFT_MSG_NEWCHAIN: u16 = 3;
const NFT_MSG_GETCHAIN: u16 = 4;
const NFT_MSG_DELCHAIN: u16 = 5;
const NFT_MSG_NEWRULE: u16 = 6;
const NFT_MSG_DELRULE: u16 = 8;
const NFT_MSG_NEWSET: u16 = 9;
const NFT_MSG_DELSET: u16 = 11;
const NFT_MSG_NEWSETELEM: u16 = 12;
const NFT_MSG_GETSETELEM: u16 = 13;
const NFT_MSG_DELSETELEM: u16 = 14;
const NFT_MSG_GETGEN: u16 = 16;

const NFTA_TABLE_NAME: u16 = 1;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_SET_NAME: u16 = 2;
const NFTA_SET_FLAGS: u16 = 3;
const NFTA_SET_KEY_TYPE: u16 = 4;
const NFTA_SET_KEY_LEN: u16 = 5;
const NFTA_SET_DATA_TYPE: u16 = 6;
const NFTA_SET_DATA_LEN: u16 = 7;
const NFTA_SET_DESC: u16 = 9;
const NFTA_SET_ID: u16 = 10;
const NFTA_SET_USERDATA: u16 = 13;
/// What `nft` leaves for itself with a set, as type, length, value: without it names look empty in its listing.
const USERDATA_KEY_BYTEORDER: u8 = 0;
const BYTEORDER_HOST: u32 = 1;
const BYTEORDER_NETWORK: u32 = 2;
const NFTA_SET_DESC_CONCAT: u16 = 2;
const NFTA_SET_FIELD_LEN: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;
const NFTA_SET_ELEM_FLAGS: u16 = 3;
const NFTA_SET_ELEM_KEY_END: u16 = 10;
const NFT_SET_ELEM_INTERVAL_END: u32 = 1;
/// `nft` shows the parts of a concatenation from its type: six bits each.
const TYPE_BITS: u32 = 6;
pub(super) const NFTA_LIST_ELEM: u16 = 1;
pub(super) const NFTA_DATA_VALUE: u16 = 1;

const NFT_SET_INTERVAL: u32 = 4;
const NFT_SET_MAP: u32 = 8;
const NFT_SET_CONCAT: u32 = 0x80;

/// Attributes are at most 64 KiB long; a list of elements is cut well before.
const ELEMENTS_BYTES: usize = 60 * 1024;

/// What a part of a key is: `nft`'s own number for the type, and its length in bytes (in a key, padded to 4).
#[derive(Debug, Clone, Copy)]
pub(super) struct Field(u32, u32);

pub(super) const IPV4_ADDR: Field = Field(7, 4);
pub(super) const IPV6_ADDR: Field = Field(8, 16);
pub(super) const INET_PROTO: Field = Field(12, 1);
pub(super) const INET_SERVICE: Field = Field(13, 2);
pub(super) const IFNAME: Field = Field(41, 16);

/// A set or, with `data`, a map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Set {
    pub(super) name: &'static str,
    pub(super) key: &'static [Field],
    pub(super) data: &'static [Field],
    /// Keys are ranges.
    pub(super) interval: bool,
}

/// Where a base chain hangs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hook {
    /// `filter` or `nat`.
    pub(super) kind: &'static str,
    /// `NF_INET_*`: 0 prerouting, 2 forward, 3 output, 4 postrouting.
    pub(super) number: u32,
    pub(super) priority: i32,
}

/// One member of a set.
#[derive(Debug, Clone, Default)]
pub(super) struct Element {
    pub(super) key: Vec<u8>,
    /// Last key of a range of concatenations.
    pub(super) key_end: Option<Vec<u8>>,
    pub(super) data: Option<Vec<u8>>,
    /// This key is the first that a range before it does not hold.
    pub(super) interval_end: bool,
}

/// Asks the kernel for its ruleset's generation: whether nf_tables is there and is ours to change.
pub(super) fn probe() -> io::Result<()> {
    let mut batch = Batch::new();
    batch.message(kind(NFT_MSG_GETGEN), NLM_F_ACK, &header(NFPROTO_UNSPEC, 0));
    Socket::netfilter()?.query(&mut batch, |_| {})
}

/// Whether a table of ours has this chain.
pub(super) fn has_chain(socket: &mut Socket, table: &str, name: &str) -> io::Result<bool> {
    let mut batch = Batch::new();
    batch.message(kind(NFT_MSG_GETCHAIN), NLM_F_ACK, &header(NFPROTO_INET, 0));
    batch.text(NFTA_CHAIN_TABLE, table).text(NFTA_CHAIN_NAME, name);
    match socket.query(&mut batch, |_| {}) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A chain that hangs on a hook, whoever's it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseChain {
    /// `inet`, `ip` or `ip6`.
    pub(crate) family: &'static str,
    pub(crate) table: String,
    pub(crate) name: String,
    /// `NF_INET_*`.
    pub(crate) hook: u32,
    /// What its rules do not decide is dropped.
    pub(crate) drops: bool,
}

impl std::fmt::Display for BaseChain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.family, self.table, self.name)
    }
}

/// All chains that hang on hooks, of all tables. Only read: most of them are not ours.
pub(super) fn base_chains(socket: &mut Socket) -> io::Result<Vec<BaseChain>> {
    let mut batch = Batch::new();
    batch.message(kind(NFT_MSG_GETCHAIN), NLM_F_DUMP, &header(NFPROTO_UNSPEC, 0));
    let mut found = Vec::new();
    socket.query(&mut batch, |message| {
        let family = match message.body.first() {
            Some(&NFPROTO_INET) => "inet",
            Some(&NFPROTO_IPV4) => "ip",
            Some(&NFPROTO_IPV6) => "ip6",
            _ => return,
        };
        let value =
            |wanted| attributes(message.body, 4).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
        let number = value(NFTA_CHAIN_HOOK)
            .and_then(|hook| attributes(hook, 0).find(|(kind, _)| *kind == NFTA_HOOK_HOOKNUM))
            .and_then(|(_, number)| Some(u32::from_be_bytes(number.try_into().ok()?)));
        // Only jumped to.
        let Some(hook) = number else { return };
        found.push(BaseChain {
            family,
            table: text(value(NFTA_CHAIN_TABLE).unwrap_or_default()),
            name: text(value(NFTA_CHAIN_NAME).unwrap_or_default()),
            hook,
            drops: value(NFTA_CHAIN_POLICY).is_some_and(|policy| policy == NF_DROP.to_be_bytes()),
        });
    })?;
    Ok(found)
}

/// Whether a set of ours has this key.
pub(super) fn has_element(socket: &mut Socket, table: &str, set: &Set, key: Vec<u8>) -> io::Result<bool> {
    let mut batch = Batch::new();
    batch.message(kind(NFT_MSG_GETSETELEM), NLM_F_ACK, &header(NFPROTO_INET, 0));
    batch.text(NFTA_TABLE_NAME, table).text(NFTA_SET_ELEM_LIST_SET, set.name);
    let list = batch.open(NFTA_SET_ELEM_LIST_ELEMENTS);
    Element { key, ..Element::default() }.put(&mut batch);
    batch.close(list);
    match socket.query(&mut batch, |_| {}) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The table whose part a message of the kernel's about a removal tells of; `None` if it tells of something else.
pub(super) fn removed_from(message: &Message<'_>) -> Option<String> {
    let removals = [NFT_MSG_DELTABLE, NFT_MSG_DELCHAIN, NFT_MSG_DELRULE, NFT_MSG_DELSET, NFT_MSG_DELSETELEM];
    let is_removal = removals.iter().any(|removal| message.kind == kind(*removal));
    let is_inet = message.body.first() == Some(&NFPROTO_INET);
    let table = attributes(message.body, 4).find(|(kind, _)| *kind == NFTA_TABLE_NAME);
    table.filter(|_| is_removal && is_inet).map(|(_, name)| text(name))
}

fn kind(message: u16) -> u16 {
    NFNL_SUBSYS_NFTABLES << 8 | message
}

/// `struct nfgenmsg`.
fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

/// A change that happens as a whole or not at all.
#[derive(Debug)]
pub(super) struct Transaction {
    table: String,
    batch: Batch,
    sets: u32,
}

impl Transaction {
    pub(super) fn new(table: &str) -> Self {
        let mut batch = Batch::new();
        batch.message(NFNL_MSG_BATCH_BEGIN, 0, &header(NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES));
        Self { table: table.to_owned(), batch, sets: 0 }
    }

    /// Every object's first attribute is the name of its table.
    fn message(&mut self, message: u16, flags: u16) -> &mut Batch {
        self.batch.message(kind(message), flags, &header(NFPROTO_INET, 0)).text(NFTA_TABLE_NAME, &self.table)
    }

    /// An empty table, whatever was there before: adding what exists is no error, deleting what does not is one.
    pub(super) fn replace_table(&mut self) {
        self.remove_table();
        self.message(NFT_MSG_NEWTABLE, NLM_F_CREATE);
    }

    pub(super) fn remove_table(&mut self) {
        self.message(NFT_MSG_NEWTABLE, NLM_F_CREATE);
        self.message(NFT_MSG_DELTABLE, 0);
    }

    /// A chain, hung on a hook (then what it does not decide is accepted) or only jumped to.
    pub(super) fn add_chain(&mut self, name: &str, hook: Option<Hook>) {
        let batch = self.message(NFT_MSG_NEWCHAIN, NLM_F_CREATE);
        batch.text(NFTA_CHAIN_NAME, name);
        if let Some(hook) = hook {
            batch.text(NFTA_CHAIN_TYPE, hook.kind).be32(NFTA_CHAIN_POLICY, NF_ACCEPT);
            let open = batch.open(NFTA_CHAIN_HOOK);
            batch.be32(NFTA_HOOK_HOOKNUM, hook.number);
            batch.be32(NFTA_HOOK_PRIORITY, hook.priority.cast_unsigned()).close(open);
        }
    }

    pub(super) fn add_set(&mut self, set: &Set) {
        self.sets += 1;
        let id = self.sets;
        let concat = set.key.len() > 1;
        let mut flags = 0;
        flags |= if set.interval { NFT_SET_INTERVAL } else { 0 };
        flags |= if set.data.is_empty() { 0 } else { NFT_SET_MAP };
        flags |= if set.interval && concat { NFT_SET_CONCAT } else { 0 };
        let batch = self.message(NFT_MSG_NEWSET, NLM_F_CREATE);
        batch.text(NFTA_SET_NAME, set.name).be32(NFTA_SET_FLAGS, flags);
        batch.be32(NFTA_SET_KEY_TYPE, type_of(set.key)).be32(NFTA_SET_KEY_LEN, len_of(set.key));
        if !set.data.is_empty() {
            batch.be32(NFTA_SET_DATA_TYPE, type_of(set.data)).be32(NFTA_SET_DATA_LEN, len_of(set.data));
        }
        if set.interval && concat {
            let open = batch.open(NFTA_SET_DESC);
            let fields = batch.open(NFTA_SET_DESC_CONCAT);
            for Field(_, len) in set.key {
                let field = batch.open(NFTA_LIST_ELEM);
                batch.be32(NFTA_SET_FIELD_LEN, *len).close(field);
            }
            batch.close(fields).close(open);
        }
        batch.be32(NFTA_SET_ID, id);
        if let [Field(number, _)] = set.key {
            let order = if *number == IFNAME.0 { BYTEORDER_HOST } else { BYTEORDER_NETWORK };
            let mut userdata = vec![USERDATA_KEY_BYTEORDER, 4];
            userdata.extend(order.to_ne_bytes());
            batch.attribute(NFTA_SET_USERDATA, &userdata);
        }
    }

    pub(super) fn add_rule(&mut self, chain: &str, expressions: &[Expression]) {
        let batch = self.message(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
        batch.text(NFTA_RULE_CHAIN, chain);
        let list = batch.open(NFTA_RULE_EXPRESSIONS);
        for expression in expressions {
            expression.put(batch);
        }
        batch.close(list);
    }

    pub(super) fn add_elements(&mut self, set: &Set, elements: &[Element]) {
        self.put_elements(NFT_MSG_NEWSETELEM, NLM_F_CREATE, set, elements);
    }

    pub(super) fn delete_elements(&mut self, set: &Set, elements: &[Element]) {
        self.put_elements(NFT_MSG_DELSETELEM, 0, set, elements);
    }

    fn put_elements(&mut self, message: u16, flags: u16, set: &Set, elements: &[Element]) {
        let mut rest = elements.iter().peekable();
        while rest.peek().is_some() {
            let batch = self.message(message, flags);
            batch.text(NFTA_SET_ELEM_LIST_SET, set.name);
            let list = batch.open(NFTA_SET_ELEM_LIST_ELEMENTS);
            while batch.open_len(&list) < ELEMENTS_BYTES
                && let Some(element) = rest.next()
            {
                element.put(batch);
            }
            batch.close(list);
        }
    }

    /// Carries it out.
    pub(super) fn commit(&mut self, socket: &mut Socket) -> io::Result<()> {
        self.batch.message(NFNL_MSG_BATCH_END, 0, &header(NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES));
        // Older kernels acknowledge no end: the last change before it stands for all.
        let last = self.batch.len().saturating_sub(2);
        socket.exchange(&mut self.batch, last)
    }
}

impl Element {
    fn put(&self, batch: &mut Batch) {
        let element = batch.open(NFTA_LIST_ELEM);
        let value = |batch: &mut Batch, kind, bytes: &[u8]| {
            let open = batch.open(kind);
            batch.attribute(NFTA_DATA_VALUE, bytes).close(open);
        };
        if self.interval_end {
            batch.be32(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
        }
        value(batch, NFTA_SET_ELEM_KEY, &self.key);
        if let Some(key_end) = &self.key_end {
            value(batch, NFTA_SET_ELEM_KEY_END, key_end);
        }
        if let Some(data) = &self.data {
            value(batch, NFTA_SET_ELEM_DATA, data);
        }
        batch.close(element);
    }
}

fn type_of(fields: &[Field]) -> u32 {
    fields.iter().fold(0, |all, Field(number, _)| all << TYPE_BITS | number)
}

fn len_of(fields: &[Field]) -> u32 {
    match fields {
        [Field(_, len)] => *len,
        fields => fields.iter().map(|Field(_, len)| len.next_multiple_of(4)).sum(),
    }
}
