//! The supervisor itself: one loop, one thread.
//!
//! ```text
//! members      0: the container's init; others: execs    each: pid, stdio, and how it ended
//! connections  requests, waiters, attachments            each: a socket, what it has not taken yet
//!
//! output ready ──► read ──► log (member 0) ──► every attachment of the member
//!                                              not taken? the output is not read until it is
//! SIGCHLD ──► reap ──► drain outputs ──► flush attachments (2 s) ──► exit.json ──► waiters ──► end
//! ```

mod connection;
mod exit;
mod foreign;
mod poller;
mod requests;
mod slab;
mod start;
mod stdio;
mod streams;

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use linux::cgroup::Cgroup;
use linux::signalfd::SignalFd;

use crate::foreign::Foreign;
use crate::log::Writer;
use crate::protocol::ExecState;
use crate::record::ExitRecord;
use connection::{Connection, Role};
use poller::{Interest, Poller, Ready, Token};
use slab::Slab;
use stdio::Stdio;

pub(crate) use start::{SpawnMessage, main};

/// The container's init among the members.
const INIT: usize = 0;
/// One read of output or input, in bytes: a pipe's default size.
const CHUNK: usize = 64 * 1024;
/// Connections at a time.
const CONNECTIONS_MAX: usize = 512;
/// Finished execs whose exit codes are kept.
const FINISHED_MAX: usize = 64;
/// How long a finished process's streams may stay open: grandchildren may hold them, clients may be slow.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// A process that we started.
#[derive(Debug)]
struct Member {
    /// Exec id; empty for the container's init.
    id: String,
    pid: i32,
    pidfd: OwnedFd,
    stdio: Stdio,
    /// How it ended, and until when its streams are waited for.
    ended: Option<(ExitRecord, Instant)>,
}

/// One container's supervisor.
#[derive(Debug)]
struct Supervisor {
    id: String,
    dir: PathBuf,
    started_at: String,
    poller: Poller,
    signals: SignalFd,
    listener: Option<(UnixListener, Interest)>,
    members: Slab<Member>,
    finished: VecDeque<(String, ExecState, ExitRecord)>,
    connections: Slab<Connection>,
    cgroup: Option<Cgroup>,
    /// Who made the container and is asked to change it, if another runtime than ours.
    foreign: Option<Foreign>,
    log: Writer,
    log_interest: Interest,
    stdin_once: bool,
    paused: bool,
    /// The container's end is on record; only clients' last bytes keep us.
    over: bool,
    buffer: Vec<u8>,
}

impl Supervisor {
    /// Runs until the container is over and every client has what is its own.
    fn run(&mut self) -> io::Result<()> {
        loop {
            self.check_deadlines();
            if self.over && self.connections.len() == 0 {
                return Ok(());
            }
            if let Some((token, ready)) = self.next_event()? {
                self.handle(token, ready)?;
            }
        }
    }

    /// Waits for something to do. Before it really waits, it gives back what a burst of output needed.
    fn next_event(&mut self) -> io::Result<Option<(Token, Ready)>> {
        if self.log.is_swollen() {
            if let Some(event) = self.poller.wait(Some(Duration::ZERO))? {
                return Ok(Some(event));
            }
            self.log.give_back();
        }
        self.poller.wait(self.next_deadline())
    }

    fn handle(&mut self, token: Token, ready: Ready) -> io::Result<()> {
        match token {
            Token::Signals => {
                // All are the same to us: a container does not end because somebody shuts the daemon's group down.
                while self.signals.next()?.is_some() {}
                self.reap();
            }
            Token::Listener => self.accept()?,
            Token::Output(member, which) => self.read_output(member, which),
            Token::Input(member) => {
                if let Some(process) = self.members.get_mut(member) {
                    process.stdio.flush_input(&self.poller);
                }
                self.refresh_connections(member);
            }
            Token::Connection(index) => self.serve(index, ready),
            Token::Log => {
                self.log.go_on();
                self.listen_to_log();
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        use rustix::net::SocketFlags;
        let Some((listener, _)) = &self.listener else { return Ok(()) };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = match rustix::net::accept_with(listener, flags) {
            Ok(socket) => socket,
            // Gone already, or no descriptor left: the next one may be luckier.
            Err(_) => return Ok(()),
        };
        if self.connections.len() < CONNECTIONS_MAX {
            self.connect(socket, Role::Request(Vec::new()));
        }
        Ok(())
    }

    /// Adds a connection; `None` if it is of no use.
    fn connect(&mut self, socket: OwnedFd, role: Role) -> Option<usize> {
        let index = self.connections.vacant();
        self.connections.insert(Connection::new(index, socket, role));
        self.listen(index);
        self.connections.get(index).map(|_| index)
    }

    /// Adjusts what a connection is listened to for; drops it if that cannot be done.
    fn listen(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let member = connection.stream().map(|stream| stream.member);
        let full = member
            .and_then(|member| self.members.get(member))
            .is_some_and(|process| process.stdio.input_is_full());
        if connection.listen(&self.poller, !full).is_err() {
            self.drop_connection(index);
        }
    }

    /// Listens for the log to go on, if something waits for that.
    fn listen_to_log(&mut self) {
        if let Some((pipe, waits)) = self.log.pipe() {
            // If it cannot be listened to, the next output moves it.
            let _later = self.log_interest.set(&self.poller, pipe, waits.then_some(Ready::OUT));
        }
    }

    /// Forgets a client. What its absence changes for its process is done.
    fn drop_connection(&mut self, index: usize) {
        let Some(mut connection) = self.connections.remove(index) else { return };
        connection.forget(&self.poller);
        if let Some(member) = connection.stream().map(|stream| stream.member) {
            self.refresh_outputs(member);
            self.try_finish(member);
        }
    }

    /// When something must happen even if nothing happens.
    fn next_deadline(&self) -> Option<Duration> {
        let members = self.members.iter().filter_map(|(_, member)| Some(member.ended.as_ref()?.1));
        let clients = self.connections.iter().filter_map(|(_, client)| streams::stall_deadline(client));
        let first = members.chain(clients).min()?;
        // A millisecond late rather than early: early would mean to look twice.
        Some(first.saturating_duration_since(Instant::now()) + Duration::from_millis(1))
    }

    fn check_deadlines(&mut self) {
        let Some(due) = self.next_deadline() else { return };
        if due > Duration::from_millis(1) {
            return;
        }
        let now = Instant::now();
        for index in self
            .connections
            .indexes(|client| streams::stall_deadline(client).is_some_and(|deadline| deadline <= now))
        {
            self.drop_connection(index);
        }
        for member in
            self.members.indexes(|member| member.ended.as_ref().is_some_and(|(_, deadline)| *deadline <= now))
        {
            self.give_up_draining(member);
        }
    }
}
