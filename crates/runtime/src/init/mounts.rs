//! The mounts of a container, made below its root by descriptor.
//!
//! Every target is opened with `openat2(RESOLVE_IN_ROOT)` and mounted on through that descriptor, so that a symbolic link
//! in the image or swapped in by a container sharing a volume cannot move a mount elsewhere (CVE-2021-30465). This runs
//! before `pivot_root`: `/proc` is the host's, and `/proc/self/fd/N` means what it says.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use linux::fs::{PROC_SUPER_MAGIC, is_on, make_dirs_in_root, make_file_in_root, open_in_root};
use linux::mount::{FdPath, MountAttr, attach, clone_tree, propagation, set_attr};
use linux::namespace;
use linux::process::flags;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags};
use types::spec::{Linux, Mount};

use super::options::Options;
use crate::error::{Context, Error, reason};

const DIR_MODE: Mode = Mode::from_raw_mode(0o755);
/// mount(2) takes at most a page of options.
const DATA_MAX: usize = 4095;

/// Performs one mount of the configuration. `prepared` is a detached tree of its source, made where that could be reached.
pub(crate) fn mount(root: BorrowedFd<'_>, mount: &Mount, prepared: Option<&OwnedFd>) -> Result<(), Error> {
    mount_labelled(root, mount, prepared, "")
}

/// As [`mount`], with the SELinux label that `linux.mountLabel` names.
pub(super) fn mount_labelled(
    root: BorrowedFd<'_>,
    mount: &Mount,
    prepared: Option<&OwnedFd>,
    label: &str,
) -> Result<(), Error> {
    let mut options = Options::parse(&mount.kind, &mount.options)?;
    if !options.bind {
        options.data.extend(super::label::mount_option(&mount.kind, label));
    }
    let what = || format!("mount {:?} at {:?}", mount.source, mount.destination);
    if crate::idmap::wanted(mount, &options) && (!options.bind || prepared.is_none()) {
        return Err(Error::Invalid(format!("{}: only bind mounts can be id-mapped", what())));
    }
    if options.bind && options.remount {
        return change(root, mount, &options);
    }
    if options.bind {
        bind(root, mount, &options, prepared).map_err(|error| explain(&what(), &error))?;
    } else {
        fresh(root, mount, &options).map_err(|error| explain(&what(), &error))?;
    }
    if options.bind || options.tree.is_some() || !options.propagation.is_empty() {
        change(root, mount, &options)?;
    }
    Ok(())
}

fn explain(what: &str, error: &std::io::Error) -> Error {
    Error::Failed(format!("{what}: {}", reason(error)))
}

/// A mount of a file system of its own.
fn fresh(root: BorrowedFd<'_>, mount: &Mount, options: &Options) -> std::io::Result<()> {
    if let Some(path) = &options.subpath {
        return part(root, mount, options, path);
    }
    let destination = Path::new(&mount.destination);
    let was_there = open_in_root(root, destination, OFlags::PATH, Mode::empty()).is_ok();
    let target = make_dirs_in_root(root, destination, DIR_MODE)?;
    if matches!(mount.kind.as_str(), "proc" | "sysfs") {
        must_be_plain(root, mount, target.as_fd())?;
    } else {
        must_not_cover_proc(mount, target.as_fd(), None)?;
    }
    let mut data = options.data.join(",");
    if mount.kind == "tmpfs" && was_there && !options.data.iter().any(|option| option.starts_with("mode=")) {
        // The directory that it covers decides, as in other runtimes; for a new one the kernel does (1777).
        let mode = rustix::fs::fstat(&target)?.st_mode & 0o7777;
        let comma = if data.is_empty() { "" } else { "," };
        data = format!("{data}{comma}mode={mode:o}");
    }
    if options.copy_up {
        return copy_up(root, mount, options, &data);
    }
    mount_at(source_of(mount), target.as_fd(), &mount.kind, options.set, &data)
}

/// A directory or file of a file system of its own. That is mounted whole for a moment, on the root, where nobody is yet.
fn part(root: BorrowedFd<'_>, mount: &Mount, options: &Options, path: &str) -> std::io::Result<()> {
    let place = rustix::fs::readlink(FdPath::of(root).as_str(), Vec::new())?;
    mount_at(source_of(mount), root, &mount.kind, options.set, &options.data.join(","))?;
    let copied = || {
        let top = rustix::fs::open(&place, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let part = open_in_root(top.as_fd(), Path::new(path), OFlags::PATH, Mode::empty())?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&part)?.st_mode);
        Ok::<_, std::io::Error>((linux::mount::clone_tree(part.as_fd(), false)?, kind))
    };
    let copied = copied();
    rustix::mount::unmount(&place, rustix::mount::UnmountFlags::DETACH)?;
    let (tree, kind) = copied?;
    let destination = Path::new(&mount.destination);
    let target = if kind == FileType::Directory {
        make_dirs_in_root(root, destination, DIR_MODE)?
    } else {
        make_file_in_root(root, destination, Mode::from_raw_mode(0o755))?
    };
    must_not_cover_proc(mount, target.as_fd(), None)?;
    attach(tree.as_fd(), target.as_fd())
}

