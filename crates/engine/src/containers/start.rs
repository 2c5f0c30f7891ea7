//! `start`: namespaces, files, specification, process. Every step is undone in reverse when a later one fails.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use linux::seccomp as filter;
use supervisor::log::{LogDriver, LogSpec};
use supervisor::{Attach, Foreign, Found, Spawn, Waiting};
use types::{ContainerId, Error, ErrorKind, Mount, Result};

use super::network::Entered;
use super::record::{MountRecord, Record};
use super::spec::{self, Input, Joins, ResolvedMount};
use super::state::Run;
use super::{
    Containers, Request, Shared, ask, devices, files, links, log_attrs, network, seccomp, security, signal,
};
use crate::Timestamp;
use crate::error::not_running;

/// What stands before the runtime's words about a process that could not be executed.
const RUNTIME_PREFIX: &str = "failed to create task for container: failed to create shim task: OCI runtime create failed: \
                              runc create failed: unable to start container process: ";
/// How long a killed process may take to be gone.
const KILL_WAIT: std::time::Duration = std::time::Duration::from_secs(10);
/// Compiled filters kept; more different ones than this, and all are compiled anew.
const FILTERS_MAX: usize = 64;

impl Containers {
    /// Starts it; returns when the user's process has been executed. `NotModified` when it runs already.
    pub async fn start(&self, name: &str) -> Result<()> {
        ask(&self.find(name)?, |reply| Request::Start { reply }).await
    }
}

/// A container that runs now.
pub(crate) struct Started {
    /// The process.
    pub(crate) run: Run,
    /// Its endpoints.
    pub(crate) attached: Vec<::network::Endpoint>,
    /// How to learn of its end.
    pub(crate) end: End,
}

/// How to learn of a container's end.
pub(crate) enum End {
    /// Its supervisor will say.
    Ahead(UnixStream),
    /// It has ended already.
    Here(supervisor::ExitRecord),
}

/// Why a start failed.
pub(crate) struct Failed {
    /// The exit code that is recorded: 126, 127, 128.
    pub(crate) code: i32,
    /// What the user reads.
    pub(crate) error: Error,
}

impl From<Error> for Failed {
    /// Docker looks at the words to tell the codes apart (moby `setExitCodeFromError`).
    fn from(error: Error) -> Self {
        let text = error.message.to_lowercase();
        let has = |word: &str| text.contains(word);
        let code = if has("executable file not found") || has("no such file or directory") {
            127
        } else if has("permission denied") || has("is a directory") || has("not a directory") {
            126
        } else {
            128
        };
        Self { code, error }
    }
}

/// Starts a container. Blocks for some milliseconds.
pub(crate) fn start(
    shared: &Arc<Shared>,
    record: &Record,
    attach: Vec<(Attach, OwnedFd)>,
) -> Result<Started, Failed> {
    let id = &record.id;
    let joins = joins(shared, record)?;
    links::check(shared, record)?;
    let Entered { netns, attached, files_of } = network::enter(shared, record)?;
    let spawned = make_spawn(shared, record, joins, &attached, &files_of).and_then(|spawn| {
        files::make_dir(&spawn.dir, 0o700)?;
        files::keep_endpoints(&spawn.dir, &attached)?;
        shared
            .zygote
            .spawn(&spawn, netns, attach)
            .map_err(|error| Failed { code: error.exit_code, error: process_error(&error.message) })
    });
    let spawned = match spawned {
        Ok(spawned) => spawned,
        Err(failed) => {
            network::leave(shared, id, &attached);
            shared.volumes.detach_all(id.as_str());
            let _ = files::remove_dir(&shared.run_dir(id));
            return Err(failed);
        }
    };
    if let Err(error) = shared.networks.relay().watch(id.as_str(), spawned.pid) {
        tracing::warn!(%id, %error, "the name server does not watch a container");
    }
    let started = Timestamp::from_rfc3339(&spawned.started_at).unwrap_or_else(Timestamp::now);
    let end = end_of(shared, id);
    Ok(Started { run: Run { pid: spawned.pid, started }, attached, end })
}

