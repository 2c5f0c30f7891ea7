//! Containers' questions: what is known is answered in the loop, many at once; what others must be asked, and who comes
//! over TCP, has a thread of its own, with limits for each container and for all.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use linux::datagrams::{self, Received};

use super::cache::Cache;
use super::forward;
use super::message::{self, Records, Refused};
use super::names::Names;
use super::protocol::Scope;
use super::server::lock;

/// Queries taken from one container at a time, so that one that floods us harms no other. No client's query is longer:
/// more than this is not sent in one packet.
const QUERIES: usize = 64;
const QUERY_BYTES: usize = 1232;
/// Queries that wait for other servers: of one container, and of all.
const WAITING_MAX: usize = 48;
const ALL_WAITING_MAX: usize = 512;
/// TCP clients of one container, and for how long one may be silent.
const CLIENTS_MAX: usize = 16;
const CLIENT_IDLE: Duration = Duration::from_secs(10);
const STACK_BYTES: usize = 128 * 1024;
/// Ready answers of a container.
const READY_MAX: usize = 128;

/// A container that has a name server.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) udp: UdpSocket,
    /// Replaced as a whole, so that a query only counts a reference.
    scope: Mutex<Arc<Scope>>,
    ready: Mutex<Ready>,
    waiting: AtomicUsize,
    clients: AtomicUsize,
}

impl Container {
    pub(super) fn new(udp: UdpSocket, scope: Scope) -> Self {
        Self {
            udp,
            scope: Mutex::new(Arc::new(scope)),
            ready: Mutex::default(),
            waiting: AtomicUsize::new(0),
            clients: AtomicUsize::new(0),
        }
    }

    /// Its networks have changed.
    pub(super) fn change(&self, scope: Scope) {
        *lock(&self.scope) = Arc::new(scope);
        *lock(&self.ready) = Ready::default();
    }
}

/// Answers as they are sent, by question: all of its bytes but the id. They hold until a name changes.
#[derive(Debug, Default)]
struct Ready {
    /// Of [`Shared::changes`] when they were made.
    changes: u64,
    answers: HashMap<Vec<u8>, Vec<u8>>,
}

impl Ready {
    fn get(&mut self, query: &[u8], changes: u64) -> Option<&[u8]> {
        if self.changes != changes {
            *self = Self { changes, answers: HashMap::new() };
        }
        self.answers.get(query.get(2..)?).map(|answer| &answer[..])
    }

    fn put(&mut self, query: &[u8], answer: &[u8]) {
        let Some(question) = query.get(2..) else { return };
        if self.answers.len() >= READY_MAX {
            self.answers.clear();
        }
        self.answers.insert(question.to_vec(), answer.to_vec());
    }
}

/// What threads share with the loop.
#[derive(Debug, Default)]
pub(super) struct Shared {
    names: Mutex<Names>,
    /// Of the names. Only the loop makes them.
    changes: AtomicU64,
    cache: Mutex<Cache>,
    waiting: AtomicUsize,
}

impl Shared {
    /// Changes names.
    pub(super) fn change(&self, how: impl FnOnce(&mut Names)) {
        how(&mut lock(&self.names));
        self.changes.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is known here, or that others must be asked.
enum Verdict {
    Answer {
        bytes: Vec<u8>,
        /// The next who asks the same is told the same.
        again: bool,
    },
    Ask(Vec<IpAddr>),
    Silence,
}

fn decide(query: &[u8], container: &Container, shared: &Shared, over_udp: bool) -> Verdict {
    let once = |bytes| Verdict::Answer { bytes, again: false };
    let parsed = match message::parse(query) {
        Ok(parsed) => parsed,
        Err(Refused::Silence) => return Verdict::Silence,
        Err(Refused::Code(code)) => return once(message::refusal(query, code)),
    };
    let scope = lock(&container.scope).clone();
    let linked = scope.links.get(&parsed.name).map(|name| parsed.of_name(name.to_ascii_lowercase()));
    let known = lock(&shared.names).look_up(&scope.networks, linked.as_ref().unwrap_or(&parsed));
    if let Some(records) = known {
        // Those who share a name take turns.
        let again = !matches!(&records, Records::Addresses(several) if several.len() > 1);
        return Verdict::Answer { bytes: message::answer(query, &parsed, &records, over_udp), again };
    }
    if scope.servers.is_empty() {
        return once(message::refusal(query, message::SERVER_FAILURE));
    }
    match lock(&shared.cache).get(query, &scope.servers, Instant::now()) {
        Some(answer) => once(answer),
        None => Verdict::Ask(scope.servers.clone()),
    }
}

/// Where the loop puts queries and answers.
#[derive(Debug)]
pub(super) struct Desk {
    received: Received,
    /// Answers, one after the other.
    bytes: Vec<u8>,
    /// For whom, and where in `bytes` they end.
    answers: Vec<(SocketAddrV4, usize)>,
}

impl Default for Desk {
    fn default() -> Self {
        Self { received: Received::new(QUERIES, QUERY_BYTES), bytes: Vec::new(), answers: Vec::new() }
    }
}

impl Desk {
    /// Takes what waits at a container's socket, up to a limit, and answers it or has it answered.
    pub(super) fn answer_waiting(&mut self, container: &Arc<Container>, shared: &Arc<Shared>) {
        self.bytes.clear();
        self.answers.clear();
        if self.received.receive(container.udp.as_fd()).is_err() {
            return;
        }
        let changes = shared.changes.load(Ordering::Relaxed);
        let mut ready = lock(&container.ready);
        for (query, client) in self.received.iter() {
            if let Some(answer) = ready.get(query, changes) {
                self.bytes.extend_from_slice(&query[..2]);
                self.bytes.extend_from_slice(&answer[2..]);
            } else {
                let answer = match decide(query, container, shared, true) {
                    Verdict::Silence => continue,
                    Verdict::Answer { bytes, again } => {
                        if again {
                            ready.put(query, &bytes);
                        }
                        bytes
                    }
                    Verdict::Ask(servers) => {
                        match ask_others(query.to_vec(), client.into(), servers, container, shared) {
                            Ok(()) => continue,
                            Err(_) => message::refusal(query, message::SERVER_FAILURE),
                        }
                    }
                };
                self.bytes.extend_from_slice(&answer);
            }
            self.answers.push((client, self.bytes.len()));
        }
        drop(ready);
        let mut start = 0;
        let mut datagrams: Vec<(SocketAddrV4, &[u8])> = Vec::with_capacity(self.answers.len());
        for (client, end) in &self.answers {
            datagrams.push((*client, &self.bytes[start..*end]));
            start = *end;
        }
        // A client that has gone, or takes nothing in, asks again or not.
        datagrams::send_all(container.udp.as_fd(), &mut datagrams);
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

pub(super) fn accept(listener: &TcpListener, container: &Arc<Container>, shared: &Arc<Shared>) {
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
            Verdict::Answer { bytes, .. } => bytes,
            Verdict::Ask(servers) => ask_and_keep(&query, &servers, shared, false),
        };
        forward::write_framed(&mut stream, &answer)?;
    }
}
