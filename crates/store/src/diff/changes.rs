//! What differs between an upper tree and those below: `docker diff`.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use rustix::fs::Stat;

use super::{
    Change, ChangeKind, DEPTH_MAX,
    dir::{Dir, file_type, is_dir, is_gone, is_whiteout, os},
    stack::{Found, Stack},
};
use crate::error::{Error, Result};

/// What Docker's init layer has below every container: the engine mounts over these, so empty ones are no change.
const SKELETON: &[&str] = &[
    "/.dockerenv",
    "/dev",
    "/dev/console",
    "/dev/pts",
    "/dev/shm",
    "/etc",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/mtab",
    "/etc/resolv.conf",
    "/proc",
    "/sys",
];

/// How the overlay tree `upper` changes what the trees `lowers` (topmost first) show together.
pub(crate) fn changes(upper: &Path, lowers: &[PathBuf]) -> Result<Vec<Change>> {
    let mut walk = Walk { overlay: true, changes: Vec::new(), depth: 0 };
    walk.directory(&Dir::open(upper)?, &Stack::open(lowers)?, Path::new("/"))?;
    Ok(walk.changes)
}

/// How the whole tree `new` differs from the whole tree `old`.
pub(crate) fn tree_changes(new: &Path, old: Option<&Path>) -> Result<Vec<Change>> {
    let old: Vec<PathBuf> = old.map(Path::to_owned).into_iter().collect();
    let mut walk = Walk { overlay: false, changes: Vec::new(), depth: 0 };
    walk.directory(&Dir::open(new)?, &Stack::open(&old)?, Path::new("/"))?;
    Ok(walk.changes)
}

struct Walk {
    /// Whether the new tree is an overlay's upper one, which only holds what was touched, or a whole one.
    overlay: bool,
    changes: Vec<Change>,
    depth: usize,
}

impl Walk {
    /// Compares a directory. Parents come before children, names are sorted.
    fn directory(&mut self, new: &Dir, old: &Stack, path: &Path) -> Result<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Error::TooLarge {
                what: format!("depth of {}", path.display()),
                limit: DEPTH_MAX as u64,
            });
        }
        let mut deleted = self.hidden(new, old)?.into_iter().peekable();
        for name in new.names()? {
            let name = os(&name);
            while let Some(gone) = deleted.next_if(|gone| gone.as_os_str() < name) {
                self.push(path.join(gone), ChangeKind::Deleted);
            }
            let Some(stat) = new.stat(name)? else { continue };
            match self.entry(new, name, &stat, old.lookup(name)?, &path.join(name)) {
                Err(error) if is_gone(&error) => {}
                result => result?,
            }
        }
        for gone in deleted {
            self.push(path.join(gone), ChangeKind::Deleted);
        }
        self.depth -= 1;
        Ok(())
    }

    /// Names below that the new directory hides as a whole: those of an opaque one, or all that a whole tree lacks.
    fn hidden(&self, new: &Dir, old: &Stack) -> Result<Vec<std::ffi::OsString>> {
        let mut hidden = Vec::new();
        if !self.overlay || new.is_opaque()? {
            for name in old.names()? {
                if new.stat(os(&name))?.is_none() {
                    hidden.push(os(&name).to_owned());
                }
            }
        }
        Ok(hidden)
    }

    fn entry(&mut self, new: &Dir, name: &OsStr, stat: &Stat, old: Option<Found>, path: &Path) -> Result<()> {
        if self.overlay && is_whiteout(stat) {
            if old.is_some() {
                self.push(path.to_owned(), ChangeKind::Deleted);
            }
            return Ok(());
        }
        let at = self.changes.len();
        let nothing = Stack::default();
        if is_dir(stat) {
            let below = old.as_ref().and_then(|old| old.below.as_ref()).unwrap_or(&nothing);
            self.directory(&new.child(name)?, below, path)?;
        }
        let kind = match &old {
            None if self.is_skeleton(path, stat, at) => return Ok(()),
            None => ChangeKind::Added,
            Some(old) if differs(stat, &old.stat) => ChangeKind::Changed,
            Some(old) if new.xattrs(name)? != old.dir.xattrs(name)? => ChangeKind::Changed,
            // A directory changes with what is in it.
            Some(_) if self.changes.len() > at => ChangeKind::Changed,
            Some(_) => return Ok(()),
        };
        self.changes.insert(at, Change { path: path.to_owned(), kind });
        Ok(())
    }

    fn is_skeleton(&self, path: &Path, stat: &Stat, at: usize) -> bool {
        let empty = is_dir(stat) || stat.st_size == 0;
        empty && self.changes.len() == at && SKELETON.iter().any(|known| Path::new(known) == path)
    }

    fn push(&mut self, path: PathBuf, kind: ChangeKind) {
        self.changes.push(Change { path, kind });
    }
}

/// Docker's comparison: times and lengths do not count for directories.
fn differs(new: &Stat, old: &Stat) -> bool {
    let meta = new.st_mode != old.st_mode || new.st_uid != old.st_uid || new.st_gid != old.st_gid;
    if is_dir(new) || file_type(new) != file_type(old) {
        return meta;
    }
    // A copy through a tar without nanoseconds is no change.
    let nanos = new.st_mtime_nsec != old.st_mtime_nsec && new.st_mtime_nsec != 0 && old.st_mtime_nsec != 0;
    meta || new.st_rdev != old.st_rdev || new.st_size != old.st_size || new.st_mtime != old.st_mtime || nanos
}
