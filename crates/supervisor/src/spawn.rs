//! What the engine says when it wants a process, and what it gets back.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use types::spec::{Process, RuntimeSpec};

use crate::foreign::Foreign;
use crate::log::LogSpec;

/// A container to be created and started.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Spawn {
    /// Container id.
    pub id: String,
    /// Exec-root directory of this container (`exec-root/containers/ID`). Must exist, mode 0700; gets `supervisor.sock`,
    /// `run.json`, `exit.json` (an old one is removed first).
    pub dir: PathBuf,
    /// What to run. `process.terminal` decides about the terminal, `process.consoleSize` about its first size,
    /// `linux.cgroupsPath` about the cgroup (relative to each hierarchy's own root, e.g. `/docker/ID`).
    pub spec: RuntimeSpec,
    /// Mounts that make the rootfs, performed inside the container's mount namespace; empty: `spec.root.path` as it is.
    pub rootfs: Vec<types::Mount>,
    /// Compiled seccomp program ([`linux::seccomp`]); travels beside the JSON.
    #[serde(skip)]
    pub seccomp: Option<Vec<u8>>,
    /// Docker's `user[:group]`, looked up in the container's own passwd and group files
    /// ([`runtime::CreateRequest::user`]); empty: whoever has the id 0.
    #[serde(default)]
    pub user: String,
    /// Supplementary groups, names or numbers, looked up likewise.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Give the process a stdin that stays open; without it stdin is `/dev/null` (unless there is a terminal).
    pub open_stdin: bool,
    /// End the process's input when the first client that attached stdin goes.
    pub stdin_once: bool,
    /// Where output is kept.
    pub log: LogSpec,
    /// Who makes it, if another runtime than ours; `spec.linux.seccomp` is the filter then, and not [`Spawn::seccomp`].
    #[serde(default)]
    pub foreign: Option<Foreign>,
}

/// What a client wants to see and send. See the crate's page for how the stream behaves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attach {
    /// Send input. Ignored if the process has no open stdin.
    pub stdin: bool,
    /// Receive stdout (all output, with a terminal).
    pub stdout: bool,
    /// Receive stderr (nothing, with a terminal).
    pub stderr: bool,
    /// Keys that end the attachment, as bytes; used with a terminal and stdin only. Empty: none.
    pub detach_keys: Vec<u8>,
    /// Put frames around output; `None`: unless there is a terminal.
    #[serde(default)]
    pub framed: Option<bool>,
}

impl Attach {
    /// Docker's default detach keys: ctrl-p, ctrl-q.
    pub const DEFAULT_DETACH_KEYS: [u8; 2] = [0x10, 0x11];
}

/// One more process in a running container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Exec {
    /// Exec id; must not be in use in this container.
    pub id: String,
    /// What to run; `process.terminal` and `process.consoleSize` count as in [`Spawn`].
    pub process: Process,
    /// Streams of the client that starts it; `None` (detached) gives it `/dev/null` three times.
    /// Streams that are not asked for are `/dev/null` too.
    pub attach: Option<Attach>,
    /// As in [`Spawn::user`].
    #[serde(default)]
    pub user: String,
    /// As in [`Spawn::groups`].
    #[serde(default)]
    pub groups: Vec<String>,
    /// Compiled seccomp program; travels beside the JSON. `None`: no filter.
    #[serde(skip)]
    pub seccomp: Option<Vec<u8>>,
}

/// A process that runs: its `execve` has succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spawned {
    /// Process id as the host sees it.
    pub pid: i32,
    /// RFC 3339 with nanoseconds, UTC: when everything was ready for `execve`.
    pub started_at: String,
}

/// Why a process could not be started. Nothing is left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ProcessError {
    /// What Docker would report as the exit code: 126 not executable, 127 not found, 128 everything else.
    pub exit_code: i32,
    /// The runtime's words, e.g. `exec: "nosuch": executable file not found in $PATH`.
    pub message: String,
}
