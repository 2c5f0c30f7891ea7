//! A folder, in distribution's layout.
//!
//! A small object is written beside the tree (`wharf/tmp` below the root), synced and renamed; an upload grows in its
//! repository's `_uploads` and is renamed. A folder is synced after a name in it changed. What a crash leaves is
//! in `wharf/tmp`, emptied at start, or in `_uploads`, which collection ages out.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Entry, Meta, Result, Source, Storage, StorageError, blocking};
use crate::server::layout;

/// A local folder.
pub(crate) struct FileStorage {
    root: PathBuf,
    temporary: PathBuf,
    number: AtomicU64,
}

impl FileStorage {
    /// Makes what is missing, and removes what a crash left.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let temporary = root.join("wharf/tmp");
        match fs::remove_dir_all(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::io(&temporary, error));
            }
            _ => {}
        }
        make_folders(&temporary)?;
        make_folders(&root.join(layout::repositories()))?;
        Ok(Self { root: root.to_owned(), temporary, number: AtomicU64::new(0) })
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    fn temporary_path(&self) -> PathBuf {
        self.temporary.join(self.number.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

impl Storage for FileStorage {
    fn read<'a>(&'a self, key: &'a str, limit: u64) -> BoxFuture<'a, Result<Bytes>> {
        let path = self.path(key);
        blocking(move || read_limited(&path, limit)).boxed()
    }

    fn write<'a>(&'a self, key: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<()>> {
        let (path, temporary) = (self.path(key), self.temporary_path());
        blocking(move || {
            let written = write_durably(&temporary, &bytes).and_then(|()| put_in_place(&temporary, &path));
            if written.is_err() {
                // It is refused anyway; a full disk must not fill further.
                let _gone = fs::remove_file(&temporary);
            }
            written
        })
        .boxed()
    }

    fn meta<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Meta>> {
        let path = self.path(key);
        blocking(move || {
            let found = fs::metadata(&path).map_err(|error| StorageError::io(&path, error))?;
            let modified = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            Ok(Meta { size: found.len(), modified })
        })
        .boxed()
    }

    fn open<'a>(&'a self, key: &'a str, start: u64, length: u64) -> BoxFuture<'a, Result<Source>> {
        let path = self.path(key);
        blocking(move || {
            let file = File::open(&path).map_err(|error| StorageError::io(&path, error))?;
            // The disk may start now: whoever sends the bytes then waits less. A hint, so errors do not count.
            let length = std::num::NonZeroU64::new(length);
            let _hint = rustix::fs::fadvise(&file, start, length, rustix::fs::Advice::Sequential);
            Ok(Source::File(Arc::new(file)))
        })
        .boxed()
    }

    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Entry>>> {
        let path = self.path(folder);
        blocking(move || match list_folder(&path) {
            Err(error) if error.is_absent() => Ok(Vec::new()),
            other => other,
        })
        .boxed()
    }

    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>> {
        let path = self.path(key);
        let aside = self.temporary_path();
        blocking(move || {
            // First out of sight in one step, then for good: a crash leaves no half of a folder.
            match fs::rename(&path, &aside) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                moved => moved.map_err(|error| StorageError::io(&path, error))?,
            }
            if let Some(parent) = path.parent() {
                sync_folder(parent)?;
            }
            remove_aside(&aside).map_err(|error| StorageError::io(&aside, error))
        })
        .boxed()
    }

    fn adopt<'a>(&'a self, file: &'a Path, key: &'a str) -> BoxFuture<'a, Result<()>> {
        let (file, path) = (file.to_owned(), self.path(key));
        blocking(move || {
            let opened = File::open(&file).map_err(|error| StorageError::io(&file, error))?;
            opened.sync_all().map_err(|error| StorageError::io(&file, error))?;
            put_in_place(&file, &path)
        })
        .boxed()
    }

    fn upload_folder(&self, repository: &str) -> PathBuf {
        self.path(&layout::uploads(repository))
    }

    fn upload_roots(&self) -> Vec<PathBuf> {
        vec![self.path(&layout::repositories())]
    }

    fn check(&self) -> BoxFuture<'_, Result<()>> {
        let path = self.temporary.clone();
        blocking(move || fs::metadata(&path).map(drop).map_err(|error| StorageError::io(&path, error)))
            .boxed()
    }
}

/// Removes what is out of sight. Somebody who was about to write into the folder when it was moved may still do so.
fn remove_aside(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return fs::remove_file(path);
    }
    let mut attempts = 0;
    loop {
        attempts += 1;
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && attempts < 10 => {}
            other => return other,
        }
    }
}

fn read_limited(path: &Path, limit: u64) -> Result<Bytes> {
    let io = |error| StorageError::io(path, error);
    let file = File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit {
        return Err(StorageError::TooLarge(path.display().to_string(), limit));
    }
    Ok(bytes.into())
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<()> {
    let io = |error| StorageError::io(path, error);
    let mut file = File::create(path).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.sync_all().map_err(io)
}

/// Renames a finished file to its name. The folder may vanish between its making and the rename, because somebody
/// removes the last thing in it: then once more.
fn put_in_place(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().unwrap_or(to);
    for attempt in 0.. {
        make_folders(folder)?;
        match fs::rename(from, to) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < 3 && from.exists() => {}
            Err(error) => return Err(StorageError::io(to, error)),
        }
    }
    sync_folder(folder)
}

/// Makes a folder and those above it, each entered durably in its parent.
fn make_folders(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folders(parent)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(StorageError::io(folder, error));
            }
            _ => sync_folder(parent)?,
        }
    }
    Ok(())
}

fn sync_folder(folder: &Path) -> Result<()> {
    let io = |error| StorageError::io(folder, error);
    match File::open(folder) {
        // Removed meanwhile, with all in it: nothing left to keep.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        opened => opened.map_err(io)?.sync_all().map_err(io),
    }
}

fn list_folder(path: &Path) -> Result<Vec<Entry>> {
    let io = |error| StorageError::io(path, error);
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(io)? {
        let entry = entry.map_err(io)?;
        let is_folder = entry.file_type().map_err(io)?.is_dir();
        // A name that is not text is none of ours.
        if let Ok(name) = entry.file_name().into_string() {
            entries.push(Entry { name, is_folder });
        }
    }
    Ok(entries)
}
