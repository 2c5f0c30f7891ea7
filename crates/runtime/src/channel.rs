//! The socket between a container's init and its creator: packets of one tag byte, text and descriptors.
//!
//! ```text
//!  creator -> init   Go (ids mapped, cgroup joined; the pid as the creator sees it), HooksDone, Start
//!  init -> creator   Hooks (run createRuntime now), Ready (at the gate), Listener (a seccomp descriptor), Error
//! ```
//! Both ends are close-on-exec, so the end of file after `Start` means that `execve` succeeded.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use linux::fd::{recv_fds, send_fds};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::error::{Context, Error};

/// What a packet means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    Go = b'G',
    Hooks = b'H',
    HooksDone = b'D',
    Ready = b'R',
    Start = b'S',
    Listener = b'L',
    Spawned = b'P',
}

const ERROR: u8 = b'E';

/// One received packet.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) tag: Tag,
    pub(crate) text: String,
    pub(crate) fds: Vec<OwnedFd>,
}

impl Packet {
    /// What a process in between tells of the one that it made: its pid and its pidfd.
    pub(crate) fn spawned(self) -> Result<(i32, OwnedFd), Error> {
        let pid = self.text.parse().map_err(|_| Error::Failed("the stage told no pid".into()))?;
        let pidfd = self.fds.into_iter().next();
        Ok((pid, pidfd.ok_or_else(|| Error::Failed("the stage sent no pidfd".into()))?))
    }
}

/// One end.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

impl Channel {
    /// Both ends: the creator's and init's.
    pub(crate) fn pair() -> Result<(Channel, Channel), Error> {
        let (one, other) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .doing(|| "create socket pair".into())?;
        Ok((Channel(one), Channel(other)))
    }

    pub(crate) fn from_fd(fd: OwnedFd) -> Channel {
        Channel(fd)
    }

    pub(crate) fn send(&self, tag: Tag, text: &str, fds: &[BorrowedFd<'_>]) -> Result<(), Error> {
        self.send_bytes(tag as u8, text.as_bytes(), fds).doing(|| format!("send {tag:?}"))
    }

    /// Tells the creator why init gives up. Nothing can be done if that fails too.
    pub(crate) fn send_error(&self, error: &Error) {
        let (kind, text) = error.to_wire();
        let mut bytes = vec![kind];
        bytes.extend_from_slice(text.as_bytes());
        let _ = self.send_bytes(ERROR, &bytes, &[]);
    }

    fn send_bytes(&self, tag: u8, text: &[u8], fds: &[BorrowedFd<'_>]) -> std::io::Result<()> {
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.push(tag);
        bytes.extend_from_slice(&text[..text.len().min(MAX_TEXT)]);
        send_fds(self.0.as_fd(), &bytes, fds)
    }

    /// The next packet; `None` when the other side is gone. An `Error` packet is returned as that error.
    pub(crate) fn recv(&self) -> Result<Option<Packet>, Error> {
        let mut bytes = [0; MAX_TEXT + 1];
        let (length, fds) = match recv_fds(self.0.as_fd(), &mut bytes) {
            // The other side closed with something of ours unread; that is told once, and before what it had sent.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                recv_fds(self.0.as_fd(), &mut bytes)
            }
            other => other,
        }
        .doing(|| "receive from init".into())?;
        let Some((&tag, rest)) = bytes[..length].split_first() else { return Ok(None) };
        let tag = match tag {
            b'G' => Tag::Go,
            b'H' => Tag::Hooks,
            b'D' => Tag::HooksDone,
            b'R' => Tag::Ready,
            b'S' => Tag::Start,
            b'L' => Tag::Listener,
            b'P' => Tag::Spawned,
            ERROR => {
                let (&kind, text) = rest.split_first().unwrap_or((&b'f', b""));
                return Err(Error::from_wire(kind, String::from_utf8_lossy(text).into_owned()));
            }
            other => return Err(Error::Failed(format!("receive from init: unknown message {other}"))),
        };
        Ok(Some(Packet { tag, text: String::from_utf8_lossy(rest).into_owned(), fds }))
    }

    /// The next packet, which must be this one.
    pub(crate) fn expect(&self, tag: Tag) -> Result<Packet, Error> {
        match self.recv()? {
            Some(packet) if packet.tag == tag => Ok(packet),
            Some(packet) => Err(Error::Failed(format!("expected {tag:?}, received {:?}", packet.tag))),
            None => Err(Error::Failed(format!("the other side went away before {tag:?}"))),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Longer texts are cut: they are error messages.
const MAX_TEXT: usize = 4000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_errors_and_the_end_arrive_in_order() {
        let (one, other) = Channel::pair().unwrap();
        one.send(Tag::Go, "17", &[]).unwrap();
        one.send_error(&Error::NotFound("exec".into()));
        one.send_error(&Error::Failed("x".repeat(10_000)));
        let packet = other.expect(Tag::Go).unwrap();
        assert_eq!((packet.text.as_str(), packet.fds.len()), ("17", 0));
        assert_eq!(other.recv().unwrap_err(), Error::NotFound("exec".into()));
        assert!(other.recv().unwrap_err().to_string().len() >= 3900);
        drop(one);
        assert!(other.recv().unwrap().is_none());
    }

    #[test]
    fn what_was_said_before_leaving_is_heard_even_if_our_words_were_not() {
        let (one, other) = Channel::pair().unwrap();
        other.send(Tag::Go, "", &[]).unwrap();
        one.send_error(&Error::Failed("why".into()));
        drop(one);
        assert_eq!(other.recv().unwrap_err(), Error::Failed("why".into()));
        assert!(other.recv().unwrap().is_none());
    }
}
