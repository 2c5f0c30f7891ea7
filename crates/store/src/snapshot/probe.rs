//! Whether overlayfs and erofs work on a file system: tried out, because neither versions nor names tell.

use std::{
    fs::File,
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
};

use rustix::{fs::XattrFlags, mount::FsOpenFlags};

use crate::{
    erofs::{self, Layers},
    error::{IoContext, Result},
    paths,
};

/// Makes an overlay over directories in `tmp`, without mounting it anywhere, and leaves nothing behind.
pub(super) fn overlay(tmp: &Path) -> Result<()> {
    let dir = tmp.join("probe-overlay");
    let result = attempt(&dir, None);
    // What stays is removed at the next open.
    let _ = std::fs::remove_dir_all(&dir);
    result
}

/// Makes an index over a tar in `tmp`, mounts it, and an overlay on top of that mount. Mounts of files need Linux 6.12,
/// overlays on mounts that lie nowhere 6.15.
pub(super) fn erofs(tmp: &Path) -> Result<()> {
    let dir = tmp.join("probe-erofs");
    let result = attempt_erofs(&dir);
    // What stays is removed at the next open.
    let _ = std::fs::remove_dir_all(&dir);
    result
}

fn attempt_erofs(dir: &Path) -> Result<()> {
    paths::make(dir, 0o700)?;
    // An archive of nothing.
    erofs::receive(&mut &[0; 1024][..], dir)?;
    let layers = Layers::new(vec![dir.to_owned()]);
    let index = dir.join("index");
    layers.index(&index, "probe")?;
    let mounted = erofs::mount(dir, &index, &layers.devices())?;
    attempt(dir, Some(format!("/proc/self/fd/{}", mounted.as_raw_fd())))
}

/// `lower` is the lower layer, or none for a directory.
fn attempt(dir: &Path, lower: Option<String>) -> Result<()> {
    for name in ["lower", "upper", "work"] {
        paths::make(&dir.join(name), 0o700)?;
    }
    let upper = dir.join("upper");
    rustix::fs::setxattr(&upper, "trusted.overlay.opaque", b"y", XattrFlags::empty())
        .at("marking", &upper)?;
    let top = File::open(dir).at("opening", dir)?;
    let context =
        rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).at("probing overlay in", dir)?;
    for (key, name) in [("lowerdir", "lower"), ("upperdir", "upper"), ("workdir", "work")] {
        // Short however long the data root's path is: fsconfig(2) takes 255 bytes.
        let path = format!("/proc/self/fd/{}/{name}", top.as_raw_fd());
        let path = if name == "lower" { lower.clone().unwrap_or(path) } else { path };
        rustix::mount::fsconfig_set_string(context.as_fd(), key, path).at("probing overlay in", dir)?;
    }
    rustix::mount::fsconfig_create(context.as_fd()).at("probing overlay in", dir)
}

/// Whether the snapshotter `erofs` is to work, by what is known of kernels. Its tests pass by where it is not.
#[cfg(test)]
pub(crate) fn kernel_is_new_enough() -> bool {
    let name = rustix::system::uname();
    let numbers = name.release().to_string_lossy();
    let mut numbers = numbers.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 15)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rustix::mount::{FsMountFlags, MountAttrFlags};

    use super::*;

    #[test]
    fn privileged_overlay_works_on_a_disk_but_not_on_proc() {
        let dir = tempfile::tempdir().unwrap();
        overlay(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(overlay(Path::new("/proc")).is_err());
    }

    #[test]
    fn privileged_a_store_on_an_older_kernel_unpacks_layers() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = if kernel_is_new_enough() { "erofs" } else { "overlay" };
        assert_eq!(crate::Store::open(dir.path()).unwrap().snapshots().name(), wanted);
        let dir = tempfile::tempdir().unwrap();
        let options = crate::Options { snapshotter: Some("erofs".to_owned()) };
        assert_eq!(crate::Store::open_with(dir.path(), &options).is_ok(), kernel_is_new_enough());
    }

    #[test]
    fn privileged_a_store_where_overlay_cannot_be_copies() {
        // A file system without trusted attributes that can be had anywhere.
        let fs = rustix::mount::fsopen("ramfs", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
        rustix::mount::fsconfig_create(fs.as_fd()).unwrap();
        let flags = FsMountFlags::FSMOUNT_CLOEXEC;
        let disk = rustix::mount::fsmount(fs.as_fd(), flags, MountAttrFlags::empty()).unwrap();
        let root = PathBuf::from(format!("/proc/self/fd/{}/root", disk.as_raw_fd()));
        let store = crate::Store::open(&root).unwrap();
        assert_eq!(store.snapshots().name(), "copy");
    }

    #[test]
    fn privileged_a_store_stays_with_the_snapshotter_it_began_with() {
        let dir = tempfile::tempdir().unwrap();
        let options = crate::Options { snapshotter: Some("copy".to_owned()) };
        let store = crate::Store::open_with(dir.path(), &options).unwrap();
        store.snapshots().prepare("a", None).unwrap();
        store.snapshots().commit("b", "a", None).unwrap();
        let hold = store.hold();
        hold.pin(crate::Resource::Snapshot("b".to_owned()));
        store.leases().add("x", &crate::Resource::Snapshot("b".to_owned())).unwrap();
        drop((hold, store));
        assert_eq!(crate::Store::open(dir.path()).unwrap().snapshots().name(), "copy");
    }
}
