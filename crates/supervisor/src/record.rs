//! What lies in a container's exec-root directory.
//!
//! ```text
//! DIR/supervisor.sock   where the supervisor listens while the container lives; mode 0600
//! DIR/run.json          RunRecord, written once the process runs
//! DIR/exit.json         ExitRecord, written atomically when everything is over
//! DIR/supervisor.err    why a supervisor ended unexpectedly, if one ever did
//! ```

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::foreign::Foreign;

pub(crate) fn socket_path(dir: &Path) -> PathBuf {
    dir.join("supervisor.sock")
}

pub(crate) fn run_path(dir: &Path) -> PathBuf {
    dir.join("run.json")
}

pub(crate) fn exit_path(dir: &Path) -> PathBuf {
    dir.join("exit.json")
}

/// Does something with the socket's path, however long the directory's name is: `sun_path` holds 108 bytes, and an
/// exec-root with a container's 64-digit id easily takes more.
pub(crate) fn in_short_path<T>(dir: &Path, action: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    use rustix::fs::{Mode, OFlags};
    let fd = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    action(&socket_path(Path::new(&format!("/proc/self/fd/{}", fd.as_raw_fd()))))
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Exit code; 128 + signal when a signal ended it.
    pub exit_code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The kernel's out-of-memory killer struck in its cgroup.
    pub oom_killed: bool,
    /// RFC 3339 with nanoseconds, UTC.
    pub finished_at: String,
}

/// What is needed to find, or to end, a container whose supervisor does not answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunRecord {
    /// Container id.
    pub id: String,
    /// The container's init.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`: with it a pid is unique.
    pub pid_start_ticks: u64,
    /// The supervisor itself.
    pub supervisor_pid: i32,
    /// RFC 3339 with nanoseconds, UTC.
    pub started_at: String,
    /// The container's cgroup as in `linux.cgroupsPath`; empty if it has none of its own.
    pub cgroup: String,
    /// Who made it, if another runtime than ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Foreign>,
}

impl ExitRecord {
    /// The record in `DIR/exit.json`.
    pub fn read(dir: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(exit_path(dir))?)?)
    }

    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        write_atomic(&exit_path(dir), &serde_json::to_vec(self)?)
    }
}

impl RunRecord {
    /// The record in `DIR/run.json`.
    pub fn read(dir: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(run_path(dir))?)?)
    }

    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        write_atomic(&run_path(dir), &serde_json::to_vec(self)?)
    }

    /// Whether the container's init is still the process of this record.
    pub fn is_alive(&self) -> bool {
        self.pid > 0 && start_ticks(self.pid).is_ok_and(|ticks| ticks == self.pid_start_ticks)
    }
}

/// How a child ended, as `wait` tells it.
pub(crate) fn exit_of(status: rustix::process::WaitStatus) -> linux::pidfd::Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => linux::pidfd::Exit::Code(code),
        (None, signal) => linux::pidfd::Exit::Signal(signal.unwrap_or(0)),
    }
}

/// When a process started, in clock ticks since boot: field 22 of `/proc/PID/stat` (proc(5)).
pub(crate) fn start_ticks(pid: i32) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in field 2 may hold spaces and parentheses; count from the last one.
    let ticks =
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19)?.parse().ok());
    ticks.ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat: unexpected format")))
}

/// The exec-root is a tmpfs, gone with the power: a rename suffices, no fsync.
fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_a_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let exit = ExitRecord {
            exit_code: 137,
            signal: Some(9),
            oom_killed: true,
            finished_at: "2026-01-02T03:04:05.6Z".to_owned(),
        };
        exit.write(dir.path()).unwrap();
        assert_eq!(ExitRecord::read(dir.path()).unwrap(), exit);
        let run = RunRecord { id: "x".to_owned(), pid: 1, ..RunRecord::default() };
        run.write(dir.path()).unwrap();
        assert_eq!(RunRecord::read(dir.path()).unwrap(), run);
    }

    #[test]
    fn a_record_of_another_start_is_not_alive() {
        let pid = std::process::id() as i32;
        let mut run = RunRecord { pid, pid_start_ticks: start_ticks(pid).unwrap(), ..RunRecord::default() };
        assert!(run.is_alive());
        run.pid_start_ticks += 1;
        assert!(!run.is_alive());
    }
}
