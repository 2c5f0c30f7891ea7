//! Limits as properties of a systemd unit (systemd.resource-control(5)), converted as runc converts them. Pure.
//!
//! systemd knows only some limits, and rounds some: they are written into the cgroup's files as well, so what is missing
//! here is no loss.

use std::collections::BTreeMap;

use types::spec::{Cpu, DeviceRule, Memory, Resources};

use super::super::convert::{cpu_weight, pids_limit, swap_limit};
use super::super::devices::{Access, MKNOD, READ, WRITE};
use super::super::{Error, Result};
use crate::dbus::{Value, parse_value};

/// Names with values.
pub(super) type Properties = Vec<(String, Value)>;

const INFINITY: u64 = u64::MAX;
/// The kernel's default, microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

fn push(list: &mut Properties, name: &str, value: Value) {
    list.push((name.to_owned(), value));
}

/// `v2` tells which hierarchy holds the controllers, `systemd` is systemd's version.
pub(super) fn of(resources: &Resources, v2: bool, systemd: u32) -> Result<Properties> {
    let mut list = Vec::new();
    if !resources.devices.is_empty() {
        devices(&mut list, &resources.devices)?;
    }
    if let Some(memory) = &resources.memory {
        set_memory(&mut list, memory, v2)?;
    }
    if let Some(cpu) = &resources.cpu {
        set_cpu(&mut list, cpu, v2, systemd)?;
    }
    let weight = resources.block_io.as_ref().and_then(|block_io| block_io.weight);
    if let Some(weight) = weight.filter(|weight| *weight != 0 && !v2) {
        push(&mut list, "BlockIOWeight", Value::U64(weight.into()));
    }
    if let Some(limit) = pids_limit(resources) {
        push(&mut list, "TasksMax", Value::U64(u64::try_from(limit).unwrap_or(INFINITY)));
    }
    if v2 {
        unified(&mut list, &resources.unified, systemd)?;
    }
    Ok(list)
}

fn set_memory(list: &mut Properties, memory: &Memory, v2: bool) -> Result<()> {
    let unsigned = |bytes: i64| u64::try_from(bytes).unwrap_or(INFINITY);
    let limit = memory.limit.unwrap_or(0);
    if limit != 0 {
        push(list, if v2 { "MemoryMax" } else { "MemoryLimit" }, Value::U64(unsigned(limit)));
    }
    if !v2 {
        return Ok(());
    }
    if let Some(soft) = memory.reservation.filter(|soft| *soft != 0) {
        push(list, "MemoryLow", Value::U64(unsigned(soft)));
    }
    if let Some(swap) = swap_limit(memory.swap.unwrap_or(0), limit)? {
        push(list, "MemorySwapMax", Value::U64(unsigned(swap)));
    }
    Ok(())
}

fn set_cpu(list: &mut Properties, cpu: &Cpu, v2: bool, systemd: u32) -> Result<()> {
    let shares = cpu.shares.unwrap_or(0);
    if v2 && is_idle(cpu.idle == Some(1), systemd) {
        push(list, "CPUWeight", Value::U64(0)); // means cpu.idle
    } else if shares != 0 {
        let (name, value) = if v2 { ("CPUWeight", cpu_weight(shares)) } else { ("CPUShares", shares) };
        push(list, name, Value::U64(value));
    }
    quota(list, cpu.quota.unwrap_or(0), cpu.period.unwrap_or(0), systemd);
    for (cpus, name) in [(&cpu.cpus, "AllowedCPUs"), (&cpu.mems, "AllowedMemoryNodes")] {
        if !cpus.is_empty() && systemd >= 244 {
            push(list, name, Value::Bytes(bits(cpus)?));
        }
    }
    Ok(())
}

fn is_idle(wanted: bool, systemd: u32) -> bool {
    wanted && systemd >= 252
}

/// systemd has whole percents of a processor: what lies between is rounded up.
fn per_second(quota: u64, period: u64) -> u64 {
    let period = if period == 0 { DEFAULT_PERIOD } else { period };
    (quota.saturating_mul(1_000_000) / period).next_multiple_of(10_000)
}

