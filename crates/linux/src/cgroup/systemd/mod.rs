//! A container's cgroup as a unit of systemd's: a transient scope, which systemd makes, moves the container's first process
//! to, and delegates to us. Without asking systemd, its own tree must not be written to where it runs
//! (docs/CGROUP_DELEGATION in systemd).

mod properties;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use types::spec::Resources;

use super::{Cgroup, Error, Moment, Result, Version, file, hierarchies, v1, v2};
use crate::dbus::{self, Body, Connection, Target, Value, address_of};
use properties::Properties;

/// How long systemd may take for a job.
const JOB_MAX: Duration = Duration::from_secs(30);

const MANAGER: Target<'_> = Target {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};

/// Which unit is a container's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// `docker-ID.scope`
    pub name: String,
    /// The slice it lies in; empty: the default one.
    pub slice: String,
    /// Of the user's own systemd.
    pub user: bool,
}

impl Unit {
    /// From `slice:prefix:name` (`cgroupsPath` under the systemd driver), or an empty text: then after the container's id.
    pub fn parse(text: &str, id: &str, user: bool) -> Result<Self> {
        let (slice, prefix, name) = if text.is_empty() {
            ("", "runc", id)
        } else {
            let parts: Vec<&str> = text.split(':').collect();
            let [slice, prefix, name] = parts[..] else {
                return Err(Error::Invalid(format!(
                    "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {text:?} instead"
                )));
            };
            (slice, prefix, name)
        };
        let name = if name.ends_with(".slice") { name.to_owned() } else { format!("{prefix}-{name}.scope") };
        let unit = Unit { name, slice: slice.to_owned(), user };
        if unit.name.contains('/') || unit.name.len() > 255 {
            return Err(Error::Invalid(format!("invalid unit name {:?}", unit.name)));
        }
        expand_slice(unit.slice())?;
        Ok(unit)
    }

    /// The unit of root's systemd that a text names which is no path below a hierarchy: `slice:prefix:name`.
    pub fn of_path(path: &str) -> Option<Self> {
        if path.starts_with('/') || path.matches(':').count() != 2 {
            return None;
        }
        Unit::parse(path, "", false).ok()
    }

    /// Directories by hierarchy of a unit of root's systemd, as [`Cgroup::paths`].
    pub(super) fn paths(&self) -> Result<BTreeMap<String, PathBuf>> {
        let path = format!("{}/{}", expand_slice(self.slice())?, self.name);
        let all = hierarchies();
        let roots = all.v1.iter().map(|(name, root)| (name.clone(), root));
        let roots = roots.chain(all.v2.iter().map(|root| (String::new(), root)));
        roots.map(|(name, root)| Ok((name, file::join(root, &path)?))).collect()
    }

    fn slice(&self) -> &str {
        match self.slice.as_str() {
            "" if self.user => "user.slice",
            "" => "system.slice",
            slice => slice,
        }
    }

    /// Connects to systemd and finds out where the unit's cgroup will be.
    pub fn locate(self) -> Result<Located> {
        if !Path::new("/run/systemd/system").is_dir() {
            let text = "systemd not running on this host, cannot use systemd cgroups manager";
            return Err(Error::Unsupported(text.to_owned()));
        }
        if self.user && hierarchies().version() != Version::V2 {
            let text = "cannot use rootless systemd cgroups manager on cgroup v1";
            return Err(Error::Unsupported(text.to_owned()));
        }
        let systemd = Systemd::connect(self.user)?;
        self.locate_with(systemd)
    }

    fn locate_with(self, mut systemd: Systemd) -> Result<Located> {
        let mut path = expand_slice(self.slice())?;
        if self.user {
            // `/user.slice/user-1000.slice/user@1000.service`
            path.insert_str(0, &systemd.manager_property("ControlGroup")?);
        }
        path.push('/');
        path.push_str(&self.name);
        let all = hierarchies();
        let below = |(name, root): (&String, &PathBuf)| Ok((name.clone(), file::join(root, &path)?));
        let v1 = all.v1.iter().map(below).collect::<Result<_>>()?;
        let v2 = all.v2.as_ref().map(|root| file::join(root, &path)).transpose()?;
        Ok(Located { unit: self, systemd, cgroup: Cgroup { v1, v2, v2_fd: None, unit: None } })
    }

