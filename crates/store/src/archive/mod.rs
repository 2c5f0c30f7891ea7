//! Images in files: `docker load`, `docker save`, `docker import`.
//!
//! [`load`] reads a docker-archive (`manifest.json`, or `repositories` of very old ones) or an OCI image layout
//! (`index.json`), plain or compressed, from a stream that cannot seek: blobs go into the content store as they come.

use std::io::{Read, Write};

use types::{Config, Digest, ImageRef, Platform};

use crate::{error::Result, store::Store};

/// What a load is doing, for progress output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// `read` bytes of the archive have come in.
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
    /// Which image of an index to take; the host's platform by default.
    pub platform: Option<Platform>,
}

/// Reads an archive to its end and adds its images. All or nothing: on an error the store's images are unchanged.
pub fn load(
    store: &Store,
    archive: &mut dyn Read,
    options: &LoadOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Loaded>> {
    let _ = (store, archive, options, progress);
    Err(crate::Error::Unsupported("loading archives".to_owned()))
}

/// What `docker import` wants beside the tar.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Name of the new image.
    pub name: Option<ImageRef>,
    /// Defaults for its containers (`--change` already applied by the caller).
    pub config: Option<Config>,
    /// Message: the history entry's comment.
    pub message: String,
    /// Platform of the new image; the host's by default.
    pub platform: Option<Platform>,
}

/// Makes an image of one layer from a file system tar (plain or compressed). Returns its id.
pub fn import(store: &Store, tar: &mut dyn Read, options: &ImportOptions) -> Result<Digest> {
    let _ = (store, tar, options);
    Err(crate::Error::Unsupported("importing file systems".to_owned()))
}

/// Writes images, each with the names under which to save it, as docker-archive and OCI image layout in one tar.
pub fn save(store: &Store, images: &[(Digest, Vec<ImageRef>)], out: &mut dyn Write) -> Result<()> {
    let _ = (store, images, out);
    Err(crate::Error::Unsupported("saving images".to_owned()))
}
