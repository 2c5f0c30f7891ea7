//! `docker push`: blobs that the registry lacks, then the manifest.
//!
//! An image that came with a manifest is pushed with those very bytes, so its digest is the same everywhere. For any
//! other one a manifest is made once and kept; layers that are kept plain are compressed for it.
//!
//! Where the store keeps layers as plain tars (docs/decisions/erofs.md), the compressed ones that a manifest names are
//! not here. They need not be where the registry has them, or another repository there. What it lacks is compressed
//! anew: if that gives the same bytes, as it does for what we compressed ourselves, all is well. Otherwise the image
//! goes out under a manifest about the new bytes, as Docker's does.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::future::try_join_all;
use registry::{Pushed, Pusher, UploadStep};
use store::{ImageRecord, LayerRecord, Resource};
use types::image::media_type;
use types::{Descriptor, Digest, Error, ImageRef, Manifest, Platform, Result};

use super::progress::{Aux, Progress, ProgressStream, Reporter};
use super::{Images, Shared, names};

/// Bytes between two lines about one blob.
const STEP: u64 = 512 << 10;
/// No honest manifest is larger (distribution's own limit).
const MANIFEST_MAX: u64 = 4 << 20;

/// `POST /images/x/push`.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// Repository with the tag to push; without one all tags go.
    pub reference: ImageRef,
    /// Only an image for this one may go.
    pub platform: Option<Platform>,
    /// For the registry.
    pub credentials: registry::Credentials,
}

impl PushRequest {
    /// From the name in the path and `tag`.
    pub fn parse(
        name: &str,
        tag: &str,
        platform: Option<Platform>,
        credentials: registry::Credentials,
    ) -> Result<Self> {
        let reference = names::parse(name)?;
        if reference.digest().is_some() {
            return Err(Error::invalid("cannot push a digest reference"));
        }
        let reference = match tag {
            "" => reference,
            tag => reference.with_tag(tag).map_err(names::invalid)?,
        };
        Ok(Self { reference, platform, credentials })
    }
}

impl Images {
    /// Pushes. Dropping the stream cancels; blobs that are there stay.
    pub fn push(&self, request: PushRequest) -> ProgressStream {
        let images = self.clone();
        ProgressStream::spawn(move |report| async move { push(images, request, report).await })
    }
}

async fn push(images: Images, request: PushRequest, report: Reporter) -> Result<()> {
    let PushRequest { reference, platform, credentials } = request;
    if let Some(platform) = platform {
        // An image here is one for one platform: there is nothing to choose, only to refuse.
        images.resolve(&reference.clone().with_default_tag().familiar(), Some(&platform)).await?;
    }
    let shown = reference.repository();
    report.say(Progress::message("", format!("The push refers to repository [{shown}]"))).await;
    let wanted = reference.clone();
    let tagged = images.blocking(move |shared| shared.tagged(&wanted)).await?;
    let repository = images.0.client().repository(&reference, credentials);
    let pusher = repository.pusher().await.map_err(super::pull::blob_error)?;
    for (name, id) in tagged {
        let pushed = push_tag(&images, &pusher, &report, &name, id).await;
        // Compressed copies of what the store keeps plain, also those of a push that failed.
        let swept = images.blocking(|shared| Ok(shared.store.sweep()?)).await;
        if let Err(error) = swept {
            tracing::warn!(%error, "could not sweep up after a push");
        }
        pushed?;
    }
    Ok(())
}

