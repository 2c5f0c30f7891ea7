//! Namespaces: leaving, joining, comparing.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::thread::{ThreadNameSpaceType, UnshareFlags, move_into_thread_name_spaces};

/// Opens a namespace file such as `/proc/17/ns/net`.
pub fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// `setns(2)` with a namespace file; `kind` (`process::flags::NEW*`) must be its kind, 0 for any.
#[allow(unsafe_code)]
pub fn join(namespace: BorrowedFd<'_>, kind: u64) -> io::Result<()> {
    // SAFETY: takes a descriptor and a number.
    match unsafe { libc::setns(namespace.as_raw_fd(), kind as libc::c_int) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `setns(2)` with a pidfd: all namespaces of the process named in `kinds` (`process::flags::NEW*`) at once, or none.
pub fn join_process(pidfd: BorrowedFd<'_>, kinds: u64) -> io::Result<()> {
    Ok(move_into_thread_name_spaces(pidfd, ThreadNameSpaceType::from_bits_retain(kinds as u32))?)
}

/// `unshare(2)` into new namespaces (`process::flags::NEW*`).
#[allow(unsafe_code)]
pub fn unshare(kinds: u64) -> io::Result<()> {
    let flags = UnshareFlags::from_bits_retain(kinds as u32) - UnshareFlags::FILES;
    // SAFETY: the only hazard is CLONE_FILES, which is taken out.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// Whether two processes (`/proc/...` names: `self`, `17`) share the namespace called `name` (`user`, `time`, ...).
/// A kernel without that kind counts as shared.
pub fn same(one: &str, other: &str, name: &str) -> io::Result<bool> {
    let read = |who: &str| match std::fs::read_link(format!("/proc/{who}/ns/{name}")) {
        Ok(link) => Ok(Some(link)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && Path::new("/proc/self/ns").exists() => {
            Ok(None)
        }
        Err(error) => Err(error),
    };
    Ok(read(one)? == read(other)?)
}

/// Brings up `lo` in the caller's network namespace.
#[allow(unsafe_code)]
pub fn loopback_up() -> io::Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: `ifreq` is plain data for which all zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one `ifreq`, alive across the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
