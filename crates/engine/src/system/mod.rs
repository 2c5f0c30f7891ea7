//! Facts about the daemon and its host.

mod view;

pub use view::{DiskUsage, Info, Version};

use types::Result;

use crate::error::later;

/// Facts about the daemon and its host. A cheap handle.
#[derive(Debug, Clone)]
pub struct System {}

impl System {
    /// `GET /info`.
    pub async fn info(&self) -> Result<Info> {
        Err(later("info"))
    }
    /// `GET /version`.
    pub fn version(&self) -> Version {
        Version::default()
    }
    /// `GET /system/df`; images are the images part's business.
    pub async fn df(&self) -> Result<DiskUsage> {
        Err(later("df"))
    }
}
