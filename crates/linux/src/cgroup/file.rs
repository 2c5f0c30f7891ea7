//! Reading and writing cgroup files. The kernel takes each value in one write.

use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};

use super::{Error, Result};

pub(super) fn error(action: impl Into<String>, path: &Path, source: std::io::Error) -> Error {
    Error::Io { action: action.into(), path: path.to_owned(), source }
}

/// `path` below `root`; refuses what would leave it.
pub(super) fn join(root: &Path, path: &str) -> Result<PathBuf> {
    let mut joined = root.to_owned();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => joined.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(Error::InvalidPath(path.to_owned())),
        }
    }
    Ok(joined)
}

pub(super) fn join_optional(root: &Path, path: Option<&String>) -> Result<PathBuf> {
    path.map_or_else(|| Ok(root.to_owned()), |path| join(root, path))
}

pub(super) fn write(directory: &Path, name: &str, value: &str) -> Result<()> {
    write_each(directory, name, [value])
}

/// Writes several values to one file, each by itself.
pub(super) fn write_each<S: AsRef<str>>(
    directory: &Path,
    name: &str,
    values: impl IntoIterator<Item = S>,
) -> Result<()> {
    let path = directory.join(name);
    let opened = std::fs::OpenOptions::new().write(true).open(&path);
    let mut values = values.into_iter();
    let mut file = opened.map_err(|source| {
        let value = values.next().map_or_else(String::new, |value| value.as_ref().to_owned());
        error(format!("write {value:?} to"), &path, source)
    })?;
    for value in values {
        let value = value.as_ref();
        file.write_all(value.as_bytes())
            .map_err(|source| error(format!("write {value:?} to"), &path, source))?;
    }
    Ok(())
}

/// As [`write`], but a host without the file is no failure: `false` then.
pub(super) fn write_if_present(directory: &Path, name: &str, value: &str) -> Result<bool> {
    match write(directory, name, value) {
        Ok(()) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn read(directory: &Path, name: &str) -> Result<String> {
    let path = directory.join(name);
    read_whole(&path).map_err(|source| error("read", &path, source))
}

/// A file whose size the kernel does not tell, such as all of these: read in one piece mostly, instead of feeling one's way.
pub(super) fn read_whole(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut bytes = vec![0; 4096];
    let mut length = 0;
    loop {
        match file.read(&mut bytes[length..])? {
            0 => break,
            read => length += read,
        }
        if length == bytes.len() {
            bytes.resize(length * 2, 0);
        }
    }
    bytes.truncate(length);
    String::from_utf8(bytes).map_err(|_| std::io::ErrorKind::InvalidData.into())
}

/// A file with one number; `max` is the largest one, an absent file `None`.
pub(super) fn read_number(directory: &Path, name: &str) -> Option<u64> {
    let text = read(directory, name).ok()?;
    match text.trim() {
        "max" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// A file of `name value` lines.
pub(super) fn read_map(directory: &Path, name: &str) -> std::collections::BTreeMap<String, u64> {
    let text = read(directory, name).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.filter_map(|(key, value)| Some((key.to_owned(), value.trim().parse().ok()?))).collect()
}

/// One value of a file of `name value` lines.
pub(super) fn read_key(directory: &Path, name: &str, key: &str) -> Option<u64> {
    let text = read(directory, name).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

pub(super) fn collect_pids(directory: &Path, pids: &mut Vec<i32>) -> Result<()> {
    let text = match read(directory, "cgroup.procs") {
        Ok(text) => text,
        // Gone meanwhile, or a threaded cgroup, whose processes its parent lists.
        Err(error) if error.is_not_found() || errno(&error) == Some(libc::EOPNOTSUPP) => String::new(),
        Err(error) if errno(&error) == Some(libc::ENODEV) => String::new(),
        Err(error) => return Err(error),
    };
    pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for child in children(directory)? {
        collect_pids(&child, pids)?;
    }
    Ok(())
}

fn children(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(error("list", directory, source)),
    };
    Ok(entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect())
}

/// Removes a cgroup and those below it. An absent one is removed already.
pub(super) fn remove_tree(directory: &Path) -> Result<()> {
    match remove_one(directory) {
        // EBUSY: there are processes, or cgroups below.
        Err(error) if is_busy(&error) => {}
        done => return done,
    }
    let below = children(directory)?;
    if below.is_empty() {
        let source = std::io::Error::from_raw_os_error(libc::EBUSY);
        return Err(error("remove", directory, source));
    }
    for child in below {
        remove_tree(&child)?;
    }
    remove_one(directory)
}

fn remove_one(directory: &Path) -> Result<()> {
    match std::fs::remove_dir(directory) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(error("remove", directory, source))
        }
        _ => Ok(()),
    }
}

pub(super) fn errno(error: &Error) -> Option<i32> {
    match error {
        Error::Io { source, .. } => source.raw_os_error(),
        _ => None,
    }
}

pub(super) fn is_busy(error: &Error) -> bool {
    errno(error) == Some(libc::EBUSY)
}

/// SIGKILL to a process of the cgroup; one that is gone already needs none.
pub(super) fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}
