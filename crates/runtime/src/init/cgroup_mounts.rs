//! The `cgroup` mount of a container: its own cgroups, as the host's version shows them.
//!
//! | Host | In a cgroup namespace | Without one |
//! |---|---|---|
//! | v2 | `cgroup2` | bind of the container's directory |
//! | v1, hybrid | tmpfs with one `cgroup` mount per hierarchy | tmpfs with one bind per hierarchy |

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use linux::cgroup::{Version, hierarchies};
use linux::fs::{make_dirs_in_root, open_in_root};
use linux::mount::{FdPath, set_attr};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;
use types::spec::Mount;

use super::mounts::mount_at;
use super::options::Options;
use crate::error::{Context, Error};

const DIR_MODE: Mode = Mode::from_raw_mode(0o755);

/// Mounts the container's cgroups. `own` are its directories by hierarchy (the empty name is v2); `namespaced` tells
/// whether init is in its own cgroup namespace by now.
pub(super) fn mount(
    root: BorrowedFd<'_>,
    mount: &Mount,
    own: &BTreeMap<String, PathBuf>,
    namespaced: bool,
) -> Result<(), Error> {
    let options = Options::parse(&mount.kind, &mount.options)?;
    let what = || format!("mount cgroup at {:?}", mount.destination);
    let target = make_dirs_in_root(root, Path::new(&mount.destination), DIR_MODE).doing(what)?;
    if hierarchies().version() == Version::V2 {
        let data = options.data.join(",");
        if namespaced {
            return mount_at("cgroup", target.as_fd(), "cgroup2", options.set, &data).doing(what);
        }
        let source = own.get("").ok_or_else(|| Error::Failed(format!("{}: no cgroup", what())))?;
        bind(source, target.as_fd()).doing(what)?;
        return restrict(root, &mount.destination, &options);
    }
    hybrid(root, mount, &options, own, namespaced)
}

/// One directory per hierarchy on a tmpfs, and a link for each controller of a shared one, as on the host.
fn hybrid(
    root: BorrowedFd<'_>,
    mount: &Mount,
    options: &Options,
    own: &BTreeMap<String, PathBuf>,
    namespaced: bool,
) -> Result<(), Error> {
    let what = || format!("mount cgroup at {:?}", mount.destination);
    let destination = Path::new(&mount.destination);
    let below = make_dirs_in_root(root, destination, DIR_MODE).doing(what)?;
    mount_at("tmpfs", below.as_fd(), "tmpfs", options.set & !MountFlags::RDONLY, "mode=755").doing(what)?;
    let top =
        open_in_root(root, destination, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).doing(what)?;

    let all = hierarchies();
    let v1 = all.v1.iter().map(|(name, point)| (name.as_str(), point.as_path()));
    let v2 = all.v2.iter().map(|point| ("", point.as_path()));
    for (name, point) in v1.chain(v2) {
        // The name of the host's directory, such as `cpu,cpuacct` or `systemd`.
        let Some(directory) = point.file_name() else { continue };
        let target = subdirectory(top.as_fd(), Path::new(directory)).doing(what)?;
        if namespaced {
            let kind = if name.is_empty() { "cgroup2" } else { "cgroup" };
            let data = if name.starts_with("name=") { format!("none,{name}") } else { name.to_owned() };
            mount_at("cgroup", target.as_fd(), kind, options.set, &data).doing(what)?;
        } else if let Some(source) = own.get(name) {
            bind(source, target.as_fd()).doing(what)?;
            let path = destination.join(directory);
            restrict(root, &path.to_string_lossy(), options)?;
        }
        for controller in name.split(',').filter(|controller| name.contains(',') && !controller.is_empty()) {
            let _ = rustix::fs::symlinkat(directory, &top, controller);
        }
    }
    // As with runc and crun, `ro` is about the hierarchies: the tmpfs on which they lie stays writable.
    Ok(())
}

/// A new directory of the tmpfs, which nobody else can reach yet.
fn subdirectory(top: BorrowedFd<'_>, name: &Path) -> std::io::Result<OwnedFd> {
    rustix::fs::mkdirat(top, name, DIR_MODE)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(top, name, flags, Mode::empty())?)
}

fn bind(source: &Path, target: BorrowedFd<'_>) -> std::io::Result<()> {
    Ok(rustix::mount::mount_bind_recursive(source, FdPath::of(target).as_str())?)
}

/// Puts the mount's flags on a bind.
fn restrict(root: BorrowedFd<'_>, destination: &str, options: &Options) -> Result<(), Error> {
    let Some(change) = options.mount_attr() else { return Ok(()) };
    let what = || format!("set options of mount {destination:?}");
    let top = open_in_root(root, Path::new(destination), OFlags::PATH, Mode::empty()).doing(what)?;
    set_attr(top.as_fd(), false, &change).doing(what)
}
