//! DNS messages (RFC 1035, RFC 6891): reading one question, writing answers. Pure; reads what containers send, so nothing
//! here trusts a length.

use std::net::IpAddr;

const HEADER: usize = 12;
const CLASS_IN: u16 = 1;
const TTL_S: u32 = 600;
const MAX_LABEL: usize = 63;
const MAX_NAME: usize = 255;
/// Without EDNS.
const UDP_BYTES: usize = 512;
/// More is not worth a fragment.
const EDNS_BYTES: u16 = 1232;

pub(super) const TYPE_A: u16 = 1;
pub(super) const TYPE_AAAA: u16 = 28;
pub(super) const TYPE_PTR: u16 = 12;
const TYPE_SOA: u16 = 6;
const TYPE_OPT: u16 = 41;

pub(super) const NO_ERROR: u8 = 0;
pub(super) const FORMAT_ERROR: u8 = 1;
pub(super) const SERVER_FAILURE: u8 = 2;
pub(super) const NAME_ERROR: u8 = 3;
pub(super) const NOT_IMPLEMENTED: u8 = 4;
pub(super) const REFUSED: u8 = 5;

/// A query with one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    /// Lower case, without the last dot.
    pub(super) name: String,
    pub(super) kind: u16,
    pub(super) class_in: bool,
    /// Where the question ends in the message.
    end: usize,
    /// The client speaks EDNS and takes this much over UDP.
    edns: Option<u16>,
}

impl Query {
    /// The same question about another name.
    pub(super) fn of_name(&self, name: String) -> Self {
        Self { name, ..*self }
    }
}

/// What a message that is no proper query gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Nothing: it is an answer, or too short to be answered.
    Silence,
    /// This code.
    Code(u8),
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// Reads a query.
pub(super) fn parse(bytes: &[u8]) -> Result<Query, Refused> {
    if bytes.len() < HEADER || bytes[2] & 0x80 != 0 {
        return Err(Refused::Silence);
    }
    if bytes[2] & 0x78 != 0 {
        return Err(Refused::Code(NOT_IMPLEMENTED));
    }
    let bad = Refused::Code(FORMAT_ERROR);
    if u16_at(bytes, 4) != Some(1) {
        return Err(bad);
    }
    let (name, at) = read_name(bytes).ok_or(bad)?;
    let kind = u16_at(bytes, at).ok_or(bad)?;
    let class = u16_at(bytes, at + 2).ok_or(bad)?;
    let end = at + 4;
    // An OPT record has the root's name, its type, and the size in place of a class.
    let opt = bytes.get(end) == Some(&0) && u16_at(bytes, end + 1) == Some(TYPE_OPT);
    let has_more = u16_at(bytes, 10).is_some_and(|count| count > 0) && u16_at(bytes, 6) == Some(0);
    let edns = if opt && has_more { u16_at(bytes, end + 3) } else { None };
    Ok(Query { name, kind, class_in: class == CLASS_IN, end, edns })
}

/// The question's name, and where it ends. A question has no reason to be compressed.
fn read_name(bytes: &[u8]) -> Option<(String, usize)> {
    let mut at = HEADER;
    let mut name = String::new();
    loop {
        let len = usize::from(*bytes.get(at)?);
        at += 1;
        if len == 0 {
            return Some((name, at));
        }
        if len > MAX_LABEL || at - HEADER + len > MAX_NAME {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        for byte in bytes.get(at..at + len)? {
            // What is no ASCII is nobody's name here; it is forwarded as it came.
            name.push(char::from(byte.to_ascii_lowercase()));
        }
        at += len;
    }
}

/// Whether an answer belongs to a query: the same id and the same question.
pub(super) fn answers(query: &[u8], answer: &[u8]) -> bool {
    let Ok(asked) = parse(query) else { return false };
    answer.len() >= asked.end
        && answer[..2] == query[..2]
        && answer[2] & 0x80 != 0
        && u16_at(answer, 4) == Some(1)
        && answer[HEADER..asked.end].eq_ignore_ascii_case(&query[HEADER..asked.end])
}

/// The response code of a message.
pub(super) fn code(message: &[u8]) -> u8 {
    message.get(3).map_or(SERVER_FAILURE, |byte| byte & 0x0f)
}

/// Whether it did not fit (the client asks again over TCP).
pub(super) fn is_cut(message: &[u8]) -> bool {
    message.get(2).is_some_and(|byte| byte & 0x02 != 0)
}

/// For how long an answer's records hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// Where the numbers (of 4 bytes) lie.
    pub(super) places: Vec<usize>,
    /// Seconds for which all of it holds. Of an answer without records, what its start of authority says of such; `None` if
    /// nothing says.
    pub(super) least: Option<u32>,
    /// There are records in the answer section.
    pub(super) has_answer: bool,
}

