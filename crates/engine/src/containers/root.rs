//! A look at a container's files from outside, volumes and bind mounts included.
//!
//! Running: through `/proc/PID/root`, which leads into its mount namespace. Not running: its root file system is
//! mounted in a namespace of a thread that is made for that, and goes with it. Either way there is one descriptor, and
//! every path is resolved below it by `openat2`: a link in the container never leads to the host.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use linux::fs::open_in_root;
use rustix::fs::{Mode, OFlags};
use tokio::sync::oneshot;
use types::{Error, Result};

use super::record::Record;
use super::table::Handle;
use super::{Shared, spec, start};

/// As many links as the kernel follows.
const LINKS_MAX: usize = 40;

/// Runs `work` on the root of a container, in a thread of its own. The answer is lost only if that thread dies.
pub(crate) fn with_root<T: Send + 'static>(
    shared: &Arc<Shared>,
    handle: &Handle,
    work: impl FnOnce(BorrowedFd<'_>, &Record) -> Result<T> + Send + 'static,
) -> Result<oneshot::Receiver<Result<T>>> {
    let (sender, receiver) = oneshot::channel();
    let (shared, handle) = (shared.clone(), handle.clone());
    // Who uses the volumes of a container that does not run.
    let visitor = types::id::hex(&crate::random::bytes::<32>()?);
    crate::aside("files", move || {
        // Of one that runs, the files are seen as it sees them, and nobody has to wait.
        let runs = handle.record().state.run().is_some();
        let _not_started = (!runs).then(|| handle.files.read().unwrap_or_else(PoisonError::into_inner));
        let record = handle.record();
        let done = open(&shared, &record, &visitor).and_then(|root| work(root.as_fd(), &record));
        shared.volumes.detach_all(&visitor);
        // Nobody waits any more when the client has gone.
        let _unread = sender.send(done);
    })?;
    Ok(receiver)
}

/// The answer of [`with_root`].
pub(crate) async fn answer<T>(waiting: oneshot::Receiver<Result<T>>) -> Result<T> {
    waiting.await.unwrap_or_else(|_| Err(Error::internal("reading the container's files was interrupted")))
}

fn open(shared: &Shared, record: &Record, visitor: &str) -> Result<OwnedFd> {
    if let Some(root) = of_running(shared, record) {
        return Ok(root);
    }
    let rootfs = shared.store.snapshots().mounts(record.id.as_str())?;
    runtime::view(&shared.rootfs(), &rootfs, &mounts(shared, record, visitor)?).map_err(Error::internal)
}

/// Opened first, then asked whether the process is still the container's: its id may have been given to another.
fn of_running(shared: &Shared, record: &Record) -> Option<OwnedFd> {
    let pid = record.state.run()?.pid;
    let root = linux::fs::open_root(Path::new(&format!("/proc/{pid}/root"))).ok()?;
    shared.client(&record.id).status().is_ok_and(|status| status.pid == pid).then_some(root)
}

/// What would be mounted if it ran, but for what is only there while it runs.
fn mounts(shared: &Shared, record: &Record, visitor: &str) -> Result<Vec<types::spec::Mount>> {
    let mut all = Vec::new();
    for mount in record.mounts.iter().filter(|mount| mount.point.kind != "tmpfs") {
        all.push(spec::mount_of(&start::resolve_mount(shared, mount, visitor)?)?);
    }
    for name in ["resolv.conf", "hostname", "hosts"] {
        let (file, target) = (shared.data_dir(&record.id).join(name), format!("/etc/{name}"));
        if file.exists() && !record.mounts.iter().any(|mount| mount.point.destination == target) {
            all.push(spec::bind_file(&file.to_string_lossy(), &target));
        }
    }
    all.sort_by_key(|mount| mount.destination.matches('/').count());
    Ok(all)
}

/// An absolute path without links. What does not exist is taken as it stands, as Docker's `FollowSymlinkInScope` does.
pub(crate) fn follow(root: BorrowedFd<'_>, path: &Path) -> PathBuf {
    let words = |path: &Path| -> Vec<std::ffi::OsString> {
        path.iter().rev().filter(|word| *word != "/" && *word != ".").map(ToOwned::to_owned).collect()
    };
    let mut waiting = words(path);
    let mut done = PathBuf::from("/");
    let mut links = 0;
    while let Some(word) = waiting.pop() {
        if word == ".." {
            done.pop();
            continue;
        }
        done.push(&word);
        if links < LINKS_MAX
            && let Ok(found) = open_in_root(root, &done, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())
            && let Ok(target) = rustix::fs::readlinkat(&found, "", Vec::new())
        {
            links += 1;
            done.pop();
            let target = PathBuf::from(std::ffi::OsString::from_vec(target.into_bytes()));
            if target.is_absolute() {
                done = PathBuf::from("/");
            }
            waiting.extend(words(&target));
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_within_the_root() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir_all(at("a/b")).unwrap();
        symlink("/a", at("abs")).unwrap();
        symlink("../../../..", at("a/up")).unwrap();
        symlink("nowhere", at("broken")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let fd = linux::fs::open_root(root.path()).unwrap();
        for (path, want) in [
            ("/", "/"),
            ("/abs/b", "/a/b"),
            ("/a/up/abs", "/a"),
            ("/broken", "/nowhere"),
            ("/no/such", "/no/such"),
            ("/../..", "/"),
            ("/loop", "/loop"),
        ] {
            assert_eq!(follow(fd.as_fd(), Path::new(path)), Path::new(want), "{path}");
        }
    }
}
