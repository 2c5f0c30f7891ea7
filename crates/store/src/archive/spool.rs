//! Taking an archive apart: every file into the content store, every link into a map.

use std::{collections::HashMap, io::Read};

use tar::{Entry, EntryKind, Reader, TarError};
use types::Digest;

use super::{DOCUMENT_MAX, Progress};
use crate::{
    content::BlobInfo,
    error::{Error, Result},
    leases::{Hold, Resource},
    store::Store,
};

/// The documents that say what is in an archive; they are no blobs.
const DOCUMENTS: &[&str] = &["manifest.json", "index.json", "oci-layout", "repositories"];
/// Files in one archive. An image has at most 127 layers, each with three files in the old format.
const FILES_MAX: usize = 1 << 16;
/// Links that point to links.
const HOPS_MAX: usize = 8;
/// How often progress is told.
const REPORT: u64 = 1 << 20;

/// What was in an archive.
#[derive(Debug, Default)]
pub(super) struct Spool {
    documents: HashMap<String, Vec<u8>>,
    files: HashMap<String, BlobInfo>,
    links: HashMap<String, String>,
}

impl Spool {
    /// One of the documents at the top of the archive.
    pub(super) fn document(&self, name: &str) -> Option<&[u8]> {
        self.documents.get(name).map(Vec::as_slice)
    }

    /// The blob that was the file at `path`, or at the end of the links there.
    pub(super) fn file(&self, path: &str) -> Result<&BlobInfo> {
        let missing = || Error::Invalid(format!("archive has no file {path}"));
        let mut at = normal(path, path)?;
        for _ in 0..HOPS_MAX {
            if let Some(file) = self.files.get(&at) {
                return Ok(file);
            }
            at.clone_from(self.links.get(&at).ok_or_else(missing)?);
        }
        Err(missing())
    }
}

/// Reads the archive to its end.
pub(super) fn read(
    store: &Store,
    hold: &Hold,
    archive: &mut dyn Read,
    progress: &mut dyn FnMut(Progress),
) -> Result<Spool> {
    let mut spool = Spool::default();
    let mut counted = Counted { inner: archive, read: 0, reported: 0, progress };
    let mut reader = Reader::new(&mut counted as &mut dyn Read);
    while let Some(entry) = reader.next_entry()? {
        let name = text(&entry.path)?;
        let path = normal(name, name)?;
        if spool.files.len() + spool.links.len() >= FILES_MAX {
            return Err(Error::TooLarge { what: "number of files".to_owned(), limit: FILES_MAX as u64 });
        }
        match entry.kind {
            EntryKind::File if entry.sparse.is_some() => {
                return Err(Error::Unsupported(format!("sparse file {path} in an image archive")));
            }
            EntryKind::File if DOCUMENTS.contains(&path.as_str()) => {
                let document = document(&path, &entry, &mut reader)?;
                spool.documents.insert(path, document);
            }
            EntryKind::File => {
                let info = file(store, hold, &path, &entry, &mut reader)?;
                spool.files.insert(path, info);
            }
            EntryKind::Symlink => {
                // Relative to the directory that the link is in.
                let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                let target = normal(&format!("{parent}/{}", text(&entry.link)?), &path)?;
                spool.links.insert(path, target);
            }
            EntryKind::HardLink => {
                let target = normal(text(&entry.link)?, &path)?;
                spool.links.insert(path, target);
            }
            // Directories need no mention, and nothing else belongs into an image archive.
            _ => {}
        }
    }
    // A compressed stream is checked at its end.
    std::io::copy(&mut reader.into_inner(), &mut std::io::sink()).map_err(TarError::from)?;
    Ok(spool)
}

fn document(path: &str, entry: &Entry, reader: &mut Reader<&mut dyn Read>) -> Result<Vec<u8>> {
    if entry.size > DOCUMENT_MAX {
        return Err(Error::TooLarge { what: path.to_owned(), limit: DOCUMENT_MAX });
    }
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(TarError::from)?;
    Ok(bytes)
}

fn file(
    store: &Store,
    hold: &Hold,
    path: &str,
    entry: &Entry,
    reader: &mut Reader<&mut dyn Read>,
) -> Result<BlobInfo> {
    // In an image layout the name is a promise, kept or refused while the bytes come in.
    let promised: Option<Digest> =
        path.strip_prefix("blobs/sha256/").and_then(|hex| format!("sha256:{hex}").parse().ok());
    if let Some(digest) = &promised {
        hold.pin(Resource::Blob(digest.clone()));
    }
    let mut ingest = store.content().ingest(None, Some(entry.size))?;
    ingest.append_from(reader).map_err(|error| match error {
        Error::Input(error) => TarError::from(error).into(),
        error => error,
    })?;
    let info = ingest.commit_unless_present(promised.as_ref())?;
    hold.pin(Resource::Blob(info.digest.clone()));
    Ok(info)
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes)
        .map_err(|_| Error::Invalid(format!("name {:?} is not text", String::from_utf8_lossy(bytes))))
}

/// A path without `.` and `..`; one that leaves the archive is refused.
fn normal(path: &str, shown: &str) -> Result<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return Err(Error::Breakout(format!("{shown:?} is outside of the archive")));
                }
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// Tells how much has come in.
struct Counted<'a> {
    inner: &'a mut dyn Read,
    read: u64,
    reported: u64,
    progress: &'a mut dyn FnMut(Progress),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read += n as u64;
        if self.read - self.reported >= REPORT {
            self.reported = self.read;
            (self.progress)(Progress::Reading { read: self.read });
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_within_the_archive_only() {
        let check = |path: &str, want: Option<&str>| {
            assert_eq!(normal(path, path).ok().as_deref(), want, "{path}");
        };
        check("a/b", Some("a/b"));
        check("./a//../b", Some("b"));
        check("/a", Some("a"));
        check("a/../../b", None);
        let mut spool = Spool::default();
        spool.links.insert("a".to_owned(), "b".to_owned());
        spool.links.insert("b".to_owned(), "a".to_owned());
        assert!(spool.file("a").is_err(), "a loop ends");
        assert!(spool.file("c").is_err());
    }
}
