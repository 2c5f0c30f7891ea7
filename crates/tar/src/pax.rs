//! Pax extended headers: records `LENGTH KEY=VALUE\n` that overrule fields of the next header.

use super::{PATH_MAX, TarError, Time, sparse::PaxSparse};

const XATTR: &[u8] = b"SCHILY.xattr.";
/// The kernel's bound for the values of extended attributes, and a generous one for their number.
const XATTR_VALUE_MAX: usize = 64 << 10;
const XATTRS_MAX: usize = 1024;

/// What pax records said about the next entry.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<i64>,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) mtime: Option<Time>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: PaxSparse,
}

/// Reads all records of one extended header. Unknown keys are passed over; an empty value takes a field back.
pub(super) fn parse(mut records: &[u8]) -> Result<Pax, TarError> {
    let mut pax = Pax::default();
    while !records.is_empty() {
        let (key, value, rest) = record(records)?;
        records = rest;
        let text = |value: &[u8]| (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => pax.path = text(path(value)?),
            b"linkpath" => pax.link = text(path(value)?),
            b"size" => pax.size = integer(value)?,
            b"uid" => pax.uid = integer(value)?,
            b"gid" => pax.gid = integer(value)?,
            b"mtime" => pax.mtime = if value.is_empty() { None } else { Some(time(value)?) },
            _ if key.starts_with(XATTR) => {
                if value.len() > XATTR_VALUE_MAX || pax.xattrs.len() == XATTRS_MAX {
                    return Err(TarError::TooLarge {
                        what: "extended attribute",
                        limit: XATTR_VALUE_MAX as u64,
                    });
                }
                let name = &key[XATTR.len()..];
                if name.is_empty() || name.contains(&0) {
                    return Err(TarError::Header("bad name of an extended attribute"));
                }
                pax.xattrs.retain(|(old, _)| old != name);
                pax.xattrs.push((name.to_vec(), value.to_vec()));
            }
            _ if key.starts_with(b"GNU.sparse.") => {
                pax.sparse.take(&key[b"GNU.sparse.".len()..], value)?;
            }
            _ => {}
        }
    }
    Ok(pax)
}

/// Key, value, and the records behind.
type Split<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// Splits off the first record.
fn record(records: &[u8]) -> Result<Split<'_>, TarError> {
    let bad = || TarError::Header("malformed pax record");
    let space = records.iter().take(8).position(|b| *b == b' ').ok_or_else(bad)?;
    let length = usize::try_from(decimal(&records[..space])?).map_err(|_| bad())?;
    if length <= space + 1 || length > records.len() {
        return Err(bad());
    }
    let (this, rest) = records.split_at(length);
    let body = this[space + 1..].strip_suffix(b"\n").ok_or_else(bad)?;
    let equals = body.iter().position(|b| *b == b'=').ok_or_else(bad)?;
    if equals == 0 {
        return Err(bad());
    }
    Ok((&body[..equals], &body[equals + 1..], rest))
}

fn path(value: &[u8]) -> Result<&[u8], TarError> {
    if value.contains(&0) {
        return Err(TarError::Header("NUL in a path"));
    }
    if value.len() > PATH_MAX {
        return Err(TarError::TooLarge { what: "path", limit: PATH_MAX as u64 });
    }
    Ok(value)
}

fn integer(value: &[u8]) -> Result<Option<i64>, TarError> {
    if value.is_empty() { Ok(None) } else { decimal(value).map(Some) }
}

/// A decimal number without sign.
pub(super) fn decimal(text: &[u8]) -> Result<i64, TarError> {
    let bad = TarError::Header("malformed number");
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(bad);
    }
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(bad)
}

/// `[-]SECONDS[.FRACTION]`; digits beyond nanoseconds are cut off, towards the past for negative times as in Go.
pub(super) fn time(value: &[u8]) -> Result<Time, TarError> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let (whole, fraction) = match value.iter().position(|b| *b == b'.') {
        Some(dot) => (&value[..dot], &value[dot + 1..]),
        None => (value, &[][..]),
    };
    let seconds = decimal(whole)?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(TarError::Header("malformed time"));
    }
    let digit = |i: usize| fraction.get(i).map_or(0, |b| u32::from(b - b'0'));
    let nanoseconds = (0..9).fold(0, |n, i| n * 10 + digit(i));
    Ok(match (negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds: 0 },
        (true, n) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - n },
    })
}

/// Appends one record, its own length included in its length.
pub(super) fn write_record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    // space, equals sign, newline
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while length != body + length.to_string().len() {
        length = body + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_have_signs_and_fractions() {
        let check = |text: &str, want: Option<(i64, u32)>| {
            let got = time(text.as_bytes()).ok().map(|t| (t.seconds, t.nanoseconds));
            assert_eq!(got, want, "{text}");
        };
        check("0", Some((0, 0)));
        check("1350244992.023960108", Some((1_350_244_992, 23_960_108)));
        check("1.5", Some((1, 500_000_000)));
        check("1.0000000019", Some((1, 1)));
        check("-1", Some((-1, 0)));
        check("-1.5", Some((-2, 500_000_000)));
        check("1.", Some((1, 0)));
        for bad in ["", ".5", "-", "1.x", "1e3", "+1", "99999999999999999999"] {
            check(bad, None);
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            &b"5"[..],
            b"x path=a\n",
            b"9 path=a\n\0",
            b"11 path=a\n",
            b"9 path=ab",
            b"6 patha\n",
            b"5 =ab\n",
            b"0 a=b\n",
            b"2 a=b\n",
            b"99999999999999999999 a=b\n",
            b"11 path=a\0b\n",
            b"9 size=-1\n",
            b"17 SCHILY.xattr.=\n",
        ] {
            assert!(parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    proptest! {
        #[test]
        fn records_are_read_back(value in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mut out = Vec::new();
            write_record(&mut out, b"SCHILY.xattr.user.x", &value);
            write_record(&mut out, b"uid", b"7");
            let pax = parse(&out).unwrap();
            prop_assert_eq!(pax.uid, Some(7));
            prop_assert_eq!(&pax.xattrs, &vec![(b"user.x".to_vec(), value)]);
        }

        #[test]
        fn no_records_panic(records in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&records);
        }
    }
}
