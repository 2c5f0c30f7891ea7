//! The bytes of an index: superblock, device table, inodes, directory blocks, extended attributes.
//!
//! erofs as the kernel documents it (Documentation/filesystems/erofs.rst, fs/erofs/erofs_fs.h): all numbers are
//! little-endian. Only what an index needs: blocks of 512 bytes, extended inodes, chunk-based files.

use super::tree::{Content, Node, Place, Xattrs};

/// Where the superblock lies.
pub(super) const SUPER_AT: u64 = 1024;
const MAGIC: u32 = 0xe0f5_e1e2;
const BLOCK_BITS: u8 = 9;
/// Files are made of chunks; there is a table of devices.
const INCOMPATIBLE: u32 = 0x4 | 0x8;
/// Bytes of an entry in the device table.
pub(super) const SLOT: u64 = 128;
/// Unit of inode numbers.
pub(super) const INODE_UNIT: u64 = 32;
/// Bytes of an extended inode.
pub(super) const INODE: u64 = 64;
/// Bytes of a name's entry in a directory block, without the name.
pub(super) const DIRENT: usize = 12;
/// Chunks are at most `512 << 31` bytes.
pub(super) const CHUNK_BITS_MAX: u8 = BLOCK_BITS + 31;

/// What the superblock says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Super {
    pub(super) root: u16,
    pub(super) inodes: u64,
    pub(super) blocks: u32,
    /// First block of the inodes.
    pub(super) inodes_at: u32,
    pub(super) devices: u16,
    pub(super) uuid: [u8; 16],
}

impl Super {
    pub(super) fn encode(&self) -> [u8; 128] {
        let mut out = [0; 128];
        out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[12] = BLOCK_BITS;
        out[14..16].copy_from_slice(&self.root.to_le_bytes());
        out[16..24].copy_from_slice(&self.inodes.to_le_bytes());
        out[36..40].copy_from_slice(&self.blocks.to_le_bytes());
        out[40..44].copy_from_slice(&self.inodes_at.to_le_bytes());
        out[48..64].copy_from_slice(&self.uuid);
        out[80..84].copy_from_slice(&INCOMPATIBLE.to_le_bytes());
        out[86..88].copy_from_slice(&self.devices.to_le_bytes());
        // The table follows, in units of its entries.
        out[88..90].copy_from_slice(&(((SUPER_AT + 128) / SLOT) as u16).to_le_bytes());
        out
    }
}

/// An entry of the device table: so many blocks.
pub(super) fn slot(blocks: u32) -> [u8; SLOT as usize] {
    let mut out = [0; SLOT as usize];
    out[64..68].copy_from_slice(&blocks.to_le_bytes());
    out
}

/// How an inode's contents are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// In whole blocks from here on.
    Plain(u32),
    /// In whole blocks from here on, and the rest behind the inode.
    Inline(u32),
    /// In chunks of this many bits, listed behind the inode.
    Chunks(u8),
}

/// An inode without what follows it. `links` is its number of names.
pub(super) fn inode(
    node: &Node,
    size: u64,
    links: u32,
    xattr_bytes: u64,
    layout: Layout,
) -> [u8; INODE as usize] {
    let (number, value) = match layout {
        Layout::Plain(block) => (0, block),
        Layout::Inline(block) => (2, block),
        Layout::Chunks(bits) => (4, u32::from(bits - BLOCK_BITS) | CHUNK_INDEXES),
    };
    let value = match node.content {
        Content::Char(major, minor) | Content::Block(major, minor) => device(major, minor),
        _ => value,
    };
    let at = &node.attributes;
    let count = if xattr_bytes == 0 { 0 } else { (xattr_bytes - XATTR_HEADER) / 4 + 1 };
    let mut out = [0; INODE as usize];
    let format: u16 = 1 | number << 1;
    out[0..2].copy_from_slice(&format.to_le_bytes());
    out[2..4].copy_from_slice(&(count as u16).to_le_bytes());
    out[4..6].copy_from_slice(&(kind_bits(&node.content) | at.mode).to_le_bytes());
    out[8..16].copy_from_slice(&size.to_le_bytes());
    out[16..20].copy_from_slice(&value.to_le_bytes());
    out[24..28].copy_from_slice(&at.uid.to_le_bytes());
    out[28..32].copy_from_slice(&at.gid.to_le_bytes());
    out[32..40].copy_from_slice(&at.mtime.seconds.to_le_bytes());
    out[40..44].copy_from_slice(&at.mtime.nanoseconds.to_le_bytes());
    out[44..48].copy_from_slice(&links.to_le_bytes());
    out
}

