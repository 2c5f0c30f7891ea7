//! Cgroup v1: a directory in each hierarchy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use types::spec::{BlockIo, Cpu, Memory, Resources, ThrottleDevice};

use super::file::{errno, error, read, read_number, write, write_if_present};
use super::{Error, Moment, Result, WAIT_MAX, devices};

/// Makes `directory` of the hierarchy `name`, and what is missing above it. Whether it was there already.
pub(super) fn create(name: &str, directory: &Path) -> Result<bool> {
    let existed = match std::fs::create_dir(directory) {
        Ok(()) => false,
        Err(source) if source.kind() == std::io::ErrorKind::AlreadyExists => true,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
            let parent =
                directory.parent().ok_or_else(|| Error::InvalidPath(directory.display().to_string()))?;
            create(name, parent)?;
            return create(name, directory);
        }
        Err(source) => return Err(error("create", directory, source)),
    };
    if name.split(',').any(|controller| controller == "cpuset") {
        inherit_cpuset(directory)?;
    }
    Ok(existed)
}

/// A new cpuset has no processors and no memory, and nothing can join it so: it gets its parent's.
fn inherit_cpuset(directory: &Path) -> Result<()> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let Ok(own) = read(directory, name) else { return Ok(()) };
        if own.trim().is_empty() {
            let parent =
                directory.parent().ok_or_else(|| Error::InvalidPath(directory.display().to_string()))?;
            let mut value = read(parent, name)?;
            if value.trim().is_empty() {
                // Made by somebody who did not need it. The uppermost has all there is.
                inherit_cpuset(parent)?;
                value = read(parent, name)?;
            }
            write(directory, name, value.trim())?;
        }
    }
    Ok(())
}

/// The directory of the hierarchy that holds `controller`.
fn directory_of<'a>(directories: &'a BTreeMap<String, PathBuf>, controller: &str) -> Option<&'a PathBuf> {
    let holds = |names: &str| names.split(',').any(|name| name == controller);
    directories.iter().find(|(names, _)| holds(names)).map(|(_, directory)| directory)
}

fn required<'a>(directories: &'a BTreeMap<String, PathBuf>, controller: &str) -> Result<&'a PathBuf> {
    directory_of(directories, controller)
        .ok_or_else(|| Error::Unsupported(format!("the {controller} controller is not mounted")))
}

pub(super) fn set(
    directories: &BTreeMap<String, PathBuf>,
    resources: &Resources,
    moment: Moment,
) -> Result<()> {
    if !resources.unified.is_empty() {
        return Err(Error::Unsupported(
            "invalid configuration: unified resources are not supported on cgroup v1".to_owned(),
        ));
    }
    if !resources.devices.is_empty() {
        devices::set_v1(required(directories, "devices")?, &resources.devices, moment)?;
    }
    if let Some(memory) = &resources.memory {
        set_memory(directories, memory, moment)?;
    }
    if let Some(cpu) = &resources.cpu {
        set_cpu(directories, cpu)?;
    }
    if let Some(limit) = super::convert::pids_limit(resources) {
        let value = super::convert::number_or_max(limit);
        write(required(directories, "pids")?, "pids.max", &value)?;
    }
    if let Some(block_io) = &resources.block_io {
        set_block_io(directories, block_io)?;
    }
    for page in &resources.hugepage_limits {
        let directory = required(directories, "hugetlb")?;
        let limit = page.limit.to_string();
        write(directory, &format!("hugetlb.{}.limit_in_bytes", page.page_size), &limit)?;
        write_if_present(directory, &format!("hugetlb.{}.rsvd.limit_in_bytes", page.page_size), &limit)?;
    }
    if let Some(network) = &resources.network {
        if let Some(class) = network.class_id {
            write(required(directories, "net_cls")?, "net_cls.classid", &class.to_string())?;
        }
        for priority in &network.priorities {
            let value = format!("{} {}", priority.name, priority.priority);
            write(required(directories, "net_prio")?, "net_prio.ifpriomap", &value)?;
        }
    }
    for (device, limits) in &resources.rdma {
        write(required(directories, "rdma")?, "rdma.max", &super::v2::rdma_line(device, limits))?;
    }
    Ok(())
}

