//! Waiting for a log to grow.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// How often to look where the kernel has no inotify instance left (128 per user by default).
const POLL_MS: i64 = 250;

/// A descriptor that becomes readable when a log may have grown.
#[derive(Debug)]
pub(super) enum Watch {
    Inotify(OwnedFd),
    Timer(OwnedFd),
}

impl Watch {
    /// Watches the directory of a log: growth, and the new file after a rotation.
    pub(super) fn directory(directory: &Path) -> io::Result<Self> {
        let wanted = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        let fd = match inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK) {
            Ok(fd) => fd,
            Err(_) => return Self::timer(POLL_MS),
        };
        match inotify::add_watch(&fd, directory, wanted) {
            Ok(_) => Ok(Self::Inotify(fd)),
            Err(rustix::io::Errno::NOSPC) => Self::timer(POLL_MS),
            Err(error) => Err(io::Error::new(
                io::Error::from(error).kind(),
                format!("watch {}: {error}", directory.display()),
            )),
        }
    }

    /// Never readable.
    pub(super) fn never() -> io::Result<Self> {
        Self::timer(0)
    }

    fn timer(interval_ms: i64) -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let interval = Timespec { tv_sec: 0, tv_nsec: interval_ms * 1_000_000 };
        timerfd_settime(
            &fd,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: interval, it_value: interval },
        )?;
        Ok(Self::Timer(fd))
    }

    /// Forgets what has been seen. What happens from here on makes the descriptor readable again.
    pub(super) fn clear(&self) -> io::Result<()> {
        let mut events = [0; 4096];
        loop {
            match rustix::io::read(self.as_fd(), &mut events) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let (Self::Inotify(fd) | Self::Timer(fd)) = self;
        fd.as_fd()
    }
}
