//! seccomp(2): a program into the kernel, for the calling thread and its future children.

use std::os::fd::{FromRawFd, OwnedFd};

use types::spec::Seccomp;

use super::{Error, Program, rules};

const SET_MODE_FILTER: libc::c_ulong = 1;
/// `SECCOMP_FILTER_FLAG_*` (linux/seccomp.h).
const TSYNC: u32 = 1;
const LOG: u32 = 1 << 1;
const SPEC_ALLOW: u32 = 1 << 2;
const NEW_LISTENER: u32 = 1 << 3;
const WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// The flags that a profile asks for, with `NEW_LISTENER` when a rule notifies.
pub fn flags(profile: &Seccomp) -> Result<u32, Error> {
    let mut bits = 0;
    for flag in &profile.flags {
        bits |= match flag.as_str() {
            // The filter is loaded by a single-threaded process: nothing to synchronise, and TSYNC would clash with
            // NEW_LISTENER on kernels before 5.7.
            "SECCOMP_FILTER_FLAG_TSYNC" => 0,
            "SECCOMP_FILTER_FLAG_LOG" => LOG,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => SPEC_ALLOW,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => WAIT_KILLABLE_RECV,
            other => return Err(Error::Unknown { what: "flag", word: other.to_owned() }),
        };
    }
    if rules::notifies(profile) {
        bits |= NEW_LISTENER;
    }
    Ok(bits)
}

/// Loads `program` for the calling thread. Needs `no_new_privs` or `CAP_SYS_ADMIN`. With `NEW_LISTENER` in `flags`
/// the listener is returned.
#[allow(unsafe_code)]
pub fn load(program: &Program, flags: u32) -> Result<Option<OwnedFd>, Error> {
    let mut header = libc::sock_fprog {
        len: program.instructions() as u16,
        filter: program.as_bytes().as_ptr().cast_mut().cast(),
    };
    // SAFETY: `header` points at `len` whole instructions that live across the call, and the kernel only reads them
    // (it copies byte-wise, so their alignment does not matter).
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SET_MODE_FILTER,
            libc::c_ulong::from(flags & !TSYNC),
            &raw mut header,
        )
    };
    if result < 0 {
        return Err(Error::Load(std::io::Error::last_os_error()));
    }
    if flags & NEW_LISTENER == 0 {
        return Ok(None);
    }
    // SAFETY: with NEW_LISTENER a non-negative result is a new file descriptor that nobody else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(result as i32) }))
}
