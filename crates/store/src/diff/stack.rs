//! Trees on top of each other, seen as overlayfs would show them, without a mount.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ffi::{CString, OsStr},
    path::{Path, PathBuf},
    rc::Rc,
};

use rustix::fs::Stat;

use super::dir::{Dir, is_dir, is_whiteout, os};
use crate::error::Result;

/// One directory of the merged view: its counterparts in the trees that take part, topmost first.
#[derive(Debug, Clone, Default)]
pub(super) struct Stack {
    dirs: Vec<Rc<Dir>>,
}

/// Something in a merged directory.
#[derive(Debug)]
pub(super) struct Found {
    /// Where its contents and attributes come from.
    pub(super) dir: Rc<Dir>,
    /// What it is.
    pub(super) stat: Stat,
    /// For a directory: its merged view.
    pub(super) below: Option<Stack>,
}

impl Stack {
    /// The merged top of these trees, topmost first.
    pub(super) fn open(trees: &[PathBuf]) -> Result<Self> {
        let mut dirs = Vec::with_capacity(trees.len());
        for tree in trees {
            dirs.push(Rc::new(Dir::open(tree)?));
        }
        Ok(Self { dirs: cut_at_opaque(dirs)? })
    }

    /// The topmost of its directories.
    pub(super) fn top(&self) -> Option<&Rc<Dir>> {
        self.dirs.first()
    }

    /// What `name` is in this directory.
    pub(super) fn lookup(&self, name: &OsStr) -> Result<Option<Found>> {
        for (i, dir) in self.dirs.iter().enumerate() {
            let Some(stat) = dir.stat(name)? else { continue };
            if is_whiteout(&stat) {
                return Ok(None);
            }
            let below = if is_dir(&stat) { Some(self.merge(i, name)?) } else { None };
            return Ok(Some(Found { dir: Rc::clone(dir), stat, below }));
        }
        Ok(None)
    }

    /// What lies at `path`, through directories only.
    pub(super) fn lookup_path(&self, path: &Path) -> Result<Option<Found>> {
        let mut found: Option<Found> = None;
        for part in path.components() {
            let std::path::Component::Normal(name) = part else { continue };
            let at = match &found {
                None => self.lookup(name)?,
                Some(Found { below: Some(below), .. }) => below.lookup(name)?,
                Some(_) => None,
            };
            match at {
                Some(at) => found = Some(at),
                None => return Ok(None),
            }
        }
        Ok(found)
    }

    /// The directory `name`, from tree number `from` downwards as far as it is a directory everywhere.
    fn merge(&self, from: usize, name: &OsStr) -> Result<Self> {
        let mut dirs = Vec::new();
        for dir in &self.dirs[from..] {
            match dir.stat(name)? {
                None => {}
                Some(stat) if is_dir(&stat) => {
                    let child = dir.child(name)?;
                    let opaque = child.is_opaque()?;
                    dirs.push(Rc::new(child));
                    if opaque {
                        break;
                    }
                }
                Some(_) => break,
            }
        }
        Ok(Self { dirs })
    }

    /// The names in it, sorted.
    pub(super) fn names(&self) -> Result<Vec<CString>> {
        let mut names: BTreeMap<CString, bool> = BTreeMap::new();
        for dir in &self.dirs {
            for name in dir.names()? {
                // A whiteout hides what is below, so the first tree with the name decides.
                if let Entry::Vacant(vacant) = names.entry(name) {
                    let deleted = match dir.stat(os(vacant.key()))? {
                        Some(stat) => is_whiteout(&stat),
                        // Gone since it was listed.
                        None => true,
                    };
                    vacant.insert(!deleted);
                }
            }
        }
        Ok(names.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect())
    }
}

fn cut_at_opaque(mut dirs: Vec<Rc<Dir>>) -> Result<Vec<Rc<Dir>>> {
    for i in 0..dirs.len() {
        if dirs[i].is_opaque()? {
            dirs.truncate(i + 1);
            break;
        }
    }
    Ok(dirs)
}
