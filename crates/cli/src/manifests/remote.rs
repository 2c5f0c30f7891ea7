//! Manifests at a registry: the command line asks it itself, without the daemon.

use bytes::Bytes;
use registry::{Client, Credentials, Error, ErrorCode, Fetched, Options, PlainHttp};
use serde_json::Value as Json;
use types::image::media_type;
use types::{Digest, ImageRef};

use super::{Entry, ImageManifest, Schema, Target};
use crate::Failure;
use crate::context::Context;

/// What a name at a registry stands for.
pub(crate) enum Found {
    One(Box<ImageManifest>),
    List(Vec<ImageManifest>),
}

/// Registries, as this user may ask them.
pub(crate) struct Remote<'a> {
    context: &'a Context,
    insecure: bool,
    runtime: tokio::runtime::Runtime,
}

impl<'a> Remote<'a> {
    /// `insecure`: the registry may have an unknown certificate, or none at all.
    pub(crate) fn new(context: &'a Context, insecure: bool) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self {
            context,
            insecure,
            runtime: runtime.map_err(|error| Failure::new(crate::os_error(&error)))?,
        })
    }

    fn repository(
        &self,
        reference: &ImageRef,
        plain_http: PlainHttp,
    ) -> Result<registry::Repository, Failure> {
        let mut credentials = Credentials::default();
        if let (_, Some(known)) = self.context.credential(reference)? {
            let (user, password, token) = known.parts();
            credentials.username = user.to_owned();
            credentials.password = password.to_owned();
            credentials.identity_token = token.to_owned();
        }
        let insecure = if self.insecure { vec![reference.domain().to_owned()] } else { Vec::new() };
        let options = Options {
            insecure,
            plain_http,
            attempts: 1,
            user_agent: format!("Docker-Client/{} (linux)", crate::DOCKER_VERSION),
            ..Options::default()
        };
        Ok(Client::new(options).repository(reference, credentials))
    }

    /// What a registry has under a name.
    pub(crate) fn find(&self, reference: &ImageRef) -> Result<Found, Failure> {
        let plain_http = if self.insecure { PlainHttp::AfterPlainAnswer } else { PlainHttp::Never };
        let repository = self.repository(reference, plain_http)?;
        let found = self.runtime.block_on(find(&repository, reference));
        found.map_err(|error| Failure::new(explain(&error, reference)))
    }

    /// One image's manifest; a list is refused.
    pub(crate) fn manifest(&self, reference: &ImageRef) -> Result<ImageManifest, Failure> {
        match self.find(reference)? {
            Found::One(manifest) => Ok(*manifest),
            Found::List(_) => Err(Failure::new(format!("{reference} is a manifest list"))),
        }
    }

    /// Where to push what belongs to a reference's repository.
    pub(crate) fn pusher(&self, reference: &ImageRef) -> Result<Pusher<'_>, Failure> {
        let repository = self.repository(reference, PlainHttp::AfterPlainAnswer)?;
        let pusher = self.runtime.block_on(repository.pusher());
        let pusher = pusher.map_err(|error| Failure::new(explain_ping(&error)))?;
        Ok(Pusher { remote: self, pusher, target: reference.clone() })
    }
}

/// A repository that is pushed to.
pub(crate) struct Pusher<'a> {
    remote: &'a Remote<'a>,
    pusher: registry::Pusher,
    target: ImageRef,
}

impl Pusher<'_> {
    /// Gives it a blob that another repository of the registry has. Whether it could be done.
    pub(crate) fn mount(&self, digest: &Digest, from: &ImageRef) -> Result<bool, Failure> {
        let mounted = self.remote.runtime.block_on(self.pusher.mount(digest, from.path()));
        mounted.map_err(|error| {
            let source = from.with_digest(digest.clone());
            Failure::new(format!("failed to mount blob {source} to {}: {error}", self.target))
        })
    }

    /// Puts a document under a tag or digest of the repository, and gives its digest there.
    pub(crate) fn put(
        &self,
        reference: &ImageRef,
        media_type: &str,
        text: Vec<u8>,
    ) -> Result<Digest, Failure> {
        let target = match (reference.tag(), reference.digest()) {
            (Some(tag), _) => tag.to_owned(),
            (None, digest) => digest.map(ToString::to_string).unwrap_or_default(),
        };
        let failed =
            |why: &dyn std::fmt::Display| Failure::new(format!("failed to put manifest {reference}: {why}"));
        let text = Bytes::from(text);
        let put = self.pusher.manifest(&target, media_type, &text);
        let digest = self.remote.runtime.block_on(put).map_err(|error| failed(&error))?;
        digest.ok_or_else(|| failed(&"invalid checksum digest format"))
    }
}

