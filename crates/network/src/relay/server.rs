//! The relay's process: one loop over everything that may wake it.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::RELAY_NAME;
use super::answer::{self, Container, Desk, Shared};
use super::protocol::{PACKET_BYTES, Reply, Request, Scope};
use super::proxy::{self, Flows, Share};
use crate::Protocol;

const EVENTS: usize = 64;
const BACKLOG: i32 = 128;

/// The relay: serves the daemon's listening socket on standard input until nobody needs it. Returns its exit code.
pub fn relay_main() -> i32 {
    let _ = linux::aside::close_inherited();
    let _ = rustix::process::setsid();
    let ready = rustix::io::dup(rustix::stdio::stdin()).map_err(io::Error::from).and_then(Server::new);
    match ready.and_then(Server::run) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!(%error, "{RELAY_NAME}");
            1
        }
    }
}

/// What may wake the loop.
enum Source {
    Listener(OwnedFd),
    Daemon(OwnedFd),
    Names(Arc<Container>),
    NamesTcp(TcpListener, Arc<Container>),
    /// The container's first process has ended.
    End(OwnedFd, String),
    Tcp(TcpListener, SocketAddr, Share),
    Udp(Arc<UdpSocket>, SocketAddr, Flows),
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Listener(fd) | Self::Daemon(fd) | Self::End(fd, _) => fd.as_fd(),
            Self::Names(container) => container.udp.as_fd(),
            Self::NamesTcp(listener, _) | Self::Tcp(listener, ..) => listener.as_fd(),
            Self::Udp(socket, ..) => socket.as_fd(),
        }
    }
}

