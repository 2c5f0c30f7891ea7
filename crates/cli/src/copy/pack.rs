//! Files here as a tar, as Docker's client makes it: whole seconds, numbers for owners, hard links kept, of all extended
//! attributes the file's capabilities.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use tar::{Entry, EntryKind, Time, Writer};

use super::path::split_entry;
use super::plan::{Info, Rename};
use crate::{os_error, warn};

/// The one extended attribute that an upload carries.
const CAPABILITIES: &str = "security.capability";
/// The kernel's bound on an attribute's value.
const XATTR_MAX: usize = 64 << 10;

/// Why files could not be packed.
#[derive(Debug)]
pub(crate) enum PackError {
    /// Nobody reads the archive any more; whoever stopped knows why.
    Closed,
    /// A file could not be read; Go's words.
    Read(String),
}

/// Writes `source`, and all below it, with its names changed by `renames` one after the other.
pub(crate) fn pack(source: &Info, renames: &[Rename], out: impl Write) -> Result<(), PackError> {
    let (directory, name) = split_entry(&source.path);
    let mut first = Vec::new();
    if !source.rebase_name.is_empty() {
        let to = if source.rebase_name == "/" { "" } else { &source.rebase_name };
        first.push(Rename { from: name.clone(), to: to.to_owned() });
    }
    let root = Path::new(&directory).join(&name);
    let top = if name == "/" { ".".to_owned() } else { name };
    let mut packer = Packer {
        writer: Writer::new(io::BufWriter::with_capacity(256 * 1024, out)),
        renames: first.iter().chain(renames).cloned().collect(),
        links: HashMap::new(),
    };
    // A stack instead of recursion: trees are as deep as their maker likes.
    let mut waiting = vec![(root, top.into_bytes())];
    while let Some((path, name)) = waiting.pop() {
        if packer.add(&path, &name)? {
            waiting.extend(children(&path, &name)?);
        }
    }
    packer.writer.finish().map(drop).map_err(|_| PackError::Closed)
}

/// What is in a directory, the first in order last.
fn children(path: &Path, name: &[u8]) -> Result<Vec<(PathBuf, Vec<u8>)>, PackError> {
    let failed = |error: io::Error| PackError::Read(format!("open {}: {}", path.display(), os_error(&error)));
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name());
    }
    names.sort_unstable_by(|a, b| b.cmp(a));
    let below = |child: std::ffi::OsString| {
        let whole = [name, b"/", child.as_bytes()].concat();
        (path.join(child), whole)
    };
    Ok(names.into_iter().map(below).collect())
}

struct Packer<W: Write> {
    writer: Writer<io::BufWriter<W>>,
    renames: Vec<Rename>,
    /// Device and inode of files with several names, and the first of them.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Packer<W> {
    /// Adds one file; true for a directory.
    fn add(&mut self, path: &Path, name: &[u8]) -> Result<bool, PackError> {
        let failed = |what: &str, error: io::Error| {
            PackError::Read(format!("{what} {}: {}", path.display(), os_error(&error)))
        };
        let found = fs::symlink_metadata(path).map_err(|error| failed("lstat", error))?;
        let Some(kind) = kind_of(&found) else {
            warn(&format!("Can't add file {} to tar: archive/tar: sockets not supported", path.display()));
            return Ok(false);
        };
        let mut name = self.renames.iter().fold(name.to_vec(), |name, rename| rename.apply(&name));
        if kind == EntryKind::Directory {
            name.push(b'/');
        }
        let mut entry = Entry {
            uid: found.uid(),
            gid: found.gid(),
            mtime: Time { seconds: found.mtime(), nanoseconds: 0 },
            ..Entry::new(kind, name.clone(), found.mode() & 0o7777)
        };
        match kind {
            EntryKind::Symlink => {
                let target = fs::read_link(path).map_err(|error| failed("readlink", error))?;
                entry.link = target.as_os_str().as_bytes().to_vec();
            }
            EntryKind::Char | EntryKind::Block => {
                entry.device = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
            }
            _ => {}
        }
        if kind != EntryKind::Directory && found.nlink() > 1 {
            let first = self.links.entry((found.dev(), found.ino())).or_insert_with(|| name.clone());
            if *first != name {
                entry.kind = EntryKind::HardLink;
                entry.link.clone_from(first);
            }
        }
        if entry.kind != EntryKind::File {
            self.writer.append(&entry).map_err(|_| PackError::Closed)?;
            return Ok(kind == EntryKind::Directory);
        }
        entry.size = found.size();
        entry.xattrs = capabilities(path);
        let file = File::open(path).map_err(|error| failed("open", error))?;
        self.copy(&entry, file, |error| failed("read", error))?;
        Ok(false)
    }

    /// Tells errors of the file from those of the archive, which pass through one call.
    fn copy(
        &mut self,
        entry: &Entry,
        file: File,
        failed: impl FnOnce(io::Error) -> PackError,
    ) -> Result<(), PackError> {
        let mut source = Watched { file, error: None };
        let written = self.writer.append_file(entry, &mut source);
        match (source.error, written) {
            (Some(error), _) => Err(failed(error)),
            (None, Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Err(failed(error)),
            (None, written) => written.map_err(|_| PackError::Closed),
        }
    }
}

/// A file that remembers what went wrong with it.
struct Watched {
    file: File,
    error: Option<io::Error>,
}

impl io::Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                let known = error.raw_os_error().map(io::Error::from_raw_os_error);
                self.error = Some(known.unwrap_or_else(|| error.kind().into()));
            }
        })
    }
}

fn kind_of(found: &Metadata) -> Option<EntryKind> {
    let kind = found.file_type();
    Some(match () {
        () if kind.is_file() => EntryKind::File,
        () if kind.is_dir() => EntryKind::Directory,
        () if kind.is_symlink() => EntryKind::Symlink,
        () if kind.is_char_device() => EntryKind::Char,
        () if kind.is_block_device() => EntryKind::Block,
        () if kind.is_fifo() => EntryKind::Fifo,
        () => return None,
    })
}

/// A file system that has no attributes has no capabilities either.
fn capabilities(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut value = vec![0_u8; XATTR_MAX];
    match rustix::fs::lgetxattr(path, CAPABILITIES, &mut value) {
        Ok(length) if length > 0 => vec![(CAPABILITIES.as_bytes().to_vec(), value[..length].to_vec())],
        _ => Vec::new(),
    }
}
