//! What a runtime tells: the container's state and its own features.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::or_default;

/// State of a container (runtime.md, "State"): the answer to `state`, and what hooks read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Version of the specification.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Where it is in its life.
    pub status: Status,
    /// The container's first process, as the host sees it; 0 when there is none.
    #[serde(default)]
    pub pid: i32,
    /// Absolute path of the bundle.
    pub bundle: String,
    /// The configuration's annotations.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being made.
    Creating,
    /// Made; the user's process has not been started.
    Created,
    /// The user's process runs.
    Running,
    /// The user's process has exited.
    Stopped,
    /// Frozen (an addition of runc's).
    Paused,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Stopped => "stopped",
            Status::Paused => "paused",
        })
    }
}

/// What is sent with a seccomp notify descriptor (config-linux.md, "The container process state").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerProcessState {
    /// Version of the specification.
    pub oci_version: String,
    /// Names of the descriptors sent along, in order: `seccompFd`.
    pub fds: Vec<String>,
    /// The process under the filter, as the runtime sees it.
    pub pid: i32,
    /// `listenerMetadata` of the configuration.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    /// The container.
    pub state: State,
}

/// What a runtime can do (features.md).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Features {
    /// Oldest version understood.
    pub oci_version_min: String,
    /// Newest version understood.
    pub oci_version_max: String,
    /// Kinds of hooks run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<String>,
    /// Mount options understood.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mount_options: Vec<String>,
    /// What only Linux has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux: Option<FeaturesLinux>,
    /// About the runtime itself.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Annotations in a configuration that change what the runtime does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub potentially_unsafe_config_annotations: Vec<String>,
}

/// What a runtime can do on Linux (features-linux.md).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FeaturesLinux {
    /// Namespaces.
    pub namespaces: Vec<String>,
    /// Capabilities by name.
    pub capabilities: Vec<String>,
    /// Cgroups.
    pub cgroup: FeaturesCgroup,
    /// System call filters.
    pub seccomp: FeaturesSeccomp,
    /// AppArmor.
    pub apparmor: FeaturesEnabled,
    /// SELinux.
    pub selinux: FeaturesEnabled,
    /// Intel cache and bandwidth control.
    pub intel_rdt: FeaturesIntelRdt,
    /// Memory policies.
    pub memory_policy: FeaturesMemoryPolicy,
    /// Mounts beyond mount(2).
    pub mount_extensions: FeaturesMountExtensions,
    /// Moving network interfaces.
    pub net_devices: FeaturesEnabled,
}

/// Whether something is built in (not whether this kernel has it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FeaturesEnabled {
    /// It is.
    pub enabled: bool,
}

/// What can be done with resctrl.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FeaturesIntelRdt {
    /// Anything.
    pub enabled: bool,
    /// `schemata`
    pub schemata: bool,
    /// `enableMonitoring`
    pub monitoring: bool,
}

/// Which memory policies are understood.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FeaturesMemoryPolicy {
    /// `MPOL_...`
    pub modes: Vec<String>,
    /// `MPOL_F_...`
    pub flags: Vec<String>,
}

/// Which cgroups can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct FeaturesCgroup {
    pub v1: bool,
    pub v2: bool,
    pub systemd: bool,
    pub systemd_user: bool,
    pub rdma: bool,
}

/// Which system call filters can be made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FeaturesSeccomp {
    /// At all.
    pub enabled: bool,
    /// `SCMP_ACT_...`
    pub actions: Vec<String>,
    /// `SCMP_CMP_...`
    pub operators: Vec<String>,
    /// `SCMP_ARCH_...`
    pub archs: Vec<String>,
    /// Flags whose names are understood.
    pub known_flags: Vec<String>,
    /// Flags that can be used.
    pub supported_flags: Vec<String>,
}

/// Mounts beyond mount(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FeaturesMountExtensions {
    /// Id-mapped mounts.
    pub idmap: FeaturesEnabled,
}
