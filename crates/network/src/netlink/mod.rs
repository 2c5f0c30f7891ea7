//! Netlink, blocking: the kernel handles a request inside of `sendto`, so the answers are there at once.

pub(crate) mod message;
pub(crate) mod route;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

use message::{Batch, Message, messages, number};

/// Both are message types of `netlink.h`.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Multicast groups of `rtnetlink.h` and `nfnetlink.h`.
const RTNLGRP_LINK: u32 = 1;
const NFNLGRP_NFTABLES: u32 = 7;
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

    /// A socket that hears of changes: of links, or of nf_tables. It never waits.
    pub(crate) fn listener(of: Changes) -> io::Result<Self> {
        let (protocol, group) = match of {
            Changes::Links => (None, RTNLGRP_LINK),
            Changes::Rules => (Some(netlink::NETFILTER), NFNLGRP_NFTABLES),
        };
        let socket = Self::new(protocol)?;
        rustix::net::bind(&socket.fd, &netlink::SocketAddrNetlink::new(0, 1 << (group - 1)))?;
        rustix::io::ioctl_fionbio(&socket.fd, true)?;
        Ok(socket)
    }

    /// Hands over what there is to hear. False if the kernel had more to say than fits: then anything may have changed.
    pub(crate) fn hear(&mut self, mut each: impl FnMut(Message<'_>)) -> io::Result<bool> {
        let mut whole = true;
        loop {
            match self.receive(&mut each) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(whole),
                Err(error) if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => whole = false,
                Err(error) => return Err(error),
            }
        }
    }

    /// By which the kernel names it when it tells others of its requests. It has one from the first request on.
    fn port(&self) -> Option<u32> {
        let address = rustix::net::getsockname(&self.fd).ok()?;
        netlink::SocketAddrNetlink::try_from(address)
            .ok()
            .map(|address| address.pid())
            .filter(|port| *port != 0)
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

/// What a listener hears of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Changes {
    Links,
    Rules,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Sockets between two uses. Each caller has one to itself, so nobody waits for another's request.
#[derive(Debug)]
pub(crate) struct Stash {
    make: fn() -> io::Result<Socket>,
    idle: Mutex<Vec<Socket>>,
    /// Of all sockets that were in use, the last ones: who asked for a change is told after it was done.
    ports: Mutex<VecDeque<u32>>,
}

/// More ports than sockets can be in use at once.
const PORTS_KEPT: usize = 1024;

/// More are closed after use.
const IDLE_SOCKETS: usize = 2;

impl Stash {
    pub(crate) fn new(make: fn() -> io::Result<Socket>) -> Self {
        Self { make, idle: Mutex::default(), ports: Mutex::default() }
    }

    /// Whether a change that the kernel tells of was asked for by one of these.
    pub(crate) fn asked(&self, port: u32) -> bool {
        self.ports().contains(&port)
    }

    fn ports(&self) -> MutexGuard<'_, VecDeque<u32>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with a socket of the calling thread's namespace.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Socket) -> crate::Result<T>) -> crate::Result<T> {
        let idle = self.idle().pop();
        let make = || {
            let socket = (self.make)()?;
            // Its port is the kernel's choice.
            rustix::net::bind(&socket.fd, &netlink::SocketAddrNetlink::new(0, 0))?;
            let mut ports = self.ports();
            ports.extend(socket.port());
            while ports.len() > PORTS_KEPT {
                ports.pop_front();
            }
            drop(ports);
            Ok(socket)
        };
        let mut socket = idle
            .map_or_else(make, Ok)
            .map_err(|error: io::Error| crate::Error::kernel("open a netlink socket", error))?;
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
