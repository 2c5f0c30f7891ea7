//! Files here out of a tar that comes from a container: hostile until shown otherwise.
//!
//! Every name is looked up from a directory that is open, one part after the other, and no part may be a link. What is
//! there already gives way, except that a directory stays a directory and a file a file.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags, chmodat, linkat, makedev,
    mkdirat, mknodat, openat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use tar::{Entry, EntryKind, Reader};

use super::plan::Rename;
use crate::os_error;

/// Directories that the archive does not mention.
const IMPLIED_MODE: u32 = 0o755;
/// A directory must take files until its own mode is set at the end.
const WRITABLE: u32 = 0o700;

type Parts = Vec<Vec<u8>>;

/// A directory that an archive is unpacked into.
pub(crate) struct Extraction<'a> {
    top: OwnedFd,
    /// For messages, and for the part of a name that is checked as text.
    shown: &'a str,
    renames: &'a [Rename],
    /// The only name at the top that may be made, when the copy is one file or directory of that name.
    only: Option<&'a str>,
    /// The directory used last, which the next entry often is in too.
    last: Option<(Parts, OwnedFd)>,
    /// Modes and times of directories, which are set when nothing is made in them any more.
    directories: Vec<(Parts, Entry)>,
}

impl<'a> Extraction<'a> {
    /// Opens `directory`. The names in the archive are changed by `renames` one after the other; if `only` is given,
    /// nothing else is made in it.
    pub(crate) fn new(
        directory: &'a str,
        renames: &'a [Rename],
        only: Option<&'a str>,
    ) -> Result<Self, String> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top =
            openat(CWD, directory, flags, Mode::empty()).map_err(|error| at("open", directory, error))?;
        Ok(Self { top, shown: directory, renames, only, last: None, directories: Vec::new() })
    }

    /// Unpacks a whole archive.
    pub(crate) fn run(mut self, input: impl Read) -> Result<(), String> {
        let mut reader = Reader::new(input);
        while let Some(entry) = reader.next_entry().map_err(|error| error.to_string())? {
            self.entry(entry, &mut reader)?;
        }
        while let Some((parts, entry)) = self.directories.pop() {
            let Some((name, above)) = parts.split_last() else { continue };
            let path = self.show(&parts);
            let dir = self.directory(above, false)?;
            attributes(dir, OsStr::from_bytes(name), &entry).map_err(|error| at("chmod", &path, error))?;
        }
        Ok(())
    }

    fn entry(&mut self, mut entry: Entry, reader: &mut Reader<impl Read>) -> Result<(), String> {
        let renamed =
            |name: &[u8]| self.renames.iter().fold(name.to_vec(), |name, rename| rename.apply(&name));
        entry.path = renamed(&entry.path);
        if entry.kind == EntryKind::HardLink {
            entry.link = renamed(&entry.link);
        }
        let parts = self.inside(&entry.path)?;
        let Some((name, above)) = parts.split_last() else { return Ok(()) };
        let path = self.show(&parts);
        let target = match entry.kind {
            EntryKind::HardLink => Some(self.inside(&entry.link)?),
            _ => None,
        };
        let name = OsStr::from_bytes(name);
        let shown = self.shown;
        let stays = {
            let dir = self.directory(above, true)?;
            make_room(dir, name, &entry, &path, shown)?
        };
        if let Some(target) = target {
            return self.hard_link(&target, above, name, &path);
        }
        let dir = self.directory(above, true)?;
        let failed = |what: &'static str| {
            let path = path.clone();
            move |error: Errno| at(what, &path, error)
        };
        match entry.kind {
            EntryKind::File => return file(dir, name, &entry, reader, &path),
            EntryKind::Directory => {
                if !stays {
                    mkdirat(dir, name, Mode::from_raw_mode(entry.mode | WRITABLE))
                        .map_err(failed("mkdir"))?;
                }
                self.directories.push((parts, entry));
                return Ok(());
            }
            EntryKind::Symlink => {
                symlinkat(OsStr::from_bytes(&entry.link), dir, name).map_err(failed("symlink"))?;
            }
            EntryKind::Fifo => node(dir, name, FileType::Fifo, &entry).map_err(failed("mkfifo"))?,
            EntryKind::Char => node(dir, name, FileType::CharacterDevice, &entry).map_err(failed("mknod"))?,
            EntryKind::Block => node(dir, name, FileType::BlockDevice, &entry).map_err(failed("mknod"))?,
            EntryKind::HardLink => {}
        }
        attributes(dir, name, &entry).map_err(failed("chmod"))
    }

    /// The parts of a name below the top. The name may be absolute, which here is the same as relative.
    fn inside(&self, name: &[u8]) -> Result<Parts, String> {
        let outside = || format!("{:?} is outside of {:?}", String::from_utf8_lossy(name), self.shown);
        let rooted = name.starts_with(b"/");
        let mut parts = Parts::new();
        for part in name.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." if parts.pop().is_some() || rooted => {}
                b".." => return Err(outside()),
                part => parts.push(part.to_vec()),
            }
        }
        match (self.only, parts.first()) {
            (Some(only), Some(first)) if first != only.as_bytes() => Err(outside()),
            _ => Ok(parts),
        }
    }

    fn hard_link(
        &mut self,
        target: &[Vec<u8>],
        above: &[Vec<u8>],
        name: &OsStr,
        path: &str,
    ) -> Result<(), String> {
        let from_path = self.show(target);
        let Some((from_name, from_above)) = target.split_last() else {
            return Err(format!("link {from_path} {path}: operation not permitted"));
        };
        let from = self.open(from_above, false)?;
        let dir = self.directory(above, true)?;
        linkat(from, OsStr::from_bytes(from_name), dir, name, AtFlags::empty())
            .map_err(|error| format!("link {from_path} {path}: {}", words(error)))
    }

    /// A directory below the top, made where it is not there and `create` is set.
    fn directory(&mut self, parts: &[Vec<u8>], create: bool) -> Result<BorrowedFd<'_>, String> {
        let known = self.last.as_ref().is_some_and(|(known, _)| known == parts);
        if !known {
            self.last = Some((parts.to_vec(), self.open(parts, create)?));
        }
        Ok(self.last.as_ref().map_or(self.top.as_fd(), |(_, fd)| fd.as_fd()))
    }

    fn open(&self, parts: &[Vec<u8>], create: bool) -> Result<OwnedFd, String> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let failed = |depth: usize, error: Errno| at("open", &self.show(&parts[..depth]), error);
        let mut fd = rustix::io::fcntl_dupfd_cloexec(&self.top, 0).map_err(|error| failed(0, error))?;
        for (depth, part) in parts.iter().enumerate() {
            let name = OsStr::from_bytes(part);
            fd = match openat(&fd, name, flags, Mode::empty()) {
                Err(Errno::NOENT) if create => {
                    mkdirat(&fd, name, Mode::from_raw_mode(IMPLIED_MODE))
                        .map_err(|error| failed(depth + 1, error))?;
                    openat(&fd, name, flags, Mode::empty())
                }
                opened => opened,
            }
            .map_err(|error| failed(depth + 1, error))?;
        }
        Ok(fd)
    }

    fn show(&self, parts: &[Vec<u8>]) -> String {
        let mut path = self.shown.trim_end_matches('/').to_owned();
        for part in parts {
            path.push('/');
            path.push_str(&String::from_utf8_lossy(part));
        }
        path
    }
}

