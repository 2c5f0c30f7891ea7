//! What `runtime events` tells beyond [`super::Stats`]: numbers that nobody asks for each second.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Cgroup;
use super::file::{read, read_key, read_number};
use super::stats::{BlockIoEntry, v1_block_io_line};

/// A limit and its use, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// `u64::MAX` without one.
    pub limit: u64,
    /// Now.
    pub usage: u64,
    /// The most so far.
    pub max: u64,
    /// Times the limit was hit.
    pub fail_count: u64,
}

/// How long tasks waited for something (Documentation/accounting/psi.rst).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// Percent of the last 10, 60 and 300 seconds.
    pub average: [f64; 3],
    /// Microseconds in all.
    pub total: u64,
}

/// Some tasks, and all of them, waiting.
pub type Pressures = (Pressure, Pressure);

/// Numbers by controller; what a hierarchy does not have is left at its default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    /// Kernel memory; v1 only.
    pub kernel: Usage,
    /// TCP buffers; v1 only.
    pub kernel_tcp: Usage,
    /// By page size (`2MB`).
    pub hugetlb: BTreeMap<String, Usage>,
    /// Processors and memory nodes that may be used.
    pub cpus: Vec<u16>,
    /// As [`Details::cpus`].
    pub mems: Vec<u16>,
    /// The numbers of v1's `cpuset.*` files by name.
    pub cpuset: BTreeMap<&'static str, i64>,
    /// Nanoseconds by processor in user mode and in the kernel; v1 only.
    pub per_cpu_ns: (Vec<u64>, Vec<u64>),
    /// v2 only, where the kernel keeps count.
    pub cpu_pressure: Option<Pressures>,
    /// As [`Details::cpu_pressure`].
    pub memory_pressure: Option<Pressures>,
    /// As [`Details::cpu_pressure`].
    pub io_pressure: Option<Pressures>,
    /// v1: lists of `blkio.*` by name, such as `io_wait_time_recursive`.
    pub block_io: BTreeMap<&'static str, Vec<BlockIoEntry>>,
}

const CPUSET: [&str; 9] = [
    "cpu_exclusive",
    "mem_hardwall",
    "mem_exclusive",
    "memory_migrate",
    "memory_spread_page",
    "memory_spread_slab",
    "memory_pressure",
    "sched_load_balance",
    "sched_relax_domain_level",
];
const BLOCK_IO: [&str; 6] = [
    "io_queued_recursive",
    "io_service_time_recursive",
    "io_wait_time_recursive",
    "io_merged_recursive",
    "time_recursive",
    "sectors_recursive",
];

impl Cgroup {
    /// Reads them.
    pub fn details(&self) -> Details {
        match (&self.v2, self.v1.is_empty()) {
            (Some(directory), true) => v2(directory),
            _ => v1(&self.v1),
        }
    }
}

fn v2(directory: &Path) -> Details {
    let number = |name: &str| read_number(directory, name).unwrap_or(0);
    let hugetlb = page_sizes(directory).into_iter().map(|size| {
        let events = format!("hugetlb.{size}.events");
        let usage = Usage {
            limit: number(&format!("hugetlb.{size}.max")),
            usage: number(&format!("hugetlb.{size}.current")),
            max: 0,
            fail_count: read_key(directory, &events, "max").unwrap_or(0),
        };
        (size, usage)
    });
    let pressure = |name: &str| read(directory, name).ok().and_then(|text| pressures(&text));
    Details {
        hugetlb: hugetlb.collect(),
        cpus: list(&read(directory, "cpuset.cpus").unwrap_or_default()),
        mems: list(&read(directory, "cpuset.mems").unwrap_or_default()),
        cpu_pressure: pressure("cpu.pressure"),
        memory_pressure: pressure("memory.pressure"),
        io_pressure: pressure("io.pressure"),
        ..Details::default()
    }
}

/// User and system columns of `cpuacct.usage_all`, below their title.
fn per_cpu(text: &str) -> (Vec<u64>, Vec<u64>) {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().skip(1).map(|number| number.parse::<u64>().ok());
        Some((numbers.next()??, numbers.next()??))
    };
    text.lines().skip(1).filter_map(line).unzip()
}

