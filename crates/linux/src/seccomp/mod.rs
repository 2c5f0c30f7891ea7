//! Seccomp: from an OCI profile to a classic BPF program, and into the kernel.
//!
//! ```text
//! profile --rules--> per architecture: number -> checks --ranges--> binary search tree --emit--> sock_filter[]
//! ```
//! A container pays for each instruction at each system call, so numbers are coalesced into ranges and found by
//! binary search: about eight comparisons for Docker's default profile, where a linear program needs hundreds.
//! Sources: `Documentation/userspace-api/seccomp_filter.rst`, seccomp(2), OCI config-linux.md "Seccomp".

mod emit;
mod load;
mod rules;
mod syscalls;
#[cfg(test)]
mod tests;

pub use load::{flags, load};
pub use rules::known_syscall;

use types::spec::Seccomp;

/// What in a profile cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A word outside the specification.
    #[error("invalid seccomp {what}: {word:?}")]
    Unknown {
        /// `action`, `operator`, `architecture` or `flag`.
        what: &'static str,
        /// The word.
        word: String,
    },
    /// Only six arguments exist.
    #[error("invalid seccomp argument index {0}: want 0 to 5")]
    ArgumentIndex(u32),
    /// The kernel takes at most 4096 instructions.
    #[error("seccomp profile needs {0} instructions, the kernel takes 4096")]
    TooLong(usize),
    /// seccomp(2) needs `no_new_privs` or `CAP_SYS_ADMIN`, and a kernel with the flag.
    #[error("load seccomp filter: {0}")]
    Load(#[source] std::io::Error),
}

/// A compiled filter: `struct sock_filter[]` as the kernel reads it, 8 bytes each. Compile once per profile, keep the
/// bytes, load them many times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    bytes: Vec<u8>,
}

impl Program {
    /// A program from bytes that [`Program::as_bytes`] gave. `None` when they are no whole number of instructions.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        (!bytes.is_empty() && bytes.len().is_multiple_of(8) && bytes.len() / 8 <= emit::MAX_INSTRUCTIONS)
            .then_some(Self { bytes })
    }

    /// The instructions, 8 bytes each, native byte order.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of instructions.
    pub fn instructions(&self) -> usize {
        self.bytes.len() / 8
    }
}

/// Compiles a profile. Names of system calls that an architecture does not have are skipped, as runc does: profiles
/// are written for all architectures and kernels.
pub fn compile(profile: &Seccomp) -> Result<Program, Error> {
    let filter = rules::Filter::from_profile(profile)?;
    let bytes = emit::emit(&filter)?;
    Ok(Program { bytes })
}
