//! Execs: one more process in a running container.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use supervisor::{Attach, ClientError, Exec, Waiting};
use tokio::io::AsyncReadExt as _;
use types::spec::{Capabilities, ConsoleSize, Process};
use types::{ContainerId, Error, ErrorKind, ExecId, Result};

use super::attach::detach_keys;
use super::record::Record;
use super::request::{ExecCreateRequest, ExecStartRequest};
use super::root::{answer, with_root};
use super::state::Status;
use super::table::Handle;
use super::view::{Attached, ExecDetails};
use super::{Containers, Shared, capabilities, driver, links, logs, mounts, security, spec, start};
use crate::error::{no_such_exec, not_running};
use crate::{blocking, random};

/// Execs remembered in one container; the oldest are forgotten first.
const EXECS_MAX: usize = 1024;
/// Docker's words before the runtime's.
const PREFIX: &str = "OCI runtime exec failed: exec failed: unable to start container process: ";

/// All execs of all containers.
#[derive(Debug, Default)]
pub(crate) struct Execs(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<String, Entry>,
    /// In order of creation.
    by_container: HashMap<ContainerId, Vec<ExecId>>,
}

#[derive(Debug, Clone)]
struct Entry {
    container: ContainerId,
    request: Arc<ExecCreateRequest>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Created,
    Starting,
    Running { pid: i32 },
    Ended { pid: i32, code: i32 },
}

impl Execs {
    // A std mutex: held for map operations only.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, id: &ExecId, container: &ContainerId, request: ExecCreateRequest) {
        let mut table = self.table();
        let entry = Entry { container: container.clone(), request: Arc::new(request), phase: Phase::Created };
        table.by_id.insert(id.to_string(), entry);
        let list = table.by_container.entry(container.clone()).or_default();
        list.push(id.clone());
        if list.len() > EXECS_MAX {
            let oldest = list.remove(0);
            table.by_id.remove(oldest.as_str());
        }
    }

    fn get(&self, id: &str) -> Result<Entry> {
        self.table().by_id.get(id).cloned().ok_or_else(|| no_such_exec(id))
    }

    fn set(&self, id: &str, phase: Phase) {
        if let Some(entry) = self.table().by_id.get_mut(id) {
            entry.phase = phase;
        }
    }

    /// Claims the one start an exec has.
    fn claim(&self, id: &str) -> Result<()> {
        let mut table = self.table();
        let entry = table.by_id.get_mut(id).ok_or_else(|| no_such_exec(id))?;
        must_be_unclaimed(id, &entry.phase)?;
        entry.phase = Phase::Starting;
        Ok(())
    }

    /// Whether the one start is still to be had.
    fn unclaimed(&self, id: &str) -> Result<()> {
        must_be_unclaimed(id, &self.get(id)?.phase)
    }

    /// Those that have not ended, for `inspect`.
    pub(crate) fn of(&self, container: &ContainerId) -> Vec<ExecId> {
        let table = self.table();
        let alive = |id: &&ExecId| {
            table.by_id.get(id.as_str()).is_some_and(|entry| !matches!(entry.phase, Phase::Ended { .. }))
        };
        table.by_container.get(container).into_iter().flatten().filter(alive).cloned().collect()
    }

    /// With the container its execs have ended.
    pub(crate) fn container_ended(&self, container: &ContainerId) {
        let mut table = self.table();
        for id in table.by_container.get(container).cloned().unwrap_or_default() {
            if let Some(entry) = table.by_id.get_mut(id.as_str())
                && let Phase::Running { pid } = entry.phase
            {
                entry.phase = Phase::Ended { pid, code: 137 };
            }
        }
    }

    /// Forgets the execs of a removed container.
    pub(crate) fn forget(&self, container: &ContainerId) {
        let mut table = self.table();
        for id in table.by_container.remove(container).unwrap_or_default() {
            table.by_id.remove(id.as_str());
        }
    }
}

impl Containers {
    /// Prepares another process in a running container.
    pub async fn exec_create(&self, name: &str, request: ExecCreateRequest) -> Result<ExecId> {
        if request.cmd.is_empty() {
            return Err(Error::invalid("No exec command specified"));
        }
        let handle = self.find(name)?;
        let record = handle.record();
        must_take_execs(&record)?;
        detach_keys(request.detach_keys.as_deref())
            .map_err(|error| Error { message: error.message.replacen("detach", "escape", 1), ..error })?;
        self.must_have_user(&handle, &request.user).await?;
        let id = ExecId::from_bytes(random::bytes()?);
        let (command, words) = (request.cmd.join(" "), request.cmd.len());
        self.0.execs.insert(&id, &record.id, request);
        let exec_id = [("execID", id.to_string())];
        let space = if words == 1 { " " } else { "" };
        self.0.publish(&record, &format!("exec_create: {command}{space}"), exec_id);
        Ok(id)
    }

