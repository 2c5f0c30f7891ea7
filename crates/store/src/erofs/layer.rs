//! The tree of one layer by itself, from its tar's entries, with the marks for what it does to the layers below.
//!
//! What an entry means here is what it means to `diff::apply`, which unpacks it: the tests hold both together.

use std::os::unix::ffi::OsStrExt as _;

use rustix::io::Errno;
use tar::{Entry, EntryKind, Segment, Time};

use super::{
    BLOCK,
    tree::{Attributes, Content, Data, Directory, Node, NodeId, Place, ROOT, Tree, Xattrs},
};
use crate::{
    diff::{
        META, OPAQUE_NAME, PREFIX,
        dir::keeps_xattr,
        place::{Components, bad_whiteout, clean_hard_link, clean_name, join},
    },
    error::{Error, Result},
    snapshot::Usage,
};

/// Longest name of a file, or of an extended attribute.
const NAME_MAX: usize = 255;
/// Longest text of a symbolic link.
const LINK_MAX: usize = 4095;
/// As many links as the kernel follows.
const LINKS_MAX: usize = 40;
/// A sparse file is cut into at most so many chunks, none smaller than a page.
const CHUNKS_MAX: u64 = 1 << 14;
/// Chunks of all sparse files of a layer: a tar of a few bytes can ask for many.
const LAYER_CHUNKS_MAX: usize = 1 << 22;
/// What an inode can say about the size of one attribute's value, and of all its attributes together.
const XATTR_VALUE_MAX: usize = 0xffff;
const XATTRS_MAX: u64 = 4 * 0xffff;
const CHUNK_BITS_MIN: u8 = 12;

/// Numbers in the device table of what a layer's files point into.
#[derive(Debug, Clone, Copy)]
pub(super) struct Devices {
    /// The tar.
    pub(super) tar: u16,
    /// The contents of sparse files, spread out.
    pub(super) sparse: u16,
}

/// Where pieces of a sparse file's payload go in the file of sparse contents: offset and length, in payload order.
pub(super) type Pieces = Vec<(u64, u64)>;

/// A layer being read.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) tree: Tree,
    pub(super) usage: Usage,
    /// Blocks of the file of sparse contents that are given out.
    pub(super) sparse_blocks: u64,
    chunks: usize,
    devices: Devices,
    /// The directory of the last entry: archives go directory by directory.
    last: Option<(Components, NodeId)>,
}

impl Layer {
    pub(super) fn new(devices: Devices) -> Self {
        Self { tree: Tree::new(), usage: Usage::default(), sparse_blocks: 0, chunks: 0, devices, last: None }
    }

    /// Takes an entry whose payload begins at byte `at` of the tar. For a sparse file: where the payload is to be put.
    pub(super) fn add(&mut self, entry: &Entry, at: u64) -> Result<Pieces> {
        let place = clean_name(&entry.path)?;
        let Some((name, parent)) = place.split_last() else {
            self.top(entry)?;
            return Ok(Pieces::new());
        };
        if name.starts_with(PREFIX) {
            self.whiteout(parent, name, entry.mtime)?;
            return Ok(Pieces::new());
        }
        let mut pieces = Pieces::new();
        match entry.kind {
            EntryKind::Directory => self.describe(&place, entry)?,
            EntryKind::HardLink => self.hard_link(&place, entry)?,
            EntryKind::File => {
                let data = match &entry.sparse {
                    None => whole(self.devices.tar, at, entry.size)?,
                    Some(map) => self.spread(entry.size, map, &mut pieces)?,
                };
                self.usage.bytes += entry.size;
                self.make(&place, entry, Content::File { size: entry.size, data })?;
            }
            EntryKind::Symlink => {
                let fits = !entry.link.is_empty() && entry.link.len() <= LINK_MAX;
                if !fits {
                    let errno = if entry.link.is_empty() { Errno::NOENT } else { Errno::NAMETOOLONG };
                    return Err(Error::io("creating", join(&place), errno));
                }
                // Docker's sizes count a link's text, as the kernel does.
                self.usage.bytes += entry.link.len() as u64;
                self.make(&place, entry, Content::Symlink(entry.link.as_slice().into()))?;
            }
            EntryKind::Char if entry.device == (0, 0) => self.make(&place, entry, Content::Whiteout)?,
            EntryKind::Char => self.make(&place, entry, Content::Char(entry.device.0, entry.device.1))?,
            EntryKind::Block => self.make(&place, entry, Content::Block(entry.device.0, entry.device.1))?,
            EntryKind::Fifo => self.make(&place, entry, Content::Fifo)?,
        }
        self.usage.inodes += u64::from(entry.kind != EntryKind::HardLink);
        Ok(pieces)
    }

