//! Unpacking a layer into a tree.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs::File,
    io::{Read, Seek as _, SeekFrom, Write as _},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};
use tar::{Entry, EntryKind, Reader, Segment, TarError, Time};

use super::{
    OPAQUE, Whiteouts,
    dir::{Dir, is_whiteout, keeps_xattr, proc_path},
    place::{Components, Place, bad_whiteout, clean_hard_link, clean_name, join},
};
use crate::{
    error::{Error, IoContext, Result},
    snapshot::{Applied, Usage},
};

/// What whiteouts begin with.
pub(crate) const PREFIX: &[u8] = b".wh.";
/// What else aufs wrote beside whiteouts.
pub(crate) const META: &[u8] = b".wh..wh.";
/// Hides what the layers below have in its directory.
pub(crate) const OPAQUE_NAME: &[u8] = b".wh..wh..opq";
/// What may follow the end of an archive: tar pads to its record size, which is rarely above a megabyte.
const TRAILER_MAX: u64 = 1 << 30;

/// Unpacks the tar `layer` into the directory `tree`, reading to the end of the stream. Nothing is flushed.
pub(crate) fn apply(layer: &mut dyn Read, tree: &Path, whiteouts: Whiteouts) -> Result<Applied> {
    unpack(layer, Place::open(tree)?, whiteouts, None)
}

/// How an archive of a user goes into a container, which is not how a layer does.
#[derive(Debug, Clone, Copy, Default)]
pub struct UnpackOptions {
    /// Who gets everything, instead of whom the archive names.
    pub owner: Option<(u32, u32)>,
    /// A directory never gives way to something else, nor the other way round.
    pub keep_kinds: bool,
}

pub(super) fn unpack(
    layer: &mut dyn Read,
    place: Place,
    whiteouts: Whiteouts,
    guest: Option<UnpackOptions>,
) -> Result<Applied> {
    let mut reader = Reader::new(layer);
    let mut unpack = Unpack {
        place,
        whiteouts,
        guest,
        seen: HashSet::new(),
        times: Vec::new(),
        usage: Usage::default(),
        top_seen: false,
        buffer: vec![0; 128 << 10],
    };
    while let Some(mut entry) = reader.next_entry()? {
        if let Some((uid, gid)) = guest.and_then(|guest| guest.owner) {
            (entry.uid, entry.gid) = (uid, gid);
        }
        unpack.entry(&entry, &mut reader)?;
    }
    drain(reader.into_inner(), &mut unpack.buffer)?;
    unpack.finish()
}

fn drain(rest: &mut dyn Read, buffer: &mut [u8]) -> Result<()> {
    let mut drained = 0;
    loop {
        match rest.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => drained += n as u64,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(TarError::from(error).into()),
        }
        if drained > TRAILER_MAX {
            return Err(Error::TooLarge { what: "trailer of the archive".to_owned(), limit: TRAILER_MAX });
        }
    }
}

struct Unpack {
    place: Place,
    whiteouts: Whiteouts,
    /// Not a layer, but an archive for a place that has its own attributes.
    guest: Option<UnpackOptions>,
    /// Paths that this layer brought: its whiteouts do not concern them. Only kept where whiteouts remove.
    seen: HashSet<Components>,
    /// Directories and their times, which are set last because every file made in them changes them.
    times: Vec<(Components, Time)>,
    usage: Usage,
    top_seen: bool,
    buffer: Vec<u8>,
}

