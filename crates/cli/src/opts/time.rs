//! Go's durations (`1h30m`) and Docker's times: RFC 3339, a day, seconds since the epoch, or so long ago.

use time::{
    Date, OffsetDateTime, PrimitiveDateTime, format_description::well_known::Rfc3339,
    macros::format_description,
};

use crate::flags::go_quote;

/// Go's `time.ParseDuration`, in nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", go_quote(text));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: f64 = 0.0;
    let mut exact: i128 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(invalid());
        }
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {}", go_quote(text)));
        }
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(format!("time: unknown unit {} in duration {}", go_quote(unit), go_quote(text))),
        };
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        exact = whole.checked_mul(scale).and_then(|part| exact.checked_add(part)).ok_or_else(invalid)?;
        if !fraction.is_empty() {
            total += format!("0.{fraction}").parse::<f64>().map_err(|_| invalid())? * scale as f64;
        }
        rest = after;
    }
    let nanoseconds = exact + total as i128;
    i64::try_from(if negative { -nanoseconds } else { nanoseconds }).map_err(|_| invalid())
}

/// Docker's `GetTimestamp`: what the user gave for `--since` as `SECONDS[.NANOSECONDS]`, or unchanged when it is such
/// a number already.
pub(crate) fn timestamp(text: &str, now: OffsetDateTime) -> Result<String, String> {
    if let Ok(ago) = parse_duration(text) {
        return Ok(unix(now - time::Duration::nanoseconds(ago)));
    }
    if let Some(moment) = parse_date(text) {
        return Ok(unix(moment));
    }
    let numeric = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if numeric && text.matches('.').count() <= 1 {
        return Ok(text.to_owned());
    }
    if text.contains('-') {
        let wanted = if text.contains('T') { "2006-01-02T15:04:05" } else { "2006-01-02" };
        return Err(format!("parsing time {} as {}: cannot parse", go_quote(text), go_quote(wanted)));
    }
    Err(format!("failed to parse value as time or duration: {}", go_quote(text)))
}

fn parse_date(text: &str) -> Option<OffsetDateTime> {
    if let Ok(moment) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(moment);
    }
    let day = format_description!("[year]-[month]-[day]");
    let local = |date: PrimitiveDateTime| date.assume_offset(crate::format::units::local_offset());
    if let Ok(date) = Date::parse(text, day) {
        return Some(local(date.midnight()));
    }
    if let Some(date) = text.strip_suffix('Z').and_then(|date| Date::parse(date, day).ok()) {
        return Some(date.midnight().assume_utc());
    }
    for format in [
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond]"),
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]"),
        format_description!("[year]-[month]-[day]T[hour]:[minute]"),
    ] {
        let (bare, utc) = text.strip_suffix('Z').map_or((text, false), |bare| (bare, true));
        if let Ok(date) = PrimitiveDateTime::parse(bare, format) {
            return Some(if utc { date.assume_utc() } else { local(date) });
        }
    }
    None
}

fn unix(moment: OffsetDateTime) -> String {
    format!("{}.{:09}", moment.unix_timestamp(), moment.nanosecond())
}
