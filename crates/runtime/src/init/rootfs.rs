//! The root: made a mount, entered, and made read-only.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use linux::mount::{MountAttr, attach, attr, set_attr};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use types::spec::{Linux, Mount};

use super::mounts;
use crate::error::{Context, Error};

/// How the container's mount namespace hears of mounts on the host: not at all, unless a mount or the configuration asks
/// for propagation.
fn base_propagation(linux: &Linux, list: &[Mount]) -> Result<MountPropagationFlags, Error> {
    if !linux.rootfs_propagation.is_empty() {
        let how = mounts::propagation_of(&linux.rootfs_propagation)?;
        // The old root must not become unbindable before it was bound.
        let how = if how == MountPropagationFlags::UNBINDABLE { MountPropagationFlags::PRIVATE } else { how };
        return Ok(how | MountPropagationFlags::REC);
    }
    let listens = |option: &String| matches!(option.as_str(), "slave" | "rslave" | "shared" | "rshared");
    let how = if list.iter().any(|mount| mount.options.iter().any(listens)) {
        MountPropagationFlags::DOWNSTREAM
    } else {
        MountPropagationFlags::PRIVATE
    };
    Ok(how | MountPropagationFlags::REC)
}

/// Makes `path` the mount that will be the root, and opens it. `tree` is the root made by the creator, if it did.
pub(super) fn prepare(
    path: &Path,
    layers: &[types::Mount],
    tree: Option<&OwnedFd>,
    linux: &Linux,
    list: &[Mount],
) -> Result<OwnedFd, Error> {
    let base = base_propagation(linux, list)?;
    rustix::mount::mount_change("/", base).doing(|| "set propagation of /".into())?;
    if base.contains(MountPropagationFlags::SHARED) {
        // pivot_root wants a new root whose parent is not shared.
        make_parent_private(path)?;
    }
    let what = || format!("mount root file system {}", path.display());
    if let Some(tree) = tree {
        let target = linux::fs::open_root(path).doing(what)?;
        attach(tree.as_fd(), target.as_fd()).doing(what)?;
    } else if layers.is_empty() {
        rustix::mount::mount_bind_recursive(path, path).doing(what)?;
    } else {
        mounts::rootfs(path, layers)?;
    }
    linux::fs::open_root(path).doing(|| format!("open root file system {}", path.display()))
}

/// Makes `path` a mount in the mount namespace that the caller shares with others, and opens it: everything that is mounted below
/// goes with it ([`unmount_shared`]), and nobody else hears of that.
pub(super) fn prepare_shared(path: &Path) -> Result<OwnedFd, Error> {
    let what = || format!("mount root file system {}", path.display());
    rustix::mount::mount_bind_recursive(path, path).doing(what)?;
    let alone = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    let changed = rustix::mount::mount_change(path, alone).doing(what);
    changed.and_then(|()| linux::fs::open_root(path).doing(what)).inspect_err(|_| unmount_shared(path))
}

/// The mount that `path` is on, if the kernel tells (5.8).
pub(crate) fn mount_id(path: &Path) -> Option<u64> {
    let (flags, mask) = (rustix::fs::AtFlags::SYMLINK_NOFOLLOW, rustix::fs::StatxFlags::MNT_ID);
    let told = rustix::fs::statx(rustix::fs::CWD, path, flags, mask).ok()?;
    (told.stx_mask & mask.bits() != 0).then_some(told.stx_mnt_id)
}

/// Takes back [`prepare_shared`]; what is not mounted (any more) needs nothing.
pub(crate) fn unmount_shared(path: &Path) {
    let _ = rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
}

/// The mount that holds `path`.
pub(crate) fn make_parent_private(path: &Path) -> Result<(), Error> {
    for ancestor in path.ancestors() {
        match rustix::mount::mount_change(ancestor, MountPropagationFlags::PRIVATE) {
            Err(Errno::INVAL) => {} // not a mount point
            other => return other.doing(|| format!("make {} private", ancestor.display())),
        }
    }
    Ok(())
}

/// Makes the root read-only, but not what is mounted in it.
pub(super) fn make_read_only(root: BorrowedFd<'_>) -> Result<(), Error> {
    let change = MountAttr { set: attr::RDONLY, ..MountAttr::default() };
    set_attr(root, false, &change).doing(|| "make root file system read-only".into())
}

