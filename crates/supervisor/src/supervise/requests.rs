//! What clients ask for.

use std::io;
use std::os::fd::AsFd;

use linux::seccomp::Program;
use runtime::{ExecRequest, Stdio as RuntimeStdio};
use rustix::process::Signal;
use types::spec::{Process, Resources};

use super::connection::{Role, Stream};
use super::stdio::Stdio;
use super::{INIT, Member, Supervisor};
use crate::log;
use crate::protocol::{ExecState, Reply, Request, Status};
use crate::record::ExitRecord;
use crate::spawn::{Attach, Exec, ProcessError, Spawned};

/// What a request leads to.
enum Answer {
    /// This, and the connection closes.
    Reply(Reply),
    /// A reply at a member's end.
    Wait(usize),
    /// This, and the connection becomes a stream.
    Stream(Reply, Stream),
}

impl Supervisor {
    /// Reads on in a request, and does it when it is complete.
    pub(super) fn serve_request(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let (json, blob) = match connection.receive_request() {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(_) => return self.drop_connection(index),
        };
        let answer = match serde_json::from_slice(&json) {
            Ok(request) => self.obey(request, blob),
            Err(error) => Answer::Reply(Reply::Failed(format!("invalid request: {error}"))),
        };
        match answer {
            Answer::Reply(reply) => self.answer(index, &reply),
            Answer::Wait(member) => {
                if let Some(connection) = self.connections.get_mut(index) {
                    connection.role = Role::Wait(member);
                }
            }
            Answer::Stream(reply, stream) => {
                let member = stream.member;
                let Some(connection) = self.connections.get_mut(index) else { return };
                connection.role = Role::Stream(stream);
                if connection.reply(&reply).is_err() {
                    return self.drop_connection(index);
                }
                self.listen(index);
                self.refresh_outputs(member);
            }
        }
    }

