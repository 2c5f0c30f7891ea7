//! Many UDP datagrams with one system call (recvmmsg(2), sendmmsg(2)), those to the same peer as one that the kernel
//! cuts into segments (udp(7), `UDP_SEGMENT`; Linux 4.18). IPv4 only.

use std::io::{self, IoSlice};
use std::mem::{MaybeUninit, size_of};
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::net::{SendFlags, sendto};

/// The kernel's `UDP_MAX_SEGMENTS` was 64 before it was 128.
const SEGMENTS_MAX: usize = 64;
/// An IP packet is at most this long, headers included.
const SEGMENTED_BYTES_MAX: usize = 65_535 - 20 - 8;
/// One `cmsghdr` with a `u16`, aligned.
const CONTROL_WORDS: usize = 3;

/// Datagrams as they came, with room for as many as [`Received::new`] was told.
#[derive(Debug)]
pub struct Received {
    bytes: Vec<u8>,
    datagram_bytes: usize,
    /// Length and sender of each.
    arrived: Vec<(usize, SocketAddrV4)>,
    at_once: usize,
}

impl Received {
    /// Room for `at_once` datagrams of `datagram_bytes` bytes each.
    pub fn new(at_once: usize, datagram_bytes: usize) -> Self {
        let bytes = vec![0; at_once * datagram_bytes];
        Self { bytes, datagram_bytes, arrived: Vec::with_capacity(at_once), at_once }
    }

    /// Takes what is there and forgets what was taken before; returns whether it was all. A datagram that is longer than
    /// its room, or comes from no IPv4 address, is thrown away.
    ///
    /// # Errors
    /// Nothing is there (`WouldBlock`), or recvmmsg(2)'s.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        self.arrived.clear();
        let mut senders = vec![MaybeUninit::<libc::sockaddr_in>::zeroed(); self.at_once];
        let mut slices: Vec<libc::iovec> = self
            .bytes
            .chunks_exact_mut(self.datagram_bytes)
            .map(|room| libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() })
            .collect();
        let mut headers: Vec<libc::mmsghdr> = senders
            .iter_mut()
            .zip(&mut slices)
            .map(|(sender, slice)| {
                let mut header = empty_header();
                header.msg_hdr.msg_name = sender.as_mut_ptr().cast();
                header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
                header.msg_hdr.msg_iov = slice;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        let room = libc::c_uint::try_from(headers.len()).unwrap_or(libc::c_uint::MAX);
        // SAFETY: each header points to a name and a slice of the vectors above, which outlive the call, and each slice to
        // bytes of its own in `self.bytes`; the descriptor is borrowed.
        #[allow(unsafe_code)]
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                room,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (header, sender) in headers.iter().zip(&senders).take(count) {
            // SAFETY: zeroed at first, and all its members are numbers.
            #[allow(unsafe_code)]
            let sender = unsafe { sender.assume_init_ref() };
            let is_whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            let is_ipv4 = i32::from(sender.sin_family) == libc::AF_INET;
            let len = if is_whole && is_ipv4 { header.msg_len as usize } else { 0 };
            let ip = u32::from_be(sender.sin_addr.s_addr);
            self.arrived.push((len, SocketAddrV4::new(ip.into(), u16::from_be(sender.sin_port))));
        }
        Ok(count < self.at_once)
    }

    /// The datagrams, with their senders.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], SocketAddrV4)> {
        let rooms = self.bytes.chunks_exact(self.datagram_bytes);
        rooms
            .zip(&self.arrived)
            .map(|(room, (len, from))| (&room[..*len], *from))
            .filter(|(d, _)| !d.is_empty())
    }
}

