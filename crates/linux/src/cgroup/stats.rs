//! What a container uses, from either version's files, in one shape.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::file::{read, read_key, read_map, read_number};
use super::{Error, Result};

/// Use of every controller that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Processor time.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Tasks.
    pub pids: PidsStats,
    /// Block devices.
    pub block_io: BlockIoStats,
}

/// Processor time in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CpuStats {
    /// In all.
    pub total_ns: u64,
    /// In user space.
    pub user_ns: u64,
    /// In the kernel.
    pub system_ns: u64,
    /// By processor; v1 only.
    pub per_cpu_ns: Vec<u64>,
    /// Periods with a quota.
    pub periods: u64,
    /// Of these, periods in which the quota was used up.
    pub throttled_periods: u64,
    /// Time spent waiting for the next period.
    pub throttled_ns: u64,
}

/// Memory in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MemoryStats {
    /// Now, with page cache.
    pub usage_bytes: u64,
    /// The most so far; 0 where the kernel does not keep it.
    pub max_usage_bytes: u64,
    /// `u64::MAX` or the kernel's largest number without one.
    pub limit_bytes: u64,
    /// Times the limit was hit.
    pub fail_count: u64,
    /// Swap (v2), or memory and swap (v1).
    pub swap_usage_bytes: u64,
    /// Limit of that.
    pub swap_limit_bytes: u64,
    /// Whether the numbers are those of v1, whose `stat` has other names.
    pub is_v1: bool,
    /// `memory.stat`.
    pub stat: BTreeMap<String, u64>,
    /// Processes killed for lack of memory.
    pub oom_kills: u64,
}

/// Tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PidsStats {
    /// Now.
    pub current: u64,
    /// 0 without one.
    pub limit: u64,
}

/// One number of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BlockIoEntry {
    /// Major number.
    pub major: u64,
    /// Minor number.
    pub minor: u64,
    /// `read`, `write`, ... as the kernel's version writes it.
    pub operation: String,
    /// Bytes or operations.
    pub value: u64,
}

/// Block devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BlockIoStats {
    /// Bytes.
    pub service_bytes: Vec<BlockIoEntry>,
    /// Operations.
    pub serviced: Vec<BlockIoEntry>,
}

/// Clock ticks of `cpuacct.stat`: USER_HZ is 100 on every architecture we run on.
const NS_PER_TICK: u64 = 10_000_000;

pub(super) fn v1(directories: &BTreeMap<String, PathBuf>) -> Result<Stats> {
    let find = |controller: &str| {
        let holds = |names: &&String| names.split(',').any(|name| name == controller);
        directories.keys().find(holds).and_then(|names| directories.get(names))
    };
    let mut stats = Stats::default();
    if let Some(directory) = find("cpuacct") {
        let per_cpu = read(directory, "cpuacct.usage_percpu").unwrap_or_default();
        stats.cpu.total_ns = read_number(directory, "cpuacct.usage").unwrap_or(0);
        stats.cpu.user_ns = read_key(directory, "cpuacct.stat", "user").unwrap_or(0) * NS_PER_TICK;
        stats.cpu.system_ns = read_key(directory, "cpuacct.stat", "system").unwrap_or(0) * NS_PER_TICK;
        stats.cpu.per_cpu_ns = per_cpu.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    }
    if let Some(directory) = find("cpu") {
        let values = read_map(directory, "cpu.stat");
        let value = |name: &str| values.get(name).copied().unwrap_or(0);
        stats.cpu.periods = value("nr_periods");
        stats.cpu.throttled_periods = value("nr_throttled");
        stats.cpu.throttled_ns = value("throttled_time");
    }
    if let Some(directory) = find("memory") {
        let number = |name: &str| read_number(directory, name).unwrap_or(0);
        stats.memory = MemoryStats {
            usage_bytes: number("memory.usage_in_bytes"),
            max_usage_bytes: number("memory.max_usage_in_bytes"),
            limit_bytes: number("memory.limit_in_bytes"),
            fail_count: number("memory.failcnt"),
            swap_usage_bytes: number("memory.memsw.usage_in_bytes"),
            swap_limit_bytes: number("memory.memsw.limit_in_bytes"),
            is_v1: true,
            stat: read_map(directory, "memory.stat"),
            oom_kills: read_key(directory, "memory.oom_control", "oom_kill").unwrap_or(0),
        };
    }
    if let Some(directory) = find("pids") {
        stats.pids = pids(directory);
    }
    if let Some(directory) = find("blkio") {
        stats.block_io = BlockIoStats {
            service_bytes: v1_block_io(directory, "io_service_bytes_recursive"),
            serviced: v1_block_io(directory, "io_serviced_recursive"),
        };
    }
    Ok(stats)
}

