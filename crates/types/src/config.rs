//! The language in which users describe a container: Docker's `Config` and `HostConfig` (Engine API 1.51,
//! `ContainerConfig`, `HostConfig`). Field order, `null`s and omitted fields are those of Docker's JSON.
//!
//! `Option<Vec<_>>` stands where Docker tells an absent list (`null`) from an empty one (`[]`).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// An empty JSON object: Go's `struct{}` as the value of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Empty {}

/// Go's `strslice.StrSlice`: accepts a string, a list or null.
fn string_or_list<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(String),
        Many(Vec<String>),
    }
    Ok(Option::<Either>::deserialize(input)?.map(|either| match either {
        Either::One(one) => vec![one],
        Either::Many(many) => many,
    }))
}

/// Go decodes null into the zero value; so do we.
fn null_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(input: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn is_empty_list(list: &Option<Vec<String>>) -> bool {
    list.as_ref().is_none_or(Vec::is_empty)
}

/// What to run: portable, may come from an image.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// Host name.
    #[serde(deserialize_with = "null_default")]
    pub hostname: String,
    /// NIS domain name.
    #[serde(deserialize_with = "null_default")]
    pub domainname: String,
    /// `user[:group]`, names or numbers.
    #[serde(deserialize_with = "null_default")]
    pub user: String,
    /// The client will attach to stdin.
    #[serde(deserialize_with = "null_default")]
    pub attach_stdin: bool,
    /// The client will attach to stdout.
    #[serde(deserialize_with = "null_default")]
    pub attach_stdout: bool,
    /// The client will attach to stderr.
    #[serde(deserialize_with = "null_default")]
    pub attach_stderr: bool,
    /// `port/protocol`.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// Allocate a pseudo-terminal.
    #[serde(deserialize_with = "null_default")]
    pub tty: bool,
    /// Keep stdin open even when nobody is attached.
    #[serde(deserialize_with = "null_default")]
    pub open_stdin: bool,
    /// Close stdin when the first attached client goes.
    #[serde(deserialize_with = "null_default")]
    pub stdin_once: bool,
    /// `NAME=value`; in a request `NAME` alone removes an image's variable.
    pub env: Option<Vec<String>>,
    /// Command, or arguments of the entry point.
    #[serde(deserialize_with = "string_or_list")]
    pub cmd: Option<Vec<String>>,
    /// How to ask whether it is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    /// Windows only.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "std::ops::Not::not")]
    pub args_escaped: bool,
    /// The reference the user gave.
    #[serde(deserialize_with = "null_default")]
    pub image: String,
    /// Container paths that get an anonymous volume.
    pub volumes: Option<BTreeMap<String, Empty>>,
    /// Where the process starts.
    #[serde(deserialize_with = "null_default")]
    pub working_dir: String,
    /// What is prepended to the command.
    #[serde(deserialize_with = "string_or_list")]
    pub entrypoint: Option<Vec<String>>,
    /// No network at all.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "std::ops::Not::not")]
    pub network_disabled: bool,
    /// Deprecated since 1.44: belongs to the endpoint.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub mac_address: String,
    /// Instructions for images built from this one.
    pub on_build: Option<Vec<String>>,
    /// Free-form facts. `null` is kept: Docker shows `{}` for containers but `null` for many images.
    pub labels: Option<BTreeMap<String, String>>,
    /// Signal that asks the process to end.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Seconds between that signal and SIGKILL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// Shell of the shell forms in a Dockerfile.
    #[serde(deserialize_with = "string_or_list", skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

/// A health check. Durations are nanoseconds; 0 means inherit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthConfig {
    /// `["NONE"]`, `["CMD", ...]` or `["CMD-SHELL", script]`; empty inherits.
    #[serde(skip_serializing_if = "is_empty_list")]
    pub test: Option<Vec<String>>,
    /// Between two checks.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// For one check.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// Failures do not count before this.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Between two checks during the start period.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

/// How to run it on this host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostConfig {
    /// `source:target[:options]`.
    pub binds: Option<Vec<String>>,
    /// File the client wrote the id to.
    #[serde(rename = "ContainerIDFile", deserialize_with = "null_default")]
    pub container_id_file: String,
    /// Where output goes.
    #[serde(deserialize_with = "null_default")]
    pub log_config: LogConfig,
    /// `default`, `bridge`, `host`, `none`, `container:ID` or a network.
    #[serde(deserialize_with = "null_default")]
    pub network_mode: String,
    /// `port/protocol` to host addresses.
    pub port_bindings: Option<BTreeMap<String, Option<Vec<PortBinding>>>>,
    /// What to do when it exits.
    #[serde(deserialize_with = "null_default")]
    pub restart_policy: RestartPolicy,
    /// Remove the container when it exits.
    #[serde(deserialize_with = "null_default")]
    pub auto_remove: bool,
    /// Driver of volumes named in `binds`.
    #[serde(deserialize_with = "null_default")]
    pub volume_driver: String,
    /// Containers whose volumes to mount too.
    pub volumes_from: Option<Vec<String>>,
    /// Terminal height and width, in characters.
    #[serde(deserialize_with = "null_default")]
    pub console_size: [u32; 2],
    /// Handed to the OCI runtime.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Capabilities on top of the default set.
    #[serde(deserialize_with = "string_or_list")]
    pub cap_add: Option<Vec<String>>,
    /// Capabilities taken from it.
    #[serde(deserialize_with = "string_or_list")]
    pub cap_drop: Option<Vec<String>>,
    /// `private` or `host`; empty is the daemon's default.
    #[serde(deserialize_with = "null_default")]
    pub cgroupns_mode: String,
    /// Name servers.
    #[serde(deserialize_with = "null_list")]
    pub dns: Option<Vec<String>>,
    /// Resolver options.
    #[serde(deserialize_with = "null_list")]
    pub dns_options: Option<Vec<String>>,
    /// Search domains.
    #[serde(deserialize_with = "null_list")]
    pub dns_search: Option<Vec<String>>,
    /// `name:address` for `/etc/hosts`.
    pub extra_hosts: Option<Vec<String>>,
    /// Additional groups, names or numbers.
    pub group_add: Option<Vec<String>>,
    /// `none`, `private`, `shareable`, `host`, `container:ID`.
    #[serde(deserialize_with = "null_default")]
    pub ipc_mode: String,
    /// Cgroup to use for the container (unused on Linux).
    #[serde(deserialize_with = "null_default")]
    pub cgroup: String,
    /// `container:alias`.
    pub links: Option<Vec<String>>,
    /// -1000 to 1000.
    #[serde(deserialize_with = "null_default")]
    pub oom_score_adj: i64,
    /// ``, `host`, `container:ID`.
    #[serde(deserialize_with = "null_default")]
    pub pid_mode: String,
    /// All devices, all capabilities, no seccomp.
    #[serde(deserialize_with = "null_default")]
    pub privileged: bool,
    /// Publish each exposed port on a random host port.
    #[serde(deserialize_with = "null_default")]
    pub publish_all_ports: bool,
    /// Read-only root file system.
    #[serde(deserialize_with = "null_default")]
    pub readonly_rootfs: bool,
    /// `seccomp=`, `apparmor=`, `no-new-privileges`, `label=`, `systempaths=unconfined`.
    pub security_opt: Option<Vec<String>>,
    /// Storage driver options (`size`).
    #[serde(deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub storage_opt: BTreeMap<String, String>,
    /// Container path to tmpfs options.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub tmpfs: BTreeMap<String, String>,
    /// `` or `host`.
    #[serde(rename = "UTSMode", deserialize_with = "null_default")]
    pub uts_mode: String,
    /// `` or `host`.
    #[serde(deserialize_with = "null_default")]
    pub userns_mode: String,
    /// Bytes of `/dev/shm`; 0 is the default (64 MiB).
    #[serde(deserialize_with = "null_default")]
    pub shm_size: i64,
    /// Namespaced kernel parameters.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// OCI runtime by its name in the daemon's configuration.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub runtime: String,
    /// Windows only.
    #[serde(deserialize_with = "null_default")]
    pub isolation: String,
    /// Limits.
    #[serde(flatten)]
    pub resources: Resources,
    /// `--mount`.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<MountRequest>,
    /// Paths hidden from the container; `null` in a request is the default list.
    pub masked_paths: Option<Vec<String>>,
    /// Paths read-only in the container; `null` in a request is the default list.
    pub readonly_paths: Option<Vec<String>>,
    /// Run an init as process 1; absent is the daemon's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
}

