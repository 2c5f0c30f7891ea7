//! The daemon's side of `DIR/supervisor.sock`.
//!
//! All calls are blocking and short (one round trip on a unix socket; [`Client::exec`] takes as long as the process
//! takes to reach `execve`), except [`Waiting::join`]. Each opens its own connection, so a client may be shared.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use types::spec::Resources;

use crate::foreign::Bundle;
use crate::protocol::{self, ExecState, Reply, Request, Status};
use crate::record::{self, ExitRecord, RunRecord};
use crate::spawn::{Attach, Exec, ProcessError, Spawned};

/// How long the question for the status, which a daemon asks all supervisors at its start, may go unanswered.
const STATUS_PATIENCE: Duration = Duration::from_secs(5);

/// A container's supervisor, by its socket.
#[derive(Debug, Clone)]
pub struct Client {
    dir: PathBuf,
}

/// Why a supervisor did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The container has ended (or was never started): nobody listens, or its init is gone.
    #[error("container is not running")]
    NotRunning,
    /// No exec of that id, or one so old that it was forgotten.
    #[error("no such exec")]
    NoSuchExec,
    /// The process could not be started.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The supervisor said why not.
    #[error("{0}")]
    Refused(String),
    /// The conversation broke.
    #[error("supervisor in {dir}: {source}")]
    Io {
        /// The container's exec-root directory.
        dir: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// An exec'd process that runs, and its stream.
#[derive(Debug)]
pub struct Executed {
    /// Process id and start time.
    pub spawned: Spawned,
    /// The attachment, if one was asked for; ends when the process has ended.
    pub stream: Option<UnixStream>,
}

/// A question for an end that has not come yet.
#[derive(Debug)]
pub struct Waiting {
    stream: UnixStream,
    dir: PathBuf,
}

impl Client {
    /// The supervisor of this directory, without asking whether it lives: each call says so by itself. Saves the
    /// connection, and the waking of the supervisor, that [`Client::connect`] costs.
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Finds a live supervisor; [`ClientError::NotRunning`] if there is none.
    pub fn connect(dir: &Path) -> Result<Self, ClientError> {
        let client = Self { dir: dir.to_owned() };
        client.dial()?;
        Ok(client)
    }

    /// How the container is right now. A supervisor that does not answer for [`STATUS_PATIENCE`] (stopped, or held up by
    /// a file system that hangs) is [`ClientError::Io`].
    pub fn status(&self) -> Result<Status, ClientError> {
        let mut stream = self.send(&Request::Status, &[])?;
        stream.set_read_timeout(Some(STATUS_PATIENCE)).map_err(|error| self.broken(error))?;
        match self.receive(&mut stream)? {
            Reply::Status(status) => Ok(status),
            other => Err(self.unexpected(other)),
        }
    }

    /// Asks for the container's end. The answer comes when all output is out and `exit.json` is written.
    /// [`ClientError::NotRunning`], here or from [`Waiting`]: it has ended before it could be asked; [`find`] knows how.
    pub fn wait(&self) -> Result<Waiting, ClientError> {
        self.send(&Request::Wait, &[]).map(|stream| Waiting { stream, dir: self.dir.clone() })
    }

    /// Attaches to the container's streams; the connection is the stream from its first byte on.
    pub fn attach(&self, attach: &Attach) -> Result<UnixStream, ClientError> {
        let mut stream = self.send(&Request::Attach(attach.clone()), &[])?;
        match self.receive(&mut stream)? {
            Reply::Attached => Ok(stream),
            other => Err(self.unexpected(other)),
        }
    }

    /// Sets the size of the container's terminal; without terminal nothing happens, as in Docker.
    pub fn resize(&self, rows: u16, cols: u16) -> Result<(), ClientError> {
        self.do_it(&Request::Resize { exec: None, rows, cols })
    }

    /// Sends a signal to the container's init, or to every process in its cgroup.
    pub fn signal(&self, signal: i32, all: bool) -> Result<(), ClientError> {
        self.do_it(&Request::Signal { exec: None, signal, all })
    }

    /// Freezes the container's cgroup.
    pub fn pause(&self) -> Result<(), ClientError> {
        self.do_it(&Request::Freeze(true))
    }

    /// Thaws the container's cgroup.
    pub fn resume(&self) -> Result<(), ClientError> {
        self.do_it(&Request::Freeze(false))
    }

    /// Changes the limits of the container's cgroup; absent members stay as they are.
    pub fn update(&self, resources: &Resources) -> Result<(), ClientError> {
        self.do_it(&Request::Update(Box::new(resources.clone())))
    }

    /// Starts one more process in the container; returns when its `execve` has succeeded.
    pub fn exec(&self, exec: &Exec) -> Result<Executed, ClientError> {
        let attached = exec.attach.is_some();
        let blob = exec.seccomp.as_deref().unwrap_or_default();
        let mut stream = self.send(&Request::Exec(Box::new(exec.clone())), blob)?;
        match self.receive(&mut stream)? {
            Reply::Executed(spawned) => Ok(Executed { spawned, stream: attached.then_some(stream) }),
            other => Err(self.unexpected(other)),
        }
    }

    /// Asks for the end of an exec'd process. The answer comes when all its output is out. The exit codes of the last
    /// 64 finished execs are kept.
    pub fn exec_wait(&self, exec: &str) -> Result<Waiting, ClientError> {
        self.send(&Request::ExecWait(exec.to_owned()), &[])
            .map(|stream| Waiting { stream, dir: self.dir.clone() })
    }

    /// How an exec'd process is.
    pub fn exec_status(&self, exec: &str) -> Result<ExecState, ClientError> {
        match self.ask(&Request::ExecStatus(exec.to_owned()))? {
            Reply::Exec(state) => Ok(state),
            other => Err(self.unexpected(other)),
        }
    }

    /// Sets the size of an exec's terminal.
    pub fn exec_resize(&self, exec: &str, rows: u16, cols: u16) -> Result<(), ClientError> {
        self.do_it(&Request::Resize { exec: Some(exec.to_owned()), rows, cols })
    }

    /// Sends a signal to an exec'd process.
    pub fn exec_signal(&self, exec: &str, signal: i32) -> Result<(), ClientError> {
        self.do_it(&Request::Signal { exec: Some(exec.to_owned()), signal, all: false })
    }

    fn do_it(&self, request: &Request) -> Result<(), ClientError> {
        match self.ask(request)? {
            Reply::Done => Ok(()),
            other => Err(self.unexpected(other)),
        }
    }

    fn ask(&self, request: &Request) -> Result<Reply, ClientError> {
        let mut stream = self.send(request, &[])?;
        self.receive(&mut stream)
    }

    fn dial(&self) -> Result<UnixStream, ClientError> {
        record::in_short_path(&self.dir, |path| UnixStream::connect(path)).map_err(|error| {
            match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning,
                _ => self.broken(error),
            }
        })
    }

    fn send(&self, request: &Request, blob: &[u8]) -> Result<UnixStream, ClientError> {
        let mut stream = self.dial()?;
        protocol::write_request(&mut stream, request, blob).map_err(|error| self.broken(error))?;
        Ok(stream)
    }

    fn receive(&self, stream: &mut UnixStream) -> Result<Reply, ClientError> {
        protocol::read_reply(stream).map_err(|error| self.broken(error))
    }

    /// A supervisor that ends while it is asked has no container any more.
    fn broken(&self, source: io::Error) -> ClientError {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        match source.kind() {
            BrokenPipe | ConnectionReset | UnexpectedEof => ClientError::NotRunning,
            _ => ClientError::Io { dir: self.dir.clone(), source },
        }
    }

    fn unexpected(&self, reply: Reply) -> ClientError {
        refusal(&self.dir, reply)
    }
}

