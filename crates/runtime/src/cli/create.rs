//! `create`, `start`, `run`.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use linux::cgroup::{Cgroup, Unit};
use types::spec::{RuntimeSpec, Status};

use super::args::{Args, unknown};
use super::container::{Container, Record, directory, read_spec, start_time};
use super::inspect::rfc3339_nano;
use super::log::Log;
use super::notify::{self, Notify};
use super::{Global, Outcome, foreground, manage};
use crate::channel::Channel;
use crate::error::{Context, Error};
use crate::gate::{self, After};
use crate::request::{CgroupMode, CreateRequest, Created, Stdio};

/// Flags of `create` and `run`.
#[derive(Debug, Default)]
struct Flags {
    bundle: PathBuf,
    console_socket: Option<PathBuf>,
    pidfd_socket: Option<PathBuf>,
    pid_file: Option<PathBuf>,
    no_pivot: bool,
    no_new_keyring: bool,
    preserve_fds: u32,
    detach: bool,
    keep: bool,
}

fn parse(args: &mut Args, run: bool) -> Result<(Flags, String), Error> {
    let mut flags = Flags::default();
    while let Some(flag) = args.flag()? {
        match flag.as_str() {
            "bundle" | "b" => flags.bundle = args.value(&flag)?.into(),
            "console-socket" => flags.console_socket = Some(args.value(&flag)?.into()),
            "pidfd-socket" => flags.pidfd_socket = Some(args.value(&flag)?.into()),
            "pid-file" => flags.pid_file = Some(args.value(&flag)?.into()),
            "no-pivot" => flags.no_pivot = args.boolean()?,
            "no-new-keyring" => flags.no_new_keyring = args.boolean()?,
            "preserve-fds" => flags.preserve_fds = args.number(&flag)?,
            "detach" | "d" if run => flags.detach = args.boolean()?,
            "keep" if run => flags.keep = args.boolean()?,
            "no-subreaper" if run => {
                args.boolean()?;
            }
            _ => return Err(unknown(&flag)),
        }
    }
    let id = args.id()?;
    args.end()?;
    flags.bundle =
        std::path::absolute(if flags.bundle.as_os_str().is_empty() { Path::new(".") } else { &flags.bundle })
            .and_then(std::fs::canonicalize)
            .doing(|| format!("open bundle {}", flags.bundle.display()))?;
    Ok((flags, id))
}

/// `create`: up to the gate; init outlives this process.
pub(super) fn create(global: &Global, mut args: Args) -> Outcome {
    let (flags, id) = parse(&mut args, false)?;
    make(global, &flags, &id, Gate::Reachable)?;
    Ok(0)
}

/// `run`: create, start, and wait unless detached.
pub(super) fn run(global: &Global, mut args: Args) -> Outcome {
    let (flags, id) = parse(&mut args, true)?;
    let foreground_terminal = !flags.detach && flags.console_socket.is_none();
    // Signals are collected from the start on, so that none is lost to a container that is being made.
    let signals = if flags.detach { None } else { Some(foreground::signals()?) };
    let (created, container) = make(global, &flags, &id, Gate::Ours { foreground_terminal })?;
    let undo = |error: Error| {
        let _ = manage::destroy(global, &container);
        error
    };
    let notify = Notify::listen(&container.dir).map_err(undo)?;
    let running = created.start().map_err(wrap).map_err(undo)?;
    global.log.debug(&format!("process {} of container {id} runs", running.pid));
    let Some(signals) = signals else {
        if let Some(notify) = notify {
            notify.wait(running.pidfd.as_fd(), running.pid, &global.log)?;
        }
        return Ok(0);
    };
    let code = foreground::wait(&running, &signals, notify.map(|notify| (notify, &global.log)))?;
    global.log.debug(&format!("container {id} ended with exit code {code}"));
    if !flags.keep {
        manage::destroy(global, &container)?;
    }
    Ok(code)
}