/// Reads them; `None` if this is no whole answer to one question.
pub(super) fn times_to_live(message: &[u8]) -> Option<Times> {
    if u16_at(message, 4)? != 1 {
        return None;
    }
    let mut at = skip_name(message, HEADER)? + 4;
    let counts = [u16_at(message, 6)?, u16_at(message, 8)?, u16_at(message, 10)?];
    let mut times = Times { has_answer: counts[0] > 0, ..Times::default() };
    for (section, count) in counts.into_iter().enumerate() {
        for _ in 0..count {
            at = skip_name(message, at)?;
            let kind = u16_at(message, at)?;
            let place = at + 4;
            let data = at + 10;
            at = data + usize::from(u16_at(message, at + 8)?);
            let data = message.get(data..at)?;
            if kind == TYPE_OPT {
                continue;
            }
            let mut seconds = u32::from_be_bytes(message.get(place..place + 4)?.try_into().ok()?);
            times.places.push(place);
            if kind == TYPE_SOA {
                let minimum = data.len().checked_sub(4).and_then(|from| data.get(from..))?;
                seconds = seconds.min(u32::from_be_bytes(minimum.try_into().ok()?));
            }
            // Who says how long a name is missing is its zone's authority alone.
            if times.has_answer || (section == 1 && kind == TYPE_SOA) {
                times.least = Some(times.least.map_or(seconds, |least| least.min(seconds)));
            }
        }
    }
    Some(times)
}

