//! Which hierarchies are mounted, found once per process: mount tables are long and mounts of cgroups do not move.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::Result;

/// Which cgroup version the host's controllers are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Controllers in v1 hierarchies, no v2 mounted.
    V1,
    /// Controllers in v1 hierarchies, and a v2 hierarchy beside them.
    Hybrid,
    /// One v2 hierarchy.
    V2,
}

/// Mount points.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hierarchies {
    /// Controllers as the kernel lists them (`cpu,cpuacct`, `name=systemd`) to mount point.
    pub v1: BTreeMap<String, PathBuf>,
    /// Mount point of v2.
    pub v2: Option<PathBuf>,
}

impl Hierarchies {
    /// Which case this is.
    pub fn version(&self) -> Version {
        match (self.v1.is_empty(), &self.v2) {
            (true, _) => Version::V2,
            (false, Some(_)) => Version::Hybrid,
            (false, None) => Version::V1,
        }
    }

    /// The v1 mount point that holds `controller`.
    pub fn v1_of(&self, controller: &str) -> Option<(&String, &PathBuf)> {
        self.v1.iter().find(|(names, _)| names.split(',').any(|name| name == controller))
    }
}

/// What is mounted below `/sys/fs/cgroup`, read at the first call.
pub fn hierarchies() -> &'static Hierarchies {
    static FOUND: OnceLock<Hierarchies> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mounts = super::file::read_whole(Path::new("/proc/self/mounts")).unwrap_or_default();
        parse_mounts(&mounts)
    })
}

/// Which cgroup version this host has.
pub fn detect() -> Version {
    hierarchies().version()
}

/// Mount options that are no controllers.
const NOT_CONTROLLERS: [&str; 13] = [
    "rw",
    "ro",
    "relatime",
    "noatime",
    "nosuid",
    "nodev",
    "noexec",
    "xattr",
    "noprefix",
    "clone_children",
    "all",
    "cpuset_v2_mode",
    "favordynmods",
];

pub(super) fn parse_mounts(text: &str) -> Hierarchies {
    let mut found = Hierarchies::default();
    for line in text.lines() {
        let mut fields = line.split(' ');
        let (Some(_), Some(point), Some(kind), Some(options)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if !(point == "/sys/fs/cgroup" || point.starts_with("/sys/fs/cgroup/")) {
            continue; // those of other containers' trees
        }
        match kind {
            "cgroup2" if found.v2.is_none() => found.v2 = Some(PathBuf::from(point)),
            "cgroup" => {
                let controllers: Vec<&str> = options
                    .split(',')
                    .filter(|option| {
                        !NOT_CONTROLLERS.contains(option) && !option.starts_with("release_agent=")
                    })
                    .collect();
                if !controllers.is_empty() {
                    found.v1.entry(controllers.join(",")).or_insert_with(|| PathBuf::from(point));
                }
            }
            _ => {}
        }
    }
    found
}

/// The cgroups a process is in (`/proc/PID/cgroup`).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) v1: BTreeMap<String, String>,
    pub(super) v2: Option<String>,
}

pub(super) fn own_membership() -> Result<Membership> {
    let path = Path::new("/proc/self/cgroup");
    let text = super::file::read_whole(path).map_err(|source| super::file::error("read", path, source))?;
    Ok(parse_membership(&text))
}

pub(super) fn parse_membership(text: &str) -> Membership {
    let mut own = Membership::default();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(names), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if names.is_empty() {
            own.v2 = Some(path.to_owned());
        } else {
            own.v1.insert(names.to_owned(), path.to_owned());
        }
    }
    own
}
