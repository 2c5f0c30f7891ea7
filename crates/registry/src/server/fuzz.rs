//! The server's part of the doors in `crate::fuzz`.

use super::http::conditions::Part;
use super::route::Route;
use super::uploads::Chunk;

pub(crate) fn repository_of(path: &str) -> Option<String> {
    Route::parse(path).ok()?.repository().map(str::to_owned)
}

/// Start and length.
pub(crate) fn part(header: &str, size: u64) -> Option<(u64, u64)> {
    match Part::parse(Some(header), size) {
        Part::Range { start, length } => Some((start, length)),
        Part::Whole | Part::Unsatisfiable => None,
    }
}

/// First and last byte.
pub(crate) fn chunk(header: &str) -> Option<(u64, u64)> {
    Chunk::parse(header).map(|chunk| (chunk.start, chunk.end))
}
