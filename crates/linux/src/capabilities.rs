//! Capabilities by name, and the five sets of a thread.

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets};

/// Names without `CAP_`, by number (linux/capability.h).
pub const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// `CAP_SYS_ADMIN` as a bit.
pub const SYS_ADMIN: u64 = 1 << 21;

/// The number of a capability, by its name with or without `CAP_`, in capitals.
pub fn number(name: &str) -> Option<u32> {
    let name = name.strip_prefix("CAP_").unwrap_or(name);
    NAMES.iter().position(|known| *known == name).map(|index| index as u32)
}

/// The caller's permitted set.
pub fn own_permitted() -> io::Result<u64> {
    Ok(rustix::thread::capabilities(None)?.permitted.bits())
}

/// Takes everything out of the bounding set that is not in `keep`.
pub fn limit_bounding(keep: u64) -> io::Result<()> {
    for bit in (0..64).filter(|bit| keep & (1 << bit) == 0) {
        match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit)) {
            Ok(()) => {}
            // Beyond the last capability of this kernel.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Sets the effective, permitted and inheritable sets.
pub fn set(effective: u64, permitted: u64, inheritable: u64) -> io::Result<()> {
    Ok(rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: CapabilitySet::from_bits_retain(effective),
            permitted: CapabilitySet::from_bits_retain(permitted),
            inheritable: CapabilitySet::from_bits_retain(inheritable),
        },
    )?)
}

/// Makes the ambient set exactly this one; what is in it must be permitted and inheritable.
pub fn set_ambient(ambient: u64) -> io::Result<()> {
    rustix::thread::clear_ambient_capability_set()?;
    for bit in (0..64).filter(|bit| ambient & (1 << bit) != 0) {
        rustix::thread::configure_capability_in_ambient_set(CapabilitySet::from_bits_retain(1 << bit), true)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_numbers_of_the_kernel() {
        for (name, expect) in [
            ("CAP_CHOWN", Some(0)),
            ("CAP_SYS_ADMIN", Some(21)),
            ("SYSLOG", Some(34)),
            ("CAP_CHECKPOINT_RESTORE", Some(40)),
            ("CAP_DANCE", None),
            ("cap_chown", None),
        ] {
            assert_eq!(number(name), expect, "{name}");
        }
    }
}
