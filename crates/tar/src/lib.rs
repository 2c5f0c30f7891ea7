//! The tar format, read and written as streams: ustar, pax (POSIX.1-2017, pax "Extended Header") and GNU with their
//! dialects: long names, base-256 numbers, sparse files of all four kinds, extended attributes (`SCHILY.xattr.`).
//!
//! ```text
//!   header block (512) [payload, padded to 512] ... two zero blocks
//!     type x: pax records for the next entry     type L, K: GNU long name, long link of the next entry
//! ```
//! What is read here comes from strangers: every length is bounded before memory is taken, and where programs differ
//! on how much payload an entry has, this reader does what Go's archive/tar does, because Docker's layers are made and
//! read with it. An entry whose extent is in doubt is an error, never a guess.

mod header;
mod number;
mod pax;
mod reader;
mod sparse;
mod writer;

#[cfg(test)]
mod tests;

use std::io;

pub use reader::Reader;
pub use sparse::Segment;
pub use writer::Writer;

/// The unit of the format.
pub const BLOCK: usize = 512;
/// Longest path or link target, as in the kernel.
pub const PATH_MAX: usize = 4096;
/// Longest pax header, GNU long name or sparse map, as in Go.
const SPECIAL_MAX: u64 = 1 << 20;
/// Longest file: half of what the largest common file systems can hold.
const FILE_MAX: u64 = 1 << 43;
/// Entries in one stream.
const ENTRIES_MAX: u64 = 1 << 24;

/// Why a tar stream is refused.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// Ends in the middle. Go's words.
    #[error("unexpected EOF")]
    UnexpectedEof,
    /// A header makes no sense.
    #[error("archive/tar: invalid tar header: {0}")]
    Header(&'static str),
    /// A bound was crossed.
    #[error("archive/tar: {what} is larger than {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The bound, in bytes or pieces.
        limit: u64,
    },
    /// An entry of a kind that a file system has no place for.
    #[error("unhandled tar header type {0}")]
    Kind(u8),
    /// The stream itself failed, or its decompression.
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for TarError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::UnexpectedEof,
            _ => Self::Io(error),
        }
    }
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// Another name of an earlier file: `link`.
    HardLink,
    /// A symbolic link to `link`.
    Symlink,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// A point in time: seconds since 1970, which may be negative, and nanoseconds after that second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    /// Seconds.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// One entry without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As it stands in the archive: may be absolute, or climb with `..`.
    pub path: Vec<u8>,
    /// Target of a hard or symbolic link, as it stands in the archive.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permissions with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length of the file; of a sparse one, with its holes.
    pub size: u64,
    /// Last change of the contents.
    pub mtime: Time,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The pieces of a sparse file that the payload holds; the rest are zeros.
    pub sparse: Option<Vec<Segment>>,
}

impl Entry {
    /// An entry with no contents, owned by root, of 1970.
    pub fn new(kind: EntryKind, path: impl Into<Vec<u8>>, mode: u32) -> Self {
        Self {
            path: path.into(),
            link: Vec::new(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: Time::default(),
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        }
    }
}
