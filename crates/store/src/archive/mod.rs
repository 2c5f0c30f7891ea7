//! Images in files: `docker load`, `docker save`, `docker import`.
//!
//! [`load`] reads a docker-archive (`manifest.json`) or an OCI image layout (`index.json`), plain or compressed, from a
//! stream that cannot seek. Members may come in any order, so every file goes into the content store first (its digest
//! is taken on the way), and what the index names is put together afterwards:
//!
//! ```text
//!   stream -> decompress -> tar -> spool: path -> blob | link | document      spool.rs
//!                                    `-> manifest.json -> images              docker.rs
//!                                    `-> index.json -> manifest -> images     oci.rs
//!                                          `-> check, unpack layers, put all  assemble.rs
//! ```
//! Nothing is named before all images of the archive are complete; blobs that no image needs are swept at the end,
//! after failures too.

mod assemble;
mod docker;
mod import;
mod oci;
mod save;
mod spool;

#[cfg(test)]
mod tests;

use std::io::Read;

use types::{Digest, ImageRef, Platform};

pub use import::{ImportOptions, import};
pub use save::save;

use crate::{
    compression::Decompressor,
    error::{Error, Result},
    store::Store,
};

/// Longest `manifest.json`, `index.json`, manifest or config that is read. The largest in the wild have some 100 KiB.
pub(crate) const DOCUMENT_MAX: u64 = 8 << 20;

/// What a load is doing, for progress output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Bytes of the (uncompressed) archive that have come in.
    Reading {
        /// Bytes so far.
        read: u64,
    },
    /// A layer is being unpacked.
    Unpacking {
        /// Digest of its uncompressed tar.
        diff_id: Digest,
        /// Bytes of the blob.
        size: u64,
    },
    /// The layer is done.
    Unpacked {
        /// Digest of its uncompressed tar.
        diff_id: Digest,
    },
}

/// One image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its id.
    pub id: Digest,
    /// The names it got; none if the archive had none for it.
    pub names: Vec<ImageRef>,
}

/// How to load.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Images for others are passed over. Of an index that has several, the host's is taken by default.
    pub platform: Option<Platform>,
}

/// Reads an archive to its end and adds its images. All or nothing: on an error the store's images are unchanged.
pub fn load(
    store: &Store,
    archive: &mut dyn Read,
    options: &LoadOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Loaded>> {
    let loaded = load_held(store, archive, options, progress);
    // After the hold is gone: blobs that came in vain.
    let swept = store.sweep();
    let loaded = loaded?;
    swept?;
    Ok(loaded)
}

fn load_held(
    store: &Store,
    archive: &mut dyn Read,
    options: &LoadOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Loaded>> {
    let hold = store.hold();
    let mut archive = Decompressor::new(archive)?;
    let spool = spool::read(store, &hold, &mut archive, progress)?;
    let images = if let Some(manifest) = spool.document("manifest.json") {
        docker::images(store, &spool, manifest, options.platform.as_ref())?
    } else if let Some(index) = spool.document("index.json") {
        oci::images(store, index, options.platform.as_ref())?
    } else if spool.document("repositories").is_some() {
        let words = "archives of Docker before 1.10 (no manifest.json in it): load it there and save it anew";
        return Err(Error::Unsupported(words.to_owned()));
    } else {
        return Err(Error::Invalid("archive has neither manifest.json nor index.json".to_owned()));
    };
    assemble::all(store, &hold, &images, progress)
}
