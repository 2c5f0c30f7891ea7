//! Netlink, blocking: the kernel handles a request inside of `sendto`, so the answers are there at once.

pub(crate) mod message;
pub(crate) mod route;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

use message::{Batch, Message, messages, number};

/// Both are message types of `netlink.h`.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// The kernel's answers come in pieces of at most 32 KiB.
const BUFFER_BYTES: usize = 32 * 1024;
/// Far beyond what the kernel needs; only so that nobody waits for ever if it loses an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Room for a whole ruleset with some ten thousand ports.
const SEND_BUFFER_BYTES: usize = 16 * 1024 * 1024;

/// A socket of one netlink family. It acts on the network namespace of the thread that opened it, from wherever it is
/// used later.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// A socket for links, addresses and routes.
    pub(crate) fn route() -> io::Result<Self> {
        Self::new(None)
    }

    /// A socket for nf_tables. Its transactions may be large.
    pub(crate) fn netfilter() -> io::Result<Self> {
        let socket = Self::new(Some(netlink::NETFILTER))?;
        // Needs CAP_NET_ADMIN, as everything else here does; without it the default size has to do.
        let _ = sockopt::set_socket_send_buffer_size_force(&socket.fd, SEND_BUFFER_BYTES);
        Ok(socket)
    }

    fn new(protocol: Option<rustix::net::Protocol>) -> io::Result<Self> {
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        sockopt::set_socket_timeout(&fd, Timeout::Recv, Some(TIMEOUT))?;
        Ok(Self { fd, sequence: 1, buffer: Vec::new() })
    }

    /// Sends all messages at once and waits for the last one's acknowledgement. Messages are carried out one by one
    /// (rtnetlink), so those before and after a refused one are done. Returns the first refusal.
    pub(crate) fn request(&mut self, batch: &mut Batch) -> io::Result<()> {
        let count = batch.len();
        self.exchange(batch, count.saturating_sub(1))
    }

    /// As [`Self::request`], with the acknowledgement asked of message `last`. The first refusal is returned, after
    /// all answers have been read.
    pub(crate) fn exchange(&mut self, batch: &mut Batch, last: usize) -> io::Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let first = self.sequence;
        let count = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        self.sequence = self.sequence.wrapping_add(count);
        let bytes = batch.seal(first, Some(last));
        rustix::net::send(&self.fd, bytes, SendFlags::empty())?;

        let mut refused = None;
        loop {
            let mut done = false;
            self.receive(|message| {
                let position = message.sequence.wrapping_sub(first);
                if message.kind != NLMSG_ERROR || position >= count {
                    return;
                }
                let position = usize::try_from(position).unwrap_or(0);
                let code = number(message.body, 0).map_or(0, u32::cast_signed);
                if code != 0 && refused.is_none() {
                    refused = Some(io::Error::from_raw_os_error(code.wrapping_neg()));
                }
                done |= position >= last;
                // nfnetlink refuses a whole transaction by refusing its opening message, and says nothing more.
                done |= position == 0 && code != 0 && last != count as usize - 1;
            })?;
            if done {
                return refused.map_or(Ok(()), Err);
            }
        }
    }

    /// Sends one request whose answer is a list, or one object, and hands over each.
    pub(crate) fn query(&mut self, batch: &mut Batch, mut each: impl FnMut(Message<'_>)) -> io::Result<()> {
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        rustix::net::send(&self.fd, batch.seal(sequence, None), SendFlags::empty())?;
        loop {
            let mut end = None;
            self.receive(|message| {
                if message.sequence != sequence {
                    return;
                }
                match message.kind {
                    NLMSG_ERROR | NLMSG_DONE => {
                        let code = number(message.body, 0).map_or(0, u32::cast_signed);
                        end = Some(if code < 0 { Err(io::Error::from_raw_os_error(-code)) } else { Ok(()) });
                    }
                    _ => each(message),
                }
            })?;
            if let Some(end) = end {
                return end;
            }
        }
    }

    fn receive(&mut self, each: impl FnMut(Message<'_>)) -> io::Result<()> {
        self.buffer.resize(BUFFER_BYTES, 0);
        let (len, _) = rustix::io::retry_on_intr(|| {
            rustix::net::recv(&self.fd, &mut self.buffer[..], RecvFlags::empty())
        })?;
        messages(&self.buffer[..len]).for_each(each);
        Ok(())
    }
}

/// Sockets between two uses. Each caller has one to itself, so nobody waits for another's request.
#[derive(Debug)]
pub(crate) struct Stash {
    make: fn() -> io::Result<Socket>,
    idle: Mutex<Vec<Socket>>,
}

/// More are closed after use.
const IDLE_SOCKETS: usize = 2;

impl Stash {
    pub(crate) fn new(make: fn() -> io::Result<Socket>) -> Self {
        Self { make, idle: Mutex::default() }
    }

    /// Does something with a socket of the calling thread's namespace.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Socket) -> crate::Result<T>) -> crate::Result<T> {
        let idle = self.idle().pop();
        let mut socket = idle
            .map_or_else(self.make, Ok)
            .map_err(|error| crate::Error::kernel("open a netlink socket", error))?;
        let done = act(&mut socket)?;
        // After a failure answers may be left in it; then it is not kept.
        let mut idle = self.idle();
        if idle.len() < IDLE_SOCKETS {
            idle.push(socket);
        }
        Ok(done)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Socket>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address from its bytes.
pub(crate) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|octets| IpAddr::V4(Ipv4Addr::from(octets))),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|octets| IpAddr::V6(octets.into())),
        _ => None,
    }
}