/// How to learn of the end of a container that was started. Blocks.
pub(crate) fn end_of(shared: &Shared, id: &ContainerId) -> End {
    let dir = shared.run_dir(id);
    let lost = || supervisor::ExitRecord {
        exit_code: 255,
        finished_at: Timestamp::now().rfc3339(),
        ..supervisor::ExitRecord::default()
    };
    match shared.client(id).wait().map(Waiting::into_stream) {
        Ok(stream) => End::Ahead(stream),
        Err(_) => match supervisor::find(&dir) {
            Found::Exited(record) => End::Here(record),
            Found::Live(client) => match client.wait().map(Waiting::into_stream) {
                Ok(stream) => End::Ahead(stream),
                Err(_) => End::Here(lost()),
            },
            Found::Gone => {
                let _ = supervisor::clean_up(&dir);
                End::Here(lost())
            }
        },
    }
}

/// Takes back a start: kills what runs, waits for its end, gives back what it had. Blocks.
pub(crate) fn undo(shared: &Shared, record: &Record, end: End) {
    let (id, dir) = (&record.id, shared.run_dir(&record.id));
    if let End::Ahead(mut stream) = end {
        // One that has just ended needs no signal.
        let _gone = shared.client(id).signal(signal::KILL, true);
        // Its supervisor answers when all is over, or dies; either way the stream ends.
        let limited = stream.set_read_timeout(Some(KILL_WAIT));
        let waited = limited.and_then(|()| std::io::copy(&mut stream, &mut std::io::sink()));
        if let Err(error) = waited {
            tracing::error!(%id, %error, "cannot end a container whose start could not be recorded");
            return;
        }
    }
    if let Err(error) = supervisor::clean_up(&dir) {
        tracing::warn!(%id, %error, "cannot end what a supervisor left");
    }
    network::leave(shared, id, &record.attached);
    shared.volumes.detach_all(id.as_str());
    if let Err(error) = files::remove_dir(&dir) {
        tracing::warn!(%id, %error, "cannot tidy up behind a container");
    }
}

/// The runtime's words as Docker has them, with Docker's status.
fn process_error(message: &str) -> Error {
    let text = if message.starts_with("exec: ") {
        format!("{RUNTIME_PREFIX}error during container init: {message}: unknown")
    } else if message.starts_with("unable to find ") {
        message.to_owned()
    } else if message.starts_with("OCI runtime create ") {
        format!("failed to create task for container: failed to create shim task: {message}: unknown")
    } else if message.starts_with("OCI runtime ") {
        format!("{message}: unknown")
    } else if message.starts_with("failed to initialize logging driver: ") {
        format!("failed to create task for container: {message}")
    } else {
        format!("{RUNTIME_PREFIX}{message}: unknown")
    };
    let kind = match Failed::from(Error::internal(&text)).code {
        126 | 127 => ErrorKind::InvalidArgument,
        _ => ErrorKind::Internal,
    };
    // The parity transcripts have no ": unknown" behind an executable that was not found.
    Error::new(kind, text.strip_suffix(": unknown").unwrap_or(&text))
}

/// Processes whose namespaces it joins.
fn joins(shared: &Shared, record: &Record) -> Result<Joins> {
    let other = |mode: &str, what: &str| -> Result<Option<(Arc<Record>, i32)>> {
        let Some(name) = mode.strip_prefix("container:") else { return Ok(None) };
        let other = shared.table().find(name)?.record();
        match other.state.run().map(|run| run.pid) {
            Some(pid) => Ok(Some((other, pid))),
            None => {
                let why = format!("failed to join {what} namespace: container {} is not running", other.id);
                Err(Error::conflict(why))
            }
        }
    };
    let host = &record.host_config;
    let pid = other(&host.pid_mode, "PID")?.map(|(_, pid)| pid);
    let Some((donor, ipc)) = other(&host.ipc_mode, "IPC")? else {
        return Ok(Joins { ipc: None, pid });
    };
    if !matches!(donor.host_config.ipc_mode.as_str(), "shareable" | "host") {
        return Err(Error::conflict(format!(
            "failed to join IPC namespace: container {}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
            donor.id
        )));
    }
    Ok(Joins { ipc: Some(ipc), pid })
}

