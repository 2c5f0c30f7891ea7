//! Engine API versions. Docker counts `1.minor` and has never used another major.

use std::fmt;

/// A version of the API: `1.24` to `1.51`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion(u16);

/// Why a text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid API version {0:?}")]
pub struct InvalidVersion(pub String);

impl ApiVersion {
    /// The oldest that is understood.
    pub const MIN: Self = Self(24);
    /// The newest, and the one meant by a request without a version.
    pub const MAX: Self = Self(51);

    /// `1.minor`.
    pub const fn new(minor: u16) -> Self {
        Self(minor)
    }

    /// The second number.
    pub const fn minor(self) -> u16 {
        self.0
    }

    /// Whether fields and behaviour that came with `1.minor` are there.
    pub const fn since(self, minor: u16) -> bool {
        self.0 >= minor
    }

    /// Whether what went with `1.minor` is still there.
    pub const fn before(self, minor: u16) -> bool {
        self.0 < minor
    }
}

impl Default for ApiVersion {
    fn default() -> Self {
        Self::MAX
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

impl std::str::FromStr for ApiVersion {
    type Err = InvalidVersion;

    /// Any `major.minor`; a major other than 1 becomes the nearest version that is out of range.
    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let bad = || InvalidVersion(text.to_owned());
        let (major, minor) = text.split_once('.').ok_or_else(bad)?;
        let number = |part: &str| match part.bytes().all(|b| b.is_ascii_digit()) {
            true => part.parse::<u16>().map_err(|_| bad()),
            false => Err(bad()),
        };
        let (major, minor) = (number(major)?, number(minor)?);
        Ok(match major {
            0 => Self(0),
            1 => Self(minor),
            _ => Self(u16::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let v = |text: &str| text.parse::<ApiVersion>().unwrap();
        assert!(v("1.9") < v("1.24"));
        assert!(v("2.0") > ApiVersion::MAX);
        assert!(v("0.99") < ApiVersion::MIN);
        assert_eq!(v("1.51"), ApiVersion::MAX);
        assert_eq!(v("1.41").to_string(), "1.41");
        assert!(v("1.41").since(41) && v("1.41").before(42));
        for bad in ["", "1", "1.", ".1", "1.x", "1.-1", "1.99999"] {
            assert!(bad.parse::<ApiVersion>().is_err(), "{bad}");
        }
    }
}
