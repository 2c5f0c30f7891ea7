//! What the registry holds: blobs, manifests, tags and referrers of repositories, on top of a storage.
//!
//! Order of every write: content first, then what makes it known (revision, referrer), the tag last. A crash between
//! two steps leaves something that nobody names; collection removes it. Order of every removal: the other way round.
//!
//! The *gate* keeps collection and pushes apart: whoever makes content known holds it shared, from the look whether
//! all parts are there until the link is written; collection takes it whole for each blob that it removes.

mod manifests;
mod referrers;
mod tags;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::RwLock;

use super::cache::Cache;
use super::digest::{Algorithm, Digest};
use super::error::{Code, Fault};
use super::manifest::{MANIFEST_MAX, Manifest};
use super::storage::{Entry, Meta, Storage};
use super::{layout, names};

pub(crate) use manifests::{Parts, Stored};

/// For how long a link is believed without a look: bounds what a second process on the same storage can hide.
const LINK_LIFETIME: Duration = Duration::from_secs(1);
const LINKS_MAX: usize = 100_000;
const MANIFEST_CACHE_BYTES: usize = 16 << 20;
/// Content never changes; the limit is only for tidiness.
const CONTENT_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// A link holds one digest.
const LINK_BYTES_MAX: u64 = 256;
/// Blobs that were touched lately and are remembered one by one.
const RECENT_MAX: usize = 200_000;

/// A link's place: which repository, which kind, which digest or tag.
type LinkKey = Box<str>;

/// All content of one registry.
pub(crate) struct Content {
    pub(crate) storage: Arc<dyn Storage>,
    /// Links as they were read; `None` that there is none is never kept.
    links: Cache<LinkKey, Digest>,
    manifests: Cache<Digest, Arc<Stored>>,
    metas: Cache<Digest, Meta>,
    pub(crate) gate: RwLock<()>,
    recent: Mutex<HashMap<Digest, Instant>>,
    /// When the table above last lost something: nothing younger than this is known to be complete.
    recent_since: Mutex<Instant>,
    /// Counts changes, for lists that are kept.
    changes: AtomicU64,
}

