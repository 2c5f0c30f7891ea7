//! Measurements.

use engine::containers::view::{BlkioEntry, CpuCounters, Measured, StatsSample};
use wire::stats as body;

/// One sample. A single one that was asked for as `one-shot` has no name, as in Docker.
pub(crate) fn stats(of: StatsSample, is_named: bool) -> body::StatsResponse {
    let (name, id) = if is_named { (format!("/{}", of.name), of.id.into()) } else { Default::default() };
    let mut sample = body::StatsResponse {
        name,
        id,
        read: of.read,
        preread: of.preread,
        ..body::StatsResponse::default()
    };
    if let Some(before) = of.before {
        sample.precpu_stats = cpu(before.cpu, before.system_cpu_ns, before.online_cpus);
    }
    if let Some(now) = of.now {
        fill(&mut sample, now);
    }
    sample
}

fn fill(sample: &mut body::StatsResponse, now: Measured) {
    sample.pids_stats = body::PidsStats { current: now.pids.current, limit: now.pids.limit.unwrap_or(0) };
    sample.blkio_stats = body::BlkioStats {
        io_service_bytes_recursive: Some(now.blkio.service_bytes.into_iter().map(entry).collect()),
        io_serviced_recursive: Some(now.blkio.serviced.into_iter().map(entry).collect()),
        io_queue_recursive: Some(Vec::new()),
        io_service_time_recursive: Some(Vec::new()),
        io_wait_time_recursive: Some(Vec::new()),
        io_merged_recursive: Some(Vec::new()),
        io_time_recursive: Some(Vec::new()),
        sectors_recursive: Some(Vec::new()),
    };
    sample.cpu_stats = cpu(now.cpu, now.system_cpu_ns, now.online_cpus);
    sample.memory_stats = body::MemoryStats {
        usage: now.memory.usage,
        max_usage: now.memory.max_usage,
        stats: Some(now.memory.stats),
        failcnt: now.memory.failcnt,
        limit: now.memory.limit,
    };
    let networks = now.networks.into_iter().map(|(name, of)| {
        let counters = body::NetworkStats {
            rx_bytes: of.rx_bytes,
            rx_packets: of.rx_packets,
            rx_errors: of.rx_errors,
            rx_dropped: of.rx_dropped,
            tx_bytes: of.tx_bytes,
            tx_packets: of.tx_packets,
            tx_errors: of.tx_errors,
            tx_dropped: of.tx_dropped,
        };
        (name, counters)
    });
    sample.networks =
        Some(networks.collect()).filter(|map: &std::collections::BTreeMap<_, _>| !map.is_empty());
}

fn cpu(of: CpuCounters, system_cpu_usage: u64, online_cpus: u32) -> body::CpuStats {
    body::CpuStats {
        cpu_usage: body::CpuUsage {
            total_usage: of.total_ns,
            percpu_usage: Some(of.percpu_ns).filter(|cpus| !cpus.is_empty()),
            usage_in_kernelmode: of.kernel_ns,
            usage_in_usermode: of.user_ns,
        },
        system_cpu_usage,
        online_cpus,
        throttling_data: body::ThrottlingData {
            periods: of.periods,
            throttled_periods: of.throttled_periods,
            throttled_time: of.throttled_ns,
        },
    }
}

fn entry(of: BlkioEntry) -> body::BlkioEntry {
    body::BlkioEntry { major: of.major, minor: of.minor, op: of.op, value: of.value }
}
