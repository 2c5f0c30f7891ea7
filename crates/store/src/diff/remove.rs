//! Deleting trees of any depth: a container may have nested directories deeper than our stack or our descriptors.

use std::{
    ffi::OsStr,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags},
    io::Errno,
};

use crate::error::{Error, IoContext, Result};

/// Directories deeper than this are moved up before they are emptied.
const DEPTH: usize = 64;

/// Deletes the file or tree at `path`. What is gone already is fine.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::Invalid(format!("{} cannot be deleted", path.display())));
    };
    let parent = open(CWD, parent.as_os_str()).at("opening", parent)?;
    remove_at(parent.as_fd(), name, path)
}

/// Deletes `name` in the directory `parent`; `shown` is for messages.
pub(super) fn remove_at(parent: BorrowedFd<'_>, name: &OsStr, shown: &Path) -> Result<()> {
    let mut removal = Removal { top: parent, moved: 0, waiting: vec![name.as_bytes().to_vec()] };
    while let Some(name) = removal.waiting.pop() {
        removal.remove(parent, OsStr::from_bytes(&name), 0).at("deleting", shown)?;
    }
    Ok(())
}

struct Removal<'a> {
    top: BorrowedFd<'a>,
    moved: u64,
    /// Names in `top` that are still to be deleted.
    waiting: Vec<Vec<u8>>,
}

impl Removal<'_> {
    fn remove(&mut self, parent: BorrowedFd<'_>, name: &OsStr, depth: usize) -> Result<(), Errno> {
        match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {}
            Err(Errno::NOENT) => return Ok(()),
            result => return result,
        }
        if depth == DEPTH {
            // Into a directory that is ours, under a name that no other removal uses.
            let moved = format!(".deep-{}-{}-{}", std::process::id(), thread_number(), self.moved);
            self.moved += 1;
            rustix::fs::renameat(parent, name, self.top, moved.as_str())?;
            self.waiting.push(moved.into_bytes());
            return Ok(());
        }
        let dir = open(parent, name)?;
        for entry in rustix::fs::Dir::read_from(&dir)? {
            let entry = entry?;
            let child = entry.file_name();
            if child == c"." || child == c".." {
                continue;
            }
            // The kind saves a system call where the file system tells it.
            let child = OsStr::from_bytes(child.to_bytes());
            if matches!(entry.file_type(), FileType::Directory | FileType::Unknown) {
                self.remove(dir.as_fd(), child, depth + 1)?;
            } else {
                match rustix::fs::unlinkat(&dir, child, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOENT) => Ok(()),
            result => result,
        }
    }
}

fn open(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn thread_number() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}