/// One tag: what the registry lacks, then the manifest.
async fn push_tag(
    images: &Images,
    pusher: &Pusher,
    report: &Reporter,
    name: &ImageRef,
    id: Digest,
) -> Result<()> {
    let domain = name.clone();
    let mut ready = images.blocking(move |shared| shared.prepare(&id, &domain)).await?;
    let lacking = lacking(images, pusher, &mut ready).await?;
    if !lacking.is_empty() {
        ready = images.blocking(move |shared| shared.compress_lacking(ready, &lacking)).await?;
    }
    One { shared: &images.0, pusher, report, reference: name }.push(&ready).await?;
    let (digest, size) = (ready.digest.clone(), ready.bytes.len());
    let record = ready.record.clone();
    let (repo_digest, of) = (name.name_only().with_digest(digest.clone()), name.clone());
    images
        .blocking(move |shared| {
            shared.store.images().tag(&record.id, &repo_digest)?;
            shared.publish("push", &of.familiar(), &of.familiar_repository(), &record);
            Ok(())
        })
        .await?;
    let tag = name.tag().unwrap_or("latest").to_owned();
    let line = format!("{tag}: digest: {digest} size: {size}");
    report.say(Progress::message("", line)).await;
    report.say(Progress::aux(Aux { tag, digest: digest.to_string(), size: size as u64 })).await;
    Ok(())
}

/// The layers, by their place in the manifest, that are neither here nor where the image goes.
async fn lacking(images: &Images, pusher: &Pusher, ready: &mut Ready) -> Result<Vec<usize>> {
    let mut lacking = Vec::new();
    for (at, layer) in ready.manifest.layers.iter().enumerate() {
        let digest = layer.digest.clone();
        if images.blocking(move |shared| Ok(shared.store.content().contains(&digest)?)).await? {
            continue;
        }
        if pusher.has(&layer.digest).await.map_err(super::pull::blob_error)? {
            continue;
        }
        let mounted = match &ready.mount {
            Some(from) => pusher.mount(&layer.digest, from).await.map_err(super::pull::blob_error)?,
            None => false,
        };
        if mounted {
            ready.mounted.insert(layer.digest.clone());
        } else {
            lacking.push(at);
        }
    }
    Ok(lacking)
}

/// An image with all that a registry gets of it.
struct Ready {
    record: ImageRecord,
    manifest: Manifest,
    bytes: Bytes,
    media_type: String,
    digest: Digest,
    /// Another repository of the same registry that has the image.
    mount: Option<String>,
    /// What that one has given already.
    mounted: HashSet<Digest>,
    /// Protects it all meanwhile.
    hold: store::Hold,
}

impl Shared {
    fn tagged(&self, wanted: &ImageRef) -> Result<Vec<(ImageRef, Digest)>> {
        let all = self.store.images().names()?;
        let mut tagged: Vec<_> = all
            .into_iter()
            .filter(|(name, _)| name.tag().is_some() && name.repository() == wanted.repository())
            .collect();
        if tagged.is_empty() {
            return Err(Error::not_found(format!(
                "An image does not exist locally with the tag: {}",
                wanted.familiar_repository()
            )));
        }
        if let Some(tag) = wanted.tag() {
            tagged.retain(|(name, _)| name.tag() == Some(tag));
            if tagged.is_empty() {
                return Err(Error::not_found(format!("tag does not exist: {}", wanted.familiar())));
            }
        }
        Ok(tagged)
    }

    /// Finds or makes the manifest. Blocks.
    fn prepare(&self, id: &Digest, name: &ImageRef) -> Result<Ready> {
        let hold = self.store.hold();
        let mut record =
            self.store.images().get(id)?.ok_or_else(|| crate::error::no_such_image(&name.familiar()))?;
        if record.manifest.is_none() {
            self.make_manifest(&hold, &mut record)?;
            self.store.images().put(&record)?;
        }
        let Some(found) = record.manifest.clone() else {
            return Err(Error::internal(format!("image {id} has no manifest")));
        };
        let bytes = self.store.content().read(&found.digest, MANIFEST_MAX)?;
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(Error::internal)?;
        let elsewhere = record.names.iter().find(|other| {
            other.digest().is_some() && other.domain() == name.domain() && other.path() != name.path()
        });
        Ok(Ready {
            mount: elsewhere.map(|other| other.path().to_owned()),
            record,
            manifest,
            bytes: bytes.into(),
            media_type: found.media_type,
            digest: found.digest,
            mounted: HashSet::new(),
            hold,
        })
    }

