//! `docker pull`: from a reference to an image in the store.

use std::sync::Arc;

use registry::{ErrorCode, Fetched, Manifests, Repository, Target};
use store::ImageRecord;
use types::image::media_type;
use types::{Descriptor, Digest, Error, ErrorKind, ImageConfig, ImageRef, Manifest, Platform, Result};

use super::hold::PullHold;
use super::progress::{Progress, ProgressStream, Reporter};
use super::{Images, PullRequest, Shared, layers};

/// No honest image config is larger.
const CONFIG_MAX: u64 = 8 << 20;
/// More layers than any snapshotter can stack.
const LAYERS_MAX: usize = 500;

impl Images {
    /// Pulls an image. Dropping the stream cancels; what was fetched so far is used by the next pull.
    pub fn pull(&self, request: PullRequest) -> ProgressStream {
        let shared = self.0.clone();
        ProgressStream::spawn(move |report| async move { pull(shared, request, report).await })
    }
}

async fn pull(shared: Arc<Shared>, request: PullRequest, report: Reporter) -> Result<()> {
    let PullRequest { reference, all_tags, platform, credentials } = request;
    let repository = shared.client().repository(&reference, credentials);
    let platform = platform.unwrap_or_else(Platform::host);
    let references = if all_tags {
        let tags = repository.tags().await.map_err(|error| translate(error, &reference))?;
        tags.iter().map(|tag| reference.with_tag(tag)).collect::<std::result::Result<_, _>>()
    } else {
        Ok(vec![reference.clone()])
    };
    let mut is_newer = false;
    for reference in references.map_err(super::names::invalid)? {
        let one =
            One { shared: &shared, repository: &repository, reference: &reference, platform: &platform };
        is_newer |= one.pull(&report).await?;
    }
    let shown = reference.familiar();
    let status = if is_newer {
        format!("Status: Downloaded newer image for {shown}")
    } else {
        format!("Status: Image is up to date for {shown}")
    };
    report.say(Progress::message("", status)).await;
    Ok(())
}

/// The pull of one reference.
struct One<'a> {
    shared: &'a Arc<Shared>,
    repository: &'a Repository,
    reference: &'a ImageRef,
    platform: &'a Platform,
}

impl One<'_> {
    /// Returns whether anything here changed.
    async fn pull(&self, report: &Reporter) -> Result<bool> {
        // Before the first byte comes, so that no garbage collection takes what is not yet named.
        let hold = Arc::new(PullHold::new(self.shared.clone()));
        let pulled = self.pull_held(&hold, report).await;
        match &pulled {
            Ok(_) => hold.succeeded(),
            Err(error) => hold.failed(error),
        }
        pulled
    }

    async fn pull_held(&self, hold: &Arc<PullHold>, report: &Reporter) -> Result<bool> {
        let target = match (self.reference.digest(), self.reference.tag()) {
            (Some(digest), _) => Target::Digest(digest.clone()),
            (None, tag) => Target::Tag(tag.unwrap_or("latest").to_owned()),
        };
        let top = self.fetch_manifest(&target).await?;
        let label = match &target {
            Target::Digest(digest) => digest.to_string(),
            Target::Tag(tag) => tag.clone(),
        };
        let from = format!("Pulling from {}", self.repository.path());
        report.say(Progress::message(label, from)).await;

        let (fetched, manifest) = self.choose(&top).await?;
        let record = match self.known(&manifest.config.digest).await? {
            Some(record) => record,
            None => self.bring(&fetched, &manifest, hold.clone(), report).await?,
        };
        report.say(Progress::message("", format!("Digest: {}", top.digest))).await;
        self.keep(record, top.digest).await
    }

    async fn fetch_manifest(&self, target: &Target) -> Result<Fetched> {
        self.repository.manifest(target).await.map_err(|error| translate(error, self.reference))
    }

    /// The manifest for the platform: `top` itself, or the one an index names.
    async fn choose(&self, top: &Fetched) -> Result<(Fetched, Manifest)> {
        let problem = |error| translate(error, self.reference);
        let index = match registry::parse(top).map_err(problem)? {
            Manifests::Image(manifest) => return Ok((top.clone(), *manifest)),
            Manifests::Index(index) => index,
        };
        let chosen = registry::choose(&index, self.platform).map_err(problem)?;
        let fetched = self.fetch_manifest(&Target::Digest(chosen.digest.clone())).await?;
        match registry::parse(&fetched).map_err(problem)? {
            Manifests::Image(manifest) => Ok((fetched, *manifest)),
            Manifests::Index(_) => Err(Error::invalid("unsupported manifest format")),
        }
    }

    async fn known(&self, id: &Digest) -> Result<Option<ImageRecord>> {
        let (shared, id) = (self.shared.clone(), id.clone());
        Images(shared).blocking(move |shared| Ok(shared.store.images().get(&id)?)).await
    }

    /// Fetches config and layers, and unpacks these.
    async fn bring(
        &self,
        fetched: &Fetched,
        manifest: &Manifest,
        hold: Arc<PullHold>,
        report: &Reporter,
    ) -> Result<ImageRecord> {
        check(manifest)?;
        let store = &self.shared.store;
        let config = &manifest.config;
        hold.pin(store::Resource::Blob(config.digest.clone()));
        let fetch = self.shared.downloads.fetch(self.repository, store, config, false, |_| ());
        fetch.await.map_err(|error| match error {
            registry::Error::LayerDigest(digest) => {
                Error::internal(format!("image config verification failed for digest {digest}"))
            }
            error => blob_error(error),
        })?;
        let digest = config.digest.clone();
        let images = Images(self.shared.clone());
        let raw =
            images.blocking(move |shared| Ok(shared.store.content().read(&digest, CONFIG_MAX)?)).await?;
        let parsed = check_config(&raw, manifest)?;
        let diff_ids = &parsed.rootfs.diff_ids;
        let (repository, report) = (self.repository.clone(), report.clone());
        let layers =
            layers::fetch_all(self.shared.clone(), repository, hold, report, &manifest.layers, diff_ids)
                .await?;
        let media_type = match (&manifest.media_type, fetched.media_type.as_str()) {
            (Some(inner), _) => inner.clone(),
            (None, "") => media_type::OCI_MANIFEST.to_owned(),
            (None, served) => served.to_owned(),
        };
        let bytes = fetched.bytes.clone();
        let kept = images.blocking(move |shared| Ok(shared.store.content().put(&bytes)?)).await?;
        Ok(ImageRecord {
            id: config.digest.clone(),
            config: raw,
            manifest: Some(Descriptor::new(media_type, kept.digest, kept.size)),
            size: layers.iter().map(|layer| layer.bytes).sum(),
            layers,
            created: parsed.created.unwrap_or_default(),
            parent: None,
            added_at: String::new(),
            names: Vec::new(),
        })
    }

    /// Names the image. Returns whether the name is new or means another image than before.
    async fn keep(&self, mut record: ImageRecord, digest: Digest) -> Result<bool> {
        let reference = self.reference.clone();
        let images = Images(self.shared.clone());
        images
            .blocking(move |shared| {
                let by_digest = reference.with_digest(digest);
                let name = match reference.digest() {
                    Some(_) => by_digest.clone(),
                    None => reference
                        .name_only()
                        .with_tag(reference.tag().unwrap_or("latest"))
                        .map_err(super::names::invalid)?,
                };
                let before = shared.store.images().by_name(&name)?.map(|image| image.id);
                record.names = vec![by_digest, name];
                record.names.dedup();
                shared.store.images().put(&record)?;
                shared.publish("pull", &reference.familiar(), &reference.familiar_repository(), &record);
                Ok(before.as_ref() != Some(&record.id))
            })
            .await
    }
}

