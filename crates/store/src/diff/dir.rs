//! An open directory and what is in it, without ever following a link.

use std::{
    ffi::{CStr, CString, OsStr},
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat},
    io::Errno,
};
use tar::EntryKind;

use crate::error::{Error, IoContext, Result};

/// Attributes of one file; the kernel allows lists of 64 KiB and values of 64 KiB.
const XATTR_MAX: usize = 64 << 10;

/// An open directory.
#[derive(Debug)]
pub(super) struct Dir {
    fd: OwnedFd,
    /// For messages only.
    path: PathBuf,
}

impl Dir {
    /// Opens the top of a tree, whose path is ours.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).at("opening", path)?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// A directory that is open already.
    pub(super) fn from_fd(fd: OwnedFd, path: PathBuf) -> Self {
        Self { fd, path }
    }

    /// Opens a directory in this one.
    pub(super) fn child(&self, name: &OsStr) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = self.path.join(name);
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty()).at("opening", &path)?;
        Ok(Self { fd, path })
    }

    pub(super) fn path(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    /// The names in it, sorted.
    pub(super) fn names(&self) -> Result<Vec<CString>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd).at("listing", &self.path)? {
            let entry = entry.at("listing", &self.path)?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// What `name` is, if it is there.
    pub(super) fn stat(&self, name: &OsStr) -> Result<Option<Stat>> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(Error::io("looking at", self.path(name), error)),
        }
    }

    /// What the directory itself is.
    pub(super) fn stat_self(&self) -> Result<Stat> {
        rustix::fs::fstat(&self.fd).at("looking at", &self.path)
    }

    /// Opens a regular file for reading. The flag keeps a pipe that took its place from blocking us.
    pub(super) fn open_file(&self, name: &OsStr) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty()).at("opening", self.path(name))?;
        Ok(File::from(fd))
    }

    pub(super) fn read_link(&self, name: &OsStr) -> Result<Vec<u8>> {
        let target = rustix::fs::readlinkat(&self.fd, name, Vec::new()).at("reading", self.path(name))?;
        Ok(target.into_bytes())
    }

    /// The extended attributes of `name` that belong to the file rather than to this machine.
    pub(super) fn xattrs(&self, name: &OsStr) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let path = proc_path(self.fd.as_fd(), name);
        let mut list = vec![0_u8; XATTR_MAX];
        let n = match rustix::fs::llistxattr(&path, &mut list) {
            Ok(n) => n,
            Err(Errno::NOTSUP) => 0,
            Err(error) => return Err(Error::io("listing attributes of", self.path(name), error)),
        };
        let mut found = Vec::new();
        for key in list[..n].split(|b| *b == 0).filter(|key| keeps_xattr(key)) {
            let mut value = vec![0_u8; XATTR_MAX];
            match rustix::fs::lgetxattr(&path, key, &mut value) {
                Ok(n) => {
                    value.truncate(n);
                    found.push((key.to_vec(), value));
                }
                // Gone meanwhile.
                Err(Errno::NODATA) => {}
                Err(error) => return Err(Error::io("reading attributes of", self.path(name), error)),
            }
        }
        // File systems list them in any order; lists are compared and packed.
        found.sort();
        Ok(found)
    }

    /// Whether overlayfs is told that this directory hides those below.
    pub(super) fn is_opaque(&self) -> Result<bool> {
        let mut value = [0_u8; 4];
        match rustix::fs::fgetxattr(&self.fd, super::OPAQUE, &mut value) {
            Ok(n) => Ok(&value[..n] == b"y"),
            Err(Errno::NODATA | Errno::NOTSUP | Errno::RANGE) => Ok(false),
            Err(error) => Err(Error::io("reading attributes of", &self.path, error)),
        }
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A path to `name` in an open directory for system calls that take no descriptor.
pub(super) fn proc_path(dir: BorrowedFd<'_>, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name)
}

/// Whether an attribute is part of the file. overlayfs' own ones steer the kernel, so an image must not bring them, and
/// labels of security modules are this machine's business.
pub(crate) fn keeps_xattr(key: &[u8]) -> bool {
    !key.is_empty()
        && !key.starts_with(b"trusted.overlay.")
        && !key.starts_with(b"user.overlay.")
        && key != b"security.selinux"
        && key != b"security.ima"
        && key != b"security.evm"
}

pub(super) fn os(name: &CStr) -> &OsStr {
    OsStr::from_bytes(name.to_bytes())
}

pub(super) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

pub(super) fn is_dir(stat: &Stat) -> bool {
    file_type(stat) == FileType::Directory
}

/// overlayfs' mark of a deleted name.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    file_type(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// What a tar entry for this file is; a socket is none.
pub(super) fn entry_kind(stat: &Stat) -> Option<EntryKind> {
    Some(match file_type(stat) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Symlink,
        FileType::CharacterDevice => EntryKind::Char,
        FileType::BlockDevice => EntryKind::Block,
        FileType::Fifo => EntryKind::Fifo,
        _ => return None,
    })
}

/// Whether an error only says that a container was faster.
pub(super) fn is_gone(error: &Error) -> bool {
    match error {
        Error::Io { source, .. } => {
            matches!(
                source.raw_os_error().map(Errno::from_raw_os_error),
                Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
            ) || source.kind() == io::ErrorKind::NotFound
        }
        _ => false,
    }
}
