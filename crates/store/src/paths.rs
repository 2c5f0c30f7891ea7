//! Where everything lies below the data root.
//!
//! ```text
//! ROOT/                                0710, usually /var/lib/wharf
//!   wharf.db  wharf.db-wal  -shm       records (see `db`)
//!   wharf.reserve                      space for forgetting things when the disk is full
//!   lock                               held by the daemon that has the root open
//!   content/                           0700, an OCI image layout's `blobs` at heart
//!     blobs/sha256/HEX                 finished blobs, read-only
//!     ingest/KEY                       blobs that are being written
//!   erofs/                             0710, the erofs snapshotter
//!     N/layer.tar  N/index             a layer as it came, and what lies where in it and all below it
//!     N/diff  N/work                   what a container wrote; empty beside a layer
//!   overlay/                           0710, the overlay snapshotter
//!     N/diff                           one tree per snapshot; N is a small number to keep mount options short
//!     N/work                           overlayfs' scratch directory, active snapshots only
//!   copy/N/diff                        the same for the copy snapshotter
//!   trash/                             trees on their way out
//!   volumes/NAME/_data                 local volumes
//!   containers/ID/                     hostname, hosts, resolv.conf, logs: the engine's
//!   tmp/                               spools; emptied at open
//! ```

use std::path::{Path, PathBuf};

use crate::error::{IoContext, Result};

/// The directories below one data root.
#[derive(Debug, Clone)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// The layout below `root`; nothing is created.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The data root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The SQLite file.
    pub fn database(&self) -> PathBuf {
        self.root.join("wharf.db")
    }

    /// The file whose lock marks the root as open.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The content store.
    pub fn content(&self) -> PathBuf {
        self.root.join("content")
    }

    /// The trees of the snapshotter called `name`.
    pub fn snapshots(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Where trees wait to be deleted. On the same file system as the snapshots, so that a rename gets them there.
    pub fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }

    /// Local volumes.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// The engine's files of one container.
    pub fn container(&self, id: &str) -> PathBuf {
        self.root.join("containers").join(id)
    }

    /// Spools. Emptied whenever the store is opened.
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Makes the directories that are missing.
    pub(crate) fn create(&self) -> Result<()> {
        make(&self.root, 0o710)?;
        for (dir, mode) in [
            (self.content(), 0o700),
            (self.trash(), 0o700),
            (self.volumes(), 0o701),
            (self.root.join("containers"), 0o710),
            (self.tmp(), 0o700),
        ] {
            make(&dir, mode)?;
        }
        Ok(())
    }
}

/// Makes `dir` and its parents; an existing one keeps its mode.
pub(crate) fn make(dir: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(mode).create(dir).at("creating", dir)
}
