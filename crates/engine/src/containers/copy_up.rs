//! A new volume gets what the image has at its place: files are copied from the layers, without mounting anything.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps};

/// As many links as the kernel follows.
const LINKS_MAX: usize = 40;
/// Deeper trees are not copied; a bound for hostile images.
const DEPTH_MAX: usize = 256;

/// Copies the directory `target` of the stacked `layers` (topmost first) into `volume`, if that is empty.
pub(crate) fn fill(layers: &[PathBuf], target: &str, volume: &Path) -> io::Result<()> {
    if fs::read_dir(volume)?.next().is_some() {
        return Ok(());
    }
    let Some(inside) = resolve(layers, Path::new(target)) else { return Ok(()) };
    let Some((path, metadata)) = find(layers, &inside) else { return Ok(()) };
    if !metadata.is_dir() {
        return Ok(());
    }
    copy_children(layers, &inside, volume, 0)?;
    take_attributes(&path, &metadata, volume)
}

/// The path without links, relative to the root; `None` when it does not exist or never ends.
fn resolve(layers: &[PathBuf], path: &Path) -> Option<PathBuf> {
    let mut waiting: Vec<OsString> = words(path);
    let mut done = PathBuf::new();
    let mut links = 0;
    while let Some(word) = waiting.pop() {
        if word == ".." {
            done.pop();
            continue;
        }
        let next = done.join(&word);
        let (real, metadata) = find(layers, &next)?;
        if !metadata.is_symlink() {
            done = next;
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return None;
        }
        let link = fs::read_link(real).ok()?;
        if link.is_absolute() {
            done = PathBuf::new();
        }
        waiting.extend(words(&link));
    }
    Some(done)
}

/// The parts of a path, last first.
fn words(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter_map(|part| match part {
            Component::Normal(word) => Some(word.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

/// Where the topmost layer has it. No part of `inside` but the last may be a link.
fn find(layers: &[PathBuf], inside: &Path) -> Option<(PathBuf, Metadata)> {
    for layer in layers {
        let mut path = layer.clone();
        let mut hidden = false;
        let mut found = None;
        for part in inside.components() {
            path.push(part);
            found = path.symlink_metadata().ok();
            match &found {
                Some(metadata) if is_whiteout(metadata) => return None,
                // Something else than a directory, or one that hides what is below it, ends the search downwards.
                Some(metadata) if !metadata.is_dir() || is_opaque(&path) => hidden = true,
                Some(_) => {}
                None => break,
            }
        }
        if inside.as_os_str().is_empty() {
            found = layer.symlink_metadata().ok();
        }
        match found {
            Some(metadata) => return Some((path, metadata)),
            None if hidden => return None,
            None => {}
        }
    }
    None
}

fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

fn is_opaque(path: &Path) -> bool {
    let mut value = [0u8; 1];
    ["trusted.overlay.opaque", "user.overlay.opaque"]
        .iter()
        .any(|name| rustix::fs::lgetxattr(path, *name, &mut value).is_ok_and(|n| n == 1) && value[0] == b'y')
}

/// The names in a directory, each with the file of the topmost layer that has it.
fn children(layers: &[PathBuf], inside: &Path) -> io::Result<BTreeMap<OsString, (PathBuf, Metadata)>> {
    let mut all = BTreeMap::new();
    let mut gone: HashSet<OsString> = HashSet::new();
    for layer in layers {
        let dir = layer.join(inside);
        match dir.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => break,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                continue;
            }
            Err(error) => return Err(error),
        }
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let metadata = entry.path().symlink_metadata()?;
            if is_whiteout(&metadata) {
                gone.insert(name);
            } else if !gone.contains(&name) {
                all.entry(name).or_insert((entry.path(), metadata));
            }
        }
        if is_opaque(&dir) {
            break;
        }
    }
    Ok(all)
}

fn copy_children(layers: &[PathBuf], inside: &Path, into: &Path, depth: usize) -> io::Result<()> {
    if depth > DEPTH_MAX {
        return Err(io::Error::other(format!("{} is too deep", inside.display())));
    }
    for (name, (from, metadata)) in children(layers, inside)? {
        let to = into.join(&name);
        let kind = metadata.file_type();
        if kind.is_dir() {
            fs::create_dir(&to)?;
            copy_children(layers, &inside.join(&name), &to, depth + 1)?;
        } else if kind.is_file() {
            fs::copy(&from, &to)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&from)?, &to)?;
        } else if kind.is_char_device() || kind.is_block_device() || kind.is_fifo() {
            let file_type = FileType::from_raw_mode(metadata.mode());
            rustix::fs::mknodat(
                CWD,
                &to,
                file_type,
                Mode::from_raw_mode(metadata.mode() & 0o7777),
                metadata.rdev(),
            )?;
        } else {
            continue;
        }
        take_attributes(&from, &metadata, &to)?;
    }
    Ok(())
}

