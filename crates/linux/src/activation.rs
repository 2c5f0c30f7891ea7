//! Sockets handed over by systemd (`sd_listen_fds(3)`): descriptors from 3 on, counted by `LISTEN_FDS`.

#![allow(unsafe_code)]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// The first descriptor that is passed.
const FIRST: RawFd = 3;
/// More than any unit file has.
const COUNT_MAX: RawFd = 64;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The sockets meant for this process, close-on-exec from now on; none the second time.
pub fn take_sockets() -> Vec<OwnedFd> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<i64>().ok());
    let is_for_us = number("LISTEN_PID") == Some(i64::from(std::process::id()));
    let count = number("LISTEN_FDS").and_then(|count| RawFd::try_from(count).ok()).unwrap_or(0);
    if !is_for_us || count <= 0 || TAKEN.swap(true, Ordering::AcqRel) {
        return Vec::new();
    }
    let is_open = |fd: &RawFd| std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok();
    (FIRST..FIRST + count.min(COUNT_MAX))
        .filter(is_open)
        .map(|fd| {
            // SAFETY: the descriptor is open (checked above), and by the protocol of sd_listen_fds(3) it is ours alone:
            // LISTEN_PID names this process, nothing else in it takes numbers from 3 on, and TAKEN lets us by once.
            let socket = unsafe { OwnedFd::from_raw_fd(fd) };
            // A descriptor that cannot be marked stays usable; the worst is that a child inherits it.
            let _ = rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC);
            socket
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn without_systemd_there_are_none() {
        assert!(super::take_sockets().is_empty());
    }
}
