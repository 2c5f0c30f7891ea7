//! Control groups: one container's cgroup in whichever hierarchies the host has.
//!
//! | Host | Where a container's cgroup is |
//! |---|---|
//! | v2 | one directory in the one hierarchy |
//! | v1 | one directory in each hierarchy (cpu, memory, pids, ...) |
//! | hybrid | as v1, and one in the v2 hierarchy beside them, which then holds few controllers or none |
//!
//! Nothing here mounts, unmounts or reconfigures a hierarchy. Paths are relative to each hierarchy's mount point.
//! Sources: `Documentation/admin-guide/cgroup-v2.rst`, `cgroup-v1/`, OCI config-linux.md "Control groups".

pub mod convert;
mod details;
pub(crate) mod devices;
mod entrance;
mod file;
#[cfg(fuzzing)]
pub mod fuzz;
mod hierarchy;
mod oom;
mod stats;
pub(crate) mod systemd;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use types::spec::Resources;

pub use details::{Details, Pressure, Pressures, Usage};
pub use devices::{DeviceError, is_device_rule_valid};
pub use entrance::Entrance;
pub use hierarchy::{Hierarchies, Version, detect, hierarchies};
pub use stats::{BlockIoEntry, BlockIoStats, CpuStats, MemoryStats, PidsStats, Stats};
pub use systemd::{Located, Unit};