/// What `mount` shows as the source.
fn source_of(mount: &Mount) -> &str {
    if mount.source.is_empty() { &mount.kind } else { &mount.source }
}

/// `mount(2)` on a descriptor.
pub(crate) fn mount_at(
    source: &str,
    target: BorrowedFd<'_>,
    kind: &str,
    flags: MountFlags,
    data: &str,
) -> std::io::Result<()> {
    let data = CString::new(data).map_err(|_| std::io::ErrorKind::InvalidInput)?;
    Ok(rustix::mount::mount(source, FdPath::of(target).as_str(), kind, flags, data.as_c_str())?)
}

/// The targets of procfs and sysfs must be where the path says, not where a link leads (CVE-2019-16884, CVE-2023-27561).
fn must_be_plain(root: BorrowedFd<'_>, mount: &Mount, target: BorrowedFd<'_>) -> std::io::Result<()> {
    if linux::weakened("plain-proc") {
        return Ok(());
    }
    let relative = mount.destination.trim_start_matches('/');
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = rustix::fs::ResolveFlags::IN_ROOT | rustix::fs::ResolveFlags::NO_SYMLINKS;
    let refuse = || {
        let text = format!("filesystem {:?} must be mounted on ordinary directory", mount.kind);
        std::io::Error::new(std::io::ErrorKind::InvalidInput, text)
    };
    let direct = rustix::fs::openat2(root, relative, flags, Mode::empty(), resolve).map_err(|_| refuse())?;
    let (one, other) = (rustix::fs::fstat(&direct)?, rustix::fs::fstat(target)?);
    if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino) {
        return Ok(());
    }
    Err(refuse())
}

/// What programs in the container learn from procfs must come from procfs: whoever covers it can fake the writes that
/// confine processes (CVE-2019-16884, CVE-2025-52881). The exceptions are those that other runtimes make, for lxcfs and
/// the like; `/proc` as a whole may be another procfs.
fn must_not_cover_proc(
    mount: &Mount,
    target: BorrowedFd<'_>,
    source: Option<&OwnedFd>,
) -> std::io::Result<()> {
    const FAKED: [&str; 11] = [
        "/proc/cpuinfo",
        "/proc/diskstats",
        "/proc/loadavg",
        "/proc/meminfo",
        "/proc/net/dev",
        "/proc/slabinfo",
        "/proc/stat",
        "/proc/swaps",
        "/proc/sys/crypto/fips_enabled",
        "/proc/sys/kernel/ns_last_pid",
        "/proc/uptime",
    ];
    if linux::weakened("cover-proc") {
        return Ok(());
    }
    let path: PathBuf = Path::new("/").join(&mount.destination).components().collect();
    if path == Path::new("/proc") {
        let on_proc = |fd: &OwnedFd| is_on(fd.as_fd(), PROC_SUPER_MAGIC).unwrap_or(false);
        if source.is_some_and(on_proc) {
            return Ok(());
        }
    } else if !is_on(target, PROC_SUPER_MAGIC)? || FAKED.iter().any(|known| path == Path::new(known)) {
        return Ok(());
    }
    Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "cannot be mounted because it is inside /proc"))
}

