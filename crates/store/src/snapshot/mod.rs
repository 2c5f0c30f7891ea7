//! Snapshots: trees made from layers, stacked, and given out as mounts.
//!
//! ```text
//!   prepare(key, parent) --> active --apply(tar)/run--> active --commit(name, key)--> committed (parent of others)
//!   view(key, parent)    --> view (read-only)             `--remove(key)
//! ```
//! Invariants: a committed snapshot never changes; one with children or a lease is not removed; a row in the table is
//! made after the tree and removed before it, so what a crash leaves is a tree without a row, swept at open.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::OptionalExtension as _;
use types::{Digest, Mount};

use crate::{
    db::Db,
    error::{Error, Result},
    paths::Paths,
    trash::Trash,
};

mod copy;
mod erofs;
mod overlay;
pub(crate) mod probe;
mod table;
#[cfg(test)]
mod testsuite;

use table::Table;

pub use crate::diff::{Change, ChangeKind};

/// The state of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Can be written.
    Active,
    /// Read-only look at a parent.
    View,
    /// Finished; can be a parent.
    Committed,
}

/// Facts about one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Key of an active one, name of a committed one.
    pub key: String,
    /// What it is stacked on.
    pub parent: Option<String>,
    /// Its state.
    pub kind: Kind,
    /// Bytes and inodes of a committed one, as counted at commit.
    pub usage: Usage,
    /// RFC 3339.
    pub created_at: String,
}

/// What a snapshot itself takes, without its parents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Sum of the lengths of its files, hard links counted once, directories not at all: Docker's size.
    pub bytes: u64,
    /// Number of files and directories.
    pub inodes: u64,
}

/// Where a snapshot's parts lie, for `GraphDriver.Data`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SnapshotPaths {
    /// Where writes go.
    pub upper: Option<PathBuf>,
    /// overlayfs' scratch directory.
    pub work: Option<PathBuf>,
    /// The trees below, topmost first.
    pub lower: Vec<PathBuf>,
    /// Where Docker would mount it; nothing is mounted there.
    pub merged: PathBuf,
}

/// What applying a layer gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Bytes and inodes that the layer made.
    pub usage: Usage,
    /// Directories that the layer used without naming them. They take the attributes of the parent's at commit.
    pub implied: Vec<PathBuf>,
}

/// A kind of snapshots. All methods can be called from several threads; for one key, one at a time.
pub trait Snapshotter: Send + Sync + std::fmt::Debug {
    /// `erofs`, `overlay`, `copy`: its directory below the data root and `docker info`'s storage driver.
    fn name(&self) -> &'static str;

    /// Whether a layer can be applied before its parent exists (see [`rebase`](Self::rebase)).
    fn independent_layers(&self) -> bool;

    /// A new active snapshot on top of a committed one, or on nothing. Gives what [`mounts`](Self::mounts) gives.
    fn prepare(&self, key: &str, parent: Option<&str>) -> Result<Vec<Mount>>;

    /// A read-only look at a committed snapshot.
    fn view(&self, key: &str, parent: &str) -> Result<Vec<Mount>>;

    /// Gives an active snapshot without parent another parent. Only where layers are independent.
    fn rebase(&self, key: &str, parent: &str) -> Result<()>;

    /// Unpacks a layer (uncompressed tar) into an active snapshot, up to the end of the stream.
    fn apply(&self, key: &str, layer: &mut dyn Read) -> Result<Applied>;

    /// The same for a layer that is a file of this store already, named by its digest: no copy is made of it. None where
    /// that cannot be; then [`apply`](Self::apply) it.
    fn adopt(&self, _key: &str, _tar: &Path) -> Result<Option<Applied>> {
        Ok(None)
    }

    /// Flushes an active snapshot and makes it the committed snapshot `name`. `applied` is what [`apply`](Self::apply)
    /// gave if that was the only change; without, the tree is measured.
    fn commit(&self, name: &str, key: &str, applied: Option<&Applied>) -> Result<()>;

    /// Does now what the first use of a committed snapshot would have to wait for.
    fn make_ready(&self, _name: &str) -> Result<()> {
        Ok(())
    }

    /// Whether layers stay the tars that they were.
    fn keeps_tars(&self) -> bool {
        false
    }

    /// Where the layer that became a committed snapshot still lies as the tar that it was, byte for byte.
    fn tar(&self, _name: &str) -> Result<Option<PathBuf>> {
        Ok(None)
    }

