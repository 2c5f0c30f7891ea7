//! Containers that another runtime makes: the same life, told to it command by command.

use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;

use linux::cgroup::Cgroup;
use linux::signalfd::SignalFd;
use rustix::process::Signal;
use types::spec::{NamespaceKind, Process, Resources, RuntimeSpec};

use super::requests::failed;
use super::start::{assemble, keep_run, no_pipes};
use super::stdio::{Inner, Stdio};
use super::{INIT, Member, Supervisor};
use crate::foreign::{Bundle, Console, Foreign, Streams, readable};
use crate::log::{self, Writer};
use crate::spawn::{Exec, ProcessError, Spawn, Spawned};

/// What we say a configuration is written after: crun up to 1.8 refuses others, and newer runtimes take it.
const VERSION: &str = "1.0.2";

/// As [`super::start`] does it with our own runtime.
pub(super) fn create(
    spawn: &Spawn,
    foreign: &Foreign,
    netns: Option<OwnedFd>,
    signals: SignalFd,
    listener: UnixListener,
) -> Result<(Supervisor, Spawned), ProcessError> {
    let log = Writer::open(&spawn.log).map_err(|why| failed(&why))?;
    let bundle = Bundle::make(&spawn.dir).map_err(|error| cannot("make bundle", &error))?;
    let mut spec = spawn.spec.clone();
    let root = spec.root.as_ref().map_or("", |root| root.path.as_str()).to_owned();
    let root = runtime::enclose(root.as_ref(), &spawn.rootfs, &bundle.mounts(), &mut spec)?;
    let process = spec.process.as_mut().ok_or_else(|| failed("no process to run"))?;
    process.user = runtime::user_in(root.as_fd(), &spawn.user, &spawn.groups)?;
    let terminal = process.terminal.then_some(process.console_size.unwrap_or_default());
    drop(root);
    VERSION.clone_into(&mut spec.oci_version);
    if let Some(netns) = &netns {
        give_network(&mut spec, netns);
    }
    bundle.write("config.json", &spec).map_err(|error| cannot("write config.json", &error))?;

    let gate = Gate::open(&bundle, INIT, terminal.is_some(), [spawn.open_stdin, true, true])?;
    let mut words = vec!["create".to_owned(), "--bundle".to_owned(), text(bundle.path())];
    words.extend(["--pid-file".to_owned(), text(&bundle.file("init.pid"))]);
    words.extend(gate.words());
    words.push(spawn.id.clone());
    let gate = gate.pass(foreign, &bundle, &words);
    let made = gate.map_err(|why| refused("create", &why)).and_then(|gate| {
        let pid = bundle.pid("init.pid").map_err(|error| cannot("read the runtime's pid file", &error))?;
        let pidfd = linux::pidfd::open(pid).map_err(|error| cannot("find the runtime's process", &error))?;
        let stdio = gate.stdio()?;
        if let Some(size) = terminal {
            resize(&stdio, size.height, size.width);
        }
        let started_at = log::rfc3339_nano(log::now());
        keep_run(spawn, pid, &started_at)?;
        foreign
            .run(&bundle, &["start", &spawn.id], Streams::default())
            .map_err(|why| refused("start", &why))?;
        Ok((Member { id: String::new(), pid, pidfd, stdio, ended: None }, started_at))
    });
    // What is there of it would be in the way of the next start.
    let (init, started_at) = made.inspect_err(|_| drop(foreign.delete(&bundle, &spawn.id)))?;
    drop(netns);
    let path = spawn.spec.linux.as_ref().map_or("", |linux| linux.cgroups_path.as_str());
    let spawned = Spawned { pid: init.pid, started_at: started_at.clone() };
    let cgroup = Cgroup::open(path).ok();
    let supervisor = assemble(spawn, init, cgroup, log, started_at, signals, listener)
        .inspect_err(|_| drop(foreign.delete(&bundle, &spawn.id)))
        .map_err(|error| cannot("set up supervisor", &error))?;
    Ok((supervisor, spawned))
}

