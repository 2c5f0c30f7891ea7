//! The daemon's side: what the relay should know, and how it comes to know it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::protocol::{Entry, PACKET_BYTES, Reply, Request, Scope};
use super::{RELAY_NAME, server, sockets};
use crate::{Endpoint, Error, Protocol, Result, Sandbox, namespace_of, port};

const SOCKET: &str = "relay.sock";
/// The relay answers at once; this is only so that nobody waits for ever.
const PATIENCE: Duration = Duration::from_secs(10);
/// A packet has room for more; an answer should not take long.
const WITHDRAWN_AT_ONCE: usize = 512;
/// A relay that dies again and again is not started more often than this.
const REST: Duration = Duration::from_secs(1);

/// An endpoint's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameRecord {
    /// Id of the endpoint.
    pub endpoint: String,
    /// Its network.
    pub network: String,
    /// Its IPv4 address.
    pub address: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub address6: Option<Ipv6Addr>,
    /// Its names; the first is told to those who ask for the address.
    pub names: Vec<String>,
}

/// A host socket whose traffic is carried to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) protocol: Protocol,
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
    pub(crate) to: SocketAddr,
}

impl Carried {
    fn key(&self) -> String {
        format!("{}/{}/{}", self.protocol, self.ip, self.port)
    }
}

/// The relay as the daemon knows it. A cheap handle; its calls block.
#[derive(Debug, Clone)]
pub struct Relay(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    state: Mutex<State>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = &state.connection {
            // The minder has a copy of it: closing ours is not enough.
            let _ = rustix::net::shutdown(connection, rustix::net::Shutdown::Both);
        }
    }
}

#[derive(Debug, Default)]
struct State {
    connection: Option<OwnedFd>,
    /// Containers, with their first process once they have one.
    containers: BTreeMap<String, (Option<i32>, Scope)>,
    names: BTreeMap<String, Entry>,
    ports: BTreeMap<String, Carried>,
}

impl Relay {
    /// Nothing is started before it is needed. `dir` is the exec-root.
    pub fn new(dir: PathBuf) -> Self {
        Self(Arc::new(Inner { dir, state: Mutex::default() }))
    }

    /// Gives a container that is about to start a name server.
    ///
    /// # Errors
    /// The relay cannot be started, or the namespace takes no sockets.
    pub fn serve(&self, container: &str, sandbox: &Sandbox, scope: Scope) -> Result<()> {
        let (udp, tcp) = sockets::open(&sandbox.namespace.fd)?;
        let mut state = self.state();
        state.containers.insert(container.to_owned(), (None, scope.clone()));
        let request = Request::Serve { container: container.to_owned(), scope };
        self.tell(&mut state, &request, &[udp.as_fd(), tcp.as_fd()])
    }

    /// It has started: its sockets are closed when this process ends.
    ///
    /// # Errors
    /// The relay cannot be reached.
    pub fn watch(&self, container: &str, pid: i32) -> Result<()> {
        let mut state = self.state();
        let Some((known, _)) = state.containers.get_mut(container) else { return Ok(()) };
        *known = Some(pid);
        match linux::pidfd::open(pid) {
            Ok(pidfd) => {
                let request = Request::Watch { container: container.to_owned() };
                self.tell(&mut state, &request, &[pidfd.as_fd()])
            }
            // It has ended already.
            Err(_) => self.forget(&mut state, container),
        }
    }

    /// Whether it has a name server.
    pub fn serves(&self, container: &str) -> bool {
        self.state().containers.contains_key(container)
    }

    /// The networks of a container with a name server have changed.
    ///
    /// # Errors
    /// The relay cannot be reached.
    pub fn change(&self, container: &str, scope: Scope) -> Result<()> {
        let mut state = self.state();
        let Some((_, known)) = state.containers.get_mut(container) else { return Ok(()) };
        *known = scope.clone();
        self.tell(&mut state, &Request::Change { container: container.to_owned(), scope }, &[])
    }

    /// A container is gone.
    ///
    /// # Errors
    /// The relay cannot be reached.
    pub fn leave(&self, container: &str) -> Result<()> {
        let mut state = self.state();
        if state.containers.contains_key(container) { self.forget(&mut state, container) } else { Ok(()) }
    }

    fn forget(&self, state: &mut State, container: &str) -> Result<()> {
        state.containers.remove(container);
        self.tell(state, &Request::Leave { container: container.to_owned() }, &[])
    }

    /// Tells an endpoint's names to those on its network.
    ///
    /// # Errors
    /// The relay cannot be reached.
    pub fn put(&self, record: NameRecord) -> Result<()> {
        let NameRecord { endpoint, network, address, address6, names } = record;
        let entry = Entry { network, address, address6, names };
        let mut state = self.state();
        state.names.insert(endpoint.clone(), entry.clone());
        self.tell(&mut state, &Request::Put { endpoint, entry }, &[])
    }

