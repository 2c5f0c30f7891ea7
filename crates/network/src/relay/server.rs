//! The relay's process: one loop over everything that may wake it.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::cache::Cache;
use super::message::{self, Refused};
use super::names::Names;
use super::protocol::{PACKET_BYTES, Reply, Request, Scope};
use super::proxy::{self, Flows, Share};
use super::{RELAY_NAME, forward};
use crate::Protocol;

/// Queries taken from one container at a time, so that one that floods us harms no other.
const QUERIES: usize = 32;
/// Queries that wait for other servers: of one container, and of all.
const WAITING_MAX: usize = 48;
const ALL_WAITING_MAX: usize = 512;
/// TCP clients of one container, and for how long one may be silent.
const CLIENTS_MAX: usize = 16;
const CLIENT_IDLE: Duration = Duration::from_secs(10);
const STACK_BYTES: usize = 128 * 1024;
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

/// A container that has a name server.
#[derive(Debug)]
struct Container {
    udp: UdpSocket,
    /// Replaced as a whole, so that a query only counts a reference.
    scope: Mutex<Arc<Scope>>,
    waiting: AtomicUsize,
    clients: AtomicUsize,
}

/// What threads share with the loop.
#[derive(Debug, Default)]
struct Shared {
    names: Mutex<Names>,
    cache: Mutex<Cache>,
    waiting: AtomicUsize,
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
    /// Each container with its sources.
    containers: BTreeMap<String, (Arc<Container>, Vec<u64>)>,
    ports: BTreeMap<String, u64>,
    /// Of each address to which something is carried.
    shares: HashMap<IpAddr, Share>,
    daemons: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    pub(super) fn new(listener: OwnedFd) -> io::Result<Self> {
        let mut server = Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            sources: BTreeMap::new(),
            next: 0,
            shared: Arc::default(),
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
            Some(Source::Names(container)) => answer_waiting(&container.clone(), &self.shared),
            Some(Source::NamesTcp(listener, container)) => accept(listener, container, &self.shared),
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
                *lock(&found.scope) = Arc::new(scope);
            }
            Request::Watch { container } => {
                let end = self.add(Source::End(fd()?, container.clone()))?;
                match self.containers.get_mut(&container) {
                    Some((_, sources)) => sources.push(end),
                    None => self.remove(end),
                }
            }
            Request::Leave { container } => self.leave(&container),
            Request::Put { endpoint, entry } => lock(&self.shared.names).put(endpoint, entry),
            Request::Remove { endpoint } => lock(&self.shared.names).remove(&endpoint),
            Request::KeepEndpoints { endpoints } => lock(&self.shared.names).retain(&endpoints),
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
        let container = Arc::new(Container {
            udp,
            scope: Mutex::new(Arc::new(scope)),
            waiting: AtomicUsize::new(0),
            clients: AtomicUsize::new(0),
        });
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

/// What is known here, or that others must be asked.
enum Verdict {
    Answer(Vec<u8>),
    Ask(Vec<IpAddr>),
    Silence,
}

fn decide(query: &[u8], container: &Container, shared: &Shared, over_udp: bool) -> Verdict {
    let parsed = match message::parse(query) {
        Ok(parsed) => parsed,
        Err(Refused::Silence) => return Verdict::Silence,
        Err(Refused::Code(code)) => return Verdict::Answer(message::refusal(query, code)),
    };
    let scope = lock(&container.scope).clone();
    let linked = scope.links.get(&parsed.name).map(|name| parsed.of_name(name.to_ascii_lowercase()));
    match lock(&shared.names).look_up(&scope.networks, linked.as_ref().unwrap_or(&parsed)) {
        Some(records) => Verdict::Answer(message::answer(query, &parsed, &records, over_udp)),
        None if scope.servers.is_empty() => Verdict::Answer(message::refusal(query, message::SERVER_FAILURE)),
        None => match lock(&shared.cache).get(query, &scope.servers, Instant::now()) {
            Some(answer) => Verdict::Answer(answer),
            None => Verdict::Ask(scope.servers.clone()),
        },
    }
}

fn answer_waiting(container: &Arc<Container>, shared: &Arc<Shared>) {
    let mut buffer = [0; 4096];
    for _ in 0..QUERIES {
        let Ok((len, client)) = container.udp.recv_from(&mut buffer) else { return };
        let query = &buffer[..len];
        let answer = match decide(query, container, shared, true) {
            Verdict::Silence => continue,
            Verdict::Answer(answer) => answer,
            Verdict::Ask(servers) => match ask_others(query.to_vec(), client, servers, container, shared) {
                Ok(()) => continue,
                Err(_) => message::refusal(query, message::SERVER_FAILURE),
            },
        };
        // A client that has gone, or takes nothing in, asks again or not.
        let _ = container.udp.send_to(&answer, client);
    }
}

fn ask_others(
    query: Vec<u8>,
    client: SocketAddr,
    servers: Vec<IpAddr>,
    container: &Arc<Container>,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let (container, shared) = (container.clone(), shared.clone());
    if container.waiting.load(Ordering::Relaxed) >= WAITING_MAX
        || shared.waiting.load(Ordering::Relaxed) >= ALL_WAITING_MAX
    {
        return Err(io::ErrorKind::QuotaExceeded.into());
    }
    container.waiting.fetch_add(1, Ordering::Relaxed);
    shared.waiting.fetch_add(1, Ordering::Relaxed);
    let counters = (container.clone(), shared.clone());
    let started = start(move || {
        let answer = ask_and_keep(&query, &servers, &shared, true);
        let _ = container.udp.send_to(&answer, client);
        container.waiting.fetch_sub(1, Ordering::Relaxed);
        shared.waiting.fetch_sub(1, Ordering::Relaxed);
    });
    if started.is_err() {
        counters.0.waiting.fetch_sub(1, Ordering::Relaxed);
        counters.1.waiting.fetch_sub(1, Ordering::Relaxed);
    }
    started
}

fn ask_and_keep(query: &[u8], servers: &[IpAddr], shared: &Shared, over_udp: bool) -> Vec<u8> {
    let answer = forward::ask(query, servers, over_udp);
    // What came over TCP may be too long for the next who asks over UDP.
    if over_udp {
        lock(&shared.cache).put(query, servers, &answer, Instant::now());
    }
    answer
}

fn start(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("names".to_owned()).stack_size(STACK_BYTES).spawn(work).map(drop)
}

fn accept(listener: &TcpListener, container: &Arc<Container>, shared: &Arc<Shared>) {
    let Ok((stream, _)) = listener.accept() else { return };
    if container.clients.fetch_add(1, Ordering::Relaxed) >= CLIENTS_MAX {
        container.clients.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let (mine, shared) = (container.clone(), shared.clone());
    let started = start(move || {
        if let Err(error) = converse(stream, &mine, &shared) {
            tracing::trace!(%error, "a client over TCP");
        }
        mine.clients.fetch_sub(1, Ordering::Relaxed);
    });
    if started.is_err() {
        container.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

fn converse(mut stream: TcpStream, container: &Container, shared: &Shared) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(CLIENT_IDLE))?;
    stream.set_write_timeout(Some(CLIENT_IDLE))?;
    loop {
        let query = forward::read_framed(&mut stream)?;
        let answer = match decide(&query, container, shared, false) {
            Verdict::Silence => return Ok(()),
            Verdict::Answer(answer) => answer,
            Verdict::Ask(servers) => ask_and_keep(&query, &servers, shared, false),
        };
        forward::write_framed(&mut stream, &answer)?;
    }
}
