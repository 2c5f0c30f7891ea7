//! Random bytes from the kernel.

use types::{Error, Result};

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut buffer = [0u8; N];
    let mut filled = 0;
    while filled < N {
        filled += rustix::rand::getrandom(&mut buffer[filled..], rustix::rand::GetRandomFlags::empty())
            .map_err(|e| Error::internal(format!("getrandom: {e}")))?;
    }
    Ok(buffer)
}
