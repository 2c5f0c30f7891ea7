//! Id-mapped mounts (config.md, "idmap" and "ridmap"): a detached copy of the source whose owners are seen through the maps
//! of a user namespace, made by the creator, who has the privilege for it on the host's file systems.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use linux::mount::{MountAttr, attr, set_attr};
use linux::namespace;
use linux::process::{self, Fork, flags};
use types::spec::{IdMapping, Linux, Mount, Namespace, NamespaceKind};

use crate::create::end;
use crate::error::{Context, Error};
use crate::init::options::Options;
use crate::limits;

/// Whether the owners of a mount's files are to be mapped.
pub(crate) fn wanted(mount: &Mount, options: &Options) -> bool {
    options.idmap.is_some() || has_maps(mount)
}

fn has_maps(mount: &Mount) -> bool {
    !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty()
}

/// Maps the owners of `tree`, a detached mount: by the mount's own maps, or by those of the container's user namespace.
pub(crate) fn apply(tree: &OwnedFd, mount: &Mount, options: &Options, linux: &Linux) -> Result<(), Error> {
    let what = || format!("map ids of mount {:?} at {:?}", mount.source, mount.destination);
    let own = |namespace: &&Namespace| namespace.kind == NamespaceKind::User && !namespace.path.is_empty();
    let joined =
        linux.namespaces.iter().find(own).filter(|_| !has_maps(mount) && linux.uid_mappings.is_empty());
    let namespace = match joined {
        // The maps are those of the namespace that the container joins.
        Some(joined) => namespace::open(Path::new(&joined.path)).doing(|| format!("open {}", joined.path))?,
        None => {
            let (uids, gids) = maps(mount, linux)?;
            user_namespace(uids, gids)?
        }
    };
    let change = MountAttr {
        set: attr::IDMAP,
        // The number is only used by the call, during which the descriptor is open.
        userns_fd: std::os::fd::AsRawFd::as_raw_fd(&namespace) as u64,
        ..MountAttr::default()
    };
    set_attr(tree.as_fd(), options.idmap == Some(true), &change).doing(what)
}

fn maps<'a>(mount: &'a Mount, linux: &'a Linux) -> Result<(&'a [IdMapping], &'a [IdMapping]), Error> {
    let refuse = |why: &str| Err(Error::Invalid(format!("mount {:?}: {why}", mount.destination)));
    match (mount.uid_mappings.is_empty(), mount.gid_mappings.is_empty()) {
        (false, false) => Ok((&mount.uid_mappings, &mount.gid_mappings)),
        (true, true) if !linux.uid_mappings.is_empty() && !linux.gid_mappings.is_empty() => {
            Ok((&linux.uid_mappings, &linux.gid_mappings))
        }
        (true, true) => refuse("id-mapped mounts need mappings or a user namespace with mappings"),
        _ => refuse("id-mapped mounts need both uidMappings and gidMappings"),
    }
}

/// A user namespace with these maps and nobody in it.
fn user_namespace(uids: &[IdMapping], gids: &[IdMapping]) -> Result<OwnedFd, Error> {
    let what = || "make user namespace of an id-mapped mount".to_owned();
    let (outside, inside) = crate::channel::Channel::pair()?;
    match process::clone3(flags::NEWUSER, None).doing(what)? {
        Fork::Child => {
            drop(outside);
            // Ends when the creator has what it wants, or is gone.
            let _ = inside.recv();
            process::exit_now(0)
        }
        Fork::Parent { pid, pidfd } => {
            let made = limits::write_maps(pid, uids, gids)
                .and_then(|()| namespace::open(&PathBuf::from(format!("/proc/{pid}/ns/user"))).doing(what));
            end(&pidfd);
            made
        }
    }
}
