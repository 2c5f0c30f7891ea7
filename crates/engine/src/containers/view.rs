//! What [`Containers`](super::Containers) answers: plain values that `api` renders as Docker's JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use types::config::{Config, EndpointRequest, HostConfig, PortBinding};
use types::{ContainerId, Digest, ExecId, Result};

use super::state::Status;

/// A new container.
#[derive(Debug, Clone)]
pub struct Created {
    /// Its identity.
    pub id: ContainerId,
    /// What the user should know (Docker's `Warnings`).
    pub warnings: Vec<String>,
}

/// Everything about one container.
#[derive(Debug, Clone)]
pub struct ContainerDetails {
    /// Identity.
    pub id: ContainerId,
    /// Name, without Docker's leading slash.
    pub name: String,
    /// RFC 3339 with nanoseconds.
    pub created: String,
    /// What is executed.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Where it is in its life.
    pub state: StateDetails,
    /// Image id (the digest of its config); `None` without an image.
    pub image_id: Option<Digest>,
    /// The AppArmor profile that the user named; empty is the default.
    pub apparmor_profile: String,
    /// Host path of `/etc/resolv.conf`; empty before the first start.
    pub resolv_conf_path: String,
    /// Host path of `/etc/hostname`; empty before the first start.
    pub hostname_path: String,
    /// Host path of `/etc/hosts`; empty before the first start.
    pub hosts_path: String,
    /// Host path of the log; empty before the first start and for driver `none`.
    pub log_path: String,
    /// How often the restart policy started it.
    pub restart_count: u32,
    /// Execs that run or have not been started yet.
    pub exec_ids: Vec<ExecId>,
    /// As merged with the image's.
    pub config: Config,
    /// With defaults filled in.
    pub host_config: HostConfig,
    /// Snapshotter as Docker names it (`overlay2`, `vfs`) and its paths (`LowerDir`, `MergedDir`, `UpperDir`, `WorkDir`).
    pub graph_driver: (String, BTreeMap<String, String>),
    /// Only when asked for.
    pub size: Option<Size>,
    /// What is mounted, by destination.
    pub mounts: Vec<MountPoint>,
    /// Its networks.
    pub network: NetworkState,
}

/// Bytes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// The container's own layer.
    pub rw_bytes: u64,
    /// With the image.
    pub root_fs_bytes: u64,
}

/// Where a container is in its life, as a reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDetails {
    /// The state; Docker's flags follow from it (`Running` is true for running, paused and restarting).
    pub status: Status,
    /// Host process id; 0 when it does not run.
    pub pid: i32,
    /// Of the last exit; 0 before.
    pub exit_code: i32,
    /// Why the last start failed.
    pub error: String,
    /// The kernel killed one of its processes for memory.
    pub oom_killed: bool,
    /// RFC 3339; `0001-01-01T00:00:00Z` when never.
    pub started_at: String,
    /// RFC 3339; `0001-01-01T00:00:00Z` when never.
    pub finished_at: String,
    /// `None` without a health check.
    pub health: Option<Health>,
}

/// What the health checks say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    /// `starting`, `healthy`, `unhealthy` (`none` is never stored).
    pub status: String,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last five results, oldest first.
    pub log: Vec<HealthResult>,
}

/// One health check.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HealthResult {
    /// RFC 3339 with nanoseconds.
    pub start: String,
    /// RFC 3339 with nanoseconds.
    pub end: String,
    /// 0 healthy, 1 unhealthy, -1 could not run or timed out.
    pub exit_code: i32,
    /// At most 4096 bytes.
    pub output: String,
}

/// One thing mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MountPoint {
    /// `bind`, `volume`, `tmpfs`, `image`.
    pub kind: String,
    /// Volume name, or an image as the user named it; empty otherwise.
    pub name: String,
    /// Host path; empty for tmpfs and images.
    pub source: String,
    /// Container path.
    pub destination: String,
    /// Volume driver; empty otherwise.
    pub driver: String,
    /// The mode as the user gave it (`ro`, `z`, ...).
    pub mode: String,
    /// Writable.
    pub rw: bool,
    /// `rprivate`, `rshared`, ...; empty for volumes.
    pub propagation: String,
}