    /// A user that the container does not know fails the request, and not the process.
    async fn must_have_user(&self, handle: &Handle, user: &str) -> Result<()> {
        if user.is_empty() {
            return Ok(());
        }
        let user = user.to_owned();
        let looking = with_root(&self.0, handle, move |root, _| {
            runtime::owner_in(root, &user).map(drop).map_err(|error| Error::invalid(error.to_string()))
        })?;
        answer(looking).await
    }

    /// Whether [`Containers::exec_start`] would be refused, without starting anything.
    pub async fn exec_may_start(&self, exec: &str) -> Result<()> {
        let entry = self.0.execs.get(exec)?;
        must_take_execs(&self.find(entry.container.as_str())?.record())?;
        self.0.execs.unclaimed(exec)
    }

    /// Starts it; returns when it has been executed. `None` when detached. A process that cannot be executed is told,
    /// as Docker does, in the stream: then `history` holds the text and `stream` is `None`.
    pub async fn exec_start(&self, exec: &str, request: ExecStartRequest) -> Result<Option<Attached>> {
        let shared = &self.0;
        let entry = shared.execs.get(exec)?;
        let record = self.find(entry.container.as_str())?.record();
        must_take_execs(&record)?;
        shared.execs.claim(exec)?;
        let wanted = entry.request.clone();
        let (console, detach) = (request.console_size.or(wanted.console_size), request.detach);
        // Whoever starts it says how the stream looks, whatever it was made with.
        let tty = request.tty;
        let started = {
            let (shared, record, id, wanted) =
                (shared.clone(), record.clone(), exec.to_owned(), wanted.clone());
            blocking(move || Ok(run(&shared, &record, &id, &wanted, console, !tty, detach))).await?
        };
        let executed = match started {
            Ok(executed) => executed,
            Err(refused) => {
                let (code, error) = refused.told(&record.id);
                shared.execs.set(exec, Phase::Ended { pid: 0, code });
                if detach || code == 0 {
                    return Err(error);
                }
                let history = Some(logs::only(&format!("{}\r\n", error.message), tty));
                return Ok(Some(Attached { tty, history, stream: None }));
            }
        };
        shared.execs.set(exec, Phase::Running { pid: executed.pid });
        let command = wanted.cmd.join(" ");
        // The space behind the last word is Docker's (it joins the command and its arguments).
        let space = if wanted.cmd.len() == 1 { " " } else { "" };
        let action = format!("exec_start: {command}{space}");
        shared.publish(&record, &action, [("execID", exec.to_owned())]);
        if let Some(end) = executed.end {
            let (shared, exec, pid) = (shared.clone(), exec.to_owned(), executed.pid);
            tokio::spawn(async move { watch_end(&shared, &record, &exec, pid, end).await });
        }
        match executed.stream {
            Some(stream) => {
                Ok(Some(Attached { tty, history: None, stream: Some(driver::into_tokio(stream)?) }))
            }
            None => Ok(None),
        }
    }

    /// Everything about one exec.
    pub async fn exec_inspect(&self, exec: &str) -> Result<ExecDetails> {
        let mut entry = self.0.execs.get(exec)?;
        // Its stream may have ended a moment ago: the supervisor knows before we are told.
        if matches!(entry.phase, Phase::Running { .. }) {
            let (shared, id, container) = (self.0.clone(), exec.to_owned(), entry.container.clone());
            let state = blocking(move || Ok(shared.client(&container).exec_status(&id).ok())).await?;
            if let Some(state) = state
                && let Some(code) = state.exit_code
            {
                entry.phase = Phase::Ended { pid: state.pid, code };
            } else {
                entry.phase = self.0.execs.get(exec)?.phase;
            }
        }
        let request = &entry.request;
        let (running, exit_code, pid) = match entry.phase {
            Phase::Created | Phase::Starting => (false, None, 0),
            Phase::Running { pid } => (true, None, pid),
            Phase::Ended { pid, code } => (false, Some(code), pid),
        };
        Ok(ExecDetails {
            id: exec.parse().map_err(|_| no_such_exec(exec))?,
            running,
            exit_code,
            entrypoint: request.cmd.first().cloned().unwrap_or_default(),
            arguments: request.cmd.iter().skip(1).cloned().collect(),
            tty: request.tty,
            privileged: request.privileged,
            user: request.user.clone(),
            open_stdin: request.attach_stdin,
            open_stdout: request.attach_stdout,
            open_stderr: request.attach_stderr,
            can_remove: false,
            container_id: entry.container,
            detach_keys: request.detach_keys.clone().unwrap_or_default(),
            pid,
        })
    }

