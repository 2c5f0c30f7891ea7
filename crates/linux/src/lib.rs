//! The kernel as we use it; the only crate with unsafe.

pub mod activation;
pub mod aside;
mod bpf_device;
pub mod capabilities;
pub mod cgroup;
pub mod datagrams;
pub mod dbus;
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(feature = "weakened")))]
pub mod early;
pub mod fd;
pub mod fs;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod netdevice;
pub mod netns;
pub mod pidfd;
pub mod process;
pub mod pty;
pub mod quota;
pub mod resctrl;
pub mod sealed;
pub mod seccomp;
pub mod signalfd;
mod weakened;

pub use weakened::weakened;
