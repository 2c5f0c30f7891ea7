//! Identifiers: newtypes over 64 lower-case hex digits (32 random bytes), parsed once at the door.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid id {0:?}: want 64 hexadecimal digits")]
pub struct InvalidId(pub String);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier of 32 bytes that the caller took from the system's random source.
            pub fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(hex(&bytes))
            }

            /// All 64 digits.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The first 12 digits, as Docker prints identifiers.
            pub fn short(&self) -> &str {
                &self.0[..12]
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if is_full_id(text) { Ok(Self(text.to_owned())) } else { Err(InvalidId(text.to_owned())) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// A container's identity for as long as its record exists.
    ContainerId
}
id! {
    /// One extra process in a container (`docker exec`).
    ExecId
}

/// Whether `text` is 64 lower-case hexadecimal digits.
pub fn is_full_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_64_lower_case_hex_digits() {
        let id = ContainerId::from_bytes([0xa5; 32]);
        assert_eq!(id.as_str().parse::<ContainerId>(), Ok(id.clone()));
        assert_eq!(id.short(), "a5a5a5a5a5a5");
        for bad in ["", "a5", &"A5".repeat(32), &"g5".repeat(32), &"a5".repeat(33)] {
            assert!(bad.parse::<ContainerId>().is_err(), "{bad}");
        }
    }
}
