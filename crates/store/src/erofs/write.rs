//! An index written from a tree.
//!
//! ```text
//!   0     1024 superblock   device table | inodes, each with attributes and chunks or tail | directory blocks
//! ```
//! Inodes lie in the order in which a walk by levels meets them, so those of one directory are neighbours. The first
//! pass gives each its place, the second writes from front to back. An inode's number is its place in units of 32
//! bytes from the beginning of the image: no number is 0.

use std::io::{self, Write};

use super::{
    BLOCK,
    format::{self, CHUNK_BITS_MAX, DIRENT, INODE, INODE_UNIT, Layout, SLOT, SUPER_AT, Super},
    tree::{Content, Data, Directory, NodeId, Place, ROOT, Tree},
};

/// A rest of this length finds room in a block behind any inode.
const TAIL_MAX: u64 = BLOCK - INODE_UNIT;
/// Images end on whole pages.
const PAGE: u64 = 4096;

/// Where an inode and its contents go.
#[derive(Debug, Clone, Copy)]
struct Planned {
    id: NodeId,
    /// Of the directory that names it.
    parent: NodeId,
    at: u64,
    size: u64,
    /// First block of contents in the image, for directories and long links.
    block: u32,
}

/// Writes the index of `tree`, whose files point into devices of these lengths in blocks.
pub(super) fn write(tree: &Tree, devices: &[u32], uuid: [u8; 16], out: &mut dyn Write) -> io::Result<()> {
    let plan = Plan::new(tree, devices.len() as u64)?;
    let mut out = Out { inner: out, at: 0 };
    out.pad_to(SUPER_AT)?;
    let root = u16::try_from(plan.list[0].at / INODE_UNIT).map_err(|_| too_large())?;
    let head = Super {
        root,
        inodes: plan.list.len() as u64,
        blocks: plan.blocks,
        inodes_at: 0,
        devices: devices.len() as u16,
        uuid,
    };
    out.put(&head.encode())?;
    for blocks in devices {
        out.put(&format::slot(*blocks))?;
    }
    for planned in &plan.list {
        plan.write_inode(planned, &mut out)?;
    }
    for planned in &plan.list {
        let whole = planned.size - tail(planned.size);
        if whole == 0 || matches!(tree.node(planned.id).content, Content::File { .. }) {
            continue;
        }
        out.pad_to(u64::from(planned.block) * BLOCK)?;
        out.put(&plan.contents(planned)[..whole as usize])?;
        // Where the rest is in a block of its own, that block is filled up by what comes next.
    }
    out.pad_to(out.at.next_multiple_of(PAGE))
}

/// How much of contents of this length lies behind the inode.
fn tail(size: u64) -> u64 {
    match size % BLOCK {
        rest if rest <= TAIL_MAX => rest,
        _ => 0,
    }
}

struct Plan<'a> {
    tree: &'a Tree,
    list: Vec<Planned>,
    /// By node: its place in the list, plus one.
    place: Vec<u32>,
    /// By node: how many names it has.
    links: Vec<u32>,
    blocks: u32,
}

impl<'a> Plan<'a> {
    fn new(tree: &'a Tree, devices: u64) -> io::Result<Self> {
        let empty = vec![0_u32; tree.len()];
        let mut plan = Self { tree, list: Vec::new(), place: empty.clone(), links: empty, blocks: 0 };
        plan.order();
        plan.arrange(SUPER_AT + 128 + devices * SLOT)?;
        Ok(plan)
    }

    /// Lists every inode once, level by level, and counts names.
    fn order(&mut self) {
        self.add(ROOT, ROOT);
        let mut next = 0;
        while let Some(Planned { id, .. }) = self.list.get(next).copied() {
            next += 1;
            let Some(directory) = self.tree.directory(id) else { continue };
            // `.` and the name in the parent.
            self.links[id as usize] = 2;
            for child in directory.entries.values() {
                if self.tree.directory(*child).is_some() {
                    self.links[id as usize] += 1;
                } else {
                    self.links[*child as usize] += 1;
                }
                if self.place[*child as usize] == 0 {
                    self.add(*child, id);
                }
            }
        }
    }

    fn add(&mut self, id: NodeId, parent: NodeId) {
        let size = match &self.tree.node(id).content {
            Content::File { size, .. } => *size,
            Content::Symlink(text) => text.len() as u64,
            Content::Directory(directory) => directory_size(directory),
            _ => 0,
        };
        self.list.push(Planned { id, parent, at: 0, size, block: 0 });
        self.place[id as usize] = self.list.len() as u32;
    }

    fn arrange(&mut self, start: u64) -> io::Result<()> {
        let mut at = start;
        for planned in &mut self.list {
            let node = self.tree.node(planned.id);
            let head = INODE + format::xattr_bytes(node.xattrs.as_deref());
            at = at.next_multiple_of(INODE_UNIT);
            let behind = match &node.content {
                Content::File { size, data } => {
                    let (_, count) = chunks(*size, data);
                    // Entries lie on multiples of their size; an inode does too.
                    (head.next_multiple_of(8) - head) + 8 * count
                }
                _ => {
                    let tail = tail(planned.size);
                    while tail > 0 && (at + head) % BLOCK + tail > BLOCK {
                        at += INODE_UNIT;
                    }
                    tail
                }
            };
            planned.at = at;
            at += head + behind;
        }
        let mut block = at.div_ceil(BLOCK);
        for planned in &mut self.list {
            if matches!(self.tree.node(planned.id).content, Content::File { .. }) {
                continue;
            }
            planned.block = u32::try_from(block).map_err(|_| too_large())?;
            block += (planned.size - tail(planned.size)).div_ceil(BLOCK);
        }
        self.blocks = u32::try_from(block.next_multiple_of(PAGE / BLOCK)).map_err(|_| too_large())?;
        Ok(())
    }

