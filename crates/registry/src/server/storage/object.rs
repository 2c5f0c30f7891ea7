//! A bucket that speaks S3. Uploads grow in a local folder (the *spool*) and are sent when their digest is known.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};
use tokio::io::AsyncReadExt;

use super::{Entry, Meta, Result, Source, Storage, StorageError};

/// Parts of an upload; S3 wants at least 5 MiB.
const PART_BYTES: usize = 8 << 20;
/// Parts on their way at once: with their size this bounds the memory of an upload.
const PARTS_AT_ONCE: usize = 3;
const READ_BYTES: usize = 1 << 20;

/// Where a bucket is, in the words of distribution's `storage.s3`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectOptions {
    /// The bucket's name.
    pub bucket: String,
    /// Its region; `us-east-1` unless said.
    pub region: String,
    /// Another server than Amazon's, as a URL.
    pub endpoint: Option<String>,
    /// The access key; without it the environment and the instance are asked.
    pub access_key: Option<String>,
    /// Its secret.
    pub secret_key: Option<String>,
    /// A prefix before all keys.
    pub root_directory: String,
    /// The bucket's name is in the path, not in the host name.
    pub path_style: bool,
}

/// A bucket, and the local folder for uploads.
pub(crate) struct ObjectStorage {
    bucket: Arc<dyn ObjectStore>,
    prefix: String,
    spool: PathBuf,
}

impl ObjectStorage {
    /// Nothing is asked of the bucket yet.
    pub(crate) fn open(options: &ObjectOptions, spool: &Path) -> Result<Self> {
        let region = if options.region.is_empty() { "us-east-1" } else { &options.region };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&options.bucket)
            .with_region(region)
            .with_virtual_hosted_style_request(options.endpoint.is_none() && !options.path_style);
        if let Some(endpoint) = &options.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        if let (Some(key), Some(secret)) = (&options.access_key, &options.secret_key) {
            builder = builder.with_access_key_id(key).with_secret_access_key(secret);
        }
        let bucket = builder.build().map_err(|error| object(&options.bucket, error))?;
        let io = |error| StorageError::io(spool, error);
        std::fs::create_dir_all(spool).map_err(io)?;
        let prefix = options.root_directory.trim_matches('/').to_owned();
        Ok(Self { bucket: Arc::new(bucket), prefix, spool: spool.to_owned() })
    }

    fn key(&self, key: &str) -> Key {
        Key::from(format!("{}/{key}", self.prefix))
    }

    async fn send_parts(&self, file: &mut tokio::fs::File, path: &Path, key: &str) -> Result<()> {
        let started = self.bucket.put_multipart(&self.key(key)).await.map_err(|error| object(key, error))?;
        let mut upload = WriteMultipart::new_with_chunk_size(started, PART_BYTES);
        loop {
            upload.wait_for_capacity(PARTS_AT_ONCE).await.map_err(|error| object(key, error))?;
            let mut buffer = bytes::BytesMut::with_capacity(READ_BYTES);
            if file.read_buf(&mut buffer).await.map_err(|error| StorageError::io(path, error))? == 0 {
                break;
            }
            upload.put(buffer.freeze());
        }
        upload.finish().await.map(drop).map_err(|error| object(key, error))
    }
}

fn object(key: &str, error: object_store::Error) -> StorageError {
    match error {
        object_store::Error::NotFound { .. } => StorageError::Absent(key.to_owned()),
        other => StorageError::Object { key: key.to_owned(), source: other.into() },
    }
}

impl Storage for ObjectStorage {
    fn read<'a>(&'a self, key: &'a str, limit: u64) -> BoxFuture<'a, Result<Bytes>> {
        async move {
            let found = self.bucket.get(&self.key(key)).await.map_err(|error| object(key, error))?;
            if found.meta.size > limit {
                return Err(StorageError::TooLarge(key.to_owned(), limit));
            }
            found.bytes().await.map_err(|error| object(key, error))
        }
        .boxed()
    }

    fn write<'a>(&'a self, key: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<()>> {
        async move {
            let put = self.bucket.put(&self.key(key), PutPayload::from_bytes(bytes)).await;
            put.map(drop).map_err(|error| object(key, error))
        }
        .boxed()
    }

    fn meta<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Meta>> {
        async move {
            let found = self.bucket.head(&self.key(key)).await.map_err(|error| object(key, error))?;
            Ok(Meta { size: found.size, modified: SystemTime::from(found.last_modified) })
        }
        .boxed()
    }

    fn open<'a>(&'a self, key: &'a str, start: u64, length: u64) -> BoxFuture<'a, Result<Source>> {
        async move {
            // A range of nothing is no range at all for S3.
            let range = (length > 0).then(|| GetRange::Bounded(start..start + length));
            let options = GetOptions { range, ..GetOptions::default() };
            let found = self.bucket.get_opts(&self.key(key), options).await;
            let name = key.to_owned();
            let stream = found.map_err(|error| object(key, error))?.into_stream();
            Ok(Source::Stream(stream.map_err(move |error| object(&name, error)).boxed()))
        }
        .boxed()
    }

    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Entry>>> {
        async move {
            let found = self.bucket.list_with_delimiter(Some(&self.key(folder))).await;
            let found = found.map_err(|error| object(folder, error))?;
            let name = |key: &Key| key.filename().unwrap_or_default().to_owned();
            let folders = found.common_prefixes.iter().map(|key| Entry { name: name(key), is_folder: true });
            let objects =
                found.objects.iter().map(|meta| Entry { name: name(&meta.location), is_folder: false });
            Ok(folders.chain(objects).collect())
        }
        .boxed()
    }

    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>> {
        async move {
            let root = self.key(key);
            let below = self.bucket.list(Some(&root)).map_ok(|meta| meta.location).boxed();
            let mut removed = self.bucket.delete_stream(below);
            while let Some(one) = removed.next().await {
                match one {
                    Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => return Err(object(key, error)),
                }
            }
            match self.bucket.delete(&root).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(object(key, error)),
            }
        }
        .boxed()
    }

    fn adopt<'a>(&'a self, file: &'a Path, key: &'a str) -> BoxFuture<'a, Result<()>> {
        async move {
            let io = |error| StorageError::io(file, error);
            let mut opened = tokio::fs::File::open(file).await.map_err(io)?;
            if opened.metadata().await.map_err(io)?.len() <= PART_BYTES as u64 {
                let mut bytes = Vec::new();
                opened.read_to_end(&mut bytes).await.map_err(io)?;
                self.write(key, bytes.into()).await?;
            } else {
                self.send_parts(&mut opened, file, key).await?;
            }
            tokio::fs::remove_file(file).await.map_err(io)
        }
        .boxed()
    }

    fn upload_folder(&self, repository: &str) -> PathBuf {
        self.spool.join(repository).join("_uploads")
    }

    fn upload_roots(&self) -> Vec<PathBuf> {
        vec![self.spool.clone()]
    }

    fn check(&self) -> BoxFuture<'_, Result<()>> {
        async move {
            match self.bucket.head(&self.key("wharf/health")).await {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(object("wharf/health", error)),
            }
        }
        .boxed()
    }
}
