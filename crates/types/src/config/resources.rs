//! What a container may use: limits and devices (Engine API 1.51, `Resources`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{is_zero, null_default};

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
