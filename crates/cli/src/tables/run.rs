//! Flags of the `run` commands: names, kinds, defaults and help as Docker 28 has them.

use crate::flags::{Flag, Kind, flag};
use crate::opts;

/// What `docker run` and `docker create` share.
pub(crate) const CREATE_AND_RUN: &[Flag] = &[
    flag("add-host", Kind::List, "Add a custom host-to-IP mapping (host:ip)")
        .check(opts::names::check_extra_host),
    flag("annotation", Kind::Map, "Add an annotation to the container (passed through to the OCI runtime)")
        .default("map[]"),
    flag("attach", Kind::List, "Attach to STDIN, STDOUT or STDERR")
        .short('a')
        .check(opts::names::check_attach),
    flag(
        "blkio-weight",
        Kind::Uint16,
        "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)",
    ),
    flag("blkio-weight-device", Kind::List, "Block IO weight (relative device weight)")
        .default("[]")
        .check(check_weight),
    flag("cap-add", Kind::List, "Add Linux capabilities"),
    flag("cap-drop", Kind::List, "Drop Linux capabilities"),
    flag("cgroup-parent", Kind::Str, "Optional parent cgroup for the container"),
    flag(
        "cgroupns",
        Kind::Str,
        "Cgroup namespace to use (host|private)\n'host':    Run the container in the Docker host's cgroup namespace\n'private': Run the container in its own private cgroup namespace\n'':        Use the cgroup namespace as configured by the\n           default-cgroupns-mode option on the daemon (default)",
    ),
    flag("cidfile", Kind::Str, "Write the container ID to the file"),
    flag("cpu-count", Kind::Int, "CPU count (Windows only)").windows(),
    flag("cpu-percent", Kind::Int, "CPU percent (Windows only)").windows(),
    flag("cpu-period", Kind::Int, "Limit CPU CFS (Completely Fair Scheduler) period"),
    flag("cpu-quota", Kind::Int, "Limit CPU CFS (Completely Fair Scheduler) quota"),
    flag("cpu-rt-period", Kind::Int, "Limit CPU real-time period in microseconds"),
    flag("cpu-rt-runtime", Kind::Int, "Limit CPU real-time runtime in microseconds"),
    flag("cpu-shares", Kind::Int, "CPU shares (relative weight)").short('c'),
    flag("cpus", Kind::Decimal, "Number of CPUs"),
    flag("cpuset-cpus", Kind::Str, "CPUs in which to allow execution (0-3, 0,1)"),
    flag("cpuset-mems", Kind::Str, "MEMs in which to allow execution (0-3, 0,1)"),
    flag("device", Kind::List, "Add a host device to the container"),
    flag("device-cgroup-rule", Kind::List, "Add a rule to the cgroup allowed devices list")
        .check(opts::device::check_cgroup_rule),
    flag("device-read-bps", Kind::List, "Limit read rate (bytes per second) from a device")
        .default("[]")
        .check(check_bps),
    flag("device-read-iops", Kind::List, "Limit read rate (IO per second) from a device")
        .default("[]")
        .check(check_iops),
    flag("device-write-bps", Kind::List, "Limit write rate (bytes per second) to a device")
        .default("[]")
        .check(check_bps),
    flag("device-write-iops", Kind::List, "Limit write rate (IO per second) to a device")
        .default("[]")
        .check(check_iops),
    flag("disable-content-trust", Kind::Bool, "Skip image verification").default("true"),
    flag("dns", Kind::List, "Set custom DNS servers").check(opts::names::check_ip),
    flag("dns-opt", Kind::List, "Set DNS options").hidden().same_as("dns-option"),
    flag("dns-option", Kind::List, "Set DNS options"),
    flag("dns-search", Kind::List, "Set custom DNS search domains").check(opts::names::check_dns_search),
    flag("domainname", Kind::Str, "Container NIS domain name"),
    flag("entrypoint", Kind::Str, "Overwrite the default ENTRYPOINT of the image"),
    flag("env", Kind::List, "Set environment variables").short('e').check(opts::env::check_env),
    flag("env-file", Kind::List, "Read in a file of environment variables"),
    flag("expose", Kind::List, "Expose a port or a range of ports"),
    flag("gpus", Kind::Gpu, "GPU devices to add to the container ('all' to pass all GPUs)"),
    flag("group-add", Kind::List, "Add additional groups to join"),
    flag("health-cmd", Kind::Str, "Command to run to check health"),
    flag("health-interval", Kind::Duration, "Time between running the check (ms|s|m|h) (default 0s)"),
    flag("health-retries", Kind::Int, "Consecutive failures needed to report unhealthy"),
    flag(
        "health-start-interval",
        Kind::Duration,
        "Time between running the check during the start period (ms|s|m|h) (default 0s)",
    ),
    flag(
        "health-start-period",
        Kind::Duration,
        "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)",
    ),
    flag("health-timeout", Kind::Duration, "Maximum time to allow one check to run (ms|s|m|h) (default 0s)"),
    flag("help", Kind::Bool, "Print usage"),
    flag("hostname", Kind::Str, "Container host name").short('h'),
    flag("init", Kind::Bool, "Run an init inside the container that forwards signals and reaps processes"),
    flag("interactive", Kind::Bool, "Keep STDIN open even if not attached").short('i'),
    flag("io-maxbandwidth", Kind::Bytes, "Maximum IO bandwidth limit for the system drive (Windows only)")
        .windows(),
    flag("io-maxiops", Kind::Uint64, "Maximum IOps limit for the system drive (Windows only)").windows(),
    flag("ip", Kind::Str, "IPv4 address (e.g., 172.30.100.104)"),
    flag("ip6", Kind::Str, "IPv6 address (e.g., 2001:db8::33)"),
    flag("ipc", Kind::Str, "IPC mode to use"),
    flag("isolation", Kind::Str, "Container isolation technology"),
    flag("kernel-memory", Kind::Bytes, "Kernel memory limit"),
    flag("label", Kind::List, "Set meta data on a container").short('l').check(opts::names::check_label),
    flag("label-file", Kind::List, "Read in a line delimited file of labels"),
    flag("link", Kind::List, "Add link to another container").check(opts::names::check_link),
    flag("link-local-ip", Kind::List, "Container IPv4/IPv6 link-local addresses"),
    flag("log-driver", Kind::Str, "Logging driver for the container"),
    flag("log-opt", Kind::List, "Log driver options"),
    flag("mac-address", Kind::Str, "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    flag("memory", Kind::Bytes, "Memory limit").short('m'),
    flag("memory-reservation", Kind::Bytes, "Memory soft limit"),
    flag(
        "memory-swap",
        Kind::SwapBytes,
        "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
    ),
    flag("memory-swappiness", Kind::Int, "Tune container memory swappiness (0 to 100)").default("-1"),
    flag("mount", Kind::Mount, "Attach a filesystem mount to the container"),
    flag("name", Kind::Str, "Assign a name to the container"),
    flag("net", Kind::Network, "Connect a container to a network").hidden().same_as("network"),
    flag("net-alias", Kind::List, "Add network-scoped alias for the container")
        .hidden()
        .same_as("network-alias"),
    flag("network", Kind::Network, "Connect a container to a network"),
    flag("network-alias", Kind::List, "Add network-scoped alias for the container"),
    flag("no-healthcheck", Kind::Bool, "Disable any container-specified HEALTHCHECK"),
    flag("oom-kill-disable", Kind::Bool, "Disable OOM Killer"),
    flag("oom-score-adj", Kind::Int, "Tune host's OOM preferences (-1000 to 1000)"),
    flag("pid", Kind::Str, "PID namespace to use"),
    flag("pids-limit", Kind::Int, "Tune container pids limit (set -1 for unlimited)"),
    flag("platform", Kind::Str, "Set platform if server is multi-platform capable"),
    flag("privileged", Kind::Bool, "Give extended privileges to this container"),
    flag("publish", Kind::List, "Publish a container's port(s) to the host").short('p'),
    flag("publish-all", Kind::Bool, "Publish all exposed ports to random ports").short('P'),
    flag("quiet", Kind::Bool, "Suppress the pull output").short('q'),
    flag("read-only", Kind::Bool, "Mount the container's root filesystem as read only"),
    flag("restart", Kind::Str, "Restart policy to apply when a container exits").default("no"),
    flag(
        "rm",
        Kind::Bool,
        "Automatically remove the container and its associated anonymous volumes when it exits",
    ),
    flag("runtime", Kind::Str, "Runtime to use for this container"),
    flag("security-opt", Kind::List, "Security Options"),
    flag("shm-size", Kind::Bytes, "Size of /dev/shm"),
    flag("stop-signal", Kind::Str, "Signal to stop the container"),
    flag("stop-timeout", Kind::Int, "Timeout (in seconds) to stop a container"),
    flag("storage-opt", Kind::List, "Storage driver options for the container"),
    flag("sysctl", Kind::Map, "Sysctl options").default("map[]").check(opts::names::check_sysctl),
    flag("tmpfs", Kind::List, "Mount a tmpfs directory"),
    flag("tty", Kind::Bool, "Allocate a pseudo-TTY").short('t'),
    flag("ulimit", Kind::Ulimit, "Ulimit options").default("[]"),
    flag("use-api-socket", Kind::Bool, "Bind mount Docker API socket and required auth")
        .refused("not implemented"),
    flag("user", Kind::Str, "Username or UID (format: <name|uid>[:<group|gid>])").short('u'),
    flag("userns", Kind::Str, "User namespace to use"),
    flag("uts", Kind::Str, "UTS namespace to use"),
    flag("volume", Kind::List, "Bind mount a volume").short('v'),
    flag("volume-driver", Kind::Str, "Optional volume driver for the container"),
    flag("volumes-from", Kind::List, "Mount volumes from the specified container(s)"),
    flag("workdir", Kind::Str, "Working directory inside the container").short('w'),
];

/// `docker create` alone.
pub(crate) const CREATE: &[Flag] =
    &[flag("pull", Kind::Str, "Pull image before creating (\"always\", \"|missing\", \"never\")")
        .default("missing")];

/// `docker run` alone.
pub(crate) const RUN: &[Flag] = &[
    flag("detach", Kind::Bool, "Run container in background and print container ID").short('d'),
    flag("detach-keys", Kind::Str, "Override the key sequence for detaching a container"),
    flag("pull", Kind::Str, "Pull image before running (\"always\", \"missing\", \"never\")")
        .default("missing"),
    flag("sig-proxy", Kind::Bool, "Proxy received signals to the process").default("true"),
];

fn check_bps(text: &str) -> Result<String, String> {
    opts::limits::parse_bps(text).map(|_| text.to_owned())
}

fn check_iops(text: &str) -> Result<String, String> {
    opts::limits::parse_iops(text).map(|_| text.to_owned())
}

fn check_weight(text: &str) -> Result<String, String> {
    opts::limits::parse_weight(text).map(|_| text.to_owned())
}
