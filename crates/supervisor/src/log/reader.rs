//! Reading a log: the last lines, a span of time, or what comes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use types::StreamKind;

use super::LogSpec;

/// Which entries a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Select {
    /// Go on when the end is reached, until [`Reader::finish`].
    pub follow: bool,
    /// Start with the last so many entries; `None`: with the first.
    pub tail: Option<u64>,
    /// Only entries of this time or later; nanoseconds since 1970.
    pub since: Option<i64>,
    /// Only entries of this time or earlier; the first later one ends the log.
    pub until: Option<i64>,
    /// Entries of stdout.
    pub stdout: bool,
    /// Entries of stderr.
    pub stderr: bool,
}

impl Default for Select {
    fn default() -> Self {
        Self { follow: false, tail: None, since: None, until: None, stdout: true, stderr: true }
    }
}

/// One entry: a line, or 16 KiB of a longer one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it came from.
    pub stream: StreamKind,
    /// Nanoseconds since 1970, UTC.
    pub time: i64,
    /// The bytes, with the newline if there was one (a part of a longer line has none).
    pub line: Vec<u8>,
    /// What the log's options `labels`, `env`, `tag` stored with it.
    pub attrs: Vec<(String, String)>,
}

/// What a reader has to say.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// An entry.
    Entry(Entry),
    /// Nothing at the moment: wait until the reader's descriptor is readable, then ask again. Only when following.
    Pending,
    /// There is nothing more, and will not be.
    End,
}

/// Reads a log while its supervisor writes it. Blocking, but only on the disk.
///
/// To follow: call [`Reader::next`] until it says [`Next::Pending`], then wait for the descriptor
/// ([`AsFd`], an inotify: poll it or give it to tokio's `AsyncFd`), and again. When the container has ended (its exit was
/// announced), call [`Reader::finish`] and go on until [`Next::End`].
#[derive(Debug)]
pub struct Reader {
    inotify: std::os::fd::OwnedFd,
}

impl Reader {
    /// Opens a log. A file that does not exist (yet) is an empty log.
    /// [`io::ErrorKind::Unsupported`] for a driver that cannot be read: `configured logging driver does not support reading`.
    pub fn open(spec: &LogSpec, select: Select) -> io::Result<Self> {
        let _ = select;
        Err(io::Error::other(format!("reading {:?} is not implemented", spec.path)))
    }

    /// The next entry.
    // Not an `Iterator`: following needs three answers.
    #[expect(clippy::should_implement_trait, reason = "three answers, and errors")]
    pub fn next(&mut self) -> io::Result<Next> {
        Ok(Next::End)
    }

    /// Nothing will be written any more: read the rest, then end.
    pub fn finish(&mut self) {}
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
