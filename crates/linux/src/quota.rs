//! Project quotas: how much a tree of files may take (quotactl(2), `FS_IOC_FSSETXATTR` in ioctl_xfs_fsgetxattr(2)). ext4
//! has them with the feature `project` and the mount option `prjquota`, XFS with `pquota`. Needs Linux 5.14
//! (`quotactl_fd`) and the rights of the host's root.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::fstat;

/// `struct fsxattr` (`linux/fs.h`).
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
struct Attributes {
    flags: u32,
    extent_bytes: u32,
    extents: u32,
    project: u32,
    cow_extent_bytes: u32,
    padding: [u8; 8],
}

/// `struct if_dqblk` (`linux/quota.h`). Blocks are of [`BLOCK_BYTES`], space in use is bytes.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
struct Limits {
    hard_blocks: u64,
    soft_blocks: u64,
    bytes: u64,
    hard_inodes: u64,
    soft_inodes: u64,
    inodes: u64,
    block_time: u64,
    inode_time: u64,
    valid: u32,
}

/// `struct fs_quota_stat` (`linux/dqblk_xfs.h`), of which only the flags are looked at.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
struct State {
    version: i8,
    flags: u16,
    rest: [u64; 9],
}

/// `_IOR('X', 31, struct fsxattr)`, `_IOW('X', 32, struct fsxattr)`.
const FS_IOC_FSGETXATTR: libc::Ioctl = 0x801c_581f;
const FS_IOC_FSSETXATTR: libc::Ioctl = 0x401c_5820;
/// What is made in a directory belongs to its project.
const FS_XFLAG_PROJINHERIT: u32 = 0x200;
/// `QCMD`: commands are shifted by eight bits, beside the kind of quota.
const PRJQUOTA: u32 = 2;
const Q_SETQUOTA: u32 = 0x80_0008;
const Q_XGETQSTAT: u32 = ('X' as u32) << 8 | 5;
const QIF_BLIMITS: u32 = 1;
const FS_QUOTA_PDQ_ENFD: u16 = 1 << 5;
const FS_QSTAT_VERSION: i8 = 1;
const BLOCK_BYTES: u64 = 1024;
/// Our projects' numbers have this bit, so that they meet none that a user has given by hand, and the directory's inode
/// number: nobody else has that for as long as the directory is there.
const OURS: u32 = 1 << 30;

/// Whether the file system of this directory holds projects to limits.
pub fn is_enforced(dir: BorrowedFd<'_>) -> bool {
    let mut state = State { version: FS_QSTAT_VERSION, ..State::default() };
    let known = quotactl(dir, Q_XGETQSTAT, 0, (&raw mut state).cast());
    known.is_ok() && state.flags & FS_QUOTA_PDQ_ENFD != 0
}

/// From now on these (empty) directories and what is made in them take at most `bytes` together, rounded up to whole KiB.
/// They are on one file system. Who has `CAP_SYS_RESOURCE` is not held to it.
///
/// # Errors
/// The file system has no project quotas (`ENOTTY`, `EOPNOTSUPP`, `ESRCH`, `ENOSYS`), or it is not ours to set them.
pub fn limit(dirs: &[BorrowedFd<'_>], bytes: u64) -> io::Result<()> {
    let Some(first) = dirs.first() else { return Ok(()) };
    // The lower bits are enough: numbers only have to differ.
    let project = OURS | (fstat(first)?.st_ino as u32 & (OURS - 1));
    set_limit(*first, project, bytes)?;
    for dir in dirs {
        let mut attributes = Attributes::default();
        ioctl(*dir, FS_IOC_FSGETXATTR, &mut attributes)?;
        attributes.project = project;
        attributes.flags |= FS_XFLAG_PROJINHERIT;
        ioctl(*dir, FS_IOC_FSSETXATTR, &mut attributes)?;
    }
    Ok(())
}

/// Takes off what [`limit`] has set, so that nothing of it is left when the directory is gone. No error if there is no limit
/// of ours.
///
/// # Errors
/// As [`limit`].
pub fn unlimit(dir: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = Attributes::default();
    match ioctl(dir, FS_IOC_FSGETXATTR, &mut attributes) {
        Ok(()) if attributes.project & OURS != 0 => set_limit(dir, attributes.project, 0),
        _ => Ok(()),
    }
}

/// 0: no limit.
fn set_limit(dir: BorrowedFd<'_>, project: u32, bytes: u64) -> io::Result<()> {
    let blocks = bytes.div_ceil(BLOCK_BYTES);
    let mut limits =
        Limits { hard_blocks: blocks, soft_blocks: blocks, valid: QIF_BLIMITS, ..Limits::default() };
    quotactl(dir, Q_SETQUOTA, project, (&raw mut limits).cast())
}

fn ioctl(dir: BorrowedFd<'_>, request: libc::Ioctl, attributes: &mut Attributes) -> io::Result<()> {
    // SAFETY: both requests read or write one `struct fsxattr`, which `Attributes` is; the descriptor is borrowed.
    #[allow(unsafe_code)]
    let done: c_int = unsafe { libc::ioctl(dir.as_raw_fd(), request, std::ptr::from_mut(attributes)) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `argument` is what the command wants: see its callers.
fn quotactl(dir: BorrowedFd<'_>, command: u32, project: u32, argument: *mut u8) -> io::Result<()> {
    let command = command << 8 | PRJQUOTA;
    // SAFETY: the two commands used here read a `struct if_dqblk` or write a `struct fs_quota_stat`, to which the callers
    // point; the descriptor is borrowed.
    #[allow(unsafe_code)]
    let done = unsafe { libc::syscall(libc::SYS_quotactl_fd, dir.as_raw_fd(), command, project, argument) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn structures_have_the_kernels_sizes() {
        assert_eq!((size_of::<Attributes>(), size_of::<Limits>(), size_of::<State>()), (28, 72, 80));
    }

    #[test]
    fn a_file_system_without_projects_says_so() {
        let dir = std::fs::File::open("/proc").unwrap();
        assert!(!is_enforced(dir.as_fd()));
        assert!(limit(&[dir.as_fd()], 1024).is_err());
        assert!(unlimit(dir.as_fd()).is_ok());
    }
}
