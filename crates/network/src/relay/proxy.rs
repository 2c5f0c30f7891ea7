//! Carrying what arrives on a host address to a container's port, where the firewall cannot or must not lead it there:
//! between IPv4 and IPv6, and where the host's own rules decide on what comes in. The container sees the bridge's address
//! as the client's: there is no other that it could answer to.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(10);
/// A UDP client that is silent for so long is forgotten (Docker's 90 seconds).
const FLOW_IDLE: Duration = Duration::from_secs(90);
/// Connections and flows at a time, of all ports, and of one container: however many clients that has, something is left
/// for the others.
const CARRIED_MAX: usize = 2048;
const SHARE_MAX: usize = CARRIED_MAX / 4;
/// Packets taken at a time, so that no port starves another.
const PACKETS: usize = 32;
const STACK_BYTES: usize = 128 * 1024;

static CARRIED: AtomicUsize = AtomicUsize::new(0);

/// How many connections and flows lead to one container.
#[derive(Debug, Clone, Default)]
pub(super) struct Share(Arc<AtomicUsize>);

impl Share {
    /// Somebody has it besides the list of all.
    pub(super) fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Room for one more.
    fn one(&self) -> Option<Carried> {
        if self.0.fetch_add(1, Ordering::Relaxed) >= SHARE_MAX {
            self.0.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        CARRIED.fetch_add(1, Ordering::Relaxed);
        let carried = Carried(self.clone());
        (CARRIED.load(Ordering::Relaxed) <= CARRIED_MAX).then_some(carried)
    }
}

/// One of [`CARRIED_MAX`], and of its container's share.
struct Carried(Share);

impl Drop for Carried {
    fn drop(&mut self) {
        CARRIED.fetch_sub(1, Ordering::Relaxed);
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn start(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("proxy".to_owned()).stack_size(STACK_BYTES).spawn(work).map(drop)
}

/// Takes a connection that waits. One too many is closed.
pub(super) fn accept(listener: &TcpListener, to: SocketAddr, share: &Share) {
    let Ok((client, _)) = listener.accept() else { return };
    let Some(carried) = share.one() else { return };
    let carrying = start(move || {
        let _carried = carried;
        if let Err(error) = carry(&client, to) {
            tracing::debug!(%to, %error, "a connection is not carried");
        }
    });
    if let Err(error) = carrying {
        tracing::warn!(%error, "no thread for a connection");
    }
}

fn carry(client: &TcpStream, to: SocketAddr) -> io::Result<()> {
    // An accepted socket inherits nothing of its listener's mode on Linux.
    client.set_nonblocking(false)?;
    let server = TcpStream::connect_timeout(&to, CONNECT)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    thread::scope(|scope| {
        let back = thread::Builder::new().stack_size(STACK_BYTES);
        back.spawn_scoped(scope, || copy(&server, client))?;
        copy(client, &server);
        Ok(())
    })
}

/// Until one side ends; then the other learns it. What fails one way ends the other too.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    match io::copy(&mut from, &mut to) {
        Ok(_) => drop(to.shutdown(Shutdown::Write)),
        Err(_) => {
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        }
    }
}

/// The clients of one UDP port, each with a socket of its own towards the container.
#[derive(Debug, Clone)]
pub(super) struct Flows(Arc<Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>>, Share);

impl Flows {
    pub(super) fn new(share: Share) -> Self {
        Self(Arc::default(), share)
    }

    /// Carries the packets that wait.
    pub(super) fn forward(&self, host: &Arc<UdpSocket>, to: SocketAddr) {
        let mut packet = vec![0; usize::from(u16::MAX)];
        for _ in 0..PACKETS {
            let Ok((len, client)) = host.recv_from(&mut packet) else { return };
            match self.flow(host, client, to) {
                // A packet that is lost is what UDP users expect.
                Ok(Some(server)) => drop(server.send(&packet[..len])),
                Ok(None) => {}
                Err(error) => tracing::debug!(%to, %error, "a packet is not carried"),
            }
        }
    }

    fn flow(
        &self,
        host: &Arc<UdpSocket>,
        client: SocketAddr,
        to: SocketAddr,
    ) -> io::Result<Option<Arc<UdpSocket>>> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = lock().get(&client) {
            return Ok(Some(server.clone()));
        }
        let Some(carried) = self.1.one() else { return Ok(None) };
        let own = if to.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
        let server = Arc::new(UdpSocket::bind((own, 0))?);
        server.connect(to)?;
        server.set_read_timeout(Some(FLOW_IDLE))?;
        let (flows, host, mine) = (self.clone(), host.clone(), server.clone());
        start(move || {
            let _carried = carried;
            let mut packet = vec![0; usize::from(u16::MAX)];
            while let Ok(len) = mine.recv(&mut packet) {
                if host.send_to(&packet[..len], client).is_err() {
                    break;
                }
            }
            flows.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&client);
        })?;
        lock().insert(client, server.clone());
        Ok(Some(server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_container_never_takes_the_room_of_all() {
        let (one, other) = (Share::default(), Share::default());
        let mut taken: Vec<Carried> = std::iter::from_fn(|| one.one()).collect();
        assert_eq!(taken.len(), SHARE_MAX);
        assert!(other.one().is_some());
        taken.pop();
        assert!(one.one().is_some());
        drop(taken);
        assert_eq!(std::iter::from_fn(|| one.one()).take(SHARE_MAX).count(), SHARE_MAX);
    }
}
