//! What is kept on disk about a container: a JSON document in the store.
//!
//! Members may be added (with `#[serde(default)]`), never renamed: an older daemon's records are read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::config::{Config, EndpointRequest, HostConfig};
use types::{ContainerId, Digest};

use super::state::State;
use super::view::MountPoint;
use crate::Timestamp;

/// One container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Identity.
    pub(crate) id: ContainerId,
    /// Name without slash.
    pub(crate) name: String,
    /// When it was created.
    pub(crate) created: Timestamp,
    /// Merged with the image's.
    pub(crate) config: Config,
    /// With defaults.
    pub(crate) host_config: HostConfig,
    /// Image id; `None` for one that was made without an image.
    pub(crate) image_id: Option<Digest>,
    /// What is mounted by the user's wish, in the order of destinations.
    #[serde(default)]
    pub(crate) mounts: Vec<MountRecord>,
    /// What was asked of each endpoint, by network name.
    #[serde(default)]
    pub(crate) endpoints: BTreeMap<String, EndpointRequest>,
    /// The endpoints in use while it runs.
    #[serde(default)]
    pub(crate) attached: Vec<network::Endpoint>,
    /// Where it is in its life.
    pub(crate) state: State,
    /// How often the policy restarted it since the user started it.
    #[serde(default)]
    pub(crate) restart_count: u32,
    /// It was started at least once, so its files exist.
    #[serde(default)]
    pub(crate) was_started: bool,
    /// The user stopped it.
    #[serde(default)]
    pub(crate) stopped_by_user: bool,
}

/// One mount, with what is needed to perform it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct MountRecord {
    /// As shown to users.
    #[serde(flatten)]
    pub(crate) point: MountPoint,
    /// Without the mounts below the source.
    #[serde(default)]
    pub(crate) non_recursive: bool,
    /// Read-only for the mount itself only.
    #[serde(default)]
    pub(crate) read_only_non_recursive: bool,
    /// Do not fill the volume from the image.
    #[serde(default)]
    pub(crate) no_copy: bool,
    /// Directory inside the volume or image.
    #[serde(default)]
    pub(crate) subpath: String,
    /// The image that is mounted, of a mount of type `image`.
    #[serde(default)]
    pub(crate) image: Option<Digest>,
    /// The topmost layer of that image, which stays when the image is removed by force.
    #[serde(default)]
    pub(crate) image_layer: Option<Digest>,
    /// Options of a tmpfs, as mount data.
    #[serde(default)]
    pub(crate) tmpfs: Vec<String>,
    /// Made for this container without a name from the user: removed with `rm -v` and `--rm`.
    #[serde(default)]
    pub(crate) anonymous: bool,
    /// The source is made when it is missing (`-v`).
    #[serde(default)]
    pub(crate) create_source: bool,
    /// The owner of the source and the container's user are one.
    #[serde(default)]
    pub(crate) owner_is_user: bool,
}

impl Record {
    /// What is executed, and its arguments: entry point, then command.
    pub(crate) fn path_and_args(&self) -> (String, Vec<String>) {
        let mut words =
            self.config.entrypoint.iter().flatten().chain(self.config.cmd.iter().flatten()).cloned();
        let path = words.next().unwrap_or_default();
        (path, words.collect())
    }

    /// Labels, also when there are none.
    pub(crate) fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.config.labels.as_ref().unwrap_or(&NONE)
    }

    /// Whether it has a health check to run.
    pub(crate) fn has_health_check(&self) -> bool {
        let test = self.config.healthcheck.as_ref().and_then(|check| check.test.as_deref());
        test.and_then(<[_]>::first).is_some_and(|kind| matches!(kind.as_str(), "CMD" | "CMD-SHELL"))
    }
}
