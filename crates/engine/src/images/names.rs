//! From what users type to references, digests and platforms, with Docker's errors.

use types::reference::InvalidReference;
use types::{Digest, Error, ImageRef, Platform, Result};

/// A reference without any default tag.
pub(crate) fn parse(text: &str) -> Result<ImageRef> {
    text.parse().map_err(invalid)
}

pub(crate) fn invalid(error: InvalidReference) -> Error {
    Error::invalid(error.to_string())
}

pub(crate) fn parse_digest(text: &str) -> Result<Digest> {
    text.parse().map_err(|error: types::digest::InvalidDigest| Error::invalid(error.to_string()))
}

/// Empty is no wish.
pub(crate) fn parse_platform(text: &str) -> Result<Option<Platform>> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(Error::invalid),
    }
}

/// How Docker names an image that is not there: as typed with the default tag, or the id as typed.
pub(crate) fn missing(text: &str) -> Error {
    let shown = match text.parse::<ImageRef>() {
        Ok(reference) if !looks_like_id(text) => reference.with_default_tag().familiar(),
        _ => text.to_owned(),
    };
    crate::error::no_such_image(&shown)
}

/// What can be neither a reference nor an id is refused before anyone looks for it.
pub(crate) fn check(text: &str) -> Result<()> {
    match text.parse::<ImageRef>() {
        Err(error) if id_prefix(text).is_none() => Err(invalid(error)),
        _ => Ok(()),
    }
}

/// `sha256:...` is an id, never a repository called sha256.
fn looks_like_id(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The digits of a text that may be an image id or a prefix of one.
pub(crate) fn id_prefix(text: &str) -> Option<&str> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    (!hex.is_empty() && hex.len() <= 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
        .then_some(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_image_is_named_as_docker_does() {
        let id = "a".repeat(64);
        for (text, want) in [
            ("nosuch", "No such image: nosuch:latest".to_owned()),
            ("nosuch:1", "No such image: nosuch:1".to_owned()),
            ("docker.io/library/x", "No such image: x:latest".to_owned()),
            ("r.example/x", "No such image: r.example/x:latest".to_owned()),
            (id.as_str(), format!("No such image: {id}")),
            ("sha256:abc", "No such image: sha256:abc".to_owned()),
        ] {
            assert_eq!(missing(text).message, want);
        }
    }
}
