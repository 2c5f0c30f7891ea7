//! A container's files without its processes: what `docker cp` sees of a stopped one.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux::mount::FdPath;
use linux::namespace;
use linux::process::flags;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags};
use types::spec::{Mount, RuntimeSpec, User};

use crate::error::{Context, Error};
use crate::init::options::{Options, PROCESS, SUBPATH};
use crate::init::{mounts, rootfs as init_rootfs, user};

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

/// Mounts a root file system on `place` for another runtime, which the caller starts from the mount namespace that it gets
/// for itself here; with the last process in there the mounts go. Mounts of `spec` in words that only this runtime knows
/// (parts of volumes, mounts of other processes, mapped owners) are made below `scratch` and bound from there. Gives the root.
pub fn enclose(
    place: &Path,
    rootfs: &[types::Mount],
    scratch: &Path,
    spec: &mut RuntimeSpec,
) -> Result<OwnedFd, Error> {
    namespace::unshare(flags::NEWNS).doing(|| "create mount namespace".into())?;
    let linux = spec.linux.take().unwrap_or_default();
    let shares = matches!(linux.rootfs_propagation.as_str(), "shared" | "rshared");
    if shares {
        // What the container mounts is to reach the host; the root is not.
        init_rootfs::make_parent_private(place)?;
        init_rootfs::make_parent_private(scratch)?;
    } else {
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", slave).doing(|| "set propagation of /".into())?;
    }
    mounts::rootfs(place, rootfs)?;
    let own = |mount: &Mount| -> Result<bool, Error> {
        let options = Options::parse(&mount.kind, &mount.options)?;
        let words = options.subpath.is_some() || options.process.is_some();
        Ok(words || crate::idmap::wanted(mount, &options))
    };
    let base = linux::fs::open_root(scratch).doing(|| format!("open {}", scratch.display()))?;
    for (number, asked) in spec.mounts.iter_mut().enumerate() {
        if !own(asked)? {
            continue;
        }
        let name = format!("/{number}");
        let made = Mount { destination: name.clone(), ..asked.clone() };
        let prepared = mounts::prepare_sources(std::slice::from_ref(&made), &linux, false)?;
        mounts::mount(base.as_fd(), &made, prepared.first().and_then(Option::as_ref))?;
        let kept = |word: &String| !word.starts_with(PROCESS) && !word.starts_with(SUBPATH);
        let mut options: Vec<String> = asked.options.iter().filter(|word| kept(word)).cloned().collect();
        if !options.iter().any(|word| matches!(word.as_str(), "bind" | "rbind")) {
            options = vec!["rbind".to_owned(), "ro".to_owned()];
        }
        *asked = Mount {
            kind: "bind".to_owned(),
            source: scratch.join(&name[1..]).to_string_lossy().into_owned(),
            destination: asked.destination.clone(),
            options,
            ..Mount::default()
        };
    }
    spec.linux = Some(linux);
    linux::fs::open_root(place).doing(|| format!("open {}", place.display()))
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
    user_in(root, text, &[]).map(|user| (user.uid, user.gid))
}

/// The same with supplementary groups, those of `groups` (names or numbers) among them.
pub fn user_in(root: BorrowedFd<'_>, text: &str, groups: &[String]) -> Result<User, Error> {
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
    let identity = user::resolve(text, groups, &read("/etc/passwd")?, &read("/etc/group")?)?;
    Ok(User { uid: identity.uid, gid: identity.gid, additional_gids: identity.groups, ..User::default() })
}
