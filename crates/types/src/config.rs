//! The language in which users describe a container: Docker's `Config` and `HostConfig` (Engine API 1.51,
//! `ContainerConfig`, `HostConfig`). Field order, `null`s and omitted fields are those of Docker's JSON.
//!
//! `Option<Vec<_>>` stands where Docker tells an absent list (`null`) from an empty one (`[]`).

mod mounts;
mod resources;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

pub use mounts::{BindOptions, DriverConfig, ImageOptions, MountRequest, TmpfsOptions, VolumeOptions};
pub use resources::{DeviceMapping, DeviceRequest, Resources, ThrottleDevice, Ulimit, WeightDevice};

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
