//! From a layer blob to a committed snapshot, in one pass: decompress, hash, unpack.
//!
//! ```text
//!   caller's thread:  read -> decompress -> hash --chunks--> second thread: parse tar, make files
//! ```

use std::{
    io::{self, Read, Seek as _},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
};

use types::{Descriptor, Digest};

use crate::{
    compression::{Compression, Decompressor},
    error::{Error, Result},
    hash::Sha256,
    leases::{Hold, Resource},
    snapshot::{Applied, chain_id},
    store::Store,
};

const CHUNK: usize = 256 << 10;
/// Chunks on their way between the threads.
const CHUNKS: usize = 4;
/// Bytes at the start of a stream that tell how it is compressed.
const MAGIC_MAX: usize = 6;

/// A layer that has become a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Name of the snapshot.
    pub chain_id: Digest,
    /// Docker's size of the layer: the sum of its files' lengths.
    pub bytes: u64,
    /// The uncompressed tar as a blob, where the snapshot keeps it anyway: then no other copy of the layer is needed.
    pub plain: Option<Descriptor>,
}

/// Unpacks the blob that `layer` describes on top of `parent` (a chain id). `diff_id` is what the image config promises;
/// a snapshot that is there already is reused without reading the blob. The same layer asked for twice at once is
/// unpacked once.
pub fn unpack(
    store: &Store,
    hold: &Hold,
    layer: &Descriptor,
    parent: Option<&Digest>,
    diff_id: &Digest,
) -> Result<Unpacked> {
    let chain = chain_id(parent, diff_id);
    let _flight = store.flights().enter(&format!("unpack {chain}"));
    if let Some(done) = existing(store, hold, parent, diff_id)? {
        return Ok(done);
    }
    hold.pin(Resource::Blob(layer.digest.clone()));
    stage_blob(store, hold, &layer.digest, parent)?.commit(parent, Some(diff_id))
}

/// Unpacks a blob of the content store, as [`stage`] does a stream. One that is an uncompressed tar need not be copied.
pub fn stage_blob<'a>(
    store: &'a Store,
    hold: &'a Hold,
    digest: &Digest,
    parent: Option<&Digest>,
) -> Result<Staged<'a>> {
    let mut blob = store.content().open_blob(digest)?;
    let mut start = [0; MAGIC_MAX];
    let n = fill(&mut blob, &mut start).map_err(Error::Input)?;
    blob.rewind().map_err(Error::Input)?;
    if Compression::detect(&start[..n]) == Compression::Plain {
        let mut staged = Staged::new(store, hold, parent, Compression::Plain)?;
        if let Some(applied) = store.snapshots().adopt(&staged.key, &store.content().path(digest))? {
            (staged.diff_id, staged.applied) = (digest.clone(), applied);
            return Ok(staged);
        }
    }
    stage(store, hold, &mut blob, parent)
}

/// The uncompressed tar of a layer that is a snapshot, as a blob, where snapshots keep it. The blob is there from then
/// on as long as something needs it: pin it first.
pub fn plain(store: &Store, chain_id: &Digest, diff_id: &Digest) -> Result<Option<Descriptor>> {
    let Some(tar) = store.snapshots().tar(chain_id.as_str())? else { return Ok(None) };
    let info = store.content().link(&tar, diff_id)?;
    Ok(Some(Descriptor::new(types::image::media_type::OCI_LAYER, info.digest, info.size)))
}

/// The snapshot of a layer if it is there already: then the layer need not even be fetched.
pub fn existing(
    store: &Store,
    hold: &Hold,
    parent: Option<&Digest>,
    diff_id: &Digest,
) -> Result<Option<Unpacked>> {
    let chain_id = chain_id(parent, diff_id);
    hold.pin(Resource::Snapshot(chain_id.to_string()));
    hold.pin(Resource::Blob(diff_id.clone()));
    match store.snapshots().info(chain_id.as_str()) {
        Ok(info) => {
            let plain = plain(store, &chain_id, diff_id)?;
            let bytes = info.usage.bytes;
            Ok(Some(Unpacked { diff_id: diff_id.clone(), chain_id, bytes, plain }))
        }
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Unpacks a stream, which is read to its end: gzip, zstd or plain is found out by its first bytes. On a store with
/// [independent layers](crate::Snapshotter::independent_layers) this works before the parent exists; any other needs
/// `parent` already. Call [`Staged::commit`] in the order of the layers.
pub fn stage<'a>(
    store: &'a Store,
    hold: &'a Hold,
    stream: &mut dyn Read,
    parent: Option<&Digest>,
) -> Result<Staged<'a>> {
    let mut source = Decompressor::new(stream)?;
    let mut staged = Staged::new(store, hold, parent, source.compression())?;
    (staged.diff_id, staged.applied) = pump(store, &staged.key, &mut source)?;
    Ok(staged)
}