    fn write_inode(&self, planned: &Planned, out: &mut Out<'_>) -> io::Result<()> {
        let node = self.tree.node(planned.id);
        out.pad_to(planned.at)?;
        let xattr_bytes = format::xattr_bytes(node.xattrs.as_deref());
        let tail = tail(planned.size);
        let layout = match &node.content {
            Content::File { size, data } if *size > 0 => Layout::Chunks(chunks(*size, data).0),
            _ if tail > 0 => Layout::Inline(planned.block),
            _ => Layout::Plain(planned.block),
        };
        let links = self.links[planned.id as usize];
        out.put(&format::inode(node, planned.size, links, xattr_bytes, layout))?;
        if let Some(xattrs) = &node.xattrs {
            let mut bytes = Vec::with_capacity(xattr_bytes as usize);
            format::encode_xattrs(xattrs, &mut bytes);
            out.put(&bytes)?;
        }
        match &node.content {
            Content::File { size, data } => {
                out.pad_to(out.at.next_multiple_of(8))?;
                write_chunks(*size, data, out)
            }
            _ if tail > 0 => out.put(&self.contents(planned)[(planned.size - tail) as usize..]),
            _ => Ok(()),
        }
    }

    /// Contents that the index itself holds.
    fn contents(&self, planned: &Planned) -> Vec<u8> {
        match &self.tree.node(planned.id).content {
            Content::Symlink(text) => text.to_vec(),
            Content::Directory(directory) => self.directory(planned, directory),
            _ => Vec::new(),
        }
    }

    fn directory(&self, planned: &Planned, directory: &Directory) -> Vec<u8> {
        let mut out = Vec::with_capacity(planned.size as usize);
        let names = names(directory, planned.id, planned.parent);
        let mut rest = names.as_slice();
        while !rest.is_empty() {
            let (block, more) = rest.split_at(fitting(rest));
            rest = more;
            let mut name_at = block.len() * DIRENT;
            for (name, id) in block {
                let inode = self.list[self.place[*id as usize] as usize - 1].at / INODE_UNIT;
                out.extend_from_slice(&inode.to_le_bytes());
                out.extend_from_slice(&(name_at as u16).to_le_bytes());
                out.extend_from_slice(&[format::file_type(&self.tree.node(*id).content), 0]);
                name_at += name.len();
            }
            for (name, _) in block {
                out.extend_from_slice(name);
            }
            if !rest.is_empty() {
                out.resize(out.len().next_multiple_of(BLOCK as usize), 0);
            }
        }
        // Whole blocks are written whole.
        if tail(planned.size) == 0 {
            out.resize(out.len().next_multiple_of(BLOCK as usize), 0);
        }
        out
    }
}

/// All names of a directory, sorted, with its own two.
fn names(directory: &Directory, id: NodeId, parent: NodeId) -> Vec<(&[u8], NodeId)> {
    let mut names: Vec<(&[u8], NodeId)> = vec![(b".", id), (b"..", parent)];
    names.extend(directory.entries.iter().map(|(name, id)| (name.as_ref(), *id)));
    names.sort_unstable();
    names
}

/// How many of these names go into one block.
fn fitting(names: &[(&[u8], NodeId)]) -> usize {
    let mut used = 0;
    let fits = |(name, _): &&(&[u8], NodeId)| {
        used += DIRENT + name.len();
        used <= BLOCK as usize
    };
    names.iter().take_while(fits).count()
}

fn directory_size(directory: &Directory) -> u64 {
    let names = names(directory, ROOT, ROOT);
    let mut rest = names.as_slice();
    let mut blocks = 0;
    loop {
        let (block, more) = rest.split_at(fitting(rest));
        if more.is_empty() {
            let used: usize = block.iter().map(|(name, _)| DIRENT + name.len()).sum();
            return blocks * BLOCK + used as u64;
        }
        (blocks, rest) = (blocks + 1, more);
    }
}

/// Bits of a file's chunks, and their number.
fn chunks(size: u64, data: &Data) -> (u8, u64) {
    match data {
        Data::Empty => (BLOCK.trailing_zeros() as u8, 0),
        Data::Whole(_) => {
            // One chunk, however long the file, up to the longest there can be.
            let bits = size.next_power_of_two().max(BLOCK).trailing_zeros() as u8;
            let bits = bits.min(CHUNK_BITS_MAX);
            (bits, size.div_ceil(1 << bits))
        }
        Data::Chunks { bits, places } => (*bits, places.len() as u64),
    }
}

fn write_chunks(size: u64, data: &Data, out: &mut Out<'_>) -> io::Result<()> {
    match data {
        Data::Empty => Ok(()),
        Data::Whole(first) => {
            let (bits, count) = chunks(size, data);
            for n in 0..count {
                let block = u64::from(first.block) + (n << bits) / BLOCK;
                let block = u32::try_from(block).map_err(|_| too_large())?;
                out.put(&format::chunk(Some(Place { block, ..*first })))?;
            }
            Ok(())
        }
        Data::Chunks { places, .. } => places.iter().try_for_each(|place| out.put(&format::chunk(*place))),
    }
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "index of a layer")
}

/// A sink that knows where it is.
struct Out<'a> {
    inner: &'a mut dyn Write,
    at: u64,
}

impl Out<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn pad_to(&mut self, at: u64) -> io::Result<()> {
        const ZEROS: [u8; 512] = [0; 512];
        while self.at < at {
            let n = ZEROS.len().min((at - self.at) as usize);
            self.put(&ZEROS[..n])?;
        }
        Ok(())
    }
}