/// Everything the supervisor needs.
fn make_spawn(
    shared: &Arc<Shared>,
    record: &Record,
    joins: Joins,
    attached: &[::network::Endpoint],
    files_of: &ContainerId,
) -> Result<Spawn, Failed> {
    files::write(shared, record, attached)?;
    let file = |of: &ContainerId, name: &str| shared.data_dir(of).join(name).to_string_lossy().into_owned();
    let paths = ["resolv.conf", "hostname", "hosts"].map(|name| file(files_of, name));
    let mounts = resolve_mounts(shared, record)?;
    // Whatever is wrong with a device, Docker's code is 128.
    let devices = devices::gather(&record.host_config).map_err(|error| Failed { code: 128, error })?;
    let block_devices = devices::block_devices(&record.host_config)?;
    let root = shared.rootfs();
    let cgroup = cgroup_path(shared, record);
    let hostname = if record.host_config.uts_mode == "host" { "" } else { record.config.hostname.as_str() };
    let linked = links::environment(shared, record);
    let mut spec = spec::build(&Input {
        record,
        linked: &linked,
        settings: &shared.settings,
        root: &root.to_string_lossy(),
        mounts: &mounts,
        files: [&paths[0], &paths[1], &paths[2]],
        joins,
        devices: &devices,
        hostname,
        cgroup: &cgroup,
        block_devices: &block_devices,
        highest_cap: shared.host.highest_cap,
        apparmor: shared.host.apparmor,
        more_masked: &shared.host.thermal,
    })?;
    let caps = spec.process.as_ref().and_then(|p| p.capabilities.as_ref()).map(|c| c.bounding.clone());
    let caps = caps.unwrap_or_default();
    let foreign = foreign(shared, record)?;
    let mut seccomp = None;
    if foreign.is_none() {
        seccomp = filter_of(shared, record, &caps)?;
    } else if let Some(profile) = profile_of(shared, record)? {
        let rules = render(shared, &profile, &caps)?;
        spec.linux.get_or_insert_default().seccomp = Some(rules);
    }
    Ok(Spawn {
        id: record.id.to_string(),
        dir: shared.run_dir(&record.id),
        rootfs: shared.store.snapshots().mounts(record.id.as_str()).map_err(Error::from)?,
        seccomp: seccomp.map(|bytes| bytes.to_vec()),
        user: record.config.user.clone(),
        groups: record.host_config.group_add.clone().unwrap_or_default(),
        open_stdin: record.config.open_stdin,
        stdin_once: record.config.stdin_once,
        log: log_spec(shared, record)?,
        foreign,
        spec,
    })
}

/// The container's cgroup below each hierarchy's root, or its unit of systemd's.
pub(crate) fn cgroup_path(shared: &Shared, record: &Record) -> String {
    let own = &record.host_config.resources.cgroup_parent;
    let parent = if own.is_empty() { &shared.settings.cgroup_parent } else { own };
    if shared.settings.systemd_cgroup {
        return format!("{parent}:docker:{}", record.id);
    }
    format!("/{}/{}", parent.trim_matches('/'), record.id)
}

/// The runtime that makes it, if that is not ours.
fn foreign(shared: &Shared, record: &Record) -> Result<Option<Foreign>> {
    let live = shared.settings.live.now();
    let name = &record.host_config.runtime;
    let Some(program) = live.runtimes.find(name)? else { return Ok(None) };
    Ok(Some(Foreign {
        program: program.path.clone(),
        args: program.args.clone(),
        search: std::env::var("PATH").unwrap_or_default(),
        root: shared.settings.exec_root.join(format!("runtime-{name}")),
        systemd_cgroup: shared.settings.systemd_cgroup,
    }))
}

