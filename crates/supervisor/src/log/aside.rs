//! Writing the log beside the container: Docker's log mode `non-blocking`.
//!
//! A process of its own writes the file, so that a disk that is slow, or does not answer at all, holds up that process
//! and not the container. (A thread would not do: what a supervisor forks must be the copy of a single-threaded program.)
//!
//! ```text
//! supervisor: entries ──► buffer (max-buffer-size) ──pipe──► writer: rotating file
//!                          full? the new entry is dropped     ends with the pipe
//! ```

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::file::RotatingFile;
use super::options::Limits;

/// Bytes before an entry in the pipe: its length, little endian.
const LENGTH: usize = 4;
/// One read of the pipe, in bytes: its default size.
const CHUNK: usize = 64 * 1024;

/// The supervisor's end.
#[derive(Debug)]
pub(super) struct Aside {
    pipe: OwnedFd,
    writer: OwnedFd,
    limit: usize,
    /// Entries with their lengths that the pipe has not taken.
    pending: Vec<u8>,
    sent: usize,
    dropped: u64,
    is_broken: bool,
}

impl Aside {
    /// Starts the writer of a file that can be opened. `limit` is in bytes.
    pub(super) fn start(path: &Path, limits: Limits, limit: usize) -> io::Result<Self> {
        let (ours, pipe) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&pipe, rustix::fs::OFlags::NONBLOCK)?;
        let path = path.to_owned();
        let pid = linux::aside::run_reading(ours, || i32::from(write_all(&path, limits).is_err()))?;
        let writer = linux::pidfd::open(pid)?;
        Ok(Self { pipe, writer, limit, pending: Vec::new(), sent: 0, dropped: 0, is_broken: false })
    }

    /// Takes an entry, or drops it if there is no room. What is alone has room, however long it is.
    pub(super) fn push(&mut self, entry: &[u8]) {
        let waiting = self.pending.len() - self.sent;
        if self.is_broken || (waiting > 0 && waiting + entry.len() > self.limit) {
            self.dropped += 1;
            return;
        }
        // An entry is far below 4 GiB.
        let length = u32::try_from(entry.len()).unwrap_or(u32::MAX);
        self.pending.extend_from_slice(&length.to_le_bytes());
        self.pending.extend_from_slice(entry);
    }

    /// Passes on what the pipe takes now.
    pub(super) fn flush(&mut self) {
        while self.sent < self.pending.len() && !self.is_broken {
            match rustix::io::write(&self.pipe, &self.pending[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                // The writer is gone.
                Err(_) => self.is_broken = true,
            }
        }
        if self.sent == self.pending.len() || self.is_broken {
            self.pending = Vec::new();
            self.sent = 0;
        } else if self.sent > self.limit.max(CHUNK) {
            self.pending.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// The pipe, and whether something waits for room in it.
    pub(super) fn pipe(&self) -> (BorrowedFd<'_>, bool) {
        (self.pipe.as_fd(), self.waits())
    }

    fn waits(&self) -> bool {
        self.sent < self.pending.len()
    }

    /// Entries for which there was no room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Ends the writer when it has written everything; gives up waiting for that after `patience`.
    pub(super) fn finish(mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        self.flush();
        while self.waits() && ready_until(self.pipe.as_fd(), PollFlags::OUT, deadline) {
            self.flush();
        }
        let Self { pipe, writer, .. } = self;
        drop(pipe);
        ready_until(writer.as_fd(), PollFlags::IN, deadline);
    }
}

/// Whether the descriptor became ready in time.
fn ready_until(fd: BorrowedFd<'_>, wanted: PollFlags, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::from_borrowed_fd(fd, wanted)], left.as_ref()) {
            Ok(ready) => return ready > 0,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// The writer: reads entries from its standard input to the end. What cannot be written is lost, as in the other mode.
fn write_all(path: &Path, limits: Limits) -> io::Result<()> {
    // Compressors are its children, and nobody asks how they ended.
    linux::signalfd::discard_children();
    let mut file = RotatingFile::open(path, limits)?;
    let mut input = io::stdin().lock();
    let mut buffer: Vec<u8> = Vec::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let got = match input.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        buffer.extend_from_slice(&chunk[..got]);
        let mut rest = buffer.as_slice();
        while let Some((entry, after)) = split(rest) {
            if let Ok(out) = file.entry() {
                out.extend_from_slice(entry);
            }
            rest = after;
        }
        let done = buffer.len() - rest.len();
        buffer.drain(..done);
        let _lost = file.flush();
    }
}

/// The first entry, and what follows it; `None` while it is not whole.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aside(limit: usize) -> (Aside, OwnedFd) {
        let (read, pipe) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let writer = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty());
        let aside = Aside {
            pipe,
            writer: writer.unwrap(),
            limit,
            pending: Vec::new(),
            sent: 0,
            dropped: 0,
            is_broken: false,
        };
        (aside, read)
    }

    fn taken(pipe: &OwnedFd) -> Vec<u8> {
        let mut all = Vec::new();
        let mut chunk = vec![0; CHUNK];
        while let Ok(got @ 1..) = rustix::io::read(pipe, &mut chunk) {
            all.extend_from_slice(&chunk[..got]);
        }
        all
    }

    #[test]
    fn a_full_buffer_drops_what_is_new_and_keeps_what_it_has() {
        let (mut aside, read) = aside(100);
        let filler = vec![b'x'; 256 * 1024];
        aside.push(&filler);
        aside.flush();
        assert!(aside.waits(), "the pipe holds less");
        aside.push(b"dropped");
        assert_eq!(aside.dropped(), 1);
        let mut all = Vec::new();
        while aside.waits() {
            all.extend(taken(&read));
            aside.flush();
        }
        aside.push(b"kept");
        aside.push(b"too");
        aside.flush();
        all.extend(taken(&read));
        let mut rest = all.as_slice();
        let mut entries = Vec::new();
        while let Some((entry, after)) = split(rest) {
            entries.push(entry);
            rest = after;
        }
        assert_eq!(entries, [filler.as_slice(), b"kept", b"too"]);
        assert_eq!(aside.dropped(), 1);
    }

    #[test]
    fn without_a_writer_everything_is_dropped() {
        let (mut aside, read) = aside(100);
        drop(read);
        aside.push(b"lost with it");
        aside.flush();
        aside.push(b"dropped");
        assert_eq!((aside.dropped(), aside.waits()), (1, false));
    }
}
