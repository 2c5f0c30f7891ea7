//! What makes a value acceptable for its kind of flag, in the words of Go's `strconv` and of Docker's `opts`.

use super::{Flag, Kind};
use crate::opts;

/// Checks one value and returns it as it is kept.
pub(super) fn check(flag: &Flag, value: &str) -> Result<String, String> {
    let kept = value.to_owned();
    match flag.kind {
        Kind::Bool => {
            return parse_bool(value)
                .map(|set| set.to_string())
                .ok_or_else(|| go_number_error("ParseBool", value));
        }
        Kind::Int => drop(parse_int(value)?),
        Kind::Uint16 => drop(parse_uint(value, u64::from(u16::MAX))?),
        Kind::Uint64 => drop(parse_uint(value, u64::MAX)?),
        Kind::Bytes => drop(opts::size::ram_in_bytes(value)?),
        Kind::SwapBytes if value == "-1" => {}
        Kind::SwapBytes => drop(opts::size::ram_in_bytes(value)?),
        Kind::Decimal => drop(opts::size::nano_cpus(value)?),
        Kind::Duration => drop(opts::time::parse_duration(value)?),
        Kind::Ulimit => drop(opts::limits::parse_ulimit(value)?),
        Kind::Mount => drop(opts::mount::parse(value)?),
        Kind::Network => drop(opts::network::parse(value)?),
        Kind::Gpu => drop(opts::device::parse_gpus(value)?),
        Kind::Filter => opts::filter::check(value)?,
        Kind::Pairs => drop(pairs(value)?),
        Kind::Str | Kind::List | Kind::Strings | Kind::Map => {}
    }
    match flag.check {
        Some(check) => check(&kept),
        None => Ok(kept),
    }
}

/// Names and values separated by commas; whole pairs may be quoted, as in a CSV file.
pub(crate) fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let fields = opts::csv::fields(text)?;
    let pair = |field: String| match field.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(format!("{field} must be formatted as key=value")),
    };
    fields.into_iter().map(pair).collect()
}

/// Go's `strconv.ParseBool`.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Go's `strconv.ParseInt(text, 0, 64)`: decimal, or with a prefix `0x`, `0o`, `0b`, `0`; underscores between digits.
pub(super) fn parse_int(text: &str) -> Result<i64, String> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = magnitude(digits).map_err(|why| go_error("ParseInt", text, why))?;
    let limit = u64::from(negative) + i64::MAX as u64;
    if magnitude > limit {
        return Err(go_error("ParseInt", text, "value out of range"));
    }
    // In two's complement the negation of 2^63 is itself.
    let value = magnitude as i64;
    Ok(if negative { value.wrapping_neg() } else { value })
}

pub(super) fn parse_uint(text: &str, max: u64) -> Result<u64, String> {
    let value = magnitude(text).map_err(|why| go_error("ParseUint", text, why))?;
    if value > max { Err(go_error("ParseUint", text, "value out of range")) } else { Ok(value) }
}

fn magnitude(digits: &str) -> Result<u64, &'static str> {
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| char::from(byte).is_digit(radix)) {
        return Err("invalid syntax");
    }
    u64::from_str_radix(digits, radix).map_err(|_| "value out of range")
}

fn go_number_error(function: &str, text: &str) -> String {
    go_error(function, text, "invalid syntax")
}

fn go_error(function: &str, text: &str, why: &str) -> String {
    format!("strconv.{function}: parsing {}: {why}", go_quote(text))
}

/// Go's `strconv.Quote`.
pub(crate) fn go_quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            other if (other as u32) < 0x20 || other == '\u{7f}' => {
                quoted.push_str(&format!("\\x{:02x}", other as u32));
            }
            other if other.is_control() => quoted.push_str(&format!("\\u{:04x}", other as u32)),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
