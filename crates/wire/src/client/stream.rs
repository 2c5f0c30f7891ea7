//! A connection to a daemon, whatever carries it.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// Who stands between us and the daemon: a thread that encrypts, or an `ssh`. We talk to it over a pair of sockets, so that
/// everything else can treat the connection like any other: read and write at once, wait for it, close one half.
pub(super) trait Relay: fmt::Debug + Send + Sync {
    /// Why there is nothing more to read, if that is not simply the end.
    fn fault(&self) -> Option<String>;
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// Over a unix socket.
    Unix(UnixStream),
    /// Over TCP.
    Tcp(TcpStream),
    /// By way of TLS or ssh.
    Relayed(Relayed),
}

/// Our end of the pair of sockets, and who has the other one.
#[derive(Debug)]
pub struct Relayed {
    pub(super) stream: UnixStream,
    pub(super) relay: Arc<dyn Relay>,
}

impl Stream {
    /// The same connection once more, for a second thread.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
            Self::Relayed(Relayed { stream, relay }) => {
                let stream = stream.try_clone()?;
                Ok(Self::Relayed(Relayed { stream, relay: Arc::clone(relay) }))
            }
        }
    }

    /// Ends one or both directions.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.shutdown(how),
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Relayed(relayed) => relayed.stream.shutdown(how),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
            Self::Relayed(relayed) => relayed.stream.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
            Self::Relayed(Relayed { stream, relay }) => match stream.read(buffer) {
                Ok(0) if !buffer.is_empty() => relay.fault().map_or(Ok(0), |why| Err(io::Error::other(why))),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    Err(relay.fault().map_or(error, io::Error::other))
                }
                read => read,
            },
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
            // What stands between us and the daemon may be gone before we have said anything.
            Self::Relayed(Relayed { stream, relay }) => match stream.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    Err(relay.fault().map_or(error, io::Error::other))
                }
                written => written,
            },
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
