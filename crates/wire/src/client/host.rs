//! Where a daemon listens: `unix://PATH`, `tcp://HOST:PORT`.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use super::ClientError;

const DEFAULT_TCP_PORT: u16 = 2375;

/// Why a text is not a daemon's address. The words are those of Docker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// No such protocol, or no address after it.
    #[error("invalid bind address format: {0}")]
    Format(String),
}

/// A daemon's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A socket in the file system.
    Unix(PathBuf),
    /// A name or address, a port, and the path in front of each request.
    Tcp {
        /// Name or address, without brackets.
        name: String,
        /// Port.
        port: u16,
    },
    /// Understood, but not reachable by this client: the whole address and why.
    Unsupported(String, &'static str),
}

impl Host {
    /// Reads `unix://`, `tcp://`, `ssh://` or a bare `HOST:PORT`.
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        let invalid = || InvalidHost::Format(text.to_owned());
        let (protocol, rest) = text.split_once("://").unwrap_or(("tcp", text));
        match protocol {
            "unix" if rest.is_empty() => Ok(Self::Unix(PathBuf::from("/var/run/docker.sock"))),
            "unix" => Ok(Self::Unix(PathBuf::from(rest))),
            "tcp" | "http" => Self::parse_tcp(rest).ok_or_else(invalid),
            "https" => Ok(Self::Unsupported(text.to_owned(), "TLS is not implemented")),
            "ssh" => Ok(Self::Unsupported(text.to_owned(), "connecting over ssh is not implemented")),
            "npipe" => Ok(Self::Unsupported(text.to_owned(), "named pipes exist on Windows only")),
            _ => Err(invalid()),
        }
    }

    fn parse_tcp(rest: &str) -> Option<Self> {
        let rest = rest.split('/').next().unwrap_or_default();
        let (name, port) = match rest.strip_prefix('[') {
            Some(bracketed) => {
                let (name, after) = bracketed.split_once(']')?;
                (name, after.strip_prefix(':').unwrap_or_default())
            }
            None => rest.split_once(':').unwrap_or((rest, "")),
        };
        let port = if port.is_empty() { DEFAULT_TCP_PORT } else { port.parse().ok()? };
        let name = if name.is_empty() { "localhost" } else { name };
        Some(Self::Tcp { name: name.to_owned(), port })
    }

    /// What goes into the `Host` header.
    pub(super) fn http_host(&self) -> String {
        match self {
            Self::Unix(_) | Self::Unsupported(..) => "api.moby.localhost".to_owned(),
            Self::Tcp { name, port } if name.contains(':') => format!("[{name}]:{port}"),
            Self::Tcp { name, port } => format!("{name}:{port}"),
        }
    }

    /// A new connection.
    pub fn connect(&self) -> Result<Stream, ClientError> {
        let result = match self {
            Self::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
            Self::Tcp { name, port } => connect_tcp(name, *port).map(Stream::Tcp),
            Self::Unsupported(address, why) => {
                return Err(ClientError::Unsupported(format!("cannot connect to {address}: {why}")));
            }
        };
        result.map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => ClientError::Permission { host: self.to_string(), source },
            _ => ClientError::Connect { host: self.to_string(), source },
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { name, port } if name.contains(':') => write!(f, "tcp://[{name}]:{port}"),
            Self::Tcp { name, port } => write!(f, "tcp://{name}:{port}"),
            Self::Unsupported(address, _) => f.write_str(address),
        }
    }
}

/// A static binary must not call the C library's resolver (it loads shared libraries), so names come from
/// `/etc/hosts` only; addresses work as they are.
fn connect_tcp(name: &str, port: u16) -> io::Result<TcpStream> {
    let addresses = addresses_of(name)?;
    let mut last =
        io::Error::new(io::ErrorKind::NotFound, format!("lookup {name}: no such host in /etc/hosts"));
    for address in addresses {
        match TcpStream::connect(SocketAddr::new(address, port)) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn addresses_of(name: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = name.parse() {
        return Ok(vec![address]);
    }
    let mut found: Vec<IpAddr> = std::fs::read_to_string("/etc/hosts")
        .unwrap_or_default()
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let address = words.next()?.parse().ok()?;
            words.any(|word| word == name).then_some(address)
        })
        .collect();
    if found.is_empty() && name == "localhost" {
        found.push(IpAddr::from([127, 0, 0, 1]));
    }
    Ok(found)
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// Over a unix socket.
    Unix(UnixStream),
    /// Over TCP.
    Tcp(TcpStream),
}

impl Stream {
    /// The same connection once more, for a second thread.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
        }
    }

    /// Ends one or both directions.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.shutdown(how),
            Self::Tcp(stream) => stream.shutdown(how),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