    /// New limits for the unit. The files of the cgroup are not touched.
    pub(super) fn set(&self, resources: &Resources, v2: bool) -> Result<()> {
        let mut systemd = Systemd::connect(self.user)?;
        let list = properties::of(resources, v2, systemd.version()?)?;
        systemd.set_properties(&self.name, &list)
    }

    /// The limits as they are to be written to the files.
    pub(super) fn rounded(resources: &Resources) -> Resources {
        properties::rounded(resources)
    }

    /// Stops the unit, whose processes are gone; a failed one is forgotten as well. One that is gone needs neither.
    pub fn stop(&self) -> Result<()> {
        let mut systemd = Systemd::connect(self.user)?;
        match systemd.job("StopUnit", Body::default().string(&self.name).string("replace")) {
            Ok(result) if result.is_none() => {
                return Err(systemd_error(format!(
                    "Timed out while waiting for systemd to remove {}",
                    self.name
                )));
            }
            Err(error) if !is_remote(&error, "NoSuchUnit") => return Err(error),
            _ => {}
        }
        systemd.reset_failed(&self.name);
        Ok(())
    }

    /// Has systemd move a process into the unit, or into the cgroup `below` it (which starts with a slash).
    fn attach(&self, below: &str, pid: i32) -> Result<()> {
        let body = Body::default().string(&self.name).string(below).numbers(&[pid.cast_unsigned()]);
        Systemd::connect(self.user)?.call("AttachProcessesToUnit", body).map(drop)
    }
}

/// A unit that is still to be made, and where its cgroup will be.
#[derive(Debug)]
pub struct Located {
    unit: Unit,
    systemd: Systemd,
    cgroup: Cgroup,
}

impl Located {
    /// As [`Cgroup::paths`], of directories that need not exist yet.
    pub fn paths(&self) -> BTreeMap<String, PathBuf> {
        self.cgroup.paths()
    }

    /// Makes the unit with process `pid` in it, and sets limits. `annotations` may name further properties
    /// (`org.systemd.property.NAME`). On failure what was made is removed again.
    pub fn start(
        mut self,
        pid: i32,
        id: &str,
        resources: &Resources,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Cgroup> {
        let v2 = self.cgroup.v1.is_empty();
        if !v2 && !resources.unified.is_empty() {
            return Err(Error::Unsupported(
                "invalid configuration: unified resources are not supported on cgroup v1".to_owned(),
            ));
        }
        let version = self.systemd.version()?;
        let mut list = unit_properties(&self.unit, pid, id, v2);
        list.extend(properties::of_annotations(annotations)?);
        let oom_group = resources.unified.get("memory.oom.group").map(|text| text.trim());
        if let (Some(group @ ("0" | "1")), 253..) = (oom_group, version) {
            // It cannot be changed later.
            let policy = if group == "0" { "continue" } else { "kill" };
            list.push(("OOMPolicy".to_owned(), Value::String(policy.to_owned())));
        }
        self.systemd.start(&self.unit.name, &list)?;
        let Located { unit, mut systemd, mut cgroup } = self;
        let mut settle = |cgroup: &mut Cgroup| -> Result<()> {
            cgroup.take_over(pid)?;
            systemd.set_properties(&unit.name, &properties::of(resources, v2, version)?)?;
            cgroup.set(&properties::rounded(resources), Moment::Create)
        };
        let settled = settle(&mut cgroup);
        cgroup.unit = Some(unit);
        match settled {
            Ok(()) => Ok(cgroup),
            Err(error) => {
                // The error of the limit is the one to tell.
                let _removed = cgroup.remove();
                Err(error)
            }
        }
    }
}

impl Cgroup {
    /// Has systemd move a process here, if this is a unit of the user's own: an ordinary user may not move processes between
    /// the session and the tree that is delegated to the user.
    pub fn attach(&self, pid: i32) -> Result<()> {
        let (Some(unit), Some(directory)) = (&self.unit, &self.v2) else { return Ok(()) };
        let below: PathBuf = directory
            .components()
            .skip_while(|part| part.as_os_str() != unit.name.as_str())
            .skip(1)
            .collect();
        unit.attach(&Path::new("/").join(below).to_string_lossy(), pid)
    }