/// Sends datagrams in any order. What the kernel does not take (a peer that reads nothing, no memory) is lost, as
/// datagrams may be.
pub fn send_all(socket: BorrowedFd<'_>, datagrams: &mut [(SocketAddrV4, &[u8])]) {
    datagrams.sort_unstable_by_key(|(peer, bytes)| (*peer, bytes.len()));
    let groups: Vec<&[(SocketAddrV4, &[u8])]> = datagrams
        .chunk_by(|one, next| one.0 == next.0 && one.1.len() == next.1.len())
        .flat_map(|group| group.chunks(segments_of(group[0].1.len())))
        .collect();
    let mut rest = &groups[..];
    while let Some(first) = rest.first() {
        match send_groups(socket, rest) {
            Ok(sent) if sent > 0 => rest = &rest[sent..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // No segments here, or this one peer cannot be sent to.
            _ => {
                for (peer, bytes) in *first {
                    let _ = sendto(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL, peer);
                }
                rest = &rest[1..];
            }
        }
    }
}

/// How many datagrams of this length go as one.
fn segments_of(len: usize) -> usize {
    (SEGMENTED_BYTES_MAX / len.max(1)).clamp(1, SEGMENTS_MAX)
}

/// Each group has datagrams of one length to one peer. Returns how many groups were sent: an error is told only if it
/// is the first one's.
fn send_groups(socket: BorrowedFd<'_>, groups: &[&[(SocketAddrV4, &[u8])]]) -> io::Result<usize> {
    let mut peers: Vec<libc::sockaddr_in> = groups.iter().map(|group| raw_address(group[0].0)).collect();
    let slices: Vec<IoSlice<'_>> =
        groups.iter().flat_map(|group| group.iter().map(|(_, bytes)| IoSlice::new(bytes))).collect();
    let mut controls: Vec<[u64; CONTROL_WORDS]> =
        groups.iter().map(|group| segment_control(group[0].1.len())).collect();
    let mut at = 0;
    let mut headers: Vec<libc::mmsghdr> = Vec::with_capacity(groups.len());
    for ((group, peer), control) in groups.iter().zip(&mut peers).zip(&mut controls) {
        let mut header = empty_header();
        header.msg_hdr.msg_name = std::ptr::from_mut(peer).cast();
        header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        // An `IoSlice` is a `struct iovec` (its documentation promises it); the kernel only reads it.
        header.msg_hdr.msg_iov = slices[at..].as_ptr().cast_mut().cast();
        header.msg_hdr.msg_iovlen = group.len() as _;
        if group.len() > 1 {
            header.msg_hdr.msg_control = control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = size_of_val(control) as _;
        }
        headers.push(header);
        at += group.len();
    }
    let count = libc::c_uint::try_from(headers.len()).unwrap_or(libc::c_uint::MAX);
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: each header points to a name, slices and control words of the vectors above, which outlive the call; the
    // lengths are theirs; the descriptor is borrowed.
    #[allow(unsafe_code)]
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

fn empty_header() -> libc::mmsghdr {
    // SAFETY: numbers and null pointers; no name, no slices, no control.
    #[allow(unsafe_code)]
    unsafe {
        MaybeUninit::<libc::mmsghdr>::zeroed().assume_init()
    }
}

fn raw_address(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

/// `struct cmsghdr` with the length of a segment: length (`size_t`), level and type (`int`), data.
fn segment_control(len: usize) -> [u64; CONTROL_WORDS] {
    let mut bytes = [[0u8; 8]; CONTROL_WORDS];
    let header_len = size_of::<libc::cmsghdr>() + size_of::<u16>();
    bytes[0][..size_of::<usize>()].copy_from_slice(&header_len.to_ne_bytes());
    bytes[1][..4].copy_from_slice(&libc::SOL_UDP.to_ne_bytes());
    bytes[1][4..].copy_from_slice(&libc::UDP_SEGMENT.to_ne_bytes());
    bytes[2][..2].copy_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_ne_bytes());
    bytes.map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
    use std::os::fd::AsFd as _;
    use std::time::Duration;

    use super::*;

    fn socket() -> (UdpSocket, SocketAddrV4) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let SocketAddr::V4(address) = socket.local_addr().unwrap() else { panic!("no IPv4 address") };
        (socket, address)
    }

    #[test]
    fn many_datagrams_arrive_and_each_peer_gets_its_own() {
        let (server, address) = socket();
        let clients = [socket(), socket()];
        for number in 0..10u8 {
            for (client, _) in &clients {
                client.send_to(&vec![number; 20 + usize::from(number % 2)], address).unwrap();
            }
        }
        clients[0].0.send_to(&[1; 100], address).unwrap();
        let mut received = Received::new(16, 64);
        let mut got = Vec::new();
        let all = loop {
            let is_all = received.receive(server.as_fd()).unwrap();
            got.extend(received.iter().map(|(bytes, from)| (from, bytes.to_vec())));
            if is_all {
                break got;
            }
        };
        assert_eq!(all.len(), 20, "but the one that was too long");
        let mut replies: Vec<(SocketAddrV4, &[u8])> =
            all.iter().map(|(from, bytes)| (*from, &bytes[..])).collect();
        send_all(server.as_fd(), &mut replies);
        for (client, _) in &clients {
            let mut numbers: Vec<u8> = (0..10)
                .map(|_| {
                    let mut buffer = [0; 2048];
                    let len = client.recv(&mut buffer).unwrap();
                    assert_eq!(len, 20 + usize::from(buffer[0] % 2));
                    buffer[0]
                })
                .collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..10).collect::<Vec<u8>>());
        }
        let nothing = received.receive(server.as_fd()).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn no_more_goes_as_one_than_fits_into_a_packet() {
        for (len, want) in [(0, 64), (50, 64), (1232, 53), (65_000, 1), (70_000, 1)] {
            assert_eq!(segments_of(len), want, "{len}");
        }
    }
}
