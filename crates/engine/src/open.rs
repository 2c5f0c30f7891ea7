//! Opening the parts in order.

use supervisor::Zygote;
use types::Result;

use crate::{Containers, Events, Networks, Settings, System, Volumes};

/// The open domain: one handle for each part.
#[derive(Debug, Clone)]
pub struct Engine {
    /// What happens.
    pub events: Events,
    /// Networks.
    pub networks: Networks,
    /// Volumes.
    pub volumes: Volumes,
    /// Containers.
    pub containers: Containers,
    /// Facts.
    pub system: System,
}

impl Engine {
    /// Opens the store, finds what runs, finishes or undoes what was half done.
    pub async fn open(_settings: Settings, _zygote: Zygote) -> Result<Self> {
        Err(crate::error::later("open"))
    }

    /// An orderly stop: stops containers (unless `live_restore`) within the shutdown timeout.
    pub async fn shutdown(&self) {}
}
