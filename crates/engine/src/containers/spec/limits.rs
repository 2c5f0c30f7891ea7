//! Limits and device rules, in the words of the specification.

use std::collections::BTreeMap;

use types::config::{HostConfig, Resources};
use types::spec::{BlockIo, Cpu, Device, DeviceRule, Memory, Pids, ThrottleDevice, WeightDevice};
use types::{Error, Result};

/// The default device rules, then those of the user's devices and rules.
pub(super) fn device_rules(
    host: &HostConfig,
    devices: &[(Device, Option<DeviceRule>)],
) -> Result<Vec<DeviceRule>> {
    let all = |allow| DeviceRule { allow, access: "rwm".to_owned(), ..DeviceRule::default() };
    if host.privileged {
        return Ok(vec![all(true)]);
    }
    let character = |allow, major, minor| DeviceRule {
        kind: "c".to_owned(),
        major: Some(major),
        minor: Some(minor),
        ..all(allow)
    };
    let mut rules = vec![all(false)];
    rules.extend([(1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1)].map(|(a, b)| character(true, a, b)));
    rules.push(character(false, 10, 229));
    rules.extend(devices.iter().filter_map(|(_, rule)| rule.clone()));
    for text in host.resources.device_cgroup_rules.iter().flatten() {
        let invalid = || Error::internal(format!("invalid device cgroup rule format: '{text}'"));
        rules.push(parse_device_rule(text).ok_or_else(invalid)?);
    }
    Ok(rules)
}

/// `c 1:3 rwm`, `b *:* r`, `a *:* rwm`.
pub(crate) fn parse_device_rule(text: &str) -> Option<DeviceRule> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [kind, numbers, access] = words.as_slice() else { return None };
    let (major, minor) = numbers.split_once(':')?;
    let number = |text: &str| match text {
        "*" => Some(None),
        text => text.parse::<u32>().ok().map(|n| Some(i64::from(n))),
    };
    let ok =
        matches!(*kind, "a" | "b" | "c") && !access.is_empty() && access.chars().all(|c| "rwm".contains(c));
    ok.then_some(DeviceRule {
        allow: true,
        kind: (*kind).to_owned(),
        major: number(major)?,
        minor: number(minor)?,
        access: (*access).to_owned(),
    })
}

/// Limits without devices.
pub(crate) fn resources(
    want: &Resources,
    block_devices: &BTreeMap<String, (i64, i64)>,
) -> types::spec::Resources {
    let positive = |n: i64| (n > 0).then_some(n);
    let positive_u = |n: i64| u64::try_from(n).ok().filter(|n| *n > 0);
    let (mut period, mut quota) =
        (positive_u(want.cpu_period), (want.cpu_quota != 0).then_some(want.cpu_quota));
    if want.nano_cpus > 0 {
        let microseconds = period.unwrap_or(100_000);
        period = Some(microseconds);
        let share = i128::from(want.nano_cpus) * i128::from(microseconds) / 1_000_000_000;
        quota = i64::try_from(share).ok();
    }
    let memory = Memory {
        limit: positive(want.memory),
        reservation: positive(want.memory_reservation),
        swap: (want.memory_swap > 0 || (want.memory_swap == -1 && want.memory > 0))
            .then_some(want.memory_swap),
        kernel_tcp: positive(want.kernel_memory_tcp),
        swappiness: want.memory_swappiness.and_then(|n| u64::try_from(n).ok()),
        disable_oom_killer: want.oom_kill_disable.filter(|disable| *disable),
        ..Memory::default()
    };
    let cpu = Cpu {
        shares: positive_u(want.cpu_shares),
        quota,
        period,
        realtime_runtime: (want.cpu_realtime_runtime != 0).then_some(want.cpu_realtime_runtime),
        realtime_period: positive_u(want.cpu_realtime_period),
        cpus: want.cpuset_cpus.clone(),
        mems: want.cpuset_mems.clone(),
        ..Cpu::default()
    };
    let throttle = |list: &Option<Vec<types::config::ThrottleDevice>>| -> Vec<ThrottleDevice> {
        let numbers = |d: &types::config::ThrottleDevice| {
            block_devices.get(&d.path).map(|(major, minor)| ThrottleDevice {
                major: *major,
                minor: *minor,
                rate: d.rate,
            })
        };
        list.iter().flatten().filter_map(numbers).collect()
    };
    let block_io = BlockIo {
        weight: (want.blkio_weight > 0).then_some(want.blkio_weight),
        weight_device: want
            .blkio_weight_device
            .iter()
            .flatten()
            .filter_map(|d| {
                let (major, minor) = *block_devices.get(&d.path)?;
                Some(WeightDevice { major, minor, weight: Some(d.weight), leaf_weight: None })
            })
            .collect(),
        throttle_read_bps_device: throttle(&want.blkio_device_read_bps),
        throttle_write_bps_device: throttle(&want.blkio_device_write_bps),
        throttle_read_iops_device: throttle(&want.blkio_device_read_iops),
        throttle_write_iops_device: throttle(&want.blkio_device_write_iops),
        ..BlockIo::default()
    };
    types::spec::Resources {
        memory: (memory != Memory::default()).then_some(memory),
        cpu: (cpu != Cpu::default()).then_some(cpu),
        // 0 and below are "unlimited" in Docker's API, -1 is in the specification.
        pids: want.pids_limit.map(|limit| Pids { limit: Some(if limit <= 0 { -1 } else { limit }) }),
        block_io: (block_io != BlockIo::default()).then_some(block_io),
        ..types::spec::Resources::default()
    }
}

/// Host paths of block devices that limits name.
pub(crate) fn limited_devices(want: &Resources) -> Vec<&str> {
    let throttled = [
        &want.blkio_device_read_bps,
        &want.blkio_device_write_bps,
        &want.blkio_device_read_iops,
        &want.blkio_device_write_iops,
    ];
    let weights = want.blkio_weight_device.iter().flatten().map(|d| d.path.as_str());
    throttled.into_iter().flatten().flatten().map(|d| d.path.as_str()).chain(weights).collect()
}