fn set_memory(directories: &BTreeMap<String, PathBuf>, memory: &Memory, moment: Moment) -> Result<()> {
    if *memory == Memory::default() {
        return Ok(());
    }
    let directory = required(directories, "memory")?;
    if let (Moment::Update, Some(true), Some(limit)) = (moment, memory.check_before_update, memory.limit) {
        let usage = read_number(directory, "memory.usage_in_bytes").unwrap_or(0);
        if limit > 0 && usage > limit as u64 {
            return Err(Error::Invalid(format!("rejecting memory limit {limit} < usage {usage}")));
        }
    }
    set_memory_and_swap(directory, memory)?;
    if let Some(soft) = memory.reservation {
        write(directory, "memory.soft_limit_in_bytes", &soft.to_string())?;
    }
    if let Some(tcp) = memory.kernel_tcp {
        write(directory, "memory.kmem.tcp.limit_in_bytes", &tcp.to_string())?;
    }
    match memory.swappiness {
        Some(percent) if percent <= 100 => write(directory, "memory.swappiness", &percent.to_string())?,
        Some(percent) => {
            let text = format!("invalid memory swappiness value: {percent} (valid range is 0-100)");
            return Err(Error::Invalid(text));
        }
        None => {}
    }
    if let Some(disable) = memory.disable_oom_killer {
        // Writing 0 to a fresh cgroup says nothing new.
        if disable || moment == Moment::Update {
            write(directory, "memory.oom_control", if disable { "1" } else { "0" })?;
        }
    }
    Ok(())
}

/// The kernel refuses a memory limit above the limit of memory and swap, so the order of the two writes depends on
/// which way they move.
fn set_memory_and_swap(directory: &Path, memory: &Memory) -> Result<()> {
    const MEMORY: &str = "memory.limit_in_bytes";
    const BOTH: &str = "memory.memsw.limit_in_bytes";
    let limit = memory.limit.filter(|limit| *limit != 0);
    // Lifting the memory limit alone lifts the other with it.
    let both = memory.swap.filter(|swap| *swap != 0).or(limit.filter(|limit| *limit == -1));
    let set_both = |both: i64| write_if_present(directory, BOTH, &both.to_string()).map(drop);
    let set_limit = |limit: i64| {
        write(directory, MEMORY, &limit.to_string()).map_err(|error| match errno(&error) {
            Some(libc::EBUSY) => {
                let usage = read_number(directory, "memory.usage_in_bytes").unwrap_or(0);
                let peak = read_number(directory, "memory.max_usage_in_bytes").unwrap_or(0);
                Error::Invalid(format!(
                    "unable to set memory limit to {limit} (current usage: {usage}, peak usage: {peak})"
                ))
            }
            _ => error,
        })
    };
    match (limit, both) {
        (Some(limit), Some(both)) => {
            let now = read_number(directory, BOTH);
            let rises = both == -1 || now.is_some_and(|now| now < both as u64);
            if rises {
                set_both(both)?;
                set_limit(limit)
            } else {
                set_limit(limit)?;
                set_both(both)
            }
        }
        (Some(limit), None) => set_limit(limit),
        (None, Some(both)) => set_both(both),
        (None, None) => Ok(()),
    }
}

fn set_cpu(directories: &BTreeMap<String, PathBuf>, cpu: &Cpu) -> Result<()> {
    let scheduled = cpu.shares.is_some()
        || cpu.quota.is_some()
        || cpu.period.is_some()
        || cpu.burst.is_some()
        || cpu.realtime_period.is_some()
        || cpu.realtime_runtime.is_some()
        || cpu.idle.is_some();
    if scheduled {
        let directory = required(directories, "cpu")?;
        if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
            write(directory, "cpu.shares", &shares.to_string())?;
            // The kernel clamps silently; a user who asked for more must hear.
            let got = read_number(directory, "cpu.shares").unwrap_or(shares);
            if shares > got {
                return Err(Error::Invalid(format!("the maximum allowed cpu-shares is {got}")));
            } else if shares < got {
                return Err(Error::Invalid(format!("the minimum allowed cpu-shares is {got}")));
            }
        }
        set_quota(directory, cpu)?;
        set_realtime(directory, cpu)?;
        if let Some(idle) = cpu.idle {
            write(directory, "cpu.idle", &idle.to_string())?;
        }
    }
    for (list, name) in [(&cpu.cpus, "cpuset.cpus"), (&cpu.mems, "cpuset.mems")] {
        if !list.is_empty() {
            write(required(directories, "cpuset")?, name, list)?;
        }
    }
    Ok(())
}

