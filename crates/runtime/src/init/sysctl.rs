//! Kernel parameters of the container's namespaces (config-linux.md, "Sysctl").

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use linux::fs::{PROC_SUPER_MAGIC, is_on, open_in_root};
use rustix::fs::{Mode, OFlags};

use crate::error::{Context, Error};

/// Writes all parameters: through the container's own procfs if it has one, else the host's (both lead to the namespaces
/// of the writer).
pub(super) fn set(root: BorrowedFd<'_>, parameters: &BTreeMap<String, String>) -> Result<(), Error> {
    if parameters.is_empty() {
        return Ok(());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let own = open_in_root(root, Path::new("/proc"), flags, Mode::empty())
        .ok()
        .filter(|proc| is_on(proc.as_fd(), PROC_SUPER_MAGIC).unwrap_or(false));
    let proc = match own {
        Some(proc) => proc,
        None => linux::fs::open_root(Path::new("/proc")).doing(|| "open /proc".into())?,
    };
    for (name, value) in parameters {
        let what = || format!("write sysctl key {name}");
        linux::fs::write_proc(proc.as_fd(), &path(name), value.as_bytes()).doing(what)?;
    }
    Ok(())
}

/// `net.ipv4.ip_forward` is `sys/net/ipv4/ip_forward`; with slashes, dots stay (`net/ipv4/conf/eth0.1/forwarding`).
fn path(name: &str) -> PathBuf {
    let slash = name.find('/').unwrap_or(usize::MAX);
    let dot = name.find('.').unwrap_or(usize::MAX);
    if slash < dot {
        Path::new("sys").join(name)
    } else {
        let swapped: String = name
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect();
        Path::new("sys").join(swapped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_dots_or_slashes_are_paths() {
        for (name, expect) in [
            ("net.ipv4.ip_forward", "sys/net/ipv4/ip_forward"),
            ("net.ipv4.conf.eth0/1.forwarding", "sys/net/ipv4/conf/eth0.1/forwarding"),
            ("net/ipv4/conf/eth0.1/forwarding", "sys/net/ipv4/conf/eth0.1/forwarding"),
        ] {
            assert_eq!(path(name), Path::new(expect), "{name}");
        }
    }
}
