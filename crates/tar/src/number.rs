//! Numbers in headers: octal text, or GNU's base-256 for what does not fit.

use super::TarError;

/// Reads a numeric field: with the top bit of the first byte set, the rest is a big-endian two's complement number;
/// otherwise it is octal, padded by spaces and NULs on either side. An empty field is 0.
pub(super) fn parse(field: &[u8]) -> Result<i64, TarError> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base256(field),
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Result<i64, TarError> {
    let padding = |b: &u8| matches!(b, b' ' | 0);
    let Some(start) = field.iter().position(|b| !padding(b)) else { return Ok(0) };
    let end = field[start..].iter().position(padding).map_or(field.len(), |n| start + n);
    if !field[end..].iter().all(padding) {
        return Err(TarError::Header("number with something behind it"));
    }
    let mut value: i64 = 0;
    for digit in &field[start..end] {
        if !matches!(digit, b'0'..=b'7') {
            return Err(TarError::Header("number that is not octal"));
        }
        value = value
            .checked_mul(8)
            .and_then(|value| value.checked_add(i64::from(digit - b'0')))
            .ok_or(TarError::Header("number out of range"))?;
    }
    Ok(value)
}

fn base256(field: &[u8]) -> Result<i64, TarError> {
    // The bit after the marker is the sign.
    let negative = field[0] & 0x40 != 0;
    let fill = if negative { 0xff } else { 0 };
    let first = if negative { field[0] } else { field[0] & 0x7f };
    let (extra, low) = field.split_at(field.len().saturating_sub(8));
    let mut bytes = [fill; 8];
    bytes[8 - low.len()..].copy_from_slice(low);
    if extra.is_empty() {
        bytes[8 - low.len()] = first;
    } else if first != fill || extra[1..].iter().any(|b| *b != fill) {
        return Err(TarError::Header("number out of range"));
    }
    let value = i64::from_be_bytes(bytes);
    if (value < 0) == negative { Ok(value) } else { Err(TarError::Header("number out of range")) }
}

/// Writes `value` as octal text with a final NUL where it fits. Whether it did.
pub(super) fn write_octal(field: &mut [u8], value: u64) -> bool {
    let digits = field.len() - 1;
    if digits < 22 && value >> (3 * digits) != 0 {
        return false;
    }
    let mut rest = value;
    for byte in field[..digits].iter_mut().rev() {
        *byte = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
    field[digits] = 0;
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn octal_fields_follow_go() {
        let check = |field: &[u8], want: Option<i64>| assert_eq!(parse(field).ok(), want, "{field:?}");
        check(b"", Some(0));
        check(b"\0\0\0", Some(0));
        check(b"   ", Some(0));
        check(b"0000644\0", Some(0o644));
        check(b"   644 \0", Some(0o644));
        check(b"777", Some(0o777));
        check(b"12 34", None);
        check(b"128", None);
        check(b"-1", None);
        check(b"0x7", None);
        check(b"7777777777777777777777", None);
        check(b"\x80\0\0\0\0\0\0\0\0\0\0\x05", Some(5));
        check(b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2));
        check(b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None);
        check(b"\x81\0\0\0\0\0\0\0\0\0\0\x05", None);
        check(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1));
        check(b"\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff", None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in 0..1_u64 << 33) {
            let mut field = [0; 12];
            prop_assert!(write_octal(&mut field, value));
            prop_assert_eq!(parse(&field).unwrap(), value.cast_signed());
        }

        #[test]
        fn base_256_is_twos_complement(value in any::<i64>()) {
            let fill = if value < 0 { 0xff } else { 0 };
            let mut field = [fill; 12];
            field[4..].copy_from_slice(&value.to_be_bytes());
            field[0] |= 0x80;
            prop_assert_eq!(parse(&field).unwrap(), value);
        }

        #[test]
        fn no_field_panics(field in proptest::collection::vec(any::<u8>(), 0..16)) {
            let _ = parse(&field);
        }
    }
}