    /// Whether only systemd can bring processes here.
    pub fn wants_attach(&self) -> bool {
        self.unit.as_ref().is_some_and(|unit| unit.user)
    }

    /// What systemd has not made, and where it has not put the process: hierarchies and controllers that it does not know.
    fn take_over(&mut self, pid: i32) -> Result<()> {
        let text = pid.to_string();
        for (name, directory) in self.v1.iter().filter(|(name, _)| *name != "name=systemd") {
            v1::create(name, directory)?;
            file::write(directory, "cgroup.procs", &text)?;
        }
        if let (Some(directory), Some(root)) = (&self.v2, &hierarchies().v2) {
            match v2::create(root, directory, self.v1.is_empty()) {
                Err(error) if !error.is_permission() => return Err(error),
                _ => {}
            }
        }
        self.open_descriptor()
    }
}

fn unit_properties(unit: &Unit, pid: i32, id: &str, v2: bool) -> Properties {
    let mut list = Vec::new();
    let mut push = |name: &str, value: Value| list.push((name.to_owned(), value));
    push("Description", Value::String(format!("wharf container {id}")));
    if unit.name.ends_with(".slice") {
        push("Wants", Value::Strings(vec![unit.slice().to_owned()]));
    } else {
        push("Slice", Value::String(unit.slice().to_owned()));
        push("Delegate", Value::Bool(true));
    }
    push("PIDs", Value::Numbers(vec![pid.cast_unsigned()]));
    let io = if v2 { "IOAccounting" } else { "BlockIOAccounting" };
    for name in ["MemoryAccounting", "CPUAccounting", io, "TasksAccounting"] {
        push(name, Value::Bool(true));
    }
    push("DefaultDependencies", Value::Bool(false));
    list
}

/// `a-b.slice` lies at `/a.slice/a-b.slice`, `-.slice` at the root.
fn expand_slice(slice: &str) -> Result<String> {
    let wrong = || Error::Invalid(format!("invalid slice name: {slice}"));
    let name = slice.strip_suffix(".slice").filter(|name| !name.is_empty()).ok_or_else(wrong)?;
    if slice.contains('/') {
        return Err(wrong());
    }
    if name == "-" {
        return Ok(String::new());
    }
    let (mut path, mut prefix) = (String::new(), String::new());
    for component in name.split('-') {
        if component.is_empty() {
            return Err(wrong());
        }
        path.push_str(&format!("/{prefix}{component}.slice"));
        prefix.push_str(component);
        prefix.push('-');
    }
    Ok(path)
}

fn systemd_error(text: String) -> Error {
    Error::Systemd(dbus::Error::Io(std::io::Error::other(text)))
}

fn is_remote(error: &Error, end: &str) -> bool {
    matches!(error, Error::Systemd(dbus::Error::Remote { name, .. }) if name.ends_with(end))
}

/// A connection to systemd.
#[derive(Debug)]
struct Systemd {
    connection: Connection,
}

impl Systemd {
    /// By the bus; root also directly, as early in the boot there is no bus.
    fn connect(user: bool) -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let connected = if user {
            let given = variable("DBUS_SESSION_BUS_ADDRESS");
            let own = || variable("XDG_RUNTIME_DIR").map(|dir| address_of(&format!("{dir}/bus")));
            let address = given.or_else(own).ok_or_else(|| {
                Error::Unsupported(
                    "could not detect DBUS_SESSION_BUS_ADDRESS from the environment; make sure you have installed the \
                     dbus-user-session or dbus-daemon package; note you may need to re-login"
                        .to_owned(),
                )
            })?;
            Self::on_bus(&address)
        } else {
            let given = variable("DBUS_SYSTEM_BUS_ADDRESS");
            let address = given.unwrap_or_else(|| address_of("/run/dbus/system_bus_socket"));
            Self::on_bus(&address).or_else(|error| {
                let direct = Connection::direct(&address_of("/run/systemd/private"));
                direct.map(|connection| Systemd { connection }).map_err(|_| error)
            })
        };
        connected.map_err(|error| systemd_error(format!("failed to connect to dbus: {error}")))
    }

