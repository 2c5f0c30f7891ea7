//! From what the user asked for to what the runtime does: pure (moby `daemon/oci_linux.go`, `oci/defaults.go`).

use std::collections::BTreeMap;

use types::config::{HostConfig, Resources};
use types::spec::{
    BlockIo, Capabilities, ConsoleSize, Cpu, Device, DeviceRule, Linux, Memory, Namespace, NamespaceKind,
    Pids, Process, Rlimit, Root, RuntimeSpec, ThrottleDevice, User, WeightDevice,
};
use types::{Mount, Result};

use super::mounts::clean;
use super::record::Record;
use super::{capabilities, security};
use crate::Settings;

/// Paths hidden from containers by default.
pub(crate) const MASKED_PATHS: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// Paths read-only in containers by default.
pub(crate) const READONLY_PATHS: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Where our init appears in a container with `--init`.
const INIT_TARGET: &str = "/sbin/docker-init";

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Everything the specification follows from. Effects (looking up devices, volumes, other containers) come before.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    /// The container.
    pub(crate) record: &'a Record,
    /// The daemon's settings.
    pub(crate) settings: &'a Settings,
    /// Directory on which the root file system is mounted, in the container's own mount namespace.
    pub(crate) root: &'a str,
    /// The user's mounts with their host paths, in order.
    pub(crate) mounts: &'a [ResolvedMount],
    /// Host paths of `resolv.conf`, `hostname`, `hosts`; empty for none.
    pub(crate) files: [&'a str; 3],
    /// Processes whose namespaces are joined.
    pub(crate) joins: Joins,
    /// Devices by name, or all of the host's when privileged.
    pub(crate) devices: &'a [(Device, Option<DeviceRule>)],
    /// Host name of the UTS namespace; empty leaves the host's.
    pub(crate) hostname: &'a str,
    /// The cgroup below each hierarchy's root.
    pub(crate) cgroup: &'a str,
    /// Device numbers of block devices named in limits, by host path.
    pub(crate) block_devices: &'a BTreeMap<String, (i64, i64)>,
    /// The kernel's last capability.
    pub(crate) highest_cap: usize,
    /// Per-CPU throttle files that exist.
    pub(crate) more_masked: &'a [String],
}

/// Processes whose namespaces a container joins.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Joins {
    /// `--ipc container:x`.
    pub(crate) ipc: Option<i32>,
    /// `--pid container:x`.
    pub(crate) pid: Option<i32>,
}

/// One of the user's mounts, ready to perform.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ResolvedMount {
    /// Type, source, destination and options; for binds without `ro` and propagation, which follow from the rest.
    pub(crate) mount: Mount,
    /// Writable.
    pub(crate) rw: bool,
    /// Empty for none.
    pub(crate) propagation: String,
    /// The mounts below stay writable.
    pub(crate) read_only_non_recursive: bool,
}

