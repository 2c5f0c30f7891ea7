//! Cgroup v2: one directory in the one hierarchy.

use std::path::Path;
use std::time::Instant;

use types::spec::{BlockIo, Cpu, Memory, Rdma, Resources, ThrottleDevice};

use super::convert::{cpu_weight, io_weight, number_or_max, pids_limit, swap_limit};
use super::file::{error, read, read_key, read_number, write, write_if_present};
use super::{Error, Moment, Result, WAIT_MAX, devices};

/// Makes `directory` below `root` and what is missing above it, and hands every controller down to it where they are `limited`
/// here. Whether it was there already.
pub(super) fn create(root: &Path, directory: &Path, limited: bool) -> Result<bool> {
    let below =
        directory.strip_prefix(root).map_err(|_| Error::InvalidPath(directory.display().to_string()))?;
    let (mut at, mut existed) = (root.to_owned(), true);
    for component in below.components() {
        if limited {
            delegate(&at)?;
        }
        at.push(component);
        existed = match std::fs::create_dir(&at) {
            Ok(()) => false,
            Err(source) if source.kind() == std::io::ErrorKind::AlreadyExists => true,
            Err(source) => return Err(error("create", &at, source)),
        };
    }
    Ok(existed)
}

/// Lets the children of `directory` use each controller that it has itself.
fn delegate(directory: &Path) -> Result<()> {
    let has = read(directory, "cgroup.controllers")?;
    let gives = read(directory, "cgroup.subtree_control")?;
    let missing: Vec<String> = has
        .split_whitespace()
        .filter(|name| !gives.split_whitespace().any(|given| given == *name))
        .map(|name| format!("+{name}"))
        .collect();
    if missing.is_empty() || write(directory, "cgroup.subtree_control", &missing.join(" ")).is_ok() {
        return Ok(());
    }
    // All or nothing: one that is refused (cpu under real-time tasks, EBUSY from the rule of no internal processes)
    // must not take the others with it. A limit that needs a missing one fails when it is set.
    for controller in &missing {
        let _refused = write(directory, "cgroup.subtree_control", controller);
    }
    Ok(())
}

pub(super) fn set(directory: &Path, resources: &Resources, moment: Moment) -> Result<()> {
    if !resources.devices.is_empty() {
        devices::set_v2(directory, &resources.devices, moment)?;
    }
    if let Some(memory) = &resources.memory {
        set_memory(directory, memory)?;
    }
    if let Some(cpu) = &resources.cpu {
        set_cpu(directory, cpu)?;
    }
    if let Some(limit) = pids_limit(resources) {
        write(directory, "pids.max", &number_or_max(limit))?;
    }
    if let Some(block_io) = &resources.block_io {
        set_block_io(directory, block_io)?;
    }
    for page in &resources.hugepage_limits {
        let limit = page.limit.to_string();
        write(directory, &format!("hugetlb.{}.max", page.page_size), &limit)?;
        write_if_present(directory, &format!("hugetlb.{}.rsvd.max", page.page_size), &limit)?;
    }
    for (device, limits) in &resources.rdma {
        write(directory, "rdma.max", &rdma_line(device, limits))?;
    }
    for (name, value) in &resources.unified {
        // A name, never a path: the file must be of this cgroup.
        if name.contains('/') || name.is_empty() || name.starts_with('.') {
            return Err(Error::Invalid(format!(
                "unified resource {name:?} must be a file name (no slashes)"
            )));
        }
        for line in value.lines() {
            write(directory, name, line)?;
        }
    }
    Ok(())
}

fn set_memory(directory: &Path, memory: &Memory) -> Result<()> {
    // disableOOMKiller, kernel memory and swappiness have no counterpart in v2; the reference runtimes pass over them.
    let limit = memory.limit.unwrap_or(0);
    if let (Some(true), true) = (memory.check_before_update, limit > 0) {
        let usage = read_number(directory, "memory.current").unwrap_or(0);
        if usage > limit as u64 {
            return Err(Error::Invalid(format!("rejecting memory limit {limit} < usage {usage}")));
        }
    }
    if (memory.swap.is_some() || limit == -1)
        && let Some(swap) = swap_limit(memory.swap.unwrap_or(0), limit)?
    {
        // Without swap accounting the file is missing; with the wish "no swap beyond memory" nothing is lost.
        if !write_if_present(directory, "memory.swap.max", &number_or_max(swap))? && swap > 0 {
            return Err(Error::Unsupported("swap limits are not supported by this kernel".to_owned()));
        }
    }
    if limit != 0 {
        write(directory, "memory.max", &number_or_max(limit))?;
    }
    if let Some(soft) = memory.reservation.filter(|soft| *soft != 0) {
        write(directory, "memory.low", &number_or_max(soft))?;
    }
    Ok(())
}