fn null_list<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Vec<String>>, D::Error> {
    Option::deserialize(input)
}

/// Limits, most of them cgroup files. 0 is "no limit" except where noted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Resources {
    /// Relative weight against other containers; 0 is the kernel's 1024.
    #[serde(deserialize_with = "null_default")]
    pub cpu_shares: i64,
    /// Bytes.
    #[serde(deserialize_with = "null_default")]
    pub memory: i64,
    /// Billionths of a CPU.
    #[serde(deserialize_with = "null_default")]
    pub nano_cpus: i64,
    /// Parent cgroup.
    #[serde(deserialize_with = "null_default")]
    pub cgroup_parent: String,
    /// 10 to 1000.
    #[serde(deserialize_with = "null_default")]
    pub blkio_weight: u16,
    /// Weight by device.
    pub blkio_weight_device: Option<Vec<WeightDevice>>,
    /// Bytes per second.
    pub blkio_device_read_bps: Option<Vec<ThrottleDevice>>,
    /// Bytes per second.
    pub blkio_device_write_bps: Option<Vec<ThrottleDevice>>,
    /// Operations per second.
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub blkio_device_read_iops: Option<Vec<ThrottleDevice>>,
    /// Operations per second.
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub blkio_device_write_iops: Option<Vec<ThrottleDevice>>,
    /// Microseconds.
    #[serde(deserialize_with = "null_default")]
    pub cpu_period: i64,
    /// Microseconds per period.
    #[serde(deserialize_with = "null_default")]
    pub cpu_quota: i64,
    /// Microseconds.
    #[serde(deserialize_with = "null_default")]
    pub cpu_realtime_period: i64,
    /// Microseconds per period.
    #[serde(deserialize_with = "null_default")]
    pub cpu_realtime_runtime: i64,
    /// `0-2,4`.
    #[serde(deserialize_with = "null_default")]
    pub cpuset_cpus: String,
    /// `0,1`.
    #[serde(deserialize_with = "null_default")]
    pub cpuset_mems: String,
    /// Host devices.
    pub devices: Option<Vec<DeviceMapping>>,
    /// `c 1:3 rwm`.
    pub device_cgroup_rules: Option<Vec<String>>,
    /// Devices by driver and capability (GPUs).
    pub device_requests: Option<Vec<DeviceRequest>>,
    /// Bytes; gone from kernels.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "is_zero")]
    pub kernel_memory: i64,
    /// Bytes; cgroup v1 only.
    #[serde(rename = "KernelMemoryTCP", deserialize_with = "null_default", skip_serializing_if = "is_zero")]
    pub kernel_memory_tcp: i64,
    /// Bytes, soft.
    #[serde(deserialize_with = "null_default")]
    pub memory_reservation: i64,
    /// Bytes of memory and swap; -1 unlimited, 0 twice the memory.
    #[serde(deserialize_with = "null_default")]
    pub memory_swap: i64,
    /// 0 to 100; -1 or null the default.
    pub memory_swappiness: Option<i64>,
    /// cgroup v1 only.
    pub oom_kill_disable: Option<bool>,
    /// 0 and -1 are unlimited.
    pub pids_limit: Option<i64>,
    /// Resource limits of processes.
    pub ulimits: Option<Vec<Ulimit>>,
    /// Windows only.
    #[serde(deserialize_with = "null_default")]
    pub cpu_count: i64,
    /// Windows only.
    #[serde(deserialize_with = "null_default")]
    pub cpu_percent: i64,
    /// Windows only.
    #[serde(rename = "IOMaximumIOps", deserialize_with = "null_default")]
    pub io_maximum_iops: u64,
    /// Windows only.
    #[serde(rename = "IOMaximumBandwidth", deserialize_with = "null_default")]
    pub io_maximum_bandwidth: u64,
}

