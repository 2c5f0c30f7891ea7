//! Facts about the host that containers depend on; read once when the daemon starts.

use super::{capabilities, seccomp, validate};

/// Facts about the host.
#[derive(Debug, Clone)]
pub(crate) struct HostFacts {
    /// For the checks of a request.
    pub(crate) validate: validate::Host,
    /// The kernel's last capability.
    pub(crate) highest_cap: usize,
    /// Whether the kernel enforces AppArmor profiles.
    pub(crate) apparmor: bool,
    /// Version of the kernel.
    pub(crate) kernel: (u32, u32),
    /// `uname -r`.
    pub(crate) kernel_release: String,
    /// The kernel filters system calls.
    pub(crate) seccomp: bool,
    /// Per-CPU throttle directories that tell about the host.
    pub(crate) thermal: Vec<String>,
    /// The host's name.
    pub(crate) hostname: String,
    /// Bytes.
    pub(crate) memory_bytes: u64,
}

impl HostFacts {
    /// Asks the kernel. Blocks.
    pub(crate) fn read() -> Self {
        let uname = rustix::system::uname();
        let kernel_release = uname.release().to_string_lossy().into_owned();
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpu_set = validate::parse_set(&read("/sys/devices/system/cpu/online")).unwrap_or_default();
        let mem_set = validate::parse_set(&read("/sys/devices/system/node/online")).unwrap_or_default();
        let hierarchies = linux::cgroup::hierarchies();
        let is_v2 = hierarchies.v1.is_empty();
        let v1 = |controller: &str| {
            hierarchies
                .v1
                .iter()
                .find(|(name, _)| name.split(',').any(|n| n == controller))
                .map(|(_, path)| path.clone())
        };
        let swap = match v1("memory") {
            Some(memory) => memory.join("memory.memsw.limit_in_bytes").exists(),
            None => is_v2,
        };
        let blkio_has = |file: &str| match v1("blkio") {
            Some(blkio) => blkio.join(format!("blkio.{file}")).exists(),
            None => is_v2,
        };
        let cpu_realtime = v1("cpu").is_some_and(|cpu| cpu.join("cpu.rt_period_us").exists());
        let mut thermal: Vec<String> = cpu_set
            .iter()
            .map(|n| format!("/sys/devices/system/cpu/cpu{n}/thermal_throttle"))
            .filter(|path| std::path::Path::new(path).exists())
            .collect();
        thermal.sort();
        let info = rustix::system::sysinfo();
        Self {
            validate: validate::Host {
                cpus: cpu_set.len().max(1),
                mem_set: if mem_set.is_empty() { vec![0] } else { mem_set },
                cpu_set,
                is_v2,
                swap,
                blkio_weight: blkio_has("weight") || blkio_has("bfq.weight"),
                blkio_weight_device: blkio_has("weight_device"),
                cpu_realtime,
            },
            highest_cap: capabilities::highest(),
            apparmor: read("/sys/module/apparmor/parameters/enabled").starts_with('Y'),
            kernel: seccomp::version(&kernel_release).unwrap_or((5, 14)),
            seccomp: read("/proc/self/status").contains("\nSeccomp:"),
            kernel_release,
            thermal,
            hostname: uname.nodename().to_string_lossy().into_owned(),
            memory_bytes: u64::from(info.mem_unit) * info.totalram as u64,
        }
    }
}