const CHUNK_INDEXES: u32 = 0x20;

/// One chunk of a file.
pub(super) fn chunk(place: Option<Place>) -> [u8; 8] {
    let mut out = [0; 8];
    match place {
        Some(Place { device, block }) => {
            out[2..4].copy_from_slice(&device.to_le_bytes());
            out[4..8].copy_from_slice(&block.to_le_bytes());
        }
        None => out[4..8].fill(0xff),
    }
    out
}

/// The kernel's `new_encode_dev`.
fn device(major: u32, minor: u32) -> u32 {
    minor & 0xff | major << 8 | (minor & !0xff) << 12
}

/// `S_IFMT` bits.
fn kind_bits(content: &Content) -> u16 {
    match content {
        Content::Fifo => 0o010_000,
        Content::Char(..) | Content::Whiteout => 0o020_000,
        Content::Directory(_) => 0o040_000,
        Content::Block(..) => 0o060_000,
        Content::File { .. } => 0o100_000,
        Content::Symlink(_) => 0o120_000,
    }
}

/// The kind as directories say it.
pub(super) fn file_type(content: &Content) -> u8 {
    match content {
        Content::File { .. } => 1,
        Content::Directory(_) => 2,
        Content::Char(..) | Content::Whiteout => 3,
        Content::Block(..) => 4,
        Content::Fifo => 5,
        Content::Symlink(_) => 7,
    }
}

/// Namespaces of extended attributes that erofs has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Namespace {
    User,
    Acl,
    Other,
}

/// The number of an attribute's namespace and the name within.
pub(super) fn xattr_name(key: &[u8]) -> Option<(Namespace, (u8, &[u8]))> {
    const PREFIXES: [(&[u8], Namespace, u8); 3] = [
        (b"user.", Namespace::User, 1),
        (b"trusted.", Namespace::Other, 4),
        (b"security.", Namespace::Other, 6),
    ];
    match key {
        b"system.posix_acl_access" => return Some((Namespace::Acl, (2, b""))),
        b"system.posix_acl_default" => return Some((Namespace::Acl, (3, b""))),
        _ => {}
    }
    let (prefix, namespace, number) = PREFIXES.iter().find(|(prefix, ..)| key.starts_with(prefix))?;
    let rest = &key[prefix.len()..];
    (!rest.is_empty()).then_some((*namespace, (*number, rest)))
}

/// Bytes before the first attribute of an inode.
const XATTR_HEADER: u64 = 12;

/// What extended attributes take behind their inode; 0 without any.
pub(super) fn xattr_bytes(xattrs: Option<&Xattrs>) -> u64 {
    let Some(xattrs) = xattrs else { return 0 };
    let entry = |(key, value): &(Box<[u8]>, Box<[u8]>)| {
        let name = xattr_name(key).map_or(0, |(_, (_, name))| name.len());
        (4 + name + value.len()).next_multiple_of(4) as u64
    };
    XATTR_HEADER + xattrs.iter().map(entry).sum::<u64>()
}

/// The same, written.
pub(super) fn encode_xattrs(xattrs: &Xattrs, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; XATTR_HEADER as usize]);
    for (key, value) in xattrs {
        let Some((_, (number, name))) = xattr_name(key) else { continue };
        out.extend_from_slice(&[name.len() as u8, number]);
        out.extend_from_slice(&(value.len() as u16).to_le_bytes());
        out.extend_from_slice(name);
        out.extend_from_slice(value);
        out.resize(out.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_packed_as_the_kernel_does() {
        for (major, minor, want) in [(1, 3, 0x103), (4095, 0, 0x000f_ff00), (1, 0x12345, 0x1230_0145)] {
            assert_eq!(device(major, minor), want, "{major}:{minor}");
        }
    }

    #[test]
    fn attributes_have_a_namespace_or_are_none() {
        assert_eq!(xattr_name(b"user.a"), Some((Namespace::User, (1, &b"a"[..]))));
        assert_eq!(xattr_name(b"security.capability").map(|(_, (number, _))| number), Some(6));
        assert_eq!(xattr_name(b"system.posix_acl_access"), Some((Namespace::Acl, (2, &b""[..]))));
        for none in [&b"user."[..], b"system.nfs4_acl", b"x", b""] {
            assert_eq!(xattr_name(none), None);
        }
    }
}