    /// Sets the size of an exec's terminal.
    pub async fn exec_resize(&self, exec: &str, height: u16, width: u16) -> Result<()> {
        let entry = self.0.execs.get(exec)?;
        if !matches!(entry.phase, Phase::Running { .. }) {
            return Err(Error::conflict(format!("exec process is not started: {exec}")));
        }
        let (shared, exec) = (self.0.clone(), exec.to_owned());
        blocking(move || {
            let done = shared.client(&entry.container).exec_resize(&exec, height, width);
            match done {
                // It has just ended.
                Err(ClientError::NoSuchExec | ClientError::NotRunning) => Ok(()),
                other => other.map_err(|e| super::client_error(e, &entry.container)),
            }
        })
        .await
    }
}

fn must_be_unclaimed(id: &str, phase: &Phase) -> Result<()> {
    match phase {
        Phase::Created => Ok(()),
        Phase::Starting | Phase::Running { .. } => {
            Err(Error::conflict(format!("exec command {id} is already running")))
        }
        Phase::Ended { .. } => Err(Error::conflict(format!("exec command {id} has already run"))),
    }
}

fn must_take_execs(record: &Record) -> Result<()> {
    match record.state.status() {
        Status::Running => Ok(()),
        Status::Paused => Err(Error::conflict(format!(
            "Container {} is paused, unpause the container before exec",
            record.name
        ))),
        Status::Restarting => Err(driver::is_restarting(record)),
        _ => Err(not_running(&record.id)),
    }
}

/// A process that runs in a container.
struct Executed {
    pid: i32,
    stream: Option<std::os::unix::net::UnixStream>,
    /// Becomes readable when it has ended.
    end: Option<std::os::unix::net::UnixStream>,
}

/// Why it does not.
enum Refused {
    Client(ClientError),
    /// The working directory is not absolute.
    RelativeDir,
    Other(Error),
}

