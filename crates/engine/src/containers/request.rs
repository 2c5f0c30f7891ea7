//! What the doors ask of [`Containers`](super::Containers).

use std::collections::BTreeMap;

use types::config::{Config, EndpointRequest, HostConfig, Resources, RestartPolicy};
use types::{Error, Platform, Result};

use crate::{Filters, Timestamp};

/// `POST /containers/create`.
#[derive(Debug, Clone, Default)]
pub struct CreateRequest {
    /// Wanted name, with or without a leading slash; empty lets us choose one.
    pub name: String,
    /// Wanted platform of the image.
    pub platform: Option<Platform>,
    /// What to run; `None` when the body had no config at all.
    pub config: Option<Config>,
    /// How to run it.
    pub host_config: HostConfig,
    /// Network name to what is asked of that endpoint (`NetworkingConfig.EndpointsConfig`).
    pub endpoints: BTreeMap<String, EndpointRequest>,
}

/// `POST /containers/x/stop` and `/restart`.
#[derive(Debug, Clone, Default)]
pub struct StopRequest {
    /// Signal instead of the container's own stop signal.
    pub signal: Option<String>,
    /// Seconds until SIGKILL; negative waits for ever; `None` is the container's own or 10.
    pub timeout_s: Option<i64>,
}

/// `DELETE /containers/x`.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveRequest {
    /// Kill it first if it runs.
    pub force: bool,
    /// Remove its anonymous volumes too.
    pub volumes: bool,
    /// Remove the legacy link of that name instead.
    pub link: bool,
}

/// Until when `wait` waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitCondition {
    /// It does not run (at once when it does not run now).
    #[default]
    NotRunning,
    /// It exits the next time.
    NextExit,
    /// It is removed.
    Removed,
}

impl std::str::FromStr for WaitCondition {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" | "not-running" => Ok(Self::NotRunning),
            "next-exit" => Ok(Self::NextExit),
            "removed" => Ok(Self::Removed),
            other => Err(Error::invalid(format!("invalid condition: {other:?}"))),
        }
    }
}

/// `POST /containers/x/attach`.
#[derive(Debug, Clone, Default)]
pub struct AttachRequest {
    /// Send what was written before (from the log) first.
    pub logs: bool,
    /// Stream what comes from now on.
    pub stream: bool,
    /// Forward the client's bytes.
    pub stdin: bool,
    /// Receive standard output.
    pub stdout: bool,
    /// Receive standard error.
    pub stderr: bool,
    /// Keys that end the attachment (`ctrl-p,ctrl-q`); `None` is the daemon's default.
    pub detach_keys: Option<String>,
}

/// `GET /containers/x/logs`.
#[derive(Debug, Clone, Default)]
pub struct LogsRequest {
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// Go on until the container ends.
    pub follow: bool,
    /// Only lines at or after this time.
    pub since: Option<Timestamp>,
    /// Only lines before this time.
    pub until: Option<Timestamp>,
    /// Put the time before each line.
    pub timestamps: bool,
    /// Only the last lines; `None` is all (anything that is not a number in Docker's API).
    pub tail: Option<u64>,
    /// Put labels and variables named by log options before each line.
    pub details: bool,
}

/// `GET /containers/json`.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// Also those that do not run.
    pub all: bool,
    /// At most so many, newest first; implies `all`.
    pub limit: Option<usize>,
    /// Compute the sizes.
    pub size: bool,
    /// Docker's filters.
    pub filters: Filters,
}

/// `POST /containers/x/update`.
#[derive(Debug, Clone, Default)]
pub struct UpdateRequest {
    /// New limits; zero values leave what is.
    pub resources: Resources,
    /// New restart policy, if its name is not empty.
    pub restart_policy: RestartPolicy,
}

/// `POST /containers/x/exec`.
#[derive(Debug, Clone, Default)]
pub struct ExecCreateRequest {
    /// What to run.
    pub cmd: Vec<String>,
    /// Forward the client's bytes.
    pub attach_stdin: bool,
    /// Send standard output.
    pub attach_stdout: bool,
    /// Send standard error.
    pub attach_stderr: bool,
    /// Allocate a terminal.
    pub tty: bool,
    /// `NAME=value` on top of the container's.
    pub env: Vec<String>,
    /// `user[:group]`; empty is the container's.
    pub user: String,
    /// Directory; empty is the container's.
    pub working_dir: String,
    /// All capabilities.
    pub privileged: bool,
    /// Keys that end the attachment.
    pub detach_keys: Option<String>,
    /// Height and width of the terminal.
    pub console_size: Option<[u32; 2]>,
}

/// `POST /exec/x/start`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExecStartRequest {
    /// Do not stream.
    pub detach: bool,
    /// Whether the client set its terminal to raw mode.
    pub tty: bool,
    /// Height and width of the terminal.
    pub console_size: Option<[u32; 2]>,
}
