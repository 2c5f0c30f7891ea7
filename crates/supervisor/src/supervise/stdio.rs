//! The three standard streams of one process, seen from outside.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::OpenptFlags;
use types::StreamKind;

use super::poller::{Interest, Poller, Ready, Token};

/// What goes into a process.
#[derive(Debug)]
pub(super) struct Input {
    fd: OwnedFd,
    queue: Vec<u8>,
    done: usize,
    /// Close once the queue is empty: the process sees the end of its input.
    closing: bool,
    interest: Interest,
}

/// One stream that comes out.
#[derive(Debug)]
pub(super) struct Output {
    fd: OwnedFd,
    pub(super) stream: StreamKind,
    interest: Interest,
}

/// The streams of one process.
#[derive(Debug, Default)]
pub(super) struct Stdio {
    /// The master of its terminal, for its size.
    terminal: Option<OwnedFd>,
    /// The terminal's other side, held while the process lives: a terminal that nobody has open for a moment (an init
    /// that closes and opens `/dev/console`) would otherwise look finished.
    slave: Option<OwnedFd>,
    pub(super) input: Option<Input>,
    /// Stdout or the terminal, stderr.
    pub(super) outputs: [Option<Output>; 2],
}

/// The process's ends of its pipes.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

impl Stdio {
    /// Pipes for the streams that are wanted, `/dev/null` for the others. `member` names the process in events.
    pub(super) fn pipes(member: usize, wanted: [bool; 3]) -> io::Result<(Self, Inner)> {
        let [stdin, stdout, stderr] = wanted;
        let mut stdio = Self::default();
        let stdin = if stdin {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            stdio.input = Some(Input::new(member, write)?);
            read
        } else {
            dev_null(OFlags::RDONLY)?
        };
        let mut output = |which: usize, stream, wanted: bool| -> io::Result<OwnedFd> {
            if !wanted {
                return dev_null(OFlags::WRONLY);
            }
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            stdio.outputs[which] = Some(Output::new(Token::Output(member, which), stream, read)?);
            Ok(write)
        };
        let stdout = output(0, StreamKind::Stdout, stdout)?;
        let stderr = output(1, StreamKind::Stderr, stderr)?;
        Ok((stdio, Inner { stdin, stdout, stderr }))
    }

    /// A terminal, by its master.
    pub(super) fn terminal(member: usize, master: OwnedFd) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
        let input = Input::new(member, master.try_clone()?)?;
        let output = Output::new(Token::Output(member, 0), StreamKind::Stdout, master.try_clone()?)?;
        Ok(Self {
            terminal: Some(master),
            slave: Some(slave),
            input: Some(input),
            outputs: [Some(output), None],
        })
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// Sets the size of the terminal, if there is one.
    pub(super) fn resize(&self, rows: u16, cols: u16) -> io::Result<()> {
        match &self.terminal {
            Some(master) => linux::pty::resize(master.as_fd(), rows, cols),
            None => Ok(()),
        }
    }

    /// The process has ended: the end of its output is now the end of the stream.
    pub(super) fn release(&mut self) {
        self.slave = None;
    }

    /// Whether all output has been read.
    pub(super) fn is_drained(&self) -> bool {
        self.outputs.iter().all(Option::is_none)
    }

    /// Whether input waits for the process to read.
    pub(super) fn input_is_full(&self) -> bool {
        self.input.as_ref().is_some_and(|input| !input.queue.is_empty())
    }

    /// Passes input on, as far as the process takes it now; the rest is kept.
    pub(super) fn push_input(&mut self, poller: &Poller, bytes: &[u8]) {
        if let Some(input) = &mut self.input
            && !input.closing
        {
            input.queue.extend_from_slice(bytes);
            self.flush_input(poller);
        }
    }

    /// Ends the process's input once it has taken all of it.
    pub(super) fn end_input(&mut self, poller: &Poller) {
        if let Some(input) = &mut self.input {
            input.closing = true;
            self.flush_input(poller);
        }
    }

    /// Passes on what waits. A process that does not want its input any more loses it.
    pub(super) fn flush_input(&mut self, poller: &Poller) {
        if let Some(input) = &mut self.input
            && input.flush(poller).is_none()
        {
            // Before it closes: a terminal's descriptors are copies of one another, and epoll would not notice.
            let _gone = input.interest.set(poller, &input.fd, None);
            self.input = None;
        }
    }
}

impl Input {
    fn new(member: usize, fd: OwnedFd) -> io::Result<Self> {
        fcntl_setfl(&fd, OFlags::NONBLOCK)?;
        let interest = Interest::none(Token::Input(member));
        Ok(Self { fd, queue: Vec::new(), done: 0, closing: false, interest })
    }

    /// `None`: this input is over.
    fn flush(&mut self, poller: &Poller) -> Option<()> {
        while self.done < self.queue.len() {
            match rustix::io::write(&self.fd, &self.queue[self.done..]) {
                Ok(written) => self.done += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    return self.interest.set(poller, &self.fd, Some(Ready::OUT)).ok();
                }
                Err(_) => return None,
            }
        }
        self.queue = Vec::new();
        self.done = 0;
        self.interest.set(poller, &self.fd, None).ok()?;
        (!self.closing).then_some(())
    }
}

impl Output {
    fn new(token: Token, stream: StreamKind, fd: OwnedFd) -> io::Result<Self> {
        fcntl_setfl(&fd, OFlags::NONBLOCK)?;
        Ok(Self { fd, stream, interest: Interest::none(token) })
    }

    /// Whether events of this stream are wanted.
    pub(super) fn listen(&mut self, poller: &Poller, wanted: bool) -> io::Result<()> {
        self.interest.set(poller, &self.fd, wanted.then_some(Ready::IN))
    }

    /// Appends what is there to `buffer`, up to its capacity.
    pub(super) fn read(&self, buffer: &mut Vec<u8>) -> Read {
        loop {
            return match rustix::io::read(&self.fd, rustix::buffer::spare_capacity(buffer)) {
                Ok(0) => Read::End,
                Ok(_) => Read::Some,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => Read::Nothing,
                // A terminal whose other side is closed says EIO.
                Err(_) => Read::End,
            };
        }
    }
}

/// What reading found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Some,
    Nothing,
    End,
}

fn dev_null(flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open("/dev/null", flags | OFlags::CLOEXEC, Mode::empty())?)
}