/// A log driver and its options.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogConfig {
    /// `json-file`, `local`, `none`; empty is the daemon's default.
    #[serde(rename = "Type", deserialize_with = "null_default")]
    pub driver: String,
    /// Options of the driver.
    pub config: Option<BTreeMap<String, String>>,
}

/// When to start again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestartPolicy {
    /// `no`, `always`, `unless-stopped`, `on-failure`; empty is `no`.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
    /// For `on-failure`; 0 is no limit.
    #[serde(deserialize_with = "null_default")]
    pub maximum_retry_count: i64,
}

/// A host address of a published port.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PortBinding {
    /// Empty is every address.
    #[serde(rename = "HostIp", deserialize_with = "null_default")]
    pub host_ip: String,
    /// A port, a range `a-b`, or empty for any free one.
    #[serde(rename = "HostPort", deserialize_with = "null_default")]
    pub host_port: String,
}

/// `--blkio-weight-device`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WeightDevice {
    /// Host path of the device.
    pub path: String,
    /// 10 to 1000.
    pub weight: u16,
}

/// `--device-read-bps` and its kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ThrottleDevice {
    /// Host path of the device.
    pub path: String,
    /// Per second.
    pub rate: u64,
}

/// `--device`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceMapping {
    /// Host path.
    pub path_on_host: String,
    /// Container path.
    pub path_in_container: String,
    /// Any of `r`, `w`, `m`.
    pub cgroup_permissions: String,
}

