//! An OCI runtime: bundle in, container out. Usable alone (`wharf runtime ...`, the verbs and flags of runc) under
//! containerd, Podman and Docker, and in-process by the supervisor.
//!
//! Words: a *bundle* is a directory with `config.json` and a root file system; *init* is the container's first
//! process, which prepares the container from within and then becomes the user's process; the *gate* is where init
//! waits between `create` and `start`.
//!
//! ```text
//!  caller (single-threaded)                         init (one clone3, no re-exec)
//!  create: cgroup, clone3 ------------------------> namespaces, mounts, devices, pivot_root,
//!          id maps, cgroup join, rlimits  --Go----> identity, executable lookup
//!          <------------------------------Ready---- gate
//!  start:  -------------------------------Go------> seccomp, capabilities, execve
//!          <--------------end of file: exec succeeded, or the exact error
//! ```
//!
//! Invariant: whoever calls [`create`] or [`exec`] has one thread. The new process is a copy of the caller, as after
//! `fork`, and runs ordinary code until `execve`; a lock held by another thread would stay locked in it.

mod error;
mod request;

pub use error::Error;
pub use request::{CgroupMode, CreateRequest, Created, ExecRequest, Running, Stdio};

/// Result of the runtime.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Makes a container up to the point where only `execve` is missing.
pub fn create(request: &CreateRequest<'_>) -> Result<Created> {
    Err(Error::NotImplemented(format!("create container {}", request.id)))
}

/// Runs one more process in a running container.
pub fn exec(request: &ExecRequest<'_>) -> Result<Running> {
    Err(Error::NotImplemented(format!("exec in container {}", request.id)))
}

/// The command line: `wharf runtime ...`, without the first word; returns the exit code.
pub fn main(args: Vec<std::ffi::OsString>) -> i32 {
    let _ = args;
    1
}
