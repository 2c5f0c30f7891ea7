//! The out-of-memory killer: how often it struck, and a descriptor that tells when it does.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::fs::inotify;

use super::file::{error, read_key, write};
use super::{Error, Result};

pub(super) fn kills(v1: Option<&PathBuf>, v2: Option<&Path>) -> u64 {
    let v1 = v1.and_then(|memory| read_key(memory, "memory.oom_control", "oom_kill"));
    v1.or_else(|| v2.and_then(|directory| read_key(directory, "memory.events", "oom_kill"))).unwrap_or(0)
}

pub(super) fn watch(v1: Option<&PathBuf>, v2: Option<&Path>) -> Result<OwnedFd> {
    match (v1, v2) {
        (Some(memory), _) => watch_v1(memory),
        (None, Some(directory)) => modify_watch(&directory.join("memory.events")),
        (None, None) => Err(Error::Unsupported("the memory controller is not there".to_owned())),
    }
}

/// cgroup-v1/memory.rst, "OOM Control": an eventfd registered with `cgroup.event_control`.
fn watch_v1(memory: &Path) -> Result<OwnedFd> {
    let path = memory.join("memory.oom_control");
    let control = std::fs::File::open(&path).map_err(|source| error("open", &path, source))?;
    let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|errno| error("make an eventfd for", &path, errno.into()))?;
    let line = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
    write(memory, "cgroup.event_control", &line)?;
    Ok(event)
}

/// v2 files that change raise a modify event.
pub(super) fn modify_watch(path: &Path) -> Result<OwnedFd> {
    let failed = |errno: rustix::io::Errno| error("watch", path, errno.into());
    let watch =
        inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).map_err(failed)?;
    inotify::add_watch(&watch, path, inotify::WatchFlags::MODIFY).map_err(failed)?;
    Ok(watch)
}

/// Waits until `watch` has an event, and takes it.
pub(super) fn wait_readable(watch: &OwnedFd, timeout: Duration) -> Result<()> {
    let failed = |errno: rustix::io::Errno| error("wait for", Path::new("cgroup.events"), errno.into());
    let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
    rustix::event::poll(&mut [PollFd::new(watch, PollFlags::IN)], Some(&timeout)).map_err(failed)?;
    let mut events = [0u8; 512];
    match rustix::io::read(watch, &mut events) {
        Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
        Err(errno) => Err(failed(errno)),
    }
}
