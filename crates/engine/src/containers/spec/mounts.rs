//! What is mounted where.

use types::config::HostConfig;
use types::spec::IdMapping;
use types::{Error, Mount, Result};

use super::{INIT_TARGET, Input, ResolvedMount};
use crate::containers::mounts::clean;

/// A mount of the default specification.
fn standard(kind: &str, source: &str, destination: &str, options: &[&str]) -> Mount {
    Mount {
        kind: kind.to_owned(),
        source: source.to_owned(),
        destination: destination.to_owned(),
        options: options.iter().map(|o| (*o).to_owned()).collect(),
    }
}

fn standard_mounts(host: &HostConfig, ipc: Option<i32>) -> Vec<Mount> {
    let shm_size = format!("size={}", host.shm_size);
    let mut all = vec![
        standard("proc", "proc", "/proc", &["nosuid", "noexec", "nodev"]),
        standard("tmpfs", "tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        standard(
            "devpts",
            "devpts",
            "/dev/pts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        standard("sysfs", "sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
        standard("cgroup", "cgroup", "/sys/fs/cgroup", &["ro", "nosuid", "noexec", "nodev"]),
        standard("mqueue", "mqueue", "/dev/mqueue", &["nosuid", "noexec", "nodev"]),
    ];
    match (ipc, host.ipc_mode.as_str()) {
        (Some(pid), _) => {
            let of_process = format!("{}{pid}", runtime::PROCESS);
            let options = ["bind", "nosuid", "noexec", "nodev", "rprivate", &of_process];
            all.push(standard("bind", "/dev/shm", "/dev/shm", &options));
        }
        (_, "host") => all.push(standard("bind", "/dev/shm", "/dev/shm", &["rbind", "rprivate"])),
        (_, "none") => {}
        _ => {
            all.push(standard(
                "tmpfs",
                "shm",
                "/dev/shm",
                &["nosuid", "noexec", "nodev", "mode=1777", &shm_size],
            ));
        }
    }
    all
}

pub(super) fn all_mounts(input: &Input<'_>, init: bool, writable_cgroups: bool) -> Result<Vec<Mount>> {
    let host = &input.record.host_config;
    let mut user: Vec<Mount> =
        host.tmpfs.iter().map(|(target, options)| tmpfs(&clean(target), options)).collect::<Result<_>>()?;
    for mount in input.mounts {
        user.push(user_mount(mount)?);
    }
    for (source, target) in input.files.into_iter().zip(["/etc/resolv.conf", "/etc/hostname", "/etc/hosts"]) {
        if !source.is_empty() && !user.iter().any(|m| m.destination == target) {
            let mut options = vec!["rbind", "rprivate"];
            if host.readonly_rootfs {
                options.push("ro");
            }
            user.push(standard("bind", source, target, &options));
        }
    }
    if init {
        let source = input.settings.init_path.to_string_lossy();
        user.push(standard("bind", &source, INIT_TARGET, &["bind", "ro"]));
    }
    // A mount on /a comes before one on /a/b; the sort is stable.
    user.sort_by_key(|mount| mount.destination.matches('/').count());
    let taken = |target: &str| user.iter().any(|m| m.destination == target);
    let has_dev = taken("/dev");
    let mut all: Vec<Mount> = standard_mounts(host, input.joins.ipc)
        .into_iter()
        .filter(|m| !(taken(&m.destination) || (has_dev && m.destination.starts_with("/dev/"))))
        .collect();
    for mount in &mut all {
        if (host.privileged && mount.destination == "/sys") || (writable_cgroups && mount.kind == "cgroup") {
            mount.options.retain(|o| o != "ro");
        } else if host.readonly_rootfs
            && !matches!(
                mount.destination.as_str(),
                "/proc" | "/dev" | "/dev/pts" | "/dev/shm" | "/dev/mqueue"
            )
            && !mount.options.iter().any(|o| o == "ro")
        {
            mount.options.push("ro".to_owned());
        }
    }
    all.append(&mut user);
    Ok(all)
}

/// An option of ours, four numbers with colons between: the user that files belong to, the one they seem to belong to,
/// and the same of groups.
pub(crate) const OWNER: &str = "x-wharf.owner=";

/// The same mount in the words of `config.json`.
pub(super) fn in_spec(mount: Mount) -> types::spec::Mount {
    let (owners, options): (Vec<String>, Vec<String>) =
        mount.options.into_iter().partition(|option| option.starts_with(OWNER));
    let numbers = owners.iter().flat_map(|option| option[OWNER.len()..].split(':'));
    let numbers: Vec<u32> = numbers.filter_map(|number| number.parse().ok()).collect();
    let map = |container_id, host_id| vec![IdMapping { container_id, host_id, size: 1 }];
    let (uid_mappings, gid_mappings) = match numbers[..] {
        [owner, user, group, own_group] => (map(owner, user), map(group, own_group)),
        _ => (Vec::new(), Vec::new()),
    };
    types::spec::Mount {
        destination: mount.destination,
        kind: mount.kind,
        source: mount.source,
        options,
        uid_mappings,
        gid_mappings,
    }
}

/// `--tmpfs`: Docker's defaults, overridden by the user's words. That a wrong one is a 500 is Docker's.
fn tmpfs(target: &str, options: &str) -> Result<Mount> {
    let own = options.split(',').filter(|_| !options.is_empty());
    let mut words: Vec<&str> = Vec::new();
    let mut subjects: Vec<&str> = Vec::new();
    // From the end: of two words about one thing the last one counts.
    for word in TMPFS_DEFAULTS.into_iter().chain(own).rev().filter(|word| *word != "defaults") {
        let key = word.split('=').next().unwrap_or(word);
        let subject =
            tmpfs_subject(word).ok_or_else(|| Error::internal(format!("invalid tmpfs option {key:?}")))?;
        if !subjects.contains(&subject) {
            subjects.push(subject);
            words.push(word);
        }
    }
    Ok(Mount {
        kind: "tmpfs".to_owned(),
        source: "tmpfs".to_owned(),
        destination: target.to_owned(),
        options: words.into_iter().rev().map(str::to_owned).collect(),
    })
}

const TMPFS_DEFAULTS: [&str; 4] = ["noexec", "nosuid", "nodev", "rprivate"];

/// What a word of a tmpfs is about; `None` for one that has no meaning there (moby `mount.MergeTmpfsOptions`).
fn tmpfs_subject(word: &str) -> Option<&str> {
    if let Some((key, _)) = word.split_once('=') {
        let known = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];
        return known.contains(&key).then_some(key);
    }
    match word {
        "ro" | "rw" => Some("ro"),
        "bind" | "rbind" => Some("bind"),
        "sync" | "async" => Some("sync"),
        "dirsync" | "remount" => Some(word),
        "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" | "unbindable" | "runbindable" => {
            Some("propagation")
        }
        _ => {
            let bare = word.strip_prefix("no").unwrap_or(word);
            let known = ["suid", "dev", "exec", "mand", "atime", "diratime", "relatime", "strictatime"];
            known.contains(&bare).then_some(bare)
        }
    }
}