/// A container's networks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NetworkState {
    /// Identity of its network namespace while it runs; empty otherwise.
    pub sandbox_id: String,
    /// Path of the namespace while it runs (`/proc/PID/ns/net`); empty otherwise.
    pub sandbox_key: String,
    /// Container port to the host addresses in use; a `None` is an exposed port that is not published.
    /// Empty when the container does not run.
    pub ports: BTreeMap<String, Option<Vec<PortBinding>>>,
    /// By network name.
    pub endpoints: BTreeMap<String, EndpointDetails>,
}

/// One attachment to one network. All texts are empty and numbers 0 while the container does not run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EndpointDetails {
    /// What the user asked for.
    pub request: EndpointRequest,
    /// Network id; empty until the first start.
    pub network_id: String,
    /// Endpoint id.
    pub endpoint_id: String,
    /// IPv4 gateway.
    pub gateway: String,
    /// IPv4 address.
    pub ip_address: String,
    /// IPv4 prefix length.
    pub ip_prefix_len: u8,
    /// IPv6 gateway.
    pub ipv6_gateway: String,
    /// IPv6 address.
    pub ipv6_address: String,
    /// IPv6 prefix length.
    pub ipv6_prefix_len: u8,
    /// Hardware address.
    pub mac_address: String,
    /// Names others can resolve; `None` on the default bridge.
    pub dns_names: Option<Vec<String>>,
}

/// One row of a list.
#[derive(Debug, Clone)]
pub struct ContainerListing {
    /// Identity.
    pub id: ContainerId,
    /// Name, without Docker's leading slash.
    pub name: String,
    /// The reference the user gave.
    pub image: String,
    /// Image id; `None` without an image.
    pub image_id: Option<Digest>,
    /// Path and arguments as one line (`sh -c 'echo out; exit 3'`).
    pub command: String,
    /// Seconds since 1970.
    pub created_s: i64,
    /// Exposed and published ports.
    pub ports: Vec<PortListing>,
    /// Only when asked for.
    pub size: Option<Size>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// State.
    pub state: Status,
    /// State in words (`Up 5 seconds (health: starting)`).
    pub status_text: String,
    /// `HostConfig.NetworkMode`.
    pub network_mode: String,
    /// `HostConfig.Annotations`.
    pub annotations: BTreeMap<String, String>,
    /// What is mounted.
    pub mounts: Vec<MountPoint>,
    /// By network name.
    pub endpoints: BTreeMap<String, EndpointDetails>,
}

/// One port of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortListing {
    /// Host address; empty when not published.
    pub ip: String,
    /// Container port.
    pub private_port: u16,
    /// Host port; 0 when not published.
    pub public_port: u16,
    /// `tcp`, `udp`, `sctp`.
    pub protocol: String,
}

/// A stream to a container or exec, to be spliced with the client's connection in both directions.
#[derive(Debug)]
pub struct Attached {
    /// Whether there is a terminal: raw bytes. Otherwise bytes from the container are in Docker's 8-byte frames already.
    pub tty: bool,
    /// To be sent first (framed like `stream`), when logs were asked for.
    pub history: Option<LogStream>,
    /// Bytes from the container come out, bytes for its stdin go in; shutting down the write side is stdin's end.
    /// `None` when only logs were asked for.
    pub stream: Option<UnixStream>,
}

/// Log output, ready to be sent.
#[derive(Debug)]
pub struct LogStream {
    /// Whether there is a terminal: then the chunks are raw, otherwise they are in Docker's 8-byte frames.
    pub tty: bool,
    /// Chunks in order; ends with the log (or, when following, with the container). Dropping it stops the reader.
    pub chunks: mpsc::Receiver<Result<bytes::Bytes>>,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitAnswer {
    /// Exit code.
    pub exit_code: i64,
    /// Why the wait itself failed; Docker's `Error.Message`.
    pub error: Option<String>,
}

/// `docker top`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    /// Column names.
    pub titles: Vec<String>,
    /// One row a process.
    pub processes: Vec<Vec<String>>,
}

/// What differs from the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Container path.
    pub path: String,
    /// 0 changed, 1 added, 2 deleted (Engine API `ChangeType`).
    pub kind: u8,
}

/// What a prune removed.
#[derive(Debug, Clone, Default)]
pub struct Pruned {
    /// Ids or names.
    pub deleted: Vec<String>,
    /// Bytes freed.
    pub space_bytes: u64,
}

