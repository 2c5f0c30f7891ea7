//! Making processes: `clone3`, `fork`, `execve`, and what a new process inherits and should not.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `CLONE_NEW*` and friends (linux/sched.h).
pub mod flags {
    #![allow(missing_docs)]
    pub const NEWTIME: u64 = 0x80;
    pub const PARENT: u64 = 0x8000;
    pub const NEWNS: u64 = 0x0002_0000;
    pub const NEWCGROUP: u64 = 0x0200_0000;
    pub const NEWUTS: u64 = 0x0400_0000;
    pub const NEWIPC: u64 = 0x0800_0000;
    pub const NEWUSER: u64 = 0x1000_0000;
    pub const NEWPID: u64 = 0x2000_0000;
    pub const NEWNET: u64 = 0x4000_0000;
    pub(super) const PIDFD: u64 = 0x1000;
    pub(super) const INTO_CGROUP: u64 = 0x2_0000_0000;
}

/// `struct clone_args`, second version (linux/sched.h, 88 bytes).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Which of the two processes this is.
#[derive(Debug)]
pub enum Fork {
    /// The caller, told about its child.
    #[allow(missing_docs)]
    Parent { pid: i32, pidfd: OwnedFd },
    /// The new process.
    Child,
}

/// `clone3(2)` as a fork into new namespaces (`flags::NEW*`), with a pidfd, and into `cgroup` (a cgroup v2
/// directory) when given: no migration, so no grace period to wait for.
///
/// The caller must have one thread: unlike `fork`, this takes no locks of the C library on behalf of the child. With
/// [`flags::PARENT`] the new process is a sibling.
#[allow(unsafe_code)]
pub fn clone3(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Fork> {
    let mut pidfd: i32 = -1;
    let mut args = CloneArgs {
        flags: flags | flags::PIDFD,
        pidfd: (&raw mut pidfd) as u64,
        // A sibling inherits its exit signal.
        exit_signal: if flags & flags::PARENT == 0 { libc::SIGCHLD as u64 } else { 0 },
        ..CloneArgs::default()
    };
    if let Some(fd) = cgroup {
        args.flags |= flags::INTO_CGROUP;
        args.cgroup = fd.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM and with no stack given the child is a copy of this process, returning here on a copy of
    // this stack; `args` and `pidfd` outlive the call, and the size is that of the structure.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
    match pid {
        0 => Ok(Fork::Child),
        // SAFETY: on success the kernel stored a new descriptor in `pidfd`, which nobody else owns.
        1.. => Ok(Fork::Parent { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `fork(2)` through the C library, whose own locks are therefore usable in the child even if the caller has threads.
/// `None` in the child.
#[allow(unsafe_code)]
pub fn fork() -> io::Result<Option<i32>> {
    // SAFETY: fork has no memory-safety condition; the C library prepares its allocator for use in the child.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some(pid)),
    }
}

/// Ends the process without running destructors or flushing buffers that are copies of the parent's.
#[allow(unsafe_code)]
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no conditions.
    unsafe { libc::_exit(code) }
}

/// `execve(2)`; returns only on failure. `dir` and an empty path execute the descriptor itself.
#[allow(unsafe_code)]
pub fn execve(dir: Option<BorrowedFd<'_>>, path: &CStr, argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|item| item.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    let Some(dir) = dir else {
        // The older call: a system call filter may know no other.
        // SAFETY: path and every list element are NUL-terminated strings alive across the call, and both lists end in null.
        unsafe { libc::syscall(libc::SYS_execve, path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
        return io::Error::last_os_error();
    };
    let at_flags = if path.is_empty() { libc::AT_EMPTY_PATH } else { 0 };
    let (dir, path) = (dir.as_raw_fd(), path.as_ptr());
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_execveat, dir, path, argv.as_ptr(), env.as_ptr(), at_flags) };
    io::Error::last_os_error()
}

/// Marks every descriptor from `first` on close-on-exec, known or not (CVE-2024-21626).
#[allow(unsafe_code)]
pub fn cloexec_from(first: u32) -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: no descriptor is closed now, so none that Rust owns becomes invalid.
    match unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Closes every descriptor from `first` on but those to `keep`: for a process that is about to execute another program, and uses
/// no other descriptor until then.
#[allow(unsafe_code)]
pub fn close_all_but(first: u32, keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<u32> = keep.iter().map(|fd| fd.as_raw_fd() as u32).filter(|fd| *fd >= first).collect();
    kept.sort_unstable();
    let mut from = first;
    for end in kept.into_iter().map(Some).chain([None]) {
        let last = end.map_or(u32::MAX, |fd| fd.wrapping_sub(1));
        if end.is_none_or(|fd| fd > from) {
            // SAFETY: what Rust still owns among these is never used again, as the caller promises; a second close of a number
            // fails, or hits what was opened since, in a process that is about to end or to be replaced.
            if unsafe { libc::syscall(libc::SYS_close_range, from, last, 0) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        from = end.map_or(from, |fd| fd + 1);
    }
    Ok(())
}

/// `struct sigaction` as the kernel has it (the C library refuses its own two signals).
#[repr(C)]
struct KernelSigaction {
    handler: usize,
    flags: libc::c_ulong,
    restorer: usize,
    mask: u64,
}

/// Gives every signal its default disposition and unblocks all: what a program expects at its start.
#[allow(unsafe_code)]
pub fn reset_signals() {
    let default = KernelSigaction { handler: libc::SIG_DFL, flags: 0, restorer: 0, mask: 0 };
    let empty: u64 = 0;
    for signal in 1..=64 {
        // SAFETY: installs no handler, only defaults; structure and mask size (8) are the kernel's. Fails for SIGKILL and
        // SIGSTOP, which cannot be changed anyway.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &raw const default, 0usize, 8usize) };
    }
    // SAFETY: reads 8 bytes from `empty`, writes nothing.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const empty, 0usize, 8usize) };
}

/// Starts a program with every signal at its default and none blocked, whatever the caller did with them.
#[allow(unsafe_code)]
pub fn spawn(command: &mut std::process::Command) -> io::Result<std::process::Child> {
    use std::os::unix::process::CommandExt as _;
    let prepare = || {
        reset_signals();
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made.
    unsafe { command.pre_exec(prepare) }.spawn()
}

/// `struct sched_attr` (linux/sched/types.h), first version plus utilisation clamps.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
#[allow(missing_docs)]
pub struct SchedAttr {
    /// Filled in by [`sched_setattr`].
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// `sched_setattr(2)` for the calling thread.
#[allow(unsafe_code)]
pub fn sched_setattr(mut attr: SchedAttr) -> io::Result<()> {
    attr.size = size_of::<SchedAttr>() as u32;
    // SAFETY: `attr` is a readable structure of the size it states.
    match unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `ioprio_set(2)` for the calling thread; `class` 1 to 3 (real time, best effort, idle), `level` 0 to 7.
#[allow(unsafe_code)]
pub fn set_io_priority(class: u32, level: u32) -> io::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    // SAFETY: takes three numbers.
    match unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, (class << 13) | level) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `personality(2)`.
#[allow(unsafe_code)]
pub fn set_personality(domain: u64) -> io::Result<()> {
    // SAFETY: takes one number.
    match unsafe { libc::personality(domain as libc::c_ulong) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// `set_mempolicy(2)` for the calling thread: a mode with its flags, and memory nodes.
#[allow(unsafe_code)]
pub fn set_memory_policy(mode: u32, nodes: &[usize]) -> io::Result<()> {
    const WORD: usize = u64::BITS as usize;
    let mut mask = vec![0u64; nodes.iter().max().map_or(0, |last| last / WORD + 1)];
    nodes.iter().for_each(|node| mask[node / WORD] |= 1 << (node % WORD));
    let pointer = if mask.is_empty() { std::ptr::null() } else { mask.as_ptr() };
    // The kernel takes one bit less than it is told.
    let bits = if mask.is_empty() { 0 } else { mask.len() * WORD + 1 };
    // SAFETY: reads as many bits, rounded down to words, as `mask` has.
    match unsafe { libc::syscall(libc::SYS_set_mempolicy, mode as libc::c_int, pointer, bits) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes the caller a member of a new, anonymous or named session keyring, so that it shares no keys with the
/// container (`KEYCTL_JOIN_SESSION_KEYRING`). Returns the keyring's serial number.
#[allow(unsafe_code)]
pub fn join_session_keyring(name: &CStr) -> io::Result<i32> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: reads one NUL-terminated string.
    match unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr()) } {
        -1 => Err(io::Error::last_os_error()),
        serial => Ok(serial as i32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, WaitOptions, waitpid};

    fn exit_status(pid: i32) -> Option<i32> {
        let (_, status) = waitpid(Pid::from_raw(pid), WaitOptions::empty()).unwrap().unwrap();
        status.exit_status()
    }

    #[test]
    fn clone3_without_flags_is_a_fork_with_a_pidfd() {
        // Threads of the test harness: the child must not allocate.
        match clone3(0, None).unwrap() {
            Fork::Child => exit_now(7),
            Fork::Parent { pid, pidfd } => {
                assert!(pidfd.as_raw_fd() >= 0);
                assert_eq!(exit_status(pid), Some(7));
            }
        }
    }

    #[test]
    fn execve_returns_why_it_failed() {
        let error = execve(None, c"/nonexistent", &[], &[]);
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn reset_signals_undoes_ignoring() {
        match fork().unwrap() {
            None => {
                reset_signals();
                // Rust ignores SIGPIPE; after the reset it kills.
                let pid = rustix::process::getpid();
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::PIPE);
                exit_now(0)
            }
            Some(pid) => assert_eq!(exit_status(pid), None),
        }
    }
}
