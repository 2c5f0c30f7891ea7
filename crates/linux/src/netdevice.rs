//! Moving a network interface into another network namespace with what belongs to it (rtnetlink(7)). Not more: making
//! interfaces is the business of others.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

use crate::namespace;
use crate::process::flags;

// Messages and flags (linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h).
const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const CREATE_NEW: u16 = 0x600; // NLM_F_CREATE | NLM_F_EXCL
const DUMP: u16 = 0x300;
const LINK_NAME: u16 = 3; // IFLA_IFNAME
const LINK_NAMESPACE: u16 = 28; // IFLA_NET_NS_FD
const ADDRESS_FLAGS: u16 = 8; // IFA_FLAGS
const PERMANENT: u32 = 0x80; // IFA_F_PERMANENT
const SCOPE_UNIVERSE: u8 = 0;
const UP: u32 = 1; // IFF_UP

/// Moves interface `name` of the caller's network namespace into `target`, where it is called `new_name` (with `%d`, the
/// kernel picks a number). Its permanent addresses of global scope go with it, and it is up afterwards.
pub fn move_to(name: &str, new_name: &str, target: BorrowedFd<'_>) -> io::Result<()> {
    let here = Routes::open()?;
    let there = in_namespace(target, Routes::open)?;
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("no network device {name}"));
    let index = here.links()?.into_iter().find(|link| link.name == name).ok_or_else(missing)?.index;
    let before = there.links()?;
    if before.iter().any(|link| link.name == new_name) {
        let text = format!("network device {new_name} exists in the container's network namespace");
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    // Before it is down, which takes the addresses of IPv6 away.
    let addresses = here.addresses(index)?;
    // Down, lest something on the host takes an interest in it half moved.
    here.set_link(index, 0, &[])?;
    let fd = target.as_raw_fd().to_ne_bytes();
    let name_bytes = [new_name.as_bytes(), &[0]].concat();
    here.set_link(index, 0, &[(LINK_NAME, &name_bytes), (LINK_NAMESPACE, &fd)])?;
    let is_new = |link: &Link| !before.iter().any(|old| old.index == link.index);
    let expected = |link: &Link| new_name.contains("%d") || link.name == new_name;
    let moved = there.links()?.into_iter().find(|link| is_new(link) && expected(link)).ok_or_else(missing)?;
    for address in &addresses {
        there.add_address(moved.index, address)?;
    }
    there.set_link(moved.index, UP, &[])
}

/// Does something in another network namespace: a socket belongs to the one it was made in. The caller has one thread.
fn in_namespace<T>(target: BorrowedFd<'_>, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let own = namespace::open(Path::new("/proc/thread-self/ns/net"))?;
    namespace::join(target, flags::NEWNET)?;
    let done = work();
    namespace::join(own.as_fd(), flags::NEWNET)?;
    done
}

struct Link {
    index: u32,
    name: String,
}

/// An address, as the kernel describes it after the interface's index.
struct Address {
    family: u8,
    prefix: u8,
    /// Local address, address, broadcast and so on.
    attributes: Vec<(u16, Vec<u8>)>,
}

/// A routing socket.
struct Routes(OwnedFd);

impl Routes {
    fn open() -> io::Result<Self> {
        // Protocol 0 is that of routes.
        Ok(Routes(socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?))
    }

    /// Sends a request and gives the messages that answer it, up to the acknowledgement or the end of the list.
    fn request(&self, kind: u16, more: u16, body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut message = Vec::with_capacity(16 + body.len());
        message.extend_from_slice(&(16 + body.len() as u32).to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&(REQUEST | more).to_ne_bytes());
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(body);
        send(&self.0, &message, SendFlags::empty())?;
        let (mut found, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            let (length, _) = recv(&self.0, &mut buffer[..], RecvFlags::empty())?;
            let mut rest = &buffer[..length];
            while let Some((kind, body, next)) = split_message(rest) {
                match kind {
                    DONE => return Ok(found),
                    ERROR => {
                        let code =
                            body.get(..4).and_then(|code| code.try_into().ok()).map_or(0, i32::from_ne_bytes);
                        return if code == 0 { Ok(found) } else { Err(io::Error::from_raw_os_error(-code)) };
                    }
                    _ => found.push(body.to_vec()),
                }
                rest = next;
            }
        }
    }

