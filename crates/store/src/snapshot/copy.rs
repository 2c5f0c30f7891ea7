//! Snapshots as whole trees, each a copy of its parent: for file systems that overlayfs cannot use. `copy/N/diff`.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
};

use types::Mount;

use super::{
    Applied, Change, Kind, SnapshotInfo, SnapshotPaths, Snapshotter, Usage, table::Row, table::Table,
};
use crate::{
    diff::{self, Whiteouts},
    error::{Error, Result},
    paths,
};

/// The copying snapshotter.
#[derive(Debug)]
pub(super) struct Copy {
    table: Table,
}

impl Copy {
    pub(super) fn open(table: Table) -> Self {
        Self { table }
    }

    /// The tree of the parent, or of nothing.
    fn parent(&self, row: &Row) -> Result<Option<PathBuf>> {
        Ok(self.table.parents(row)?.first().map(|parent| self.table.tree(parent.number)))
    }

    /// The tree that shows the snapshot: a view has none of its own.
    fn tree(&self, row: &Row) -> Result<PathBuf> {
        match (row.info.kind, self.parent(row)?) {
            (Kind::View, Some(parent)) => Ok(parent),
            _ => Ok(self.table.tree(row.number)),
        }
    }

    fn mounts_of(&self, row: &Row) -> Result<Vec<Mount>> {
        let mode = if row.info.kind == Kind::Active { "rw" } else { "ro" };
        Ok(vec![Mount {
            kind: "bind".to_owned(),
            source: self.tree(row)?.to_string_lossy().into_owned(),
            destination: String::new(),
            options: vec!["bind".to_owned(), mode.to_owned()],
        }])
    }
}

impl Snapshotter for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn independent_layers(&self) -> bool {
        false
    }

    fn prepare(&self, key: &str, parent: Option<&str>) -> Result<Vec<Mount>> {
        let row = self.table.add(key, parent, Kind::Active, |number, below| {
            let tree = self.table.tree(number);
            paths::make(&self.table.dir(number), 0o710)?;
            paths::make(&tree, 0o755)?;
            match below {
                Some(below) => diff::copy_tree(&[self.table.tree(below.number)], &tree),
                None => Ok(()),
            }
        })?;
        self.mounts_of(&row)
    }

    fn view(&self, key: &str, parent: &str) -> Result<Vec<Mount>> {
        let row = self.table.add(key, Some(parent), Kind::View, |_, _| Ok(()))?;
        self.mounts_of(&row)
    }

    fn rebase(&self, key: &str, _parent: &str) -> Result<()> {
        Err(Error::Unsupported(format!("giving copied snapshot {key} another parent")))
    }

    fn apply(&self, key: &str, layer: &mut dyn Read) -> Result<Applied> {
        let row = self.table.active(key)?;
        diff::apply(layer, &self.table.tree(row.number), Whiteouts::Remove)
    }

    fn commit(&self, name: &str, key: &str, applied: Option<&Applied>) -> Result<()> {
        let row = self.table.active(key)?;
        let tree = self.table.tree(row.number);
        let usage = match applied {
            Some(applied) => applied.usage,
            None => self.usage(key)?,
        };
        diff::flush(&tree)?;
        self.table.commit(name, key, usage)
    }

    fn mounts(&self, key: &str) -> Result<Vec<Mount>> {
        self.mounts_of(&self.table.get(key)?)
    }

    fn remove(&self, key: &str) -> Result<()> {
        self.table.remove(key)
    }

    fn usage(&self, key: &str) -> Result<Usage> {
        let row = self.table.get(key)?;
        match row.info.kind {
            Kind::Active => {
                diff::measure_changes(&self.table.tree(row.number), self.parent(&row)?.as_deref())
            }
            Kind::View => Ok(Usage::default()),
            Kind::Committed => Ok(row.info.usage),
        }
    }

    fn changes(&self, key: &str) -> Result<Vec<Change>> {
        let row = self.table.active(key)?;
        diff::tree_changes(&self.table.tree(row.number), self.parent(&row)?.as_deref())
    }

    fn diff(&self, key: &str, out: &mut dyn Write) -> Result<()> {
        let row = self.table.active(key)?;
        diff::create_from_trees(&self.table.tree(row.number), self.parent(&row)?.as_deref(), out)
    }

    fn export(&self, key: &str, out: &mut dyn Write) -> Result<()> {
        diff::export(&self.layers(key)?, out)
    }

    fn copy_out(&self, key: &str, path: &Path, target: &Path) -> Result<bool> {
        diff::copy_out(&self.layers(key)?, path, target)
    }

    fn paths(&self, key: &str) -> Result<SnapshotPaths> {
        let row = self.table.get(key)?;
        let tree = self.tree(&row)?;
        Ok(SnapshotPaths { upper: Some(tree.clone()), merged: tree, ..SnapshotPaths::default() })
    }

    fn layers(&self, key: &str) -> Result<Vec<PathBuf>> {
        Ok(vec![self.tree(&self.table.get(key)?)?])
    }

    fn info(&self, key: &str) -> Result<SnapshotInfo> {
        Ok(self.table.get(key)?.info)
    }

    fn walk(&self) -> Result<Vec<SnapshotInfo>> {
        self.table.walk()
    }

    fn sweep(&self) -> Result<usize> {
        self.table.sweep()
    }
}