    fn on_bus(address: &str) -> std::result::Result<Self, dbus::Error> {
        let mut connection = Connection::to_bus(address)?;
        connection
            .subscribe("type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'")?;
        Ok(Systemd { connection })
    }

    fn call(&mut self, method: &str, body: Body) -> Result<dbus::Answer> {
        Ok(self.connection.call(MANAGER, method, body)?)
    }

    fn manager_property(&mut self, name: &str) -> Result<String> {
        let body = Body::default().string(MANAGER.interface).string(name);
        let target = Target { interface: "org.freedesktop.DBus.Properties", ..MANAGER };
        let answer = self.connection.call(target, "Get", body)?;
        let text = answer.text_variant().map_err(dbus::Error::from)?;
        text.ok_or_else(|| systemd_error(format!("property {name} of systemd is no text")))
    }

    /// `252` of `252.38-1~deb12u1` or `v252`.
    fn version(&mut self) -> Result<u32> {
        let text = self.manager_property("Version")?;
        let digits = text.trim_start_matches('v');
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits[..end].parse().map_err(|_| systemd_error(format!("can't parse version {text:?} of systemd")))
    }

    /// Starts a job and waits for its result; `None` when it takes too long.
    fn job(&mut self, method: &str, body: Body) -> Result<Option<String>> {
        let job = self.call(method, body)?.string().map_err(dbus::Error::from)?;
        let result = self.connection.wait_for_signal(MANAGER.interface, "JobRemoved", JOB_MAX, |signal| {
            signal.job_removed().ok().filter(|(path, _, _)| *path == job).map(|(_, _, result)| result)
        })?;
        Ok(result)
    }

    /// A unit of this name that has failed is in the way: it is forgotten, once.
    fn start(&mut self, name: &str, list: &Properties) -> Result<()> {
        let body = Body::default().string(name).string("replace").properties(list).no_units();
        let wrap = |error: Error| systemd_error(format!("unable to start unit {name:?}: {error}"));
        let result = match self.job("StartTransientUnit", body.clone()) {
            Err(error) if is_remote(&error, "UnitExists") => {
                self.reset_failed(name);
                self.job("StartTransientUnit", body)
            }
            other => other,
        };
        match result.map_err(wrap)?.as_deref() {
            Some("done") => Ok(()),
            Some(result) => {
                self.reset_failed(name);
                Err(systemd_error(format!("error creating systemd unit `{name}`: got `{result}`")))
            }
            None => {
                self.reset_failed(name);
                Err(systemd_error(format!("Timeout waiting for systemd to create {name}")))
            }
        }
    }

    fn set_properties(&mut self, name: &str, list: &Properties) -> Result<()> {
        if list.is_empty() {
            return Ok(());
        }
        let body = Body::default().string(name).boolean(true).properties(list);
        self.call("SetUnitProperties", body)
            .map(drop)
            .map_err(|error| systemd_error(format!("unable to set unit properties: {error}")))
    }

    /// Most units have not failed, and systemd says so: no matter.
    fn reset_failed(&mut self, name: &str) {
        let _not_failed = self.call("ResetFailedUnit", Body::default().string(name));
    }
}