/// The rules for a container with these capabilities.
fn render(shared: &Shared, profile: &str, caps: &[String]) -> Result<types::spec::Seccomp> {
    let platform = types::Platform::host();
    let host = seccomp::Host { arch: &platform.architecture, kernel: shared.host.kernel, caps };
    seccomp::render(profile, host)
}

/// The profile in Docker's format; `None` for none.
fn profile_of(shared: &Shared, record: &Record) -> Result<Option<String>> {
    let options = security::parse(record.host_config.security_opt.as_deref().unwrap_or_default())?;
    let read = |path: &str| {
        std::fs::read_to_string(path)
            .map_err(|e| Error::invalid(format!("opening seccomp profile ({path}) failed: {e}")))
    };
    Ok(Some(match (options.seccomp.as_str(), shared.settings.seccomp_profile.as_str()) {
        ("unconfined", _) => return Ok(None),
        ("", _) if record.host_config.privileged || !shared.host.seccomp => return Ok(None),
        ("builtin", _) | ("", "" | "builtin") => seccomp::BUILTIN.to_owned(),
        ("", "unconfined") => return Ok(None),
        ("", path) => read(path)?,
        (json, _) => json.to_owned(),
    }))
}

/// The compiled filter; `None` for none.
pub(crate) fn filter_of(shared: &Shared, record: &Record, caps: &[String]) -> Result<Option<Arc<Vec<u8>>>> {
    let Some(profile) = profile_of(shared, record)? else { return Ok(None) };
    let key =
        if profile == seccomp::BUILTIN { format!("builtin {caps:?}") } else { format!("{profile} {caps:?}") };
    let filters = || shared.filters.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(bytes) = filters().get(&key) {
        return Ok(Some(bytes.clone()));
    }
    let program = filter::compile(&render(shared, &profile, caps)?).map_err(Error::internal)?;
    let bytes = Arc::new(program.as_bytes().to_vec());
    let mut filters = filters();
    if filters.len() >= FILTERS_MAX {
        filters.clear();
    }
    filters.insert(key, bytes.clone());
    Ok(Some(bytes))
}

/// The user's mounts with their host paths; missing sources of `-v` are made.
fn resolve_mounts(shared: &Shared, record: &Record) -> Result<Vec<ResolvedMount>> {
    super::mounts::check_conflicts(&record.host_config.mounts)?;
    let resolve = |mount: &MountRecord| {
        let mut resolved = resolve_mount(shared, mount, record.id.as_str())?;
        if mount.owner_is_user {
            resolved.mount.options.push(owner_option(&mount.point.source, &record.config.user)?);
        }
        Ok(resolved)
    };
    record.mounts.iter().map(resolve).collect()
}

/// Whose the source is, and whom the container's user stands for: [`spec::OWNER`].
fn owner_option(source: &str, user: &str) -> Result<String> {
    let whole = if user.is_empty() { "0" } else { user };
    let (uid, gid) = whole.split_once(':').unwrap_or((whole, "0"));
    let number = |text: &str| {
        text.parse::<u32>().map_err(|_| {
            Error::invalid(format!("a mount with owner=me needs a user of numbers (uid[:gid]): {user:?}"))
        })
    };
    let (uid, gid) = (number(uid)?, number(gid)?);
    let failed = |error| Error::internal(format!("look at mount source path '{source}': {error}"));
    let found = std::fs::metadata(source).map_err(failed)?;
    Ok(format!("{}{}:{uid}:{}:{gid}", spec::OWNER, found.uid(), found.gid()))
}

