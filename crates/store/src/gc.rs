//! What nobody needs is deleted, and what a crash left half done is undone.

use std::{
    collections::HashSet,
    fs,
    time::{Duration, SystemTime},
};

use types::Digest;

use crate::{
    error::{IoContext, Result},
    images::{ImageRecord, Removed},
    leases::Resource,
    snapshot::{Kind, SnapshotInfo},
    store::Store,
};

/// A broken-off download is kept this long for another attempt.
const RESUMABLE_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether operations may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Opening,
    Running,
}

/// What a sweep deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Blobs that no image names.
    pub blobs: u64,
    /// Snapshots that neither image, container nor snapshot needs.
    pub snapshots: u64,
    /// Bytes of both and of partial downloads.
    pub bytes: u64,
}

/// What images need.
struct Needed {
    blobs: HashSet<Digest>,
    layers: HashSet<Digest>,
}

impl Needed {
    fn by(images: &[ImageRecord]) -> Self {
        let mut needed = Self { blobs: HashSet::new(), layers: HashSet::new() };
        for image in images {
            needed.blobs.extend(blobs(image));
            needed.layers.extend(image.layers.iter().map(|layer| layer.chain_id.clone()));
        }
        needed
    }
}

/// Config, manifest and layers of an image.
fn blobs(image: &ImageRecord) -> impl Iterator<Item = Digest> {
    let manifest = image.manifest.iter().map(|manifest| &manifest.digest);
    let layers = image.layers.iter().filter_map(|layer| layer.blob.as_ref()).map(|blob| &blob.digest);
    std::iter::once(&image.id).chain(manifest).chain(layers).cloned()
}

impl Store {
    /// Deletes blobs, snapshots and partial downloads that no image, lease or [hold](crate::Hold) needs. Nothing has to
    /// stop for it.
    pub fn sweep(&self) -> Result<Swept> {
        self.sweep_all(RESUMABLE_FOR)
    }

    /// The same for somebody who wants room: downloads that were broken off go, too, however young they are.
    pub fn prune(&self) -> Result<Swept> {
        self.sweep_all(Duration::ZERO)
    }

    fn sweep_all(&self, resumable_for: Duration) -> Result<Swept> {
        let mut swept = Swept::default();
        let needed = Needed::by(&self.images().list()?);
        // Files first: on a full disk these make the room that the database needs to forget a snapshot.
        self.sweep_blobs(&needed, &mut swept)?;
        let now = SystemTime::now();
        swept.bytes += self.content().sweep_ingests(now.checked_sub(resumable_for).unwrap_or(now))?;
        self.sweep_snapshots(&needed, When::Running, &mut swept)?;
        Ok(swept)
    }

    /// What opening does: whatever has no owner after a crash goes.
    pub(crate) fn recover(&self) -> Result<()> {
        let tmp = self.paths().tmp();
        for entry in fs::read_dir(&tmp).at("listing", &tmp)? {
            let entry = entry.at("listing", &tmp)?;
            self.trash.discard(&entry.path())?;
        }
        let needed = Needed::by(&self.images().list()?);
        self.sweep_snapshots(&needed, When::Opening, &mut Swept::default())?;
        self.snapshots().sweep()?;
        self.volumes().recover()?;
        self.trash.empty();
        self.sweep().map(drop)
    }

    /// Layers and blobs of an image that was removed, as far as nobody else uses them.
    pub(crate) fn release(&self, image: &ImageRecord) -> Result<Removed> {
        let needed = Needed::by(&self.images().list()?);
        let mut removed = Removed::default();
        for layer in image.layers.iter().rev() {
            if needed.layers.contains(&layer.chain_id) || !self.remove_snapshot(layer.chain_id.as_str())? {
                break;
            }
            removed.bytes += layer.bytes;
            removed.layers.push(layer.chain_id.clone());
        }
        for digest in blobs(image).filter(|digest| !needed.blobs.contains(digest)) {
            self.remove_blob(&digest, None)?;
        }
        Ok(removed)
    }