fn v1(directories: &BTreeMap<String, PathBuf>) -> Details {
    let find = |controller: &str| {
        let holds = |names: &str| names.split(',').any(|name| name == controller);
        directories.iter().find(|(names, _)| holds(names)).map(|(_, directory)| directory.as_path())
    };
    let mut details = Details::default();
    let usage = |directory: &Path, prefix: &str| {
        let number = |name: &str| read_number(directory, &format!("{prefix}.{name}")).unwrap_or(0);
        Usage {
            limit: number("limit_in_bytes"),
            usage: number("usage_in_bytes"),
            max: number("max_usage_in_bytes"),
            fail_count: number("failcnt"),
        }
    };
    if let Some(directory) = find("memory") {
        details.kernel = usage(directory, "memory.kmem");
        details.kernel_tcp = usage(directory, "memory.kmem.tcp");
    }
    if let Some(text) = find("cpuacct").and_then(|directory| read(directory, "cpuacct.usage_all").ok()) {
        details.per_cpu_ns = per_cpu(&text);
    }
    if let Some(directory) = find("hugetlb") {
        let sizes = page_sizes(directory).into_iter();
        details.hugetlb =
            sizes.map(|size| (size.clone(), usage(directory, &format!("hugetlb.{size}")))).collect();
    }
    if let Some(directory) = find("cpuset") {
        details.cpus = list(&read(directory, "cpuset.cpus").unwrap_or_default());
        details.mems = list(&read(directory, "cpuset.mems").unwrap_or_default());
        for name in CPUSET {
            let text = read(directory, &format!("cpuset.{name}")).unwrap_or_default();
            details.cpuset.insert(name, text.trim().parse().unwrap_or(0));
        }
    }
    if let Some(directory) = find("blkio") {
        for name in BLOCK_IO {
            let texts = ["blkio.bfq", "blkio"].map(|prefix| read(directory, &format!("{prefix}.{name}")));
            let text = texts.into_iter().flatten().next().unwrap_or_default();
            details.block_io.insert(name, text.lines().filter_map(v1_block_io_line).collect());
        }
    }
    details
}

/// `2MB` and so on: the sizes that the cgroup has files for.
fn page_sizes(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let size = |name: String| {
        let rest = name.strip_prefix("hugetlb.")?;
        let size = rest.strip_suffix(".max").or(rest.strip_suffix(".limit_in_bytes"))?;
        (!size.contains('.')).then(|| size.to_owned())
    };
    entries.filter_map(|entry| size(entry.file_name().into_string().ok()?)).collect()
}

/// `0-2,7`
fn list(text: &str) -> Vec<u16> {
    let part = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u16>().ok()?..=last.parse().ok()?)
    };
    text.trim().split(',').filter_map(part).flatten().collect()
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and `full` likewise.
fn pressures(text: &str) -> Option<Pressures> {
    let line = |word: &str| {
        let mut found = Pressure::default();
        let rest = text.lines().find_map(|line| line.strip_prefix(word))?;
        for (key, value) in rest.split_whitespace().filter_map(|pair| pair.split_once('=')) {
            match key {
                "avg10" => found.average[0] = value.parse().ok()?,
                "avg60" => found.average[1] = value.parse().ok()?,
                "avg300" => found.average[2] = value.parse().ok()?,
                "total" => found.total = value.parse().ok()?,
                _ => {}
            }
        }
        Some(found)
    };
    Some((line("some")?, line("full").unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_pressures_are_read() {
        assert_eq!(list("0-2,7\n"), [0, 1, 2, 7]);
        assert_eq!(list("\n"), [] as [u16; 0]);
        let text = "some avg10=1.50 avg60=0.00 avg300=0.25 total=77\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n";
        let (some, full) = pressures(text).unwrap();
        assert_eq!((some.average, some.total, full.total), ([1.5, 0.0, 0.25], 77, 5));
        assert!(pressures("").is_none());
    }

    #[test]
    fn both_versions_are_read() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("hugetlb.2MB.max", "max\n"),
            ("hugetlb.2MB.current", "4096\n"),
            ("hugetlb.2MB.rsvd.max", "0\n"),
            ("hugetlb.2MB.events", "max 3\n"),
            ("cpuset.cpus", "1\n"),
            ("memory.kmem.usage_in_bytes", "9\n"),
            ("cpuset.sched_relax_domain_level", "-1\n"),
            ("blkio.io_wait_time_recursive", "8:0 Read 5\nTotal 5\n"),
            ("cpuacct.usage_all", "cpu user system\n0 7 8\n1 9 10\n"),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let unified = v2(dir.path());
        let page = Usage { limit: u64::MAX, usage: 4096, max: 0, fail_count: 3 };
        assert_eq!((unified.hugetlb, unified.cpus), (BTreeMap::from([("2MB".to_owned(), page)]), vec![1]));
        let names =
            ["memory", "cpuset", "blkio", "cpu,cpuacct"].map(|name| (name.to_owned(), dir.path().to_owned()));
        let legacy = v1(&names.into());
        assert_eq!((legacy.kernel.usage, legacy.cpuset["sched_relax_domain_level"]), (9, -1));
        assert_eq!(legacy.per_cpu_ns, (vec![7, 9], vec![8, 10]));
        assert_eq!(legacy.block_io["io_wait_time_recursive"].len(), 1);
    }
}