/// Where a name ends that may end in a pointer.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let len = usize::from(*message.get(at)?);
        match len {
            0 => return Some(at + 1),
            1..=MAX_LABEL => at += 1 + len,
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Records {
    /// None: the name exists, but not with this type.
    None,
    /// Of one family.
    Addresses(Vec<IpAddr>),
    Ptr(String),
}

/// An answer. Over UDP it is cut to what the client takes, and says so.
pub(super) fn answer(bytes: &[u8], query: &Query, records: &Records, over_udp: bool) -> Vec<u8> {
    let room = match (over_udp, query.edns) {
        (false, _) => usize::from(u16::MAX),
        (true, Some(size)) => usize::from(size.min(EDNS_BYTES)).max(UDP_BYTES),
        (true, None) => UDP_BYTES,
    };
    let mut reply = head(bytes, query.end, NO_ERROR);
    let opt_len = if query.edns.is_some() { 11 } else { 0 };
    let mut count: u16 = 0;
    let mut put = |kind: u16, data: &[u8]| {
        let fits = reply.len() + 12 + data.len() + opt_len <= room && count < u16::MAX;
        if fits {
            // A pointer to the question's name.
            reply.extend_from_slice(&[0xc0, 12]);
            reply.extend_from_slice(&kind.to_be_bytes());
            reply.extend_from_slice(&CLASS_IN.to_be_bytes());
            reply.extend_from_slice(&TTL_S.to_be_bytes());
            reply.extend_from_slice(&u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
            reply.extend_from_slice(data);
            count += 1;
        }
        fits
    };
    let whole = match records {
        Records::None => true,
        Records::Addresses(addresses) => addresses.iter().all(|address| match address {
            IpAddr::V4(address) => put(TYPE_A, &address.octets()),
            IpAddr::V6(address) => put(TYPE_AAAA, &address.octets()),
        }),
        Records::Ptr(name) => put(TYPE_PTR, &wire_name(name)),
    };
    reply[6..8].copy_from_slice(&count.to_be_bytes());
    if !whole {
        reply[2] |= 0x02;
    }
    if query.edns.is_some() {
        reply.extend_from_slice(&[0]);
        reply.extend_from_slice(&TYPE_OPT.to_be_bytes());
        reply.extend_from_slice(&EDNS_BYTES.to_be_bytes());
        reply.extend_from_slice(&[0; 6]);
        reply[10..12].copy_from_slice(&1u16.to_be_bytes());
    }
    reply
}

/// An answer that is only a code.
pub(super) fn refusal(bytes: &[u8], code: u8) -> Vec<u8> {
    match parse(bytes) {
        Ok(query) => head(bytes, query.end, code),
        Err(_) => {
            let mut reply = head(bytes, HEADER.min(bytes.len()), code);
            reply[4..6].copy_from_slice(&[0, 0]);
            reply
        }
    }
}

/// The header of an answer, and the question up to `end`.
fn head(bytes: &[u8], end: usize, code: u8) -> Vec<u8> {
    let mut reply = bytes.get(..end).unwrap_or_default().to_vec();
    reply.resize(end.max(HEADER), 0);
    // A response; opcode and "recursion desired" as they came; "recursion available".
    reply[2] = 0x80 | (reply[2] & 0x79);
    reply[3] = 0x80 | code;
    reply[6..12].fill(0);
    reply
}

fn wire_name(name: &str) -> Vec<u8> {
    let mut wire = Vec::with_capacity(name.len() + 2);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(MAX_LABEL)];
        wire.push(u8::try_from(label.len()).unwrap_or(0));
        wire.extend_from_slice(label);
    }
    wire.push(0);
    wire
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.extend(wire_name(name));
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    #[test]
    fn a_question_is_read_and_answered() {
        let bytes = query("Web.Example", TYPE_A);
        let parsed = parse(&bytes).unwrap();
        assert_eq!((parsed.name.as_str(), parsed.kind), ("web.example", TYPE_A));
        let reply = answer(&bytes, &parsed, &Records::Addresses(vec![IpAddr::from([10, 0, 0, 2])]), true);
        assert_eq!(reply[..8], [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1]);
        assert_eq!(reply[bytes.len()..], [0xc0, 12, 0, 1, 0, 1, 0, 0, 2, 88, 0, 4, 10, 0, 0, 2]);
        assert!(answers(&bytes, &reply));
        assert!(!answers(&query("other", TYPE_A), &reply));
    }

    #[test]
    fn many_answers_are_cut_over_udp_only() {
        let bytes = query("web", TYPE_A);
        let parsed = parse(&bytes).unwrap();
        let many = Records::Addresses(vec![IpAddr::from([127, 0, 0, 1]); 100]);
        let udp = answer(&bytes, &parsed, &many, true);
        assert!(udp.len() <= 512 && udp[2] & 2 != 0);
        let tcp = answer(&bytes, &parsed, &many, false);
        assert_eq!((u16_at(&tcp, 6), tcp[2] & 2), (Some(100), 0));
    }

    #[test]
    fn what_is_no_query_is_refused() {
        assert_eq!(parse(&[0; 5]), Err(Refused::Silence));
        let mut response = query("a", 1);
        response[2] |= 0x80;
        assert_eq!(parse(&response), Err(Refused::Silence));
        let mut update = query("a", 1);
        update[2] |= 5 << 3;
        assert_eq!(parse(&update), Err(Refused::Code(NOT_IMPLEMENTED)));
        let mut two = query("a", 1);
        two[5] = 2;
        assert_eq!(parse(&two), Err(Refused::Code(FORMAT_ERROR)));
        assert_eq!(refusal(&two, FORMAT_ERROR).len(), 12);
    }

    proptest! {
        #[test]
        fn nothing_that_arrives_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            match parse(&bytes) {
                Ok(parsed) => {
                    answer(&bytes, &parsed, &Records::Ptr("a.b".to_owned()), true);
                }
                Err(Refused::Code(code)) => drop(refusal(&bytes, code)),
                Err(Refused::Silence) => {}
            }
            answers(&bytes, &bytes);
            times_to_live(&bytes);
        }
    }
}
