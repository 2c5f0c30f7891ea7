//! Resource limits, the badness for the out-of-memory killer, id maps.
//!
//! A limit that is higher than ours needs a privilege that the new process may not have (in its user namespace): its creator
//! lifts the hard limit from outside. The limit itself is set by the new process, last of all: making a container takes
//! more descriptors and memory than the process in it may be allowed.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use types::spec::{IdMapping, Linux, Process};

use crate::error::{Context, Error};

/// One limit, understood.
struct Limit<'a> {
    name: &'a str,
    resource: Resource,
    wanted: Rlimit,
}

fn parse(process: &Process) -> impl Iterator<Item = Result<Limit<'_>, Error>> {
    process.rlimits.iter().map(|limit| {
        let resource = resource(&limit.kind)
            .ok_or_else(|| Error::Invalid(format!("invalid rlimit type: {}", limit.kind)))?;
        if limit.soft > limit.hard {
            return Err(Error::Invalid(format!("{}: soft limit is above the hard limit", limit.kind)));
        }
        let finite = |value: u64| (value != u64::MAX).then_some(value);
        let wanted = Rlimit { current: finite(limit.soft), maximum: finite(limit.hard) };
        Ok(Limit { name: &limit.kind, resource, wanted })
    })
}

impl Limit<'_> {
    /// Whether a process that inherits our limits may not set this one by itself.
    fn is_above_ours(&self) -> bool {
        let unlimited = |value: Option<u64>| value.unwrap_or(u64::MAX);
        unlimited(self.wanted.maximum) > unlimited(getrlimit(self.resource).maximum)
    }
}

/// Checks every limit.
pub(crate) fn validate(process: &Process) -> Result<(), Error> {
    parse(process).try_for_each(|limit| limit.map(drop))
}

/// Whether there is anything for [`prepare`] to do.
pub(crate) fn need_creator(process: &Process) -> bool {
    process.oom_score_adj.is_some() || parse(process).flatten().any(|limit| limit.is_above_ours())
}

/// What only the creator can do for process `pid`: lift hard limits above ours, and `oom_score_adj`.
pub(crate) fn prepare(pid: i32, process: &Process) -> Result<(), Error> {
    for limit in parse(process) {
        let limit = limit?;
        if limit.is_above_ours() {
            let lifted = Rlimit { maximum: limit.wanted.maximum, ..getrlimit(limit.resource) };
            prlimit(Pid::from_raw(pid), limit.resource, lifted)
                .doing(|| format!("error setting rlimit {}", limit.name))?;
        }
    }
    if let Some(score) = process.oom_score_adj {
        std::fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string())
            .doing(|| format!("set oom_score_adj {score}"))?;
    }
    Ok(())
}

/// Sets the caller's own limits.
pub(crate) fn set(process: &Process) -> Result<(), Error> {
    for limit in parse(process) {
        let limit = limit?;
        setrlimit(limit.resource, limit.wanted).doing(|| format!("error setting rlimit {}", limit.name))?;
    }
    Ok(())
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

/// Maps the ids of a new user namespace: directly, or by the set-user-id helpers (newuidmap(1), newgidmap(1)) where an ordinary
/// user may not do it, which is all but the own id.
pub(crate) fn map_ids(pid: i32, linux: &Linux) -> Result<(), Error> {
    let own_group = rustix::process::getegid().as_raw();
    if !rustix::process::geteuid().is_root() && is_only(&linux.gid_mappings, own_group) {
        // The kernel's condition for a map written by an ordinary user. The helper has no need of it, and sees that nobody
        // gains by dropping a group.
        std::fs::write(format!("/proc/{pid}/setgroups"), "deny").doing(|| "deny setgroups".into())?;
    }
    write_maps(pid, &linux.uid_mappings, &linux.gid_mappings)
}

/// Whether just this id is mapped.
fn is_only(list: &[IdMapping], id: u32) -> bool {
    matches!(list, [IdMapping { host_id, size: 1, .. }] if *host_id == id)
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
    let output = std::process::Command::new(helper)
        .arg(pid.to_string())
        .args(numbers.map(|number| number.to_string()))
        .output()
        .doing(|| format!("map ids of another user by {helper}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::Failed(format!("{helper}: {}: {}", output.status, said.trim_end())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_checked_before_anything_is_made() {
        let check = |json: &str| {
            let process: Process = serde_json::from_str(json).unwrap();
            validate(&process).map_err(|error| error.to_string())
        };
        assert_eq!(check(r#"{"rlimits":[{"type":"RLIMIT_NOFILE","soft":1,"hard":2}]}"#), Ok(()));
        assert_eq!(
            check(r#"{"rlimits":[{"type":"NOFILE","soft":1,"hard":2}]}"#).unwrap_err(),
            "invalid rlimit type: NOFILE"
        );
        assert!(check(r#"{"rlimits":[{"type":"RLIMIT_NOFILE","soft":3,"hard":2}]}"#).is_err());
    }

    #[test]
    fn a_map_of_the_own_id_alone_needs_no_helper() {
        let map = |host_id, size| IdMapping { container_id: 0, host_id, size };
        assert!(is_only(&[map(1000, 1)], 1000));
        assert!(!is_only(&[map(1000, 2)], 1000) && !is_only(&[map(1000, 1), map(100_000, 65_536)], 1000));
    }
}
