//! Paths as texts: Go's `path/filepath` and what `docker cp` makes of a trailing `/` or `/.`.

use std::io;
use std::path::Path;

use crate::os_error;

/// Links on the way to a file, as in Go.
const LINKS_MAX: usize = 255;

/// Go's `filepath.Clean`.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.join("/")) {
        (true, rest) => format!("/{rest}"),
        (false, rest) if rest.is_empty() => ".".to_owned(),
        (false, rest) => rest,
    }
}

/// Go's `filepath.Base`: `.` for nothing, `/` for the root.
pub(crate) fn base(path: &str) -> &str {
    let stripped = path.trim_end_matches('/');
    match (path, stripped) {
        ("", _) => ".",
        (_, "") => "/",
        (_, stripped) => stripped.rsplit('/').next().unwrap_or(stripped),
    }
}

/// Go's `filepath.Dir`.
pub(crate) fn parent(path: &str) -> String {
    clean(path.rfind('/').map_or("", |slash| &path[..=slash]))
}

/// Go's `filepath.Join` of two.
pub(crate) fn join(directory: &str, name: &str) -> String {
    clean(&format!("{directory}/{name}"))
}

/// The path from the root, with the `/` or `/.` that it ended in.
pub(crate) fn absolute(path: &str) -> Result<String, String> {
    let whole = match path.starts_with('/') {
        true => clean(path),
        false => {
            let here = std::env::current_dir().map_err(|error| format!("getwd: {}", os_error(&error)))?;
            join(&here.to_string_lossy(), path)
        }
    };
    Ok(keep_ending(whole, path))
}

/// Gives a cleaned path the `/` or `/.` that the original one ended in.
fn keep_ending(mut cleaned: String, original: &str) -> String {
    if !is_current(&cleaned) && is_current(original) {
        if !cleaned.ends_with('/') {
            cleaned.push('/');
        }
        cleaned.push('.');
    }
    if !cleaned.ends_with('/') && original.ends_with('/') {
        cleaned.push('/');
    }
    cleaned
}

/// Whether the last part is `.`: the contents of a directory are meant rather than itself.
fn is_current(path: &str) -> bool {
    base(path) == "."
}

/// Whether the path says that it is a directory.
pub(super) fn asserts_directory(path: &str) -> bool {
    path.ends_with('/') || is_current(path)
}

/// Directory and last part, which stays `.` where the path ended in it.
pub(crate) fn split_entry(path: &str) -> (String, String) {
    let mut cleaned = clean(path);
    if is_current(path) {
        cleaned.push_str("/.");
    }
    (parent(&cleaned), base(&cleaned).to_owned())
}

/// What a link at `path` leads to, with the ending of `path`, and the name that the copy has to keep if it is another.
pub(crate) fn rebase(path: &str, resolved: &str) -> (String, String) {
    let mut resolved = resolved.to_owned();
    if is_current(path) && !is_current(&resolved) {
        resolved.push_str("/.");
    }
    if path.ends_with('/') && !resolved.ends_with('/') {
        resolved.push('/');
    }
    let name = base(path);
    let rebased = if name == base(&resolved) { String::new() } else { name.to_owned() };
    (resolved, rebased)
}

/// Go's `filepath.EvalSymlinks` of an absolute path, with its words.
pub(super) fn follow(path: &str) -> Result<String, String> {
    let mut found = String::from("/");
    let mut rest = path.to_owned();
    let mut links = 0;
    loop {
        let trimmed = rest.trim_start_matches('/');
        if trimmed.is_empty() {
            return Ok(found);
        }
        let (part, after) = trimmed.split_at(trimmed.find('/').unwrap_or(trimmed.len()));
        match part {
            "." => {}
            ".." => found = parent(&found),
            part => {
                let here = join(&found, part);
                let failed = |error: io::Error| format!("lstat {here}: {}", os_error(&error));
                let kind = std::fs::symlink_metadata(&here).map_err(failed)?.file_type();
                if kind.is_symlink() {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err("EvalSymlinks: too many links".to_owned());
                    }
                    let target = std::fs::read_link(&here)
                        .map_err(|error| format!("readlink {here}: {}", os_error(&error)))?;
                    let target = target.to_string_lossy();
                    if target.starts_with('/') {
                        found = String::from("/");
                    }
                    rest = format!("{target}{after}");
                    continue;
                }
                if !kind.is_dir() && !after.is_empty() {
                    return Err("not a directory".to_owned());
                }
                found = here;
            }
        }
        rest = after.to_owned();
    }
}

/// Docker's check of the place for a copy: a directory above it, and nothing there but a file or directory.
pub(crate) fn check_output(path: &str) -> Result<(), String> {
    let above = parent(&clean(path));
    if above != "." && !Path::new(&above).exists() {
        return Err(format!("invalid output path: directory {above:?} does not exist"));
    }
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("stat {path}: {}", os_error(&error))),
        Ok(found) if is_device(&found) => {
            Err(format!("invalid output path: {path:?} must be a directory or a regular file: got a device"))
        }
        Ok(_) => Ok(()),
    }
}

fn is_device(found: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    found.file_type().is_char_device() || found.file_type().is_block_device()
}
