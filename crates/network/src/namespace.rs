//! Network namespaces as file descriptors, and a small pool of them made ahead.
//!
//! A new namespace costs about half a millisecond, so a few are kept ready. One thread refills the pool; it sleeps on a
//! condition variable and wakes only when one has been taken.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::endpoint::ways_out;
use crate::netlink::Socket;
use crate::netlink::message::Batch;
use crate::netlink::route::{self, Way};
use crate::{Endpoint, Error, Result};

/// A new namespace and a netlink socket that acts in it, so that nobody has to enter it later. `lo` is up.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) fd: OwnedFd,
    pub(crate) route: Socket,
}

impl Namespace {
    /// Makes one, in a thread of its own: the caller's namespace does not change.
    pub(crate) fn new() -> Result<Self> {
        let made = thread::Builder::new()
            .name("netns".to_owned())
            .stack_size(64 * 1024)
            .spawn(make)
            .map_err(|error| Error::kernel("start a thread for a network namespace", error))?
            .join();
        match made {
            Ok(made) => made.map_err(|error| Error::kernel("make a network namespace", error)),
            Err(_) => Err(Error::kernel("make a network namespace", io::Error::other("its thread panicked"))),
        }
    }
}

/// A container's network stack, new or living, that endpoints are put into.
#[derive(Debug)]
pub struct Sandbox {
    pub(crate) namespace: Namespace,
}

impl Sandbox {
    /// The one in which a process runs.
    ///
    /// # Errors
    /// The process is gone.
    pub fn of_process(pid: i32) -> Result<Self> {
        let fd = namespace_of(pid)?;
        let route = within(&fd, Socket::route)?;
        Ok(Self { namespace: Namespace { fd, route } })
    }

    /// Sends what is for other networks through those of a container's endpoints that are its ways out, from now on.
    ///
    /// # Errors
    /// An endpoint's interface is not in it, or the kernel refuses.
    pub fn set_way_out(&mut self, endpoints: &[Endpoint]) -> Result<()> {
        let (v4, v6) = ways_out(endpoints);
        let way4 = v4.map(|e| (e, e.gateway.map_or(Way::OnLink(false), |ip| Way::Gateway(ip.into()))));
        let way6 = v6.map(|e| (e, e.gateway6.map_or(Way::OnLink(true), |ip| Way::Gateway(ip.into()))));
        let socket = &mut self.namespace.route;
        for (endpoint, way) in [way4, way6].into_iter().flatten() {
            let failed = |error: io::Error| {
                Error::kernel(format!("set the gateway of endpoint {}", endpoint.id), error)
            };
            let link = socket.link(&endpoint.interface).map_err(failed)?;
            let index = link.map(|link| link.index).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
            let mut batch = Batch::new();
            route::put_default_route(&mut batch, index, way);
            socket.request(&mut batch).map_err(failed)?;
        }
        Ok(())
    }

    /// The namespace, to hand to a supervisor.
    pub fn into_netns(self) -> OwnedFd {
        self.namespace.fd
    }
}

/// Does something in another namespace, in a thread of its own. Sockets made there stay there.
pub(crate) fn within<T: Send>(netns: &OwnedFd, act: impl FnOnce() -> io::Result<T> + Send) -> Result<T> {
    let entered = thread::scope(|scope| {
        let inside = thread::Builder::new().name("netns".to_owned()).stack_size(64 * 1024);
        let inside = inside.spawn_scoped(scope, || {
            move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
            act()
        })?;
        inside.join().unwrap_or_else(|_| Err(io::Error::other("its thread panicked")))
    });
    entered.map_err(|error| Error::kernel("act in a network namespace", error))
}

/// Moves this thread into a new namespace and sets that up. The thread must end or move away afterwards: while it stays
/// it keeps the namespace, with its interfaces, alive.
fn make() -> io::Result<Namespace> {
    linux::netns::unshare_network()?;
    let fd = OwnedFd::from(File::open("/proc/thread-self/ns/net")?);
    let mut route = Socket::route()?;
    let mut batch = Batch::new();
    // `lo` is the first interface of every namespace.
    route::put_up(&mut batch, 1);
    route.request(&mut batch)?;
    // An interface that comes later has no IPv6 until its network gives it an address; `lo` keeps its own. A kernel
    // without IPv6 has no such file.
    match fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1") {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(Namespace { fd, route })
}

#[derive(Debug, Default)]
struct State {
    ready: Vec<Namespace>,
    closed: bool,
    /// The last attempt to make one failed: the filler rests until somebody asks again.
    failed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// At most `size` namespaces, ready to be taken. They vanish with it.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    size: usize,
}

impl Pool {
    /// Starts to fill a pool, off the caller's path.
    pub(crate) fn new(size: usize) -> Self {
        let shared = Arc::new(Shared::default());
        if size > 0 {
            let filler = Arc::clone(&shared);
            let started = thread::Builder::new()
                .name("netns-pool".to_owned())
                .stack_size(64 * 1024)
                .spawn(move || fill(&filler, size));
            if let Err(error) = started {
                // Without the thread each namespace is made on demand.
                tracing::warn!(%error, "no thread for the pool of network namespaces");
            }
        }
        Self { shared, size }
    }

    /// One from the pool or, if it is empty, a new one.
    pub(crate) fn take(&self) -> Result<Namespace> {
        let taken = {
            let mut state = self.shared.lock();
            state.failed = false;
            state.ready.pop()
        };
        if self.size > 0 {
            self.shared.changed.notify_one();
        }
        taken.map_or_else(Namespace::new, Ok)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

fn fill(shared: &Shared, size: usize) {
    let home = match File::open("/proc/thread-self/ns/net") {
        Ok(home) => home,
        Err(error) => return tracing::warn!(%error, "no pool of network namespaces"),
    };
    let mut state = shared.lock();
    loop {
        if state.closed {
            return;
        }
        if state.ready.len() >= size || state.failed {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        drop(state);
        let made = make();
        let back = move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::Network));
        state = shared.lock();
        match made {
            Ok(namespace) => state.ready.push(namespace),
            Err(error) => {
                tracing::warn!(%error, "cannot make a network namespace ahead");
                state.failed = true;
            }
        }
        if let Err(error) = back {
            // Staying would keep the last namespace alive after its container; without us each is made on demand.
            return tracing::warn!(%error, "the pool of network namespaces stops");
        }
    }
}

/// The network namespace of a process (network mode `container:`, or a container found again after a restart).
///
/// # Errors
/// The process is gone or not ours to see.
pub fn namespace_of(pid: i32) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/ns/net");
    File::open(&path).map(OwnedFd::from).map_err(|error| Error::kernel(path, error))
}

/// Whether both descriptors name the same namespace.
pub fn same_namespace(one: impl AsFd, other: impl AsFd) -> bool {
    match (rustix::fs::fstat(one), rustix::fs::fstat(other)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}