    /// The entry `./`: attributes of the root.
    fn top(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != EntryKind::Directory {
            let name = String::from_utf8_lossy(&entry.path);
            return Err(Error::Breakout(format!("{name:?} takes the place of the root directory")));
        }
        self.describe_at(ROOT, entry, &Components::new())
    }

    fn make(&mut self, place: &Components, entry: &Entry, content: Content) -> Result<()> {
        let (name, parent) = split(place)?;
        let xattrs = xattrs(entry, place)?;
        let parent = self.directory(parent, entry.mtime)?;
        if self.tree.child(parent, name).is_some() {
            self.last = None;
        }
        self.tree.put(parent, name, Node { attributes: attributes(entry), xattrs, content })?;
        Ok(())
    }

    /// A directory, which may be there already with something in it.
    fn describe(&mut self, place: &Components, entry: &Entry) -> Result<()> {
        let (name, parent) = split(place)?;
        let parent = self.directory(parent, entry.mtime)?;
        let found = self.tree.child(parent, name);
        if let Some(found) = found
            && self.tree.directory(found).is_some()
        {
            return self.describe_at(found, entry, place);
        }
        // A directory over a whiteout of this very layer: nothing below it shines through.
        let opaque = found.is_some_and(|found| self.tree.node(found).content == Content::Whiteout);
        let directory = Directory { opaque, ..Directory::default() };
        self.make(place, entry, Content::Directory(Box::new(directory)))
    }

    fn describe_at(&mut self, id: NodeId, entry: &Entry, place: &Components) -> Result<()> {
        let new = xattrs(entry, place)?;
        if let Some(directory) = self.tree.directory_mut(id) {
            directory.implied = false;
        }
        let node = self.tree.node_mut(id);
        node.attributes = attributes(entry);
        if let Some(new) = new {
            let old = node.xattrs.take().map(|old| *old).unwrap_or_default();
            let mut all: std::collections::BTreeMap<_, _> = old.into_iter().collect();
            all.extend(*new);
            node.xattrs = Some(Box::new(all.into_iter().collect()));
        }
        Ok(())
    }

    fn hard_link(&mut self, place: &Components, entry: &Entry) -> Result<()> {
        let target = clean_hard_link(&entry.link)?;
        let (target_name, target_parent) = split(&target)?;
        let missing = || Error::io("creating", join(place), Errno::NOENT);
        let from = self.resolve(target_parent)?.ok_or_else(missing)?;
        let (name, parent) = split(place)?;
        let parent = self.directory(parent, entry.mtime)?;
        // A link to its own name would lose the file.
        let found = self.tree.child(from, target_name).filter(|_| (from, target_name) != (parent, name));
        let found = found.ok_or_else(missing)?;
        if self.tree.directory(found).is_some() {
            return Err(Error::io("creating", join(place), Errno::PERM));
        }
        if self.tree.child(parent, name).is_some() {
            self.last = None;
        }
        check_name(name, place)?;
        self.tree.link(parent, name, found);
        Ok(())
    }