/// One of the user's mounts in the words of `config.json`.
pub(crate) fn mount_of(resolved: &ResolvedMount) -> Result<types::spec::Mount> {
    Ok(in_spec(user_mount(resolved)?))
}

/// A file of ours on one of the container.
pub(crate) fn bind_file(source: &str, target: &str) -> types::spec::Mount {
    in_spec(standard("bind", source, target, &["rbind", "rprivate"]))
}

fn user_mount(resolved: &ResolvedMount) -> Result<Mount> {
    if resolved.mount.kind == "tmpfs" && resolved.mount.source == "tmpfs" {
        return tmpfs(&resolved.mount.destination, &resolved.mount.options.join(","));
    }
    let mut mount = resolved.mount.clone();
    if !resolved.rw {
        // Docker makes the mounts below read-only too where the kernel can (5.12, our floor).
        mount.options.push(if resolved.read_only_non_recursive { "ro" } else { "rro" }.to_owned());
    }
    if !resolved.propagation.is_empty() {
        mount.options.push(resolved.propagation.clone());
    }
    Ok(mount)
}

/// Shared and slave mounts need a root that is not private.
pub(super) fn propagation_of_root(mounts: &[ResolvedMount]) -> String {
    let wants = |words: [&str; 2]| mounts.iter().any(|m| words.contains(&m.propagation.as_str()));
    if wants(["shared", "rshared"]) {
        "shared".to_owned()
    } else if wants(["slave", "rslave"]) {
        "rslave".to_owned()
    } else {
        String::new()
    }
}
