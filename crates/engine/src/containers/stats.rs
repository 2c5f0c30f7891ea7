//! `stats`: from the container's cgroup and its network namespace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use types::Result;

use super::inspect::cgroup_of;
use super::table::Handle;
use super::view::{
    BlkioCounters, BlkioEntry, CpuCounters, InterfaceCounters, Measured, MemoryCounters, PidCounters,
    StatsSample,
};
use super::{Containers, Shared};
use crate::clock::NEVER;
use crate::{Timestamp, blocking};

/// Between two measurements.
const PERIOD: Duration = Duration::from_secs(1);
/// Kernel clock ticks a second in `/proc/stat` (`USER_HZ`, the same on every architecture we run on).
const TICK_NS: u64 = 10_000_000;

/// A running series of measurements; dropping it ends it.
#[derive(Debug)]
pub struct StatsStream {
    shared: Arc<Shared>,
    handle: Handle,
    /// Measurements still to come; `None` is without end.
    left: Option<u32>,
    /// The measurement before, with its time.
    before: Option<(String, Measured)>,
    /// Take one before the first that is told.
    prime: bool,
    begun: bool,
}

impl Containers {
    /// Measures it: once (`stream` false; `one_shot` leaves out the second measurement that makes CPU usage computable)
    /// or again and again. A stopped container gives one empty sample (then, when streaming, one a second).
    pub async fn stats(&self, name: &str, stream: bool, one_shot: bool) -> Result<StatsStream> {
        let handle = self.find(name)?;
        Ok(StatsStream {
            shared: self.0.clone(),
            handle,
            left: (!stream).then_some(1),
            before: None,
            prime: !stream && !one_shot,
            begun: false,
        })
    }
}

impl StatsStream {
    /// The next measurement (about one a second); `None` when the container is gone or all asked for were given.
    pub async fn next(&mut self) -> Option<StatsSample> {
        if self.left == Some(0) || self.handle.view.borrow().removed {
            return None;
        }
        if self.prime {
            self.prime = false;
            self.before = self.measure().await;
            if self.before.is_some() {
                tokio::time::sleep(PERIOD).await;
            }
        } else if self.begun {
            let mut view = self.handle.view.clone();
            let gone = async { drop(view.wait_for(|view| view.removed).await) };
            if tokio::time::timeout(PERIOD, gone).await.is_ok() {
                return None;
            }
        }
        self.begun = true;
        self.left = self.left.map(|left| left - 1);
        let measured = self.measure().await;
        let before = self.before.take();
        let record = self.handle.record();
        let never = || NEVER.to_owned();
        let sample = StatsSample {
            id: record.id.clone(),
            name: record.name.clone(),
            read: measured.as_ref().map_or_else(never, |(at, _)| at.clone()),
            preread: before.as_ref().map_or_else(never, |(at, _)| at.clone()),
            now: measured.as_ref().map(|(_, measured)| measured.clone()),
            before: before.map(|(_, measured)| measured),
        };
        self.before = measured;
        Some(sample)
    }

    async fn measure(&self) -> Option<(String, Measured)> {
        let (shared, handle) = (self.shared.clone(), self.handle.clone());
        blocking(move || Ok(measure(&shared, &handle))).await.ok().flatten()
    }
}

/// One measurement. Blocks. `None` when it does not run.
fn measure(shared: &Shared, handle: &Handle) -> Option<(String, Measured)> {
    let record = handle.record();
    let run = record.state.run()?;
    let stats = cgroup_of(shared, handle)?.stats().ok()?;
    let host_memory_bytes = shared.host.memory_bytes;
    let (system_cpu_ns, online_cpus) = host_cpu();
    let entries = |list: Vec<linux::cgroup::BlockIoEntry>| {
        list.into_iter()
            .map(|e| BlkioEntry { major: e.major, minor: e.minor, op: e.operation, value: e.value })
            .collect()
    };
    let limit = stats.memory.limit_bytes;
    let own_network = record.host_config.network_mode != "host";
    let measured = Measured {
        cpu: CpuCounters {
            total_ns: stats.cpu.total_ns,
            percpu_ns: stats.cpu.per_cpu_ns,
            kernel_ns: stats.cpu.system_ns,
            user_ns: stats.cpu.user_ns,
            periods: stats.cpu.periods,
            throttled_periods: stats.cpu.throttled_periods,
            throttled_ns: stats.cpu.throttled_ns,
        },
        memory: MemoryCounters {
            usage: stats.memory.usage_bytes,
            max_usage: if stats.memory.is_v1 { stats.memory.max_usage_bytes } else { 0 },
            failcnt: stats.memory.fail_count,
            limit: if limit == 0 || limit > host_memory_bytes { host_memory_bytes } else { limit },
            stats: shown(stats.memory.stat, stats.memory.is_v1),
        },
        pids: PidCounters {
            current: stats.pids.current,
            limit: (stats.pids.limit != 0 && stats.pids.limit != u64::MAX).then_some(stats.pids.limit),
        },
        blkio: BlkioCounters {
            service_bytes: entries(stats.block_io.service_bytes),
            serviced: entries(stats.block_io.serviced),
        },
        system_cpu_ns,
        online_cpus,
        host_memory_bytes,
        networks: if own_network { interfaces(run.pid) } else { BTreeMap::new() },
    };
    Some((Timestamp::now().rfc3339(), measured))
}