/// Whether the manifest is one of an image that we can unpack.
fn check(manifest: &Manifest) -> Result<()> {
    let kind = manifest.config.media_type.as_str();
    if !matches!(kind, media_type::OCI_CONFIG | media_type::DOCKER_CONFIG | "application/octet-stream" | "") {
        return Err(Error::invalid(format!("unsupported media type {kind}")));
    }
    if let Some(layer) = manifest.layers.iter().find(|layer| !layer.media_type.contains("tar")) {
        return Err(Error::invalid(format!("unsupported media type {}", layer.media_type)));
    }
    if manifest.layers.len() > LAYERS_MAX {
        return Err(Error::invalid("max depth exceeded"));
    }
    if manifest.config.size > CONFIG_MAX {
        let digest = &manifest.config.digest;
        return Err(Error::invalid(format!("image config {digest} is larger than {CONFIG_MAX} bytes")));
    }
    Ok(())
}

/// The config, if it belongs to the manifest and to this system.
fn check_config(raw: &[u8], manifest: &Manifest) -> Result<ImageConfig> {
    let config: ImageConfig = serde_json::from_slice(raw).map_err(|error| {
        Error::invalid(format!("invalid config of image {}: {error}", manifest.config.digest))
    })?;
    if !config.os.is_empty() && config.os != "linux" {
        return Err(Error::invalid(format!(
            "image operating system {:?} cannot be used on this platform",
            config.os
        )));
    }
    if config.rootfs.diff_ids.len() != manifest.layers.len() {
        return Err(Error::invalid("layers from manifest don't match image configuration"));
    }
    Ok(config)
}

/// Docker's words for what a registry answered about `reference`.
pub(super) fn translate(error: registry::Error, reference: &ImageRef) -> Error {
    use registry::Error as E;
    let name = reference.familiar_repository();
    let (kind, message) = match &error {
        E::Refused { code: ErrorCode::Denied, .. } => (
            ErrorKind::NotFound,
            format!(
                "pull access denied for {name}, repository does not exist or may require 'docker login': {error}"
            ),
        ),
        E::Refused { code: ErrorCode::ManifestUnknown, .. } => {
            (ErrorKind::NotFound, format!("manifest for {} not found: {error}", reference.familiar()))
        }
        E::Refused { code: ErrorCode::NameUnknown, .. } => {
            (ErrorKind::NotFound, format!("repository {name} not found: {error}"))
        }
        E::NoMatch(_) => (ErrorKind::NotFound, error.to_string()),
        E::Schema1 => (
            ErrorKind::InvalidArgument,
            format!(
                "Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been removed. Suggest the \
                 author of {reference} to upgrade the image to the OCI Format or Docker Image manifest v2, schema 2. More \
                 information at https://docs.docker.com/go/deprecated-image-specs/"
            ),
        ),
        E::UnsupportedManifest(_) | E::InvalidManifest { .. } => {
            (ErrorKind::InvalidArgument, error.to_string())
        }
        _ => (ErrorKind::Internal, error.to_string()),
    };
    Error::new(kind, message).with_source(error)
}

/// The same for a blob, where a missing one is the registry's fault and not the user's.
pub(super) fn blob_error(error: registry::Error) -> Error {
    match error {
        registry::Error::Store(error) => error.into(),
        error => Error::new(ErrorKind::Internal, error.to_string()).with_source(error),
    }
}
