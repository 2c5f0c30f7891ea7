//! Time as Docker writes and reads it.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use types::{Error, Result};

/// Nanoseconds since 1970.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize,
)]
pub struct Timestamp(pub i64);

/// Go's zero time, which Docker shows for "never".
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

impl Timestamp {
    /// Now.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    /// Whole seconds since 1970.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// RFC 3339 in UTC with up to nine fractional digits (Go's `RFC3339Nano`).
    pub fn rfc3339(self) -> String {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0))
            .ok()
            .and_then(|time| time.format(&Rfc3339).ok())
            .unwrap_or_else(|| NEVER.to_owned())
    }

    /// Reads RFC 3339.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(time.unix_timestamp_nanos()).ok().map(Self)
    }
}

/// Docker's `since` and `until` parameters: `seconds[.nanoseconds]`; empty and `0` are "not given".
///
/// The client turns dates and durations into this form, but other clients send RFC 3339 or Go durations (before now)
/// too, and Docker takes them in some places: so do we.
pub fn parse_time(text: &str) -> Result<Option<Timestamp>> {
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    if let Some(at) = parse_seconds(text) {
        return Ok(Some(at));
    }
    if let Some(at) = Timestamp::from_rfc3339(text) {
        return Ok(Some(at));
    }
    if let Some(at) = parse_local(text) {
        return Ok(Some(at));
    }
    if let Some(ago) = parse_duration_ns(text) {
        return Ok(Some(Timestamp(Timestamp::now().0.saturating_sub(ago))));
    }
    Err(Error::invalid(format!("failed to parse value as time or duration: {text:?}")))
}

/// A time without a zone, as exact as Docker takes it: that of the machine, which is UTC in a container of ours and on most servers.
fn parse_local(text: &str) -> Option<Timestamp> {
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        13 => format!("{text}:00:00Z"),
        16 => format!("{text}:00Z"),
        19.. => format!("{text}Z"),
        _ => return None,
    };
    Timestamp::from_rfc3339(&whole)
}

/// A filter's `until`, which must be a time.
pub(crate) fn parse_until(text: &str) -> Result<Timestamp> {
    let unreadable = || Error::invalid(format!("failed to parse value as time or duration: {text:?}"));
    if text == "0" {
        return Ok(Timestamp(0));
    }
    parse_time(text)?.ok_or_else(unreadable)
}

fn parse_seconds(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = seconds.parse().ok()?;
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    // What is beyond the year 2262 is simply late.
    Some(Timestamp(seconds.saturating_mul(1_000_000_000).saturating_add(nanos)))
}

/// Go's `time.ParseDuration` for positive durations (`1h30m`, `1.5s`), in nanoseconds.
pub(crate) fn parse_duration_ns(text: &str) -> Option<i64> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number * unit;
        rest = &rest[end..];
    }
    (total < 9e18).then_some(total as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form_docker_takes() {
        for (text, nanos) in [
            ("1136073600", 1_136_073_600_000_000_000),
            ("1136073600.000000001", 1_136_073_600_000_000_001),
            ("1.5", 1_500_000_000),
            ("2006-01-02T15:04:05Z", 1_136_214_245_000_000_000),
            ("2006-01-02T15:04:05.5+01:00", 1_136_210_645_500_000_000),
            ("2006-01-02T15:04:05", 1_136_214_245_000_000_000),
            ("2006-01-02", 1_136_160_000_000_000_000),
        ] {
            assert_eq!(parse_time(text).unwrap(), Some(Timestamp(nanos)), "{text}");
        }
        assert_eq!(parse_time("").unwrap(), None);
        assert!(parse_time("1h").unwrap().unwrap() < Timestamp::now());
        assert_eq!(
            parse_time("bogus").unwrap_err().message,
            r#"failed to parse value as time or duration: "bogus""#
        );
    }

    #[test]
    fn durations_are_gos() {
        for (text, want) in [
            ("1h30m", Some(5_400_000_000_000)),
            ("300ms", Some(300_000_000)),
            ("1.5s", Some(1_500_000_000)),
            ("5", None),
            ("", None),
            ("h", None),
        ] {
            assert_eq!(parse_duration_ns(text), want, "{text}");
        }
    }

    #[test]
    fn a_timestamp_survives_rfc3339() {
        let now = Timestamp::now();
        assert_eq!(Timestamp::from_rfc3339(&now.rfc3339()), Some(now));
    }
}
