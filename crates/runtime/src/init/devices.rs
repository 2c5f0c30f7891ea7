//! Device nodes and the links in `/dev` (config-linux.md, "Default Devices", "Dev symbolic links").

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux::fs::{make_dirs_in_root, make_file_in_root, open_in_root};
use linux::mount::FdPath;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, makedev};
use rustix::io::Errno;
use types::spec::{Device, DeviceRule, Mount};

use crate::error::{Context, Error};

/// Present in every container: name, major, minor.
const DEFAULT: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "dev/fd"),
    ("/proc/self/fd/0", "dev/stdin"),
    ("/proc/self/fd/1", "dev/stdout"),
    ("/proc/self/fd/2", "dev/stderr"),
];

/// Rules that every container's device cgroup ends with, so that the default devices work whatever the configuration
/// denies: making any node, the default devices, pseudo-terminals.
pub(crate) fn default_rules() -> Vec<DeviceRule> {
    let rule = |kind: &str, major: Option<i64>, minor: Option<i64>, access: &str| DeviceRule {
        allow: true,
        kind: kind.into(),
        major,
        minor,
        access: access.into(),
    };
    let mut rules = vec![rule("c", None, None, "m"), rule("b", None, None, "m")];
    for (_, major, minor) in DEFAULT {
        rules.push(rule("c", Some(major.into()), Some(minor.into()), "rwm"));
    }
    rules.push(rule("c", Some(136), None, "rwm"));
    rules.push(rule("c", Some(5), Some(2), "rwm"));
    rules
}

/// Whether `/dev` is the container's own: someone who binds a directory there brings the devices along.
pub(super) fn wanted(mounts: &[Mount]) -> bool {
    !mounts.iter().any(|mount| {
        let binds =
            mount.kind == "bind" || mount.options.iter().any(|option| option == "bind" || option == "rbind");
        Path::new(&mount.destination) == Path::new("/dev") && binds
    })
}

/// Makes the default nodes, those of the configuration, and the links. Where nodes cannot be made (in a user namespace),
/// the host's are bound.
pub(super) fn make(root: BorrowedFd<'_>, devices: &[Device], bind_only: bool) -> Result<(), Error> {
    let dev = make_dirs_in_root(root, Path::new("/dev"), Mode::from_raw_mode(0o755))
        .doing(|| "make /dev".into())?;
    for (name, major, minor) in DEFAULT {
        if devices.iter().any(|device| device.path.strip_prefix("/dev/") == Some(name)) {
            continue;
        }
        let node = Node { kind: FileType::CharacterDevice, major, minor, mode: 0o666, uid: 0, gid: 0 };
        let made = if bind_only { Err(Errno::PERM) } else { node.make(dev.as_fd(), name) };
        if made == Err(Errno::PERM) {
            bind(root, &format!("/dev/{name}"))?;
        } else {
            made.doing(|| format!("make device /dev/{name}"))?;
        }
    }
    for device in devices {
        make_one(root, device, bind_only)?;
    }
    links(root)
}

fn make_one(root: BorrowedFd<'_>, device: &Device, bind_only: bool) -> Result<(), Error> {
    let what = || format!("make device {}", device.path);
    let node = Node::of(device)?;
    let path = Path::new(&device.path);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::Invalid(format!("{}: not a path of a device", what())));
    };
    let parent = make_dirs_in_root(root, parent, Mode::from_raw_mode(0o755)).doing(what)?;
    let made = if bind_only { Err(Errno::PERM) } else { node.make(parent.as_fd(), name) };
    if made == Err(Errno::PERM) { bind(root, &device.path) } else { made.doing(what) }
}

struct Node {
    kind: FileType,
    major: u32,
    minor: u32,
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Node {
    fn of(device: &Device) -> Result<Self, Error> {
        let kind = match device.kind.as_str() {
            "c" | "u" => FileType::CharacterDevice,
            "b" => FileType::BlockDevice,
            "p" => FileType::Fifo,
            other => return Err(Error::Invalid(format!("device {}: invalid type {other:?}", device.path))),
        };
        let number = |value: i64| {
            u32::try_from(value)
                .map_err(|_| Error::Invalid(format!("device {}: invalid device number {value}", device.path)))
        };
        Ok(Node {
            kind,
            major: if kind == FileType::Fifo { 0 } else { number(device.major)? },
            minor: if kind == FileType::Fifo { 0 } else { number(device.minor)? },
            mode: device.file_mode.unwrap_or(0o666) & 0o7777,
            uid: device.uid.unwrap_or(0),
            gid: device.gid.unwrap_or(0),
        })
    }

    /// Makes the node in a directory; the caller's umask is 0. A node that is there already must be the same one.
    fn make<P: rustix::path::Arg + Copy>(&self, dir: BorrowedFd<'_>, name: P) -> Result<(), Errno> {
        let number = makedev(self.major, self.minor);
        match rustix::fs::mknodat(dir, name, self.kind, Mode::from_raw_mode(self.mode), number) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let same = FileType::from_raw_mode(stat.st_mode) == self.kind
                    && (self.kind == FileType::Fifo || stat.st_rdev == number);
                return if same { Ok(()) } else { Err(Errno::EXIST) };
            }
            Err(error) => return Err(error),
        }
        if (self.uid, self.gid) == (0, 0) {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
    }
}

/// The host's node at the same path.
fn bind(root: BorrowedFd<'_>, path: &str) -> Result<(), Error> {
    let what = || format!("bind device {path}");
    let target = make_file_in_root(root, Path::new(path), Mode::from_raw_mode(0o666)).doing(what)?;
    rustix::mount::mount_bind(path, FdPath::of(target.as_fd()).as_str()).doing(what)
}

fn links(root: BorrowedFd<'_>) -> Result<(), Error> {
    let link = |to: &str, at: &str| -> Result<(), Error> {
        let (dir, name) = at.rsplit_once('/').unwrap_or(("", at));
        let dir = open_in_root(root, Path::new(dir), OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
            .doing(|| format!("open /{dir}"))?;
        match rustix::fs::symlinkat(to, &dir, name) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error).doing(|| format!("link /{at}")),
        }
    };
    for (to, at) in LINKS {
        link(to, at)?;
    }
    if linux::fs::exists("/proc/kcore") {
        link("/proc/kcore", "dev/core")?;
    }
    // The multiplexer of the container's own devpts, where it has one.
    if open_in_root(root, Path::new("/dev/pts/ptmx"), OFlags::PATH, Mode::empty()).is_ok() {
        let dev = open_in_root(root, Path::new("/dev"), OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
            .doing(|| "open /dev".into())?;
        let _ = rustix::fs::unlinkat(&dev, "ptmx", AtFlags::empty());
        link("pts/ptmx", "dev/ptmx")?;
    }
    Ok(())
}

/// The host's null device, checked to be that and not what someone put there (CVE-2025-31133).
pub(super) fn null() -> Result<OwnedFd, Error> {
    let file =
        rustix::fs::open("/dev/null", OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            .doing(|| "open /dev/null".into())?;
    if linux::fs::is_char_device(file.as_fd(), 1, 3).doing(|| "look at /dev/null".into())? {
        return Ok(file);
    }
    Err(Error::Failed("/dev/null of the host is not the null device".into()))
}