/// A descriptor of ours, as another process finds it while we live.
fn give_network(spec: &mut RuntimeSpec, netns: &OwnedFd) {
    let path = format!("/proc/{}/fd/{}", std::process::id(), netns.as_raw_fd());
    let namespaces = spec.linux.iter_mut().flat_map(|linux| linux.namespaces.iter_mut());
    for namespace in namespaces.filter(|namespace| namespace.kind == NamespaceKind::Network) {
        if namespace.path.is_empty() {
            namespace.path.clone_from(&path);
        }
    }
}

/// The streams of a process that a command makes: pipes that the command hands on, or a terminal that it sends.
enum Gate {
    Pipes(Stdio, Inner),
    Terminal(usize, Console),
}

/// The same after the command.
enum Passed {
    Pipes(Stdio),
    Terminal(usize, Console),
}

impl Gate {
    fn open(bundle: &Bundle, member: usize, terminal: bool, wanted: [bool; 3]) -> Result<Self, ProcessError> {
        if terminal {
            return Console::listen(bundle).map(|console| Self::Terminal(member, console)).map_err(no_pipes);
        }
        Stdio::pipes(member, wanted).map(|(stdio, inner)| Self::Pipes(stdio, inner)).map_err(no_pipes)
    }

    fn words(&self) -> Vec<String> {
        match self {
            Self::Pipes(..) => Vec::new(),
            Self::Terminal(_, console) => vec!["--console-socket".to_owned(), console.path()],
        }
    }

    fn pass(self, foreign: &Foreign, bundle: &Bundle, words: &[String]) -> Result<Passed, String> {
        match self {
            Self::Pipes(stdio, inner) => {
                let streams = Streams {
                    stdin: Some(inner.stdin),
                    stdout: Some(inner.stdout),
                    stderr: Some(inner.stderr),
                };
                foreign.run(bundle, words, streams).map(|()| Passed::Pipes(stdio))
            }
            Self::Terminal(member, console) => {
                foreign.run(bundle, words, Streams::default()).map(|()| Passed::Terminal(member, console))
            }
        }
    }
}

impl Passed {
    fn stdio(self) -> Result<Stdio, ProcessError> {
        match self {
            Self::Pipes(stdio) => Ok(stdio),
            Self::Terminal(member, console) => {
                let master = console.receive().map_err(|error| cannot("receive the terminal", &error))?;
                Stdio::terminal(member, master).map_err(no_pipes)
            }
        }
    }
}

/// Sets the first size of a terminal: not every runtime does. One without a size keeps the kernel's.
fn resize(stdio: &Stdio, height: u64, width: u64) {
    let short = |cells: u64| u16::try_from(cells).unwrap_or(u16::MAX);
    if (height, width) != (0, 0) {
        let _gone = stdio.resize(short(height), short(width));
    }
}

impl Supervisor {
    /// Sends a signal to the container through its runtime, which knows who is behind the process that we see. One that
    /// does not obey cannot keep us from killing.
    pub(super) fn foreign_signal(&self, foreign: &Foreign, init: &Member, signal: i32) -> io::Result<()> {
        let words = ["kill".to_owned(), self.id.clone(), signal.to_string()];
        let told = foreign.run(&Bundle::of(&self.dir), &words, Streams::default());
        let Err(why) = told else { return Ok(()) };
        if signal == Signal::KILL.as_raw() || linux::pidfd::has_ended(init.pidfd.as_fd()) {
            return linux::pidfd::send_signal(init.pidfd.as_fd(), signal);
        }
        Err(io::Error::other(why))
    }

    /// Stops (`true`) or continues it.
    pub(super) fn foreign_freeze(&self, foreign: &Foreign, frozen: bool) -> io::Result<()> {
        let verb = if frozen { "pause" } else { "resume" };
        let done = foreign.run(&Bundle::of(&self.dir), &[verb, &self.id], Streams::default());
        done.map_err(io::Error::other)
    }

