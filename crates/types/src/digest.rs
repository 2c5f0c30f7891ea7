//! Content digests: `sha256:` and 64 hex digits (OCI image-spec, descriptor.md, "Digests").

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{hex, is_full_id};

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDigest {
    /// No `algorithm:encoded` form.
    #[error("invalid checksum digest format")]
    Format,
    /// An algorithm other than sha256. sha512 is registered, but nobody serves it.
    #[error("unsupported digest algorithm")]
    Unsupported,
    /// Not 64 lower-case hex digits.
    #[error("invalid checksum digest length")]
    Length,
}

/// A SHA-256 digest, kept as text because text is what every use of it needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The digest whose 32 bytes a hasher gave.
    pub fn from_sha256(bytes: &[u8; 32]) -> Self {
        Self(format!("sha256:{}", hex(bytes)))
    }

    /// The whole text, `sha256:...`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the colon.
    pub fn algorithm(&self) -> &str {
        "sha256"
    }

    /// The 64 digits.
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }

    /// The first 12 digits, as Docker prints image ids.
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }
}

impl std::str::FromStr for Digest {
    type Err = InvalidDigest;
    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let (algorithm, encoded) = text.split_once(':').ok_or(InvalidDigest::Format)?;
        if algorithm != "sha256" {
            return Err(InvalidDigest::Unsupported);
        }
        if !is_full_id(encoded) {
            return Err(InvalidDigest::Length);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;
    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
