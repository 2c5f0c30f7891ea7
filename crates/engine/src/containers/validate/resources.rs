//! Checks of limits, which `create` and `update` share.

use types::Result;
use types::config::Resources;

use super::{Host, bad};

/// 6 MiB: less, and a container cannot start.
const MEMORY_MIN: i64 = 6 << 20;

/// `verifyPlatformContainerResources`: limits. Adjusts what the host cannot do and warns.
pub(crate) fn resources(want: &mut Resources, host: &Host, update: bool) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    memory(want, host, update, &mut warnings)?;
    cpu(want, host)?;
    if want.blkio_weight > 0 && !host.blkio_weight {
        warnings.push(
            "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded."
                .to_owned(),
        );
        want.blkio_weight = 0;
    }
    if want.blkio_weight > 0 && !(10..=1000).contains(&want.blkio_weight) {
        return bad("Range of blkio weight is from 10 to 1000");
    }
    if want.blkio_weight_device.as_ref().is_some_and(|list| !list.is_empty()) && !host.blkio_weight_device {
        warnings.push(
            "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded."
                .to_owned(),
        );
        want.blkio_weight_device = Some(Vec::new());
    }
    if !update {
        for (wrong, what) in [
            (want.io_maximum_bandwidth != 0, "QoS maximum bandwidth"),
            (want.io_maximum_iops != 0, "QoS maximum IOPs"),
        ] {
            if wrong {
                return bad(format!("invalid option: {what} configuration is not supported on linux"));
            }
        }
        if want.cpu_percent != 0 {
            warnings.push("linux does not support CPU percent. Percent discarded.".to_owned());
            want.cpu_percent = 0;
        }
    }
    if want.pids_limit.is_some_and(|limit| limit <= 0) && !update {
        want.pids_limit = None;
    }
    Ok(warnings)
}

fn memory(want: &mut Resources, host: &Host, update: bool, warnings: &mut Vec<String>) -> Result<()> {
    if want.memory != 0 && want.memory < MEMORY_MIN {
        return bad("Minimum memory limit allowed is 6MB");
    }
    if want.memory > 0 && want.memory_swap != -1 && !host.swap {
        warnings.push(
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap."
                .to_owned(),
        );
        want.memory_swap = -1;
    }
    if want.memory > 0 && want.memory_swap > 0 && want.memory_swap < want.memory {
        return bad("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if want.memory == 0 && want.memory_swap > 0 && !update {
        return bad("You should always set the Memory limit when using Memoryswap limit, see usage");
    }
    if let Some(swappiness) = want.memory_swappiness {
        if !(-1..=100).contains(&swappiness) {
            return bad(format!("Invalid value: {swappiness}, valid memory swappiness range is 0-100"));
        }
        if host.is_v2 && swappiness != -1 {
            warnings.push(
                "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded."
                    .to_owned(),
            );
        }
        if host.is_v2 || swappiness == -1 {
            want.memory_swappiness = None;
        }
    }
    if want.memory_reservation > 0 && want.memory_reservation < MEMORY_MIN {
        return bad("Minimum memory reservation allowed is 6MB");
    }
    if want.memory > 0 && want.memory_reservation > 0 && want.memory < want.memory_reservation {
        return bad("Minimum memory limit can not be less than memory reservation limit, see usage");
    }
    // The kernel has no such limit any more: passed over, as by Docker.
    want.kernel_memory = 0;
    if host.is_v2 {
        if want.oom_kill_disable == Some(true) {
            warnings
                .push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".to_owned());
        }
        want.oom_kill_disable = None;
    }
    if want.oom_kill_disable == Some(true) && want.memory == 0 {
        warnings.push(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources."
                .to_owned(),
        );
    }
    Ok(())
}

fn cpu(want: &Resources, host: &Host) -> Result<()> {
    if want.nano_cpus > 0 && want.cpu_period > 0 {
        return bad("Conflicting options: Nano CPUs and CPU Period cannot both be set");
    }
    if want.nano_cpus > 0 && want.cpu_quota > 0 {
        return bad("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
    }
    let limit = i64::try_from(host.cpus).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
    if want.nano_cpus < 0 || want.nano_cpus > limit {
        return bad(format!(
            "range of CPUs is from 0.01 to {}.00, as there are only {} CPUs available",
            host.cpus, host.cpus
        ));
    }
    if want.cpu_shares < 0 {
        return bad(format!("invalid CPU shares ({}): value must be a positive integer", want.cpu_shares));
    }
    if want.cpu_period != 0 && !(1000..=1_000_000).contains(&want.cpu_period) {
        return bad("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
    }
    if want.cpu_quota > 0 && want.cpu_quota < 1000 {
        return bad("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    if (want.cpu_realtime_period != 0 || want.cpu_realtime_runtime != 0) && !host.cpu_realtime {
        return bad("Your kernel does not support CPU real-time scheduler");
    }
    for (text, there, what, things) in [
        (&want.cpuset_cpus, &host.cpu_set, "cpus", "CPUs"),
        (&want.cpuset_mems, &host.mem_set, "mems", "memory nodes"),
    ] {
        let Some(list) = parse_set(text) else {
            return bad(format!("Invalid value {text} for cpuset {what}: invalid format: {text}"));
        };
        if list.iter().any(|n| !there.contains(n)) {
            return bad(format!(
                "Requested {things} are not available - requested {text}, available: {}",
                ranges(there)
            ));
        }
    }
    Ok(())
}

/// `0-2,4`, the kernel's way to write a set.
fn ranges(numbers: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let text = |&(first, last): &(u32, u32)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    runs.iter().map(text).collect::<Vec<_>>().join(",")
}

/// `0-2,4`; empty is none.
pub(crate) fn parse_set(text: &str) -> Option<Vec<u32>> {
    const LARGEST: u32 = 8192;
    let mut numbers = Vec::new();
    if text.is_empty() {
        return Some(numbers);
    }
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last > LARGEST {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}
