//! What [`System`](super::System) answers.

use std::collections::BTreeMap;

use crate::containers::view::ContainerListing;
use crate::runtimes::Program;
use crate::volumes::VolumeDetails;

/// The daemon and its host (Engine API `SystemInfo`, same words).
#[derive(Debug, Clone, Default)]
pub struct Info {
    /// Random, kept in the data root.
    pub id: String,
    /// All.
    pub containers: usize,
    /// By state.
    pub containers_running: usize,
    /// By state.
    pub containers_paused: usize,
    /// By state.
    pub containers_stopped: usize,
    /// Images with or without a tag.
    pub images: usize,
    /// `overlay2` or `vfs`.
    pub driver: String,
    /// Facts about it, in order.
    pub driver_status: Vec<(String, String)>,
    /// Log drivers.
    pub log_plugins: Vec<String>,
    /// Network drivers.
    pub network_plugins: Vec<String>,
    /// Volume drivers.
    pub volume_plugins: Vec<String>,
    /// The kernel can limit memory.
    pub memory_limit: bool,
    /// The kernel can limit swap.
    pub swap_limit: bool,
    /// The kernel can limit TCP buffers (cgroup v1).
    pub kernel_memory_tcp: bool,
    /// CPU periods and quotas.
    pub cpu_cfs_period: bool,
    /// CPU periods and quotas.
    pub cpu_cfs_quota: bool,
    /// CPU weights.
    pub cpu_shares: bool,
    /// CPU sets.
    pub cpu_set: bool,
    /// Process limits.
    pub pids_limit: bool,
    /// IPv4 forwarding is on.
    pub ipv4_forwarding: bool,
    /// Debug mode.
    pub debug: bool,
    /// Open files of the daemon.
    pub n_fd: usize,
    /// OOM killing can be turned off (cgroup v1).
    pub oom_kill_disable: bool,
    /// Threads of the daemon, in place of goroutines.
    pub n_goroutines: usize,
    /// RFC 3339 with nanoseconds.
    pub system_time: String,
    /// Default log driver.
    pub logging_driver: String,
    /// `cgroupfs`.
    pub cgroup_driver: String,
    /// `1` or `2`.
    pub cgroup_version: String,
    /// Event streams.
    pub n_events_listener: usize,
    /// `uname -r`.
    pub kernel_version: String,
    /// `PRETTY_NAME` of os-release.
    pub operating_system: String,
    /// `VERSION_ID` of os-release.
    pub os_version: String,
    /// `x86_64`, ...
    pub architecture: String,
    /// CPUs online.
    pub ncpu: usize,
    /// Bytes.
    pub mem_total: u64,
    /// `data-root`.
    pub docker_root_dir: String,
    /// Proxies of the daemon's environment.
    pub http_proxy: String,
    /// Proxies of the daemon's environment.
    pub https_proxy: String,
    /// Proxies of the daemon's environment.
    pub no_proxy: String,
    /// Host name.
    pub name: String,
    /// Labels of the daemon.
    pub labels: Vec<String>,
    /// Experimental features.
    pub experimental: bool,
    /// Version of the daemon.
    pub server_version: String,
    /// OCI runtimes by name.
    pub runtimes: BTreeMap<String, Program>,
    /// The one used when none is named.
    pub default_runtime: String,
    /// Containers stay when the daemon stops.
    pub live_restore: bool,
    /// The init's name.
    pub init_binary: String,
    /// `name=seccomp,profile=builtin`, ...
    pub security_options: Vec<String>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Registries without TLS: names and CIDRs.
    pub insecure_registries: Vec<String>,
    /// Mirrors of Docker Hub.
    pub registry_mirrors: Vec<String>,
}

/// Who we are.
#[derive(Debug, Clone, Default)]
pub struct Version {
    /// Version of the daemon.
    pub version: String,
    /// Commit of the build.
    pub git_commit: String,
    /// RFC 3339.
    pub build_time: String,
    /// `linux`.
    pub os: String,
    /// Go's word: `amd64`, ...
    pub arch: String,
    /// `uname -r`.
    pub kernel_version: String,
    /// Experimental features.
    pub experimental: bool,
}

/// What takes space, but for images.
#[derive(Debug, Clone, Default)]
pub struct DiskUsage {
    /// With sizes.
    pub containers: Vec<ContainerListing>,
    /// With usage.
    pub volumes: Vec<VolumeDetails>,
    /// By image id: how many containers use it.
    pub containers_by_image: BTreeMap<String, i64>,
}
