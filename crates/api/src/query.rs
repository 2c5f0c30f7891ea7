//! Parameters of a request as Docker's daemon reads them (moby `daemon/server/httputils/form.go`).

use std::borrow::Cow;

use engine::{Filters, Timestamp};
use types::{Error, Result};

/// The decoded query of a request. Of a name given twice the first counts, as in Go.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=b&c=d`. Broken escapes are kept as they are.
    pub(crate) fn parse(text: &str) -> Self {
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name, true).into_owned(), decode(value, true).into_owned())
        };
        Self(text.split('&').filter(|part| !part.is_empty()).map(pair).collect())
    }

    /// The value; empty when absent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str())
    }

    /// The value, unless absent or empty.
    pub(crate) fn optional(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|v| !v.is_empty()).map(str::to_owned)
    }

    /// All values of a name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    /// Whether the name is there at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// Docker's `BoolValue`: anything is true but an empty or absent value, `0`, `no`, `false` and `none`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        !matches!(self.text(name).trim().to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// The same with a value for a name that is absent.
    pub(crate) fn flag_or(&self, name: &str, default: bool) -> bool {
        if self.has(name) { self.flag(name) } else { default }
    }

    /// A decimal number; `None` when absent or empty.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(None);
        }
        text.parse()
            .map(Some)
            .map_err(|_| Error::internal(format!("strconv.Atoi: parsing {text:?}: invalid syntax")))
    }

    /// The `filters` parameter.
    pub(crate) fn filters(&self) -> Result<Filters> {
        Filters::parse(self.text("filters"))
    }

    /// A point in time as seconds since 1970, with a fraction if need be; `None` when absent, empty or 0. That a wrong one
    /// is a 500 is Docker's.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>> {
        match self.text(name) {
            "" | "0" => Ok(None),
            text => unix_time(text).map(Some),
        }
    }

    /// The same for events, where 0 is the beginning of 1970.
    pub(crate) fn event_time(&self, name: &str) -> Result<Option<Timestamp>> {
        if self.text(name) == "0" { Ok(Some(Timestamp(0))) } else { self.time(name) }
    }
}

/// `SECONDS[.FRACTION]` (moby `timetypes.ParseTimestamps`).
fn unix_time(text: &str) -> Result<Timestamp> {
    let number = |text: &str| {
        text.parse::<i64>()
            .map_err(|_| Error::internal(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))
    };
    let Some((seconds, fraction)) = text.split_once('.') else {
        return Ok(Timestamp(number(text)?.saturating_mul(1_000_000_000)));
    };
    let seconds = number(seconds)?;
    number(fraction)?;
    let nanos = number(&format!("{:0<9}", fraction.get(..9).unwrap_or(fraction)))?;
    // What is beyond the year 2262 is simply late.
    Ok(Timestamp(seconds.saturating_mul(1_000_000_000).saturating_add(nanos)))
}

/// Undoes percent-encoding; in a query `+` is a space.
pub(crate) fn decode(text: &str, plus: bool) -> Cow<'_, str> {
    if !text.bytes().any(|b| b == b'%' || (plus && b == b'+')) {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = || {
            let digits = bytes.get(at + 1..at + 3)?;
            u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        };
        match bytes[at] {
            b'%' if escaped().is_some() => {
                out.extend(escaped());
                at += 2;
            }
            b'+' if plus => out.push(b' '),
            other => out.push(other),
        }
        at += 1;
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// Percent-encodes a path.
pub(crate) fn encode(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            _ if b"-._~/:@!$&'()*+,;=".contains(&byte) => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_true_unless_they_say_no() {
        for (query, want) in [
            ("", false),
            ("all", false),
            ("all=", false),
            ("all=0", false),
            ("all=false", false),
            ("all=False", false),
            ("all=no", false),
            ("all=none", false),
            ("all=1", true),
            ("all=true", true),
            ("all=True", true),
            ("all=yes", true),
            ("all=2", true),
            ("all=%20", false),
        ] {
            assert_eq!(Query::parse(query).flag("all"), want, "{query:?}");
        }
        assert!(Query::parse("").flag_or("stream", true));
        assert!(!Query::parse("stream=0").flag_or("stream", true));
    }

    #[test]
    fn times_are_seconds() {
        let time = |text: &str| Query::parse(&format!("t={text}")).time("t").map_err(|error| error.message);
        let wrong = |text: &str| Err(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
        for (text, want) in [
            ("", Ok(None)),
            ("0", Ok(None)),
            ("1.5", Ok(Some(Timestamp(1_500_000_000)))),
            ("-1", Ok(Some(Timestamp(-1_000_000_000)))),
            ("1.1234567891", Ok(Some(Timestamp(1_123_456_789)))),
            ("1h", wrong("1h")),
            ("1.x", wrong("x")),
            ("1.", wrong("")),
            (".5", wrong("")),
        ] {
            assert_eq!(time(text), want, "{text}");
        }
    }

    #[test]
    fn values_are_decoded() {
        let query = Query::parse("filters=%7B%22name%22%3A+%5B%22a%22%5D%7D&name=a%2Fb&bad=%zz&x=1&x=2");
        assert_eq!(query.text("filters"), r#"{"name": ["a"]}"#);
        assert_eq!(query.text("name"), "a/b");
        assert_eq!(query.text("bad"), "%zz");
        assert_eq!(query.text("x"), "1");
        assert_eq!(query.all("x"), ["1", "2"]);
        assert_eq!(decode("a+b%20c", false), "a+b c");
        assert_eq!(encode("/a b/ü:1"), "/a%20b/%C3%BC:1");
    }
}
