//! Where a copy goes and what it is called there.

use std::io;

use super::path::{asserts_directory, base, follow, join, rebase, split_entry};
use crate::os_error;

/// Links from one to the next, as in Docker.
const LINKS_MAX: usize = 10;

/// One end of a copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Info {
    /// Its path, with the ending that the user gave it.
    pub(crate) path: String,
    pub(crate) exists: bool,
    pub(crate) is_dir: bool,
    /// The name that the copy keeps although links led elsewhere; empty when it is the path's own.
    pub(crate) rebase_name: String,
}

/// Replaces the first `from` in each name of an archive. Nothing at all is found in front of the first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rename {
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Rename {
    /// The root's name is in front of every path.
    pub(crate) fn new(from: &str, to: &str) -> Self {
        Self { from: if from == "/" { "" } else { from }.to_owned(), to: to.to_owned() }
    }

    /// The name as it is in the copy.
    pub(crate) fn apply(&self, name: &[u8]) -> Vec<u8> {
        let from = self.from.as_bytes();
        let found = match from.is_empty() {
            true => Some(0),
            false => name.windows(from.len()).position(|window| window == from),
        };
        let Some(at) = found else { return name.to_vec() };
        [&name[..at], self.to.as_bytes(), &name[at + from.len()..]].concat()
    }
}

/// Where an archive of `source` is to be unpacked so that it becomes `destination`, and how it is renamed for that.
pub(crate) fn plan(source: &Info, destination: &Info) -> Result<(String, Option<Rename>), &'static str> {
    if destination.exists && destination.is_dir {
        return Ok((destination.path.clone(), None));
    }
    if destination.exists && source.is_dir {
        return Err("cannot copy directory");
    }
    if !destination.exists && !source.is_dir && asserts_directory(&destination.path) {
        return Err("no such directory");
    }
    let (directory, name) = split_entry(&destination.path);
    let old = match source.rebase_name.as_str() {
        "" => split_entry(&source.path).1,
        rebased => rebased.to_owned(),
    };
    Ok((directory, Some(Rename::new(&old, &name))))
}

/// A file here that is to be copied, an absolute path. Links above it are followed, itself only when asked for.
pub(crate) fn source(path: &str, follow_link: bool) -> Result<Info, String> {
    let (resolved, rebase_name) = if follow_link {
        rebase(path, &follow(path)?)
    } else {
        let (directory, name) = path.split_at(path.rfind('/').map_or(0, |slash| slash + 1));
        let directory = follow(directory)?;
        let resolved = format!("{}/{name}", directory.trim_end_matches('/'));
        let renamed = path.ends_with('/') && base(path) != base(&resolved);
        let rebased = if renamed { base(path).to_owned() } else { String::new() };
        (resolved, rebased)
    };
    let found = std::fs::symlink_metadata(&resolved)
        .map_err(|error| format!("lstat {resolved}: {}", os_error(&error)))?;
    Ok(Info { path: resolved, exists: true, is_dir: found.is_dir(), rebase_name })
}

/// The place here for a copy, an absolute path. A link there is followed, even one that leads to nothing yet.
pub(crate) fn destination(path: &str) -> Result<Info, String> {
    let mut at = path.to_owned();
    for _ in 0..=LINKS_MAX {
        match std::fs::symlink_metadata(&at) {
            Ok(found) if found.file_type().is_symlink() => {
                let target = std::fs::read_link(&at)
                    .map_err(|error| format!("readlink {at}: {}", os_error(&error)))?;
                let target = target.to_string_lossy().into_owned();
                at = match target.starts_with('/') {
                    true => target,
                    false => join(&split_entry(&at).0, &target),
                };
            }
            Ok(found) => {
                return Ok(Info { path: at, exists: true, is_dir: found.is_dir(), ..Info::default() });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let above = split_entry(&at).0;
                let found = std::fs::metadata(&above)
                    .map_err(|error| format!("stat {above}: {}", os_error(&error)))?;
                return match found.is_dir() {
                    true => Ok(Info { path: at, ..Info::default() }),
                    false => Err("not a directory".to_owned()),
                };
            }
            Err(error) => return Err(format!("lstat {at}: {}", os_error(&error))),
        }
    }
    Err(format!("too many symlinks in {path}"))
}
