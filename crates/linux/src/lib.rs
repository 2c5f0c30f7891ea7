//! The kernel as we use it; the only crate with unsafe.

mod bpf_device;
pub mod cgroup;
pub mod netns;
pub mod seccomp;