fn quota(list: &mut Properties, quota: i64, period: u64, systemd: u32) {
    if period != 0 && systemd >= 242 {
        push(list, "CPUQuotaPeriodUSec", Value::U64(period));
    }
    if quota != 0 || period != 0 {
        let usec = u64::try_from(quota).ok().filter(|quota| *quota != 0);
        push(list, "CPUQuotaPerSecUSec", Value::U64(usec.map_or(INFINITY, |usec| per_second(usec, period))));
    }
}

/// The limits with systemd's rounding: what is written into the files must be what systemd writes there.
pub(super) fn rounded(resources: &Resources) -> Resources {
    let mut rounded = resources.clone();
    if let Some(cpu) = &mut rounded.cpu
        && let Some(quota) = cpu.quota.and_then(|quota| u64::try_from(quota).ok()).filter(|quota| *quota != 0)
    {
        let period = cpu.period.filter(|period| *period != 0).unwrap_or(DEFAULT_PERIOD);
        cpu.quota = i64::try_from(per_second(quota, period).saturating_mul(period) / 1_000_000).ok();
    }
    rounded
}

/// Known files of `unified`; the others are only written.
fn unified(list: &mut Properties, files: &BTreeMap<String, String>, systemd: u32) -> Result<()> {
    for (name, text) in files {
        let text = text.trim();
        let wrong = || Error::Invalid(format!("unified resource {name:?} has an invalid value {text:?}"));
        let number = || match text {
            "max" => Ok(INFINITY),
            text => text.parse::<u64>().map_err(|_| wrong()),
        };
        let property = match name.as_str() {
            "cpu.idle" if is_idle(text == "1", systemd) => ("CPUWeight", Value::U64(0)),
            "cpu.weight"
                if is_idle(files.get("cpu.idle").is_some_and(|idle| idle.trim() == "1"), systemd) =>
            {
                continue; // idle wins
            }
            "cpu.weight" => ("CPUWeight", Value::U64(number()?)),
            "cpu.max" => {
                let mut words = text.split_whitespace();
                let amount = match words.next().ok_or_else(wrong)? {
                    "max" => 0,
                    word => word.parse().map_err(|_| wrong())?,
                };
                let period = words.next().map_or(Ok(DEFAULT_PERIOD), str::parse).map_err(|_| wrong())?;
                if words.next().is_some() {
                    return Err(wrong());
                }
                quota(list, amount, period, systemd);
                continue;
            }
            "cpuset.cpus" if systemd >= 244 => ("AllowedCPUs", Value::Bytes(bits(text)?)),
            "cpuset.mems" if systemd >= 244 => ("AllowedMemoryNodes", Value::Bytes(bits(text)?)),
            "memory.high" => ("MemoryHigh", Value::U64(number()?)),
            "memory.low" => ("MemoryLow", Value::U64(number()?)),
            "memory.min" => ("MemoryMin", Value::U64(number()?)),
            "memory.max" => ("MemoryMax", Value::U64(number()?)),
            "memory.swap.max" => ("MemorySwapMax", Value::U64(number()?)),
            // systemd takes no 0.
            "pids.max" => ("TasksMax", Value::U64(number()?.max(1))),
            _ => continue,
        };
        push(list, property.0, property.1);
    }
    Ok(())
}

