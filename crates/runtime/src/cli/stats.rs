//! `events`: what a container uses, in runc's JSON.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use linux::cgroup::{BlockIoEntry, Details, Pressure, Stats, Usage};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde_json::{Value, json};

use super::args::{Args, unknown};
use super::container::Container;
use super::{Global, Outcome, say};
use crate::error::{Context, Error};

const INTERVAL_MS: u64 = 5000;

/// `--stats` prints once; without it, every `--interval` until the container ends, and whenever memory was too little.
pub(super) fn events(global: &Global, mut args: Args) -> Outcome {
    let (mut once, mut interval) = (false, INTERVAL_MS);
    while let Some(flag) = args.flag()? {
        match flag.as_str() {
            "stats" => once = args.boolean()?,
            "interval" => interval = duration_ms(&args.value(&flag)?)?,
            _ => return Err(unknown(&flag)),
        }
    }
    let id = args.id()?;
    args.end()?;
    let container = Container::open(global, &id)?;
    let not_running = || Error::State(format!("container with id {id} is not running"));
    let pidfd = container.pidfd().ok_or_else(not_running)?;
    let cgroup = container.own_cgroup()?;
    let resctrl = class(&container);
    let print = || -> Result<(), Error> {
        let data = data(&cgroup.stats()?, &cgroup.details(), &resctrl);
        say(&format!("{}\n", json!({ "type": "stats", "id": id, "data": data })))
    };
    let watch = if once { None } else { cgroup.oom_watch().ok() };
    let mut kills = cgroup.oom_kills();
    loop {
        print()?;
        if once {
            return Ok(0);
        }
        let next = Instant::now() + Duration::from_millis(interval);
        loop {
            let left = next.saturating_duration_since(Instant::now());
            let ended = wait(pidfd.as_fd(), watch.as_ref(), left)?;
            let now = cgroup.oom_kills();
            for _ in kills..now {
                say(&format!("{}\n", json!({ "type": "oom", "id": id })))?;
            }
            kills = now;
            if ended {
                return Ok(0);
            }
            if left.is_zero() {
                break;
            }
        }
    }
}

/// Waits until the container ends (`true`), its memory runs out, or the time is over.
fn wait(pidfd: BorrowedFd<'_>, watch: Option<&OwnedFd>, time: Duration) -> Result<bool, Error> {
    let what = || "wait for container".to_owned();
    let mut fds = vec![PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    fds.extend(watch.map(|watch| PollFd::new(watch, PollFlags::IN)));
    let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
    match poll(&mut fds, Some(&timeout)) {
        Err(Errno::INTR) => return Ok(false),
        other => other.doing(what)?,
    };
    if let Some(watch) = watch {
        // The event has said what it can; the counter says the rest.
        let _ = rustix::io::read(watch, &mut [0; 512]);
    }
    Ok(!fds[0].revents().is_empty())
}

/// What resctrl says of the container's class, if it is in one.
fn class(container: &Container) -> Value {
    let wanted = container.record.spec.linux.as_ref().and_then(|linux| linux.intel_rdt.as_ref());
    let (Some(wanted), Some(root)) = (wanted, linux::resctrl::root()) else { return json!({}) };
    let class = if wanted.clos_id.is_empty() { &container.record.id } else { &wanted.clos_id };
    let read = |path: &Path| std::fs::read_to_string(path.join("schemata")).unwrap_or_default();
    let (own, all) = (read(&root.join(class.trim_start_matches('/'))), read(&root));
    let line = |text: &str, resource: &str| {
        let found = text.lines().map(str::trim).find(|line| line.starts_with(resource));
        found.unwrap_or_default().to_owned()
    };
    json!({
        "l3_cache_schema_root": line(&all, "L3"),
        "l3_cache_schema": line(&own, "L3"),
        "mem_bw_schema_root": line(&all, "MB"),
        "mem_bw_schema": line(&own, "MB"),
        "schemata": own.lines().map(str::trim).collect::<Vec<_>>(),
    })
}

/// Go's durations, as far as anyone uses them here: `5s`, `100ms`, `1m`.
fn duration_ms(text: &str) -> Result<u64, Error> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => 0,
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)) {
        Some(value @ 1..) => Ok(value),
        _ => Err(Error::Invalid(format!(
            "invalid duration {text:?}: duration interval must be greater than 0"
        ))),
    }
}