impl Unpack {
    fn entry(&mut self, entry: &Entry, reader: &mut Reader<&mut dyn Read>) -> Result<()> {
        let place = clean_name(&entry.path)?;
        let Some((name, parent)) = place.split_last() else { return self.top(entry) };
        if self.whiteouts != Whiteouts::Literal && name.starts_with(PREFIX) {
            return self.whiteout(parent, name);
        }
        if self.guest.is_some_and(|guest| guest.keep_kinds) {
            self.check_kind(&place, entry)?;
        }
        match entry.kind {
            EntryKind::File => self.file(&place, entry, reader)?,
            EntryKind::Directory => self.directory(&place, entry)?,
            EntryKind::HardLink => self.hard_link(&place, entry)?,
            EntryKind::Symlink => {
                let target = OsStr::from_bytes(&entry.link);
                self.make(&place, |dir, name| rustix::fs::symlinkat(target, dir, name))?;
                // Docker's sizes count a link's text, as the kernel does.
                self.usage.bytes += entry.link.len() as u64;
                self.attributes_by_name(&place, entry)?;
            }
            EntryKind::Char | EntryKind::Block | EntryKind::Fifo => {
                let kind = match entry.kind {
                    EntryKind::Char => FileType::CharacterDevice,
                    EntryKind::Block => FileType::BlockDevice,
                    _ => FileType::Fifo,
                };
                let device = rustix::fs::makedev(entry.device.0, entry.device.1);
                let mode = Mode::from_raw_mode(entry.mode);
                self.make(&place, |dir, name| rustix::fs::mknodat(dir, name, kind, mode, device))?;
                self.attributes_by_name(&place, entry)?;
            }
        }
        self.usage.inodes += u64::from(entry.kind != EntryKind::HardLink);
        if self.whiteouts == Whiteouts::Remove {
            self.seen.insert(place);
        }
        Ok(())
    }

    /// Docker's words for a directory that would have to give way, or to take a file's place.
    fn check_kind(&mut self, place: &Components, entry: &Entry) -> Result<()> {
        let (Some(name), parent) = (place.last(), &place[..place.len() - 1]) else { return Ok(()) };
        let found = match self.place.existing(parent) {
            Ok(dir) => rustix::fs::statat(&dir, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW).ok(),
            Err(_) => None,
        };
        let Some(found) = found else { return Ok(()) };
        let is_dir = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
        let word = |is_dir: bool| if is_dir { "directory" } else { "non-directory" };
        let becomes_dir = entry.kind == EntryKind::Directory;
        if is_dir == becomes_dir {
            return Ok(());
        }
        let (shown, top) = (self.place.show(place), self.place.show(&[]));
        let (from, to) = (word(is_dir), word(becomes_dir));
        Err(Error::Invalid(format!("cannot overwrite {from} {shown:?} with {to} {top:?}")))
    }

    /// The entry `./`: attributes of the tree's own top.
    fn top(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != EntryKind::Directory {
            let name = String::from_utf8_lossy(&entry.path);
            return Err(Error::Breakout(format!("{name:?} takes the place of the root directory")));
        }
        if self.guest.is_some() {
            return Ok(());
        }
        let top = rustix::io::fcntl_dupfd_cloexec(self.place.top(), 0).at("opening", self.place.show(&[]))?;
        attributes(top.as_fd(), entry).at("changing", self.place.show(&[]))?;
        self.times.push((Vec::new(), entry.mtime));
        self.top_seen = true;
        Ok(())
    }