/// systemd knows lists of what is allowed only, and clears what was there by an empty one. Other rules are those of our
/// own filter alone, which takes the place of systemd's.
fn devices(list: &mut Properties, rules: &[DeviceRule]) -> Result<()> {
    let access = Access::from_rules(rules)?;
    push(list, "DeviceAllow", Value::Pairs(Vec::new()));
    if access.default_allow && access.exceptions.is_empty() {
        push(list, "DevicePolicy", Value::String("auto".into()));
        return Ok(());
    }
    push(list, "DevicePolicy", Value::String("strict".into()));
    if access.default_allow {
        return Ok(());
    }
    let allowed = access.exceptions.iter().filter_map(|(device, letters)| {
        let kind = if device.kind == b'b' { "block" } else { "char" };
        let path = match (device.major, device.minor) {
            (None, None) => format!("{kind}-*"),
            (None, Some(_)) => return None, // systemd has no words for it
            (Some(major), None) => format!("{kind}-{major}"),
            (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
        };
        let all = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')].into_iter();
        Some((path, all.filter(|(bit, _)| letters & bit != 0).map(|(_, letter)| letter).collect()))
    });
    push(list, "DeviceAllow", Value::Pairs(allowed.collect()));
    Ok(())
}

/// `1,3-5` as a mask, the lowest processor first.
fn bits(text: &str) -> Result<Vec<u8>> {
    const MOST: usize = 8192; // processors that Linux can have
    let wrong = || Error::Invalid(format!("invalid list of processors or memory nodes {text:?}"));
    let mut mask: Vec<u8> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number =
            |text: &str| text.parse::<usize>().ok().filter(|number| *number < MOST).ok_or_else(wrong);
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(wrong());
        }
        mask.resize(mask.len().max(last / 8 + 1), 0);
        (first..=last).for_each(|bit| mask[bit / 8] |= 1 << (bit % 8));
    }
    if mask.is_empty() { Err(wrong()) } else { Ok(mask) }
}

/// What annotations `org.systemd.property.NAME` set, values as people write them. Names that end in `Sec` are given to
/// systemd in microseconds.
pub(super) fn of_annotations(annotations: &BTreeMap<String, String>) -> Result<Properties> {
    let mut list = Vec::new();
    for (key, text) in annotations {
        let Some(name) = key.strip_prefix("org.systemd.property.") else { continue };
        if name.len() < 3 || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(Error::Invalid(format!("annotation {key} name incorrect")));
        }
        let wrong = |why: String| Error::Invalid(format!("annotation {key}={text} value parse error: {why}"));
        let value = parse_value(text).map_err(wrong)?;
        let seconds =
            name.strip_suffix("Sec").filter(|rest| rest.ends_with(|c: char| c.is_ascii_lowercase()));
        match seconds {
            Some(rest) => {
                list.push((format!("{rest}USec"), Value::U64(microseconds(&value).map_err(wrong)?)))
            }
            None => push(&mut list, name, value),
        }
    }
    Ok(list)
}

