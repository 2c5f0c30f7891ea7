//! The content store: blobs named by their digest, in an OCI image layout's `blobs` directory.
//!
//! A blob is in place or it is not: it is written under `ingest/`, hashed on the way, flushed, and renamed. What lies
//! in `ingest/` after a crash is either resumed by its key or swept away.

mod ingest;

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{ErrorKind, Read as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use types::Digest;

pub use ingest::Ingest;

use crate::{
    error::{Error, IoContext, Result},
    hash::sha256,
    paths,
};

/// A blob that is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobInfo {
    /// Its name.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// The blobs below one directory. Cheap to share; all methods take `&self`.
#[derive(Debug)]
pub struct ContentStore {
    blobs: PathBuf,
    ingests: PathBuf,
    busy: Arc<Mutex<HashSet<String>>>,
    next: AtomicU64,
}

impl ContentStore {
    /// Opens or makes the store below `root`.
    pub fn open(root: &Path) -> Result<Self> {
        let (blobs, ingests) = (root.join("blobs/sha256"), root.join("ingest"));
        paths::make(&blobs, 0o700)?;
        paths::make(&ingests, 0o700)?;
        Ok(Self { blobs, ingests, busy: Arc::default(), next: AtomicU64::new(0) })
    }

    /// Where the blob lies, or would.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }

    /// Starts, or resumes, writing a blob. With an expected digest the ingest is kept on drop and resumed by the next
    /// call for the same digest (see [`Ingest::offset`]); without, it is temporary. `size` bounds and checks the length.
    pub fn ingest(&self, expected: Option<&Digest>, size: Option<u64>) -> Result<Ingest> {
        let key = match expected {
            Some(digest) => digest.hex().to_owned(),
            None => {
                let nanos = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
                format!("tmp-{nanos:x}-{:x}", self.next.fetch_add(1, Ordering::Relaxed))
            }
        };
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if !busy.insert(key.clone()) {
            return Err(Error::Busy(key));
        }
        drop(busy);
        let claim = ingest::Claim::new(Arc::clone(&self.busy), key);
        Ingest::start(claim, &self.ingests, &self.blobs, expected.cloned(), size)
    }

    /// Keeps a document that is in memory.
    pub fn put(&self, bytes: &[u8]) -> Result<BlobInfo> {
        let info = BlobInfo { digest: sha256(bytes), size: bytes.len() as u64 };
        if self.contains(&info.digest)? {
            return Ok(info);
        }
        let mut ingest = self.ingest(None, Some(info.size))?;
        ingest.append(bytes)?;
        ingest.commit()
    }

    /// Gives a file that lies in the store under another name, flushed and never to be changed, its place among the
    /// blobs. It is not copied; `digest` must be its own.
    pub(crate) fn link(&self, file: &Path, digest: &Digest) -> Result<BlobInfo> {
        let path = self.path(digest);
        match fs::hard_link(file, &path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            result => {
                result.at("linking", &path)?;
                File::open(&self.blobs).and_then(|dir| dir.sync_all()).at("flushing", &self.blobs)?;
            }
        }
        let size = fs::metadata(&path).at("looking at", &path)?.len();
        Ok(BlobInfo { digest: digest.clone(), size })
    }

    /// Opens a blob for reading.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        match File::open(self.path(digest)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(Error::not_found("blob", digest.as_str()))
            }
            file => file.at("opening", self.path(digest)),
        }
    }

    /// A small blob as a whole; refused when it is longer than `limit` bytes.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = self.open_blob(digest)?;
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).at("reading", self.path(digest))?;
        if bytes.len() as u64 > limit {
            return Err(Error::TooLarge { what: format!("blob {digest}"), limit });
        }
        Ok(bytes)
    }

    /// Whether the blob is there.
    pub fn contains(&self, digest: &Digest) -> Result<bool> {
        Ok(self.info(digest)?.is_some())
    }

    /// The blob's size, if it is there.
    pub fn info(&self, digest: &Digest) -> Result<Option<BlobInfo>> {
        match fs::metadata(self.path(digest)) {
            Ok(meta) => Ok(Some(BlobInfo { digest: digest.clone(), size: meta.len() })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("looking at", self.path(digest), error)),
        }
    }

    /// Deletes a blob. Whether it was there.
    pub fn remove(&self, digest: &Digest) -> Result<bool> {
        match fs::remove_file(self.path(digest)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("removing", self.path(digest), error)),
        }
    }

    /// All blobs, with the time at which each came.
    pub fn walk(&self) -> Result<Vec<(BlobInfo, SystemTime)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.blobs).at("listing", &self.blobs)? {
            let entry = entry.at("listing", &self.blobs)?;
            let name = entry.file_name();
            let Some(Ok(digest)) = name.to_str().map(|hex| format!("sha256:{hex}").parse()) else { continue };
            // One that went away between the two calls is simply not there.
            let Ok(meta) = entry.metadata() else { continue };
            let came = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            found.push((BlobInfo { digest, size: meta.len() }, came));
        }
        Ok(found)
    }

    /// Deletes ingests nobody is writing: all temporary ones, and resumable ones last written before `older_than`.
    /// Returns the bytes freed.
    pub fn sweep_ingests(&self, older_than: SystemTime) -> Result<u64> {
        let mut freed = 0;
        for entry in fs::read_dir(&self.ingests).at("listing", &self.ingests)? {
            let entry = entry.at("listing", &self.ingests)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Held over the removal, so that nobody starts to resume the file meanwhile.
            let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            let Ok(meta) = entry.metadata() else { continue };
            let resumable = types::id::is_full_id(&name) && meta.modified().is_ok_and(|at| at >= older_than);
            if !busy.contains(&name) && !resumable {
                fs::remove_file(entry.path()).at("removing", entry.path())?;
                freed += meta.len();
            }
        }
        Ok(freed)
    }

    /// Copies a blob to `out`.
    pub fn copy_to(&self, digest: &Digest, out: &mut dyn std::io::Write) -> Result<u64> {
        let mut file = self.open_blob(digest)?;
        let mut buffer = vec![0; 128 << 10];
        let mut copied = 0;
        loop {
            let n = file.read(&mut buffer).at("reading", self.path(digest))?;
            if n == 0 {
                return Ok(copied);
            }
            out.write_all(&buffer[..n]).map_err(Error::Input)?;
            copied += n as u64;
        }
    }
}

#[cfg(test)]
mod tests;
