//! Facts about the daemon and its host.

mod view;

use std::path::Path;
use std::sync::Arc;

use store::Store;
use types::{Error, Result};

use crate::containers::request::ListRequest;
use crate::containers::state::Status;
use crate::{Containers, Events, ProxySettings, Settings, Timestamp, Volumes, blocking, random};

pub use view::{DiskUsage, Info, Version};

/// Facts about the daemon and its host. A cheap handle.
#[derive(Debug, Clone)]
pub struct System {
    settings: Arc<Settings>,
    store: Arc<Store>,
    events: Events,
    containers: Containers,
    volumes: Volumes,
    /// Random, kept in the data root.
    id: String,
}

impl System {
    /// Blocks.
    pub(crate) fn new(
        settings: Arc<Settings>,
        store: Arc<Store>,
        events: Events,
        containers: Containers,
        volumes: Volumes,
    ) -> Result<Self> {
        const KEY: &str = "daemon-id";
        let id = match store.db().setting(KEY).map_err(Error::from)? {
            Some(id) => id,
            None => {
                let id = uuid(random::bytes()?);
                store.db().set_setting(KEY, &id).map_err(Error::from)?;
                id
            }
        };
        Ok(Self { settings, store, events, containers, volumes, id })
    }

    pub(crate) fn keeps_containers(&self) -> bool {
        self.settings.live.now().live_restore
    }

    /// On the way to registries.
    pub(crate) fn proxies(&self) -> &ProxySettings {
        &self.settings.proxies
    }

    /// Takes over what can change, and tells so.
    pub(crate) fn reload(&self, next: crate::Reloadable) {
        let mut attributes = next.attributes();
        attributes.insert("name".to_owned(), self.containers.host().hostname.clone());
        self.settings.live.replace(next);
        self.events.publish("daemon", "reload", &self.id, attributes);
    }

    /// `GET /info`.
    pub async fn info(&self) -> Result<Info> {
        let this = self.clone();
        blocking(move || this.read_info()).await
    }