    /// Sends a reply; the connection closes when it has been taken.
    pub(super) fn answer(&mut self, index: usize, reply: &Reply) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        connection.role = Role::Answered;
        if connection.reply(reply).is_err() || connection.pending() == 0 {
            self.drop_connection(index);
        } else {
            self.listen(index);
        }
    }

    fn obey(&mut self, request: Request, blob: Vec<u8>) -> Answer {
        let reply = match request {
            Request::Status => Reply::Status(self.status()),
            Request::Wait => match self.members.get(INIT) {
                Some(_) => return Answer::Wait(INIT),
                None => Reply::NotRunning,
            },
            Request::Attach(attach) => return self.attach(&attach),
            Request::Resize { exec, rows, cols } => match self.find(exec.as_deref()) {
                Ok(index) => done(self.members.get(index).map_or(Ok(()), |m| m.stdio.resize(rows, cols))),
                Err(reply) => reply,
            },
            Request::Signal { exec, signal, all } => match self.find(exec.as_deref()) {
                Ok(index) => self.signal(index, signal, all),
                Err(reply) => reply,
            },
            Request::Freeze(frozen) => self.freeze(frozen),
            Request::Update(resources) => self.update(&resources),
            Request::Exec(mut exec) => {
                exec.seccomp = (!blob.is_empty()).then_some(blob);
                return self.exec(&exec);
            }
            Request::ExecWait(id) => return self.exec_wait(&id),
            Request::ExecStatus(id) => self.exec_status(&id),
        };
        Answer::Reply(reply)
    }

    fn status(&self) -> Status {
        Status {
            id: self.id.clone(),
            pid: self.members.get(INIT).map_or(0, |init| init.pid),
            started_at: self.started_at.clone(),
            paused: self.paused,
            execs: self
                .members
                .iter()
                .filter(|(at, _)| *at != INIT)
                .map(|(_, exec)| exec.id.clone())
                .collect(),
            attached: self.connections.iter().filter(|(_, client)| client.stream().is_some()).count(),
        }
    }

    /// A living member: the container's init, or an exec.
    fn find(&self, exec: Option<&str>) -> Result<usize, Reply> {
        let alive = |member: &Member| member.ended.is_none();
        match exec {
            None if self.members.get(INIT).is_some_and(alive) => Ok(INIT),
            None => Err(Reply::NotRunning),
            Some(id) => {
                let found =
                    self.members.iter().find(|(at, exec)| *at != INIT && exec.id == id && alive(exec));
                found.map(|(at, _)| at).ok_or(Reply::NoSuchExec)
            }
        }
    }

    fn attach(&mut self, attach: &Attach) -> Answer {
        match self.find(None) {
            Ok(member) => {
                let terminal = self.members.get(member).is_some_and(|init| init.stdio.is_terminal());
                Answer::Stream(Reply::Attached, Stream::new(member, attach, terminal, false))
            }
            Err(reply) => Answer::Reply(reply),
        }
    }

    fn signal(&mut self, index: usize, signal: i32, all: bool) -> Reply {
        let Some(member) = self.members.get(index) else { return Reply::NotRunning };
        let result = match (&self.foreign, &self.cgroup) {
            (Some(foreign), _) if index == INIT => self.foreign_signal(foreign, member, signal),
            (_, Some(cgroup)) if all => cgroup.pids().map_err(io::Error::other).map(|pids| {
                for pid in pids {
                    // One that has just ended needs no signal.
                    let _gone = linux::pidfd::open(pid)
                        .and_then(|pidfd| linux::pidfd::send_signal(pidfd.as_fd(), signal));
                }
            }),
            _ => linux::pidfd::send_signal(member.pidfd.as_fd(), signal),
        };
        match (&self.cgroup, result) {
            (_, Err(error)) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                Reply::NotRunning
            }
            // On v1 a frozen process does not even die.
            (Some(cgroup), Ok(())) if signal == Signal::KILL.as_raw() && self.paused => {
                let thawed = cgroup.freeze(false).map_err(io::Error::other);
                self.paused = thawed.is_err();
                done(thawed)
            }
            (_, result) => done(result),
        }
    }

    fn freeze(&mut self, frozen: bool) -> Reply {
        if let Err(reply) = self.find(None) {
            return reply;
        }
        let result = match (&self.foreign, &self.cgroup) {
            (Some(foreign), _) => self.foreign_freeze(foreign, frozen),
            (None, Some(cgroup)) => cgroup.freeze(frozen).map_err(io::Error::other),
            (None, None) => Err(io::Error::other("container has no cgroup")),
        };
        if result.is_ok() {
            self.paused = frozen;
        }
        done(result)
    }

    fn update(&mut self, resources: &Resources) -> Reply {
        match (&self.foreign, &self.cgroup) {
            (Some(foreign), _) => done(self.foreign_update(foreign, resources)),
            (None, Some(cgroup)) => done(cgroup.update(resources).map_err(io::Error::other)),
            (None, None) => Reply::Failed("container has no cgroup".to_owned()),
        }
    }

    fn exec(&mut self, exec: &Exec) -> Answer {
        let init = match self.find(None) {
            Ok(init) => init,
            Err(reply) => return Answer::Reply(reply),
        };
        // Its end may not have been handled yet, and what joins a zombie's namespaces fails in words that help nobody.
        if self.members.get(init).is_some_and(|init| linux::pidfd::has_ended(init.pidfd.as_fd())) {
            return Answer::Reply(Reply::NotRunning);
        }
        if self.paused {
            // It would join the frozen cgroup and keep us waiting for its `execve`.
            return Answer::Reply(Reply::Failed("container is paused".to_owned()));
        }
        let known = self.members.iter().any(|(at, member)| at != INIT && member.id == exec.id)
            || self.finished.iter().any(|(id, ..)| *id == exec.id);
        if known || exec.id.is_empty() {
            return Answer::Reply(Reply::Failed(format!("exec id {:?} is in use", exec.id)));
        }
        let result = self.start_exec(exec);
        linux::aside::trim_memory();
        let (index, spawned) = match result {
            Ok(started) => started,
            Err(error) => return Answer::Reply(Reply::NotStarted(error)),
        };
        // It may be over already; but its end is handled after this.
        let reply = Reply::Executed(spawned);
        match &exec.attach {
            Some(attach) => {
                let stream = Stream::new(index, attach, exec.process.terminal, true);
                Answer::Stream(reply, stream)
            }
            None => {
                self.refresh_outputs(index);
                Answer::Reply(reply)
            }
        }
    }

    fn start_exec(&mut self, exec: &Exec) -> Result<(usize, Spawned), ProcessError> {
        if let Some(foreign) = self.foreign.clone() {
            return self.foreign_exec(&foreign, exec);
        }
        let init = self.members.get(INIT).ok_or_else(|| failed("container is not running"))?;
        let program = seccomp_program(exec.seccomp.clone())?;
        let index = self.members.vacant();
        let wanted = exec.attach.clone().unwrap_or_default();
        let wanted = [wanted.stdin, wanted.stdout, wanted.stderr];
        let (stdio, inner) = if exec.process.terminal {
            (None, None)
        } else {
            let (stdio, inner) = Stdio::pipes(index, wanted).map_err(|error| failed(&error.to_string()))?;
            (Some(stdio), Some(inner))
        };
        let running = runtime::exec(&ExecRequest {
            id: &self.id,
            process: &exec.process,
            target: init.pidfd.as_fd(),
            target_pid: init.pid,
            linux: None,
            cgroup: self.cgroup.as_ref(),
            stdio: runtime_stdio(inner.as_ref(), &exec.process),
            user: Some(exec.user.as_str()),
            groups: &exec.groups,
            seccomp: program.as_ref(),
            seccomp_flags: 0,
            agent: None,
            no_new_keyring: false,
            preserve_fds: 0,
        })
        .map_err(|error| ProcessError::from(&error))?;
        let started_at = log::rfc3339_nano(log::now());
        let stdio = match (stdio, running.terminal) {
            (Some(stdio), _) => Ok(stdio),
            (None, Some(master)) => Stdio::terminal(index, master),
            (None, None) => Err(io::Error::other("the runtime gave no terminal")),
        };
        let stdio = stdio.map_err(|error| {
            let _gone = linux::pidfd::send_signal(running.pidfd.as_fd(), Signal::KILL.as_raw());
            failed(&error.to_string())
        })?;
        let pid = running.pid;
        let id = exec.id.clone();
        self.members.insert(Member { id, pid, pidfd: running.pidfd, stdio, ended: None });
        Ok((index, Spawned { pid, started_at }))
    }

    fn exec_wait(&mut self, id: &str) -> Answer {
        if let Some((at, _)) = self.members.iter().find(|(at, exec)| *at != INIT && exec.id == id) {
            return Answer::Wait(at);
        }
        let finished = self.finished.iter().find(|(known, ..)| known == id);
        Answer::Reply(
            finished.map_or(Reply::NoSuchExec, |(_, _, record): &(_, _, ExitRecord)| {
                Reply::Exited(record.clone())
            }),
        )
    }

    fn exec_status(&self, id: &str) -> Reply {
        if let Some((_, exec)) = self.members.iter().find(|(at, exec)| *at != INIT && exec.id == id) {
            return Reply::Exec(ExecState { pid: exec.pid, exit_code: None });
        }
        let finished = self.finished.iter().find(|(known, ..)| known == id);
        finished.map_or(Reply::NoSuchExec, |(_, state, _)| Reply::Exec(state.clone()))
    }
}

