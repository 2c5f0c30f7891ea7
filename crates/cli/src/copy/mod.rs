//! `docker cp`: where a copy goes, what it is called there, a tar of files here, and files here out of a tar.
//!
//! ```text
//!   path (text) -> plan (where, which name) -> pack    (files here -> tar -> PUT /archive)
//!                                          `-> extract (GET /archive -> tar -> files here)
//! ```
//! The rules are those of `cp -a`, as Docker documents them; what decides is whether the destination is there, whether it
//! is a directory, and whether a path ends in `/` or `/.`.
//!
//! Invariant: what comes from a container never leaves the destination, whatever is in it or in the tar: every name is
//! opened from the directory above it without following links.

mod extract;
mod pack;
mod path;
mod plan;

pub(crate) use extract::Extraction;
pub(crate) use pack::{PackError, pack};
pub(crate) use path::{absolute, check_output, join, rebase, split_entry};
pub(crate) use plan::{Info, Rename, destination, plan, source};

#[cfg(test)]
mod tests;
