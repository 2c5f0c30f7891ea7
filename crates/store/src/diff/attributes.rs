//! Attributes of directories, and how much a tree takes.

use std::{
    collections::HashSet,
    ffi::OsStr,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use rustix::fs::{FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};

use super::{
    ChangeKind, DEPTH_MAX,
    changes::tree_changes,
    dir::{Dir, file_type, is_dir, os},
    stack::Stack,
};
use crate::{
    error::{Error, IoContext, Result},
    snapshot::Usage,
};

/// Gives the directory `to` the owner, mode, attributes and times of the directory `from`.
pub(crate) fn copy_attributes(from: &Path, to: &Path) -> Result<()> {
    copy_from(&Dir::open(from)?, to)
}

/// The same from a directory that is open.
pub(super) fn copy_from(from: &Dir, to: &Path) -> Result<()> {
    copy(from, &from.stat_self()?, OsStr::new("."), Dir::open(to)?.as_fd(), to)
}

/// Directories of a layer that no entry described look like those below them. `implied` are paths relative to `tree`,
/// empty for its top; `lowers` are the trees below, topmost first.
pub(crate) fn inherit_attributes(tree: &Path, implied: &[PathBuf], lowers: &[PathBuf]) -> Result<()> {
    if lowers.is_empty() || implied.is_empty() {
        return Ok(());
    }
    let (top, below) = (Dir::open(tree)?, Stack::open(lowers)?);
    for path in implied {
        if path.as_os_str().is_empty() {
            if let Some(lower) = below.top() {
                copy(lower, &lower.stat_self()?, OsStr::new("."), top.as_fd(), tree)?;
            }
            continue;
        }
        let Some(found) = below.lookup_path(path)?.filter(|found| is_dir(&found.stat)) else { continue };
        let Some(name) = path.file_name() else { continue };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        // What is a link there, or gone, was not implied after all.
        if let Ok(fd) = rustix::fs::openat2(&top, path, flags, Mode::empty(), resolve) {
            copy(&found.dir, &found.stat, name, fd.as_fd(), &tree.join(path))?;
        }
    }
    Ok(())
}

fn copy(from: &Dir, stat: &Stat, name: &OsStr, to: std::os::fd::BorrowedFd<'_>, shown: &Path) -> Result<()> {
    let set = || {
        rustix::fs::fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
        rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))
    };
    set().at("changing", shown)?;
    for (key, value) in from.xattrs(name)? {
        rustix::fs::fsetxattr(to, key.as_slice(), &value, XattrFlags::empty()).at("changing", shown)?;
    }
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::futimens(to, &times).at("changing", shown)
}

/// What a tree takes: Docker's size.
pub(crate) fn measure(tree: &Path) -> Result<Usage> {
    let mut measure = Measure { usage: Usage::default(), links: HashSet::new() };
    measure.directory(&Dir::open(tree)?, 0)?;
    Ok(measure.usage)
}

/// What a whole tree takes beyond the one it was copied from.
pub(crate) fn measure_changes(tree: &Path, old: Option<&Path>) -> Result<Usage> {
    let mut measure = Measure { usage: Usage::default(), links: HashSet::new() };
    let view = Stack::open(&[tree.to_owned()])?;
    for change in tree_changes(tree, old)?.iter().filter(|change| change.kind != ChangeKind::Deleted) {
        if let Some(found) = view.lookup_path(&change.path)? {
            measure.add(&found.stat);
        }
    }
    Ok(measure.usage)
}

struct Measure {
    usage: Usage,
    links: HashSet<(u64, u64)>,
}

impl Measure {
    fn directory(&mut self, dir: &Dir, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(Error::TooLarge { what: "depth of a tree".to_owned(), limit: DEPTH_MAX as u64 });
        }
        for name in dir.names()? {
            let Some(stat) = dir.stat(os(&name))? else { continue };
            self.add(&stat);
            if is_dir(&stat) {
                match dir.child(os(&name)) {
                    Err(error) if super::dir::is_gone(&error) => {}
                    child => self.directory(&child?, depth + 1)?,
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, stat: &Stat) {
        if stat.st_nlink > 1 && !is_dir(stat) && !self.links.insert((stat.st_dev, stat.st_ino)) {
            return;
        }
        self.usage.inodes += 1;
        // Docker's sizes count a link's text, as the kernel does.
        if matches!(file_type(stat), FileType::RegularFile | FileType::Symlink) {
            self.usage.bytes += stat.st_size.cast_unsigned();
        }
    }
}
