//! The `local` format, that of Docker's driver of the same name: a big-endian `u32` length, a protobuf `LogEntry`, the
//! length again, so that it can be read backwards.
//!
//! ```text
//! LogEntry { 1: source string, 2: time_nano int64, 3: line bytes, 4: partial bool, 5: { 1: last bool, 2: id string,
//!            3: ordinal int32 }, 6: attrs { 1: key string, 2: value string }* }
//! ```

use std::collections::BTreeMap;

use types::StreamKind;

use super::reader::Entry;
use super::split::Piece;

/// Bytes of a length.
pub(super) const LENGTH: usize = 4;

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// Appends one entry.
pub(super) fn encode(out: &mut Vec<u8>, piece: Piece<'_>, stream: StreamKind, attrs: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH]);
    put_bytes(out, 1, super::stream_name(stream).as_bytes());
    put_varint(out, 2, piece.time as u64);
    put_bytes(out, 3, piece.bytes);
    if let Some(ordinal) = piece.ordinal {
        put_varint(out, 4, 1);
        let mut metadata = Vec::new();
        if piece.newline {
            put_varint(&mut metadata, 1, 1);
        }
        put_bytes(&mut metadata, 2, format!("{:x}", piece.time).as_bytes());
        put_varint(&mut metadata, 3, u64::from(ordinal));
        put_bytes(out, 5, &metadata);
    }
    out.extend_from_slice(attrs);
    // An entry is at most ENTRY_MAX and the attributes, which are bounded by a request's length.
    let length = u32::try_from(out.len() - start - LENGTH).unwrap_or(u32::MAX).to_be_bytes();
    out[start..start + LENGTH].copy_from_slice(&length);
    out.extend_from_slice(&length);
}

/// The attributes for [`encode`].
pub(super) fn encode_attrs(attrs: &BTreeMap<String, String>) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in attrs {
        let mut pair = Vec::new();
        put_bytes(&mut pair, 1, key.as_bytes());
        put_bytes(&mut pair, 2, value.as_bytes());
        put_bytes(&mut out, 6, &pair);
    }
    out
}

/// Reads one `LogEntry`; `None` if it is damaged.
pub(super) fn decode(bytes: &[u8]) -> Option<Entry> {
    let mut entry = Entry { stream: StreamKind::Stdout, time: 0, line: Vec::new(), attrs: Vec::new() };
    let (mut partial, mut last) = (false, false);
    each_field(bytes, |field, value| match (field, value) {
        (1, Value::Bytes(source)) if source == b"stderr" => entry.stream = StreamKind::Stderr,
        (2, Value::Varint(time)) => entry.time = time as i64,
        (3, Value::Bytes(line)) => entry.line = line.to_vec(),
        (4, Value::Varint(set)) => partial = set != 0,
        (5, Value::Bytes(metadata)) => {
            let _ = each_field(metadata, |field, value| {
                if let (1, Value::Varint(set)) = (field, value) {
                    last = set != 0;
                }
            });
        }
        (6, Value::Bytes(pair)) => {
            let (mut key, mut text) = (String::new(), String::new());
            let _ = each_field(pair, |field, value| match (field, value) {
                (1, Value::Bytes(bytes)) => key = String::from_utf8_lossy(bytes).into_owned(),
                (2, Value::Bytes(bytes)) => text = String::from_utf8_lossy(bytes).into_owned(),
                _ => {}
            });
            entry.attrs.push((key, text));
        }
        _ => {}
    })?;
    if !partial || last {
        entry.line.push(b'\n');
    }
    Some(entry)
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

/// Walks the fields of a protobuf message; unknown kinds of a known width are skipped.
fn each_field<'a>(mut bytes: &'a [u8], mut visit: impl FnMut(u64, Value<'a>)) -> Option<()> {
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes)?;
        match key & 7 {
            VARINT => visit(key >> 3, Value::Varint(take_varint(&mut bytes)?)),
            FIXED64 => bytes = bytes.get(8..)?,
            BYTES => {
                let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                visit(key >> 3, Value::Bytes(value));
                bytes = rest;
            }
            FIXED32 => bytes = bytes.get(4..)?,
            _ => return None,
        }
    }
    Some(())
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_varint(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3 | VARINT);
    varint(out, value);
}

fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    varint(out, field << 3 | BYTES);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_entry_has_dockers_bytes() {
        let mut out = Vec::new();
        encode(
            &mut out,
            Piece { bytes: b"hi", newline: true, ordinal: None, time: 300 },
            StreamKind::Stdout,
            b"",
        );
        let expect = b"\0\0\0\x0f\x0a\x06stdout\x10\xac\x02\x1a\x02hi\0\0\0\x0f";
        assert_eq!(out, expect);
    }

    #[test]
    fn attributes_come_back_sorted() {
        let attrs = BTreeMap::from([("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())]);
        let mut out = Vec::new();
        let piece = Piece { bytes: b"", newline: false, ordinal: Some(1), time: -1 };
        encode(&mut out, piece, StreamKind::Stderr, &encode_attrs(&attrs));
        let entry = decode(&out[LENGTH..out.len() - LENGTH]).unwrap();
        let expect = Entry {
            stream: StreamKind::Stderr,
            time: -1,
            line: Vec::new(),
            attrs: attrs.into_iter().collect(),
        };
        assert_eq!(entry, expect);
    }

    proptest! {
        #[test]
        fn entries_survive_a_round_trip(
            bytes in prop::collection::vec(any::<u8>(), 0..300), time: i64, newline: bool, ordinal in prop::option::of(1..9_u32),
        ) {
            prop_assume!(newline || ordinal.is_some());
            let mut out = Vec::new();
            encode(&mut out, Piece { bytes: &bytes, newline, ordinal, time }, StreamKind::Stderr, b"");
            let entry = decode(&out[LENGTH..out.len() - LENGTH]).unwrap();
            let mut expect = bytes;
            if newline { expect.push(b'\n'); }
            prop_assert_eq!((entry.stream, entry.time, entry.line), (StreamKind::Stderr, time, expect));
        }

        #[test]
        fn rubbish_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&bytes);
        }
    }
}