    fn links(&self) -> io::Result<Vec<Link>> {
        let one = |body: Vec<u8>| {
            let name = attributes(body.get(16..)?).find(|(kind, _)| *kind == LINK_NAME)?.1;
            let name = String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name)).into_owned();
            Some(Link { index: u32_at(&body, 4)?, name })
        };
        Ok(self.request(GET_LINK, DUMP, &[0; 16])?.into_iter().filter_map(one).collect())
    }

    /// Sets the interface up or down, and attributes.
    fn set_link(&self, index: u32, up: u32, list: &[(u16, &[u8])]) -> io::Result<()> {
        // struct ifinfomsg: family, type, index, flags, which flags.
        let mut body = vec![0; 4];
        [index, up, UP].iter().for_each(|number| body.extend_from_slice(&number.to_ne_bytes()));
        list.iter().for_each(|(kind, value)| put_attribute(&mut body, *kind, value));
        self.request(NEW_LINK, ACKNOWLEDGE, &body).map(drop)
    }

    /// Those that are to move with the interface.
    fn addresses(&self, index: u32) -> io::Result<Vec<Address>> {
        let one = |body: Vec<u8>| {
            // struct ifaddrmsg: family, prefix length, flags, scope, index.
            let (family, prefix, scope) = (*body.first()?, *body.get(1)?, *body.get(3)?);
            let list: Vec<(u16, Vec<u8>)> =
                attributes(body.get(8..)?).map(|(kind, value)| (kind, value.to_vec())).collect();
            let wide = list.iter().find(|(kind, _)| *kind == ADDRESS_FLAGS);
            let flags = wide.and_then(|(_, value)| u32_at(value, 0)).unwrap_or(u32::from(*body.get(2)?));
            let moves = u32_at(&body, 4)? == index && scope == SCOPE_UNIVERSE && flags & PERMANENT != 0;
            // IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST
            let attributes = list.into_iter().filter(|(kind, _)| matches!(kind, 1 | 2 | 4)).collect();
            moves.then_some(Address { family, prefix, attributes })
        };
        Ok(self.request(GET_ADDRESS, DUMP, &[0; 8])?.into_iter().filter_map(one).collect())
    }

    fn add_address(&self, index: u32, address: &Address) -> io::Result<()> {
        let mut body = vec![address.family, address.prefix, 0, SCOPE_UNIVERSE];
        body.extend_from_slice(&index.to_ne_bytes());
        address.attributes.iter().for_each(|(kind, value)| put_attribute(&mut body, *kind, value));
        self.request(NEW_ADDRESS, ACKNOWLEDGE | CREATE_NEW, &body).map(drop)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The first message's kind and body, and what follows it.
fn split_message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32_at(bytes, 0)? as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let body = bytes.get(16..length)?;
    Some((kind, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & 0x3fff, value)) // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
    })
}

fn put_attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_written_and_read() {
        let mut bytes = Vec::new();
        put_attribute(&mut bytes, 3, b"eth0\0");
        put_attribute(&mut bytes, 28 | 0x8000, &[1, 2, 3, 4]);
        let read: Vec<_> = attributes(&bytes).collect();
        assert_eq!(read, [(3, &b"eth0\0"[..]), (28, &[1, 2, 3, 4])]);
        for broken in [&[][..], &[3, 0, 1, 0], &[9, 0, 1, 0, 0], &[0; 3]] {
            assert_eq!(attributes(broken).count(), 0, "{broken:?}");
        }
        assert!(split_message(&[20, 0, 0, 0, 3, 0, 0, 0]).is_none());
    }

    #[test]
    fn the_loopback_interface_is_found() {
        assert!(
            Routes::open().unwrap().links().unwrap().iter().any(|link| link.name == "lo" && link.index == 1)
        );
    }
}
