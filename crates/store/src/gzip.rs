//! Gzip copies of plain layers, for registries, made by all processors and readable while they grow.
//!
//! The tar is cut into blocks of a fixed length, and each becomes a gzip member of its own (RFC 1952, section 2.2: a file
//! is a series of members), as eStargz does it. So the bytes depend on the tar alone, not on who compressed what when.
//!
//! ```text
//!   workers: take the next block -> read -> compress -> wait for the turn -> hash and write
//! ```

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use libdeflater::{CompressionLvl, Compressor};
use types::{Descriptor, image::media_type};

use crate::{
    content::Ingest,
    error::{Error, Result},
    store::Store,
};

/// Plain bytes in a member. A larger one is half a percent smaller and needs more memory.
const BLOCK: u64 = 1 << 20;
/// As small as `gzip -6` makes them, in a third of its time.
const LEVEL: i32 = 1;
/// Each worker has two buffers of a block.
const WORKERS_MAX: u64 = 8;

/// How far a copy has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Bytes of the tar that are in the copy.
    pub plain: u64,
    /// Bytes of the copy that can be read.
    pub compressed: u64,
}

/// A gzip copy under way. Dropped, it is gone.
#[derive(Debug)]
pub struct Gzip {
    source: File,
    plain: Descriptor,
    ingest: Ingest,
}

/// A whole copy, still without a name in the store. Dropped, it is gone.
#[derive(Debug)]
pub struct Compressed {
    /// What a manifest says about it.
    pub descriptor: Descriptor,
    ingest: Ingest,
}

impl Gzip {
    /// Of a plain layer that is a blob.
    pub fn begin(store: &Store, plain: &Descriptor) -> Result<Self> {
        let source = store.content().open_blob(&plain.digest)?;
        Ok(Self { source, plain: plain.clone(), ingest: store.content().ingest(None, None)? })
    }

    /// Where the copy grows: a file that can be read as far as [`run`](Self::run) tells.
    pub fn path(&self) -> &Path {
        self.ingest.path()
    }

    /// Compresses. `tell` hears of each step, and ends the work by saying `false`: that is [`Error::Cancelled`].
    pub fn run(mut self, mut tell: impl FnMut(Written) -> bool + Send) -> Result<Compressed> {
        let size = self.plain.size;
        let mut written = Written::default();
        let mut put = |member: &[u8], plain: u64| {
            self.ingest.append(member)?;
            written.plain += plain;
            written.compressed += member.len() as u64;
            if tell(written) { Ok(()) } else { Err(Error::Cancelled) }
        };
        members(&self.source, size, &mut put)?;
        let digest = self.ingest.digest();
        let descriptor = Descriptor {
            media_type: media_type::OCI_LAYER_GZIP.to_owned(),
            digest,
            size: written.compressed,
            ..self.plain
        };
        Ok(Compressed { descriptor, ingest: self.ingest })
    }
}

impl Compressed {
    /// Makes it a blob: pin that first.
    pub fn keep(self) -> Result<Descriptor> {
        self.ingest.commit_unless_present(None)?;
        Ok(self.descriptor)
    }
}

type Put<'a> = &'a mut (dyn FnMut(&[u8], u64) -> Result<()> + Send);

/// Whose turn it is to write, and how: nobody's while `put` is taken.
struct Turn<'a> {
    next: u64,
    put: Option<Put<'a>>,
    failed: Option<Error>,
}

struct Work<'a> {
    source: &'a File,
    size: u64,
    blocks: u64,
    taken: AtomicU64,
    turn: Mutex<Turn<'a>>,
    moved: Condvar,
}

/// Hands the members for the first `size` bytes of `source` to `put`, in order, each with the length of its block.
fn members(source: &File, size: u64, put: Put<'_>) -> Result<()> {
    // Nothing is one member, too.
    let blocks = size.div_ceil(BLOCK).max(1);
    let turn = Mutex::new(Turn { next: 0, put: Some(put), failed: None });
    let work = Work { source, size, blocks, taken: AtomicU64::new(0), turn, moved: Condvar::new() };
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    std::thread::scope(|scope| {
        for _ in 1..processors.min(WORKERS_MAX).min(blocks) {
            scope.spawn(|| work.run());
        }
        work.run();
    });
    let turn = work.turn.into_inner().unwrap_or_else(PoisonError::into_inner);
    turn.failed.map_or(Ok(()), Err)
}

impl<'a> Work<'a> {
    fn run(&self) {
        if let Err(error) = self.blocks() {
            self.turn().failed.get_or_insert(error);
            self.moved.notify_all();
        }
    }

    /// Does blocks until none is left, or another worker has failed.
    fn blocks(&self) -> Result<()> {
        let level = CompressionLvl::new(LEVEL).map_err(|_| Error::Invalid("level of gzip".to_owned()))?;
        let mut compressor = Compressor::new(level);
        let (mut plain, mut member) = (Vec::new(), Vec::new());
        loop {
            let at = self.taken.fetch_add(1, Ordering::Relaxed);
            if at >= self.blocks {
                return Ok(());
            }
            let start = at * BLOCK;
            let length = BLOCK.min(self.size - start);
            plain.resize(length as usize, 0);
            self.source.read_exact_at(&mut plain, start).map_err(Error::Input)?;
            member.resize(compressor.gzip_compress_bound(plain.len()), 0);
            let made = compressor.gzip_compress(&plain, &mut member);
            let made = made.map_err(|error| Error::Input(io::Error::other(error.to_string())))?;
            if !self.hand_over(at, member.get(..made).unwrap_or_default(), length)? {
                return Ok(());
            }
        }
    }

    /// Waits for the turn of block `at`. Whether there is anything more to do.
    fn hand_over(&self, at: u64, member: &[u8], length: u64) -> Result<bool> {
        let mut turn = self.turn();
        let put = loop {
            if turn.failed.is_some() {
                return Ok(false);
            }
            // Taken out, so that nobody waits for a lock while the file is written.
            if let Some(put) = if turn.next == at { turn.put.take() } else { None } {
                break put;
            }
            turn = self.moved.wait(turn).unwrap_or_else(PoisonError::into_inner);
        };
        drop(turn);
        put(member, length)?;
        let mut turn = self.turn();
        (turn.put, turn.next) = (Some(put), at + 1);
        self.moved.notify_all();
        Ok(true)
    }

    fn turn(&self) -> MutexGuard<'_, Turn<'a>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
