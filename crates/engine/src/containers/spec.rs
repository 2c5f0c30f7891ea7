//! From what the user asked for to what the runtime does: pure (moby `daemon/oci_linux.go`, `oci/defaults.go`).

mod limits;
mod mounts;

use std::collections::{BTreeMap, HashMap};

use types::config::HostConfig;
use types::spec::{
    Capabilities, ConsoleSize, Device, DeviceRule, Linux, Namespace, NamespaceKind, Process, Rlimit, Root,
    RuntimeSpec, User,
};
use types::{Mount, Result};

use super::mounts::clean;
use super::record::Record;
use super::{capabilities, security};
use crate::Settings;

use limits::device_rules;
pub(crate) use limits::{limited_devices, resources};
pub(crate) use mounts::{OWNER, bind_file, mount_of};
use mounts::{all_mounts, in_spec, propagation_of_root};

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
    /// Variables that tell of linked containers.
    pub(crate) linked: &'a [String],
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
    /// Whether the kernel enforces AppArmor profiles; elsewhere Docker passes over them, and so do we.
    pub(crate) apparmor: bool,
    /// Per-CPU throttle files that exist.
    pub(crate) more_masked: &'a [String],
}

/// Processes whose namespaces a container joins.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Joins {
    /// `--ipc container:x`, whose `/dev/shm` is shared, too.
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
        env: environment(record, input.linked),
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
        apparmor_profile: match options.apparmor.as_str() {
            profile if input.apparmor && profile != "unconfined" => profile.to_owned(),
            _ => String::new(),
        },
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
    limits.devices = device_rules(host, input.devices)?;
    Ok(RuntimeSpec {
        oci_version: types::spec::VERSION.to_owned(),
        process: Some(process),
        root: Some(Root { path: input.root.to_owned(), readonly: host.readonly_rootfs }),
        hostname: input.hostname.to_owned(),
        domainname: if input.hostname.is_empty() { String::new() } else { config.domainname.clone() },
        mounts: all_mounts(input, init, options.writable_cgroups.unwrap_or(host.privileged))?
            .into_iter()
            .map(in_spec)
            .collect(),
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

/// Docker's own variables and those of links, replaced by the container's.
pub(crate) fn environment(record: &Record, linked: &[String]) -> Vec<String> {
    let mut env = vec![format!("PATH={DEFAULT_PATH}"), format!("HOSTNAME={}", record.config.hostname)];
    if record.config.tty {
        env.push("TERM=xterm".to_owned());
    }
    env.extend_from_slice(linked);
    merge_env(&mut env, record.config.env.as_deref().unwrap_or_default());
    env
}

/// Replaces or appends variables; one without `=` removes (moby `ReplaceOrAppendEnvValues`).
pub(crate) fn merge_env(env: &mut Vec<String>, changes: &[String]) {
    let name_of = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let mut slots: Vec<Option<String>> = env.drain(..).map(Some).collect();
    // By name, for a client may send very many. The first one counts.
    let named = slots.iter().enumerate().rev().filter_map(|(at, slot)| Some((name_of(slot.as_ref()?), at)));
    let places: HashMap<String, usize> = named.collect();
    // What a change has added, a later one replaces, but does not remove: Docker looks at what was there before.
    let mut added: HashMap<String, usize> = HashMap::new();
    for change in changes {
        let name = name_of(change);
        match (places.get(&name).or_else(|| added.get(&name)), change.contains('=')) {
            (Some(&at), true) => slots[at] = Some(change.clone()),
            (Some(_), false) if added.contains_key(&name) => {}
            (Some(&at), false) => slots[at] = None,
            (None, true) => {
                added.insert(name, slots.len());
                slots.push(Some(change.clone()));
            }
            (None, false) => {}
        }
    }
    env.extend(slots.into_iter().flatten());
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

#[cfg(test)]
mod tests;