/// `--gpus`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceRequest {
    /// `nvidia`, `cdi`, ...
    pub driver: String,
    /// -1 is all.
    pub count: i64,
    /// Named devices.
    #[serde(rename = "DeviceIDs")]
    pub device_ids: Option<Vec<String>>,
    /// Any of these sets.
    pub capabilities: Option<Vec<Vec<String>>>,
    /// Driver options.
    pub options: Option<BTreeMap<String, String>>,
}

/// `--ulimit`. -1 is unlimited.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ulimit {
    /// `nofile`, ...
    pub name: String,
    /// The most the soft limit may become.
    pub hard: i64,
    /// What holds now.
    pub soft: i64,
}

/// `--mount`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MountRequest {
    /// `bind`, `volume`, `tmpfs`, `image`, `cluster`, `npipe`.
    #[serde(rename = "Type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Host path, volume name or image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Container path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Read-only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// macOS hints; kept, without meaning here.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub consistency: String,
    /// For `bind`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_options: Option<BindOptions>,
    /// For `volume`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_options: Option<VolumeOptions>,
    /// For `image`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_options: Option<ImageOptions>,
    /// For `tmpfs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs_options: Option<TmpfsOptions>,
}

/// Options of a bind mount.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BindOptions {
    /// `rprivate`, `private`, `rshared`, `shared`, `rslave`, `slave`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub propagation: String,
    /// Without the mounts below the source.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub non_recursive: bool,
    /// Make a missing source.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub create_mountpoint: bool,
    /// Read-only for the mount itself, not for those below it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only_non_recursive: bool,
    /// Fail when those below cannot be made read-only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only_force_recursive: bool,
    /// `me`: what the container's user writes belongs to the owner of the source, and looks in the container as if it
    /// were its user's. Not Docker's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner: String,
}

/// Options of a volume mount.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeOptions {
    /// Do not fill a new volume from the image.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_copy: bool,
    /// For a volume made by this mount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Directory inside the volume.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subpath: String,
    /// For a volume made by this mount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_config: Option<DriverConfig>,
}

/// Options of an image mount.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageOptions {
    /// Directory inside the image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subpath: String,
}

/// A volume driver and its options.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DriverConfig {
    /// `local`, ...
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Driver options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<BTreeMap<String, String>>,
}

/// Options of a tmpfs mount.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TmpfsOptions {
    /// Bytes; 0 is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub size_bytes: i64,
    /// Permission bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// `[["noexec"], ["uid", "5"]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<Vec<String>>>,
}

/// What a user asks of one endpoint (`EndpointSettings` of a create request; Engine API `EndpointSettings`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointRequest {
    /// Fixed addresses.
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<EndpointIpam>,
    /// Legacy links.
    pub links: Option<Vec<String>>,
    /// Hardware address; empty lets us choose.
    #[serde(deserialize_with = "null_default")]
    pub mac_address: String,
    /// Further names on the network.
    pub aliases: Option<Vec<String>>,
    /// Options of the driver.
    pub driver_opts: Option<BTreeMap<String, String>>,
    /// Which endpoint has the default route; higher wins.
    #[serde(deserialize_with = "null_default")]
    pub gw_priority: i64,
}

/// Fixed addresses of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointIpam {
    /// IPv4.
    #[serde(
        rename = "IPv4Address",
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub ipv4_address: String,
    /// IPv6.
    #[serde(
        rename = "IPv6Address",
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub ipv6_address: String,
    /// Link-local addresses.
    #[serde(rename = "LinkLocalIPs", skip_serializing_if = "Option::is_none")]
    pub link_local_ips: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_host_config_has_dockers_nulls() {
        let host: HostConfig = serde_json::from_str(r#"{"Dns":null,"Memory":null,"CapAdd":"ALL"}"#).unwrap();
        assert_eq!(host.cap_add, Some(vec!["ALL".to_owned()]));
        let text = serde_json::to_string(&host).unwrap();
        for part in [
            r#""Binds":null"#,
            r#""ConsoleSize":[0,0]"#,
            r#""Dns":null"#,
            r#""BlkioDeviceReadIOps":null"#,
            r#""UTSMode":"""#,
            r#""Memory":0"#,
            r#""OomKillDisable":null"#,
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("Tmpfs"));
    }
}