/// What failed, and where.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory of a hierarchy.
    #[error("cgroup: {action} {}: {source}", path.display())]
    Io {
        /// `create`, `write "x" to`, ...
        action: String,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No hierarchy is mounted.
    #[error("cgroup: no cgroup hierarchy is mounted")]
    NotMounted,
    /// The path leaves its hierarchy.
    #[error("cgroup: invalid path {0:?}")]
    InvalidPath(String),
    /// A limit that cannot be what the user meant.
    #[error("cgroup: {0}")]
    Invalid(String),
    /// A limit that this host's cgroup version does not have.
    #[error("cgroup: {0}")]
    Unsupported(String),
    /// Device rules.
    #[error("cgroup: {0}")]
    Devices(#[from] DeviceError),
    /// Processes of others.
    #[error("container's cgroup is not empty: {0} process(es) found")]
    Occupied(usize),
    /// Stopped by someone else.
    #[error("container's cgroup unexpectedly frozen")]
    Frozen,
    /// systemd, or the way to it.
    #[error("{0}")]
    Systemd(#[from] crate::dbus::Error),
    /// Processes that do not go away.
    #[error("cgroup: {} still has processes", .0.display())]
    Busy(PathBuf),
}

impl Error {
    /// Whether the caller lacks the right to do this, so that a rootless caller may go on without.
    pub fn is_permission(&self) -> bool {
        use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem))
    }

    /// Whether it is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

/// Result of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// How long [`Cgroup::remove`] and [`Cgroup::freeze`] wait for the kernel.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// One container's cgroup.
#[derive(Debug)]
pub struct Cgroup {
    /// v1: hierarchy name (`memory`, `cpu,cpuacct`, `name=systemd`) to directory.
    v1: BTreeMap<String, PathBuf>,
    /// v2 directory, also in hybrid mode.
    v2: Option<PathBuf>,
    /// Its descriptor, on pure v2 only: what `CLONE_INTO_CGROUP` wants.
    v2_fd: Option<OwnedFd>,
    /// The unit that it is of systemd's.
    unit: Option<Unit>,
}

impl Cgroup {
    /// Makes the cgroup at `path` and sets `resources`. An existing one is taken over, if there are no processes in it.
    ///
    /// An absolute path starts at each hierarchy's mount point, a relative one at the caller's own cgroup (v1) or beside it
    /// (v2). On failure
    /// what was made is removed again.
    pub fn create(path: &str, resources: &Resources) -> Result<Self> {
        let cgroup = Self::create_unlimited(path)?;
        if let Err(error) = cgroup.set(resources, Moment::Create) {
            // The error of the limit is what the user must see; a directory left over is harmless and reused.
            let _removed = cgroup.remove();
            return Err(error);
        }
        Ok(cgroup)
    }

    fn create_unlimited(path: &str) -> Result<Self> {
        let mut cgroup = Self::locate(path)?;
        let mut made = Vec::new();
        let done = cgroup.make_directories(&mut made).and_then(|()| cgroup.open_descriptor());
        if let Err(error) = done {
            for directory in made {
                // Empty as it was made; the first error is the one to tell.
                let _ = std::fs::remove_dir(directory);
            }
            return Err(error);
        }
        Ok(cgroup)
    }

    fn make_directories(&self, made: &mut Vec<PathBuf>) -> Result<()> {
        let mut existed = false;
        let mut note = |directory: &PathBuf, there: bool| {
            existed |= there;
            if !there {
                made.push(directory.clone());
            }
        };
        for (name, directory) in &self.v1 {
            note(directory, v1::create(name, directory)?);
        }
        if let Some(directory) = &self.v2 {
            let root = hierarchies().v2.as_deref().ok_or(Error::NotMounted)?;
            note(directory, v2::create(root, directory, self.v1.is_empty())?);
        }
        if !existed {
            return Ok(());
        }
        // Whoever is in there would get the container's limits, and die with it.
        let others = self.pids()?.len();
        if others > 0 {
            return Err(Error::Occupied(others));
        }
        // What is born there would stop at its first step, and its creator would wait for ever.
        if self.is_frozen().unwrap_or(false) { Err(Error::Frozen) } else { Ok(()) }
    }

    /// Finds the cgroup at `path` again, or that of a unit of systemd's named as [`Unit::of_path`] has it. Fails when it is gone
    /// from every hierarchy.
    pub fn open(path: &str) -> Result<Self> {
        if let Some(unit) = Unit::of_path(path) {
            return Ok(Self::at(&unit.paths()?)?.of_unit(Some(unit)));
        }
        let mut cgroup = Self::locate(path)?;
        cgroup.v1.retain(|_, directory| directory.is_dir());
        let gone = cgroup.v2.clone().filter(|directory| !directory.is_dir());
        if gone.is_some() {
            cgroup.v2 = None;
        }
        if cgroup.v1.is_empty() && cgroup.v2.is_none() {
            let path = gone.unwrap_or_else(|| PathBuf::from(path));
            let source = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(Error::Io { action: "open".to_owned(), path, source });
        }
        cgroup.open_descriptor()?;
        Ok(cgroup)
    }

    /// Finds a cgroup by what [`Cgroup::paths`] gave when it was made. Fails when it is gone from every hierarchy.
    pub fn at(paths: &BTreeMap<String, PathBuf>) -> Result<Self> {
        let mut v1 = paths.clone();
        let v2 = v1.remove("");
        let first = paths.values().next().cloned();
        let mut cgroup = Self { v1, v2, v2_fd: None, unit: None };
        cgroup.v1.retain(|_, directory| directory.is_dir());
        cgroup.v2 = cgroup.v2.filter(|directory| directory.is_dir());
        if cgroup.v1.is_empty() && cgroup.v2.is_none() {
            let source = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(Error::Io { action: "open".to_owned(), path: first.unwrap_or_default(), source });
        }
        cgroup.open_descriptor()?;
        Ok(cgroup)
    }

    /// The cgroup of a living process.
    pub fn of_process(pid: i32) -> Result<Self> {
        let file = PathBuf::from(format!("/proc/{pid}/cgroup"));
        let text = std::fs::read_to_string(&file).map_err(|source| Error::Io {
            action: "read".to_owned(),
            path: file,
            source,
        })?;
        let own = hierarchy::parse_membership(&text);
        let all = hierarchies();
        let below = |root: &Path, path: &String| file::join(root, path);
        let mut v1 = BTreeMap::new();
        for (name, root) in &all.v1 {
            if let Some(path) = own.v1.get(name) {
                v1.insert(name.clone(), below(root, path)?);
            }
        }
        let v2 = match (&all.v2, &own.v2) {
            (Some(root), Some(path)) => Some(below(root, path)?),
            _ => None,
        };
        let mut cgroup = Self { v1, v2, v2_fd: None, unit: None };
        cgroup.open_descriptor()?;
        Ok(cgroup)
    }

    /// The same as a unit of systemd's: limits are set by it, and it removes what it made.
    pub fn of_unit(self, unit: Option<Unit>) -> Self {
        Self { unit, ..self }
    }

    /// The unit that it is of systemd's, if any.
    pub fn unit(&self) -> Option<&Unit> {
        self.unit.as_ref()
    }

    fn locate(path: &str) -> Result<Self> {
        let all = hierarchies();
        if all.v1.is_empty() && all.v2.is_none() {
            return Err(Error::NotMounted);
        }
        let own = if path.starts_with('/') { None } else { Some(hierarchy::own_membership()?) };
        let mut v1 = BTreeMap::new();
        for (name, root) in &all.v1 {
            let base = own.as_ref().and_then(|own| own.v1.get(name));
            v1.insert(name.clone(), file::join(&file::join_optional(root, base)?, path)?);
        }
        let v2 = match &all.v2 {
            Some(root) => {
                // The caller's own has processes, so it can have no limited children: beside it, as runc does.
                let base = own.as_ref().and_then(|own| own.v2.as_deref());
                let base = base.map(|base| Path::new(base).parent().unwrap_or(Path::new("/")));
                let base = base.map(|base| base.to_string_lossy().into_owned());
                Some(file::join(&file::join_optional(root, base.as_ref())?, path)?)
            }
            None => None,
        };
        Ok(Self { v1, v2, v2_fd: None, unit: None })
    }

    fn open_descriptor(&mut self) -> Result<()> {
        if let (true, Some(directory)) = (self.v1.is_empty(), &self.v2) {
            let opened = std::fs::File::open(directory);
            self.v2_fd = Some(opened.map_err(|source| file::error("open", directory, source))?.into());
        }
        Ok(())
    }

    /// Where `CLONE_INTO_CGROUP` starts a process, on pure v2.
    pub fn clone_fd(&self) -> Option<BorrowedFd<'_>> {
        self.v2_fd.as_ref().map(AsFd::as_fd)
    }

    /// Moves a process here. After [`Cgroup::clone_fd`] was used there is no need to.
    pub fn join(&self, pid: i32) -> Result<()> {
        let text = pid.to_string();
        for directory in self.v1.values().chain(&self.v2) {
            file::write(directory, "cgroup.procs", &text)?;
        }
        Ok(())
    }

    /// Changes limits; what `resources` does not name stays as it is.
    pub fn update(&self, resources: &Resources) -> Result<()> {
        let Some(unit) = &self.unit else { return self.set(resources, Moment::Update) };
        // systemd first denies all devices and then allows some, which on v1 a running container would notice.
        let pauses = !self.v1.is_empty() && !resources.devices.is_empty() && !self.is_frozen()?;
        if pauses {
            self.freeze(true)?;
        }
        let set = unit.set(resources, self.v1.is_empty());
        if pauses {
            self.freeze(false)?;
        }
        set?;
        self.set(&Unit::rounded(resources), Moment::Update)
    }

    fn set(&self, resources: &Resources, moment: Moment) -> Result<()> {
        if self.v1.is_empty() {
            let directory = self.v2.as_ref().ok_or(Error::NotMounted)?;
            v2::set(directory, resources, moment)
        } else {
            v1::set(&self.v1, resources, moment)
        }
    }

    /// Directories by hierarchy: controllers on v1, the empty name on v2.
    pub fn paths(&self) -> BTreeMap<String, PathBuf> {
        let v2 = self.v2.iter().map(|directory| (String::new(), directory.clone()));
        self.v1.iter().map(|(name, directory)| (name.clone(), directory.clone())).chain(v2).collect()
    }

    /// Stops (`true`) or continues all processes, and waits until that holds.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        if let Some(directory) = self.v1.get("freezer") {
            return v1::freeze(directory, frozen);
        }
        match &self.v2 {
            Some(directory) if self.v1.is_empty() => v2::freeze(directory, frozen),
            _ => Err(Error::Unsupported("freezer not supported".to_owned())),
        }
    }

    /// Whether all processes are stopped by [`Cgroup::freeze`].
    pub fn is_frozen(&self) -> Result<bool> {
        match (self.v1.get("freezer"), &self.v2) {
            (Some(directory), _) => Ok(file::read(directory, "freezer.state")?.trim() != "THAWED"),
            (None, Some(directory)) => v2::is_frozen(directory),
            (None, None) => Ok(false),
        }
    }

    /// All processes here and below, in no order. On hybrid hosts the first v1 hierarchy is asked.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let asked = ["pids", "devices", "freezer", "memory"].iter().find_map(|name| self.v1.get(*name));
        let directory = asked.or(self.v1.values().next()).or(self.v2.as_ref()).ok_or(Error::NotMounted)?;
        let mut pids = Vec::new();
        file::collect_pids(directory, &mut pids)?;
        Ok(pids)
    }

    /// Sends SIGKILL to every process here and below. Does not wait for them.
    pub fn kill_all(&self) -> Result<()> {
        if let Some(directory) = self.v2.as_ref().filter(|_| self.v1.is_empty()) {
            // Linux 5.14; races with nothing.
            if file::write(directory, "cgroup.kill", "1").is_ok() {
                return Ok(());
            }
        }
        for pid in self.pids()? {
            file::kill(pid);
        }
        Ok(())
    }

    /// Processes that the out-of-memory killer took, since the cgroup was made.
    pub fn oom_kills(&self) -> u64 {
        oom::kills(self.v1.get("memory"), self.v2.as_deref().filter(|_| self.v1.is_empty()))
    }

    /// A descriptor that becomes readable when the out-of-memory killer strikes: an eventfd on v1, inotify on v2.
    pub fn oom_watch(&self) -> Result<OwnedFd> {
        oom::watch(self.v1.get("memory"), self.v2.as_deref().filter(|_| self.v1.is_empty()))
    }

    /// What the container uses at this moment.
    pub fn stats(&self) -> Result<Stats> {
        if self.v1.is_empty() {
            stats::v2(self.v2.as_ref().ok_or(Error::NotMounted)?)
        } else {
            stats::v1(&self.v1)
        }
    }

    /// Removes the cgroup and those below it. Processes that are left are killed; waits up to 5 s for them.
    pub fn remove(&self) -> Result<()> {
        let Some(unit) = &self.unit else { return self.remove_directories() };
        // systemd asks processes that are left to end, and gives them time.
        self.kill_all().or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) })?;
        let stopped = unit.stop();
        // Some hierarchies are none of systemd's business.
        self.remove_directories().and(stopped)
    }

    fn remove_directories(&self) -> Result<()> {
        let deadline = Instant::now() + WAIT_MAX;
        let mut killed = false;
        let mut pause = Duration::from_micros(200);
        for directory in self.v1.values().chain(&self.v2) {
            loop {
                match file::remove_tree(directory) {
                    Ok(()) => break,
                    Err(error) if file::is_busy(&error) => {
                        if !killed {
                            killed = true;
                            // A frozen process does not die on v1.
                            let _thawed = self.freeze(false);
                            self.kill_all()?;
                        }
                        if Instant::now() > deadline {
                            return Err(Error::Busy(directory.clone()));
                        }
                        // The kernel offers nothing to wait for here: a dying task leaves its cgroup a moment after
                        // its parent has reaped it.
                        std::thread::sleep(pause);
                        pause = (pause * 2).min(Duration::from_millis(20));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// Whether limits are set for the first time or changed while the container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Create,
    Update,
}
