//! Paths that the container cannot read or cannot write (config-linux.md, "Masked Paths", "Readonly Paths").

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux::fs::open_in_root;
use linux::mount::{FdPath, MountAttr, attr, set_attr};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::mount::MountFlags;

use super::devices;
use super::mounts::mount_at;
use crate::error::{Context, Error};

/// Covers files with the null device and directories with an empty read-only tmpfs, one for all of them. What is not
/// there needs no cover.
pub(super) fn mask(root: BorrowedFd<'_>, paths: &[String]) -> Result<(), Error> {
    if paths.is_empty() {
        return Ok(());
    }
    let null = if linux::weakened("null") {
        open_in_root(root, Path::new("/dev/null"), OFlags::PATH, Mode::empty())
            .doing(|| "open null".into())?
    } else {
        devices::null()?
    };
    let null_path = FdPath::of(null.as_fd());
    let mut empty: Option<OwnedFd> = None;
    for (index, path) in paths.iter().enumerate() {
        if paths[..index].contains(path) {
            continue;
        }
        let what = || format!("mask {path}");
        let Some(target) = open_if_there(root, path)? else { continue };
        let stat = rustix::fs::fstat(&target).doing(what)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            rustix::mount::mount_bind(null_path.as_str(), FdPath::of(target.as_fd()).as_str()).doing(what)?;
        } else if let Some(empty) = &empty {
            let source = FdPath::of(empty.as_fd());
            rustix::mount::mount_bind(source.as_str(), FdPath::of(target.as_fd()).as_str()).doing(what)?;
        } else {
            mount_at("tmpfs", target.as_fd(), "tmpfs", MountFlags::RDONLY, "nr_blocks=1,nr_inodes=1")
                .doing(what)?;
            empty = open_if_there(root, path)?;
        }
    }
    Ok(())
}

/// Makes paths read-only, with what is mounted below them.
pub(super) fn protect(root: BorrowedFd<'_>, paths: &[String]) -> Result<(), Error> {
    let change = MountAttr { set: attr::RDONLY, ..MountAttr::default() };
    for path in paths {
        let what = || format!("make {path} read-only");
        let Some(target) = open_if_there(root, path)? else { continue };
        let own = FdPath::of(target.as_fd());
        rustix::mount::mount_bind_recursive(own.as_str(), own.as_str()).doing(what)?;
        // The descriptor is of what is now covered.
        let Some(top) = open_if_there(root, path)? else { continue };
        set_attr(top.as_fd(), true, &change).doing(what)?;
    }
    Ok(())
}

fn open_if_there(root: BorrowedFd<'_>, path: &str) -> Result<Option<OwnedFd>, Error> {
    match open_in_root(root, Path::new(path), OFlags::PATH, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(error) if matches!(error.raw_os_error(), Some(2 | 20)) => Ok(None), // ENOENT, ENOTDIR
        Err(error) => Err(error).doing(|| format!("open {path}")),
    }
}