fn refusal(dir: &Path, reply: Reply) -> ClientError {
    match reply {
        Reply::NotRunning => ClientError::NotRunning,
        Reply::NoSuchExec => ClientError::NoSuchExec,
        Reply::NotStarted(error) => ClientError::Process(error),
        Reply::Failed(message) => ClientError::Refused(message),
        other => ClientError::Io {
            dir: dir.to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidData, format!("unexpected reply {other:?}")),
        },
    }
}

impl Waiting {
    /// Blocks until the end. For a container whose supervisor died meanwhile: [`ClientError::NotRunning`]; ask [`find`].
    pub fn join(mut self) -> Result<ExitRecord, ClientError> {
        let mut bytes = Vec::new();
        self.stream
            .read_to_end(&mut bytes)
            .map_err(|source| ClientError::Io { dir: self.dir.clone(), source })?;
        Self::parse(&self.dir, &bytes)
    }

    /// For async callers: read this to its end (it becomes readable when the end has come), then [`Waiting::parse`].
    pub fn into_stream(self) -> UnixStream {
        self.stream
    }

    /// What the bytes of [`Waiting::into_stream`] say. For an exec only `exit_code`, `signal` and `finished_at` count.
    pub fn parse(dir: &Path, mut bytes: &[u8]) -> Result<ExitRecord, ClientError> {
        match protocol::read_reply(&mut bytes) {
            Ok(Reply::Exited(record)) => Ok(record),
            Ok(other) => Err(refusal(dir, other)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ClientError::NotRunning),
            Err(source) => Err(ClientError::Io { dir: dir.to_owned(), source }),
        }
    }
}

/// What became of a container whose directory was found after a daemon's restart.
#[derive(Debug)]
pub enum Found {
    /// It runs.
    Live(Client),
    /// It has ended; also when the supervisor is still busy handing its last output to clients.
    Exited(ExitRecord),
    /// Never started, or its supervisor was killed: call [`clean_up`] to end what is left of it.
    Gone,
}

/// Looks into a container's exec-root directory.
pub fn find(dir: &Path) -> Found {
    match (Client::connect(dir), ExitRecord::read(dir)) {
        // The record is written just before the socket goes.
        (_, Ok(record)) => Found::Exited(record),
        (Ok(client), Err(_)) => Found::Live(client),
        (Err(_), Err(_)) => Found::Gone,
    }
}

/// Ends what a dead supervisor left: kills the container's init and whatever is in its cgroup, removes the cgroup.
/// Leaves the files of the directory. Does nothing if nothing is left.
pub fn clean_up(dir: &Path) -> io::Result<()> {
    let Ok(run) = RunRecord::read(dir) else { return Ok(()) };
    if run.is_alive() {
        // Opened first, asked again, then killed: the pid cannot become another process in between.
        match linux::pidfd::open(run.pid) {
            Ok(pidfd) if run.is_alive() => {
                linux::pidfd::send_signal(pidfd.as_fd(), rustix::process::Signal::KILL.as_raw())?;
            }
            _ => {}
        }
    }
    if let Some(foreign) = &run.foreign {
        // It may not know the container any more, or not be there any more; the cgroup shows what is left.
        let _forgotten = foreign.delete(&Bundle::of(dir), &run.id);
    }
    if run.cgroup.is_empty() {
        return Ok(());
    }
    match linux::cgroup::Cgroup::open(&run.cgroup) {
        Ok(cgroup) => cgroup.remove().map_err(io::Error::other),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(io::Error::other(error)),
    }
}
