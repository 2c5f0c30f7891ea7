//! Sizes and numbers of CPUs: go-units' `RAMInBytes`, Docker's `--cpus`.

use crate::flags::go_quote;

/// `512`, `1.5g`, `64MiB`: bytes, with 1024 as base.
pub(crate) fn ram_in_bytes(text: &str) -> Result<i64, String> {
    let invalid = || format!("invalid size: '{text}'");
    let last = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').ok_or_else(invalid)?;
    let (number, suffix) = match text.as_bytes()[last] {
        b' ' => (&text[..last], &text[last + 1..]),
        _ => text.split_at(last + 1),
    };
    let value: f64 = match number.parse() {
        Ok(value) if number.bytes().all(|byte| b"0123456789.eE+-".contains(&byte)) => value,
        _ => return Err(format!("strconv.ParseFloat: parsing {}: invalid syntax", go_quote(number))),
    };
    if value < 0.0 {
        return Err(invalid());
    }
    let suffix = suffix.to_lowercase();
    let multiplier: f64 = match suffix.as_str() {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => 1024.0,
        "m" | "mb" | "mib" => 1024.0 * 1024.0,
        "g" | "gb" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "t" | "tb" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "p" | "pb" | "pib" => 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(format!("invalid suffix: '{suffix}'")),
    };
    // Too large saturates, as a conversion in Go on amd64 would give something meaningless.
    Ok((value * multiplier) as i64)
}

/// `1.5` CPUs in billionths: a decimal fraction, an exponent or a ratio, exactly.
pub(crate) fn nano_cpus(text: &str) -> Result<i64, String> {
    let failed = || format!("failed to parse {text} as a rational number");
    let (above, below) = match text.split_once('/') {
        Some((above, below)) => (decimal(above).ok_or_else(failed)?, decimal(below).ok_or_else(failed)?),
        None => (decimal(text).ok_or_else(failed)?, (1, 0)),
    };
    if below.0 == 0 {
        return Err(failed());
    }
    let exponent = above.1 - below.1 + 9;
    let power = 10_i128.checked_pow(exponent.unsigned_abs()).ok_or_else(failed)?;
    let (numerator, denominator) = match exponent >= 0 {
        true => (above.0.checked_mul(power).ok_or_else(failed)?, below.0),
        false => (above.0, below.0.checked_mul(power).ok_or_else(failed)?),
    };
    if numerator % denominator != 0 {
        return Err("value is too precise".to_owned());
    }
    i64::try_from(numerator / denominator).map_err(|_| failed())
}

/// A decimal number as `(digits, exponent of ten)`.
fn decimal(text: &str) -> Option<(i128, i32)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let unsigned = whole.trim_start_matches(['-', '+']);
    if unsigned.len() + 1 < whole.len() || (unsigned.is_empty() && fraction.is_empty()) || exponent.abs() > 30
    {
        return None;
    }
    if !unsigned.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: i128 = format!("{unsigned}{fraction}").parse().ok()?;
    let digits = if whole.starts_with('-') { -digits } else { digits };
    Some((digits, exponent - i32::try_from(fraction.len()).ok()?))
}
