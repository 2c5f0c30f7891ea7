//! Flags of the `container` commands: names, kinds, defaults and help as Docker 28 has them.

use super::{FORMAT_LIST, FORMAT_OBJECT};
use crate::flags::{Flag, Kind, flag};
use crate::opts;

/// `docker attach`.
pub(crate) const ATTACH: &[Flag] = &[
    flag("detach-keys", Kind::Str, "Override the key sequence for detaching a container"),
    flag("no-stdin", Kind::Bool, "Do not attach STDIN"),
    flag("sig-proxy", Kind::Bool, "Proxy all received signals to the process").default("true"),
];

/// `docker commit`.
pub(crate) const COMMIT: &[Flag] = &[
    flag("author", Kind::Str, "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")").short('a'),
    flag("change", Kind::List, "Apply Dockerfile instruction to the created image").short('c'),
    flag("message", Kind::Str, "Commit message").short('m'),
    flag("pause", Kind::Bool, "Pause container during commit").short('p').default("true"),
];

/// `docker exec`.
pub(crate) const EXEC: &[Flag] = &[
    flag("detach", Kind::Bool, "Detached mode: run command in the background").short('d'),
    flag("detach-keys", Kind::Str, "Override the key sequence for detaching a container"),
    flag("env", Kind::List, "Set environment variables").short('e').check(opts::env::check_env),
    flag("env-file", Kind::List, "Read in a file of environment variables"),
    flag("interactive", Kind::Bool, "Keep STDIN open even if not attached").short('i'),
    flag("privileged", Kind::Bool, "Give extended privileges to the command"),
    flag("tty", Kind::Bool, "Allocate a pseudo-TTY").short('t'),
    flag("user", Kind::Str, "Username or UID (format: \"<name|uid>[:<group|gid>]\")").short('u'),
    flag("workdir", Kind::Str, "Working directory inside the container").short('w'),
];

/// `docker export`.
pub(crate) const EXPORT: &[Flag] =
    &[flag("output", Kind::Str, "Write to a file, instead of STDOUT").short('o')];

/// `docker container inspect`.
pub(crate) const CONTAINER_INSPECT: &[Flag] = &[
    flag("format", Kind::Str, FORMAT_OBJECT).short('f'),
    flag("size", Kind::Bool, "Display total file sizes").short('s'),
];

/// `docker kill`.
pub(crate) const KILL: &[Flag] = &[flag("signal", Kind::Str, "Signal to send to the container").short('s')];

/// `docker logs`.
pub(crate) const LOGS: &[Flag] = &[
    flag("details", Kind::Bool, "Show extra details provided to logs"),
    flag("follow", Kind::Bool, "Follow log output").short('f'),
    flag(
        "since",
        Kind::Str,
        "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)",
    ),
    flag("tail", Kind::Str, "Number of lines to show from the end of the logs").short('n').default("all"),
    flag("timestamps", Kind::Bool, "Show timestamps").short('t'),
    flag(
        "until",
        Kind::Str,
        "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)",
    ),
];

/// `docker ps`.
pub(crate) const PS: &[Flag] = &[
    flag("all", Kind::Bool, "Show all containers").short('a').default("shows just running"),
    flag("filter", Kind::Filter, "Filter output based on conditions provided").short('f'),
    flag("format", Kind::Str, FORMAT_LIST),
    flag("last", Kind::Int, "Show n last created containers (includes all states)").short('n').default("-1"),
    flag("latest", Kind::Bool, "Show the latest created container (includes all states)").short('l'),
    flag("no-trunc", Kind::Bool, "Don't truncate output"),
    flag("quiet", Kind::Bool, "Only display container IDs").short('q'),
    flag("size", Kind::Bool, "Display total file sizes").short('s'),
];

/// `docker container prune`.
pub(crate) const CONTAINER_PRUNE: &[Flag] = &[
    flag("filter", Kind::Filter, "Provide filter values (e.g. \"until=<timestamp>\")"),
    flag("force", Kind::Bool, "Do not prompt for confirmation").short('f'),
];

/// `docker restart`.
pub(crate) const RESTART: &[Flag] = &[
    flag("signal", Kind::Str, "Signal to send to the container").short('s'),
    flag("time", Kind::Int, "Seconds to wait before killing the container")
        .deprecated("use --timeout instead")
        .same_as("timeout"),
    flag("timeout", Kind::Int, "Seconds to wait before killing the container").short('t'),
];

/// `docker rm`.
pub(crate) const RM: &[Flag] = &[
    flag("force", Kind::Bool, "Force the removal of a running container (uses SIGKILL)").short('f'),
    flag("link", Kind::Bool, "Remove the specified link").short('l'),
    flag("volumes", Kind::Bool, "Remove anonymous volumes associated with the container").short('v'),
];

/// `docker start`.
pub(crate) const START: &[Flag] = &[
    flag("attach", Kind::Bool, "Attach STDOUT/STDERR and forward signals").short('a'),
    flag("checkpoint", Kind::Str, "Restore from this checkpoint").refused("checkpoints are not implemented"),
    flag("checkpoint-dir", Kind::Str, "Use a custom checkpoint storage directory")
        .refused("checkpoints are not implemented"),
    flag("detach-keys", Kind::Str, "Override the key sequence for detaching a container"),
    flag("interactive", Kind::Bool, "Attach container's STDIN").short('i'),
];

/// `docker stats`.
pub(crate) const STATS: &[Flag] = &[
    flag("all", Kind::Bool, "Show all containers").short('a').default("shows just running"),
    flag("format", Kind::Str, FORMAT_LIST),
    flag("no-stream", Kind::Bool, "Disable streaming stats and only pull the first result"),
    flag("no-trunc", Kind::Bool, "Do not truncate output"),
];

/// `docker stop`.
pub(crate) const STOP: &[Flag] = &[
    flag("signal", Kind::Str, "Signal to send to the container").short('s'),
    flag("time", Kind::Int, "Seconds to wait before killing the container")
        .deprecated("use --timeout instead")
        .same_as("timeout"),
    flag("timeout", Kind::Int, "Seconds to wait before killing the container").short('t'),
];

/// `docker update`.
pub(crate) const UPDATE: &[Flag] = &[
    flag(
        "blkio-weight",
        Kind::Uint16,
        "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)",
    ),
    flag("cpu-period", Kind::Int, "Limit CPU CFS (Completely Fair Scheduler) period"),
    flag("cpu-quota", Kind::Int, "Limit CPU CFS (Completely Fair Scheduler) quota"),
    flag("cpu-rt-period", Kind::Int, "Limit the CPU real-time period in microseconds"),
    flag("cpu-rt-runtime", Kind::Int, "Limit the CPU real-time runtime in microseconds"),
    flag("cpu-shares", Kind::Int, "CPU shares (relative weight)").short('c'),
    flag("cpus", Kind::Decimal, "Number of CPUs"),
    flag("cpuset-cpus", Kind::Str, "CPUs in which to allow execution (0-3, 0,1)"),
    flag("cpuset-mems", Kind::Str, "MEMs in which to allow execution (0-3, 0,1)"),
    flag("kernel-memory", Kind::Bytes, "Kernel memory limit (deprecated)").hidden(),
    flag("memory", Kind::Bytes, "Memory limit").short('m'),
    flag("memory-reservation", Kind::Bytes, "Memory soft limit"),
    flag("memory-swap", Kind::SwapBytes, "Swap limit equal to memory plus swap: -1 to enable unlimited swap"),
    flag("pids-limit", Kind::Int, "Tune container pids limit (set -1 for unlimited)"),
    flag("restart", Kind::Str, "Restart policy to apply when a container exits"),
];