    /// Deletes the snapshot unless it has children, leases or pins. Whether it is gone.
    fn remove_snapshot(&self, key: &str) -> Result<bool> {
        let resource = Resource::Snapshot(key.to_owned());
        // Held, so that nobody pins it between the look and the removal. The tree itself goes later.
        let pins = self.pins.lock();
        if pins.is_pinned(&resource) || !self.leases().holders(&resource)?.is_empty() {
            return Ok(false);
        }
        match self.snapshots().remove(key) {
            Ok(()) => Ok(true),
            Err(crate::Error::InUse { .. }) => Ok(false),
            Err(error) if error.is_not_found() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Deletes the blob unless an image, lease, pin or (if it came lately) a hold needs it: at once in a sweep, which
    /// says when it `came`, else in the background. Whether it is gone.
    fn remove_blob(&self, digest: &Digest, came: Option<SystemTime>) -> Result<bool> {
        let resource = Resource::Blob(digest.clone());
        let pins = self.pins.lock();
        let recent = came.is_some_and(|came| pins.oldest_hold().is_some_and(|oldest| came >= oldest));
        // The images are asked again: one may have come since the caller looked.
        let needed = recent
            || pins.is_pinned(&resource)
            || !self.leases().holders(&resource)?.is_empty()
            || self.images().names_blob(digest)?;
        if needed {
            return Ok(false);
        }
        if came.is_none() {
            // Somebody waits, and freeing the blocks of a large file takes a while.
            self.trash.discard(&self.content().path(digest))?;
            return Ok(true);
        }
        self.content().remove(digest)
    }

    fn sweep_snapshots(&self, needed: &Needed, when: When, swept: &mut Swept) -> Result<()> {
        let mut all = self.snapshots().walk()?;
        // Children come after their parents in time, so they go first. A layer that was there before its parent makes
        // another round necessary.
        all.sort_by(|a, b| b.created_at.cmp(&a.created_at));
        loop {
            let mut again = Vec::new();
            let mut progress = false;
            for info in all {
                if self.is_needed(needed, when, &info)? {
                    continue;
                }
                if self.remove_snapshot(&info.key)? {
                    swept.snapshots += 1;
                    swept.bytes += info.usage.bytes;
                    progress = true;
                } else {
                    again.push(info);
                }
            }
            if !progress {
                return Ok(());
            }
            all = again;
        }
    }

    fn is_needed(&self, needed: &Needed, when: When, info: &SnapshotInfo) -> Result<bool> {
        if info.kind != Kind::Committed {
            // An active snapshot belongs to whoever made it, perhaps this very moment. After a restart only those of
            // containers still have an owner.
            if when == When::Running {
                return Ok(true);
            }
            let container = self.db().records(crate::RecordKind::Container).get(&info.key)?.is_some();
            let leased = !self.leases().holders(&Resource::Snapshot(info.key.clone()))?.is_empty();
            return Ok(container || leased);
        }
        let named = info.key.parse().is_ok_and(|chain_id| needed.layers.contains(&chain_id));
        Ok(named || self.is_recent(&info.created_at))
    }

    /// Whether something made at this time may belong to a hold.
    fn is_recent(&self, created_at: &str) -> bool {
        let Some(oldest) = self.pins.lock().oldest_hold() else { return false };
        let format = &time::format_description::well_known::Rfc3339;
        time::OffsetDateTime::parse(created_at, format).is_ok_and(|at| SystemTime::from(at) >= oldest)
    }

    fn sweep_blobs(&self, needed: &Needed, swept: &mut Swept) -> Result<()> {
        for (blob, came) in self.content().walk()? {
            if !needed.blobs.contains(&blob.digest) && self.remove_blob(&blob.digest, Some(came))? {
                swept.blobs += 1;
                swept.bytes += blob.size;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hold_made_or_pinned_is_not_swept() {
        let dir = tempfile::tempdir().unwrap();
        let options = crate::Options { snapshotter: Some("copy".to_owned()) };
        let store = Store::open_with(dir.path(), &options).unwrap();
        let put = |text: &str| store.content().put(text.as_bytes()).unwrap().digest;
        let make = |name: &str| {
            store.snapshots().prepare("active", None).unwrap();
            store.snapshots().commit(name, "active", None).unwrap();
        };
        let (old, pinned, leased) = (put("old"), put("pinned"), put("leased"));
        make("old");
        make("pinned");
        // The clock of file times ticks a few hundred times a second.
        std::thread::sleep(Duration::from_millis(20));
        let hold = store.hold();
        hold.pin(Resource::Blob(pinned.clone()));
        hold.pin(Resource::Snapshot("pinned".to_owned()));
        store.leases().add("x", &Resource::Blob(leased.clone())).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let new = put("new");
        make("new");
        store.sweep().unwrap();
        let has = |digest| store.content().contains(digest).unwrap();
        assert_eq!([&old, &pinned, &leased, &new].map(has), [false, true, true, true]);
        let keys = |store: &Store| -> Vec<String> {
            store.snapshots().walk().unwrap().into_iter().map(|info| info.key).collect()
        };
        assert_eq!(keys(&store), ["pinned", "new"]);
        drop(hold);
        let swept = store.sweep().unwrap();
        assert_eq!((swept.blobs, swept.snapshots), (2, 2));
        assert!(has(&leased) && keys(&store).is_empty());
    }
}
