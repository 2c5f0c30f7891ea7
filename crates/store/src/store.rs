//! The store as a whole: what the engine opens once and shares between threads.

use std::{fs::File, path::Path, sync::Arc};

use rustix::fs::FlockOperation;

use crate::{
    content::ContentStore,
    db::Db,
    error::{Error, IoContext, Result},
    flight::Flights,
    images::ImageTable,
    leases::{Hold, Leases, Pins},
    paths::Paths,
    snapshot::{self, Snapshotter},
    trash::Trash,
    volume::Volumes,
};

/// How to open a store.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The snapshotter by name, `erofs`, `overlay` or `copy`; by default the best one that works on this file system.
    pub snapshotter: Option<String>,
}

/// Everything below one data root.
#[derive(Debug)]
pub struct Store {
    paths: Paths,
    db: Arc<Db>,
    content: ContentStore,
    snapshots: Box<dyn Snapshotter>,
    flights: Flights,
    pub(crate) trash: Arc<Trash>,
    pub(crate) pins: Arc<Pins>,
    // Closing the file gives the lock back.
    _lock: File,
}

impl Store {
    /// Opens the data root, or makes it, and undoes what a crash left half done.
    pub fn open(root: &Path) -> Result<Self> {
        Self::open_with(root, &Options::default())
    }

    /// The same with choices.
    pub fn open_with(root: &Path, options: &Options) -> Result<Self> {
        let paths = Paths::new(root);
        paths.create()?;
        let lock = lock(&paths)?;
        let db = Arc::new(Db::open(&paths.database())?);
        let content = ContentStore::open(&paths.content())?;
        let trash = Trash::new(paths.trash());
        let snapshots = snapshot::open(&paths, &db, &trash, options.snapshotter.as_deref())?;
        let (flights, pins) = (Flights::default(), Arc::default());
        let store = Self { paths, db, content, snapshots, flights, trash, pins, _lock: lock };
        store.recover()?;
        Ok(store)
    }

    /// Where things lie.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Records and settings.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The blobs.
    pub fn content(&self) -> &ContentStore {
        &self.content
    }

    /// The trees.
    pub fn snapshots(&self) -> &dyn Snapshotter {
        &*self.snapshots
    }

    /// The images and their names.
    pub fn images(&self) -> ImageTable<'_> {
        ImageTable::new(self)
    }

    /// Who uses what.
    pub fn leases(&self) -> Leases<'_> {
        Leases::new(&self.db)
    }

    /// The volumes of the `local` driver.
    pub fn volumes(&self) -> Volumes<'_> {
        Volumes::new(self)
    }

    /// Protection for an operation that makes or reuses blobs and snapshots which no image names yet.
    pub fn hold(&self) -> Hold {
        self.pins.hold()
    }

    /// Waits until all that was removed is deleted from the disk too, which happens in the background.
    pub fn settle(&self) {
        self.trash.wait();
    }

    /// Works of which only one may go on at a time, such as `unpack sha256:...`.
    pub fn flights(&self) -> &Flights {
        &self.flights
    }
}

fn lock(paths: &Paths) -> Result<File> {
    let path = paths.lock();
    let file = File::options().create(true).truncate(false).write(true).open(&path).at("opening", &path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Locked(paths.root().to_owned())),
        Err(error) => Err(Error::io("locking", path, error)),
    }
}