    /// Compresses layers that are here as plain tars only. If that does not give what the manifest says, the image gets
    /// another manifest for this push; its own stays.
    fn compress_lacking(&self, mut ready: Ready, lacking: &[usize]) -> Result<Ready> {
        let mut same = true;
        for at in lacking {
            let (Some(named), Some(layer)) = (ready.manifest.layers.get(*at), ready.record.layers.get(*at))
            else {
                return Err(Error::internal("the image's manifest and config differ in their layers"));
            };
            same = self.compress(&ready.hold, layer)?.digest == named.digest;
            if !same {
                break;
            }
        }
        if !same {
            self.make_manifest(&ready.hold, &mut ready.record)?;
            let Some(made) = &ready.record.manifest else {
                return Err(Error::internal("an image was left without a manifest"));
            };
            let bytes = self.store.content().read(&made.digest, MANIFEST_MAX)?;
            ready.manifest = serde_json::from_slice(&bytes).map_err(Error::internal)?;
            (ready.bytes, ready.media_type) = (bytes.into(), made.media_type.clone());
            ready.digest = made.digest.clone();
        }
        Ok(ready)
    }

    /// Docker's manifest, or OCI's where Docker's has no word for a layer. It is kept as long as `hold` is, or somebody
    /// puts the record into the store.
    fn make_manifest(&self, hold: &store::Hold, record: &mut ImageRecord) -> Result<()> {
        let keeps_tars = self.store.snapshots().keeps_tars();
        let mut blobs: Vec<Descriptor> = record.layers.iter().map(kept).collect::<Result<_>>()?;
        let plain: Vec<Descriptor> = blobs.iter().filter(|blob| is_plain(blob)).cloned().collect();
        let compressed = store::layer::compress_all(&self.store, hold, &plain)?;
        for (blob, compressed) in blobs.iter_mut().filter(|blob| is_plain(blob)).zip(compressed) {
            *blob = compressed;
        }
        // From now on the next push sends the same bytes; plain tars that are kept anyway give them anew.
        if !keeps_tars {
            for (layer, blob) in record.layers.iter_mut().zip(&blobs) {
                layer.blob = Some(blob.clone());
            }
        }
        let is_gzip = |blob: &Descriptor| {
            matches!(blob.media_type.as_str(), media_type::DOCKER_LAYER_GZIP | media_type::OCI_LAYER_GZIP)
        };
        let docker = blobs.iter().all(is_gzip);
        let kinds = match docker {
            true => (media_type::DOCKER_MANIFEST, media_type::DOCKER_CONFIG, media_type::DOCKER_LAYER_GZIP),
            false => (media_type::OCI_MANIFEST, media_type::OCI_CONFIG, media_type::OCI_LAYER_GZIP),
        };
        let config = self.store.content().put(&record.config)?;
        hold.pin(Resource::Blob(config.digest.clone()));
        let describe = |kind: &str, digest: Digest, size: u64| Descriptor {
            media_type: kind.to_owned(),
            digest,
            size,
            urls: Vec::new(),
            annotations: std::collections::BTreeMap::new(),
            platform: None,
            artifact_type: None,
        };
        let layers = blobs.into_iter().map(|blob| {
            let kind = if is_gzip(&blob) { kinds.2 } else { media_type::OCI_LAYER_ZSTD };
            describe(kind, blob.digest, blob.size)
        });
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(kinds.0.to_owned()),
            config: describe(kinds.1, config.digest, config.size),
            layers: layers.collect(),
            annotations: std::collections::BTreeMap::new(),
        };
        let bytes = serde_json::to_vec(&manifest).map_err(Error::internal)?;
        let kept = self.store.content().put(&bytes)?;
        hold.pin(Resource::Blob(kept.digest.clone()));
        record.manifest = Some(describe(kinds.0, kept.digest, kept.size));
        Ok(())
    }

    /// The layer as registries get it.
    fn compress(&self, hold: &store::Hold, layer: &LayerRecord) -> Result<Descriptor> {
        let blob = kept(layer)?;
        if is_plain(&blob) { Ok(store::layer::compress(&self.store, hold, &blob)?) } else { Ok(blob) }
    }
}