fn set_cpu(directory: &Path, cpu: &Cpu) -> Result<()> {
    if let Some(idle) = cpu.idle {
        write(directory, "cpu.idle", &idle.to_string())?;
    }
    // A weight next to idle is refused by the kernel, and idle wins.
    if let (Some(shares), false) = (cpu.shares.filter(|shares| *shares != 0), cpu.idle == Some(1)) {
        write(directory, "cpu.weight", &cpu_weight(shares).to_string())?;
    }
    let burst = cpu.burst.map(|burst| burst.to_string());
    let mut burst_later = false;
    if let Some(burst) = &burst {
        // Refused while it exceeds the present quota; the new quota may be larger.
        burst_later = write(directory, "cpu.max.burst", burst).is_err();
    }
    let quota = cpu.quota.unwrap_or(0);
    let period = cpu.period.filter(|period| *period != 0);
    if quota != 0 || period.is_some() {
        let quota = if quota > 0 { quota.to_string() } else { "max".to_owned() };
        let value = period.map_or_else(|| quota.clone(), |period| format!("{quota} {period}"));
        write(directory, "cpu.max", &value)?;
    }
    if let (true, Some(burst)) = (burst_later, &burst) {
        write(directory, "cpu.max.burst", burst)?;
    }
    for (list, name) in [(&cpu.cpus, "cpuset.cpus"), (&cpu.mems, "cpuset.mems")] {
        if !list.is_empty() {
            write(directory, name, list)?;
        }
    }
    Ok(())
}

fn set_block_io(directory: &Path, block_io: &BlockIo) -> Result<()> {
    if let Some(weight) = block_io.weight.filter(|weight| *weight != 0) {
        // Under the BFQ scheduler the weight has the units of v1.
        if !write_if_present(directory, "io.bfq.weight", &weight.to_string())? {
            write(directory, "io.weight", &io_weight(weight).to_string())?;
        }
    }
    for device in &block_io.weight_device {
        if let Some(weight) = device.weight.filter(|weight| *weight != 0) {
            let at = format!("{}:{}", device.major, device.minor);
            if !write_if_present(directory, "io.bfq.weight", &format!("{at} {weight}"))? {
                write(directory, "io.weight", &format!("{at} {}", io_weight(weight)))?;
            }
        }
    }
    let throttles: [(&str, &[ThrottleDevice]); 4] = [
        ("rbps", &block_io.throttle_read_bps_device),
        ("wbps", &block_io.throttle_write_bps_device),
        ("riops", &block_io.throttle_read_iops_device),
        ("wiops", &block_io.throttle_write_iops_device),
    ];
    for (key, devices) in throttles {
        for device in devices {
            let rate = if device.rate == 0 { "max".to_owned() } else { device.rate.to_string() };
            write(directory, "io.max", &format!("{}:{} {key}={rate}", device.major, device.minor))?;
        }
    }
    Ok(())
}

pub(super) fn rdma_line(device: &str, limits: &Rdma) -> String {
    let mut line = device.to_owned();
    for (key, value) in [("hca_handle", limits.hca_handles), ("hca_object", limits.hca_objects)] {
        if let Some(value) = value {
            line.push_str(&format!(" {key}={value}"));
        }
    }
    line
}

pub(super) fn is_frozen(directory: &Path) -> Result<bool> {
    Ok(read_key(directory, "cgroup.events", "frozen") == Some(1))
}

pub(super) fn freeze(directory: &Path, frozen: bool) -> Result<()> {
    let watch = super::oom::modify_watch(&directory.join("cgroup.events"))?;
    write(directory, "cgroup.freeze", if frozen { "1" } else { "0" })?;
    let deadline = Instant::now() + WAIT_MAX;
    while is_frozen(directory)? != frozen {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let _thawed = write(directory, "cgroup.freeze", "0");
            return Err(Error::Invalid("unable to freeze".to_owned()));
        }
        super::oom::wait_readable(&watch, left)?;
    }
    Ok(())
}