fn data(stats: &Stats, details: &Details, resctrl: &Value) -> Value {
    let memory = &stats.memory;
    let entry = |limit: u64, usage: u64, max: u64, failcnt: u64| json!({ "limit": limit, "usage": usage, "max": max, "failcnt": failcnt });
    let usage = |usage: &Usage| entry(usage.limit, usage.usage, usage.max, usage.fail_count);
    let io = |list: &[BlockIoEntry]| -> Vec<Value> {
        let one = |entry: &BlockIoEntry| json!({ "major": entry.major, "minor": entry.minor, "op": entry.operation, "value": entry.value });
        list.iter().map(one).collect()
    };
    let raw: &BTreeMap<String, u64> = &memory.stat;
    let mut data = json!({
        "cpu": {
            "usage": {
                "total": stats.cpu.total_ns,
                "percpu": stats.cpu.per_cpu_ns,
                "percpu_user": details.per_cpu_ns.0,
                "percpu_kernel": details.per_cpu_ns.1,
                "kernel": stats.cpu.system_ns,
                "user": stats.cpu.user_ns,
            },
            "throttling": {
                "periods": stats.cpu.periods,
                "throttledPeriods": stats.cpu.throttled_periods,
                "throttledTime": stats.cpu.throttled_ns,
            },
        },
        "cpuset": { "cpus": details.cpus, "mems": details.mems },
        "memory": {
            "cache": raw.get("cache").or(raw.get("file")),
            "usage": entry(memory.limit_bytes, memory.usage_bytes, memory.max_usage_bytes, memory.fail_count),
            "swap": entry(memory.swap_limit_bytes, memory.swap_usage_bytes, 0, 0),
            "kernel": usage(&details.kernel),
            "kernelTCP": usage(&details.kernel_tcp),
            "raw": raw,
        },
        "pids": { "current": stats.pids.current, "limit": stats.pids.limit },
        "blkio": {
            "ioServiceBytesRecursive": io(&stats.block_io.service_bytes),
            "ioServicedRecursive": io(&stats.block_io.serviced),
        },
        "hugetlb": details.hugetlb.iter().map(|(size, page)| {
            (size.clone(), json!({ "usage": page.usage, "max": page.max, "failcnt": page.fail_count }))
        }).collect::<serde_json::Map<_, _>>(),
        "intel_rdt": resctrl,
        "network_interfaces": null,
    });
    for (name, value) in &details.cpuset {
        data["cpuset"][*name] = json!(value);
    }
    const BLOCK_IO: [(&str, &str); 6] = [
        ("io_queued_recursive", "ioQueueRecursive"),
        ("io_service_time_recursive", "ioServiceTimeRecursive"),
        ("io_wait_time_recursive", "ioWaitTimeRecursive"),
        ("io_merged_recursive", "ioMergedRecursive"),
        ("time_recursive", "ioTimeRecursive"),
        ("sectors_recursive", "sectorsRecursive"),
    ];
    for (file, name) in BLOCK_IO {
        if let Some(list) = details.block_io.get(file).filter(|list| !list.is_empty()) {
            data["blkio"][name] = json!(io(list));
        }
    }
    for (controller, pressures) in
        [("cpu", details.cpu_pressure), ("memory", details.memory_pressure), ("blkio", details.io_pressure)]
    {
        if let Some((some, full)) = pressures {
            data[controller]["psi"] = json!({ "some": pressure(&some), "full": pressure(&full) });
        }
    }
    data
}

fn pressure(one: &Pressure) -> Value {
    let [avg10, avg60, avg300] = one.average;
    json!({ "avg10": avg10, "avg60": avg60, "avg300": avg300, "total": one.total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, expect) in [
            ("5s", Some(5000)),
            ("100ms", Some(100)),
            ("2m", Some(120_000)),
            ("0s", None),
            ("x", None),
            ("5", None),
        ] {
            assert_eq!(duration_ms(text).ok(), expect, "{text}");
        }
    }
}
