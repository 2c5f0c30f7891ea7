//! The kernel as we use it; the only crate with unsafe.

pub mod seccomp;
