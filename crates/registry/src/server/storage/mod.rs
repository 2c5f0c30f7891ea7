//! Where bytes lie: a trait with two implementations, a folder and a bucket, and one test suite for both.
//!
//! A key is a path relative to the root, made by `layout` from checked parts only. Uploads are no concern of it:
//! they grow in a local file until their digest is known, and are then *adopted* whole. So nothing unverified is ever
//! where a client could get it, on either kind of storage.

mod file;
mod object;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

pub(crate) use file::FileStorage;
pub use object::ObjectOptions;
pub(crate) use object::ObjectStorage;

/// Why storage could not do something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    /// There is nothing at this key.
    #[error("{0} does not exist")]
    Absent(String),
    /// More than the reader takes.
    #[error("{0} is larger than {1} bytes")]
    TooLarge(String, u64),
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// The whole path.
        path: PathBuf,
        source: io::Error,
    },
    /// The bucket said no.
    #[error("object storage, {key}: {source}")]
    Object { key: String, source: Box<dyn std::error::Error + Send + Sync> },
    /// A task died; its panic is in the log.
    #[error("a storage task ended early")]
    Task,
}

impl StorageError {
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent(_))
    }

    /// Whether the disk or the quota is exhausted.
    pub(crate) fn is_full(&self) -> bool {
        let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Self::Io { source, .. } if kinds.contains(&source.kind()))
    }

    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::NotFound {
            return Self::Absent(path.display().to_string());
        }
        Self::Io { path: path.to_owned(), source }
    }
}

pub(crate) type Result<T> = std::result::Result<T, StorageError>;

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) is_folder: bool,
}

/// What is known of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    /// In bytes.
    pub(crate) size: u64,
    pub(crate) modified: SystemTime,
}

/// Bytes to be sent.
pub(crate) enum Source {
    /// A local file, which the kernel can send by itself.
    File(Arc<std::fs::File>),
    /// What a bucket sends, already cut to the range that was asked for.
    Stream(BoxStream<'static, Result<Bytes>>),
}

/// Bytes by key. Every write is whole or not there at all, and durable when it returns.
pub(crate) trait Storage: Send + Sync + 'static {
    /// The whole object, refused beyond `limit` bytes.
    fn read<'a>(&'a self, key: &'a str, limit: u64) -> BoxFuture<'a, Result<Bytes>>;

    /// Writes or replaces a small object.
    fn write<'a>(&'a self, key: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<()>>;

    /// What is there.
    fn meta<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Meta>>;

    /// Opens `length` bytes from `start` for sending. A local file comes whole: the sender seeks.
    fn open<'a>(&'a self, key: &'a str, start: u64, length: u64) -> BoxFuture<'a, Result<Source>>;

    /// What lies directly in a folder, in no order; nothing if there is no such folder.
    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Entry>>>;

    /// Removes an object, or a folder with all in it. Nothing there is no error.
    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Takes over a finished local file as `key`; the file is gone afterwards.
    fn adopt<'a>(&'a self, file: &'a Path, key: &'a str) -> BoxFuture<'a, Result<()>>;

    /// The local folder in which the uploads to a repository grow.
    fn upload_folder(&self, repository: &str) -> PathBuf;

    /// Local roots below which abandoned uploads are looked for.
    fn upload_roots(&self) -> Vec<PathBuf>;

    /// Whether it can be used right now: what the health endpoint asks.
    fn check(&self) -> BoxFuture<'_, Result<()>>;
}

/// Runs what may block on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(StorageError::Task))
}
