//! Questions to registries that bring nothing here: who am I, what do you have.

use registry::{Credentials, Manifests, Target};
use types::{Digest, Error, ErrorKind, ImageRef, Platform, Result};

use super::{Images, names, pull};

/// Where Docker's clients think its own registry is.
const HUB_URL: &str = "https://index.docker.io/v1/";

/// What a registry has under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// Of the manifest or index.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: usize,
    /// What it is for.
    pub platforms: Vec<Platform>,
}

impl Images {
    /// Asks a registry whether it takes these credentials. Gives the identity token, if it gave one.
    pub async fn log_in(&self, server: &str, credentials: Credentials) -> Result<String> {
        let server = if server.is_empty() { HUB_URL } else { server };
        let host = server.split_once("://").map_or(server, |(_, rest)| rest);
        let host = host.split('/').next().unwrap_or(host);
        let name = match host {
            "index.docker.io" | "docker.io" => "login".to_owned(),
            host => format!("{host}/login"),
        };
        let reference: ImageRef =
            name.parse().map_err(|error| Error::invalid(format!("registry {server:?}: {error}")))?;
        let repository = self.0.client().repository(&reference, credentials);
        match repository.check_credentials().await {
            Ok(token) => Ok(token.unwrap_or_default()),
            Err(error) => {
                let kind = match &error {
                    registry::Error::Refused { .. } | registry::Error::NoBasicAuth => ErrorKind::Unauthorized,
                    registry::Error::Status(status) if matches!(status.as_u16(), 401 | 403) => {
                        ErrorKind::Unauthorized
                    }
                    _ => ErrorKind::Internal,
                };
                let text = format!("login attempt to {} failed: {error}", repository.address());
                let message = if kind == ErrorKind::Internal { error.to_string() } else { text };
                Err(Error::new(kind, message).with_source(error))
            }
        }
    }

    /// What a registry has under a name.
    pub async fn distribution(&self, name: &str, credentials: Credentials) -> Result<Distribution> {
        let reference = names::parse(name)?.with_default_tag();
        let repository = self.0.client().repository(&reference, credentials);
        let target = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Target::Digest(digest.clone()),
            (None, tag) => Target::Tag(tag.unwrap_or("latest").to_owned()),
        };
        let problem = |error| pull::translate(error, &reference);
        let top = repository.manifest(&target).await.map_err(problem)?;
        let platforms = match registry::parse(&top).map_err(problem)? {
            Manifests::Index(index) => index.manifests.into_iter().filter_map(|one| one.platform).collect(),
            Manifests::Image(manifest) => {
                let config = repository.blob_bytes(&manifest.config).await.map_err(problem)?;
                let config: types::ImageConfig = serde_json::from_slice(&config)
                    .map_err(|error| Error::internal(format!("image config: {error}")))?;
                vec![Platform {
                    os: config.os,
                    architecture: config.architecture,
                    variant: config.variant,
                    os_version: config.os_version,
                }]
            }
        };
        Ok(Distribution { media_type: top.media_type, digest: top.digest, size: top.bytes.len(), platforms })
    }
}
