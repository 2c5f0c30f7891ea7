//! An OCI runtime: bundle in, container out. Usable alone (`wharf runtime ...`, the verbs and flags of runc) under
//! containerd, Podman and Docker, and in-process by the supervisor.
//!
//! Words: a *bundle* is a directory with `config.json` and a root file system; *init* is the container's first
//! process, which prepares the container from within and then becomes the user's process; the *gate* is where init
//! waits between `create` and `start`.
//!
//! ```text
//!  caller (single-threaded)                         init (one clone3, no re-exec)
//!  create: cgroup, clone3 ------------------------> cgroup, namespaces, mounts, devices, pivot_root,
//!          id maps, rlimits  -------------Go------> identity, executable lookup
//!          <------------------------------Ready---- gate
//!  start:  -------------------------------Go------> seccomp, capabilities, execve
//!          <--------------end of file: exec succeeded, or the exact error
//! ```
//!
//! Invariant: whoever calls [`create`] or [`exec`] has one thread. The new process is a copy of the caller, as after
//! `fork`, and runs ordinary code until `execve`; a lock held by another thread would stay locked in it.

mod channel;
mod cli;
mod create;
mod domains;
mod error;
mod exec;
#[cfg(fuzzing)]
pub mod fuzz;
mod gate;
mod hooks;
mod idmap;
mod init;
mod limits;
mod namespaces;
mod request;
mod validate;
mod view;

pub use cli::main;
pub use create::create;
pub use error::Error;
pub use exec::exec;
pub use init::options::{PROCESS, SUBPATH};
pub use request::{CgroupMode, CreateRequest, Created, ExecRequest, Running, SeccompAgent, Stdio};
pub use view::{enclose, mount_volume, owner_in, user_in, view};

/// Result of the runtime.
pub type Result<T, E = Error> = std::result::Result<T, E>;
