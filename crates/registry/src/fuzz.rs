//! Doors for the fuzz targets (fuzz/): what reads outside input and is not public. Only in their build.

use crate::server::fuzz::{chunk, part, repository_of};
use crate::{challenge, repository};

/// The path of a request to our server: what it names is a repository's name.
pub fn path(path: &str) {
    if let Some(name) = repository_of(path) {
        let safe = name.split('/').all(|part| !part.is_empty() && !part.starts_with('.'));
        assert!(safe && name.len() <= 255, "{path} names {name}");
    }
}

/// Headers of a request to our server, about content of `size` bytes.
pub fn request_headers(text: &str, size: u64) {
    if let Some((start, length)) = part(text, size) {
        assert!(length > 0 && start.checked_add(length).is_some_and(|end| end <= size), "{text} of {size}");
    }
    if let Some((start, end)) = chunk(text) {
        assert!(start <= end && end < u64::MAX, "{text}");
    }
}

/// Headers of an answer that our client gets.
pub fn answer_headers(text: &str) {
    for challenge in challenge::parse(text) {
        let _realm = challenge.parameter("realm");
    }
    let _query = repository::next_query(text);
}

/// An answer of any status.
pub fn answer(status: u16, authenticate: &str, body: &[u8]) {
    if let Ok(status) = http::StatusCode::from_u16(status) {
        let _said = crate::Error::from_answer(status, authenticate, body).to_string();
    }
}