/// Enters the new root and lets go of the old one with everything in it.
pub(super) fn pivot(root: BorrowedFd<'_>) -> Result<(), Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::open("/", flags, Mode::empty()).doing(|| "open /".into())?;
    rustix::process::fchdir(root).doing(|| "enter root file system".into())?;
    // The old root is stacked on the new one: no directory in the image is needed for it.
    rustix::process::pivot_root(".", ".").doing(|| "pivot_root".into())?;
    rustix::process::fchdir(&old).doing(|| "enter old root".into())?;
    // What happens to the old root below must not reach the host.
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change(".", slave).doing(|| "detach old root from host".into())?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).doing(|| "unmount old root".into())?;
    rustix::process::chdir("/").doing(|| "enter /".into())
}

/// Without pivot_root, which an initramfs refuses: moves the root over `/`. The old root stays below.
pub(super) fn move_root(root: BorrowedFd<'_>) -> Result<(), Error> {
    hide_kernel_mounts(root)?;
    rustix::process::fchdir(root).doing(|| "enter root file system".into())?;
    rustix::mount::mount_move(".", "/").doing(|| "move root file system".into())?;
    rustix::process::chroot(".").doing(|| "chroot".into())?;
    rustix::process::chdir("/").doing(|| "enter /".into())
}

/// Takes the host's procfs and sysfs out of this mount namespace. As long as there is one without covers, the kernel lets a user
/// namespace made in the container mount another that has none either, where the container's own is masked.
fn hide_kernel_mounts(root: BorrowedFd<'_>) -> Result<(), Error> {
    let what = || "hide the host's procfs and sysfs".to_owned();
    let own = std::fs::read_link(linux::mount::FdPath::of(root).as_str()).doing(what)?;
    let table = std::fs::read_to_string("/proc/self/mountinfo").doing(what)?;
    let mut targets: Vec<PathBuf> = kernel_mounts(&table).filter(|path| !path.starts_with(&own)).collect();
    // What lies on another goes first, /proc itself last.
    targets.reverse();
    for path in targets {
        let change = rustix::mount::mount_change(&path, MountPropagationFlags::PRIVATE);
        let gone = change.and_then(|()| rustix::mount::unmount(&path, UnmountFlags::DETACH));
        match gone {
            // Not a mount point any more, or one that belongs to another user namespace: that one is covered.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) if !path.exists() || gone.is_ok() => {}
            _ => rustix::mount::mount("tmpfs", &path, "tmpfs", MountFlags::RDONLY, c"nr_inodes=1")
                .doing(|| format!("cover {}", path.display()))?,
        }
    }
    Ok(())
}

/// Where a mount table (proc_pid_mountinfo(5)) has procfs and sysfs.
fn kernel_mounts(table: &str) -> impl Iterator<Item = PathBuf> {
    table.lines().filter_map(|line| {
        let (mount, rest) = line.split_once(" - ")?;
        let kind = rest.split(' ').next()?;
        // Blanks in names are escaped; a name of the host's that has some stays as it is.
        matches!(kind, "proc" | "sysfs").then(|| mount.split(' ').nth(4).map(PathBuf::from)).flatten()
    })
}

/// Without a mount namespace.
pub(super) fn chroot(path: &Path) -> Result<(), Error> {
    rustix::process::chroot(path).doing(|| format!("chroot {}", path.display()))?;
    rustix::process::chdir("/").doing(|| "enter /".into())
}

/// The same for a process that joins.
pub(crate) fn chroot_to(root: BorrowedFd<'_>) -> Result<(), Error> {
    rustix::process::fchdir(root).doing(|| "enter root file system".into())?;
    rustix::process::chroot(".").doing(|| "chroot".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn procfs_and_sysfs_are_found_in_the_mount_table() {
        let table = "22 1 0:20 / /proc rw shared:5 - proc proc rw\n23 1 0:21 / /sys rw - sysfs sysfs rw\n\
                     24 23 0:22 / /sys/fs/bpf rw - bpf bpf rw\n25 1 0:20 / /mnt/p\\040q ro - proc none rw\n";
        let found: Vec<PathBuf> = kernel_mounts(table).collect();
        assert_eq!(found, ["/proc", "/sys", "/mnt/p\\040q"].map(PathBuf::from));
    }
}
