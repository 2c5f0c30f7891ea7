//! Processes by descriptor: signals and exit codes without the race of reused numbers.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// As a shell tells it: the code, or 128 plus the signal.
    pub fn code(self) -> i32 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal(signal) => 128 + signal,
        }
    }
}

/// Opens a process by number.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// Sends a signal by number, real-time ones included.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let signal = Signal::from_named_raw(signal).map_or_else(|| raw_signal(signal), Ok)?;
    Ok(rustix::process::pidfd_send_signal(pidfd, signal)?)
}

#[allow(unsafe_code)]
fn raw_signal(signal: i32) -> io::Result<Signal> {
    if !(34..=64).contains(&signal) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: 34 to 64 are the real-time signals that the C library leaves to programs.
    Ok(unsafe { Signal::from_raw_unchecked(signal) })
}

/// Whether the process has ended, reaped or not: its descriptor is readable then (pidfd_open(2)).
pub fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(&pidfd, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

/// Waits for a child and reaps it.
pub fn wait(pidfd: BorrowedFd<'_>) -> io::Result<Exit> {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(None) => return Err(io::ErrorKind::WouldBlock.into()),
            Ok(Some(status)) => {
                return Ok(match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Exit::Code(code),
                    (None, signal) => Exit::Signal(signal.unwrap_or(0)),
                });
            }
        }
    }
}

/// Whether the process has exited, waiting up to `timeout_ms`.
pub fn exited_within(pidfd: BorrowedFd<'_>, timeout_ms: u64) -> io::Result<bool> {
    let timeout =
        Timespec { tv_sec: (timeout_ms / 1000) as i64, tv_nsec: (timeout_ms % 1000 * 1_000_000) as i64 };
    let mut fds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
    Ok(poll(&mut fds, Some(&timeout))? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_child_is_seen_and_reaped() {
        let mut child = std::process::Command::new("/bin/sleep").arg("100").spawn().unwrap();
        let pidfd = open(child.id() as i32).unwrap();
        assert!(!exited_within(pidfd.as_fd(), 0).unwrap());
        send_signal(pidfd.as_fd(), 15).unwrap();
        assert!(exited_within(pidfd.as_fd(), 10_000).unwrap());
        assert_eq!(wait(pidfd.as_fd()).unwrap().code(), 143);
        assert!(child.try_wait().is_err(), "already reaped");
    }

    #[test]
    fn numbers_that_are_no_signals_are_refused() {
        let me = open(std::process::id() as i32).unwrap();
        for signal in [-1, 32, 33, 65] {
            assert!(send_signal(me.as_fd(), signal).is_err(), "{signal}");
        }
    }
}