/// Removes what is in the way of an entry; true when a directory stays.
fn make_room(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    entry: &Entry,
    path: &str,
    top: &str,
) -> Result<bool, String> {
    let there = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => FileType::from_raw_mode(stat.st_mode),
        Err(Errno::NOENT) => return Ok(false),
        Err(error) => return Err(at("lstat", path, error)),
    };
    match (there == FileType::Directory, entry.kind == EntryKind::Directory) {
        (true, true) => Ok(true),
        (true, false) => Err(format!("cannot overwrite directory {path:?} with non-directory {top:?}")),
        (false, true) => Err(format!("cannot overwrite non-directory {path:?} with directory {top:?}")),
        (false, false) => {
            unlinkat(dir, name, AtFlags::empty()).map_err(|error| at("unlinkat", path, error))?;
            Ok(false)
        }
    }
}

fn file(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    entry: &Entry,
    reader: &mut Reader<impl Read>,
    path: &str,
) -> Result<(), String> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(dir, name, flags, Mode::from_raw_mode(entry.mode & 0o777));
    let mut file = File::from(opened.map_err(|error| at("open", path, error))?);
    let copied = match &entry.sparse {
        None => io::copy(reader, &mut file).map(drop),
        Some(pieces) => pieces
            .iter()
            .try_for_each(|piece| {
                file.seek(SeekFrom::Start(piece.offset))?;
                io::copy(&mut reader.by_ref().take(piece.length), &mut file).map(drop)
            })
            .and_then(|()| file.set_len(entry.size)),
    };
    copied.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => "unexpected EOF".to_owned(),
        _ => format!("write {path}: {}", os_error(&error)),
    })?;
    attributes(dir, name, entry).map_err(|error| at("chmod", path, error))
}

fn node(dir: BorrowedFd<'_>, name: &OsStr, kind: FileType, entry: &Entry) -> Result<(), Errno> {
    let (major, minor) = entry.device;
    mknodat(dir, name, kind, Mode::from_raw_mode(entry.mode & 0o777), makedev(major, minor))
}

/// Extended attributes, mode and time. The owner is whoever copies, as with Docker.
fn attributes(dir: BorrowedFd<'_>, name: &OsStr, entry: &Entry) -> Result<(), Errno> {
    let path = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
    // What only root may set steers file systems (overlayfs among them): that is for this machine to say.
    for (key, value) in entry.xattrs.iter().filter(|(key, _)| !key.starts_with(b"trusted.")) {
        match rustix::fs::lsetxattr(&path, key.as_slice(), value, XattrFlags::empty()) {
            // A file system without them, or somebody who may not set them, does without.
            Ok(()) | Err(Errno::NOTSUP | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    if entry.kind != EntryKind::Symlink {
        chmodat(dir, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
    }
    // Docker's bound: nothing is older than 1970.
    let time = match entry.mtime.seconds {
        seconds if seconds >= 0 => {
            Timespec { tv_sec: seconds, tv_nsec: i64::from(entry.mtime.nanoseconds) as _ }
        }
        _ => Timespec { tv_sec: 0, tv_nsec: 0 },
    };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}

fn at(what: &str, path: &str, error: Errno) -> String {
    format!("{what} {path}: {}", words(error))
}

fn words(error: Errno) -> String {
    os_error(&error.into())
}