/// Owner, mode, extended attributes, times.
fn take_attributes(from: &Path, metadata: &Metadata, to: &Path) -> io::Result<()> {
    std::os::unix::fs::lchown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    copy_xattrs(from, to)?;
    if !metadata.is_symlink() {
        fs::set_permissions(to, fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
    }
    let time = |seconds: i64, nanos: i64| Timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = Timestamps {
        last_access: time(metadata.atime(), metadata.atime_nsec()),
        last_modification: time(metadata.mtime(), metadata.mtime_nsec()),
    };
    rustix::fs::utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

fn copy_xattrs(from: &Path, to: &Path) -> io::Result<()> {
    let mut names = vec![0u8; 64 << 10];
    let length = match rustix::fs::llistxattr(from, &mut names) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for name in names[..length].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        use std::os::unix::ffi::OsStrExt as _;
        let name = OsStr::from_bytes(name);
        if name.to_string_lossy().contains(".overlay.") {
            continue;
        }
        let mut value = vec![0u8; 64 << 10];
        let length = rustix::fs::lgetxattr(from, name, &mut value)?;
        match rustix::fs::lsetxattr(to, name, &value[..length], rustix::fs::XattrFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_gets_the_merged_directory_of_the_layers() {
        let root = tempfile::tempdir().unwrap();
        let make = |layer: &str, path: &str, text: &str| {
            let path = root.path().join(layer).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        make("low", "real/data/a", "low");
        make("low", "real/data/sub/b", "b");
        make("top", "real/data/a", "top");
        std::os::unix::fs::symlink("/real", root.path().join("top/link")).unwrap();
        let layers = [root.path().join("top"), root.path().join("low")];
        let volume = root.path().join("volume");
        fs::create_dir(&volume).unwrap();
        fill(&layers, "/link/data", &volume).unwrap();
        assert_eq!(fs::read_to_string(volume.join("a")).unwrap(), "top");
        assert_eq!(fs::read_to_string(volume.join("sub/b")).unwrap(), "b");
        // What is there is not touched again.
        fs::write(volume.join("a"), "mine").unwrap();
        fill(&layers, "/real/data", &volume).unwrap();
        assert_eq!(fs::read_to_string(volume.join("a")).unwrap(), "mine");
    }

    #[test]
    fn what_is_not_there_is_no_error() {
        let root = tempfile::tempdir().unwrap();
        let volume = root.path().join("volume");
        fs::create_dir(&volume).unwrap();
        let layers = [root.path().join("layer")];
        fs::create_dir(&layers[0]).unwrap();
        std::os::unix::fs::symlink("loop", layers[0].join("loop")).unwrap();
        for target in ["/no/such", "/loop", "/../../etc"] {
            fill(&layers, target, &volume).unwrap();
        }
        assert_eq!(fs::read_dir(&volume).unwrap().count(), 0);
    }
}
