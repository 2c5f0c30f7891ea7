//! What nobody needs is deleted, and what a crash left half done is undone.

use std::{
    fs,
    time::{Duration, SystemTime},
};

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

impl Store {
    /// Deletes blobs, snapshots and partial downloads that no image, lease or [hold](crate::Hold) needs. Nothing has to
    /// stop for it.
    pub fn sweep(&self) -> Result<Swept> {
        let mut swept = Swept::default();
        let images = self.images().list()?;
        self.sweep_snapshots(&images, When::Running, &mut swept)?;
        self.sweep_blobs(&mut swept)?;
        let now = SystemTime::now();
        swept.bytes += self.content().sweep_ingests(now.checked_sub(RESUMABLE_FOR).unwrap_or(now))?;
        Ok(swept)
    }

    /// What opening does: whatever has no owner after a crash goes.
    pub(crate) fn recover(&self) -> Result<()> {
        let tmp = self.paths().tmp();
        for entry in fs::read_dir(&tmp).at("listing", &tmp)? {
            let entry = entry.at("listing", &tmp)?;
            self.trash.discard(&entry.path())?;
        }
        self.sweep_snapshots(&self.images().list()?, When::Opening, &mut Swept::default())?;
        self.snapshots().sweep()?;
        self.trash.empty();
        self.sweep().map(drop)
    }

    /// Layers and blobs of an image that was removed, as far as nobody else uses them.
    pub(crate) fn release(&self, image: &ImageRecord) -> Result<Removed> {
        let others = self.images().list()?;
        let mut removed = Removed::default();
        for layer in image.layers.iter().rev() {
            let shared = others.iter().flat_map(|other| &other.layers).any(|l| l.chain_id == layer.chain_id);
            if shared || !self.remove_snapshot(layer.chain_id.as_str())? {
                break;
            }
            removed.bytes += layer.bytes;
            removed.layers.push(layer.chain_id.clone());
        }
        self.sweep_blobs(&mut Swept::default())?;
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

    fn sweep_snapshots(&self, images: &[ImageRecord], when: When, swept: &mut Swept) -> Result<()> {
        let mut all = self.snapshots().walk()?;
        // Children come after their parents in time, so they go first.
        all.sort_by(|a, b| b.created_at.cmp(&a.created_at));
        // Parents may have become free by the removal of a child that is younger than they: until nothing changes.
        loop {
            let mut again = Vec::new();
            let mut progress = false;
            for info in all {
                if self.is_needed(images, when, &info)? {
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

    fn is_needed(&self, images: &[ImageRecord], when: When, info: &SnapshotInfo) -> Result<bool> {
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
        let named = images.iter().flat_map(|image| &image.layers).any(|l| l.chain_id.as_str() == info.key);
        Ok(named || self.is_recent(&info.created_at))
    }

    /// Whether something made at this time may belong to a hold.
    fn is_recent(&self, created_at: &str) -> bool {
        let Some(oldest) = self.pins.lock().oldest_hold() else { return false };
        let format = &time::format_description::well_known::Rfc3339;
        time::OffsetDateTime::parse(created_at, format).is_ok_and(|at| SystemTime::from(at) >= oldest)
    }

    fn sweep_blobs(&self, swept: &mut Swept) -> Result<()> {
        for (blob, came) in self.content().walk()? {
            let resource = Resource::Blob(blob.digest.clone());
            let pins = self.pins.lock();
            let recent = pins.oldest_hold().is_some_and(|oldest| came >= oldest);
            if recent || pins.is_pinned(&resource) || !self.leases().holders(&resource)?.is_empty() {
                continue;
            }
            if !self.images().names_blob(&blob.digest)? && self.content().remove(&blob.digest)? {
                swept.blobs += 1;
                swept.bytes += blob.size;
            }
        }
        Ok(())
    }
}
