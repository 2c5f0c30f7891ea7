//! Where a daemon listens: `unix://PATH`, `tcp://HOST:PORT` with or without TLS, `ssh://USER@HOST:PORT/PATH`.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use super::ssh::SshTarget;
use super::stream::Stream;
use super::{ClientError, TlsOptions, tls};

const DEFAULT_TCP_PORT: u16 = 2375;
const DEFAULT_TLS_PORT: u16 = 2376;

/// Why a text is not a daemon's address. The words are those of Docker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// No such protocol, or no address after it.
    #[error("invalid bind address format: {0}")]
    Format(String),
    /// Not what ssh can connect to.
    #[error("ssh host connection is not valid: invalid SSH URL: {0}")]
    Ssh(String),
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
    /// The same, encrypted.
    Tls {
        /// Name or address, without brackets: what the daemon's certificate must be for.
        name: String,
        /// Port.
        port: u16,
        /// Whom to believe, and who we are.
        options: Arc<TlsOptions>,
    },
    /// A daemon that the client on another machine reaches, by way of `ssh`.
    Ssh(SshTarget),
    /// Understood, but not reachable by this client: the whole address and why.
    Unsupported(String, &'static str),
}

impl Host {
    /// Reads `unix://`, `tcp://`, `ssh://` or a bare `HOST:PORT`. With `tls`, what goes over TCP is encrypted; elsewhere
    /// it means nothing, as with Docker.
    pub fn parse(text: &str, tls: Option<&Arc<TlsOptions>>) -> Result<Self, InvalidHost> {
        let invalid = || InvalidHost::Format(text.to_owned());
        let (protocol, rest) = text.split_once("://").unwrap_or(("tcp", text));
        match protocol {
            "unix" if rest.is_empty() => Ok(Self::Unix(PathBuf::from("/var/run/docker.sock"))),
            "unix" => Ok(Self::Unix(PathBuf::from(rest))),
            "tcp" | "http" => Self::parse_tcp(rest, tls).ok_or_else(invalid),
            "https" => {
                let options = tls.cloned().unwrap_or_default();
                Self::parse_tcp(rest, Some(&options)).ok_or_else(invalid)
            }
            "ssh" => SshTarget::parse(text).map(Self::Ssh).map_err(InvalidHost::Ssh),
            "npipe" => Ok(Self::Unsupported(text.to_owned(), "named pipes exist on Windows only")),
            _ => Err(invalid()),
        }
    }

    fn parse_tcp(rest: &str, tls: Option<&Arc<TlsOptions>>) -> Option<Self> {
        let rest = rest.split('/').next().unwrap_or_default();
        let (name, port) = match rest.strip_prefix('[') {
            Some(bracketed) => {
                let (name, after) = bracketed.split_once(']')?;
                (name, after.strip_prefix(':').unwrap_or_default())
            }
            None => rest.split_once(':').unwrap_or((rest, "")),
        };
        let port = match (port, tls) {
            ("", None) => DEFAULT_TCP_PORT,
            ("", Some(_)) => DEFAULT_TLS_PORT,
            (port, _) => port.parse().ok()?,
        };
        let name = if name.is_empty() { "localhost" } else { name }.to_owned();
        Some(match tls {
            None => Self::Tcp { name, port },
            Some(options) => Self::Tls { name, port, options: Arc::clone(options) },
        })
    }

    /// What goes into the `Host` header.
    pub(super) fn http_host(&self) -> String {
        match self {
            Self::Unix(_) | Self::Unsupported(..) => "api.moby.localhost".to_owned(),
            Self::Ssh(_) => "docker.example.com".to_owned(),
            Self::Tcp { name, port } | Self::Tls { name, port, .. } => authority(name, *port),
        }
    }

    /// A new connection.
    pub fn connect(&self) -> Result<Stream, ClientError> {
        let result = match self {
            Self::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
            Self::Tcp { name, port } => connect_tcp(name, *port).map(Stream::Tcp),
            Self::Tls { name, port, options } => match connect_tcp(name, *port) {
                Err(error) => Err(error),
                Ok(stream) => {
                    return tls::connect(stream, name, options)
                        .map_err(|source| ClientError::Io { host: self.to_string(), source });
                }
            },
            Self::Ssh(target) => {
                return target.connect().map_err(|source| ClientError::Io { host: self.to_string(), source });
            }
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
            Self::Tcp { name, port } | Self::Tls { name, port, .. } => {
                write!(f, "tcp://{}", authority(name, *port))
            }
            Self::Ssh(target) => target.fmt(f),
            Self::Unsupported(address, _) => f.write_str(address),
        }
    }
}

/// Name and port; an IPv6 address in brackets.
fn authority(name: &str, port: u16) -> String {
    if name.contains(':') { format!("[{name}]:{port}") } else { format!("{name}:{port}") }
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
