//! One connection to a client: a request being read, a question that waits, or a stream.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};
use types::{Frame, StreamKind};

use super::poller::{Interest, Poller, Ready, Token};
use crate::detach::Scanner;
use crate::protocol::{self, REQUEST_HEADER};
use crate::spawn::Attach;

/// What a connection is for at the moment.
#[derive(Debug)]
pub(super) enum Role {
    /// Its request comes in.
    Request(Vec<u8>),
    /// Waits for the end of a member.
    Wait(usize),
    Stream(Stream),
    /// Has its answer; closes when it has taken it.
    Answered,
}

/// An attachment.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) member: usize,
    pub(super) stdin: bool,
    stdout: bool,
    stderr: bool,
    /// Frames around output: no terminal.
    framed: bool,
    pub(super) detach: Option<Scanner>,
    /// The client may still send.
    pub(super) input_open: bool,
    /// Never dropped for being slow.
    pub(super) holds: bool,
}

impl Stream {
    pub(super) fn new(member: usize, attach: &Attach, terminal: bool, holds: bool) -> Self {
        let keys = if terminal && attach.stdin { attach.detach_keys.as_slice() } else { &[] };
        Self {
            member,
            stdin: attach.stdin,
            stdout: attach.stdout,
            stderr: attach.stderr,
            framed: attach.framed.unwrap_or(!terminal),
            detach: Scanner::new(keys),
            input_open: true,
            holds,
        }
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    interest: Interest,
    pub(super) role: Role,
    pending: Vec<u8>,
    sent: usize,
    /// Closes when what is pending is out; neither input nor more output is passed on.
    pub(super) ending: bool,
    /// Since when a client that has output waiting has taken none of it.
    pub(super) stalled_since: Option<Instant>,
}

/// Nothing more can be said to this client.
#[derive(Debug)]
pub(super) struct Broken;

impl Connection {
    /// `socket` must be non-blocking.
    pub(super) fn new(index: usize, socket: OwnedFd, role: Role) -> Self {
        let interest = Interest::none(Token::Connection(index));
        Self { socket, interest, role, pending: Vec::new(), sent: 0, ending: false, stalled_since: None }
    }

    pub(super) fn stream(&self) -> Option<&Stream> {
        match &self.role {
            Role::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    pub(super) fn stream_mut(&mut self) -> Option<&mut Stream> {
        match &mut self.role {
            Role::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    /// Whether this is an attachment to `member` that wants this stream of it.
    pub(super) fn wants(&self, member: usize, kind: StreamKind) -> bool {
        let wants = |stream: &Stream| {
            stream.member == member && if kind == StreamKind::Stderr { stream.stderr } else { stream.stdout }
        };
        !self.ending && self.stream().is_some_and(wants)
    }

    /// Whether this is an attachment to `member`, one that ends included.
    pub(super) fn is_attached_to(&self, member: usize) -> bool {
        self.stream().is_some_and(|stream| stream.member == member)
    }

    /// Bytes the client has not taken.
    pub(super) fn pending(&self) -> usize {
        self.pending.len() - self.sent
    }

    /// Sends output, framed if need be. What the client does not take now is kept.
    pub(super) fn deliver(&mut self, kind: StreamKind, bytes: &[u8]) -> Result<(), Broken> {
        let framed = self.stream().is_some_and(|stream| stream.framed);
        // A chunk is one read of a pipe, far below 4 GiB.
        let header = Frame { kind, length: u32::try_from(bytes.len()).unwrap_or(u32::MAX) }.encode();
        self.send(if framed { &header } else { &[] }, bytes)
    }

    /// Sends a reply.
    pub(super) fn reply(&mut self, reply: &protocol::Reply) -> Result<(), Broken> {
        self.send(&protocol::encode_reply(reply), &[])
    }

    fn send(&mut self, head: &[u8], tail: &[u8]) -> Result<(), Broken> {
        let mut sent = 0;
        if self.pending() == 0 {
            sent = send_now(&self.socket, &[IoSlice::new(head), IoSlice::new(tail)])?;
        }
        if sent < head.len() + tail.len() {
            self.pending.extend_from_slice(head.get(sent..).unwrap_or_default());
            self.pending.extend_from_slice(&tail[sent.saturating_sub(head.len())..]);
            self.stalled_since.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    /// Sends what is pending, as far as the client takes it.
    pub(super) fn flush(&mut self) -> Result<(), Broken> {
        while self.pending() > 0 {
            match send_now(&self.socket, &[IoSlice::new(&self.pending[self.sent..])])? {
                0 => return Ok(()),
                taken => {
                    self.sent += taken;
                    self.stalled_since = Some(Instant::now());
                }
            }
        }
        self.pending = Vec::new();
        self.sent = 0;
        self.stalled_since = None;
        Ok(())
    }

    /// Appends what the client has sent to `buffer`; `false` at the end.
    pub(super) fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            let space = rustix::buffer::spare_capacity(buffer);
            match recv(&self.socket, space, RecvFlags::empty()) {
                Ok((_, 0)) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads on in the request; gives its JSON and its blob when it is complete, `None` when it is not.
    pub(super) fn receive_request(&mut self) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
        let Role::Request(mut bytes) = std::mem::replace(&mut self.role, Role::Answered) else {
            return Ok(None);
        };
        loop {
            let length = match bytes.first_chunk::<REQUEST_HEADER>() {
                Some(header) => {
                    let (json, blob) = protocol::decode_header(*header)?;
                    if bytes.len() == REQUEST_HEADER + json + blob {
                        let blob = bytes.split_off(REQUEST_HEADER + json);
                        bytes.drain(..REQUEST_HEADER);
                        return Ok(Some((bytes, blob)));
                    }
                    REQUEST_HEADER + json + blob
                }
                None => REQUEST_HEADER,
            };
            // Not a byte more: what follows a request is the input of a stream.
            let mut more = vec![0; (length - bytes.len()).min(64 * 1024)];
            match recv(&self.socket, more.as_mut_slice(), RecvFlags::empty()) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((got, _)) => bytes.extend_from_slice(&more[..got]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.role = Role::Request(bytes);
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Listens for what the state calls for; `hears_input`: the process takes input at the moment.
    pub(super) fn listen(&mut self, poller: &Poller, hears_input: bool) -> io::Result<()> {
        let mut wanted = Ready::empty();
        let input = match &self.role {
            Role::Request(_) => true,
            Role::Stream(stream) => !self.ending && stream.input_open && (hears_input || !stream.stdin),
            Role::Wait(_) | Role::Answered => false,
        };
        wanted.set(Ready::IN, input);
        wanted.set(Ready::OUT, self.pending() > 0);
        // A hang-up is reported in any case.
        self.interest.set(poller, &self.socket, Some(wanted))
    }

    /// Before it is dropped: a process that was forked meanwhile may still hold a copy of the descriptor, and epoll
    /// would go on about it.
    pub(super) fn forget(&mut self, poller: &Poller) {
        let _gone = self.interest.set(poller, &self.socket, None);
    }
}

fn send_now(socket: &OwnedFd, parts: &[IoSlice<'_>]) -> Result<usize, Broken> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        match sendmsg(socket, parts, &mut SendAncillaryBuffer::default(), flags) {
            Ok(sent) => return Ok(sent),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(0),
            Err(_) => return Err(Broken),
        }
    }
}