/// `start`: opens the gate of a container made by another process.
pub(super) fn start(global: &Global, mut args: Args) -> Outcome {
    if let Some(flag) = args.flag()? {
        return Err(unknown(&flag));
    }
    let id = args.id()?;
    args.end()?;
    let container = Container::open(global, &id)?;
    match container.status() {
        Status::Created => {}
        Status::Stopped => return Err(Error::State("cannot start a container that has stopped".into())),
        Status::Running => return Err(Error::State("cannot start an already running container".into())),
        status => return Err(Error::State(format!("cannot start a container in the {status} state"))),
    }
    let notify = Notify::listen(&container.dir)?;
    let pidfd = container.running()?;
    let channel: Channel = gate::connect(&container.dir)?;
    // From here on it is not *created*; a second `start` has nothing to connect to.
    std::fs::remove_file(container.dir.join(gate::SOCKET)).doing(|| "remove start socket".into())?;
    let record = &container.record;
    let request = CreateRequest::new(&record.id, &record.spec, &record.bundle);
    let pid = record.init_process_pid;
    let after = After::of(&request, pid);
    gate::open(&channel, &after).map_err(wrap).inspect_err(|_| {
        // It goes by itself, but who asks for its state now is not to find it.
        let _ = linux::pidfd::send_signal(pidfd.as_fd(), 9);
        let _ = linux::pidfd::exited_within(pidfd.as_fd(), manage::DEATH_MS);
    })?;
    global.log.debug(&format!("process {pid} of container {id} runs"));
    if let Some(notify) = notify {
        notify.wait(pidfd.as_fd(), pid, &global.log)?;
    }
    Ok(0)
}

/// Who can open the gate.
enum Gate {
    /// Another process.
    Reachable,
    /// This one; with its own terminal for the container, if that wants one.
    Ours { foreground_terminal: bool },
}

/// Makes the container and its state directory; on failure neither is left.
fn make(global: &Global, flags: &Flags, id: &str, gate: Gate) -> Result<(Created, Container), Error> {
    let dir = directory(global, id)?;
    let spec = read_spec(&flags.bundle)?;
    std::fs::create_dir_all(&global.root).doing(|| format!("make {}", global.root.display()))?;
    match std::fs::create_dir(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Error::State(format!("container with id exists: {id}")));
        }
        other => other.doing(|| format!("make {}", dir.display()))?,
    }
    make_in(global, flags, id, gate, spec, &dir).inspect_err(|_| {
        let _ = std::fs::remove_dir_all(&dir);
    })
}

fn make_in(
    global: &Global,
    flags: &Flags,
    id: &str,
    gate: Gate,
    mut spec: RuntimeSpec,
    dir: &Path,
) -> Result<(Created, Container), Error> {
    if notify::wanted() {
        notify::prepare(&mut spec, dir)?;
    }
    let passed = pass_descriptors(&mut spec, flags.preserve_fds)?;
    let size = spec.process.as_ref().and_then(|process| process.console_size).unwrap_or_default();
    let terminal = spec.process.as_ref().is_some_and(|process| process.terminal);
    let ours = matches!(gate, Gate::Ours { foreground_terminal: true });
    match (terminal, flags.console_socket.is_some()) {
        (true, false) if !ours => {
            return Err(Error::Invalid(
                "cannot allocate tty if runtime will detach without setting console socket".into(),
            ));
        }
        (false, true) => {
            return Err(Error::Invalid(
                "cannot use console socket if runtime will not detach or allocate tty".into(),
            ));
        }
        _ => {}
    }
    let cgroup_path = cgroup_path(&spec, id);
    let given = spec.linux.as_ref().map_or("", |linux| linux.cgroups_path.as_str());
    let unit = global.systemd.then(|| Unit::parse(given, id, global.rootless)).transpose()?;
    let mut request = CreateRequest::new(id, &spec, &flags.bundle);
    request.cgroup = unit.as_ref().map_or(CgroupMode::Path(&cgroup_path), CgroupMode::Unit);
    request.rootless = global.rootless;
    request.no_pivot = flags.no_pivot;
    request.no_new_keyring = flags.no_new_keyring;
    request.preserve_fds = passed;
    request.state_root = matches!(gate, Gate::Reachable).then_some(global.root.as_path());
    if terminal {
        request.stdio = Stdio::Terminal {
            rows: u16::try_from(size.height).unwrap_or(0),
            cols: u16::try_from(size.width).unwrap_or(0),
            plain_lines: ours,
        };
    }
    let log = &global.log;
    warn_of_ambient(&spec, log);
    log.debug(&format!("create container {id} from bundle {}", flags.bundle.display()));
    if let Some(profile) = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref()) {
        let flags = linux::seccomp::flags(profile).unwrap_or(0);
        log.debug(&format!("seccomp filter flags: {flags}"));
    }
    let mut created = crate::create(&request).map_err(wrap)?;
    let cgroups = created.cgroup.as_ref().map(Cgroup::paths).unwrap_or_default();
    for (hierarchy, path) in &cgroups {
        log.debug(&format!("cgroup of hierarchy {hierarchy:?}: {}", path.display()));
    }
    log.debug(&format!("process {} of container {id} waits for its start", created.pid));
    let container = Container {
        dir: dir.to_owned(),
        record: Record {
            id: id.to_owned(),
            init_process_pid: created.pid,
            init_process_start: start_time(created.pid).unwrap_or(0),
            created: rfc3339_nano(SystemTime::now()),
            bundle: flags.bundle.clone(),
            rootfs: flags.bundle.join(spec.root.as_ref().map_or("", |root| root.path.as_str())),
            owner: String::new(),
            cgroup_paths: cgroups,
            class: created.class.clone(),
            unit: created.cgroup.as_ref().and_then(Cgroup::unit).cloned(),
            spec: spec.clone(),
        },
    };
    let finish = |created: &mut Created| -> Result<(), Error> {
        container.save()?;
        if let (Some(socket), Some(master)) =
            (&flags.console_socket, created.terminal.take_if(|_| flags.console_socket.is_some()))
        {
            send_to(socket, b"/dev/ptmx", &master)?;
        }
        if let Some(socket) = &flags.pidfd_socket {
            send_to(socket, b"pidfd", &created.pidfd)?;
        }
        write_pid_file(flags.pid_file.as_deref(), created.pid)
    };
    match finish(&mut created) {
        Ok(()) => Ok((created, container)),
        Err(error) => {
            let _ = manage::destroy(global, &container);
            Err(error)
        }
    }
}