    fn whiteout(&mut self, parent: &[Vec<u8>], name: &[u8], mtime: Time) -> Result<()> {
        if name == OPAQUE_NAME {
            let id = self.directory(parent, mtime)?;
            return self.hide(id);
        }
        if name.starts_with(META) {
            return Ok(());
        }
        let hidden = &name[PREFIX.len()..];
        if matches!(hidden, b"" | b"." | b"..") {
            let entry = join(&[parent, &[name.to_vec()]].concat());
            return Err(bad_whiteout(entry.as_os_str().as_bytes()));
        }
        let parent = self.directory(parent, mtime)?;
        match self.tree.child(parent, hidden) {
            // What the layer itself brought hides what is below already, unless both are directories.
            Some(found) if self.tree.directory(found).is_some() => self.hide(found),
            Some(_) => Ok(()),
            None => {
                let attributes = Attributes { mode: 0, ..Attributes::implied(mtime) };
                let content = Content::Whiteout;
                self.tree.put(parent, hidden, Node { attributes, xattrs: None, content })?;
                self.usage.inodes += 1;
                Ok(())
            }
        }
    }

    fn hide(&mut self, id: NodeId) -> Result<()> {
        if let Some(directory) = self.tree.directory_mut(id) {
            directory.opaque = true;
        }
        Ok(())
    }

    /// The directory at `components`, made where it is missing. Symbolic links are resolved inside the layer.
    fn directory(&mut self, components: &[Vec<u8>], mtime: Time) -> Result<NodeId> {
        if let Some((last, id)) = &self.last
            && last == components
        {
            return Ok(*id);
        }
        let id = match self.resolve(components)? {
            Some(id) => id,
            None => self.imply(components, mtime)?,
        };
        self.last = Some((components.to_vec(), id));
        Ok(id)
    }

    /// Makes the directories on the way that are missing. As old as what first needed them.
    fn imply(&mut self, components: &[Vec<u8>], mtime: Time) -> Result<NodeId> {
        let mut at = ROOT;
        for end in 1..=components.len() {
            let path = &components[..end];
            if let Some(found) = self.resolve(path)? {
                at = found;
                continue;
            }
            let (name, _) = split(path)?;
            check_name(name, path)?;
            if self.tree.child(at, name).is_some() {
                // A link that leads nowhere.
                return Err(Error::io("creating", join(path), Errno::EXIST));
            }
            let directory = Directory { implied: true, ..Directory::default() };
            let content = Content::Directory(Box::new(directory));
            let node = Node { attributes: Attributes::implied(mtime), xattrs: None, content };
            at = self.tree.put(at, name, node)?;
        }
        Ok(at)
    }

    /// What openat2(RESOLVE_IN_ROOT) would find, if it is there and a directory.
    fn resolve(&self, components: &[Vec<u8>]) -> Result<Option<NodeId>> {
        let mut above = vec![ROOT];
        let mut waiting: Vec<&[u8]> = components.iter().rev().map(Vec::as_slice).collect();
        let mut links = 0;
        while let Some(word) = waiting.pop() {
            match word {
                b"" | b"." => continue,
                b".." => {
                    above.truncate(above.len().saturating_sub(1).max(1));
                    continue;
                }
                _ => {}
            }
            let at = above.last().copied().unwrap_or(ROOT);
            let Some(found) = self.tree.child(at, word) else { return Ok(None) };
            match &self.tree.node(found).content {
                Content::Directory(_) => above.push(found),
                Content::Symlink(text) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Error::io("opening", join(components), Errno::LOOP));
                    }
                    if text.starts_with(b"/") {
                        above.truncate(1);
                    }
                    waiting.extend(text.split(|b| *b == b'/').rev());
                }
                _ => return Err(Error::io("opening", join(components), Errno::NOTDIR)),
            }
        }
        Ok(above.pop())
    }

    /// Gives a sparse file chunks in the file of sparse contents. Deterministic: reading the tar again gives the same.
    fn spread(&mut self, size: u64, map: &[Segment], pieces: &mut Pieces) -> Result<Data> {
        let mut bits = CHUNK_BITS_MIN;
        while size.div_ceil(1 << bits) > CHUNKS_MAX {
            bits += 1;
        }
        let length = 1_u64 << bits;
        let count = size.div_ceil(length);
        self.chunks += count as usize;
        if self.chunks > LAYER_CHUNKS_MAX {
            let what = "number of chunks of sparse files in a layer".to_owned();
            return Err(Error::TooLarge { what, limit: LAYER_CHUNKS_MAX as u64 });
        }
        let mut places = vec![None; count as usize];
        for segment in map {
            let (mut at, end) = (segment.offset, segment.offset + segment.length);
            while at < end {
                let chunk = at / length;
                let place = match places[chunk as usize] {
                    Some(place) => place,
                    None => {
                        let place = Place { device: self.devices.sparse, block: block(self.sparse_blocks)? };
                        self.sparse_blocks += length / BLOCK;
                        places[chunk as usize] = Some(place);
                        place
                    }
                };
                let next = end.min((chunk + 1) * length);
                pieces.push((u64::from(place.block) * BLOCK + at % length, next - at));
                at = next;
            }
        }
        block(self.sparse_blocks)?;
        Ok(Data::Chunks { bits, places: places.into() })
    }
}

