//! Sizes as users write them.

/// `10k`, `1.5 GB`, `2MiB`: go-units' `FromHumanSize` (`base` 1000) and `RAMInBytes` (`base` 1024). Whether there is an
/// `i` makes no difference there.
///
/// # Errors
/// go-units' words.
pub fn parse_size(text: &str, base: u32) -> Result<u64, String> {
    let Some(last) = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ') else {
        return Err(format!("invalid size: '{text}'"));
    };
    let (number, suffix) = text.split_at(last + 1);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let size: f64 =
        number.parse().map_err(|_| format!("strconv.ParseFloat: parsing {number:?}: invalid syntax"))?;
    if size < 0.0 {
        return Err(format!("invalid size: '{text}'"));
    }
    let lower = suffix.to_ascii_lowercase();
    let exponent = match lower.strip_suffix("ib").or(lower.strip_suffix('b')).unwrap_or(&lower) {
        "" if lower != "ib" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(format!("invalid suffix: '{lower}'")),
    };
    // Beyond 2^53 a float is not exact, nor does it matter; `as` saturates.
    Ok((size * f64::from(base).powi(exponent)) as u64)
}