/// Reads and hashes here, unpacks in another thread.
fn pump(store: &Store, key: &str, source: &mut dyn Read) -> Result<(Digest, Applied)> {
    let (send, receive) = sync_channel(CHUNKS);
    let (give_back, spare) = channel();
    std::thread::scope(|scope| {
        let apply = scope.spawn(move || {
            let mut chunks = Chunks { receive, give_back, chunk: Vec::new(), at: 0 };
            store.snapshots().apply(key, &mut chunks)
        });
        let digest = feed(source, &send, &spare);
        // The end of the stream for the other side.
        drop(send);
        let stopped = |_| Err(Error::Invalid("unpacking stopped".to_owned()));
        let applied = apply.join().unwrap_or_else(stopped)?;
        Ok((digest, applied))
    })
}

fn feed(source: &mut dyn Read, send: &SyncSender<io::Result<Vec<u8>>>, spare: &Receiver<Vec<u8>>) -> Digest {
    let mut hash = Sha256::default();
    loop {
        let mut chunk = spare.try_recv().unwrap_or_default();
        chunk.resize(CHUNK, 0);
        let message = match fill(source, &mut chunk) {
            Ok(0) => return hash.finish(),
            Ok(n) => {
                chunk.truncate(n);
                hash.update(&chunk);
                Ok(chunk)
            }
            Err(error) => Err(error),
        };
        let last = message.is_err();
        // The other side gone means that it has an error to tell.
        if send.send(message).is_err() || last {
            return hash.finish();
        }
    }
}

fn fill(source: &mut dyn Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < chunk.len() {
        match source.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

struct Chunks {
    receive: Receiver<io::Result<Vec<u8>>>,
    give_back: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            let Ok(next) = self.receive.recv() else { return Ok(0) };
            // The reader gone means that nothing more is read.
            let _ = self.give_back.send(std::mem::replace(&mut self.chunk, next?));
            self.at = 0;
        }
        let n = buffer.len().min(self.chunk.len() - self.at);
        buffer[..n].copy_from_slice(&self.chunk[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// An unpacked layer that is not yet anyone's child. Dropped without commit it is deleted.
#[derive(Debug)]
pub struct Staged<'a> {
    store: &'a Store,
    hold: &'a Hold,
    key: String,
    diff_id: Digest,
    applied: Applied,
    compression: Compression,
    live: bool,
}

impl<'a> Staged<'a> {
    fn new(
        store: &'a Store,
        hold: &'a Hold,
        parent: Option<&Digest>,
        compression: Compression,
    ) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
        let key = format!("stage-{nanos:x}-{:x}", NEXT.fetch_add(1, Ordering::Relaxed));
        let parent = if store.snapshots().independent_layers() { None } else { parent };
        store.snapshots().prepare(&key, parent.map(Digest::as_str))?;
        let (diff_id, applied) = (crate::sha256(b""), Applied::default());
        Ok(Self { store, hold, key, diff_id, applied, compression, live: true })
    }

    /// Digest of the uncompressed tar that was read.
    pub fn diff_id(&self) -> &Digest {
        &self.diff_id
    }

    /// How the stream was compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Flushes the layer and puts it on top of `parent`. Refused if `expected` is not its diff id.
    pub fn commit(mut self, parent: Option<&Digest>, expected: Option<&Digest>) -> Result<Unpacked> {
        if let Some(expected) = expected.filter(|expected| **expected != self.diff_id) {
            return Err(Error::DigestMismatch { expected: expected.clone(), got: self.diff_id.clone() });
        }
        let chain_id = chain_id(parent, &self.diff_id);
        let _flight = self.store.flights().enter(&format!("commit {chain_id}"));
        if let Some(done) = existing(self.store, self.hold, parent, &self.diff_id)? {
            return Ok(done);
        }
        let snapshots = self.store.snapshots();
        if let Some(parent) = parent.filter(|_| snapshots.independent_layers()) {
            snapshots.rebase(&self.key, parent.as_str())?;
        }
        snapshots.commit(chain_id.as_str(), &self.key, Some(&self.applied))?;
        self.live = false;
        let plain = plain(self.store, &chain_id, &self.diff_id)?;
        Ok(Unpacked { diff_id: self.diff_id.clone(), chain_id, bytes: self.applied.usage.bytes, plain })
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if self.live {
            // What stays is swept at the next open.
            let _ = self.store.snapshots().remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests;
