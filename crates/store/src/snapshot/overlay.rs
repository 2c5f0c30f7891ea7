//! Snapshots as trees that overlayfs stacks: `overlay/N/diff` per layer, `diff` and `work` for active ones.
//!
//! Trees hold overlayfs' own marks: a deleted name is a character device 0/0, a directory that hides what is below has
//! the attribute `trusted.overlay.opaque` = `y` (kernel documentation, filesystems/overlayfs, "whiteouts and opaque
//! directories").

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
};

use types::Mount;

use super::{
    Applied, Change, Kind, SnapshotInfo, SnapshotPaths, Snapshotter, Usage,
    table::{Row, Table},
};
use crate::{
    diff::{self, Whiteouts},
    error::{Error, IoContext, Result},
    paths,
};

/// mount(2) takes one page of options; what else stands there needs some of it.
const OPTIONS_MAX: usize = 3800;

/// The overlayfs snapshotter.
#[derive(Debug)]
pub(super) struct Overlay {
    table: Table,
}

impl Overlay {
    pub(super) fn open(table: Table) -> Result<Self> {
        check_root(&table.dir(0))?;
        Ok(Self { table })
    }

    fn work(&self, row: &Row) -> PathBuf {
        self.table.dir(row.number).join("work")
    }

    fn lowers(&self, row: &Row) -> Result<Vec<PathBuf>> {
        Ok(self.table.parents(row)?.iter().map(|parent| self.table.tree(parent.number)).collect())
    }

    fn mounts_of(&self, row: &Row) -> Result<Vec<Mount>> {
        let lowers = match row.info.kind {
            Kind::Committed => {
                let mut lowers = vec![self.table.tree(row.number)];
                lowers.extend(self.lowers(row)?);
                lowers
            }
            _ => self.lowers(row)?,
        };
        let upper = (row.info.kind == Kind::Active).then(|| (self.table.tree(row.number), self.work(row)));
        Ok(vec![mount(&lowers, upper.as_ref().map(|(upper, work)| (upper.as_path(), work.as_path())))])
    }
}

/// Refuses a place whose name overlayfs would take apart.
pub(super) fn check_root(root: &Path) -> Result<()> {
    let root = root.to_string_lossy();
    if root.contains([':', ',', '\\']) {
        return Err(Error::Unsupported(format!("':', ',' or '\\' in the data root {root} with overlay")));
    }
    Ok(())
}

/// One overlay, or a bind mount where there is only one tree.
pub(super) fn mount(lowers: &[PathBuf], upper: Option<(&Path, &Path)>) -> Mount {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let bind = |path: &Path, mode: &str| Mount {
        kind: "bind".to_owned(),
        source: text(path),
        destination: String::new(),
        options: vec!["bind".to_owned(), mode.to_owned()],
    };
    let mut options = match (lowers, upper) {
        ([], Some((upper, _))) => return bind(upper, "rw"),
        ([only], None) => return bind(only, "ro"),
        _ => lower_options(lowers),
    };
    match upper {
        Some((upper, work)) => {
            options.push(format!("upperdir={}", text(upper)));
            options.push(format!("workdir={}", text(work)));
        }
        None => options.push("ro".to_owned()),
    }
    // Layers come from strangers: what the kernel would follow besides plain trees stays off, whatever its defaults.
    options.extend(["index=off", "redirect_dir=nofollow", "metacopy=off"].map(str::to_owned));
    let overlay = "overlay".to_owned();
    Mount { kind: overlay.clone(), source: overlay, destination: String::new(), options }
}

/// `lowerdir=A:B` while that fits into the page of mount(2), `lowerdir+=A`, `lowerdir+=B` for fsconfig(2) beyond.
fn lower_options(lowers: &[PathBuf]) -> Vec<String> {
    let paths: Vec<_> = lowers.iter().map(|path| path.to_string_lossy()).collect();
    let joined = paths.join(":");
    if joined.len() <= OPTIONS_MAX {
        return vec![format!("lowerdir={joined}")];
    }
    paths.iter().map(|path| format!("lowerdir+={path}")).collect()
}

impl Snapshotter for Overlay {
    fn name(&self) -> &'static str {
        "overlay"
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
                Some(below) => diff::copy_attributes(&self.table.tree(below.number), &tree),
                None => Ok(()),
            }
        })?;
        self.mounts_of(&row)
    }

    fn view(&self, key: &str, parent: &str) -> Result<Vec<Mount>> {
        let row = self.table.add(key, Some(parent), Kind::View, |_, _| Ok(()))?;
        self.mounts_of(&row)
    }

    fn rebase(&self, key: &str, parent: &str) -> Result<()> {
        self.table.rebase(key, parent)
    }

    fn apply(&self, key: &str, layer: &mut dyn Read) -> Result<Applied> {
        let row = self.table.active(key)?;
        diff::apply(layer, &self.table.tree(row.number), Whiteouts::Overlay)
    }

    fn commit(&self, name: &str, key: &str, applied: Option<&Applied>) -> Result<()> {
        let row = self.table.active(key)?;
        let tree = self.table.tree(row.number);
        if let Some(applied) = applied {
            diff::inherit_attributes(&tree, &applied.implied, &self.lowers(&row)?)?;
        }
        let usage = match applied {
            Some(applied) => applied.usage,
            None => diff::measure(&tree)?,
        };
        diff::flush(&tree)?;
        self.table.commit(name, key, usage)?;
        let work = self.work(&row);
        match std::fs::remove_dir_all(&work) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            result => result.at("removing", work),
        }
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
            Kind::Active => diff::measure(&self.table.tree(row.number)),
            Kind::View => Ok(Usage::default()),
            Kind::Committed => Ok(row.info.usage),
        }
    }

    fn changes(&self, key: &str) -> Result<Vec<Change>> {
        let row = self.table.active(key)?;
        diff::changes(&self.table.tree(row.number), &self.lowers(&row)?)
    }

    fn diff(&self, key: &str, out: &mut dyn Write) -> Result<()> {
        let row = self.table.active(key)?;
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
        Ok(SnapshotPaths {
            upper: (row.info.kind != Kind::View).then(|| self.table.tree(row.number)),
            work: active.then(|| self.work(&row)),
            lower: self.lowers(&row)?,
            merged: self.table.dir(row.number).join("merged"),
        })
    }

    fn layers(&self, key: &str) -> Result<Vec<PathBuf>> {
        let row = self.table.get(key)?;
        let mut layers = match row.info.kind {
            Kind::View => Vec::new(),
            _ => vec![self.table.tree(row.number)],
        };
        layers.extend(self.lowers(&row)?);
        Ok(layers)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_layers_leave_the_option_page_for_one_option_each() {
        let layers = |n: usize| {
            (0..n).map(|i| PathBuf::from(format!("/var/lib/wharf/overlay/{i}/diff"))).collect::<Vec<_>>()
        };
        let few = mount(&layers(100), Some((Path::new("/u"), Path::new("/w"))));
        assert_eq!(few.options.len(), 6);
        assert!(few.options.join(",").len() < 4096);
        let many = mount(&layers(300), Some((Path::new("/u"), Path::new("/w"))));
        assert_eq!(many.options.iter().filter(|o| o.starts_with("lowerdir+=")).count(), 300);
        assert_eq!(mount(&layers(1), None).options, ["bind", "ro"]);
        assert_eq!(mount(&[], Some((Path::new("/u"), Path::new("/w")))).source, "/u");
    }
}