/// What Docker shows of `memory.stat` (moby `daemon/stats_unix.go`), by cgroup v2 and by v1, where each of them comes with
/// `total_` in front, too.
const V2_MEMORY: &str = "active_anon active_file anon anon_thp file file_dirty file_mapped file_writeback inactive_anon \
     inactive_file kernel_stack pgactivate pgdeactivate pgfault pglazyfree pglazyfreed pgmajfault pgrefill pgscan pgsteal \
     shmem slab slab_reclaimable slab_unreclaimable sock thp_collapse_alloc thp_fault_alloc unevictable \
     workingset_activate workingset_nodereclaim workingset_refault";
const V1_MEMORY: &str = "active_anon active_file cache dirty inactive_anon inactive_file mapped_file pgfault pgmajfault \
     pgpgin pgpgout rss rss_huge unevictable writeback";

fn shown(mut stat: BTreeMap<String, u64>, is_v1: bool) -> BTreeMap<String, u64> {
    let listed = |list: &str, name: &str| list.split_whitespace().any(|known| known == name);
    stat.retain(|name, _| {
        if !is_v1 {
            return listed(V2_MEMORY, name);
        }
        name.starts_with("hierarchical_mem") || listed(V1_MEMORY, name.strip_prefix("total_").unwrap_or(name))
    });
    stat
}

/// The first line of `/proc/stat` in nanoseconds (user nice system idle iowait irq softirq, as Docker adds them), and the
/// number of CPU lines.
fn host_cpu() -> (u64, u32) {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let mut total = 0;
    let mut cpus = 0;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("cpu") => total = words.take(7).filter_map(|w| w.parse::<u64>().ok()).sum::<u64>() * TICK_NS,
            Some(word) if word.starts_with("cpu") => cpus += 1,
            _ => break,
        }
    }
    (total, cpus)
}

/// Counters of the interfaces of a process's network namespace, without the loopback.
fn interfaces(pid: i32) -> BTreeMap<String, InterfaceCounters> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    text.lines().filter_map(parse_interface).filter(|(name, _)| name != "lo").collect()
}

/// `eth0: bytes packets errs drop fifo frame compressed multicast | bytes packets errs drop ...`
fn parse_interface(line: &str) -> Option<(String, InterfaceCounters)> {
    let (name, rest) = line.split_once(':')?;
    let n: Vec<u64> = rest.split_ascii_whitespace().filter_map(|w| w.parse().ok()).collect();
    let [
        rx_bytes,
        rx_packets,
        rx_errors,
        rx_dropped,
        _,
        _,
        _,
        _,
        tx_bytes,
        tx_packets,
        tx_errors,
        tx_dropped,
        ..,
    ] = n[..]
    else {
        return None;
    };
    let counters = InterfaceCounters {
        rx_bytes,
        rx_packets,
        rx_errors,
        rx_dropped,
        tx_bytes,
        tx_packets,
        tx_errors,
        tx_dropped,
    };
    Some((name.trim().to_owned(), counters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_counters_are_read() {
        let line = "  eth0:    1096      12    1    2    0     0          0         0      126       3    4    5    0     0       0          0";
        let (name, counters) = parse_interface(line).unwrap();
        assert_eq!(name, "eth0");
        assert_eq!(
            (counters.rx_bytes, counters.rx_dropped, counters.tx_bytes, counters.tx_dropped),
            (1096, 2, 126, 5)
        );
        assert!(parse_interface("Inter-|   Receive").is_none());
    }
}