    pub(super) fn foreign_update(&self, foreign: &Foreign, resources: &Resources) -> io::Result<()> {
        let streams = Streams { stdin: Some(readable(resources)?), ..Streams::default() };
        let words = ["update", "--resources", "-", &self.id];
        foreign.run(&Bundle::of(&self.dir), &words, streams).map_err(io::Error::other)
    }

    pub(super) fn foreign_exec(
        &mut self,
        foreign: &Foreign,
        exec: &Exec,
    ) -> Result<(usize, Spawned), ProcessError> {
        let bundle = Bundle::of(&self.dir);
        let index = self.members.vacant();
        let wanted = exec.attach.clone().unwrap_or_default();
        let user = self.foreign_user(exec)?;
        let process = Process { user, ..exec.process.clone() };
        bundle.write("process.json", &process).map_err(|error| cannot("write process.json", &error))?;
        let gate =
            Gate::open(&bundle, index, process.terminal, [wanted.stdin, wanted.stdout, wanted.stderr])?;
        let _none = std::fs::remove_file(bundle.file("exec.pid"));
        let mut words = vec!["exec".to_owned(), "--process".to_owned(), text(&bundle.file("process.json"))];
        words.extend(["--detach".to_owned(), "--pid-file".to_owned(), text(&bundle.file("exec.pid"))]);
        words.extend(gate.words());
        words.push(self.id.clone());
        let gate = gate.pass(foreign, &bundle, &words).map_err(|why| refused("exec", &why))?;
        let pid = bundle.pid("exec.pid").map_err(|error| cannot("read the runtime's pid file", &error))?;
        let pidfd = linux::pidfd::open(pid).map_err(|error| cannot("find the runtime's process", &error))?;
        let stdio = gate.stdio().inspect_err(|_| {
            let _gone = linux::pidfd::send_signal(pidfd.as_fd(), Signal::KILL.as_raw());
        })?;
        let size = process.console_size.unwrap_or_default();
        resize(&stdio, size.height, size.width);
        let started_at = log::rfc3339_nano(log::now());
        self.members.insert(Member { id: exec.id.clone(), pid, pidfd, stdio, ended: None });
        Ok((index, Spawned { pid, started_at }))
    }

    /// Who an exec runs as, by the container's own files. The root file system is in our mount namespace.
    fn foreign_user(&self, exec: &Exec) -> Result<types::spec::User, ProcessError> {
        let config = std::fs::read(Bundle::of(&self.dir).file("config.json"));
        let config = config.map_err(|error| cannot("read config.json", &error))?;
        let spec: RuntimeSpec =
            serde_json::from_slice(&config).map_err(|error| cannot("read config.json", &error))?;
        let root = spec.root.map(|root| root.path).unwrap_or_default();
        let root = linux::fs::open_root(root.as_ref()).map_err(|error| cannot("open the root", &error))?;
        Ok(runtime::user_in(root.as_fd(), &exec.user, &exec.groups)?)
    }
}

fn text(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}

fn cannot(what: &str, error: &dyn Display) -> ProcessError {
    failed(&format!("{what}: {error}"))
}

/// What a runtime says, in front of which Docker names it and the command. Its own words tell the codes apart.
fn refused(verb: &str, why: &str) -> ProcessError {
    let has = |text: &str| why.to_lowercase().contains(text);
    let exit_code = if has("executable file") && has("not found") || has("no such file or directory") {
        127
    } else if has("permission denied") || has("is a directory") || has("not a directory") {
        126
    } else {
        128
    };
    ProcessError { exit_code, message: format!("OCI runtime {verb} failed: {why}") }
}

impl From<runtime::Error> for ProcessError {
    fn from(error: runtime::Error) -> Self {
        Self::from(&error)
    }
}
