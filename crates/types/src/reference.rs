//! References: what a user types for an image (the `distribution/reference` grammar, "familiar" names).
//!
//! ```text
//! reference := name [":" tag] ["@" digest]
//! name      := [domain "/"] path-component ["/" path-component]*
//! ```
//! Without a domain a name belongs to `docker.io`, and there a single component to `library/`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// The registry of names without one.
pub const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DEFAULT_DOMAIN: &str = "index.docker.io";
const OFFICIAL_PREFIX: &str = "library/";
const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;

/// Why a text is not a reference. The words are those of Docker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// Does not follow the grammar.
    #[error("invalid reference format")]
    Format,
    /// A path with capitals.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// Longer than 255 bytes.
    #[error("repository name must not be more than 255 characters")]
    TooLong,
    /// 64 hex digits would be taken for an image id.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeId(String),
    /// The part after `@`.
    #[error("invalid reference format")]
    Digest,
}

/// A normalised reference.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl ImageRef {
    /// Registry host with port: `docker.io`, `localhost:5000`, `[::1]:5000`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Repository within the registry: `library/busybox`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if there is one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// `domain/path`, without tag or digest.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The repository as Docker shows it: without `docker.io/` and `library/`.
    pub fn familiar_repository(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.repository();
        }
        match self.path.strip_prefix(OFFICIAL_PREFIX) {
            Some(rest) if !rest.contains('/') => rest.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// The whole reference as Docker shows it.
    pub fn familiar(&self) -> String {
        self.append_suffix(self.familiar_repository())
    }

    /// With `latest` where there is neither tag nor digest.
    #[must_use]
    pub fn with_default_tag(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".to_owned());
        }
        self
    }

    /// The same repository at this tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, InvalidReference> {
        if !is_tag(tag) {
            return Err(InvalidReference::Format);
        }
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same repository at this digest.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The repository alone.
    pub fn name_only(&self) -> Self {
        Self { tag: None, digest: None, ..self.clone() }
    }

    fn append_suffix(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(digest.as_str());
        }
        text
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.append_suffix(self.repository()))
    }
}

impl std::str::FromStr for ImageRef {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        if crate::id::is_full_id(text) {
            return Err(InvalidReference::LooksLikeId(text.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(|_| InvalidReference::Digest)?)),
            None => (text, None),
        };
        // A colon after the last slash starts a tag; one before it belongs to a port.
        let slash = rest.rfind('/').map_or(0, |i| i + 1);
        let (name, tag) = match rest[slash..].find(':') {
            Some(colon) => (&rest[..slash + colon], Some(&rest[slash + colon + 1..])),
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(InvalidReference::Format);
        }
        let (domain, path) = split_domain(name);
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(InvalidReference::Uppercase(path));
        }
        if !is_domain(&domain) || !path.split('/').all(is_component) {
            return Err(InvalidReference::Format);
        }
        if domain.len() + 1 + path.len() > NAME_MAX {
            return Err(InvalidReference::TooLong);
        }
        Ok(Self { domain, path, tag: tag.map(str::to_owned), digest })
    }
}

impl TryFrom<String> for ImageRef {
    type Error = InvalidReference;
    fn try_from(text: String) -> Result<Self, InvalidReference> {
        text.parse()
    }
}

impl From<ImageRef> for String {
    fn from(reference: ImageRef) -> String {
        reference.to_string()
    }
}

/// The first component is a domain when it has a dot or a port, is `localhost`, or has capitals.
fn split_domain(name: &str) -> (String, String) {
    let (domain, path) = match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, name),
    };
    let domain = if domain == LEGACY_DEFAULT_DOMAIN { DEFAULT_DOMAIN } else { domain };
    if domain == DEFAULT_DOMAIN && !path.contains('/') {
        return (domain.to_owned(), format!("{OFFICIAL_PREFIX}{path}"));
    }
    (domain.to_owned(), path.to_owned())
}

fn is_tag(tag: &str) -> bool {
    let mut bytes = tag.bytes();
    tag.len() <= TAG_MAX
        && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// `[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`
fn is_component(component: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut separator = String::new();
    let mut after_word = false;
    for byte in component.bytes() {
        if word(byte) {
            if !separator.is_empty() {
                let known =
                    matches!(separator.as_str(), "." | "_" | "__") || separator.bytes().all(|b| b == b'-');
                if !after_word || !known {
                    return false;
                }
                separator.clear();
            }
            after_word = true;
        } else {
            separator.push(byte as char);
        }
    }
    after_word && separator.is_empty()
}

fn is_domain(domain: &str) -> bool {
    let port_ok = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if let Some(rest) = domain.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let address_ok = !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
        return address_ok && (port.is_empty() || port.strip_prefix(':').is_some_and(port_ok));
    }
    let (host, port) = domain.split_once(':').map_or((domain, None), |(host, port)| (host, Some(port)));
    port.is_none_or(port_ok)
        && host.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expect: &str) {
        let got = match input.parse::<ImageRef>() {
            Ok(reference) => format!("{reference} ({})", reference.familiar()),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expect, "{input}");
    }

    #[test]
    fn references_are_normalised_as_docker_does() {
        let digest = format!("sha256:{}", "0".repeat(64));
        check("busybox", "docker.io/library/busybox (busybox)");
        check("busybox:1.36", "docker.io/library/busybox:1.36 (busybox:1.36)");
        check("a/b", "docker.io/a/b (a/b)");
        check("index.docker.io/library/x", "docker.io/library/x (x)");
        check("localhost/x", "localhost/x (localhost/x)");
        check("localhost:5000/x:y", "localhost:5000/x:y (localhost:5000/x:y)");
        check("[::1]:5000/x", "[::1]:5000/x ([::1]:5000/x)");
        check("host.example/a__b/c---d", "host.example/a__b/c---d (host.example/a__b/c---d)");
        check(&format!("x@{digest}"), &format!("docker.io/library/x@{digest} (x@{digest})"));
        check(&format!("x:t@{digest}"), &format!("docker.io/library/x:t@{digest} (x:t@{digest})"));
    }

    #[test]
    fn bad_references_are_refused_in_dockers_words() {
        for bad in ["", ":x", "a:", "a/", "/a", "a..b", "a___b", "-a", "a-", "a b", "x@sha256:0", "a:-b"] {
            check(bad, "invalid reference format");
        }
        // Docker looks at the case first, whatever else is wrong.
        check("BAD NAME", "invalid reference format: repository name (library/BAD NAME) must be lowercase");
        check("Busybox", "invalid reference format: repository name (library/Busybox) must be lowercase");
        check(
            &"a".repeat(64),
            &format!(
                "invalid repository name ({}), cannot specify 64-byte hexadecimal strings",
                "a".repeat(64)
            ),
        );
        check(&"z".repeat(256), "repository name must not be more than 255 characters");
    }
}
