//! A file that grows, and is put aside when it has grown enough.
//!
//! ```text
//! PATH   PATH.1   PATH.2   ...   PATH.(files-1)        with compression  PATH.1.gz ...
//! newest ------------------------------> oldest
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::options::Limits;

/// Bytes collected before they are written: one system call for many short lines.
const BATCH: usize = 32 * 1024;

/// The writing end. Entries are never split between files.
#[derive(Debug)]
pub(super) struct RotatingFile {
    path: PathBuf,
    limits: Limits,
    file: File,
    size: u64,
    batch: Vec<u8>,
    /// The process that compresses `PATH.1` at the moment.
    compressor: Option<OwnedFd>,
}

/// `PATH.n`, `PATH.n.gz`.
pub(super) fn rotated(path: &Path, number: u32, compressed: bool) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}{}", if compressed { ".gz" } else { "" }));
    name.into()
}

impl RotatingFile {
    pub(super) fn open(path: &Path, limits: Limits) -> io::Result<Self> {
        let file = create(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), limits, file, size, batch: Vec::new(), compressor: None })
    }

    /// Where the next entry is to be appended; the file has been rotated if that was due.
    pub(super) fn entry(&mut self) -> io::Result<&mut Vec<u8>> {
        let size = self.size + self.batch.len() as u64;
        if self.limits.size_bytes.is_some_and(|limit| size >= limit) {
            self.flush()?;
            self.rotate()?;
        } else if self.batch.len() >= BATCH {
            self.flush()?;
        }
        Ok(&mut self.batch)
    }

    /// Writes what was collected. If that fails (disk full), the entries are lost and the file stays whole.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let result = self.file.write_all(&self.batch);
        match &result {
            Ok(()) => self.size += self.batch.len() as u64,
            // Half an entry would spoil the one after it. If even this fails, readers skip the damaged line.
            Err(_) => drop(self.file.set_len(self.size)),
        }
        self.batch.clear();
        result
    }

    /// Whether more memory is held than a quiet container's log needs.
    pub(super) fn is_swollen(&self) -> bool {
        self.batch.capacity() > 4096
    }

    /// Gives back what a burst needed: this process is one of many. Nothing may be waiting to be written.
    pub(super) fn give_back(&mut self) {
        if self.batch.is_empty() {
            self.batch = Vec::new();
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.limits.files == 1 {
            // Not truncated: whoever follows the old file shall be able to finish it.
            fs::remove_file(&self.path)?;
        } else {
            self.await_compressor()?;
            let compressed = self.limits.compress;
            for number in (1..self.limits.files - 1).rev() {
                let from = rotated(&self.path, number, compressed);
                missing_is_fine(fs::rename(from, rotated(&self.path, number + 1, compressed)))?;
            }
            fs::rename(&self.path, rotated(&self.path, 1, false))?;
        }
        self.file = create(&self.path)?;
        self.size = self.file.metadata()?.len();
        if self.limits.compress {
            self.compressor = Some(compress_aside(&rotated(&self.path, 1, false))?);
        }
        Ok(())
    }

    /// `PATH.1` must be compressed before it moves on. A loop that rotates faster than we compress waits here.
    fn await_compressor(&mut self) -> io::Result<()> {
        if let Some(pidfd) = self.compressor.take() {
            use rustix::event::{PollFd, PollFlags, poll};
            while let Err(error) = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None) {
                if error != rustix::io::Errno::INTR {
                    return Err(error.into());
                }
            }
        }
        let plain = rotated(&self.path, 1, false);
        // Left by a compressor that failed, or by an earlier run with other options.
        if self.limits.compress && plain.exists() {
            compress(&plain)?;
        }
        Ok(())
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Compresses in a process of its own: the container is not held up and this process stays small. Whoever reaps this
/// process's children reaps it.
fn compress_aside(plain: &Path) -> io::Result<OwnedFd> {
    linux::pidfd::open(linux::aside::run(|| i32::from(compress(plain).is_err()))?)
}

/// `PATH.1` becomes `PATH.1.gz`, at no moment are both missing.
fn compress(plain: &Path) -> io::Result<()> {
    let mut name = plain.as_os_str().to_owned();
    name.push(".gz");
    let target = PathBuf::from(name);
    let temporary = target.with_extension("gz.tmp");
    let result = compress_to(plain, &temporary).and_then(|()| fs::rename(&temporary, &target));
    match result {
        Ok(()) => fs::remove_file(plain),
        Err(_) => fs::remove_file(&temporary).and(result),
    }
}

fn compress_to(plain: &Path, temporary: &Path) -> io::Result<()> {
    let mut input = File::open(plain)?;
    let output = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(temporary)?;
    let mut encoder = flate2::write::GzEncoder::new(output, flate2::Compression::default());
    io::copy(&mut input, &mut encoder)?;
    encoder.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn write(file: &mut RotatingFile, text: &str) {
        file.entry().unwrap().extend_from_slice(text.as_bytes());
        file.flush().unwrap();
    }

    fn limits(size: u64, files: u32, compress: bool) -> Limits {
        Limits { size_bytes: Some(size), files, compress }
    }

    #[test]
    fn files_move_up_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = RotatingFile::open(&path, limits(4, 3, false)).unwrap();
        for text in ["1111", "22", "22", "3333", "4444", "5"] {
            write(&mut file, text);
        }
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        assert_eq!((read(&path), read(&rotated(&path, 1, false)), read(&rotated(&path, 2, false))), {
            ("5".to_owned(), "4444".to_owned(), "3333".to_owned())
        });
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_single_file_starts_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = RotatingFile::open(&path, limits(4, 1, false)).unwrap();
        for text in ["1111", "2222", "3"] {
            write(&mut file, text);
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "3");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_existing_file_is_continued() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "1111").unwrap();
        let mut file = RotatingFile::open(&path, limits(4, 2, false)).unwrap();
        write(&mut file, "2");
        assert_eq!(fs::read_to_string(rotated(&path, 1, false)).unwrap(), "1111");
    }

    #[test]
    fn compressed_files_hold_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("log.1");
        let text = "some text\n".repeat(1000);
        fs::write(&plain, &text).unwrap();
        compress(&plain).unwrap();
        assert!(!plain.exists());
        let mut found = String::new();
        let packed = File::open(dir.path().join("log.1.gz")).unwrap();
        flate2::read::MultiGzDecoder::new(packed).read_to_string(&mut found).unwrap();
        assert_eq!(found, text);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