/// Lines `8:0 Read 4096`. The BFQ files are empty under another scheduler; those of the throttle layer never are.
fn v1_block_io(directory: &Path, name: &str) -> Vec<BlockIoEntry> {
    let texts = ["blkio.bfq", "blkio.throttle"].map(|prefix| read(directory, &format!("{prefix}.{name}")));
    let parsed =
        texts.map(|text| text.unwrap_or_default().lines().filter_map(v1_block_io_line).collect::<Vec<_>>());
    let [bfq, throttle] = parsed;
    if bfq.is_empty() { throttle } else { bfq }
}

pub(super) fn v1_block_io_line(line: &str) -> Option<BlockIoEntry> {
    let mut words = line.split_whitespace();
    let (major, minor) = words.next()?.split_once(':')?;
    let operation = words.next()?.to_owned();
    let value = words.next()?.parse().ok()?;
    Some(BlockIoEntry { major: major.parse().ok()?, minor: minor.parse().ok()?, operation, value })
}

pub(super) fn v2(directory: &Path) -> Result<Stats> {
    if !directory.is_dir() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(Error::Io { action: "read".to_owned(), path: directory.to_owned(), source });
    }
    let cpu = read_map(directory, "cpu.stat");
    let time = |name: &str| cpu.get(name).copied().unwrap_or(0);
    let number = |name: &str| read_number(directory, name).unwrap_or(0);
    let events = read_map(directory, "memory.events");
    let event = |name: &str| events.get(name).copied().unwrap_or(0);
    let io = read(directory, "io.stat").unwrap_or_default();
    Ok(Stats {
        cpu: CpuStats {
            total_ns: time("usage_usec") * 1000,
            user_ns: time("user_usec") * 1000,
            system_ns: time("system_usec") * 1000,
            per_cpu_ns: Vec::new(),
            periods: time("nr_periods"),
            throttled_periods: time("nr_throttled"),
            throttled_ns: time("throttled_usec") * 1000,
        },
        memory: MemoryStats {
            usage_bytes: number("memory.current"),
            max_usage_bytes: number("memory.peak"),
            limit_bytes: read_number(directory, "memory.max").unwrap_or(u64::MAX),
            fail_count: event("max"),
            swap_usage_bytes: number("memory.swap.current"),
            swap_limit_bytes: number("memory.swap.max"),
            is_v1: false,
            stat: read_map(directory, "memory.stat"),
            oom_kills: event("oom_kill"),
        },
        pids: pids(directory),
        block_io: v2_block_io(&io),
    })
}

fn pids(directory: &Path) -> PidsStats {
    let limit = read_number(directory, "pids.max").filter(|limit| *limit != u64::MAX).unwrap_or(0);
    PidsStats { current: read_number(directory, "pids.current").unwrap_or(0), limit }
}

/// Lines `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`.
pub(super) fn v2_block_io(text: &str) -> BlockIoStats {
    let mut stats = BlockIoStats::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let numbers = words.next().and_then(|word| word.split_once(':'));
        let Some((Ok(major), Ok(minor))) = numbers.map(|(a, b)| (a.parse::<u64>(), b.parse::<u64>())) else {
            continue;
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let Ok(value) = value.parse::<u64>() else { continue };
            let (list, operation) = match key {
                "rbytes" => (&mut stats.service_bytes, "read"),
                "wbytes" => (&mut stats.service_bytes, "write"),
                "rios" => (&mut stats.serviced, "read"),
                "wios" => (&mut stats.serviced, "write"),
                _ => continue,
            };
            list.push(BlockIoEntry { major, minor, operation: operation.to_owned(), value });
        }
    }
    stats
}
