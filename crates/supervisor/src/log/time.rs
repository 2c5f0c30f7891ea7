//! Time stamps as Go writes them: RFC 3339 with nanoseconds, UTC. Times are nanoseconds since 1970.

use std::time::{SystemTime, UNIX_EPOCH};

const NANOS: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// Now.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// `2006-01-02T15:04:05.000000000Z`: all nine digits, as `docker logs --timestamps` prints.
pub fn rfc3339_fixed(time: i64) -> String {
    let mut out = Vec::with_capacity(30);
    write_seconds(&mut out, time.div_euclid(NANOS));
    write_fraction(&mut out, time.rem_euclid(NANOS));
    out.push(b'Z');
    String::from_utf8_lossy(&out).into_owned()
}

/// `2006-01-02T15:04:05.999999999Z`: Go's RFC3339Nano, without trailing zeros.
pub fn rfc3339_nano(time: i64) -> String {
    let mut out = Vec::with_capacity(30);
    write_nano(&mut out, time);
    String::from_utf8_lossy(&out).into_owned()
}

/// [`rfc3339_nano`] appended to `out`.
pub(crate) fn write_nano(out: &mut Vec<u8>, time: i64) {
    write_seconds(out, time.div_euclid(NANOS));
    let fraction = time.rem_euclid(NANOS);
    if fraction != 0 {
        write_fraction(out, fraction);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    out.push(b'Z');
}

fn write_seconds(out: &mut Vec<u8>, seconds: i64) {
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let second = seconds.rem_euclid(DAY);
    digits(out, year, 4);
    for (separator, value) in
        [(b'-', month), (b'-', day), (b'T', second / 3600), (b':', second / 60 % 60), (b':', second % 60)]
    {
        out.push(separator);
        digits(out, value, 2);
    }
}

fn write_fraction(out: &mut Vec<u8>, nanos: i64) {
    out.push(b'.');
    digits(out, nanos, 9);
}

fn digits(out: &mut Vec<u8>, mut value: i64, width: usize) {
    let start = out.len();
    out.resize(start + width, b'0');
    for place in out[start..].iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Days since 1970 to year, month, day in the proleptic Gregorian calendar. Years start in March, so that the leap day
/// is the last; eras are 400 years.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The reverse of [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Reads RFC 3339 with any number of fraction digits and any offset.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let part = bytes.get(from..to)?;
        part.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
    };
    let mark = |at: usize, allowed: &[u8]| bytes.get(at).is_some_and(|b| allowed.contains(b)).then_some(());
    mark(4, b"-").and(mark(7, b"-")).and(mark(10, b"Tt ")).and(mark(13, b":")).and(mark(16, b":"))?;
    let (month, day) = (number(5, 7)?, number(8, 10)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let mut seconds = days(number(0, 4)?, month, day) * DAY
        + number(11, 13)? * 3600
        + number(14, 16)? * 60
        + number(17, 19)?;
    let mut rest = 19;
    let mut nanos = 0;
    if bytes.get(rest) == Some(&b'.') {
        let fraction = bytes[rest + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        let kept = fraction.min(9);
        nanos = number(rest + 1, rest + 1 + kept)? * 10_i64.pow(9 - u32::try_from(kept).ok()?);
        rest += 1 + fraction;
    }
    match bytes.get(rest)? {
        b'Z' | b'z' if bytes.len() == rest + 1 => {}
        sign @ (b'+' | b'-') if bytes.len() == rest + 6 => {
            mark(rest + 3, b":")?;
            let offset = number(rest + 1, rest + 3)? * 3600 + number(rest + 4, rest + 6)? * 60;
            seconds += if *sign == b'+' { -offset } else { offset };
        }
        _ => return None,
    }
    seconds.checked_mul(NANOS)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_written_as_go_writes_them() {
        for (time, nano, fixed) in [
            (0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000000Z"),
            (-1, "1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999999Z"),
            (951_782_400_120_000_000, "2000-02-29T00:00:00.12Z", "2000-02-29T00:00:00.120000000Z"),
            (1_789_968_896_000_000_001, "2026-09-21T05:34:56.000000001Z", "2026-09-21T05:34:56.000000001Z"),
        ] {
            assert_eq!((rfc3339_nano(time).as_str(), rfc3339_fixed(time).as_str()), (nano, fixed));
        }
    }

    #[test]
    fn times_are_read_in_any_zone_and_precision() {
        for (text, expect) in [
            ("1970-01-01T00:00:01.5Z", Some(1_500_000_000)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("1969-12-31T23:00:00.0000000001-01:00", Some(0)),
            ("1970-01-01T00:00:00", None),
            ("1970-13-01T00:00:00Z", None),
            ("1970-01-01T00:00:0xZ", None),
            ("rubbish", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expect, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(time in 0..i64::MAX) {
            prop_assert_eq!(parse(&rfc3339_nano(time)), Some(time));
            prop_assert_eq!(parse(&rfc3339_fixed(time)), Some(time));
        }

        #[test]
        fn agrees_with_the_time_crate(seconds in 0..9_000_000_000_i64) {
            let other = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
            let other = other.format(&time::format_description::well_known::Rfc3339).unwrap();
            prop_assert_eq!(rfc3339_nano(seconds * NANOS), other);
        }
    }
}