/// The whole specification. Seccomp is not in it: it goes to the supervisor compiled.
pub(crate) fn build(input: &Input<'_>) -> Result<RuntimeSpec> {
    let Input { record, settings, .. } = input;
    let (config, host) = (&record.config, &record.host_config);
    let options = security::parse(host.security_opt.as_deref().unwrap_or_default())?;
    let caps = capabilities::of_container(
        host.cap_add.as_deref().unwrap_or_default(),
        host.cap_drop.as_deref().unwrap_or_default(),
        host.privileged,
        input.highest_cap,
    )?;
    let (path, args) = record.path_and_args();
    let init = host.init.unwrap_or(settings.init) && !joins_pid(host);
    let mut words = vec![path];
    words.extend(args);
    if init {
        words.splice(0..0, [INIT_TARGET.to_owned(), "--".to_owned()]);
    }
    let [height, width] = host.console_size;
    let process = Process {
        terminal: config.tty,
        console_size: (config.tty && (height, width) != (0, 0))
            .then(|| ConsoleSize { height: u64::from(height), width: u64::from(width) }),
        user: User::default(),
        args: words,
        env: environment(record),
        cwd: if config.working_dir.is_empty() { "/".to_owned() } else { clean(&config.working_dir) },
        capabilities: Some(Capabilities {
            bounding: caps.clone(),
            effective: caps.clone(),
            permitted: caps,
            ..Capabilities::default()
        }),
        rlimits: rlimits(host, settings),
        no_new_privileges: options.no_new_privileges
            || (settings.no_new_privileges && !says_no_new_privileges(host)),
        oom_score_adj: i32::try_from(host.oom_score_adj).ok(),
        ..Process::default()
    };
    let masked = match (&host.masked_paths, host.privileged) {
        (_, true) => Vec::new(),
        (Some(paths), _) => {
            let extra: &[String] = if paths.is_empty() { &[] } else { input.more_masked };
            paths.iter().chain(extra).cloned().collect()
        }
        (None, _) => {
            MASKED_PATHS.iter().map(|p| (*p).to_owned()).chain(input.more_masked.iter().cloned()).collect()
        }
    };
    let read_only = match (&host.readonly_paths, host.privileged) {
        (_, true) => Vec::new(),
        (Some(paths), _) => paths.clone(),
        (None, _) => READONLY_PATHS.iter().map(|p| (*p).to_owned()).collect(),
    };
    let mut limits = resources(&host.resources, input.block_devices);
    limits.devices = device_rules(host, input.devices);
    Ok(RuntimeSpec {
        oci_version: types::spec::VERSION.to_owned(),
        process: Some(process),
        root: Some(Root { path: input.root.to_owned(), readonly: host.readonly_rootfs }),
        hostname: input.hostname.to_owned(),
        domainname: if input.hostname.is_empty() { String::new() } else { config.domainname.clone() },
        mounts: all_mounts(input, init).into_iter().map(in_spec).collect(),
        annotations: host.annotations.clone(),
        linux: Some(Linux {
            sysctl: sysctls(host),
            resources: Some(limits),
            cgroups_path: input.cgroup.to_owned(),
            namespaces: namespaces(host, input.joins),
            devices: input.devices.iter().map(|(device, _)| device.clone()).collect(),
            rootfs_propagation: propagation_of_root(input.mounts),
            masked_paths: masked,
            readonly_paths: read_only,
            ..Linux::default()
        }),
        ..RuntimeSpec::default()
    })
}

fn joins_pid(host: &HostConfig) -> bool {
    host.pid_mode == "host" || host.pid_mode.starts_with("container:")
}

fn says_no_new_privileges(host: &HostConfig) -> bool {
    host.security_opt.iter().flatten().any(|o| o.starts_with("no-new-privileges"))
}

/// Docker's own variables, replaced by the container's.
pub(crate) fn environment(record: &Record) -> Vec<String> {
    let mut env = vec![format!("PATH={DEFAULT_PATH}"), format!("HOSTNAME={}", record.config.hostname)];
    if record.config.tty {
        env.push("TERM=xterm".to_owned());
    }
    merge_env(&mut env, record.config.env.as_deref().unwrap_or_default());
    env
}

/// Replaces or appends variables; one without `=` removes (moby `ReplaceOrAppendEnvValues`).
pub(crate) fn merge_env(env: &mut Vec<String>, changes: &[String]) {
    for change in changes {
        let name = change.split('=').next().unwrap_or_default();
        let here = env.iter().position(|have| have.split('=').next() == Some(name));
        match (here, change.contains('=')) {
            (Some(at), true) => env[at].clone_from(change),
            (Some(at), false) => drop(env.remove(at)),
            (None, true) => env.push(change.clone()),
            (None, false) => {}
        }
    }
}

pub(crate) fn rlimits(host: &HostConfig, settings: &Settings) -> Vec<Rlimit> {
    let mut all = settings.ulimits.clone();
    for limit in host.resources.ulimits.iter().flatten() {
        all.insert(limit.name.clone(), limit.clone());
    }
    // -1 is RLIM_INFINITY, all bits.
    all.into_values()
        .map(|limit| Rlimit {
            kind: format!("RLIMIT_{}", limit.name.to_ascii_uppercase()),
            hard: limit.hard.cast_unsigned(),
            soft: limit.soft.cast_unsigned(),
        })
        .collect()
}