pub(super) struct Server {
    epoll: OwnedFd,
    sources: BTreeMap<u64, Source>,
    next: u64,
    shared: Arc<Shared>,
    desk: Desk,
    /// Each container with its sources.
    containers: BTreeMap<String, (Arc<Container>, Vec<u64>)>,
    ports: BTreeMap<String, u64>,
    /// Of each address to which something is carried.
    shares: HashMap<IpAddr, Share>,
    daemons: usize,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    pub(super) fn new(listener: OwnedFd) -> io::Result<Self> {
        let mut server = Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            sources: BTreeMap::new(),
            next: 0,
            shared: Arc::default(),
            desk: Desk::default(),
            containers: BTreeMap::new(),
            ports: BTreeMap::new(),
            shares: HashMap::new(),
            daemons: 0,
        };
        rustix::io::ioctl_fionbio(&listener, true)?;
        server.add(Source::Listener(listener))?;
        Ok(server)
    }

    /// Until no daemon is connected and nothing is served; at the start a daemon is about to connect.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        let mut had_daemon = false;
        loop {
            had_daemon |= self.daemons > 0;
            if had_daemon && self.daemons == 0 && self.containers.is_empty() && self.ports.is_empty() {
                return Ok(());
            }
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                self.wake(event.data.u64());
            }
        }
    }

    fn add(&mut self, source: Source) -> io::Result<u64> {
        let id = self.next;
        self.next += 1;
        epoll::add(&self.epoll, &source, EventData::new_u64(id), EventFlags::IN)?;
        self.sources.insert(id, source);
        Ok(id)
    }

    fn remove(&mut self, id: u64) {
        if let Some(source) = self.sources.remove(&id) {
            // Threads may hold the socket for a while yet.
            let _ = epoll::delete(&self.epoll, &source);
        }
    }

    fn wake(&mut self, id: u64) {
        match self.sources.get(&id) {
            Some(Source::Listener(listener)) => {
                let accepted = rustix::net::accept_with(listener, SocketFlags::CLOEXEC);
                if let Ok(daemon) = accepted
                    && self.add(Source::Daemon(daemon)).is_ok()
                {
                    self.daemons += 1;
                }
            }
            Some(Source::Daemon(_)) => self.hear(id),
            Some(Source::Names(container)) => self.desk.answer_waiting(container, &self.shared),
            Some(Source::NamesTcp(listener, container)) => answer::accept(listener, container, &self.shared),
            Some(Source::End(_, name)) => {
                let name = name.clone();
                self.leave(&name);
            }
            Some(Source::Tcp(listener, to, share)) => proxy::accept(listener, *to, share),
            Some(Source::Udp(socket, to, flows)) => flows.forward(socket, *to),
            // It was removed by an event before this one.
            None => {}
        }
    }

    /// One request of a daemon.
    fn hear(&mut self, id: u64) {
        let Some(Source::Daemon(daemon)) = self.sources.get(&id) else { return };
        let mut packet = vec![0; PACKET_BYTES];
        let heard = linux::fd::recv_fds(daemon.as_fd(), &mut packet);
        let (len, fds) = match heard {
            Ok((len, fds)) if len > 0 => (len, fds),
            _ => {
                self.remove(id);
                self.daemons -= 1;
                return;
            }
        };
        let done = serde_json::from_slice(&packet[..len])
            .map_err(io::Error::from)
            .and_then(|request| self.act(request, fds));
        let reply = done.unwrap_or_else(|error| Reply { error: Some(error.to_string()), ..Reply::default() });
        let bytes = serde_json::to_vec(&reply).unwrap_or_default();
        if let Some(Source::Daemon(daemon)) = self.sources.get(&id) {
            // A daemon that is gone is noticed by the next event.
            let _ = linux::fd::send_fds(daemon.as_fd(), &bytes, &[]);
        }
    }

    fn act(&mut self, request: Request, fds: Vec<OwnedFd>) -> io::Result<Reply> {
        let missing = || io::Error::new(io::ErrorKind::InvalidInput, "a descriptor is missing");
        let mut fds = fds.into_iter();
        let mut fd = || fds.next().ok_or_else(missing);
        match request {
            Request::Hello => {
                return Ok(Reply {
                    containers: self.containers.keys().cloned().collect(),
                    ports: self.ports.keys().cloned().collect(),
                    error: None,
                });
            }
            Request::Serve { container, scope } => self.serve(container, scope, fd()?, fd()?)?,
            Request::Change { container, scope } => {
                let (found, _) = self.containers.get(&container).ok_or(io::ErrorKind::NotFound)?;
                found.change(scope);
            }
            Request::Watch { container } => {
                let end = self.add(Source::End(fd()?, container.clone()))?;
                match self.containers.get_mut(&container) {
                    Some((_, sources)) => sources.push(end),
                    None => self.remove(end),
                }
            }
            Request::Leave { container } => self.leave(&container),
            Request::Put { endpoint, entry } => self.shared.change(|names| names.put(endpoint, entry)),
            Request::Remove { endpoint } => self.shared.change(|names| names.remove(&endpoint)),
            Request::KeepEndpoints { endpoints } => self.shared.change(|names| names.retain(&endpoints)),
            Request::Publish { port, protocol, to } => self.publish(port, protocol, to, fd()?)?,
            Request::PublishMany { ports } => {
                for (port, protocol, to) in ports {
                    self.publish(port, protocol, to, fd()?)?;
                }
            }
            Request::Withdraw { port } => self.withdraw(&port),
            Request::WithdrawMany { ports } => ports.iter().for_each(|port| self.withdraw(port)),
        }
        Ok(Reply::default())
    }

    fn serve(&mut self, name: String, scope: Scope, udp: OwnedFd, tcp: OwnedFd) -> io::Result<()> {
        self.leave(&name);
        let (udp, tcp) = (UdpSocket::from(udp), TcpListener::from(tcp));
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        let container = Arc::new(Container::new(udp, scope));
        let first = self.add(Source::Names(container.clone()))?;
        let second =
            self.add(Source::NamesTcp(tcp, container.clone())).inspect_err(|_| self.remove(first))?;
        self.containers.insert(name, (container, vec![first, second]));
        Ok(())
    }

    fn withdraw(&mut self, port: &str) {
        if let Some(id) = self.ports.remove(port) {
            self.remove(id);
        }
        if self.shares.len() > 2 * self.ports.len() {
            self.shares.retain(|_, share| share.is_held());
        }
    }

    fn leave(&mut self, name: &str) {
        if let Some((_, sources)) = self.containers.remove(name) {
            sources.into_iter().for_each(|id| self.remove(id));
        }
    }

    fn publish(&mut self, port: String, protocol: Protocol, to: SocketAddr, fd: OwnedFd) -> io::Result<()> {
        if let Some(id) = self.ports.remove(&port) {
            self.remove(id);
        }
        let share = self.shares.entry(to.ip()).or_default().clone();
        let source = match protocol {
            Protocol::Tcp => {
                // For the connections that inherit it: old ones that are closing must not keep the port from the next.
                rustix::net::sockopt::set_socket_reuseaddr(&fd, true)?;
                rustix::net::listen(&fd, BACKLOG)?;
                let listener = TcpListener::from(fd);
                listener.set_nonblocking(true)?;
                Source::Tcp(listener, to, share)
            }
            Protocol::Udp => {
                let socket = UdpSocket::from(fd);
                socket.set_nonblocking(true)?;
                Source::Udp(Arc::new(socket), to, Flows::new(share))
            }
            Protocol::Sctp => return Err(io::ErrorKind::Unsupported.into()),
        };
        let id = self.add(source)?;
        self.ports.insert(port, id);
        Ok(())
    }
}

/// The daemon's end of a listening socket at `path`. What was there before is nobody's.
pub(super) fn listen(path: &std::path::Path) -> io::Result<OwnedFd> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let fd =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&fd, &rustix::net::SocketAddrUnix::new(path)?)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    rustix::net::listen(&fd, BACKLOG)?;
    Ok(fd)
}
