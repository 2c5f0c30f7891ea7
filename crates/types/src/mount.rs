//! Mounts join storage and execution: snapshots and volumes yield them, the runtime performs them; neither knows
//! the other.

use serde::{Deserialize, Serialize};

/// One mount, in the words of the OCI runtime specification.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mount {
    /// File system type, or `bind`.
    #[serde(rename = "type", default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Host path or device; `overlay`, `tmpfs`, ... for file systems without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Where it appears: relative to the rootfs; empty for the mount that *is* the rootfs.
    #[serde(default)]
    pub destination: String,
    /// Options as in fstab; `lowerdir=a:b`, `upperdir=`, `workdir=` for overlay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}