fn namespaces(host: &HostConfig, joins: Joins) -> Vec<Namespace> {
    let new = |kind| Namespace { kind, path: String::new() };
    let of = |kind, pid: i32, name: &str| Namespace { kind, path: format!("/proc/{pid}/ns/{name}") };
    let mut all = vec![new(NamespaceKind::Mount)];
    if host.network_mode != "host" {
        // The namespace itself goes to the supervisor as a descriptor.
        all.push(new(NamespaceKind::Network));
    }
    if host.uts_mode != "host" {
        all.push(new(NamespaceKind::Uts));
    }
    match (joins.pid, host.pid_mode.as_str()) {
        (Some(pid), _) => all.push(of(NamespaceKind::Pid, pid, "pid")),
        (None, "host") => {}
        (None, _) => all.push(new(NamespaceKind::Pid)),
    }
    match (joins.ipc, host.ipc_mode.as_str()) {
        (Some(pid), _) => all.push(of(NamespaceKind::Ipc, pid, "ipc")),
        (None, "host") => {}
        (None, _) => all.push(new(NamespaceKind::Ipc)),
    }
    if host.cgroupns_mode == "private" {
        all.push(new(NamespaceKind::Cgroup));
    }
    all
}

fn sysctls(host: &HostConfig) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let own_network = host.network_mode != "host" && !host.network_mode.starts_with("container:");
    if own_network {
        // Ports below 1024 and ping need no capability inside (moby since 20.10).
        all.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        all.insert("net.ipv4.ping_group_range".to_owned(), "0 2147483647".to_owned());
    }
    all.extend(host.sysctls.clone());
    all
}

/// A mount of the default specification.
fn standard(kind: &str, source: &str, destination: &str, options: &[&str]) -> Mount {
    Mount {
        kind: kind.to_owned(),
        source: source.to_owned(),
        destination: destination.to_owned(),
        options: options.iter().map(|o| (*o).to_owned()).collect(),
    }
}

