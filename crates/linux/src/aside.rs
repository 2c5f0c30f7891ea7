//! Work done in a child process, beside a single-threaded program: it costs the program neither time nor memory.

use std::io;

use crate::process;

/// Forks a child that runs `work` with no descriptor but 0, 1 and 2 and ends with its result as exit code. `work`
/// opens what it needs. Returns the child's pid; the caller waits for it. Fails if this process has more than one
/// thread: the copies of locks that other threads hold would stay locked in the child for ever.
pub fn run(work: impl FnOnce() -> i32) -> io::Result<i32> {
    let threads = threads()?;
    if threads != 1 {
        return Err(io::Error::other(format!("cannot fork: {threads} threads")));
    }
    match process::fork()? {
        Some(pid) => Ok(pid),
        None => {
            close_all();
            process::exit_now(work())
        }
    }
}

#[allow(unsafe_code)]
fn close_all() {
    // SAFETY: the descriptors have owners in this copy of memory, but none of them is used or dropped any more: `work`
    // uses no descriptor of the parent by contract, and `exit_now` runs no destructor.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
}

/// Number of this process's threads.
pub fn threads() -> io::Result<u64> {
    // The directory has one subdirectory per thread, each of which is a link to it, besides its own two.
    let stat = rustix::fs::stat("/proc/self/task")?;
    Ok(stat.st_nlink.saturating_sub(2))
}

/// Gives memory that is free back to the kernel.
#[allow(unsafe_code)]
pub fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: may be called at any time; touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_to_fork_beside_other_threads() {
        // The test harness has at least two.
        assert!(threads().unwrap() >= 2);
        assert!(run(|| 0).is_err());
    }
}
