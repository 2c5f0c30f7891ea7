//! The `json-file` format: one object a line, byte for byte as Docker writes it (moby
//! `daemon/logger/jsonfilelog/jsonlog`): `{"log":"text\n","stream":"stdout","attrs":{...},"time":"..."}`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use types::StreamKind;

use super::reader::Entry;
use super::split::Piece;
use super::{scan, time};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends one entry. `attrs` is an encoded object or empty.
pub(super) fn encode(out: &mut Vec<u8>, piece: Piece<'_>, stream: StreamKind, attrs: &[u8]) {
    out.extend_from_slice(b"{\"log\":\"");
    escape(out, piece.bytes);
    if piece.newline {
        out.extend_from_slice(b"\\n");
    }
    out.extend_from_slice(b"\",\"stream\":\"");
    out.extend_from_slice(super::stream_name(stream).as_bytes());
    out.push(b'"');
    if !attrs.is_empty() {
        out.extend_from_slice(b",\"attrs\":");
        out.extend_from_slice(attrs);
    }
    out.extend_from_slice(b",\"time\":\"");
    time::write_nano(out, piece.time);
    out.extend_from_slice(b"\"}\n");
}

/// The value of `attrs` for [`encode`]; empty when there are none.
pub(super) fn encode_attrs(attrs: &BTreeMap<String, String>) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in attrs {
        out.extend_from_slice(if out.is_empty() { b"{\"" } else { b",\"" });
        escape(&mut out, key.as_bytes());
        out.extend_from_slice(b"\":\"");
        escape(&mut out, value.as_bytes());
        out.push(b'"');
    }
    if !out.is_empty() {
        out.push(b'}');
    }
    out
}

/// A string's inside. HTML's special characters and the two Unicode line separators are escaped as Go does; each byte
/// that is not UTF-8 becomes U+FFFD.
fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    // What is valid as a whole, which nearly all output is, is checked many bytes at a time.
    if let Ok(text) = std::str::from_utf8(bytes) {
        return escape_text(out, text);
    }
    for chunk in bytes.utf8_chunks() {
        escape_text(out, chunk.valid());
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

fn escape_text(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(at) = scan::position(rest, is_special) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        rest = escape_run(out, tail);
    }
    out.extend_from_slice(rest);
}

/// Bytes that may not stand for themselves.
fn is_special(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'&' | 0xE2)
}

/// Escapes the special bytes that `bytes` starts with, and gives what follows them. In blocks: a run may be long, as
/// of zeros, and each growth of `out` is a call.
fn escape_run<'a>(out: &mut Vec<u8>, mut bytes: &'a [u8]) -> &'a [u8] {
    let (mut block, mut filled) = ([0; 32 * ESCAPE_MAX], 0);
    loop {
        if filled + ESCAPE_MAX > block.len() {
            out.extend_from_slice(&block[..filled]);
            filled = 0;
        }
        let (escape, length) = match bytes {
            // U+2028 and U+2029.
            [0xE2, 0x80, last @ (0xA8 | 0xA9), rest @ ..] => {
                bytes = rest;
                ([b'\\', b'u', b'2', b'0', b'2', HEX[usize::from(last & 0xF)]], ESCAPE_MAX)
            }
            [byte, rest @ ..] if is_special(*byte) => {
                bytes = rest;
                ESCAPES[usize::from(*byte)]
            }
            rest => {
                out.extend_from_slice(&block[..filled]);
                return rest;
            }
        };
        block[filled..filled + ESCAPE_MAX].copy_from_slice(&escape);
        filled += length;
    }
}

/// Longest escape in bytes: `\u0000`.
const ESCAPE_MAX: usize = 6;

