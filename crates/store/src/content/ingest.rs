//! Writing one blob.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use types::Digest;

use super::BlobInfo;
use crate::{
    error::{Error, IoContext, Result},
    hash::Sha256,
};

/// The exclusive right to write under a key.
#[derive(Debug)]
pub(super) struct Claim {
    busy: Arc<Mutex<HashSet<String>>>,
    key: String,
}

impl Claim {
    pub(super) fn new(busy: Arc<Mutex<HashSet<String>>>, key: String) -> Self {
        Self { busy, key }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// A blob that is being written: give it bytes, in order, then [`commit`](Self::commit).
#[derive(Debug)]
pub struct Ingest {
    file: File,
    path: PathBuf,
    blobs: PathBuf,
    hash: Sha256,
    offset: u64,
    expected: Option<Digest>,
    size: Option<u64>,
    /// Whether the file outlives this value.
    keep: bool,
    // Last, so that the key is free only after the file is closed.
    _claim: Claim,
}

impl Ingest {
    pub(super) fn start(
        claim: Claim,
        ingests: &Path,
        blobs: &Path,
        expected: Option<Digest>,
        size: Option<u64>,
    ) -> Result<Self> {
        let path = ingests.join(&claim.key);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .at("creating", &path)?;
        let keep = expected.is_some();
        let mut ingest = Self {
            file,
            path,
            blobs: blobs.to_owned(),
            hash: Sha256::default(),
            offset: 0,
            expected,
            size,
            keep,
            _claim: claim,
        };
        ingest.rehash()?;
        Ok(ingest)
    }

    /// Hashes what an earlier attempt left, so that the digest can go on from there.
    fn rehash(&mut self) -> Result<()> {
        let mut buffer = vec![0; 128 << 10];
        loop {
            let n = self.file.read(&mut buffer).at("reading", &self.path)?;
            if n == 0 {
                break;
            }
            self.hash.update(&buffer[..n]);
            self.offset += n as u64;
        }
        // Longer than the whole can only be wrong.
        if self.size.is_some_and(|size| self.offset > size) { self.restart() } else { Ok(()) }
    }

    /// How many bytes are there already: go on from here. Not 0 when an earlier attempt for the digest was broken off.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Where the bytes are until they have their place.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The digest of the bytes so far.
    pub fn digest(&self) -> Digest {
        self.hash.clone().finish()
    }

    /// Forgets what is there, for a source that cannot start in the middle.
    pub fn restart(&mut self) -> Result<()> {
        self.file.set_len(0).at("truncating", &self.path)?;
        self.file.seek(SeekFrom::Start(0)).at("rewinding", &self.path)?;
        self.hash = Sha256::default();
        self.offset = 0;
        Ok(())
    }

    /// Takes the next bytes. More than the promised size is refused.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.offset + bytes.len() as u64;
        if let Some(expected) = self.size.filter(|size| end > *size) {
            self.keep = false;
            return Err(Error::SizeMismatch { expected, got: end });
        }
        if let Err(error) = self.file.write_all(bytes) {
            // How much of it arrived is unknown; the hash is of what was there before.
            let _ = self.file.set_len(self.offset);
            let _ = self.file.seek(SeekFrom::Start(self.offset));
            return Err(Error::io("writing", &self.path, error));
        }
        self.hash.update(bytes);
        self.offset = end;
        Ok(())
    }

    /// Takes all of `source`.
    pub fn append_from(&mut self, source: &mut dyn io::Read) -> Result<()> {
        let mut buffer = vec![0; 128 << 10];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => self.append(&buffer[..n])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Input(error)),
            }
        }
    }

    /// Checks length and digest, flushes, and puts the blob in place. A blob with wrong bytes is thrown away; one that
    /// is merely too short stays for a later attempt.
    pub fn commit(self) -> Result<BlobInfo> {
        self.put_in_place(true)
    }

    /// The same without flushing, for what will be gone before anything that must last names it: after a loss of power
    /// its bytes may be others, and the next open throws it away, as it does what nobody names.
    pub fn commit_for_now(self) -> Result<BlobInfo> {
        self.put_in_place(false)
    }

    fn put_in_place(mut self, flush: bool) -> Result<BlobInfo> {
        if let Some(expected) = self.size.filter(|size| self.offset != *size) {
            return Err(Error::SizeMismatch { expected, got: self.offset });
        }
        let got = std::mem::take(&mut self.hash).finish();
        if let Some(expected) = self.expected.clone().filter(|expected| *expected != got) {
            self.keep = false;
            return Err(Error::DigestMismatch { expected, got });
        }
        let target = self.blobs.join(got.hex());
        self.file
            .set_permissions(fs::Permissions::from_mode(0o400))
            .at("changing the mode of", &self.path)?;
        if flush {
            self.file.sync_all().at("flushing", &self.path)?;
        }
        fs::rename(&self.path, &target).at("putting in place", &target)?;
        if flush {
            File::open(&self.blobs).and_then(|dir| dir.sync_all()).at("flushing", &self.blobs)?;
        }
        self.keep = true;
        Ok(BlobInfo { digest: got, size: self.offset })
    }

    /// For content whose digest is only known now: as [`commit`](Self::commit), but what is there already is not
    /// written and flushed again.
    pub fn commit_unless_present(mut self, expected: Option<&Digest>) -> Result<BlobInfo> {
        let got = self.digest();
        if let Some(expected) = expected.filter(|expected| **expected != got) {
            return Err(Error::DigestMismatch { expected: expected.clone(), got });
        }
        let short = self.size.is_some_and(|size| self.offset != size);
        if !short && self.blobs.join(got.hex()).exists() {
            self.keep = false;
            return Ok(BlobInfo { digest: got, size: self.offset });
        }
        self.commit()
    }

    /// Throws away what was written.
    pub fn abandon(mut self) {
        self.keep = false;
    }
}

impl Write for Ingest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        // There is nothing to go on from in what is empty.
        if !self.keep || self.offset == 0 {
            // Best effort: what stays is swept at the next open.
            let _ = fs::remove_file(&self.path);
        }
    }
}
