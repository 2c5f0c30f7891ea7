//! The root: made a mount, entered, and made read-only.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux::mount::{MountAttr, attach, attr, set_attr};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};
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

/// The mount that holds `path`.
fn make_parent_private(path: &Path) -> Result<(), Error> {
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

/// Without pivot_root, which an initramfs refuses: moves the root over `/`.
pub(super) fn move_root(root: BorrowedFd<'_>) -> Result<(), Error> {
    rustix::process::fchdir(root).doing(|| "enter root file system".into())?;
    rustix::mount::mount_move(".", "/").doing(|| "move root file system".into())?;
    rustix::process::chroot(".").doing(|| "chroot".into())?;
    rustix::process::chdir("/").doing(|| "enter /".into())
}

/// Without a mount namespace.
pub(super) fn chroot(path: &Path) -> Result<(), Error> {
    rustix::process::chroot(path).doing(|| format!("chroot {}", path.display()))?;
    rustix::process::chdir("/").doing(|| "enter /".into())
}