fn set_realtime(directory: &Path, cpu: &Cpu) -> Result<()> {
    let period = cpu.realtime_period.filter(|period| *period != 0).map(|period| period.to_string());
    let runtime = cpu.realtime_runtime.filter(|runtime| *runtime != 0).map(|runtime| runtime.to_string());
    let mut period_later = false;
    if let Some(period) = &period {
        // Refused when it is shorter than the present runtime; the new one may fit.
        match write(directory, "cpu.rt_period_us", period) {
            Err(error) if errno(&error) == Some(libc::EINVAL) && runtime.is_some() => period_later = true,
            other => other?,
        }
    }
    if let Some(runtime) = &runtime {
        write(directory, "cpu.rt_runtime_us", runtime)?;
    }
    match period.filter(|_| period_later) {
        Some(period) => write(directory, "cpu.rt_period_us", &period),
        None => Ok(()),
    }
}

fn set_quota(directory: &Path, cpu: &Cpu) -> Result<()> {
    let period = cpu.period.filter(|period| *period != 0).map(|period| period.to_string());
    let mut period_later = false;
    if let Some(period) = &period {
        // Refused when the present quota would then exceed the parent's share; the new quota may fit.
        match write(directory, "cpu.cfs_period_us", period) {
            Err(error) if errno(&error) == Some(libc::EINVAL) && cpu.quota.is_some() => period_later = true,
            other => other?,
        }
    }
    if let Some(quota) = cpu.quota.filter(|quota| *quota != 0) {
        write(directory, "cpu.cfs_quota_us", &quota.to_string())?;
    }
    if let (true, Some(period)) = (period_later, &period) {
        write(directory, "cpu.cfs_period_us", period)?;
    }
    if let Some(burst) = cpu.burst {
        write(directory, "cpu.cfs_burst_us", &burst.to_string())?;
    }
    Ok(())
}

fn set_block_io(directories: &BTreeMap<String, PathBuf>, block_io: &BlockIo) -> Result<()> {
    if *block_io == BlockIo::default() {
        return Ok(());
    }
    let directory = required(directories, "blkio")?;
    // Under the CFQ scheduler of old the file had the shorter name.
    let weight_file = |per_device: bool| -> Result<String> {
        let suffix = if per_device { "weight_device" } else { "weight" };
        let names = ["blkio", "blkio.bfq"].map(|prefix| format!("{prefix}.{suffix}"));
        names.into_iter().find(|name| directory.join(name).exists()).ok_or_else(|| {
            Error::Unsupported("block I/O weights are not supported by this kernel".to_owned())
        })
    };
    if let Some(weight) = block_io.weight.filter(|weight| *weight != 0) {
        write(directory, &weight_file(false)?, &weight.to_string())?;
    }
    if let Some(weight) = block_io.leaf_weight.filter(|weight| *weight != 0) {
        write(directory, "blkio.leaf_weight", &weight.to_string())?;
    }
    for device in &block_io.weight_device {
        if let Some(weight) = device.weight.filter(|weight| *weight != 0) {
            let line = format!("{}:{} {weight}", device.major, device.minor);
            write(directory, &weight_file(true)?, &line)?;
        }
        if let Some(weight) = device.leaf_weight.filter(|weight| *weight != 0) {
            let line = format!("{}:{} {weight}", device.major, device.minor);
            write(directory, "blkio.leaf_weight_device", &line)?;
        }
    }
    let throttles: [(&str, &[ThrottleDevice]); 4] = [
        ("blkio.throttle.read_bps_device", &block_io.throttle_read_bps_device),
        ("blkio.throttle.write_bps_device", &block_io.throttle_write_bps_device),
        ("blkio.throttle.read_iops_device", &block_io.throttle_read_iops_device),
        ("blkio.throttle.write_iops_device", &block_io.throttle_write_iops_device),
    ];
    for (name, devices) in throttles {
        for device in devices {
            write(directory, name, &format!("{}:{} {}", device.major, device.minor, device.rate))?;
        }
    }
    Ok(())
}

pub(super) fn freeze(directory: &Path, frozen: bool) -> Result<()> {
    let wanted = if frozen { "FROZEN" } else { "THAWED" };
    let deadline = Instant::now() + WAIT_MAX;
    write(directory, "freezer.state", wanted)?;
    let mut turns = 0u32;
    while read(directory, "freezer.state")?.trim() != wanted {
        if Instant::now() > deadline {
            // Half frozen helps nobody.
            let _thawed = write(directory, "freezer.state", "THAWED");
            return Err(Error::Invalid("unable to freeze".to_owned()));
        }
        turns += 1;
        if turns.is_multiple_of(20) && frozen {
            // A task that forks while it is frozen can keep the state at FREEZING: thawing for a moment unties it.
            write(directory, "freezer.state", "THAWED")?;
            std::thread::sleep(Duration::from_micros(100));
        }
        // v1 has no event for this.
        std::thread::sleep(Duration::from_micros(50));
        write(directory, "freezer.state", wanted)?;
    }
    Ok(())
}
