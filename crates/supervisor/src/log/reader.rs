//! Reading a log: the last lines, a span of time, or what comes.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use types::StreamKind;

use super::file::rotated;
use super::follow::Watch;
use super::options::Limits;
use super::source::{Format, Source};
use super::{LogDriver, LogSpec};

/// How often a listing may collide with a rotation before we give up.
const LIST_TRIES: usize = 100;

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
    select: Select,
    path: PathBuf,
    format: Format,
    files: u32,
    /// Oldest first; the last is the one that grows.
    sources: VecDeque<Source>,
    watch: Watch,
    finished: bool,
    ended: bool,
    last: Place,
    resume: Option<Place>,
}

/// A place in the sequence of all entries that does not depend on files: after the first `count` entries of `time`.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    time: i64,
    count: u64,
}

impl Reader {
    /// Opens a log. A file that does not exist (yet) is an empty log.
    /// [`io::ErrorKind::Unsupported`] for a driver that cannot be read, in Docker's words.
    pub fn open(spec: &LogSpec, select: Select) -> io::Result<Self> {
        let format = match spec.driver {
            LogDriver::JsonFile => Format::Json,
            LogDriver::Local => Format::Local,
            LogDriver::None => {
                let why = "configured logging driver does not support reading";
                return Err(io::Error::new(io::ErrorKind::Unsupported, why));
            }
        };
        let directory = spec.path.parent().unwrap_or(Path::new("."));
        let mut reader = Self {
            select,
            path: spec.path.clone(),
            format,
            files: Limits::parse(spec.driver, &spec.options).map_or(1, |limits| limits.files),
            sources: VecDeque::new(),
            // Before the first look, so that nothing falls in between.
            watch: if select.follow { Watch::directory(directory)? } else { Watch::never()? },
            finished: false,
            ended: false,
            last: Place::default(),
            resume: None,
        };
        reader.sources = reader.list()?.into_iter().map(|found| found.source).collect();
        if !select.follow {
            for source in &mut reader.sources {
                source.end_here()?;
            }
        }
        match select.tail {
            Some(wanted) => reader.skip_to_tail(wanted)?,
            None => reader.skip_old_files()?,
        }
        Ok(reader)
    }

    /// The next entry.
    #[expect(clippy::should_implement_trait, reason = "an iterator has no third answer")]
    pub fn next(&mut self) -> io::Result<Next> {
        while !self.ended {
            let entry = match self.sources.front_mut() {
                Some(source) => source.next()?,
                None => None,
            };
            match entry {
                Some(entry) if self.wants(&entry) => return Ok(Next::Entry(entry)),
                Some(_) => {}
                None if self.sources.len() > 1 => drop(self.sources.pop_front()),
                None if !self.select.follow => self.ended = true,
                None => {
                    self.watch.clear()?;
                    if !self.reread()? {
                        if self.finished {
                            self.ended = true;
                        } else {
                            return Ok(Next::Pending);
                        }
                    }
                }
            }
        }
        Ok(Next::End)
    }

    /// Nothing will be written any more: read the rest, then end.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    fn wants(&mut self, entry: &Entry) -> bool {
        if let Some(resume) = &mut self.resume {
            if entry.time < resume.time {
                return false;
            }
            if entry.time == resume.time && resume.count > 0 {
                resume.count -= 1;
                return false;
            }
            self.resume = None;
        }
        if entry.time == self.last.time {
            self.last.count += 1;
        } else {
            self.last = Place { time: entry.time, count: 1 };
        }
        if self.select.until.is_some_and(|until| entry.time > until) {
            self.ended = true;
            return false;
        }
        let stream = if entry.stream == StreamKind::Stderr { self.select.stderr } else { self.select.stdout };
        stream && self.select.since.is_none_or(|since| entry.time >= since)
    }

    /// At the end of the file that grows: whether there is more to read after all, here or in a newer file.
    fn reread(&mut self) -> io::Result<bool> {
        let Some(current) = self.sources.front_mut() else {
            self.sources = self.list()?.into_iter().map(|found| found.source).collect();
            return Ok(!self.sources.is_empty());
        };
        let Some(mine) = current.file().map(File::metadata).transpose()? else { return Ok(false) };
        let there = match std::fs::metadata(&self.path) {
            Ok(there) => there.ino(),
            // Between the two steps of a rotation: the new file will wake us.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.finished => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => mine.ino(),
            Err(error) => return Err(error),
        };
        if !current.at_end()? {
            return Ok(true);
        }
        if there != mine.ino() {
            self.move_on(mine.ino())?;
            return Ok(true);
        }
        Ok(false)
    }

    /// The current file was rotated away: go on with those that are newer.
    fn move_on(&mut self, current: u64) -> io::Result<()> {
        let mut found = self.list()?;
        match found.iter().position(|found| found.inode == Some(current)) {
            Some(at) => drop(found.drain(..=at)),
            // Compressed or deleted meanwhile: find the place by its time. A log of one file has only newer entries.
            None => self.resume = (self.files > 1).then_some(self.last),
        }
        self.sources = found.into_iter().map(|found| found.source).collect();
        Ok(())
    }

    /// The files of the log, oldest first, at one moment between rotations.
    fn list(&self) -> io::Result<Vec<Listed>> {
        for _ in 0..LIST_TRIES {
            let Some(newest) = open(&self.path)? else { return Ok(Vec::new()) };
            let inode = newest.metadata()?.ino();
            let mut found = vec![Listed { inode: Some(inode), source: Source::plain(newest, self.format) }];
            for number in 1..self.files {
                if let Some(file) = open(&rotated(&self.path, number, false))? {
                    let inode = file.metadata()?.ino();
                    found.push(Listed { inode: Some(inode), source: Source::plain(file, self.format) });
                } else if let Some(file) = open(&rotated(&self.path, number, true))? {
                    found.push(Listed { inode: None, source: Source::gzip(file, self.format) });
                }
            }
            if std::fs::metadata(&self.path).is_ok_and(|there| there.ino() == inode) {
                found.reverse();
                return Ok(found);
            }
        }
        Err(io::Error::other(format!("{}: rotated faster than it can be opened", self.path.display())))
    }

    fn skip_to_tail(&mut self, wanted: u64) -> io::Result<()> {
        let mut missing = wanted;
        for at in (0..self.sources.len()).rev() {
            missing -= self.sources[at].tail(missing)?;
            if missing == 0 {
                self.sources.drain(..at);
                break;
            }
        }
        Ok(())
    }

    /// A file last written before `since` has nothing to say.
    fn skip_old_files(&mut self) -> io::Result<()> {
        let Some(since) = self.select.since else { return Ok(()) };
        while self.sources.len() > 1 {
            let Some(file) = self.sources.front().and_then(Source::file) else { return Ok(()) };
            let written = file.metadata()?;
            if written.mtime().saturating_mul(1_000_000_000).saturating_add(written.mtime_nsec()) >= since {
                return Ok(());
            }
            self.sources.pop_front();
        }
        Ok(())
    }
}

struct Listed {
    /// Of an uncompressed file.
    inode: Option<u64>,
    source: Source,
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