/// What stands for each special byte, and its length.
static ESCAPES: [([u8; ESCAPE_MAX], usize); 256] = {
    let mut all = [([b'\\', b'u', b'0', b'0', 0, 0], ESCAPE_MAX); 256];
    let mut byte = 0;
    while byte < 256 {
        all[byte].0[4] = HEX[byte >> 4];
        all[byte].0[5] = HEX[byte & 0xF];
        byte += 1;
    }
    all[b'\n' as usize] = (*b"\\n    ", 2);
    all[b'\r' as usize] = (*b"\\r    ", 2);
    all[b'"' as usize] = (*b"\\\"    ", 2);
    all[b'\\' as usize] = (*b"\\\\    ", 2);
    // The first byte of many characters, which only U+2028 and U+2029 are escaped of.
    all[0xE2] = ([0xE2, 0, 0, 0, 0, 0], 1);
    all
};

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(default)]
    attrs: Option<BTreeMap<String, String>>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

/// Reads one line (without its newline); `None` if it is damaged.
pub(super) fn decode(line: &[u8]) -> Option<Entry> {
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    Some(Entry {
        stream: if line.stream == "stderr" { StreamKind::Stderr } else { StreamKind::Stdout },
        time: time::parse(&line.time)?,
        line: line.log.into_owned().into_bytes(),
        attrs: line.attrs.unwrap_or_default().into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece(bytes: &[u8], newline: bool) -> Piece<'_> {
        Piece { bytes, newline, ordinal: None, time: 1_500_000_000 }
    }

    fn encoded(bytes: &[u8], newline: bool, attrs: &[u8]) -> String {
        let mut out = Vec::new();
        encode(&mut out, piece(bytes, newline), StreamKind::Stdout, attrs);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn entries_are_byte_for_byte_dockers() {
        let check = |bytes: &[u8], log: &str| {
            let expect =
                format!("{{\"log\":\"{log}\",\"stream\":\"stdout\",\"time\":\"1970-01-01T00:00:01.5Z\"}}\n");
            assert_eq!(encoded(bytes, false, b""), expect, "{bytes:?}");
        };
        check(b"hi", "hi");
        check(b"a\tb\r\x1b[1m\x7f", "a\\u0009b\\r\\u001b[1m\x7f");
        check(b"\"q\" \\ <b>&", "\\\"q\\\" \\\\ \\u003cb\\u003e\\u0026");
        check("é\u{2028}\u{2029}x\u{2030}".as_bytes(), "é\\u2028\\u2029x\u{2030}");
        check(b"\xe2\x82a\xff\x80", "\\ufffd\\ufffda\\ufffd\\ufffd");
        check(b"end\xe2\x82", "end\\ufffd\\ufffd");
    }

    #[test]
    fn newline_and_attrs_stand_where_docker_puts_them() {
        let attrs = BTreeMap::from([("b".to_owned(), "2".to_owned()), ("a".to_owned(), "<1".to_owned())]);
        let attrs = encode_attrs(&attrs);
        assert_eq!(attrs, b"{\"a\":\"\\u003c1\",\"b\":\"2\"}");
        let expect = "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"attrs\":{\"a\":\"\\u003c1\",\"b\":\"2\"},\
                      \"time\":\"1970-01-01T00:00:01.5Z\"}\n";
        assert_eq!(encoded(b"x", true, &attrs), expect);
    }

    #[test]
    fn a_damaged_line_is_no_entry() {
        for line in [
            "",
            "{",
            "{\"log\":\"x\"}",
            "{\"log\":\"x\",\"stream\":\"stdout\",\"time\":\"yesterday\"}",
            "\0\0\0",
        ] {
            assert_eq!(decode(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn text_survives_a_round_trip(text in "\\PC*|(.|\n){0,40}", newline: bool) {
            let line = encoded(text.as_bytes(), newline, b"");
            let entry = decode(line.trim_end_matches('\n').as_bytes()).unwrap();
            let mut expect = text.into_bytes();
            if newline { expect.push(b'\n'); }
            prop_assert_eq!(entry.line, expect);
            prop_assert_eq!(entry.time, 1_500_000_000);
        }

        #[test]
        fn any_bytes_give_one_line(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let line = encoded(&bytes, true, b"");
            prop_assert_eq!(line.matches('\n').count(), 1);
            let expect: String = bytes.utf8_chunks()
                .map(|c| c.valid().to_owned() + &"\u{fffd}".repeat(c.invalid().len())).collect();
            prop_assert_eq!(decode(line.trim_end().as_bytes()).unwrap().line, (expect + "\n").into_bytes());
        }
    }
}
