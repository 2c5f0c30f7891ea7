//! Network namespaces. `setns` is safe and in rustix; `unshare` is not, because of flags that we do not use here.

use std::io;

/// Moves the calling thread, and no other, into a new network namespace that holds nothing but `lo`, down.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`; `ENOSPC` past `user.max_net_namespaces`.
pub fn unshare_network() -> io::Result<()> {
    // SAFETY: CLONE_NEWNET unshares neither the descriptor table nor memory; open descriptors stay valid and keep
    // belonging to the namespace they were opened in.
    #[allow(unsafe_code)]
    let result = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) };
    Ok(result?)
}
