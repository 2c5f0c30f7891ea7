//! A long-lived process's own memory: what it holds while it has nothing to do.

use std::io;

/// Keeps the C library from making an arena for each thread: freed memory in one is of no use to the others.
/// Call it before there are threads. Nothing happens with another C library.
#[allow(unsafe_code)]
pub fn limit_arenas(most: i32) {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number in the allocator; a value that it does not like is refused.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, most);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = most;
}

/// Unmaps the pages of the executable's code that have been used so far: most served to start the process, or for a
/// rare request. They stay in the page cache, and what is needed again is mapped again by a fault of about a
/// microsecond for 16 pages.
#[allow(unsafe_code)]
pub fn release_code() -> io::Result<()> {
    let (start, end) = code()?.ok_or_else(|| io::Error::other("the executable's code is not found"))?;
    let start_of_code = std::ptr::with_exposed_provenance_mut::<libc::c_void>(start);
    // SAFETY: the range is one whole mapping that is private, of a file and not writable: its pages are the file's, and
    // come from there when they are touched again, also for a thread that runs in them now.
    match unsafe { libc::madvise(start_of_code, end - start, libc::MADV_DONTNEED) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Where the executable mapping lies that this function is in.
fn code() -> io::Result<Option<(usize, usize)>> {
    let here = code as fn() -> _ as *const () as usize;
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    Ok(maps.lines().filter(|line| line.split_ascii_whitespace().nth(1) == Some("r-xp")).find_map(|line| {
        let (start, end) = line.split_ascii_whitespace().next()?.split_once('-')?;
        let range = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
        (range.0..range.1).contains(&here).then_some(range)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_goes_and_comes_back() {
        let (start, end) = code().unwrap().unwrap();
        assert!(start < end && start % 4096 == 0 && end % 4096 == 0);
        release_code().unwrap();
        assert_eq!(code().unwrap(), Some((start, end)));
    }
}
