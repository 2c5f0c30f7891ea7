//! From a layer blob to a committed snapshot, in one pass: decompress, hash, unpack.

use std::io::Read;

use types::{Descriptor, Digest};

use crate::{error::Result, leases::Hold, store::Store};

/// A layer that has become a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Name of the snapshot.
    pub chain_id: Digest,
    /// Docker's size of the layer: the sum of its files' lengths.
    pub bytes: u64,
}

/// Unpacks the blob that `layer` describes on top of `parent` (a chain id). `diff_id` is what the image config promises;
/// a snapshot that is there already is reused without reading the blob.
pub fn unpack(
    store: &Store,
    hold: &Hold,
    layer: &Descriptor,
    parent: Option<&Digest>,
    diff_id: &Digest,
) -> Result<Unpacked> {
    let _ = (store, hold, layer, parent, diff_id);
    Err(crate::Error::Unsupported("unpacking layers".to_owned()))
}

/// The same from a stream, which is read to its end: gzip, zstd or plain is found out by its first bytes. On a store
/// with [independent layers](crate::Snapshotter::independent_layers) `stage` runs before the parent exists; any other
/// needs `parent` then. Call [`Staged::commit`] in the order of the layers.
pub fn stage<'a>(
    store: &'a Store,
    hold: &'a Hold,
    stream: &mut dyn Read,
    parent: Option<&Digest>,
) -> Result<Staged<'a>> {
    let _ = (store, hold, stream, parent);
    Err(crate::Error::Unsupported("unpacking layers".to_owned()))
}

/// An unpacked layer that is not yet anyone's child. Dropped without commit it is deleted.
#[derive(Debug)]
pub struct Staged<'a> {
    store: &'a Store,
    diff_id: Digest,
}

impl Staged<'_> {
    /// Digest of the uncompressed tar that was read.
    pub fn diff_id(&self) -> &Digest {
        &self.diff_id
    }

    /// Puts the layer on top of `parent`. Refused if `expected` is not its diff id.
    pub fn commit(self, parent: Option<&Digest>, expected: Option<&Digest>) -> Result<Unpacked> {
        let _ = (parent, expected, self.store);
        Err(crate::Error::Unsupported("unpacking layers".to_owned()))
    }
}