    /// An endpoint is gone. One without names is none of our business.
    ///
    /// # Errors
    /// The relay cannot be reached.
    pub fn remove(&self, endpoint: &str) -> Result<()> {
        let mut state = self.state();
        if state.names.remove(endpoint).is_none() {
            return Ok(());
        }
        self.tell(&mut state, &Request::Remove { endpoint: endpoint.to_owned() }, &[])
    }

    /// Carries what arrives at bound host sockets: one question and answer for as many as fit into a message.
    pub(crate) fn publish(&self, ports: &[(Carried, OwnedFd)]) -> Result<()> {
        let mut state = self.state();
        for chunk in ports.chunks(linux::fd::MAX_FDS) {
            let fds: Vec<BorrowedFd<'_>> = chunk.iter().map(|(_, socket)| socket.as_fd()).collect();
            let told = match chunk {
                [(port, _)] => self.tell(&mut state, &publication(port), &fds),
                several => {
                    let ports =
                        several.iter().map(|(port, _)| (port.key(), port.protocol, port.to)).collect();
                    self.tell(&mut state, &Request::PublishMany { ports }, &fds)
                }
            };
            if told.is_err() {
                // An older relay that a newer daemon has found knows one at a time.
                for ((port, _), fd) in chunk.iter().zip(&fds) {
                    self.tell(&mut state, &publication(port), &[*fd])?;
                }
            }
            state.ports.extend(chunk.iter().map(|(port, _)| (port.key(), *port)));
        }
        Ok(())
    }

    /// No more.
    pub(crate) fn withdraw(&self, ports: impl Iterator<Item = Carried>) -> Result<()> {
        let mut state = self.state();
        let mut keys: Vec<String> = ports.map(|port| port.key()).collect();
        keys.retain(|key| state.ports.remove(key).is_some());
        for chunk in keys.chunks(WITHDRAWN_AT_ONCE) {
            let told = match chunk {
                [port] => self.tell(&mut state, &Request::Withdraw { port: port.clone() }, &[]),
                several => self.tell(&mut state, &Request::WithdrawMany { ports: several.to_vec() }, &[]),
            };
            if told.is_err() {
                for port in chunk {
                    self.tell(&mut state, &Request::Withdraw { port: port.clone() }, &[])?;
                }
            }
        }
        Ok(())
    }

