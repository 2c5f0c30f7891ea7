//! Packing trees: changes as a layer, a merged view as an export.

use std::{
    collections::HashMap,
    ffi::{CString, OsStr},
    io::{self, Read as _, Write},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    rc::Rc,
};

use rustix::fs::Stat;
use tar::{Entry, EntryKind, Time, Writer};

use super::{
    Change, ChangeKind, DEPTH_MAX, Whiteouts,
    apply::apply,
    changes::{changes, tree_changes},
    dir::{Dir, entry_kind, is_gone, os},
    stack::{Found, Stack},
};
use crate::error::{Error, IoContext, Result};

/// Writes the changes of an overlay's upper tree as a layer.
pub(crate) fn create(upper: &Path, lowers: &[PathBuf], out: &mut dyn Write) -> Result<()> {
    layer(upper, &changes(upper, lowers)?, out)
}

/// Writes the difference between two whole trees as a layer.
pub(crate) fn create_from_trees(new: &Path, old: Option<&Path>, out: &mut dyn Write) -> Result<()> {
    layer(new, &tree_changes(new, old)?, out)
}

/// Writes the merged view of the trees (topmost first) as a tar.
pub(crate) fn export(trees: &[PathBuf], out: &mut dyn Write) -> Result<()> {
    let mut pack = Pack::new(out);
    pack.merged(&Stack::open(trees)?, Path::new(""), 0)?;
    pack.finish()
}

/// Copies the merged view of the trees into the empty directory `target`, attributes and links and all.
pub(crate) fn copy_tree(trees: &[PathBuf], target: &Path) -> Result<()> {
    copy_out(trees, Path::new("/"), target).map(drop)
}

/// Copies what the merged view of the trees has in the directory `path`, links resolved within the view, into the empty
/// directory `target`, which takes its attributes too. Whether there is such a directory.
pub(crate) fn copy_out(trees: &[PathBuf], path: &Path, target: &Path) -> Result<bool> {
    if Stack::open(trees)?.directory(path)?.is_none() {
        return Ok(false);
    }
    let (mut input, output) = io::pipe().at("opening a pipe for", target)?;
    std::thread::scope(|scope| {
        // Opens the trees for itself: what is open there is counted without locks.
        let packer = scope.spawn(move || -> Result<()> {
            let Some(source) = Stack::open(trees)?.directory(path)? else { return Ok(()) };
            let mut output = io::BufWriter::with_capacity(64 << 10, output);
            let mut pack = Pack::new(&mut output);
            pack.merged(&source, Path::new(""), 0)?;
            pack.finish()
        });
        let applied = apply(&mut input, target, Whiteouts::Literal);
        // Lets the packer see a closed pipe if unpacking failed.
        drop(input);
        let packed = packer.join().unwrap_or_else(|_| Err(Error::Invalid("copying stopped".to_owned())));
        match packed {
            // Only says that the other side stopped.
            Err(Error::Input(error)) if error.kind() == io::ErrorKind::BrokenPipe => applied.map(drop),
            Err(error) => Err(error),
            Ok(()) => applied.map(drop),
        }
    })?;
    // Last, because what was made in it changed its time.
    if let Some(top) = Stack::open(trees)?.directory(path)?.as_ref().and_then(Stack::top) {
        super::attributes::copy_from(top, target)?;
    }
    Ok(true)
}

fn layer(tree: &Path, changes: &[Change], out: &mut dyn Write) -> Result<()> {
    let mut pack = Pack::new(out);
    let top = Dir::open(tree)?;
    // Changes are sorted, so the directories above a change were mostly opened for the one before it.
    let mut open: Vec<(PathBuf, Rc<Dir>)> = vec![(PathBuf::from("/"), Rc::new(top))];
    for change in changes {
        let (Some(parent), Some(name)) = (change.path.parent(), change.path.file_name()) else { continue };
        let relative = change.path.strip_prefix("/").unwrap_or(&change.path);
        if change.kind == ChangeKind::Deleted {
            pack.whiteout(relative, name)?;
            continue;
        }
        match reach(&mut open, parent).and_then(|dir| match dir.stat(name)? {
            Some(stat) => pack.file(&dir, name, &stat, relative),
            None => Ok(()),
        }) {
            Err(error) if is_gone(&error) => {}
            result => result?,
        }
    }
    pack.finish()
}