/// The bytes of a layer that are here.
fn kept(layer: &LayerRecord) -> Result<Descriptor> {
    layer.blob.clone().ok_or_else(|| {
        Error::internal(format!("layer {} is not kept: the image cannot be pushed", layer.diff_id))
    })
}

fn is_plain(blob: &Descriptor) -> bool {
    matches!(blob.media_type.as_str(), media_type::OCI_LAYER | media_type::DOCKER_LAYER)
}

/// The push of one tag.
struct One<'a> {
    shared: &'a Arc<Shared>,
    pusher: &'a Pusher,
    report: &'a Reporter,
    reference: &'a ImageRef,
}

impl One<'_> {
    async fn push(&self, ready: &Ready) -> Result<()> {
        let layers = &ready.manifest.layers;
        if layers.len() != ready.record.layers.len() {
            return Err(Error::internal("the image's manifest and config differ in their layers"));
        }
        for layer in ready.record.layers.iter().rev() {
            self.report.say(Progress::step(layer.diff_id.short(), "Preparing", 0, 0)).await;
        }
        for layer in ready.record.layers.iter().rev().skip(self.shared.uploads().available_permits()) {
            self.report.say(Progress::step(layer.diff_id.short(), "Waiting", 0, 0)).await;
        }
        let all = layers.iter().zip(&ready.record.layers);
        // Each waits for its turn among all uploads.
        try_join_all(all.map(|(blob, layer)| self.layer(blob, layer, ready))).await?;
        let config = &ready.manifest.config;
        let path = self.shared.store.content().path(&config.digest);
        self.blob(config, path, None, |_| ()).await?;
        let tag = self.reference.tag().unwrap_or("latest");
        let put = self.pusher.manifest(tag, &ready.media_type, &ready.bytes).await;
        put.map(drop).map_err(super::pull::blob_error)
    }

    async fn layer(&self, blob: &Descriptor, layer: &LayerRecord, ready: &Ready) -> Result<()> {
        let id = layer.diff_id.short().to_owned();
        let path = self.shared.store.content().path(&blob.digest);
        let (report, total, shown) = (self.report.clone(), blob.size, id.clone());
        let told = AtomicU64::new(0);
        let progress = move |step| match step {
            // Chunks of one upload come one after another, if not from the beginning again.
            UploadStep::Bytes(sent) => {
                let before = told.load(Ordering::Relaxed);
                if sent == total || sent < before || sent >= before + STEP {
                    told.store(sent, Ordering::Relaxed);
                    report.hint(Progress::step(&shown, "Pushing", sent, total));
                }
            }
            UploadStep::Retrying(seconds) => report.hint(Progress::retrying(&shown, seconds)),
        };
        let status = match self.blob(blob, path, ready.mount.as_deref(), progress).await? {
            Pushed::Exists if ready.mounted.contains(&blob.digest) => {
                format!("Mounted from {}", ready.mount.as_deref().unwrap_or_default())
            }
            Pushed::Exists => "Layer already exists".to_owned(),
            Pushed::Mounted(from) => format!("Mounted from {from}"),
            Pushed::Uploaded => "Pushed".to_owned(),
        };
        self.report.say(Progress::step(&id, &status, 0, 0)).await;
        Ok(())
    }

    async fn blob(
        &self,
        blob: &Descriptor,
        path: PathBuf,
        mount: Option<&str>,
        progress: impl Fn(UploadStep) + Send + Sync + 'static,
    ) -> Result<Pushed> {
        // Never closed, so this cannot fail.
        let _slot = self.shared.uploads().acquire_owned().await;
        let open = || std::fs::File::open(Path::new(&path));
        let pushed = self.pusher.blob(blob, mount, open, progress).await;
        pushed.map_err(super::pull::blob_error)
    }
}