    /// After a restart of the daemon: finds the relay again, or starts a new one, with these running containers (id,
    /// process, what they may ask), names and published ports. What it has besides goes. Nothing to serve and no relay: nothing is started.
    ///
    /// # Errors
    /// The relay cannot be started.
    pub fn restore(
        &self,
        containers: Vec<(String, i32, Scope)>,
        names: Vec<NameRecord>,
        endpoints: &[Endpoint],
    ) -> Result<()> {
        let mut state = self.state();
        for (id, pid, scope) in containers {
            state.containers.insert(id, (Some(pid), scope));
        }
        for NameRecord { endpoint, network, address, address6, names } in names {
            state.names.insert(endpoint, Entry { network, address, address6, names });
        }
        for carried in endpoints.iter().flat_map(Endpoint::carried) {
            state.ports.insert(carried.key(), carried);
        }
        if state.containers.is_empty() && state.ports.is_empty() && !self.0.dir.join(SOCKET).exists() {
            return Ok(());
        }
        self.connect(&mut state)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state knows already; so if the relay has to be started anew, everything is said at once.
    fn tell(&self, state: &mut State, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<()> {
        if state.connection.is_none() {
            self.connect(state)?;
        }
        let failed = |error| Error::kernel(format!("talk to {RELAY_NAME}"), error);
        let Some(connection) = &state.connection else { return Ok(()) };
        match exchange(connection, request, fds) {
            Ok(reply) => reply.error.map_or(Ok(()), |error| Err(failed(io::Error::other(error)))),
            Err(error) => {
                tracing::warn!(%error, "{RELAY_NAME} does not answer: starting another");
                state.connection = None;
                self.connect(state)?;
                let connection = state.connection.as_ref().ok_or(io::ErrorKind::NotConnected);
                connection
                    .map_err(io::Error::from)
                    .and_then(|c| exchange(c, request, fds))
                    .map_err(failed)?;
                Ok(())
            }
        }
    }

    /// Finds the relay or starts one, and brings it to what it should be.
    fn connect(&self, state: &mut State) -> Result<()> {
        let failed = |error| Error::kernel(format!("start {RELAY_NAME}"), error);
        let path = self.0.dir.join(SOCKET);
        let (connection, child) = match dial(&path) {
            Ok(connection) => (connection, None),
            Err(_) => {
                let child = launch(&path).map_err(failed)?;
                (dial(&path).map_err(failed)?, Some(child))
            }
        };
        let hello = exchange(&connection, &Request::Hello, &[]).map_err(failed)?;
        let say =
            |request: &Request, fds: &[BorrowedFd<'_>]| exchange(&connection, request, fds).map_err(failed);
        for gone in hello.containers.iter().filter(|id| !state.containers.contains_key(*id)) {
            say(&Request::Leave { container: gone.clone() }, &[])?;
        }
        for gone in hello.ports.iter().filter(|key| !state.ports.contains_key(*key)) {
            say(&Request::Withdraw { port: gone.clone() }, &[])?;
        }
        say(&Request::KeepEndpoints { endpoints: state.names.keys().cloned().collect() }, &[])?;
        for (endpoint, entry) in &state.names {
            say(&Request::Put { endpoint: endpoint.clone(), entry: entry.clone() }, &[])?;
        }
        for (id, (pid, scope)) in &state.containers {
            let (container, scope) = (id.clone(), scope.clone());
            if hello.containers.contains(id) {
                say(&Request::Change { container, scope }, &[])?;
            } else if let Some(pid) = pid
                && let Err(error) = serve_again(say, container, *pid, scope)
            {
                tracing::warn!(id, %error, "a container is without a name server");
            }
        }
        for (key, carried) in state.ports.iter().filter(|(key, _)| !hello.ports.contains(key)) {
            match port::reserve(carried.protocol, carried.ip, carried.port) {
                Ok(Some(socket)) => drop(say(&publication(carried), &[socket.as_fd()])?),
                Ok(None) => {}
                Err(error) => tracing::warn!(port = key, %error, "a published port is not served"),
            }
        }
        self.mind(&connection, child);
        state.connection = Some(connection);
        Ok(())
    }

    /// Waits for the relay's end, to start another.
    fn mind(&self, connection: &OwnedFd, child: Option<Child>) {
        let Ok(watched) = rustix::io::fcntl_dupfd_cloexec(connection, 0) else { return };
        let inner = Arc::downgrade(&self.0);
        let minder = thread::Builder::new().name("relay".to_owned()).stack_size(128 * 1024);
        let minding = minder.spawn(move || {
            let mut fds = [PollFd::new(&watched, PollFlags::empty())];
            while matches!(poll(&mut fds, None), Err(rustix::io::Errno::INTR)) {}
            if let Some(mut child) = child {
                let _ = child.wait();
            }
            thread::sleep(REST);
            let Some(relay) = inner.upgrade().map(Relay) else { return };
            let mut state = relay.state();
            // Somebody who needed it may have been faster.
            let lost = state.connection.as_ref().is_some_and(hung_up);
            if lost {
                state.connection = None;
                if (!state.containers.is_empty() || !state.ports.is_empty())
                    && let Err(error) = relay.connect(&mut state)
                {
                    tracing::error!(%error, "containers are without a name server");
                }
            }
        });
        if let Err(error) = minding {
            tracing::warn!(%error, "nobody waits for the end of {RELAY_NAME}");
        }
    }
}

fn publication(port: &Carried) -> Request {
    Request::Publish { port: port.key(), protocol: port.protocol, to: port.to }
}

/// New sockets for a container that runs.
fn serve_again(
    say: impl Fn(&Request, &[BorrowedFd<'_>]) -> Result<Reply>,
    container: String,
    pid: i32,
    scope: Scope,
) -> Result<()> {
    let pidfd = linux::pidfd::open(pid).map_err(|error| Error::kernel(format!("process {pid}"), error))?;
    let (udp, tcp) = sockets::open(&namespace_of(pid)?)?;
    say(&Request::Serve { container: container.clone(), scope }, &[udp.as_fd(), tcp.as_fd()])?;
    say(&Request::Watch { container }, &[pidfd.as_fd()])?;
    Ok(())
}

fn hung_up(connection: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(connection, PollFlags::empty())];
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok_and(|n| n > 0)
}

fn dial(path: &std::path::Path) -> io::Result<OwnedFd> {
    let fd =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    rustix::net::connect(&fd, &rustix::net::SocketAddrUnix::new(path)?)?;
    sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(PATIENCE))?;
    Ok(fd)
}

/// This program again. It listens before it runs, so nobody has to wait for it.
fn launch(path: &std::path::Path) -> io::Result<Child> {
    let listener = server::listen(path)?;
    Command::new("/proc/self/exe")
        .arg0(RELAY_NAME)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(listener))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

fn exchange(connection: &OwnedFd, request: &Request, fds: &[BorrowedFd<'_>]) -> io::Result<Reply> {
    let bytes = serde_json::to_vec(request)?;
    linux::fd::send_fds(connection.as_fd(), &bytes, fds)?;
    let mut packet = vec![0; PACKET_BYTES];
    match linux::fd::recv_fds(connection.as_fd(), &mut packet)? {
        (0, _) => Err(io::ErrorKind::UnexpectedEof.into()),
        (len, _) => Ok(serde_json::from_slice(&packet[..len])?),
    }
}
