//! Mounting where rustix stops: `mount_setattr`, detached trees, and targets that are descriptors.

use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

/// `MOUNT_ATTR_*` (linux/mount.h).
pub mod attr {
    #![allow(missing_docs)]
    pub const RDONLY: u64 = 0x1;
    pub const NOSUID: u64 = 0x2;
    pub const NODEV: u64 = 0x4;
    pub const NOEXEC: u64 = 0x8;
    pub const ATIME: u64 = 0x70;
    pub const RELATIME: u64 = 0x0;
    pub const NOATIME: u64 = 0x10;
    pub const STRICTATIME: u64 = 0x20;
    pub const NODIRATIME: u64 = 0x80;
    pub const IDMAP: u64 = 0x0010_0000;
    pub const NOSYMFOLLOW: u64 = 0x0020_0000;
}

/// `MS_PRIVATE`, `MS_SLAVE` (linux/mount.h), as [`MountAttr::propagation`] wants them.
pub mod propagation {
    #![allow(missing_docs)]
    pub const PRIVATE: u64 = 1 << 18;
    pub const SLAVE: u64 = 1 << 19;
}

/// `struct mount_attr` (linux/mount.h): attributes to set and to clear on a mount.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MountAttr {
    /// `attr::*` to set.
    pub set: u64,
    /// `attr::*` to clear; all of [`attr::ATIME`] when an access time attribute is set.
    pub clear: u64,
    /// `MS_PRIVATE` and so on, or 0.
    pub propagation: u64,
    /// User namespace of an id-mapped mount.
    pub userns_fd: u64,
}

/// `mount_setattr(2)` on the mount that `fd` stands for (a detached tree or an `O_PATH` descriptor of its root).
#[allow(unsafe_code)]
pub fn set_attr(fd: BorrowedFd<'_>, recursive: bool, change: &MountAttr) -> io::Result<()> {
    const AT_RECURSIVE: libc::c_int = 0x8000;
    let flags = libc::AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty string, `change` a readable structure of the size given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(change),
            size_of::<MountAttr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A detached copy of the mount (and, recursively, those below) at what `fd` stands for.
pub fn clone_tree(fd: BorrowedFd<'_>, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(open_tree(fd, "", flags)?)
}

/// A detached copy of the mount at a path.
pub fn clone_path(path: &str) -> io::Result<OwnedFd> {
    Ok(open_tree(rustix::fs::CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?)
}

/// Attaches a detached tree at what `target` stands for: no path is looked up.
pub fn attach(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(tree, "", target, "", flags)?)
}

/// `/proc/self/fd/N`: lets mount(2) act on a descriptor. Valid while `/proc` is the host's own.
#[derive(Debug)]
pub struct FdPath(String);

impl FdPath {
    /// The path of `fd`.
    pub fn of(fd: BorrowedFd<'_>) -> Self {
        let mut path = String::with_capacity(24);
        // Writing to a String cannot fail.
        let _ = write!(path, "/proc/self/fd/{}", fd.as_raw_fd());
        FdPath(path)
    }

    /// As a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
