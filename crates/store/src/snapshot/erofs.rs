//! Snapshots as the tars that layers come as: `erofs/N/layer.tar` per layer, `diff` and `work` for active ones.
//!
//! ```text
//!   erofs/N/layer.tar    the layer, byte for byte; shares its disk space with the blob of that name in content/
//!           sparse       what its sparse files hold, if it has any
//!           index        of this layer and all below it: made when first needed, and again if it is lost
//!           diff, work   what a container wrote
//! ```
//! An index is mounted once, by this process and without a place in any directory; overlays find it as
//! `/proc/PID/fd/N`. All containers of an image share that mount and so the memory that its files take. What overlays
//! use lives on when this process ends.

use std::{
    collections::HashMap,
    fs::OpenOptions,
    io::{BufWriter, Read, Write},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use types::Mount;

use super::{
    Applied, Change, Kind, SnapshotInfo, SnapshotPaths, Snapshotter, Usage, overlay,
    table::{Row, Table},
};
use crate::{
    diff,
    erofs::{self, Layers},
    error::{Error, IoContext, Result},
    flight::Flights,
    paths,
};

/// The snapshotter that unpacks nothing.
#[derive(Debug)]
pub(super) struct Erofs {
    table: Table,
    /// Mounted indexes by the number of the topmost layer. Each has a tree on disk and goes with it.
    mounted: Mutex<HashMap<u64, Arc<OwnedFd>>>,
    /// One at a time makes an index.
    flights: Flights,
}

impl Erofs {
    pub(super) fn open(table: Table) -> Result<Self> {
        overlay::check_root(&table.dir(0))?;
        Ok(Self { table, mounted: Mutex::default(), flights: Flights::default() })
    }

    fn work(&self, row: &Row) -> PathBuf {
        self.table.dir(row.number).join("work")
    }

    fn index(&self, number: u64) -> PathBuf {
        self.table.dir(number).join("index")
    }

    /// Whether the snapshot has a layer of its own.
    fn has_layer(&self, row: &Row) -> bool {
        erofs::tar_in(&self.table.dir(row.number)).exists()
    }

    /// The layers of the snapshot and those below it.
    fn chain(&self, row: &Row) -> Result<Layers> {
        let parents = self.table.parents(row)?;
        let numbers = parents.iter().rev().chain(std::iter::once(row)).map(|row| row.number);
        Ok(Layers::new(numbers.map(|number| self.table.dir(number)).collect()))
    }

    /// Makes the index of a layer and all below it, unless it is there.
    fn make_index(&self, row: &Row) -> Result<Layers> {
        let (layers, index) = (self.chain(row)?, self.index(row.number));
        let _flight = self.flights.enter(&row.number.to_string());
        if !index.exists() {
            layers.index(&index, &row.info.key)?;
        }
        Ok(layers)
    }

    /// The mount of a layer and all below it.
    fn mounted(&self, row: &Row) -> Result<Arc<OwnedFd>> {
        if let Some(mounted) = self.lock().get(&row.number) {
            return Ok(Arc::clone(mounted));
        }
        let layers = self.make_index(row)?;
        let top = self.table.dir(row.number);
        let top = top.parent().unwrap_or(&top);
        let fd = Arc::new(erofs::mount(top, &self.index(row.number), &layers.devices())?);
        // Two at once make two mounts, of which one is let go.
        Ok(Arc::clone(self.lock().entry(row.number).or_insert(fd)))
    }

    /// Where everybody on this machine finds that mount, as long as this process lives and the layer is there.
    fn look(&self, row: &Row) -> Result<PathBuf> {
        let fd = self.mounted(row)?.as_raw_fd();
        Ok(PathBuf::from(format!("/proc/{}/fd/{fd}", std::process::id())))
    }

    /// The same for what the snapshot is stacked on.
    fn below(&self, row: &Row) -> Result<Option<PathBuf>> {
        let Some(parent) = &row.info.parent else { return Ok(None) };
        self.look(&self.table.get(parent)?).map(Some)
    }

    /// The trees below what was written to the snapshot: one or none.
    fn lowers(&self, row: &Row) -> Result<Vec<PathBuf>> {
        if self.has_layer(row) {
            Ok(vec![self.look(row)?])
        } else {
            Ok(self.below(row)?.into_iter().collect())
        }
    }

    fn mounts_of(&self, row: &Row) -> Result<Vec<Mount>> {
        let (mut lowers, upper) = (self.lowers(row)?, self.table.tree(row.number));
        let mut mount = if row.info.kind == Kind::Active {
            overlay::mount(&lowers, Some((&upper, &self.work(row))))
        } else {
            // A second layer, empty, because overlayfs wants two, and mounts of ours cannot be bound elsewhere.
            lowers.push(upper);
            overlay::mount(&lowers, None)
        };
        if mount.kind == "overlay" {
            // Whatever the kernel's default: with it, numbers of files take all 64 bits, and 32-bit programs fail.
            mount.options.push("xino=off".to_owned());
        }
        Ok(vec![mount])
    }

    /// Lets go of what was made of a chain that is no more.
    fn forget(&self, number: u64) {
        self.lock().remove(&number);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<OwnedFd>>> {
        self.mounted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A snapshot that can take a layer: one that has none.
    fn bare(&self, key: &str) -> Result<Row> {
        let row = self.table.active(key)?;
        if self.has_layer(&row) {
            return Err(Error::Invalid(format!("snapshot {key} has a layer already")));
        }
        Ok(row)
    }

    /// Takes away what only active snapshots have. `work` goes last: while it is there, this is not done.
    fn close(&self, number: u64) -> Result<()> {
        let (tree, work) = (self.table.tree(number), self.table.dir(number).join("work"));
        if std::fs::remove_dir(&tree).is_err() {
            self.table.discard(&tree)?;
        }
        paths::make(&tree, 0o755)?;
        match std::fs::remove_dir_all(&work) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            result => result.at("removing", work),
        }
    }

    /// Turns what was written to an active snapshot into its layer.
    fn pack(&self, row: &Row) -> Result<Usage> {
        let upper = self.table.tree(row.number);
        if self.has_layer(row) {
            let mut written = std::fs::read_dir(&upper).at("listing", &upper)?;
            if written.next().is_some() {
                let key = &row.info.key;
                return Err(Error::Unsupported(format!("files on top of the layer of snapshot {key}")));
            }
            return erofs::usage(&self.table.dir(row.number));
        }
        let usage = diff::measure(&upper)?;
        let path = erofs::tar_in(&self.table.dir(row.number));
        let unfinished = path.with_extension("new");
        let file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&unfinished);
        let mut out = BufWriter::with_capacity(256 << 10, file.at("creating", &unfinished)?);
        diff::create(&upper, &self.lowers(row)?, &mut out)?;
        out.flush().at("writing", &unfinished)?;
        std::fs::rename(&unfinished, &path).at("putting in place", &path)?;
        Ok(usage)
    }
}

impl Snapshotter for Erofs {
    fn name(&self) -> &'static str {
        "erofs"
    }

    fn independent_layers(&self) -> bool {
        true
    }

    fn prepare(&self, key: &str, parent: Option<&str>) -> Result<Vec<Mount>> {
        let row = self.table.add(key, parent, Kind::Active, |number, below| {
            let (tree, work) = (self.table.tree(number), self.table.dir(number).join("work"));
            paths::make(&self.table.dir(number), 0o710)?;
            paths::make(&tree, 0o755)?;
            paths::make(&work, 0o700)?;
            // The topmost tree's root is the root that a container sees.
            match below {
                Some(below) => diff::copy_attributes(&self.look(below)?, &tree),
                None => Ok(()),
            }
        })?;
        self.mounts_of(&row)
    }

    fn view(&self, key: &str, parent: &str) -> Result<Vec<Mount>> {
        let row = self.table.add(key, Some(parent), Kind::View, |number, _| {
            paths::make(&self.table.dir(number), 0o710)?;
            paths::make(&self.table.tree(number), 0o755)
        })?;
        self.mounts_of(&row)
    }

    fn rebase(&self, key: &str, parent: &str) -> Result<()> {
        let row = self.table.active(key)?;
        self.table.rebase(key, parent)?;
        self.forget(row.number);
        match std::fs::remove_file(self.index(row.number)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("removing", self.index(row.number), error))
            }
            _ => Ok(()),
        }
    }

    fn apply(&self, key: &str, layer: &mut dyn Read) -> Result<Applied> {
        let usage = erofs::receive(layer, &self.table.dir(self.bare(key)?.number))?;
        Ok(Applied { usage, implied: Vec::new() })
    }

    fn adopt(&self, key: &str, tar: &Path) -> Result<Option<Applied>> {
        let usage = erofs::adopt(tar, &self.table.dir(self.bare(key)?.number))?;
        Ok(Some(Applied { usage, implied: Vec::new() }))
    }

    fn commit(&self, name: &str, key: &str, applied: Option<&Applied>) -> Result<()> {
        let row = self.table.active(key)?;
        let had_layer = self.has_layer(&row);
        let usage = match applied {
            Some(applied) if had_layer => applied.usage,
            _ => self.pack(&row)?,
        };
        let dir = self.table.dir(row.number);
        let done = erofs::flush(&dir).and_then(|()| self.table.commit(name, key, usage));
        if done.is_err() && !had_layer {
            // The snapshot is as it was. The first error is the one to tell.
            let _ = std::fs::remove_file(erofs::tar_in(&dir));
        }
        done?;
        self.close(row.number)
    }

    fn make_ready(&self, name: &str) -> Result<()> {
        self.make_index(&self.table.get(name)?).map(drop)
    }

    fn keeps_tars(&self) -> bool {
        true
    }

    fn tar(&self, name: &str) -> Result<Option<PathBuf>> {
        let row = self.table.get(name)?;
        let tar = erofs::tar_in(&self.table.dir(row.number));
        Ok((row.info.kind == Kind::Committed).then_some(tar))
    }

    fn mounts(&self, key: &str) -> Result<Vec<Mount>> {
        self.mounts_of(&self.table.get(key)?)
    }

    fn remove(&self, key: &str) -> Result<()> {
        let row = self.table.get(key)?;
        self.table.remove(key)?;
        self.forget(row.number);
        Ok(())
    }

    fn usage(&self, key: &str) -> Result<Usage> {
        let row = self.table.get(key)?;
        match row.info.kind {
            Kind::Active => {
                let mut usage = diff::measure(&self.table.tree(row.number))?;
                if self.has_layer(&row) {
                    let layer = erofs::usage(&self.table.dir(row.number))?;
                    usage.bytes += layer.bytes;
                    usage.inodes += layer.inodes;
                }
                Ok(usage)
            }
            Kind::View => Ok(Usage::default()),
            Kind::Committed => Ok(row.info.usage),
        }
    }

    fn changes(&self, key: &str) -> Result<Vec<Change>> {
        let row = self.table.active(key)?;
        if self.has_layer(&row) {
            return diff::tree_changes(&self.look(&row)?, self.below(&row)?.as_deref());
        }
        diff::changes(&self.table.tree(row.number), &self.lowers(&row)?)
    }

    fn diff(&self, key: &str, out: &mut dyn Write) -> Result<()> {
        let row = self.table.active(key)?;
        if self.has_layer(&row) {
            let path = erofs::tar_in(&self.table.dir(row.number));
            let mut tar = std::fs::File::open(&path).at("opening", &path)?;
            return std::io::copy(&mut tar, out).map(drop).map_err(Error::Input);
        }
        diff::create(&self.table.tree(row.number), &self.lowers(&row)?, out)
    }

    fn export(&self, key: &str, out: &mut dyn Write) -> Result<()> {
        diff::export(&self.layers(key)?, out)
    }

    fn copy_out(&self, key: &str, path: &Path, target: &Path) -> Result<bool> {
        diff::copy_out(&self.layers(key)?, path, target)
    }

    fn paths(&self, key: &str) -> Result<SnapshotPaths> {
        let row = self.table.get(key)?;
        let active = row.info.kind == Kind::Active;
        let lower = self.table.parents(&row)?.iter().map(|parent| self.table.dir(parent.number)).collect();
        Ok(SnapshotPaths {
            upper: active.then(|| self.table.tree(row.number)),
            work: active.then(|| self.work(&row)),
            lower,
            merged: self.table.dir(row.number).join("merged"),
        })
    }

    fn layers(&self, key: &str) -> Result<Vec<PathBuf>> {
        let row = self.table.get(key)?;
        let written = (row.info.kind == Kind::Active).then(|| self.table.tree(row.number));
        Ok(written.into_iter().chain(self.lowers(&row)?).collect())
    }

    fn info(&self, key: &str) -> Result<SnapshotInfo> {
        Ok(self.table.get(key)?.info)
    }

    fn walk(&self) -> Result<Vec<SnapshotInfo>> {
        self.table.walk()
    }

    fn sweep(&self) -> Result<usize> {
        for info in self.table.walk()?.iter().filter(|info| info.kind == Kind::Committed) {
            let row = self.table.get(&info.key)?;
            if self.work(&row).exists() {
                self.close(row.number)?;
            }
        }
        self.table.sweep()
    }
}