/// One exec.
#[derive(Debug, Clone)]
pub struct ExecDetails {
    /// Identity.
    pub id: ExecId,
    /// It runs now.
    pub running: bool,
    /// `None` until it has ended.
    pub exit_code: Option<i32>,
    /// What is executed.
    pub entrypoint: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// It has a terminal.
    pub tty: bool,
    /// All capabilities.
    pub privileged: bool,
    /// As asked for.
    pub user: String,
    /// stdin is forwarded.
    pub open_stdin: bool,
    /// stdout is sent.
    pub open_stdout: bool,
    /// stderr is sent.
    pub open_stderr: bool,
    /// It has ended and may be forgotten.
    pub can_remove: bool,
    /// Its container.
    pub container_id: ContainerId,
    /// Detach keys as asked for; empty is the default.
    pub detach_keys: String,
    /// Host process id; 0 before the start.
    pub pid: i32,
}

/// One measurement of one container.
#[derive(Debug, Clone)]
pub struct StatsSample {
    /// Identity.
    pub id: ContainerId,
    /// Name, without Docker's leading slash.
    pub name: String,
    /// RFC 3339 with nanoseconds; `0001-01-01T00:00:00Z` when the container does not run.
    pub read: String,
    /// Time of the measurement before; `0001-01-01T00:00:00Z` for the first.
    pub preread: String,
    /// `None` when the container does not run.
    pub now: Option<Measured>,
    /// The measurement before this one; `None` for the first.
    pub before: Option<Measured>,
}

/// What one measurement saw.
#[derive(Debug, Clone)]
pub struct Measured {
    /// CPU time of the container.
    pub cpu: CpuCounters,
    /// Its memory.
    pub memory: MemoryCounters,
    /// Its processes.
    pub pids: PidCounters,
    /// Its block I/O.
    pub blkio: BlkioCounters,
    /// CPU time of the whole host, nanoseconds.
    pub system_cpu_ns: u64,
    /// CPUs online.
    pub online_cpus: u32,
    /// Memory of the host in bytes: the limit of a container without one.
    pub host_memory_bytes: u64,
    /// By interface name in the container; empty when it shares the host's network or has none.
    pub networks: BTreeMap<String, InterfaceCounters>,
}

/// Counters of one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InterfaceCounters {
    /// Received.
    pub rx_bytes: u64,
    /// Received.
    pub rx_packets: u64,
    /// Received.
    pub rx_errors: u64,
    /// Received.
    pub rx_dropped: u64,
    /// Sent.
    pub tx_bytes: u64,
    /// Sent.
    pub tx_packets: u64,
    /// Sent.
    pub tx_errors: u64,
    /// Sent.
    pub tx_dropped: u64,
}

/// CPU time of a cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CpuCounters {
    /// Nanoseconds.
    pub total_ns: u64,
    /// Nanoseconds by CPU; empty on cgroup v2.
    pub percpu_ns: Vec<u64>,
    /// Nanoseconds in the kernel.
    pub kernel_ns: u64,
    /// Nanoseconds in user mode.
    pub user_ns: u64,
    /// Enforcement periods so far.
    pub periods: u64,
    /// Those in which it was throttled.
    pub throttled_periods: u64,
    /// Nanoseconds throttled.
    pub throttled_ns: u64,
}

/// Memory of a cgroup, bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryCounters {
    /// In use.
    pub usage: u64,
    /// Most ever in use; cgroup v1 only.
    pub max_usage: u64,
    /// How often the limit was hit; cgroup v1 only.
    pub failcnt: u64,
    /// The limit; the host's memory when there is none.
    pub limit: u64,
    /// `memory.stat` as the kernel has it.
    pub stats: BTreeMap<String, u64>,
}

/// Processes of a cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PidCounters {
    /// Now.
    pub current: u64,
    /// The limit; `None` when there is none (Docker: 18446744073709551615 on v1 without the field, 0 omitted).
    pub limit: Option<u64>,
}

/// Block I/O of a cgroup (`io_service_bytes_recursive` and so on).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlkioCounters {
    /// Bytes.
    pub service_bytes: Vec<BlkioEntry>,
    /// Operations.
    pub serviced: Vec<BlkioEntry>,
}

/// One counter of one device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlkioEntry {
    /// Device number.
    pub major: u64,
    /// Device number.
    pub minor: u64,
    /// `Read`, `Write`, ... on v1; `read`, `write` on v2.
    pub op: String,
    /// The count.
    pub value: u64,
}
