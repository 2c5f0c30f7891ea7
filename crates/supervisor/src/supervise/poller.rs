//! epoll with names instead of numbers.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};

pub(super) use rustix::event::epoll::EventFlags as Ready;

/// Who became ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Signals,
    Listener,
    /// Output of a member: 0 is stdout or the terminal, 1 stderr.
    Output(usize, usize),
    /// A member's input has room.
    Input(usize),
    Connection(usize),
    /// Log entries that wait can go on.
    Log,
}

impl Token {
    fn encode(self) -> u64 {
        let (kind, index) = match self {
            Self::Signals => (0, 0),
            Self::Listener => (1, 0),
            Self::Output(member, which) => (2, member * 2 + which),
            Self::Input(member) => (3, member),
            Self::Connection(index) => (4, index),
            Self::Log => (5, 0),
        };
        kind | (index as u64) << 3
    }

    fn decode(data: u64) -> Self {
        let index = (data >> 3) as usize;
        match data & 7 {
            0 => Self::Signals,
            1 => Self::Listener,
            2 => Self::Output(index / 2, index % 2),
            3 => Self::Input(index),
            5 => Self::Log,
            _ => Self::Connection(index),
        }
    }
}

#[derive(Debug)]
pub(super) struct Poller(OwnedFd);

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    /// The next event. One at a time: handling one may close what another is about.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> io::Result<Option<(Token, Ready)>> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut space = [MaybeUninit::<epoll::Event>::uninit(); 1];
        match epoll::wait(&self.0, &mut space, timeout.as_ref()) {
            Ok((events, _)) => Ok(events.first().map(|event| (Token::decode(event.data.u64()), event.flags))),
            Err(rustix::io::Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// What one descriptor is watched for. A descriptor that nobody wants to hear of is taken out altogether: epoll would
/// report its hang-up for ever.
#[derive(Debug)]
pub(super) struct Interest {
    token: Token,
    current: Option<Ready>,
}

impl Interest {
    pub(super) fn none(token: Token) -> Self {
        Self { token, current: None }
    }

    pub(super) fn set(&mut self, poller: &Poller, fd: impl AsFd, wanted: Option<Ready>) -> io::Result<()> {
        let data = epoll::EventData::new_u64(self.token.encode());
        match (self.current, wanted) {
            (now, then) if now == then => return Ok(()),
            (None, Some(flags)) => epoll::add(&poller.0, fd, data, flags)?,
            (Some(_), Some(flags)) => epoll::modify(&poller.0, fd, data, flags)?,
            (Some(_), None) => epoll::delete(&poller.0, fd)?,
            (None, None) => {}
        }
        self.current = wanted;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        for token in [
            Token::Signals,
            Token::Listener,
            Token::Output(0, 1),
            Token::Output(70_000, 0),
            Token::Input(3),
            Token::Connection(255),
            Token::Log,
        ] {
            assert_eq!(Token::decode(token.encode()), token);
        }
    }
}