/// The open directory at `path`, opening those between the last common one and it.
fn reach(open: &mut Vec<(PathBuf, Rc<Dir>)>, path: &Path) -> Result<Rc<Dir>> {
    while open.len() > 1 && open.last().is_some_and(|(last, _)| !path.starts_with(last)) {
        open.pop();
    }
    let Some((base, dir)) = open.last() else { return Err(Error::not_found("directory", "/")) };
    let (mut at, mut dir) = (base.clone(), Rc::clone(dir));
    let rest = path.strip_prefix(&at).unwrap_or(path).to_owned();
    for name in &rest {
        at.push(name);
        dir = Rc::new(dir.child(name)?);
        open.push((at.clone(), Rc::clone(&dir)));
    }
    Ok(dir)
}

pub(super) struct Pack<'a> {
    writer: Writer<&'a mut dyn Write>,
    /// Files with several names, by device and inode: the name they were packed under.
    links: HashMap<(u64, u64), PathBuf>,
}

impl<'a> Pack<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { writer: Writer::new(out), links: HashMap::new() }
    }

    pub(super) fn finish(self) -> Result<()> {
        self.writer.finish().map(drop).map_err(Error::Input)
    }

    fn merged(&mut self, stack: &Stack, path: &Path, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(Error::TooLarge {
                what: format!("depth of {}", path.display()),
                limit: DEPTH_MAX as u64,
            });
        }
        let names: Vec<CString> = stack.names()?;
        for name in &names {
            let (name, path) = (os(name), path.join(os(name)));
            let Some(Found { dir, stat, below }) = stack.lookup(name)? else { continue };
            match self.file(&dir, name, &stat, &path) {
                Err(error) if is_gone(&error) => continue,
                result => result?,
            }
            if let Some(below) = below {
                self.merged(&below, &path, depth + 1)?;
            }
        }
        Ok(())
    }

    fn whiteout(&mut self, path: &Path, name: &OsStr) -> Result<()> {
        let marked = [b".wh.", name.as_bytes()].concat();
        let path = path.with_file_name(OsStr::from_bytes(&marked));
        let entry = Entry::new(EntryKind::File, path.as_os_str().as_bytes(), 0);
        self.writer.append(&entry).map_err(Error::Input)
    }

    pub(super) fn file(&mut self, dir: &Dir, name: &OsStr, stat: &Stat, path: &Path) -> Result<()> {
        let Some(kind) = entry_kind(stat) else { return Ok(()) };
        let mut entry = Entry::new(kind, path.as_os_str().as_bytes(), stat.st_mode & 0o7777);
        entry.uid = stat.st_uid;
        entry.gid = stat.st_gid;
        entry.mtime = Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 };
        if kind == EntryKind::Directory {
            if !entry.path.ends_with(b"/") {
                entry.path.push(b'/');
            }
        } else if stat.st_nlink > 1 {
            let id = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&id) {
                entry.kind = EntryKind::HardLink;
                entry.link = first.as_os_str().as_bytes().to_vec();
                return self.writer.append(&entry).map_err(Error::Input);
            }
            self.links.insert(id, path.to_owned());
        }
        match kind {
            EntryKind::Symlink => entry.link = dir.read_link(name)?,
            EntryKind::Char | EntryKind::Block => {
                entry.device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
            }
            _ => {}
        }
        entry.xattrs = dir.xattrs(name)?;
        if kind != EntryKind::File {
            return self.writer.append(&entry).map_err(Error::Input);
        }
        let file = dir.open_file(name)?;
        // Of the opened file: another may have taken its place since.
        let meta = file.metadata().at("looking at", dir.path(name))?;
        if !meta.is_file() {
            return Ok(());
        }
        entry.size = meta.len();
        // A file that shrinks under our hands is filled up: its length is in the header already.
        self.writer.append_file(&entry, &mut file.chain(io::repeat(0))).map_err(Error::Input)
    }
}