    fn file(&mut self, place: &Components, entry: &Entry, reader: &mut Reader<&mut dyn Read>) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let fd = self.make(place, |dir, name| rustix::fs::openat(dir, name, flags, mode))?;
        let mut file = File::from(fd);
        match &entry.sparse {
            None => self.copy(place, reader, &mut file, entry.size)?,
            Some(map) => self.copy_sparse(place, reader, &mut file, entry.size, map)?,
        }
        attributes(file.as_fd(), entry)
            .and_then(|()| rustix::fs::futimens(&file, &timestamps(entry.mtime)))
            .at("changing", self.place.show(place))?;
        self.usage.bytes += entry.size;
        Ok(())
    }

    fn copy(
        &mut self,
        place: &Components,
        reader: &mut Reader<&mut dyn Read>,
        file: &mut File,
        mut left: u64,
    ) -> Result<()> {
        while left > 0 {
            let want = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let n = match reader.read(&mut self.buffer[..want]) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                result => result.map_err(TarError::from)?,
            };
            file.write_all(&self.buffer[..n]).at("writing", self.place.show(place))?;
            left -= n as u64;
        }
        Ok(())
    }

    fn copy_sparse(
        &mut self,
        place: &Components,
        reader: &mut Reader<&mut dyn Read>,
        file: &mut File,
        size: u64,
        map: &[Segment],
    ) -> Result<()> {
        for segment in map {
            file.seek(SeekFrom::Start(segment.offset)).at("writing", self.place.show(place))?;
            self.copy(place, reader, file, segment.length)?;
        }
        file.set_len(size).at("writing", self.place.show(place))
    }

    fn directory(&mut self, place: &Components, entry: &Entry) -> Result<()> {
        let mut hides = false;
        let made =
            self.place_of(place, |dir, name| rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755)))?;
        if let Err(error) = made {
            if error != Errno::EXIST {
                return Err(Error::io("creating", self.place.show(place), error));
            }
            let found = self.stat(place)?;
            if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
                // A directory over a whiteout of this very layer: nothing below it shines through.
                hides = self.whiteouts == Whiteouts::Overlay && is_whiteout(&found);
                self.make(place, |dir, name| rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755)))?;
            }
        }
        let fd = self.open_directory(place)?;
        if hides {
            opaque(fd.as_fd()).at("hiding what is below", self.place.show(place))?;
        }
        attributes(fd.as_fd(), entry).at("changing", self.place.show(place))?;
        self.times.push((place.clone(), entry.mtime));
        Ok(())
    }

    fn hard_link(&mut self, place: &Components, entry: &Entry) -> Result<()> {
        let target = clean_hard_link(&entry.link)?;
        let Some((target_name, target_parent)) = target.split_last() else { return Ok(()) };
        let from = self.place.existing(target_parent)?;
        let target_name = OsStr::from_bytes(target_name);
        self.make(place, |dir, name| rustix::fs::linkat(&from, target_name, dir, name, AtFlags::empty()))
    }

    fn whiteout(&mut self, parent: &[Vec<u8>], name: &[u8]) -> Result<()> {
        if name == OPAQUE_NAME {
            return self.hide(parent);
        }
        let hidden = &name[PREFIX.len()..];
        if name.starts_with(META) {
            return Ok(());
        }
        let mut place = parent.to_vec();
        place.push(hidden.to_vec());
        if matches!(hidden, b"" | b"." | b"..") {
            place.pop();
            place.push(name.to_vec());
            return Err(bad_whiteout(join(&place).as_os_str().as_bytes()));
        }
        if self.whiteouts == Whiteouts::Remove {
            return if self.seen.contains(&place) { Ok(()) } else { self.remove(&place) };
        }
        let made = self.place_of(&place, |dir, name| {
            rustix::fs::mknodat(dir, name, FileType::CharacterDevice, Mode::empty(), 0)
        })?;
        match made {
            Ok(()) => {
                self.usage.inodes += 1;
                Ok(())
            }
            // The layer itself brought something under that name, which hides what is below already, unless both are
            // directories.
            Err(Errno::EXIST)
                if FileType::from_raw_mode(self.stat(&place)?.st_mode) == FileType::Directory =>
            {
                self.hide(&place)
            }
            Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(Error::io("creating a whiteout", self.place.show(&place), error)),
        }
    }

    /// Hides what the layers below have in a directory.
    fn hide(&mut self, place: &[Vec<u8>]) -> Result<()> {
        let shown = self.place.show(place);
        let dir = self.place.directory(place)?;
        if self.whiteouts == Whiteouts::Overlay {
            return opaque(dir).at("hiding what is below", shown);
        }
        let dir = rustix::io::fcntl_dupfd_cloexec(dir, 0).at("opening", &shown)?;
        for name in Dir::from_fd(dir, shown).names()? {
            let mut child = place.to_vec();
            child.push(name.into_bytes());
            if !self.seen.contains(&child) {
                self.remove(&child)?;
            }
        }
        Ok(())
    }

    /// Makes something at `place`. What is there already gives way.
    fn make<T>(
        &mut self,
        place: &Components,
        mut make: impl FnMut(BorrowedFd<'_>, &OsStr) -> Result<T, Errno>,
    ) -> Result<T> {
        let mut result = self.place_of(place, &mut make)?;
        if matches!(result, Err(Errno::EXIST)) {
            self.remove(place)?;
            result = self.place_of(place, &mut make)?;
        }
        result.at("creating", self.place.show(place))
    }

    /// Calls `f` with the directory and name of `place`.
    fn place_of<T>(&mut self, place: &[Vec<u8>], f: impl FnOnce(BorrowedFd<'_>, &OsStr) -> T) -> Result<T> {
        let Some((name, parent)) = place.split_last() else {
            return Err(Error::Breakout("the root directory cannot be replaced".to_owned()));
        };
        let dir = self.place.directory(parent)?;
        Ok(f(dir, OsStr::from_bytes(name)))
    }

    fn stat(&mut self, place: &[Vec<u8>]) -> Result<rustix::fs::Stat> {
        self.place_of(place, |dir, name| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW))?
            .at("looking at", self.place.show(place))
    }

    fn open_directory(&mut self, place: &[Vec<u8>]) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.place_of(place, |dir, name| rustix::fs::openat(dir, name, flags, Mode::empty()))?
            .at("opening", self.place.show(place))
    }

    fn remove(&mut self, place: &[Vec<u8>]) -> Result<()> {
        let unlinked = self.place_of(place, |dir, name| rustix::fs::unlinkat(dir, name, AtFlags::empty()))?;
        // Links and directories on remembered paths may be what goes.
        let shown = self.place.show(place);
        let result = match unlinked {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => self.place_of(place, |dir, name| {
                let dir = rustix::io::fcntl_dupfd_cloexec(dir, 0).at("opening", &shown)?;
                super::remove::remove_at(dir.as_fd(), name, &shown)
            })?,
            Err(error) => Err(Error::io("removing", &shown, error)),
        };
        self.place.forget();
        result
    }

    /// Owner, attributes, mode and times of something that cannot be opened.
    fn attributes_by_name(&mut self, place: &Components, entry: &Entry) -> Result<()> {
        let done = self.place_of(place, |dir, name| {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
            rustix::fs::chownat(dir, name, Some(uid), Some(gid), flags)?;
            for (key, value) in entry.xattrs.iter().filter(|(key, _)| keeps_xattr(key)) {
                let set =
                    rustix::fs::lsetxattr(proc_path(dir, name), key.as_slice(), value, XattrFlags::empty());
                tolerate(key, set)?;
            }
            if entry.kind != EntryKind::Symlink {
                rustix::fs::chmodat(dir, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
            }
            rustix::fs::utimensat(dir, name, &timestamps(entry.mtime), flags)
        })?;
        done.at("changing", self.place.show(place))
    }

    fn finish(mut self) -> Result<Applied> {
        for (place, mtime) in std::mem::take(&mut self.times) {
            let times = timestamps(mtime);
            if place.is_empty() {
                rustix::fs::futimens(self.place.top(), &times).at("changing", self.place.show(&[]))?;
                continue;
            }
            // A later entry may have replaced the directory, or one above it.
            let Ok(fd) = self.existing_parent(&place) else { continue };
            let name = OsStr::from_bytes(place.last().map_or(b"", Vec::as_slice));
            match rustix::fs::utimensat(&fd, name, &times, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(Error::io("changing", self.place.show(&place), error)),
            }
        }
        let top_seen = self.top_seen;
        let mut implied = self.place.into_implied();
        if !top_seen {
            implied.push(Path::new("").to_owned());
        }
        Ok(Applied { usage: self.usage, implied })
    }

    fn existing_parent(&self, place: &[Vec<u8>]) -> Result<OwnedFd> {
        self.place.existing(&place[..place.len() - 1])
    }
}

/// Owner first, because changing it clears set-id bits and file capabilities.
fn attributes(fd: BorrowedFd<'_>, entry: &Entry) -> Result<(), Errno> {
    rustix::fs::fchown(fd, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))?;
    for (key, value) in entry.xattrs.iter().filter(|(key, _)| keeps_xattr(key)) {
        tolerate(key, rustix::fs::fsetxattr(fd, key.as_slice(), value, XattrFlags::empty()))?;
    }
    rustix::fs::fchmod(fd, Mode::from_raw_mode(entry.mode))
}

/// Docker's rule: an attribute that the file system does not know is left out, and so is a user attribute on a file
/// that cannot have one.
fn tolerate(key: &[u8], result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::NOTSUP) => Ok(()),
        Err(Errno::PERM) if key.starts_with(b"user.") => Ok(()),
        result => result,
    }
}

fn opaque(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::fs::fsetxattr(dir, OPAQUE, b"y", XattrFlags::empty())
}

fn timestamps(time: Time) -> Timestamps {
    let time = Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) as _ };
    Timestamps { last_access: time, last_modification: time }
}