/// Contents in one piece, from byte `at` of a device.
fn whole(device: u16, at: u64, size: u64) -> Result<Data> {
    if size == 0 {
        return Ok(Data::Empty);
    }
    block((at + size) / BLOCK)?;
    Ok(Data::Whole(Place { device, block: block(at / BLOCK)? }))
}

/// An index counts blocks in 32 bits, of which all ones is a hole.
fn block(number: u64) -> Result<u32> {
    match u32::try_from(number) {
        Ok(number) if number != u32::MAX => Ok(number),
        _ => Err(Error::TooLarge { what: "layer".to_owned(), limit: u64::from(u32::MAX) * BLOCK }),
    }
}

fn split(place: &[Vec<u8>]) -> Result<(&[u8], &[Vec<u8>])> {
    match place.split_last() {
        Some((name, parent)) => {
            check_name(name, place)?;
            Ok((name, parent))
        }
        None => Err(Error::Breakout("the root directory cannot be replaced".to_owned())),
    }
}

fn check_name(name: &[u8], place: &[Vec<u8>]) -> Result<()> {
    if name.len() <= NAME_MAX {
        return Ok(());
    }
    Err(Error::io("creating", join(place), Errno::NAMETOOLONG))
}

fn attributes(entry: &Entry) -> Attributes {
    // Links have no permissions of their own; Linux shows all.
    let mode = if entry.kind == EntryKind::Symlink { 0o777 } else { entry.mode & 0o7777 };
    Attributes { mode: mode as u16, uid: entry.uid, gid: entry.gid, mtime: entry.mtime }
}

/// The attributes that a file system would have kept: see `diff::apply`, "tolerate".
fn xattrs(entry: &Entry, place: &Components) -> Result<Option<Box<Xattrs>>> {
    let plain = matches!(entry.kind, EntryKind::File | EntryKind::Directory);
    let mut kept = Xattrs::new();
    for (key, value) in entry.xattrs.iter().filter(|(key, _)| keeps_xattr(key)) {
        let known = match super::format::xattr_name(key) {
            Some((super::format::Namespace::User, _)) => plain,
            Some((super::format::Namespace::Acl, _)) => entry.kind != EntryKind::Symlink,
            Some(_) => true,
            None => false,
        };
        if !known {
            continue;
        }
        if key.len() > NAME_MAX {
            return Err(Error::io("changing", join(place), Errno::RANGE));
        }
        if value.len() > XATTR_VALUE_MAX {
            return Err(Error::io("changing", join(place), Errno::TOOBIG));
        }
        kept.push((key.as_slice().into(), value.as_slice().into()));
    }
    if super::format::xattr_bytes(Some(&kept)) > XATTRS_MAX {
        return Err(Error::io("changing", join(place), Errno::NOSPC));
    }
    kept.sort();
    Ok((!kept.is_empty()).then(|| Box::new(kept)))
}
