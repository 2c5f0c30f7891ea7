//! Network namespaces as file descriptors.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use crate::{Error, Result};

/// The network namespace of a process (network mode `container:`, or a container found again after a restart).
///
/// # Errors
/// The process is gone or not ours to see.
pub fn namespace_of(pid: i32) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/ns/net");
    File::open(&path).map(OwnedFd::from).map_err(|error| Error::kernel(path, error))
}

/// Whether both descriptors name the same namespace.
pub fn same_namespace(one: impl AsFd, other: impl AsFd) -> bool {
    match (rustix::fs::fstat(one), rustix::fs::fstat(other)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}