/// Ambient capabilities that the process cannot have, because it may not inherit them or has none of that name.
fn warn_of_ambient(spec: &RuntimeSpec, log: &Log) {
    let Some(sets) = spec.process.as_ref().and_then(|process| process.capabilities.as_ref()) else { return };
    let may = |name: &&String| sets.inheritable.contains(name) && sets.permitted.contains(name);
    for name in sets.ambient.iter().filter(|name| !may(name)) {
        log.warn(&format!("can't raise ambient capability {name}: operation not permitted"));
    }
}

/// Where the container's cgroup goes: the configuration's path, or its id below the caller's own.
///
/// A relative path cannot climb above where it starts.
pub(super) fn cgroup_path(spec: &RuntimeSpec, id: &str) -> String {
    let given = spec.linux.as_ref().map_or("", |linux| linux.cgroups_path.as_str());
    if given.is_empty() {
        return id.to_owned();
    }
    let mut kept = PathBuf::from(if given.starts_with('/') { "/" } else { "" });
    for part in Path::new(given).components() {
        match part {
            Component::Normal(name) => kept.push(name),
            Component::ParentDir => {
                kept.pop();
            }
            _ => {}
        }
    }
    kept.to_string_lossy().into_owned()
}

/// How many descriptors from 3 on the process gets: those of socket activation (`sd_listen_fds(3)`), which it is told of, and
/// the `more` after them, which must be there.
fn pass_descriptors(spec: &mut RuntimeSpec, more: u32) -> Result<u32, Error> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let is_for_us = number("LISTEN_PID") == Some(std::process::id());
    let activated = number("LISTEN_FDS").filter(|_| is_for_us).unwrap_or(0);
    if let (Some(process), true) = (&mut spec.process, activated > 0) {
        process.env.extend([format!("LISTEN_FDS={activated}"), "LISTEN_PID=1".into()]);
    }
    preserved(activated, more)
}

/// The number of descriptors from 3 on that are passed: `before` and `more`, each of which must be there.
pub(super) fn preserved(before: u32, more: u32) -> Result<u32, Error> {
    for index in 0..more {
        let path = format!("/proc/self/fd/{}", before.saturating_add(index).saturating_add(3));
        std::fs::symlink_metadata(&path)
            .doing(|| format!("unable to stat preserved-fd {index} (of {more})"))?;
    }
    Ok(before.saturating_add(more))
}

/// Says what failed, as runc does.
pub(super) fn wrap(error: Error) -> Error {
    let prefix = |text: String| format!("unable to start container process: {text}");
    match error {
        Error::NotFound(text) => Error::NotFound(prefix(text)),
        Error::PermissionDenied(text) => Error::PermissionDenied(prefix(text)),
        Error::Failed(text) => Error::Failed(prefix(text)),
        other => other,
    }
}

/// Sends a descriptor to who listens on a unix socket.
pub(super) fn send_to(socket: &Path, name: &[u8], fd: &OwnedFd) -> Result<(), Error> {
    let what = || format!("send descriptor to {}", socket.display());
    let stream = UnixStream::connect(socket).doing(what)?;
    linux::fd::send_fds(stream.as_fd(), name, &[fd.as_fd()]).doing(what)
}

/// Writes the pid, without a newline, for who watches for the file.
pub(super) fn write_pid_file(path: Option<&Path>, pid: i32) -> Result<(), Error> {
    let Some(path) = path else { return Ok(()) };
    linux::fs::write_atomic(path, pid.to_string().as_bytes(), 0o644, false)
        .doing(|| format!("write pid file {}", path.display()))
}
