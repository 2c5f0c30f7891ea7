//! Images as the doors see them: plain values, no wire format.

use std::collections::BTreeMap;

use types::{Config, Digest, ImageConfig, ImageRef, Platform, Result};

use crate::{Filters, Timestamp};

/// What to pull, and as whom.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// Repository with a tag or digest; without both, see `all_tags`.
    pub reference: ImageRef,
    /// Pull every tag of the repository.
    pub all_tags: bool,
    /// The platform asked for; the host's if none.
    pub platform: Option<Platform>,
    /// For the registry.
    pub credentials: registry::Credentials,
}

impl PullRequest {
    /// From `fromImage` and `tag` as the API has them: `tag` may be a tag or a digest and wins over one in the name;
    /// without any, every tag is meant.
    pub fn parse(
        from_image: &str,
        tag: &str,
        platform: &str,
        credentials: registry::Credentials,
    ) -> Result<Self> {
        let reference = super::names::parse(from_image)?;
        let reference = match tag {
            "" => reference,
            digest if digest.contains(':') => reference.with_digest(super::names::parse_digest(digest)?),
            tag => reference.with_tag(tag).map_err(super::names::invalid)?,
        };
        let platform = super::names::parse_platform(platform)?;
        let all_tags = reference.tag().is_none() && reference.digest().is_none();
        Ok(Self { reference, all_tags, platform, credentials })
    }
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// Intermediate images too.
    pub all: bool,
    /// `before dangling label label! reference since until`.
    pub filters: Filters,
    /// Compute `shared_size`.
    pub shared_size: bool,
    /// Count containers.
    pub container_count: bool,
}

/// One image in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// The image id: digest of its config.
    pub id: Digest,
    /// Id of the image it was built from here; empty if none.
    pub parent: String,
    /// Familiar names; empty for a dangling image (Docker's API up to 1.42 shows `<none>:<none>`).
    pub repo_tags: Vec<String>,
    /// `repository@digest`.
    pub repo_digests: Vec<String>,
    /// Seconds since 1970.
    pub created: i64,
    /// Bytes of all unpacked layers.
    pub size_bytes: u64,
    /// Bytes of layers that other images have too; -1 if not asked for.
    pub shared_size_bytes: i64,
    /// Containers made from it; -1 if not asked for.
    pub containers: i64,
    /// Labels of its config.
    pub labels: Option<BTreeMap<String, String>>,
}

/// All about one image.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageDetails {
    /// The image id: digest of its config.
    pub id: Digest,
    /// Familiar names.
    pub repo_tags: Vec<String>,
    /// `repository@digest`.
    pub repo_digests: Vec<String>,
    /// Id of the image it was built from here; empty if none.
    pub parent: String,
    /// The config.
    pub config: ImageConfig,
    /// The `config` member of the config as it was written: some fields are shown only if they were there.
    pub raw_config: serde_json::Value,
    /// Bytes of all unpacked layers.
    pub size_bytes: u64,
    /// Name of the snapshotter, and its paths.
    pub graph_driver: (String, BTreeMap<String, String>),
    /// When a tag was last put on it here.
    pub last_tagged: Option<Timestamp>,
}

/// An image chosen for a new container.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedImage {
    /// The image id: digest of its config.
    pub id: Digest,
    /// Top snapshot, the parent of the container's own; `None` for an image without layers.
    pub chain_id: Option<Digest>,
    /// Its config.
    pub config: ImageConfig,
    /// What it runs on.
    pub platform: Platform,
}

impl ResolvedImage {
    /// Defaults for containers.
    pub fn container_config(&self) -> Config {
        self.config.config.clone().unwrap_or_default()
    }
}

/// One step that made an image, newest first in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Image id, or `<missing>`.
    pub id: String,
    /// Seconds since 1970; Go's zero time if not recorded.
    pub created: i64,
    /// The command.
    pub created_by: String,
    /// Familiar names of that image.
    pub tags: Vec<String>,
    /// Bytes of the layer.
    pub size_bytes: u64,
    /// Why.
    pub comment: String,
}

/// What a removal did, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name is gone.
    Untagged(String),
    /// An image (id) or a layer (chain id) is gone.
    Deleted(String),
}

/// What a prune did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    /// In order.
    pub removed: Vec<Removed>,
    /// Bytes of layers that are gone.
    pub space_reclaimed_bytes: u64,
}