/// One of them. Its volume is there until `user` detaches what it has.
pub(crate) fn resolve_mount(shared: &Shared, mount: &MountRecord, user: &str) -> Result<ResolvedMount> {
    let point = &mount.point;
    let bind = |source: &str| Mount {
        kind: "bind".to_owned(),
        source: source.to_owned(),
        destination: point.destination.clone(),
        options: vec![if mount.non_recursive { "bind" } else { "rbind" }.to_owned()],
    };
    let mut resolved = ResolvedMount {
        rw: point.rw,
        propagation: point.propagation.clone(),
        read_only_non_recursive: mount.read_only_non_recursive,
        ..ResolvedMount::default()
    };
    resolved.mount = match point.kind.as_str() {
        "tmpfs" => Mount {
            kind: "tmpfs".to_owned(),
            source: "tmpfs".to_owned(),
            destination: point.destination.clone(),
            options: mount.tmpfs.clone(),
        },
        "volume" => {
            let data = shared.volumes.attach(&point.name, user)?;
            resolved.propagation = "rprivate".to_owned();
            let mut whole = bind(&data.to_string_lossy());
            if !mount.subpath.is_empty() {
                check_subpath(&data, &mount.subpath)?;
                whole.options.push(format!("{}{}", runtime::SUBPATH, mount.subpath));
            }
            whole
        }
        "image" => {
            resolved.read_only_non_recursive = true;
            image_mount(shared, mount)?
        }
        _ => {
            let source = Path::new(&point.source);
            if !source.exists() {
                if !mount.create_source {
                    return Err(Error::invalid(format!(
                        "invalid mount config for type \"bind\": bind source path does not exist: {}",
                        point.source
                    )));
                }
                files::make_dir(source, 0o755).map_err(|e| {
                    Error::internal(format!("error while creating mount source path '{}': {e}", point.source))
                })?;
            }
            bind(&point.source)
        }
    };
    Ok(resolved)
}

/// The files of an image, which is there as long as the container is: that has a lease on it.
fn image_mount(shared: &Shared, mount: &MountRecord) -> Result<Mount> {
    let Some(top) = &mount.image_layer else {
        return Err(Error::invalid(format!("image {} has no files to mount", mount.point.name)));
    };
    let mut all = shared.store.snapshots().mounts(top.as_str())?;
    let (Some(mut whole), true) = (all.pop(), all.is_empty()) else {
        return Err(Error::internal(format!("image {} is not one mount", mount.point.name)));
    };
    whole.destination.clone_from(&mount.point.destination);
    if !mount.subpath.is_empty() {
        whole.options.push(format!("{}{}", runtime::SUBPATH, mount.subpath));
    }
    Ok(whole)
}

/// Tells in Docker's words why a path in a volume cannot be mounted. That it stays inside is not known from this, since
/// others may write there meanwhile: the runtime sees to it where it mounts ([`runtime::SUBPATH`]).
fn check_subpath(volume: &Path, subpath: &str) -> Result<()> {
    let path = volume.join(subpath);
    let no_access = |error: std::io::Error| {
        let (path, why) = (path.display(), error.to_string());
        let why = why.split(" (os error").next().unwrap_or_default().to_lowercase();
        Error::internal(format!("cannot access path {path}: lstat {path}: {why}"))
    };
    let root = volume.canonicalize().map_err(no_access)?;
    if path.canonicalize().map_err(no_access)?.starts_with(&root) {
        return Ok(());
    }
    let base = volume.display();
    Err(Error::internal(format!(
        "path concatenation escapes the base directory, base: {base}, subpath: {subpath}"
    )))
}

/// Where output goes.
pub(crate) fn log_spec(shared: &Shared, record: &Record) -> Result<LogSpec> {
    let config = &record.host_config.log_config;
    let driver = LogDriver::parse(&config.driver).map_err(Error::invalid)?;
    let dir = shared.data_dir(&record.id);
    let path = match driver {
        LogDriver::Local => {
            let dir = dir.join("local-logs");
            files::make_dir(&dir, 0o700)?;
            dir.join("container.log")
        }
        _ => dir.join(format!("{}-json.log", record.id)),
    };
    let options = config.config.clone().unwrap_or_default();
    let attrs = log_attrs::of(record, &options)?;
    Ok(LogSpec { driver, path, options, attrs })
}

/// Fails unless it runs.
pub(crate) fn must_run(record: &Record) -> Result<&Run> {
    record.state.run().ok_or_else(|| not_running(&record.id))
}
