//! Work done in a child process, beside a single-threaded program: it costs the program neither time nor memory.

use std::io;
use std::os::fd::OwnedFd;

use crate::process;

/// Forks a child that runs `work` with no descriptor but 0, 1 and 2 and ends with its result as exit code. `work`
/// opens what it needs. Returns the child's pid; the caller waits for it. Fails if this process has more than one
/// thread: the copies of locks that other threads hold would stay locked in the child for ever.
pub fn run(work: impl FnOnce() -> i32) -> io::Result<i32> {
    fork_for(None, work)
}

/// The same with `input` as descriptor 0.
pub fn run_reading(input: OwnedFd, work: impl FnOnce() -> i32) -> io::Result<i32> {
    fork_for(Some(input), work)
}

fn fork_for(input: Option<OwnedFd>, work: impl FnOnce() -> i32) -> io::Result<i32> {
    let threads = threads()?;
    if threads != 1 {
        return Err(io::Error::other(format!("cannot fork: {threads} threads")));
    }
    match process::fork()? {
        Some(pid) => Ok(pid),
        None => {
            let is_read = input.is_none_or(|input| rustix::stdio::dup2_stdin(&input).is_ok());
            close_all();
            process::exit_now(if is_read { work() } else { 1 })
        }
    }
}

#[allow(unsafe_code)]
fn close_all() {
    // SAFETY: the descriptors have owners in this copy of memory, but none of them is used or dropped any more: `work`
    // uses no descriptor of the parent by contract, and `exit_now` runs no destructor.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
}

/// Closes every descriptor but 0, 1 and 2 that this program was started with: whoever waits for the other end of a
/// pipe shall not wait for a process that lives long and knows nothing of it. Only first thing in `main`: nothing may have
/// been opened yet. Fails if there are threads.
#[allow(unsafe_code)]
pub fn close_inherited() -> io::Result<()> {
    if threads()? != 1 {
        return Err(io::Error::other("cannot close descriptors that other threads may use"));
    }
    // SAFETY: by contract nothing in this program owns a descriptor yet beyond the standard ones.
    match unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Number of this process's threads.
pub fn threads() -> io::Result<u64> {
    // The directory has one subdirectory per thread, each of which is a link to it, besides its own two.
    let stat = rustix::fs::stat("/proc/self/task")?;
    Ok(stat.st_nlink.saturating_sub(2))
}

/// Gives memory that is free back to the kernel: of the heap, and of the stack below this call, which a deep call
/// before this one has left behind. For a process that has done its work and will now mostly wait.
#[allow(unsafe_code)]
pub fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: may be called at any time; touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
    trim_stack();
}

/// Distance from this function's frame that is left alone: the calls made below.
const STACK_MARGIN: usize = 32 * 1024;

#[allow(unsafe_code)]
fn trim_stack() {
    const PAGE: usize = 4096;
    let here = 0_u8;
    let here = (&raw const here).addr();
    let Some((start, end)) = main_stack() else { return };
    let stop = here.saturating_sub(STACK_MARGIN) / PAGE * PAGE;
    // Another thread's stack is elsewhere.
    if (start..end).contains(&here) && stop > start {
        let below = std::ptr::with_exposed_provenance_mut::<libc::c_void>(start);
        // SAFETY: the range is part of this stack's mapping, page-aligned, and ends below every live frame and the red
        // zone: nothing there is ever read before it is written. The kernel gives zeroed pages when it is used again.
        unsafe { libc::madvise(below, stop - start, libc::MADV_DONTNEED) };
    }
}

/// Where the first thread's stack lies.
fn main_stack() -> Option<(usize, usize)> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("[stack]"))?;
    let (start, end) = line.split_ascii_whitespace().next()?.split_once('-')?;
    Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_of_the_first_thread_is_found() {
        let (start, end) = main_stack().unwrap();
        assert!(start < end && start % 4096 == 0 && end % 4096 == 0);
        // Here, on another thread's stack, there is nothing to do.
        trim_memory();
    }

    #[test]
    fn refuses_to_fork_beside_other_threads() {
        // The test harness has at least two.
        assert!(threads().unwrap() >= 2);
        assert!(run(|| 0).is_err());
    }
}
