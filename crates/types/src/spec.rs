//! The OCI runtime specification 1.3 for Linux (config.md, config-linux.md, runtime.md, features.md) as plain data.
//!
//! Field names are the specification's; optional members are `Option`, lists and maps are empty when absent or
//! `null` (Go writes both). Unknown members are ignored, as the specification demands. Values are not checked here:
//! that is the runtime's `validate`.

mod linux;
mod process;
mod resources;
mod seccomp;
mod state;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

pub use linux::{
    Device, IdMapping, IntelRdt, Linux, MemoryPolicy, Namespace, NamespaceKind, NetDevice, Personality,
    TimeOffset,
};
pub use process::{Capabilities, ConsoleSize, CpuAffinity, IoPriority, Process, Rlimit, Scheduler, User};
pub use resources::{
    BlockIo, Cpu, DeviceRule, Hugepage, InterfacePriority, Memory, NetworkRes, Pids, Rdma, Resources,
    ThrottleDevice, WeightDevice,
};
pub use seccomp::{Seccomp, SeccompAction, SeccompArg, SeccompOp, SeccompRule};
pub use state::{
    ContainerProcessState, Features, FeaturesCgroup, FeaturesEnabled, FeaturesIntelRdt, FeaturesLinux,
    FeaturesMemoryPolicy, FeaturesMountExtensions, FeaturesSeccomp, State, Status,
};

/// The version of the specification these structures follow.
pub const VERSION: &str = "1.3.0";

/// Go decodes `null` into the zero value; so do we.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    input: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// A container as the runtime is told to make it: `config.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RuntimeSpec {
    /// Version of the specification the bundle follows.
    pub oci_version: String,
    /// What to run; may be absent for a container that is only created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The container's root file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    /// Host name in the container's UTS namespace.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// NIS domain name in the container's UTS namespace.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub domainname: String,
    /// Mounts beyond the root, in order.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Programs run at points of the container's life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,
    /// Free-form metadata.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What only Linux has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux: Option<Linux>,
}

/// The container's root file system.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Root {
    /// Host path, absolute or relative to the bundle.
    pub path: String,
    /// Make it read-only.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "std::ops::Not::not")]
    pub readonly: bool,
}

/// One mount of `config.json`. The storage side's mount is [`crate::mount::Mount`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mount {
    /// Absolute path inside the container.
    pub destination: String,
    /// File system type, or `bind`.
    #[serde(rename = "type", deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Device, host path or a dummy name.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Options as in fstab, plus the specification's own (`rro`, `idmap`, `tmpcopyup`, ...).
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// User id mappings of an id-mapped mount.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdMapping>,
    /// Group id mappings of an id-mapped mount.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdMapping>,
}

impl From<crate::mount::Mount> for Mount {
    fn from(mount: crate::mount::Mount) -> Self {
        let crate::mount::Mount { kind, source, destination, options } = mount;
        Mount { destination, kind, source, options, ..Mount::default() }
    }
}

/// Programs run at points of the container's life (config.md, "POSIX-platform Hooks").
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hooks {
    /// Deprecated; as `create_runtime`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub prestart: Vec<Hook>,
    /// In the runtime's namespaces, after the container's namespaces exist and before `pivot_root`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub create_runtime: Vec<Hook>,
    /// In the container's namespaces, before `pivot_root`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub create_container: Vec<Hook>,
    /// In the container, right before the user's process.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub start_container: Vec<Hook>,
    /// In the runtime's namespaces, after the user's process was started.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub poststart: Vec<Hook>,
    /// In the runtime's namespaces, after the container was deleted.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub poststop: Vec<Hook>,
}

/// One program run at a point of the container's life; it reads the container's [`State`] on standard input.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hook {
    /// Absolute path.
    pub path: String,
    /// `argv`, including `argv[0]`; the path alone when empty.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// `NAME=value`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Seconds until it is killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
}

#[cfg(test)]
mod tests;