impl Refused {
    /// The exit code that Docker records (0: none, the request itself fails) and what the user reads.
    fn told(self, container: &ContainerId) -> (i32, Error) {
        match self {
            Self::Other(error) => (0, error),
            Self::RelativeDir => {
                let text = "OCI runtime exec failed: exec failed: Cwd must be an absolute path";
                (128, Error::new(ErrorKind::InvalidArgument, text))
            }
            Self::Client(ClientError::Process(error)) => {
                let missing_dir = error.message.starts_with("chdir to cwd ");
                let text = if missing_dir || error.message.starts_with("exec: ") {
                    format!("{PREFIX}{}", error.message)
                } else {
                    error.message
                };
                let code = match error.exit_code {
                    code @ (126 | 127) => code,
                    _ if missing_dir && text.ends_with("no such file or directory") => 127,
                    _ => 126,
                };
                (code, Error::new(ErrorKind::InvalidArgument, text))
            }
            Self::Client(other) => (0, super::client_error(other, container)),
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// Asks the supervisor to execute it. Blocks.
fn run(
    shared: &Shared,
    record: &Record,
    id: &str,
    request: &ExecCreateRequest,
    console: Option<[u32; 2]>,
    framed: bool,
    detach: bool,
) -> Result<Executed, Refused> {
    if !matches!(request.working_dir.as_bytes().first(), None | Some(b'/')) {
        return Err(Refused::RelativeDir);
    }
    let process = process(shared, record, request, console)?;
    let streams = request.attach_stdin || request.attach_stdout || request.attach_stderr;
    let attach = (!detach && (streams || request.tty)).then_some(Attach {
        stdin: request.attach_stdin,
        stdout: request.attach_stdout,
        stderr: request.attach_stderr,
        detach_keys: detach_keys(request.detach_keys.as_deref())?,
        framed: Some(framed),
    });
    // The filter is the container's: a process must not escape it by being privileged.
    let caps = container_caps(shared, record)?;
    let exec = Exec {
        id: id.to_owned(),
        process,
        attach,
        user: if request.user.is_empty() { record.config.user.clone() } else { request.user.clone() },
        groups: record.host_config.group_add.clone().unwrap_or_default(),
        seccomp: start::filter_of(shared, record, &caps)?.map(|bytes| bytes.to_vec()),
    };
    let client = shared.client(&record.id);
    let executed = client.exec(&exec).map_err(Refused::Client)?;
    let end = client.exec_wait(id).ok().map(Waiting::into_stream);
    Ok(Executed { pid: executed.spawned.pid, stream: executed.stream, end })
}

fn container_caps(shared: &Shared, record: &Record) -> Result<Vec<String>> {
    let host = &record.host_config;
    capabilities::of_container(
        host.cap_add.as_deref().unwrap_or_default(),
        host.cap_drop.as_deref().unwrap_or_default(),
        host.privileged,
        shared.host.highest_cap,
    )
}

/// The container's process, changed by the request.
fn process(
    shared: &Shared,
    record: &Record,
    request: &ExecCreateRequest,
    console: Option<[u32; 2]>,
) -> Result<Process> {
    let host = &record.host_config;
    let caps = if request.privileged {
        capabilities::of_container(&[], &[], true, shared.host.highest_cap)?
    } else {
        container_caps(shared, record)?
    };
    let options = security::parse(host.security_opt.as_deref().unwrap_or_default())?;
    let mut env = spec::environment(record, &links::environment(shared, record));
    if request.tty && !env.iter().any(|v| v.starts_with("TERM=")) {
        env.push("TERM=xterm".to_owned());
    }
    spec::merge_env(&mut env, &request.env);
    let dir = if request.working_dir.is_empty() { &record.config.working_dir } else { &request.working_dir };
    Ok(Process {
        terminal: request.tty,
        console_size: console
            .filter(|size| request.tty && *size != [0, 0])
            .map(|[height, width]| ConsoleSize { height: u64::from(height), width: u64::from(width) }),
        args: request.cmd.clone(),
        env,
        cwd: if dir.is_empty() { "/".to_owned() } else { mounts::clean(dir) },
        capabilities: Some(Capabilities {
            bounding: caps.clone(),
            effective: caps.clone(),
            permitted: caps,
            ..Capabilities::default()
        }),
        rlimits: spec::rlimits(host, &shared.settings),
        no_new_privileges: options.no_new_privileges || shared.settings.no_new_privileges,
        oom_score_adj: i32::try_from(host.oom_score_adj).ok(),
        ..Process::default()
    })
}

async fn watch_end(
    shared: &Shared,
    record: &Record,
    exec: &str,
    pid: i32,
    end: std::os::unix::net::UnixStream,
) {
    let Ok(mut stream) = driver::into_tokio(end) else { return };
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes).await;
    let parsed = read.ok().and_then(|_| Waiting::parse(&shared.run_dir(&record.id), &bytes).ok());
    // Cut off: the container went down with it.
    let code = parsed.map_or(137, |exit| exit.exit_code);
    shared.execs.set(exec, Phase::Ended { pid, code });
    shared.publish(record, "exec_die", [("execID", exec.to_owned()), ("exitCode", code.to_string())]);
}

/// Runs a command in a container and gives its exit code; for health checks. What it writes is in `output` as it comes,
/// also when the caller gives up waiting.
pub(crate) async fn capture(
    shared: &Arc<Shared>,
    record: &Arc<Record>,
    cmd: Vec<String>,
    limit_bytes: usize,
    output: &mut Vec<u8>,
) -> Result<i32> {
    let request =
        ExecCreateRequest { cmd, attach_stdout: true, attach_stderr: true, tty: false, ..Default::default() };
    let id = ExecId::from_bytes(random::bytes()?);
    let started = {
        let (shared, record, id) = (shared.clone(), record.clone(), id.to_string());
        blocking(move || {
            Ok(run(&shared, &record, &id, &request, None, true, false).map_err(|r| r.told(&record.id)))
        })
        .await?
    };
    let Executed { stream, end, .. } = match started {
        Ok(executed) => executed,
        Err((0, error)) => return Err(error),
        Err((code, error)) => {
            output.extend_from_slice(error.message.as_bytes());
            return Ok(code);
        }
    };
    if let Some(stream) = stream {
        let mut stream = driver::into_tokio(stream)?;
        let mut header = [0u8; types::Frame::HEADER];
        // Frames until the end; what is over the limit is read and dropped, so that the process is not held back.
        while stream.read_exact(&mut header).await.is_ok() {
            let Some(frame) = types::Frame::decode(header) else { break };
            let mut payload = vec![0u8; frame.length as usize];
            if stream.read_exact(&mut payload).await.is_err() {
                break;
            }
            let room = limit_bytes.saturating_sub(output.len());
            output.extend_from_slice(&payload[..payload.len().min(room)]);
        }
    }
    let mut bytes = Vec::new();
    if let Some(end) = end {
        let mut end = driver::into_tokio(end)?;
        end.read_to_end(&mut bytes).await.map_err(Error::internal)?;
    }
    let exit = Waiting::parse(&shared.run_dir(&record.id), &bytes)
        .map_err(|e| super::client_error(e, &record.id))?;
    Ok(exit.exit_code)
}
