//! go-units and Go's times: sizes, ages, dates in words.

use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

const DECIMAL: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const BINARY: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

fn scaled(size: f64, base: f64, units: &[&'static str; 9]) -> (f64, &'static str) {
    let mut size = size;
    let mut index = 0;
    while size >= base && index + 1 < units.len() {
        size /= base;
        index += 1;
    }
    (size, units[index])
}

/// `1.234MB`: four significant digits, base 1000.
pub(crate) fn human_size(size: f64) -> String {
    human_size_with(size, 4)
}

/// The same with another number of significant digits.
pub(crate) fn human_size_with(size: f64, digits: usize) -> String {
    let (size, unit) = scaled(size, 1000.0, &DECIMAL);
    format!("{}{unit}", general(size, digits))
}

/// `1.206MiB`: four significant digits, base 1024.
pub(crate) fn bytes_size(size: f64) -> String {
    let (size, unit) = scaled(size, 1024.0, &BINARY);
    format!("{}{unit}", general(size, 4))
}

/// Go's word for a number that is none or without end.
pub(crate) fn not_finite(value: f64) -> Option<&'static str> {
    match value {
        f64::INFINITY => Some("+Inf"),
        f64::NEG_INFINITY => Some("-Inf"),
        value if value.is_nan() => Some("NaN"),
        _ => None,
    }
}

/// C's and Go's `%.{digits}g`.
pub(crate) fn general(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if let Some(word) = not_finite(value) {
        return word.to_owned();
    }
    let digits = digits.max(1);
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || exponent >= i32::try_from(digits).unwrap_or(i32::MAX) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim(mantissa), exponent.abs());
    }
    let decimals = usize::try_from(i32::try_from(digits).unwrap_or(0) - 1 - exponent).unwrap_or(0);
    trim(&format!("{value:.decimals$}"))
}

/// `About a minute`, `2 hours`.
pub(crate) fn human_duration(seconds: f64) -> String {
    let whole = seconds as i64;
    let minutes = (seconds / 60.0) as i64;
    let hours = (seconds / 3600.0 + 0.5) as i64;
    match () {
        () if whole < 1 => "Less than a second".to_owned(),
        () if whole == 1 => "1 second".to_owned(),
        () if whole < 60 => format!("{whole} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", (seconds / 3600.0) as i64 / 24 / 365),
    }
}

/// Age in words of a moment in seconds since the epoch: `2 hours ago`.
pub(crate) fn age(unix_seconds: i64) -> String {
    let seconds = OffsetDateTime::now_utc().unix_timestamp_nanos() as f64 / 1e9 - unix_seconds as f64;
    format!("{} ago", human_duration(seconds))
}

/// Go's `Duration.String`, from nanoseconds: `1h2m3.5s`.
pub(crate) fn go_duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let total = nanoseconds.unsigned_abs();
    let fraction = |value: u64, unit: u64| {
        let decimals = match unit {
            1_000_000_000 => 9,
            1_000_000 => 6,
            _ => 3,
        };
        let part = format!("{:0decimals$}", value % unit);
        let part = part.trim_end_matches('0');
        if part.is_empty() { (value / unit).to_string() } else { format!("{}.{part}", value / unit) }
    };
    match total {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{total}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", fraction(total, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", fraction(total, 1_000_000)),
        _ => {
            let minutes = total / 60_000_000_000;
            let seconds = format!("{}s", fraction(total % 60_000_000_000, 1_000_000_000));
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

/// Offset of local time now; UTC when it cannot be found out.
pub(crate) fn local_offset() -> UtcOffset {
    UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC)
}

/// The moment in local time.
pub(crate) fn to_local(moment: OffsetDateTime) -> OffsetDateTime {
    moment.to_offset(UtcOffset::local_offset_at(moment).unwrap_or(UtcOffset::UTC))
}

/// Reads RFC 3339.
pub(crate) fn parse_rfc3339(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// Go's `Time.String` in local time: `2023-11-14 22:13:20 +0000 UTC`.
pub(crate) fn go_time(unix_seconds: i64) -> String {
    let Ok(moment) = OffsetDateTime::from_unix_timestamp(unix_seconds) else { return String::new() };
    go_time_of(to_local(moment))
}

/// Go's `Time.String`.
pub(crate) fn go_time_of(moment: OffsetDateTime) -> String {
    let offset = moment.offset();
    let (hours, minutes, _) = offset.as_hms();
    let sign = if offset.is_negative() { '-' } else { '+' };
    let zone = format!("{sign}{:02}{:02}", hours.abs(), minutes.abs());
    let name = if offset.is_utc() { "UTC".to_owned() } else { zone.clone() };
    let (date, clock) = (moment.date(), moment.time());
    let fraction = match moment.nanosecond() {
        0 => String::new(),
        nanoseconds => format!(".{nanoseconds:09}").trim_end_matches('0').to_owned(),
    };
    format!("{date} {:02}:{:02}:{:02}{fraction} {zone} {name}", clock.hour(), clock.minute(), clock.second())
}

/// Go's `RFC3339` in local time: `2023-11-14T22:13:20Z`.
pub(crate) fn rfc3339_local(unix_seconds: i64) -> String {
    let Ok(moment) = OffsetDateTime::from_unix_timestamp(unix_seconds) else { return String::new() };
    to_local(moment).format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_four_significant_digits() {
        for (size, expect) in [
            (0.0, "0B"),
            (999.0, "999B"),
            (1000.0, "1kB"),
            (1234.0, "1.234kB"),
            (4_261_432.0, "4.261MB"),
            (1e9, "1GB"),
            (999_999.0, "1000kB"),
        ] {
            assert_eq!(human_size(size), expect);
        }
        assert_eq!(human_size_with(4_261_432.0, 3), "4.26MB");
        assert_eq!(bytes_size(1024.0 * 1024.0 * 1.5), "1.5MiB");
        assert_eq!(bytes_size(0.0), "0B");
        assert_eq!(general(0.00001, 4), "1e-05");
    }

    #[test]
    fn durations_are_said_in_go_units_words() {
        for (seconds, expect) in [
            (0.4, "Less than a second"),
            (1.0, "1 second"),
            (59.0, "59 seconds"),
            (60.0, "About a minute"),
            (120.0, "2 minutes"),
            (3600.0, "About an hour"),
            (5400.0, "2 hours"),
            (3600.0 * 47.0, "47 hours"),
            (3600.0 * 48.0, "2 days"),
            (86400.0 * 14.0, "2 weeks"),
            (86400.0 * 60.0, "2 months"),
            (86400.0 * 365.0 * 2.0, "2 years"),
        ] {
            assert_eq!(human_duration(seconds), expect, "{seconds}");
        }
    }

    #[test]
    fn go_durations_and_times_read_as_in_go() {
        for (nanoseconds, expect) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (2_000_000, "2ms"),
            (1_500_000_000, "1.5s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (-5_000_000_000, "-5s"),
        ] {
            assert_eq!(go_duration(nanoseconds), expect);
        }
        let moment = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        assert_eq!(go_time_of(moment), "2023-11-14 22:13:20 +0000 UTC");
    }
}
