//! From the zygote's fork to a running container.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use linux::cgroup::Cgroup;
use linux::signalfd::SignalFd;
use runtime::{CgroupMode, CreateRequest};
use serde::{Deserialize, Serialize};

use super::connection::{Role, Stream};
use super::poller::{Interest, Poller, Ready, Token};
use super::requests::{failed, runtime_stdio, seccomp_program};
use super::slab::Slab;
use super::stdio::Stdio;
use super::{INIT, Member, Supervisor};
use crate::log::{self, Writer};
use crate::protocol::{self, REQUEST_HEADER};
use crate::record::{self, RunRecord};
use crate::spawn::{Attach, ProcessError, Spawn, Spawned};

/// The JSON of a spawn's own socket. The first message carries the descriptors: the network namespace if there is one,
/// then one for each attachment.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SpawnMessage<S> {
    pub(crate) spawn: S,
    pub(crate) netns: bool,
    pub(crate) attach: Vec<Attach>,
}

/// The life of a supervisor, right after the fork. Ends with the process.
pub(crate) fn main(socket: OwnedFd) -> ! {
    let mut socket = UnixStream::from(socket);
    let started = start(&mut socket);
    let reply = started.as_ref().map(|(_, spawned)| spawned).map_err(Clone::clone);
    // A daemon that is gone finds us by our directory.
    let _gone = socket.write_all(&protocol::encode_reply(&reply));
    drop(socket);
    let Ok((mut supervisor, _)) = started else { linux::process::exit_now(0) };
    linux::aside::trim_memory();
    let _kept = linux::memory::release_code();
    let result = supervisor.run();
    if let Err(error) = &result {
        complain(&supervisor.dir, &format!("supervisor: {error}"));
    }
    linux::process::exit_now(i32::from(result.is_err()))
}

/// Leaves a word for whoever looks why something went wrong after the daemon could be told.
pub(super) fn complain(dir: &Path, message: &str) {
    let path = dir.join("supervisor.err");
    let file = fs::OpenOptions::new().append(true).create(true).open(path);
    let _nowhere = file.and_then(|mut file| writeln!(file, "{} {message}", log::rfc3339_nano(log::now())));
}

fn start(socket: &mut UnixStream) -> Result<(Supervisor, Spawned), ProcessError> {
    let (message, seccomp, mut fds) =
        receive(socket).map_err(|error| failed(&format!("read request: {error}")))?;
    let SpawnMessage { spawn, netns, attach } = message;
    let signals =
        become_supervisor(&spawn.dir).map_err(|error| failed(&format!("set up supervisor: {error}")))?;
    let netns = (netns && !fds.is_empty()).then(|| fds.remove(0));
    let listener = listen(&spawn.dir)
        .map_err(|error| failed(&format!("{}: {error}", record::socket_path(&spawn.dir).display())))?;
    let result = create(&spawn, seccomp, netns, signals, listener);
    let (mut supervisor, spawned) = match result {
        Ok(started) => started,
        Err(error) => {
            let _gone = fs::remove_file(record::socket_path(&spawn.dir));
            return Err(error);
        }
    };
    for (attach, fd) in attach.iter().zip(fds) {
        supervisor.attach_early(attach, fd);
    }
    supervisor.refresh_outputs(INIT);
    Ok((supervisor, spawned))
}

fn receive(socket: &mut UnixStream) -> io::Result<(SpawnMessage<Spawn>, Vec<u8>, Vec<OwnedFd>)> {
    let mut header = [0; REQUEST_HEADER];
    let (got, fds) = linux::fd::recv_fds(socket.as_fd(), &mut header)?;
    socket.read_exact(&mut header[got..])?;
    let (json, blob) = protocol::decode_header(header)?;
    let mut bytes = vec![0; json];
    socket.read_exact(&mut bytes)?;
    let message = serde_json::from_slice(&bytes)?;
    let mut seccomp = vec![0; blob];
    socket.read_exact(&mut seccomp)?;
    Ok((message, seccomp, fds))
}

/// Leaves the daemon's session, adopts orphans, and takes signals as messages.
fn become_supervisor(dir: &Path) -> io::Result<SignalFd> {
    linux::process::reset_signals();
    let signals = SignalFd::block_all()?;
    rustix::process::setsid()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    rustix::thread::set_name(c"wharf-shim")?;
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    let dir = dir.to_owned();
    std::panic::set_hook(Box::new(move |panic| complain(&dir, &panic.to_string())));
    Ok(signals)
}

