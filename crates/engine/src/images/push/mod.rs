//! `docker push`: blobs that the registry lacks, then the manifest.
//!
//! An image that came with a manifest is pushed with those very bytes, so its digest is the same everywhere. For any
//! other one a manifest is made once and kept; layers that are kept plain are compressed for it, and sent meanwhile.
//!
//! ```text
//!  layers ─ compressed, here ───────────────────────────────> sent as they are
//!     └─ plain ─ a manifest names a compressed one ─ there ─> mounted, or already there
//!            └─ else: compressed, sent while it grows ──────> another name than the manifest's: another manifest
//! ```
//!
//! Where the store keeps layers as plain tars (docs/decisions/erofs.md), the compressed ones that a manifest names are
//! not here. They need not be where the registry has them, or another repository there. What it lacks is compressed
//! anew: if that gives the same bytes, as it does for what we compressed ourselves, all is well. Otherwise the image
//! goes out under a manifest about the new bytes, as Docker's does.

mod layers;
mod manifest;

use bytes::Bytes;
use futures_util::future::try_join_all;
use registry::{Pusher, UploadStep};
use store::ImageRecord;
use types::image::media_type;
use types::{Descriptor, Digest, Error, ImageRef, Manifest, Platform, Result};

use super::progress::{Aux, Progress, ProgressStream, Reporter};
use super::{Images, Shared, names, pull};
use layers::LayerPush;

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
    let pusher = repository.pusher().await.map_err(pull::blob_error)?;
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
    let mut plan = images.blocking(move |shared| shared.plan(&id, &domain)).await?;
    let push = LayerPush { images, pusher, report };
    let sent = push.all(&plan).await?;
    if !plan.is_about(&sent) {
        plan = images.blocking(move |shared| shared.describe(plan, sent)).await?;
    }
    let Some(manifest) = &plan.manifest else {
        return Err(Error::internal("an image was left without a manifest"));
    };
    push.config(&manifest.parsed.config).await?;
    let tag = name.tag().unwrap_or("latest").to_owned();
    let put = pusher.manifest(&tag, &manifest.media_type, &manifest.bytes).await;
    put.map_err(pull::blob_error)?;
    let (digest, size) = (manifest.digest.clone(), manifest.bytes.len());
    let record = plan.record.clone();
    let (repo_digest, of) = (name.name_only().with_digest(digest.clone()), name.clone());
    images
        .blocking(move |shared| {
            shared.store.images().tag(&record.id, &repo_digest)?;
            shared.publish("push", &of.familiar(), &of.familiar_repository(), &record);
            Ok(())
        })
        .await?;
    let line = format!("{tag}: digest: {digest} size: {size}");
    report.say(Progress::message("", line)).await;
    report.say(Progress::aux(Aux { tag, digest: digest.to_string(), size: size as u64 })).await;
    Ok(())
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
}
