//! What the creator sets on the new process from outside, where the privilege for it is: resource limits, the badness for
//! the out-of-memory killer, id maps.

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use types::spec::{IdMapping, Linux, Process};

use crate::error::{Context, Error};

/// Resource limits and `oom_score_adj`.
pub(crate) fn set(pid: i32, process: &Process) -> Result<(), Error> {
    let raw = Pid::from_raw(pid);
    for limit in &process.rlimits {
        let resource = resource(&limit.kind)
            .ok_or_else(|| Error::Invalid(format!("invalid rlimit type: {}", limit.kind)))?;
        if limit.soft > limit.hard {
            return Err(Error::Invalid(format!("{}: soft limit is above the hard limit", limit.kind)));
        }
        let finite = |value: u64| (value != u64::MAX).then_some(value);
        let wanted = Rlimit { current: finite(limit.soft), maximum: finite(limit.hard) };
        prlimit(raw, resource, wanted).doing(|| format!("error setting rlimit {}", limit.kind))?;
    }
    if let Some(score) = process.oom_score_adj {
        std::fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string())
            .doing(|| format!("set oom_score_adj {score}"))?;
    }
    Ok(())
}

/// Whether there is anything for [`set`] to do.
pub(crate) fn any(process: &Process) -> bool {
    !process.rlimits.is_empty() || process.oom_score_adj.is_some()
}

fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "RLIMIT_AS" => Resource::As,
        "RLIMIT_CORE" => Resource::Core,
        "RLIMIT_CPU" => Resource::Cpu,
        "RLIMIT_DATA" => Resource::Data,
        "RLIMIT_FSIZE" => Resource::Fsize,
        "RLIMIT_LOCKS" => Resource::Locks,
        "RLIMIT_MEMLOCK" => Resource::Memlock,
        "RLIMIT_MSGQUEUE" => Resource::Msgqueue,
        "RLIMIT_NICE" => Resource::Nice,
        "RLIMIT_NOFILE" => Resource::Nofile,
        "RLIMIT_NPROC" => Resource::Nproc,
        "RLIMIT_RSS" => Resource::Rss,
        "RLIMIT_RTPRIO" => Resource::Rtprio,
        "RLIMIT_RTTIME" => Resource::Rttime,
        "RLIMIT_SIGPENDING" => Resource::Sigpending,
        "RLIMIT_STACK" => Resource::Stack,
        _ => return None,
    })
}

/// Maps the ids of a new user namespace: directly, or by the set-user-id helpers when the kernel forbids that to an
/// unprivileged caller.
pub(crate) fn map_ids(pid: i32, linux: &Linux) -> Result<(), Error> {
    let privileged = rustix::process::geteuid().is_root();
    if !privileged {
        // Required before an unprivileged gid map; forbids setgroups inside.
        std::fs::write(format!("/proc/{pid}/setgroups"), "deny").doing(|| "deny setgroups".into())?;
    }
    write_maps(pid, &linux.uid_mappings, &linux.gid_mappings)
}

/// Writes both maps of a new user namespace.
pub(crate) fn write_maps(pid: i32, uids: &[IdMapping], gids: &[IdMapping]) -> Result<(), Error> {
    write_map(pid, "uid_map", "newuidmap", uids)?;
    write_map(pid, "gid_map", "newgidmap", gids)
}

fn write_map(pid: i32, file: &str, helper: &str, list: &[IdMapping]) -> Result<(), Error> {
    // One write: the kernel takes no second.
    let line = |map: &IdMapping| format!("{} {} {}\n", map.container_id, map.host_id, map.size);
    let text: String = list.iter().map(line).collect();
    match std::fs::write(format!("/proc/{pid}/{file}"), text) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {}
        other => return other.doing(|| format!("write {file}")),
    }
    let numbers = list.iter().flat_map(|map| [map.container_id, map.host_id, map.size]);
    let status = std::process::Command::new(helper)
        .arg(pid.to_string())
        .args(numbers.map(|number| number.to_string()))
        .status()
        .doing(|| format!("run {helper}"))?;
    if status.success() { Ok(()) } else { Err(Error::Failed(format!("{helper}: {status}"))) }
}
