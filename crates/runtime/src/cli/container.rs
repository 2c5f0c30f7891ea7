//! A container as its state directory knows it.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use linux::cgroup::{Cgroup, Unit};
use serde::{Deserialize, Serialize};
use types::spec::{RuntimeSpec, State, Status};

use super::Global;
use crate::error::{Context, Error, reason};
use crate::gate;

/// What is written once, at creation: `state.json`. What can be observed (the status) is not in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) init_process_pid: i32,
    /// Field 22 of `/proc/<pid>/stat`: tells a reused number.
    pub(super) init_process_start: u64,
    /// RFC 3339.
    pub(super) created: String,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    pub(super) owner: String,
    /// Directories by hierarchy, as [`Cgroup::paths`] gives them.
    pub(super) cgroup_paths: BTreeMap<String, PathBuf>,
    /// Directories of resctrl that were made for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) class: Vec<PathBuf>,
    /// The unit of systemd's that the cgroup is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<Unit>,
    pub(super) spec: RuntimeSpec,
}

/// A container found in the state directory.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) dir: PathBuf,
    pub(super) record: Record,
}

/// The directory of a container, whose id must be a plain name.
pub(super) fn directory(global: &Global, id: &str) -> Result<PathBuf, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    if id.is_empty() || !id.chars().all(plain) || id == "." || id == ".." || id.len() > 255 {
        return Err(Error::Invalid(format!("invalid container ID format: {id:?}")));
    }
    Ok(global.root.join(id))
}

impl Container {
    /// Finds a container.
    pub(super) fn open(global: &Global, id: &str) -> Result<Self, Error> {
        let dir = directory(global, id)?;
        let text = match std::fs::read(dir.join("state.json")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::State("container does not exist".into()));
            }
            other => other.doing(|| format!("read state of {id}"))?,
        };
        let record = serde_json::from_slice(&text)
            .map_err(|error| Error::Failed(format!("state of {id} is not readable: {error}")))?;
        Ok(Container { dir, record })
    }

    /// Writes the record; whoever reads it meanwhile sees the old one or none.
    pub(super) fn save(&self) -> Result<(), Error> {
        let text = serde_json::to_vec(&self.record).map_err(|error| Error::Failed(error.to_string()))?;
        linux::fs::write_atomic(&self.dir.join("state.json"), &text, 0o600, false)
            .doing(|| format!("write state of {}", self.record.id))
    }

    /// Init, if it lives.
    pub(super) fn pidfd(&self) -> Option<OwnedFd> {
        let pidfd = linux::pidfd::open(self.record.init_process_pid).ok()?;
        // Looked at after it was opened: the number cannot be reused from then on.
        let alive = start_time(self.record.init_process_pid) == Some(self.record.init_process_start);
        (alive && !linux::pidfd::exited_within(pidfd.as_fd(), 0).unwrap_or(true)).then_some(pidfd)
    }

    pub(super) fn cgroup(&self) -> Option<Cgroup> {
        if self.record.cgroup_paths.is_empty() {
            return None;
        }
        let cgroup = Cgroup::at(&self.record.cgroup_paths).ok()?;
        Some(cgroup.of_unit(self.record.unit.clone()))
    }

    pub(super) fn status(&self) -> Status {
        if self.pidfd().is_none() {
            return Status::Stopped;
        }
        if self.cgroup().is_some_and(|cgroup| cgroup.is_frozen().unwrap_or(false)) {
            return Status::Paused;
        }
        if self.dir.join(gate::SOCKET).exists() { Status::Created } else { Status::Running }
    }

    /// As hooks and `state` tell it.
    pub(super) fn state(&self) -> State {
        let status = self.status();
        State {
            oci_version: self.record.spec.oci_version.clone(),
            id: self.record.id.clone(),
            status,
            pid: if status == Status::Stopped { 0 } else { self.record.init_process_pid },
            bundle: self.record.bundle.to_string_lossy().into_owned(),
            annotations: self.record.spec.annotations.clone(),
        }
    }

    /// Init of a container that runs (or waits, or is paused), for commands that need one.
    pub(super) fn running(&self) -> Result<OwnedFd, Error> {
        self.pidfd().ok_or_else(|| Error::State("container not running".into()))
    }

    /// The cgroup, for commands that need one.
    pub(super) fn own_cgroup(&self) -> Result<Cgroup, Error> {
        self.cgroup().ok_or_else(|| Error::State("container has no cgroup".into()))
    }
}

/// When a process started, in clock ticks since boot; `None` if it is gone or a zombie.
pub(super) fn start_time(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, also parentheses.
    let mut fields = text.get(text.rfind(')')? + 2..)?.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Every container of the state directory; those that vanish or cannot be read meanwhile are left out.
pub(super) fn all(global: &Global) -> Result<Vec<Container>, Error> {
    let entries = match std::fs::read_dir(&global.root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !global.root_is_given => {
            return Ok(Vec::new());
        }
        other => other.doing(|| format!("open {}", global.root.display()))?,
    };
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names.iter().filter_map(|name| Container::open(global, name).ok()).collect())
}

/// Reads `config.json` of a bundle.
pub(super) fn read_spec(bundle: &Path) -> Result<RuntimeSpec, Error> {
    let path = bundle.join("config.json");
    let text = std::fs::read(&path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            Error::Failed("JSON specification file config.json not found".into())
        } else {
            Error::Failed(format!("read {}: {}", path.display(), reason(&error)))
        }
    })?;
    serde_json::from_slice(&text).map_err(|error| Error::Invalid(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_tells_processes_apart() {
        assert!(start_time(std::process::id() as i32).unwrap() > 0);
        assert_eq!(start_time(i32::MAX), None);
    }
}
