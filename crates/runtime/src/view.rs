//! A container's files without its processes: what `docker cp` sees of a stopped one.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux::mount::FdPath;
use linux::namespace;
use linux::process::flags;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags};
use types::spec::Mount;

use crate::error::{Context, Error};
use crate::init::options::Options;
use crate::init::{mounts, user};

/// Larger files of users are cut off.
const FILE_MAX: u64 = 16 << 20;

/// Mounts a root file system on `place` and `list` below it, in a mount namespace that the calling thread gets for
/// itself: only the thread's end (and that of the descriptor) takes it away again, so it must be one made for this.
/// Gives the root.
pub fn view(place: &Path, rootfs: &[types::Mount], list: &[Mount]) -> Result<OwnedFd, Error> {
    namespace::unshare(flags::NEWNS).doing(|| "create mount namespace".into())?;
    // Nothing made here may be seen by the host, and nothing that the host mounts is needed here.
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).doing(|| "make mounts private".into())?;
    mounts::rootfs(place, rootfs)?;
    let root = linux::fs::open_root(place).doing(|| format!("open {}", place.display()))?;
    for mount in list {
        mounts::mount(root.as_fd(), mount, None)?;
    }
    Ok(root)
}

/// Mounts `device` on the directory `target` in the caller's own mount namespace: the data of a volume that is a file
/// system of its own. `words` are options as in fstab.
pub fn mount_volume(kind: &str, device: &str, target: &Path, words: &[String]) -> Result<(), Error> {
    let options = Options::parse(kind, words)?;
    let open = || {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::open(target, flags, Mode::empty())
    };
    let mut flags = options.set;
    if options.bind {
        flags |= MountFlags::BIND;
    }
    if options.recursive {
        flags |= MountFlags::REC;
    }
    let data = options.data.join(",");
    let place = open().doing(|| format!("open {}", target.display()))?;
    mounts::mount_at(device, place.as_fd(), kind, flags, &data).doing(|| {
        let mut what = format!("mount {device}:{}", target.display());
        if !flags.is_empty() {
            what.push_str(&format!(", flags: {:#x}", flags.bits()));
        }
        if !data.is_empty() {
            what.push_str(&format!(", data: {}", without_password(&data)));
        }
        what
    })?;
    let what = || format!("set options of {}", target.display());
    let top = open().doing(what)?;
    if options.bind
        && let Some(own) = options.mount_attr()
    {
        linux::mount::set_attr(top.as_fd(), false, &own).doing(what)?;
    }
    for how in &options.propagation {
        rustix::mount::mount_change(FdPath::of(top.as_fd()).as_str(), *how).doing(what)?;
    }
    Ok(())
}

/// Options as they may be shown to anybody.
fn without_password(data: &str) -> String {
    let hide = |word: &str| match word.split_once('=') {
        Some((key, _)) if key.starts_with("pass") => format!("{key}=********"),
        _ => word.to_owned(),
    };
    data.split(',').map(hide).collect::<Vec<_>>().join(",")
}

/// The ids that Docker's `user[:group]` means in the container whose root is `root`.
pub fn owner_in(root: BorrowedFd<'_>, text: &str) -> Result<(u32, u32), Error> {
    let read = |path: &str| -> Result<String, Error> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let mut bytes = Vec::new();
        match linux::fs::open_in_root(root, Path::new(path), flags, Mode::empty()) {
            Ok(file) => {
                let file = std::fs::File::from(file);
                file.take(FILE_MAX).read_to_end(&mut bytes).doing(|| format!("read {path}"))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).doing(|| format!("open {path}")),
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let identity = user::resolve(text, &[], &read("/etc/passwd")?, &read("/etc/group")?)?;
    Ok((identity.uid, identity.gid))
}
