//! Trees on top of each other, seen as overlayfs would show them, without a mount.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ffi::{CString, OsStr, OsString},
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
    rc::Rc,
};

use rustix::fs::{FileType, Stat};

use super::dir::{Dir, file_type, is_dir, is_whiteout, os};
use crate::error::Result;

/// As many links as the kernel follows.
const LINKS_MAX: usize = 40;

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

    /// The directory at `path`, with symbolic links on the way resolved inside the view, as in a container.
    pub(super) fn directory(&self, path: &Path) -> Result<Option<Self>> {
        let words = |path: &Path| -> Vec<OsString> {
            path.components()
                .rev()
                .map(|part| part.as_os_str().to_owned())
                .filter(|word| word != "/" && word != ".")
                .collect()
        };
        let mut above: Vec<Self> = vec![self.clone()];
        let mut waiting = words(path);
        let mut links = 0;
        while let Some(word) = waiting.pop() {
            if word == ".." {
                above.truncate(above.len().saturating_sub(1).max(1));
                continue;
            }
            let Some(found) = above.last().unwrap_or(self).lookup(&word)? else { return Ok(None) };
            if let Some(below) = found.below {
                above.push(below);
            } else if file_type(&found.stat) == FileType::Symlink && links < LINKS_MAX {
                links += 1;
                let link = PathBuf::from(OsString::from_vec(found.dir.read_link(&word)?));
                if link.is_absolute() {
                    above.truncate(1);
                }
                waiting.extend(words(&link));
            } else {
                return Ok(None);
            }
        }
        Ok(above.pop())
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
