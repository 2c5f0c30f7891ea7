//! Volumes: data that outlives containers.

use std::collections::BTreeMap;

use types::Result;

use crate::{Filters, Events};
use crate::containers::view::Pruned;

/// What is asked of a new volume.
#[derive(Debug, Clone, Default)]
pub struct VolumeRequest {
    /// Name; empty lets us choose 64 hex digits (an anonymous volume).
    pub name: String,
    /// `local` or empty.
    pub driver: String,
    /// Options of the driver (`type`, `device`, `o`).
    pub driver_opts: BTreeMap<String, String>,
    /// Labels; Docker shows `null` when none were given.
    pub labels: Option<BTreeMap<String, String>>,
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeDetails {
    /// Name.
    pub name: String,
    /// `local`.
    pub driver: String,
    /// Host path of its data.
    pub mountpoint: String,
    /// RFC 3339 in seconds.
    pub created_at: String,
    /// `None` is Docker's `null`.
    pub labels: Option<BTreeMap<String, String>>,
    /// `None` is Docker's `null`.
    pub options: Option<BTreeMap<String, String>>,
    /// `local`.
    pub scope: &'static str,
    /// How many containers use it; only from [`System::df`](crate::System::df).
    pub usage: Option<VolumeUsage>,
}

/// What a volume takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeUsage {
    /// Containers that use it.
    pub ref_count: i64,
    /// Bytes.
    pub size_bytes: i64,
}

/// All volumes of this daemon. A cheap handle.
#[derive(Debug, Clone)]
pub struct Volumes {
    events: Events,
}

impl Volumes {
    pub(crate) fn new(events: Events) -> Self {
        Self { events }
    }
    /// Makes a volume; answers the existing one when the name is taken by one of the same driver.
    pub async fn create(&self, _request: VolumeRequest) -> Result<VolumeDetails> {
        Err(crate::error::later("volume create"))
    }
    /// One volume; 404 `get x: no such volume`.
    pub async fn inspect(&self, _name: &str) -> Result<VolumeDetails> {
        Err(crate::error::later("volume inspect"))
    }
    /// Those that match (`dangling driver label name`), by name.
    pub async fn list(&self, _filters: &Filters) -> Result<Vec<VolumeDetails>> {
        Err(crate::error::later("volume list"))
    }
    /// Removes one that no container uses; `force` ignores one that does not exist.
    pub async fn remove(&self, _name: &str, _force: bool) -> Result<()> {
        Err(crate::error::later("volume remove"))
    }
    /// Removes anonymous volumes (with filter `all=true`: also named ones) that no container uses.
    pub async fn prune(&self, _filters: &Filters) -> Result<Pruned> {
        Err(crate::error::later("volume prune"))
    }
}
