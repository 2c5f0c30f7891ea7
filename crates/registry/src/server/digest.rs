//! Digests as a registry meets them: sha256, and sha512 where clients ask for it (image-spec, descriptor.md).

use std::fmt;

use aws_lc_rs::digest;
use types::id::hex;

/// A registered algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    /// All that are served.
    pub(crate) const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The name before the colon.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The algorithm of this name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text)
    }

    fn hex_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// `algorithm:hex`, checked: safe as part of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Digest {
    algorithm: Algorithm,
    text: Box<str>,
}

impl Digest {
    /// The digest that `text` spells; `None` for anything but lower-case hex of the right length.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (algorithm, hex) = text.split_once(':')?;
        let algorithm = Algorithm::parse(algorithm)?;
        let is_hex = hex.len() == algorithm.hex_length()
            && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        is_hex.then(|| Self { algorithm, text: text.into() })
    }

    /// The digest of `bytes`.
    pub(crate) fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digits after the colon.
    pub(crate) fn hex(&self) -> &str {
        self.text.split_at(self.algorithm.as_str().len() + 1).1
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Hashes what streams by.
#[derive(Clone)]
pub(crate) struct Hasher {
    algorithm: Algorithm,
    context: digest::Context,
}

impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let implementation = match algorithm {
            Algorithm::Sha256 => &digest::SHA256,
            Algorithm::Sha512 => &digest::SHA512,
        };
        Self { algorithm, context: digest::Context::new(implementation) }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    pub(crate) fn finish(self) -> Digest {
        let sum = self.context.finish();
        let text = format!("{}:{}", self.algorithm.as_str(), hex(sum.as_ref()));
        Digest { algorithm: self.algorithm, text: text.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_digests_are_taken() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(Algorithm::Sha256, b"").as_str(), empty);
        assert_eq!(Digest::parse(empty), Some(Digest::of(Algorithm::Sha256, b"")));
        let long = Digest::of(Algorithm::Sha512, b"");
        assert_eq!(Digest::parse(long.as_str()), Some(long.clone()));
        assert_eq!(long.hex().len(), 128);
        let upper = empty.to_uppercase().replace("SHA", "sha");
        for bad in
            ["", "sha256", "sha256:", "sha256:../../etc", "md5:d41d8cd98f00b204e9800998ecf8427e", &upper]
        {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
        assert_eq!(Digest::parse(&empty.replace("sha256", "sha512")), None);
        assert_eq!(Digest::parse(&format!("{empty}0")), None);
    }
}