fn microseconds(value: &Value) -> std::result::Result<u64, String> {
    let whole = match value {
        Value::Double(seconds) if *seconds >= 0.0 => return Ok((seconds * 1e6) as u64),
        Value::Byte(seconds) => Some(u64::from(*seconds)),
        Value::U32(seconds) => Some(u64::from(*seconds)),
        Value::U64(seconds) => Some(*seconds),
        Value::I32(seconds) => u64::try_from(*seconds).ok(),
        Value::I64(seconds) => u64::try_from(*seconds).ok(),
        _ => None,
    };
    whole
        .and_then(|seconds| seconds.checked_mul(1_000_000))
        .ok_or_else(|| "not a number of seconds".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, v2: bool, expect: &[(&str, Value)]) {
        let resources: Resources = serde_json::from_str(json).unwrap();
        let expect: Properties =
            expect.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        assert_eq!(of(&resources, v2, 252).unwrap(), expect, "{json}");
    }

    #[test]
    fn limits_are_those_that_runc_sets() {
        let text = |text: &str| Value::String(text.to_owned());
        check(
            r#"{"memory":{"limit":1048576,"swap":3145728,"reservation":524288}}"#,
            true,
            &[
                ("MemoryMax", Value::U64(1 << 20)),
                ("MemoryLow", Value::U64(1 << 19)),
                ("MemorySwapMax", Value::U64(2 << 20)),
            ],
        );
        check(
            r#"{"memory":{"limit":1048576,"swap":3145728}}"#,
            false,
            &[("MemoryLimit", Value::U64(1 << 20))],
        );
        check(
            r#"{"memory":{"limit":-1}}"#,
            true,
            &[("MemoryMax", Value::U64(INFINITY)), ("MemorySwapMax", Value::U64(INFINITY))],
        );
        check(
            r#"{"cpu":{"shares":1024,"quota":50500,"period":100000,"cpus":"0,9"},"pids":{"limit":-1}}"#,
            true,
            &[
                ("CPUWeight", Value::U64(100)),
                ("CPUQuotaPeriodUSec", Value::U64(100_000)),
                ("CPUQuotaPerSecUSec", Value::U64(510_000)),
                ("AllowedCPUs", Value::Bytes(vec![1, 2])),
                ("TasksMax", Value::U64(INFINITY)),
            ],
        );
        check(
            r#"{"cpu":{"shares":1024,"quota":-1},"blockIO":{"weight":500}}"#,
            false,
            &[
                ("CPUShares", Value::U64(1024)),
                ("CPUQuotaPerSecUSec", Value::U64(INFINITY)),
                ("BlockIOWeight", Value::U64(500)),
            ],
        );
        check(r#"{"cpu":{"idle":1,"shares":5}}"#, true, &[("CPUWeight", Value::U64(0))]);
        check(
            r#"{"unified":{"cpu.max":"max 50000","memory.high":"max","pids.max":"0","misc.max":"x 1"}}"#,
            true,
            &[
                ("CPUQuotaPeriodUSec", Value::U64(50_000)),
                ("CPUQuotaPerSecUSec", Value::U64(INFINITY)),
                ("MemoryHigh", Value::U64(INFINITY)),
                ("TasksMax", Value::U64(1)),
            ],
        );
        let pair = |path: &str, letters: &str| (path.to_owned(), letters.to_owned());
        check(
            r#"{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"},
                {"allow":true,"type":"b","access":"m"},{"allow":true,"type":"c","major":136,"access":"rw"}]}"#,
            true,
            &[
                ("DeviceAllow", Value::Pairs(vec![])),
                ("DevicePolicy", text("strict")),
                (
                    "DeviceAllow",
                    Value::Pairs(vec![
                        pair("block-*", "m"),
                        pair("/dev/char/1:3", "rwm"),
                        pair("char-136", "rw"),
                    ]),
                ),
            ],
        );
        check(
            r#"{"devices":[{"allow":true,"access":"rwm"}]}"#,
            true,
            &[("DeviceAllow", Value::Pairs(vec![])), ("DevicePolicy", text("auto"))],
        );
    }

    #[test]
    fn quotas_are_rounded_as_systemd_rounds_them() {
        let resources: Resources =
            serde_json::from_str(r#"{"cpu":{"quota":50500,"period":100000}}"#).unwrap();
        assert_eq!(rounded(&resources).cpu.unwrap().quota, Some(51_000));
        let unlimited: Resources = serde_json::from_str(r#"{"cpu":{"quota":-1}}"#).unwrap();
        assert_eq!(rounded(&unlimited), unlimited);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "x", "3-1", "99999", "1-"] {
            assert!(bits(text).is_err(), "{text}");
        }
        for (name, value) in
            [("cpu.max", "1 2 3"), ("cpu.max", ""), ("memory.max", "much"), ("cpuset.cpus", "")]
        {
            let files = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            assert!(unified(&mut Vec::new(), &files, 252).is_err(), "{name} {value}");
        }
    }

    #[test]
    fn annotations_set_properties() {
        let check = |name: &str, value: &str| {
            let key = format!("org.systemd.property.{name}");
            of_annotations(&BTreeMap::from([(key, value.to_owned()), ("other".into(), "x".into())]))
        };
        assert_eq!(
            check("TimeoutStopSec", "5").unwrap(),
            [("TimeoutStopUSec".into(), Value::U64(5_000_000))]
        );
        assert_eq!(
            check("CollectMode", "'inactive'").unwrap(),
            [("CollectMode".into(), Value::String("inactive".into()))]
        );
        for (name, value) in [("A", "1"), ("Some-thing", "1"), ("Thing", "what"), ("StopSec", "'x'")] {
            assert!(check(name, value).is_err(), "{name}");
        }
    }
}