/// Listens before anything is created: a daemon that dies meanwhile finds what it started.
fn listen(dir: &Path) -> io::Result<UnixListener> {
    if record::in_short_path(dir, |path| UnixStream::connect(path)).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "container is running already"));
    }
    for old in [record::exit_path(dir), record::run_path(dir), record::socket_path(dir)] {
        match fs::remove_file(old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let listener = record::in_short_path(dir, |path| UnixListener::bind(path))?;
    rustix::fs::chmod(record::socket_path(dir), rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn create(
    spawn: &Spawn,
    seccomp: Vec<u8>,
    netns: Option<OwnedFd>,
    signals: SignalFd,
    listener: UnixListener,
) -> Result<(Supervisor, Spawned), ProcessError> {
    if let Some(foreign) = &spawn.foreign {
        return super::foreign::create(spawn, foreign, netns, signals, listener);
    }
    let process = spawn.spec.process.as_ref().ok_or_else(|| failed("no process to run"))?;
    let program = seccomp_program((!seccomp.is_empty()).then_some(seccomp))?;
    let log = Writer::open(&spawn.log).map_err(|why| failed(&why))?;
    let cgroup_path = spawn.spec.linux.as_ref().map_or("", |linux| linux.cgroups_path.as_str());
    let unit = linux::cgroup::Unit::of_path(cgroup_path);
    let pipes = (!process.terminal).then(|| Stdio::pipes(INIT, [spawn.open_stdin, true, true]));
    let (stdio, inner) = pipes.transpose().map_err(no_pipes)?.unzip();
    let request = CreateRequest {
        rootfs_mounts: &spawn.rootfs,
        stdio: runtime_stdio(inner.as_ref(), process),
        netns: netns.as_ref().map(AsFd::as_fd),
        user: Some(spawn.user.as_str()),
        groups: &spawn.groups,
        seccomp: program.as_ref(),
        cgroup: match &unit {
            Some(unit) => CgroupMode::Unit(unit),
            None if cgroup_path.is_empty() => CgroupMode::Inherit,
            None => CgroupMode::Path(cgroup_path),
        },
        ..CreateRequest::new(&spawn.id, &spawn.spec, &spawn.dir)
    };
    let created = runtime::create(&request).map_err(|error| ProcessError::from(&error))?;
    drop(inner);
    let started_at = log::rfc3339_nano(log::now());
    keep_run(spawn, created.pid, &started_at)?;
    let mut running = created.start().map_err(|error| ProcessError::from(&error))?;
    let cgroup = running.cgroup.take();
    let stdio = match (stdio, running.terminal) {
        (Some(stdio), _) => stdio,
        (None, Some(master)) => Stdio::terminal(INIT, master).map_err(no_pipes)?,
        (None, None) => return Err(failed("the runtime gave no terminal")),
    };
    let spawned = Spawned { pid: running.pid, started_at: started_at.clone() };
    let init = Member { id: String::new(), pid: running.pid, pidfd: running.pidfd, stdio, ended: None };
    let supervisor = assemble(spawn, init, cgroup, log, started_at, signals, listener)
        .map_err(|error| failed(&format!("set up supervisor: {error}")))?;
    Ok((supervisor, spawned))
}

/// Leaves on record what is needed to find, or to end, the container.
pub(super) fn keep_run(spawn: &Spawn, pid: i32, started_at: &str) -> Result<(), ProcessError> {
    let run = RunRecord {
        id: spawn.id.clone(),
        pid,
        pid_start_ticks: record::start_ticks(pid).unwrap_or_default(),
        supervisor_pid: rustix::process::getpid().as_raw_nonzero().get(),
        started_at: started_at.to_owned(),
        cgroup: spawn.spec.linux.as_ref().map_or_else(String::new, |linux| linux.cgroups_path.clone()),
        foreign: spawn.foreign.clone(),
    };
    run.write(&spawn.dir)
        .map_err(|error| failed(&format!("{}: {error}", record::run_path(&spawn.dir).display())))
}

pub(super) fn no_pipes(error: io::Error) -> ProcessError {
    failed(&format!("create streams: {error}"))
}

pub(super) fn assemble(
    spawn: &Spawn,
    init: Member,
    cgroup: Option<Cgroup>,
    log: Writer,
    started_at: String,
    signals: SignalFd,
    listener: UnixListener,
) -> io::Result<Supervisor> {
    let poller = Poller::new()?;
    Interest::none(Token::Signals).set(&poller, &signals, Some(Ready::IN))?;
    let mut interest = Interest::none(Token::Listener);
    interest.set(&poller, &listener, Some(Ready::IN))?;
    let mut members = Slab::new();
    members.insert(init);
    Ok(Supervisor {
        id: spawn.id.clone(),
        dir: spawn.dir.clone(),
        started_at,
        poller,
        signals,
        listener: Some((listener, interest)),
        members,
        finished: VecDeque::new(),
        connections: Slab::new(),
        cgroup,
        foreign: spawn.foreign.clone(),
        log,
        log_interest: Interest::none(Token::Log),
        stdin_once: spawn.stdin_once,
        paused: false,
        over: false,
        buffer: Vec::new(),
    })
}

impl Supervisor {
    /// A client that was there before the process: it misses nothing and is waited for.
    fn attach_early(&mut self, attach: &Attach, fd: OwnedFd) {
        if rustix::io::ioctl_fionbio(&fd, true).is_err() {
            return;
        }
        let terminal = self.members.get(INIT).is_some_and(|init| init.stdio.is_terminal());
        self.connect(fd, Role::Stream(Stream::new(INIT, attach, terminal, true)));
    }
}