    /// What to mount, in order, to see the snapshot. One mount with an empty destination: the root.
    fn mounts(&self, key: &str) -> Result<Vec<Mount>>;

    /// Deletes a snapshot that has no children. Its tree may vanish later, but not its name.
    fn remove(&self, key: &str) -> Result<()>;

    /// What the snapshot takes: measured for an active one.
    fn usage(&self, key: &str) -> Result<Usage>;

    /// How an active snapshot differs from its parent, sorted by path: `docker diff`.
    fn changes(&self, key: &str) -> Result<Vec<Change>>;

    /// Writes these differences as a layer (uncompressed tar with whiteouts), the opposite of [`apply`](Self::apply).
    fn diff(&self, key: &str, out: &mut dyn Write) -> Result<()>;

    /// Writes the whole tree as a tar: `docker export`.
    fn export(&self, key: &str, out: &mut dyn Write) -> Result<()>;

    /// Copies what the snapshot has in the directory `path` (links resolved inside) into the empty directory `target`:
    /// how a new volume gets the image's files. Whether there is such a directory.
    fn copy_out(&self, key: &str, path: &Path, target: &Path) -> Result<bool>;

    /// Where its parts lie.
    fn paths(&self, key: &str) -> Result<SnapshotPaths>;

    /// The trees that make up the snapshot on top of each other, topmost first: a look without mounting.
    fn layers(&self, key: &str) -> Result<Vec<PathBuf>>;

    /// Facts about one.
    fn info(&self, key: &str) -> Result<SnapshotInfo>;

    /// Facts about all.
    fn walk(&self) -> Result<Vec<SnapshotInfo>>;

    /// Deletes trees without a row: after a crash, or of removed snapshots. Returns the number.
    fn sweep(&self) -> Result<usize>;
}

/// The snapshotter called `name`, or the one this store has always had, or the best that works here.
pub(crate) fn open(
    paths: &Paths,
    db: &Arc<Db>,
    trash: &Arc<Trash>,
    name: Option<&str>,
) -> Result<Box<dyn Snapshotter>> {
    let table = |driver| Table::open(paths, Arc::clone(db), Arc::clone(trash), driver);
    // Images that are there keep working, whatever would be chosen today.
    let before: Option<String> = db.read(|db| {
        Ok(db.query_row("SELECT driver FROM snapshots LIMIT 1", [], |row| row.get(0)).optional()?)
    })?;
    let wanted = name.map(driver).transpose()?;
    if let (Some(before), Some(wanted)) = (before.as_deref(), wanted)
        && before != wanted
    {
        let root = paths.root().display();
        return Err(Error::Invalid(format!("{root} was made with storage driver {before}, not {wanted}")));
    }
    let chosen = match (wanted, before.as_deref()) {
        (Some(wanted), _) => wanted,
        (None, Some(before)) => driver(before)?,
        (None, None) if probe::overlay(&paths.tmp()).is_err() => "copy",
        (None, None) if probe::erofs(&paths.tmp()).is_err() => "overlay",
        (None, None) => "erofs",
    };
    Ok(match chosen {
        "copy" => Box::new(copy::Copy::open(table("copy")?)),
        "overlay" => Box::new(overlay::Overlay::open(table("overlay")?)?),
        _ => {
            // What worked once is not tried again at every start.
            if before.is_none() {
                probe::erofs(&paths.tmp()).map_err(|why| {
                    Error::Unsupported(format!("storage driver erofs on this kernel and file system: {why}"))
                })?;
            }
            Box::new(erofs::Erofs::open(table("erofs")?)?)
        }
    })
}

/// Our name for a storage driver, by any of its names.
fn driver(name: &str) -> Result<&'static str> {
    match name {
        "erofs" => Ok("erofs"),
        "overlay" | "overlay2" | "overlayfs" => Ok("overlay"),
        "copy" | "vfs" => Ok("copy"),
        other => Err(Error::Unsupported(format!("storage driver {other}"))),
    }
}

/// The name of the committed snapshot for layers stacked in this order (OCI image-spec, config.md, "Layer ChainID").
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let next = chain_id(chain.last(), diff_id);
        chain.push(next);
    }
    chain
}

/// The chain id of one more layer on top of `parent`.
pub fn chain_id(parent: Option<&Digest>, diff_id: &Digest) -> Digest {
    match parent {
        None => diff_id.clone(),
        Some(parent) => crate::sha256(format!("{parent} {diff_id}").as_bytes()),
    }
}