    fn read_info(&self) -> Result<Info> {
        let (settings, host) = (&self.settings, self.containers.host());
        let live = settings.live.now();
        let states = self.containers.states();
        let count = |wanted: &[Status]| states.iter().filter(|status| wanted.contains(status)).count();
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let is_v2 = host.validate.is_v2;
        let has = |controller: &str| has_controller(controller, is_v2);
        let ipv4_forwarding = read("/proc/sys/net/ipv4/ip_forward").trim() == "1";
        let memory = has("memory");
        let cfs = has("cpu");
        let mut warnings = Vec::new();
        for (missing, text) in [
            (!memory, "WARNING: No memory limit support"),
            (!host.validate.swap, "WARNING: No swap limit support"),
            (!ipv4_forwarding, "WARNING: IPv4 forwarding is disabled"),
        ] {
            if missing {
                warnings.push(text.to_owned());
            }
        }
        let mut security_options = Vec::new();
        if host.seccomp {
            let profile =
                if settings.seccomp_profile.is_empty() { "builtin" } else { &settings.seccomp_profile };
            security_options.push(format!("name=seccomp,profile={profile}"));
        }
        if is_v2 || live.cgroupns_mode == "private" {
            security_options.push("name=cgroupns".to_owned());
        }
        if settings.no_new_privileges {
            security_options.push("name=no-new-privileges".to_owned());
        }
        let os = read("/etc/os-release");
        let os_field = |key: &str| {
            os.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                .map(|v| v.trim_matches('"').to_owned())
                .unwrap_or_default()
        };
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect();
        let snapshotter = self.store.snapshots().name();
        Ok(Info {
            id: self.id.clone(),
            containers: states.len(),
            containers_running: count(&[Status::Running, Status::Restarting]),
            containers_paused: count(&[Status::Paused]),
            containers_stopped: count(&[Status::Created, Status::Exited, Status::Dead, Status::Removing]),
            images: self.store.images().list().map_err(Error::from)?.len(),
            driver: crate::containers::driver_name(snapshotter).to_owned(),
            driver_status: driver_status(snapshotter, self.store.paths().root()),
            log_plugins: words(&["json-file", "local", "none"]),
            network_plugins: words(&["bridge", "host", "null"]),
            volume_plugins: self.volumes.drivers(),
            memory_limit: memory,
            swap_limit: host.validate.swap,
            kernel_memory_tcp: !is_v2 && memory,
            cpu_cfs_period: cfs,
            cpu_cfs_quota: cfs,
            cpu_shares: cfs,
            cpu_set: has("cpuset"),
            pids_limit: has("pids"),
            ipv4_forwarding,
            debug: live.debug,
            n_fd: std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
            oom_kill_disable: !is_v2 && memory,
            n_goroutines: std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count),
            system_time: Timestamp::now().rfc3339(),
            logging_driver: settings.log.driver.clone(),
            cgroup_driver: if settings.systemd_cgroup { "systemd" } else { "cgroupfs" }.to_owned(),
            cgroup_version: if is_v2 { "2" } else { "1" }.to_owned(),
            n_events_listener: self.events.listeners(),
            kernel_version: host.kernel_release.clone(),
            operating_system: os_field("PRETTY_NAME"),
            os_version: os_field("VERSION_ID"),
            architecture: std::env::consts::ARCH.to_owned(),
            ncpu: host.validate.cpus,
            mem_total: host.memory_bytes,
            docker_root_dir: settings.data_root.to_string_lossy().into_owned(),
            http_proxy: ProxySettings::masked(&settings.proxies.http),
            https_proxy: ProxySettings::masked(&settings.proxies.https),
            no_proxy: settings.proxies.none.clone(),
            name: host.hostname.clone(),
            labels: live.labels.clone(),
            experimental: settings.experimental,
            server_version: settings.version.clone(),
            runtimes: live.runtimes.list(),
            default_runtime: live.runtimes.default_name().to_owned(),
            live_restore: live.live_restore,
            init_binary: "docker-init".to_owned(),
            security_options,
            warnings,
            insecure_registries: live.insecure_registries.clone(),
            registry_mirrors: live.registry_mirrors.clone(),
        })
    }

    /// `GET /version`.
    pub fn version(&self) -> Version {
        let settings = &self.settings;
        Version {
            version: settings.version.clone(),
            git_commit: settings.git_commit.clone(),
            build_time: settings.build_time.clone(),
            os: "linux".to_owned(),
            arch: types::Platform::host().architecture,
            kernel_version: self.containers.host().kernel_release.clone(),
            experimental: settings.experimental,
        }
    }

    /// `GET /system/df`; images are the images part's business.
    pub async fn df(&self) -> Result<DiskUsage> {
        let request = ListRequest { all: true, size: true, ..ListRequest::default() };
        Ok(DiskUsage {
            containers: self.containers.list(request).await?,
            volumes: self.volumes.usage().await?,
            containers_by_image: self.containers.by_image(),
        })
    }
}

fn has_controller(controller: &str, is_v2: bool) -> bool {
    let hierarchies = linux::cgroup::hierarchies();
    if !is_v2 {
        return hierarchies.v1.keys().any(|name| name.split(',').any(|n| n == controller));
    }
    let file = hierarchies.v2.as_ref().map(|root| root.join("cgroup.controllers"));
    let text = file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    text.split_whitespace().any(|name| name == controller)
}

fn driver_status(snapshotter: &str, root: &Path) -> Vec<(String, String)> {
    if !matches!(snapshotter, "overlay" | "erofs") {
        return Vec::new();
    }
    // statfs(2) magic numbers, in Docker's words.
    let backing = rustix::fs::statfs(root).map_or("<unknown>", |stat| match stat.f_type as u64 {
        0xef53 => "extfs",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x0102_1994 => "tmpfs",
        0x794c_7630 => "overlayfs",
        0x2fc1_2fc1 => "zfs",
        _ => "<unknown>",
    });
    [
        ("Backing Filesystem", backing),
        ("Supports d_type", "true"),
        ("Using metacopy", "false"),
        ("Native Overlay Diff", "true"),
        ("userxattr", "false"),
    ]
    .into_iter()
    // How layers lie under the overlay, where it is not as trees.
    .chain((snapshotter == "erofs").then_some(("Layers", "erofs")))
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// RFC 9562 version 4 from random bytes.
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = types::id::hex(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