/// Where the runtime gets a process's streams from: our pipes, or a terminal that it makes.
pub(super) fn runtime_stdio<'a>(
    inner: Option<&'a super::stdio::Inner>,
    process: &Process,
) -> RuntimeStdio<'a> {
    match inner {
        Some(inner) => RuntimeStdio::Fds {
            stdin: inner.stdin.as_fd(),
            stdout: inner.stdout.as_fd(),
            stderr: inner.stderr.as_fd(),
        },
        None => {
            let size = process.console_size.unwrap_or_default();
            let short = |cells: u64| u16::try_from(cells).unwrap_or(u16::MAX);
            RuntimeStdio::Terminal { rows: short(size.height), cols: short(size.width), plain_lines: false }
        }
    }
}

pub(super) fn seccomp_program(bytes: Option<Vec<u8>>) -> Result<Option<Program>, ProcessError> {
    let Some(bytes) = bytes else { return Ok(None) };
    Program::from_bytes(bytes).map(Some).ok_or_else(|| failed("seccomp program is damaged"))
}

fn done(result: io::Result<()>) -> Reply {
    match result {
        Ok(()) => Reply::Done,
        Err(error) => Reply::Failed(error.to_string()),
    }
}

pub(super) fn failed(message: &str) -> ProcessError {
    ProcessError { exit_code: 128, message: message.to_owned() }
}

impl From<&runtime::Error> for ProcessError {
    fn from(error: &runtime::Error) -> Self {
        let exit_code = match error.exit_code() {
            code @ (126 | 127) => code,
            _ => 128,
        };
        Self { exit_code, message: error.to_string() }
    }
}