/// A bind mount without its flags.
fn bind(
    root: BorrowedFd<'_>,
    mount: &Mount,
    options: &Options,
    prepared: Option<&OwnedFd>,
) -> std::io::Result<()> {
    let below = options.subpath.as_ref().map(|path| below_source(&mount.source, path)).transpose()?;
    let below_path = below.as_ref().map(|fd| FdPath::of(fd.as_fd()));
    let from = below_path.as_ref().map_or(mount.source.as_str(), FdPath::as_str);
    let source_is_dir = match prepared {
        Some(tree) => FileType::from_raw_mode(rustix::fs::fstat(tree)?.st_mode) == FileType::Directory,
        None => FileType::from_raw_mode(rustix::fs::stat(from)?.st_mode) == FileType::Directory,
    };
    let destination = Path::new(&mount.destination);
    let target = if source_is_dir {
        make_dirs_in_root(root, destination, DIR_MODE)?
    } else {
        make_file_in_root(root, destination, Mode::from_raw_mode(0o755))?
    };
    let source = rustix::fs::open(from, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok();
    must_not_cover_proc(mount, target.as_fd(), prepared.or(source.as_ref()))?;
    if let Some(tree) = prepared {
        return attach(tree.as_fd(), target.as_fd());
    }
    let path = FdPath::of(target.as_fd());
    if options.recursive {
        rustix::mount::mount_bind_recursive(from, path.as_str())?;
    } else {
        rustix::mount::mount_bind(from, path.as_str())?;
    }
    Ok(())
}

/// What lies in a source that others write to: looked up here, where it is bound, because a path that was checked
/// before may lead elsewhere by now.
fn below_source(source: &str, path: &str) -> std::io::Result<OwnedFd> {
    let root = rustix::fs::open(source, OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY, Mode::empty())?;
    open_in_root(root.as_fd(), Path::new(path), OFlags::PATH, Mode::empty())
}

/// Flags of a bind mount, recursive attributes and propagation: on the mount now at the destination.
fn change(root: BorrowedFd<'_>, mount: &Mount, options: &Options) -> Result<(), Error> {
    let own = if options.bind { options.mount_attr() } else { None };
    if own.is_none() && options.tree.is_none() && options.propagation.is_empty() {
        return Ok(());
    }
    let what = || format!("set options of mount {:?}", mount.destination);
    let top = open_in_root(root, Path::new(&mount.destination), OFlags::PATH, Mode::empty()).doing(what)?;
    if let Some(own) = own {
        set_attr(top.as_fd(), false, &own).doing(what)?;
    }
    if let Some(tree) = options.tree {
        set_attr(top.as_fd(), true, &tree).doing(what)?;
    }
    for how in &options.propagation {
        rustix::mount::mount_change(FdPath::of(top.as_fd()).as_str(), *how).doing(what)?;
    }
    Ok(())
}

/// A tmpfs filled with what it covers.
fn copy_up(root: BorrowedFd<'_>, mount: &Mount, options: &Options, data: &str) -> std::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let covered = open_in_root(root, Path::new(&mount.destination), flags, Mode::empty())?;
    mount_at("tmpfs", covered.as_fd(), "tmpfs", options.set & !MountFlags::RDONLY, data)?;
    let top = open_in_root(root, Path::new(&mount.destination), flags, Mode::empty())?;
    super::copy::copy_tree(covered.as_fd(), top.as_fd())?;
    if options.set.contains(MountFlags::RDONLY) {
        let change = MountAttr { set: linux::mount::attr::RDONLY, ..Default::default() };
        set_attr(top.as_fd(), false, &change)?;
    }
    Ok(())
}

/// Makes one mount read-only.
pub(super) fn make_read_only(root: BorrowedFd<'_>, mount: &Mount) -> Result<(), Error> {
    let what = || format!("make {} read-only", mount.destination);
    let top = open_in_root(root, Path::new(&mount.destination), OFlags::PATH, Mode::empty()).doing(what)?;
    let change = MountAttr { set: linux::mount::attr::RDONLY, ..Default::default() };
    set_attr(top.as_fd(), false, &change).doing(what)
}

/// The mounts that make the root file system, on `path`: the storage side decided them, so paths are the host's.
pub(crate) fn rootfs(path: &Path, mounts: &[types::Mount]) -> Result<(), Error> {
    for mount in mounts {
        let target = path.join(mount.destination.trim_start_matches('/'));
        let what = || format!("mount {} root file system at {}", mount.kind, target.display());
        let options = Options::parse(&mount.kind, &mount.options)?;
        if options.bind {
            let result = if options.recursive {
                rustix::mount::mount_bind_recursive(&mount.source, &target)
            } else {
                rustix::mount::mount_bind(&mount.source, &target)
            };
            result.doing(what)?;
            if let Some(change) = options.mount_attr() {
                let top = linux::fs::open_root(&target).doing(what)?;
                set_attr(top.as_fd(), false, &change).doing(what)?;
            }
        } else {
            let data = options.data.join(",");
            if data.len() > DATA_MAX {
                let tree = detached(&mount.kind, &mount.source, &options).doing(what)?;
                let target = linux::fs::open_root(&target).doing(what)?;
                attach(tree.as_fd(), target.as_fd()).doing(what)?;
            } else {
                let source =
                    if mount.source.is_empty() { mount.kind.as_str() } else { mount.source.as_str() };
                let data = CString::new(data).map_err(|_| Error::Invalid(what()))?;
                rustix::mount::mount(source, &target, &mount.kind, options.set, data.as_c_str())
                    .doing(what)?;
            }
        }
    }
    Ok(())
}

/// A detached mount by the new mount API, which has no limit on the length of all options together.
pub(crate) fn detached(kind: &str, source: &str, options: &Options) -> std::io::Result<OwnedFd> {
    use rustix::mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
        fsmount, fsopen,
    };
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", if source.is_empty() { kind } else { source })?;
    for option in &options.data {
        match option.split_once('=') {
            // Each layer by itself: one value may not be longer than 255 bytes.
            Some(("lowerdir", layers)) if kind == "overlay" => {
                for layer in layers.split(':') {
                    fsconfig_set_string(&context, "lowerdir+", layer)?;
                }
            }
            Some((key, value)) => fsconfig_set_string(&context, key, value)?,
            None => fsconfig_set_flag(&context, option.as_str())?,
        }
    }
    fsconfig_create(&context)?;
    let change = Options { bind: true, ..options.clone() }.mount_attr().unwrap_or_default();
    let attributes = MountAttrFlags::from_bits_retain(change.set as u32);
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// A copy of a tree is a peer of what it was copied from, where that is shared (`/` is, under systemd): what the container mounts
/// would appear on the host, and `pivot_root` refuses a shared root. It hears of the host's mounts only if it `listens`.
pub(crate) fn leave_peers(tree: &OwnedFd, listens: bool) -> std::io::Result<()> {
    let propagation = if listens { propagation::SLAVE } else { propagation::PRIVATE };
    set_attr(tree.as_fd(), true, &MountAttr { propagation, ..MountAttr::default() })
}

/// Detached trees of the sources of bind mounts, made by the creator: of `all` for a container in another user namespace,
/// where the sources may be out of reach, and of those that are id-mapped.
pub(crate) fn prepare_sources(
    mounts: &[Mount],
    linux: &Linux,
    all: bool,
) -> Result<Vec<Option<OwnedFd>>, Error> {
    let one = |mount: &Mount| -> Result<Option<OwnedFd>, Error> {
        let options = Options::parse(&mount.kind, &mount.options)?;
        let mapped = crate::idmap::wanted(mount, &options);
        let what = || format!("mount {:?} at {:?}", mount.source, mount.destination);
        if let Some(pid) = options.process.filter(|_| options.bind) {
            return mount_of_process(pid, &mount.source).map(Some).doing(what);
        }
        if !options.bind || options.remount || !(all || mapped) {
            return Ok(None);
        }
        let source = rustix::fs::open(
            Path::new(&mount.source).as_os_str().as_bytes(),
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let tree = clone_tree(source.doing(what)?.as_fd(), options.recursive).doing(what)?;
        let listens = MountPropagationFlags::SHARED | MountPropagationFlags::DOWNSTREAM;
        let listens = options.propagation.iter().any(|how| how.intersects(listens));
        leave_peers(&tree, listens).doing(what)?;
        if mapped {
            crate::idmap::apply(&tree, mount, &options, linux)?;
        }
        Ok(Some(tree))
    };
    mounts.iter().map(one).collect()
}

/// A detached copy of what a process has mounted at `path`. Only from within its mount namespace can that be copied.
fn mount_of_process(pid: i32, path: &str) -> std::io::Result<OwnedFd> {
    let own = namespace::open(Path::new("/proc/self/ns/mnt"))?;
    let theirs = namespace::open(Path::new(&format!("/proc/{pid}/ns/mnt")))?;
    namespace::join(theirs.as_fd(), flags::NEWNS)?;
    let tree = linux::mount::clone_path(path);
    // Whoever cannot go back must not go on.
    namespace::join(own.as_fd(), flags::NEWNS)?;
    let tree = tree?;
    leave_peers(&tree, false)?;
    Ok(tree)
}

/// `MS_PRIVATE` and so on for the word of the configuration.
pub(super) fn propagation_of(word: &str) -> Result<MountPropagationFlags, Error> {
    Ok(match word.strip_prefix('r').unwrap_or(word) {
        "private" => MountPropagationFlags::PRIVATE,
        "shared" => MountPropagationFlags::SHARED,
        "slave" => MountPropagationFlags::DOWNSTREAM,
        "unbindable" => MountPropagationFlags::UNBINDABLE,
        _ => return Err(Error::Invalid(format!("rootfsPropagation={word} is not supported"))),
    })
}
