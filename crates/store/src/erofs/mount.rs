//! Mounting an index: detached, held by a descriptor, seen by nobody who does not have it.

use std::{
    fs::File,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::error::{IoContext, Result};

/// Mounts the index `index` over `devices`, all of them files below `top`. The mount goes when the descriptor and every
/// mount made on top of it are gone.
pub(crate) fn mount(top: &Path, index: &Path, devices: &[PathBuf]) -> Result<OwnedFd> {
    let dir = File::open(top).at("opening", top)?;
    // Short however long the path of the data root is: fsconfig(2) takes 255 bytes.
    let short = |path: &Path| match path.strip_prefix(top) {
        Ok(below) => format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), below.display()),
        Err(_) => path.display().to_string(),
    };
    let doing = "mounting";
    let context = rustix::mount::fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC).at(doing, index)?;
    let set = |key: &str, path: &Path| {
        rustix::mount::fsconfig_set_string(context.as_fd(), key, short(path)).at(doing, path)
    };
    set("source", index)?;
    for device in devices {
        set("device", device)?;
    }
    rustix::mount::fsconfig_create(context.as_fd()).at(doing, index)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).at(doing, index)
}
