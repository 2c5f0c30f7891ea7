//! Which capabilities a container gets (moby `oci/caps`).

use types::{Error, Result};

/// Every capability, in the kernel's order (capability.h).
pub(crate) const ALL: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// What a container has by default.
const DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

const EVERY: &str = "ALL";

/// Upper case, with `CAP_`; `ALL` stays. Fails on a name the kernel does not have.
pub(crate) fn normalize(names: &[String]) -> Result<Vec<String>> {
    names
        .iter()
        .map(|name| {
            let upper = name.to_ascii_uppercase();
            if upper == EVERY {
                return Ok(upper);
            }
            let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
            if ALL.contains(&full.as_str()) {
                Ok(full)
            } else {
                Err(Error::invalid(format!("unknown capability: {full:?}")))
            }
        })
        .collect()
}

/// The capabilities of a container, from Docker's default set, `CapAdd` and `CapDrop`. `highest` is the kernel's last
/// capability: those above it are left out of "all".
pub(crate) fn of_container(
    add: &[String],
    drop: &[String],
    privileged: bool,
    highest: usize,
) -> Result<Vec<String>> {
    let all = || ALL.iter().take(highest + 1).map(|c| (*c).to_owned());
    if privileged {
        return Ok(all().collect());
    }
    let (add, drop) = (normalize(add)?, normalize(drop)?);
    let has = |list: &[String], name: &str| list.iter().any(|c| c == name);
    if has(&add, EVERY) {
        return Ok(all().filter(|c| !has(&drop, c)).collect());
    }
    let mut caps: Vec<String> = if has(&drop, EVERY) {
        Vec::new()
    } else {
        DEFAULT.iter().map(|c| (*c).to_owned()).filter(|c| !has(&drop, c)).collect()
    };
    for cap in add {
        if !caps.contains(&cap) {
            caps.push(cap);
        }
    }
    Ok(caps)
}

/// The kernel's last capability.
pub(crate) fn highest() -> usize {
    let read = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").ok();
    read.and_then(|text| text.trim().parse().ok()).unwrap_or(ALL.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn added_and_dropped_capabilities_combine_as_dockers() {
        for (add, drop, privileged, want) in [
            (vec![], vec![], false, 14),
            (vec!["net_admin"], vec![], false, 15),
            (vec!["CAP_CHOWN"], vec![], false, 14),
            (vec![], vec!["chown", "KILL"], false, 12),
            (vec!["NET_BIND_SERVICE"], vec!["ALL"], false, 1),
            (vec!["ALL"], vec!["SYS_ADMIN"], false, 40),
            (vec![], vec![], true, 41),
        ] {
            assert_eq!(
                of_container(&list(&add), &list(&drop), privileged, 40).unwrap().len(),
                want,
                "{add:?} {drop:?}"
            );
        }
        let error = of_container(&list(&["nosuch"]), &[], false, 40).unwrap_err();
        assert_eq!(error.message, r#"unknown capability: "CAP_NOSUCH""#);
    }
}