async fn find(repository: &registry::Repository, reference: &ImageRef) -> Result<Found, Error> {
    let target = match (reference.tag(), reference.digest()) {
        (_, Some(digest)) => registry::Target::Digest(digest.clone()),
        (tag, None) => registry::Target::Tag(tag.unwrap_or("latest").to_owned()),
    };
    let fetched = repository.manifest(&target).await?;
    let index = match registry::parse(&fetched)? {
        registry::Manifests::Image(_) => {
            let one = image(repository, reference.clone(), fetched).await?;
            return Ok(Found::One(Box::new(one)));
        }
        registry::Manifests::Index(_) => document(&fetched)?,
    };
    let mut manifests = Vec::new();
    for row in index["manifests"].as_array().into_iter().flatten() {
        let Some(digest) = row["digest"].as_str().and_then(|text| text.parse::<Digest>().ok()) else {
            continue;
        };
        let one = repository.manifest(&registry::Target::Digest(digest.clone())).await?;
        let mut one = image(repository, with_digest(reference, digest), one).await?;
        one.entry.platform = Some(target_of(&row["platform"]));
        manifests.push(one);
    }
    Ok(Found::List(manifests))
}

/// The reference with another digest; a tag stays, as with Docker's client.
fn with_digest(reference: &ImageRef, digest: Digest) -> ImageRef {
    let tag = reference.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
    let whole = format!("{}{tag}@{digest}", reference.repository());
    whole.parse().unwrap_or_else(|_| reference.with_digest(digest))
}

/// A manifest with the platform that its config tells.
async fn image(
    repository: &registry::Repository,
    reference: ImageRef,
    fetched: Fetched,
) -> Result<ImageManifest, Error> {
    let registry::Manifests::Image(manifest) = registry::parse(&fetched)? else {
        return Err(Error::UnsupportedManifest(fetched.media_type));
    };
    let config = repository.blob_bytes(&manifest.config).await?;
    let config: Json = serde_json::from_slice(&config).unwrap_or_default();
    let served = fetched.media_type.split(';').next().unwrap_or_default().trim();
    let said = manifest.media_type.as_deref().unwrap_or(served);
    let schema = if said == media_type::DOCKER_MANIFEST { Schema::Docker } else { Schema::Oci };
    let entry = Entry {
        media_type: schema.media_type().to_owned(),
        digest: fetched.digest,
        size: fetched.bytes.len() as u64,
        platform: Some(target_of(&config)),
    };
    Ok(ImageManifest { reference, entry, raw: fetched.bytes.to_vec(), schema })
}

fn document(fetched: &Fetched) -> Result<Json, Error> {
    serde_json::from_slice(&fetched.bytes)
        .map_err(|error| Error::InvalidManifest { digest: fetched.digest.clone(), cause: error.to_string() })
}

/// The platform in a config, or in a row of a list.
fn target_of(value: &Json) -> Target {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let features = value["os.features"].as_array().into_iter().flatten();
    Target {
        architecture: text("architecture"),
        os: text("os"),
        os_version: text("os.version"),
        os_features: features.filter_map(|one| one.as_str().map(str::to_owned)).collect(),
        variant: text("variant"),
    }
}

/// Docker's client goes on to other addresses after some errors and, when there are none, knows only that there is no
/// such manifest; others it tells.
fn explain(error: &Error, reference: &ImageRef) -> String {
    let is_missing = match error {
        Error::Refused { code, .. } => {
            matches!(code, ErrorCode::Unauthorized | ErrorCode::ManifestUnknown | ErrorCode::NameUnknown)
        }
        Error::Status(_) | Error::Body { .. } => true,
        error => error.speaks_plain(),
    };
    if is_missing {
        return format!("no such manifest: {reference}");
    }
    explain_ping(error)
}

fn explain_ping(error: &Error) -> String {
    match error {
        Error::Network { .. } => {
            format!("failed to configure transport: error pinging v2 registry: {error}")
        }
        other => other.to_string(),
    }
}