fn standard_mounts(host: &HostConfig, joins: Joins) -> Vec<Mount> {
    let shm_size = format!("size={}", host.shm_size);
    let mut all = vec![
        standard("proc", "proc", "/proc", &["nosuid", "noexec", "nodev"]),
        standard("tmpfs", "tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        standard(
            "devpts",
            "devpts",
            "/dev/pts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        standard("sysfs", "sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
        standard("cgroup", "cgroup", "/sys/fs/cgroup", &["ro", "nosuid", "noexec", "nodev"]),
        standard("mqueue", "mqueue", "/dev/mqueue", &["nosuid", "noexec", "nodev"]),
    ];
    match (joins.ipc, host.ipc_mode.as_str()) {
        // The other container's own, seen through its root.
        (Some(pid), _) => all.push(standard(
            "bind",
            &format!("/proc/{pid}/root/dev/shm"),
            "/dev/shm",
            &["rbind", "rprivate"],
        )),
        (None, "host") => all.push(standard("bind", "/dev/shm", "/dev/shm", &["rbind", "rprivate"])),
        (None, "none") => {}
        (None, _) => {
            all.push(standard(
                "tmpfs",
                "shm",
                "/dev/shm",
                &["nosuid", "noexec", "nodev", "mode=1777", &shm_size],
            ));
        }
    }
    all
}

fn all_mounts(input: &Input<'_>, init: bool) -> Vec<Mount> {
    let host = &input.record.host_config;
    let mut user: Vec<Mount> =
        host.tmpfs.iter().map(|(target, options)| tmpfs(&clean(target), options)).collect();
    user.extend(input.mounts.iter().map(user_mount));
    for (source, target) in input.files.into_iter().zip(["/etc/resolv.conf", "/etc/hostname", "/etc/hosts"]) {
        if !source.is_empty() && !user.iter().any(|m| m.destination == target) {
            let mut options = vec!["rbind", "rprivate"];
            if host.readonly_rootfs {
                options.push("ro");
            }
            user.push(standard("bind", source, target, &options));
        }
    }
    if init {
        let source = input.settings.init_path.to_string_lossy();
        user.push(standard("bind", &source, INIT_TARGET, &["bind", "ro"]));
    }
    // A mount on /a comes before one on /a/b; the sort is stable.
    user.sort_by_key(|mount| mount.destination.matches('/').count());
    let taken = |target: &str| user.iter().any(|m| m.destination == target);
    let has_dev = taken("/dev");
    let mut all: Vec<Mount> = standard_mounts(host, input.joins)
        .into_iter()
        .filter(|m| !taken(&m.destination) && !(has_dev && m.destination.starts_with("/dev/")))
        .collect();
    for mount in &mut all {
        if host.privileged && (mount.destination == "/sys" || mount.kind == "cgroup") {
            mount.options.retain(|o| o != "ro");
        } else if host.readonly_rootfs
            && !matches!(
                mount.destination.as_str(),
                "/proc" | "/dev" | "/dev/pts" | "/dev/shm" | "/dev/mqueue"
            )
            && !mount.options.iter().any(|o| o == "ro")
        {
            mount.options.push("ro".to_owned());
        }
    }
    all.append(&mut user);
    all
}

/// The same mount in the words of `config.json`.
fn in_spec(mount: Mount) -> types::spec::Mount {
    types::spec::Mount {
        destination: mount.destination,
        kind: mount.kind,
        source: mount.source,
        options: mount.options,
        ..types::spec::Mount::default()
    }
}

/// `--tmpfs`: Docker's defaults, overridden by the user's words.
fn tmpfs(target: &str, options: &str) -> Mount {
    let mut words: Vec<String> = ["noexec", "nosuid", "nodev", "rprivate"].map(str::to_owned).to_vec();
    for word in options.split(',').filter(|w| !w.is_empty()) {
        let opposite = match word {
            "exec" => "noexec",
            "suid" => "nosuid",
            "dev" => "nodev",
            "rw" => "ro",
            "ro" => "rw",
            _ => "",
        };
        let key = word.split('=').next().unwrap_or(word);
        words.retain(|w| w != opposite && w.split('=').next() != Some(key));
        words.push(word.to_owned());
    }
    Mount {
        kind: "tmpfs".to_owned(),
        source: "tmpfs".to_owned(),
        destination: target.to_owned(),
        options: words,
    }
}

fn user_mount(resolved: &ResolvedMount) -> Mount {
    if resolved.mount.kind == "tmpfs" && resolved.mount.source == "tmpfs" {
        return tmpfs(&resolved.mount.destination, &resolved.mount.options.join(","));
    }
    let mut mount = resolved.mount.clone();
    if !resolved.rw {
        // Docker makes the mounts below read-only too where the kernel can (5.12, our floor).
        mount.options.push(if resolved.read_only_non_recursive { "ro" } else { "rro" }.to_owned());
    }
    if !resolved.propagation.is_empty() {
        mount.options.push(resolved.propagation.clone());
    }
    mount
}

/// Shared and slave mounts need a root that is not private.
fn propagation_of_root(mounts: &[ResolvedMount]) -> String {
    let wants = |words: [&str; 2]| mounts.iter().any(|m| words.contains(&m.propagation.as_str()));
    if wants(["shared", "rshared"]) {
        "shared".to_owned()
    } else if wants(["slave", "rslave"]) {
        "rslave".to_owned()
    } else {
        String::new()
    }
}

/// The default device rules, then those of the user's devices and rules.
fn device_rules(host: &HostConfig, devices: &[(Device, Option<DeviceRule>)]) -> Vec<DeviceRule> {
    let all = |allow| DeviceRule { allow, access: "rwm".to_owned(), ..DeviceRule::default() };
    if host.privileged {
        return vec![all(true)];
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
    rules.extend(
        host.resources.device_cgroup_rules.iter().flatten().filter_map(|text| parse_device_rule(text)),
    );
    rules
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

#[cfg(test)]
mod tests;