impl Content {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self {
            storage,
            links: Cache::new(LINKS_MAX, LINK_LIFETIME),
            manifests: Cache::new(MANIFEST_CACHE_BYTES, CONTENT_LIFETIME),
            metas: Cache::new(LINKS_MAX, CONTENT_LIFETIME),
            gate: RwLock::new(()),
            recent: Mutex::default(),
            recent_since: Mutex::new(Instant::now()),
            changes: AtomicU64::new(0),
        }
    }

    /// Reads a link, from memory if it was read lately.
    async fn link(&self, key: String) -> Result<Option<Digest>, Fault> {
        if let Some(digest) = self.links.get(key.as_str()) {
            return Ok(Some(digest));
        }
        let epoch = self.links.epoch();
        let bytes = match self.storage.read(&key, LINK_BYTES_MAX).await {
            Err(error) if error.is_absent() => return Ok(None),
            other => other?,
        };
        let digest = std::str::from_utf8(&bytes).ok().and_then(|text| Digest::parse(text.trim()));
        let digest = digest.ok_or_else(|| Fault::internal(format!("{key} does not hold a digest")))?;
        self.links.put(epoch, key.into(), digest.clone(), 1);
        Ok(Some(digest))
    }

    async fn write_link(&self, key: String, digest: &Digest) -> Result<(), Fault> {
        self.storage.write(&key, Bytes::copy_from_slice(digest.as_str().as_bytes())).await?;
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.links.forget(&key.into());
        Ok(())
    }

    async fn remove_link(&self, key: String) -> Result<(), Fault> {
        // The folder of the link goes with it, as distribution does it.
        let folder = key.strip_suffix("/link").unwrap_or(&key).to_owned();
        self.storage.remove(&folder).await?;
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.links.forget(&key.into());
        Ok(())
    }

    /// A number that grows with every change of a link.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Remembers that somebody counts on a blob: collection leaves it alone for a while.
    pub(crate) fn touch(&self, digest: &Digest) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= RECENT_MAX && !recent.contains_key(digest) {
            recent.clear();
            *self.recent_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        recent.insert(digest.clone(), Instant::now());
    }

    /// Whether a blob was touched within `grace` or since `began`, or may have been: what was touched before the start is
    /// not known.
    pub(crate) fn is_recent(&self, digest: &Digest, grace: Duration, began: Instant) -> bool {
        // Two points in time are compared, not two durations that are measured one after the other.
        let is_recent = |at: Instant| at >= began || at.elapsed() < grace;
        let since = *self.recent_since.lock().unwrap_or_else(PoisonError::into_inner);
        if is_recent(since) {
            return true;
        }
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.get(digest).is_some_and(|touched| is_recent(*touched))
    }

    /// Drops what is no longer recent.
    pub(crate) fn forget_recent(&self, grace: Duration) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|_, touched| touched.elapsed() < grace);
    }

    /// Size and age of a blob's bytes, whichever repository has it.
    pub(crate) async fn blob_meta(&self, digest: &Digest) -> Result<Option<Meta>, Fault> {
        if let Some(meta) = self.metas.get(digest) {
            return Ok(Some(meta));
        }
        let epoch = self.metas.epoch();
        match self.storage.meta(&layout::blob(digest)).await {
            Ok(meta) => {
                self.metas.put(epoch, digest.clone(), meta, 1);
                Ok(Some(meta))
            }
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a blob's bytes. For collection, which holds the gate.
    pub(crate) async fn remove_blob_bytes(&self, digest: &Digest) -> Result<(), Fault> {
        self.metas.forget(digest);
        self.manifests.forget(digest);
        self.storage.remove(&layout::blob_folder(digest)).await?;
        self.metas.forget(digest);
        self.manifests.forget(digest);
        Ok(())
    }

    /// A blob of a repository; `BLOB_UNKNOWN` if the repository does not have it.
    pub(crate) async fn blob(&self, name: &str, digest: &Digest) -> Result<Meta, Fault> {
        let unknown =
            || Fault::new(Code::BlobUnknown, "blob unknown to registry").with_detail(digest.as_str());
        self.link(layout::layer_link(name, digest)).await?.ok_or_else(unknown)?;
        let meta = self.blob_meta(digest).await?.ok_or_else(unknown)?;
        self.touch(digest);
        Ok(meta)
    }

    /// Makes a blob whose bytes are there known in a repository.
    pub(crate) async fn link_blob(&self, name: &str, digest: &Digest) -> Result<(), Fault> {
        self.touch(digest);
        self.write_link(layout::layer_link(name, digest), digest).await
    }

    /// Takes a local file whose digest was checked as a blob of a repository.
    pub(crate) async fn take_blob(
        &self,
        name: &str,
        digest: &Digest,
        file: &std::path::Path,
    ) -> Result<(), Fault> {
        let _gate = self.gate.read().await;
        self.touch(digest);
        if self.blob_meta(digest).await?.is_none() {
            self.storage.adopt(file, &layout::blob(digest)).await?;
            self.metas.forget(digest);
        }
        self.link_blob(name, digest).await
    }

    /// Makes a blob of one repository known in another. `None` if there is no such blob.
    pub(crate) async fn mount(
        &self,
        name: &str,
        from: Option<&str>,
        digest: &Digest,
    ) -> Result<Option<()>, Fault> {
        let _gate = self.gate.read().await;
        if let Some(from) = from
            && self.link(layout::layer_link(from, digest)).await?.is_none()
        {
            return Ok(None);
        }
        if self.blob_meta(digest).await?.is_none() {
            return Ok(None);
        }
        self.link_blob(name, digest).await.map(Some)
    }

    /// Forgets a blob in one repository; its bytes go with the next collection.
    pub(crate) async fn delete_blob(&self, name: &str, digest: &Digest) -> Result<(), Fault> {
        self.blob(name, digest).await?;
        self.remove_link(layout::layer_link(name, digest)).await
    }

    /// Whether a repository has ever been pushed to.
    pub(crate) async fn has_repository(&self, name: &str) -> Result<bool, Fault> {
        let entries = self.storage.list(&layout::repository(name)).await?;
        Ok(entries.iter().any(is_marker))
    }

    /// All repositories, in order.
    pub(crate) async fn repositories(&self) -> Result<Vec<String>, Fault> {
        let mut found = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let root = layout::repositories();
            let path = if folder.is_empty() { root } else { format!("{root}/{folder}") };
            let entries = self.storage.list(&path).await?;
            if !folder.is_empty() && entries.iter().any(is_marker) {
                found.push(folder.clone());
            }
            for entry in entries.iter().filter(|entry| entry.is_folder && !entry.name.starts_with('_')) {
                let name = match folder.as_str() {
                    "" => entry.name.clone(),
                    above => format!("{above}/{}", entry.name),
                };
                if names::is_repository_name(&name) {
                    folders.push(name);
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// The digests linked in `folder` (`ALG/HEX/link` below it).
    pub(crate) async fn digests_in(&self, folder: &str) -> Result<Vec<Digest>, Fault> {
        let mut found = Vec::new();
        for algorithm in Algorithm::ALL {
            let entries = self.storage.list(&format!("{folder}/{}", algorithm.as_str())).await?;
            let text = |entry: &Entry| format!("{}:{}", algorithm.as_str(), entry.name);
            found.extend(entries.iter().filter_map(|entry| Digest::parse(&text(entry))));
        }
        Ok(found)
    }

    /// A stored manifest, from memory or storage, whichever repository has it.
    pub(crate) async fn stored(&self, digest: &Digest) -> Result<Option<Arc<Stored>>, Fault> {
        if let Some(stored) = self.manifests.get(digest) {
            return Ok(Some(stored));
        }
        let epoch = self.manifests.epoch();
        let bytes = match self.storage.read(&layout::blob(digest), MANIFEST_MAX).await {
            Err(error) if error.is_absent() => return Ok(None),
            other => other?,
        };
        // distribution may hold kinds that we do not take: they are served as what they say they are.
        let (media_type, manifest) = match Manifest::read(&bytes) {
            Ok(manifest) => (manifest.media_type.to_owned(), Some(manifest)),
            Err(_) => (manifests::own_word(&bytes), None),
        };
        let cost = bytes.len() + 512;
        let stored = Arc::new(Stored { digest: digest.clone(), media_type, bytes, manifest });
        self.manifests.put(epoch, digest.clone(), stored.clone(), cost);
        Ok(Some(stored))
    }
}

/// What makes a folder a repository.
fn is_marker(entry: &Entry) -> bool {
    entry.name == "_manifests" || entry.name == "_layers"
}
