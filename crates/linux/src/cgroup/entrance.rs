//! Entering a cgroup without waiting.
//!
//! Moving a process by `cgroup.procs` takes the kernel's lock on all forks and exits for writing, which waits for an RCU
//! grace period: 10 to 16 ms on an idle machine. Two ways need no such lock: being born there (`CLONE_INTO_CGROUP`, the v2
//! hierarchy only) and, on v1, a single thread that moves *itself* by writing `0` to `tasks`
//! (`cgroup_procs_write_start` in kernel/cgroup/cgroup.c). So the creator opens what is needed, `clone3` takes the new
//! process into the v2 directory, and the new process, which has one thread, writes itself into the others.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{Cgroup, Result, file};

/// The open ways into a cgroup.
#[derive(Debug)]
pub struct Entrance {
    /// `tasks` of every v1 hierarchy. Permission is that of the opener.
    tasks: Vec<File>,
    /// The v2 directory.
    v2: Option<OwnedFd>,
}

impl Cgroup {
    /// Opens the ways in; close-on-exec.
    pub fn entrance(&self) -> Result<Entrance> {
        let tasks = self.v1.values().map(|directory| {
            let path = directory.join("tasks");
            let opened = File::options().write(true).open(&path);
            opened.map_err(|source| file::error("open", &path, source))
        });
        let open = |directory: &std::path::PathBuf| -> Result<OwnedFd> {
            let opened = File::open(directory).map_err(|source| file::error("open", directory, source))?;
            Ok(OwnedFd::from(opened))
        };
        Ok(Entrance { tasks: tasks.collect::<Result<_>>()?, v2: self.v2.as_ref().map(open).transpose()? })
    }
}

impl Entrance {
    /// For `clone3`: the new process is born in the v2 cgroup.
    pub fn clone_fd(&self) -> Option<BorrowedFd<'_>> {
        self.v2.as_ref().map(AsFd::as_fd)
    }

    /// Called by the new process, which has one thread: enters the v1 cgroups.
    pub fn enter(&self) -> std::io::Result<()> {
        self.tasks.iter().try_for_each(|mut tasks| tasks.write_all(b"0"))
    }
}
