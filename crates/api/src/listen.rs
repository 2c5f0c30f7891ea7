//! Where the daemon listens: `unix://path`, `tcp://host:port`, `fd://` (sockets handed over by systemd).

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Gid, Mode};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Docker's port without TLS.
const DEFAULT_PORT: u16 = 2375;
/// Docker's port with TLS.
const DEFAULT_TLS_PORT: u16 = 2376;
/// How long a client may take to shake hands. It holds a place among the connections meanwhile.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// The first byte of a TLS connection (RFC 8446, section 5.1: a record of the handshake).
const HANDSHAKE_RECORD: u8 = 22;
/// What somebody who speaks plain HTTP to an encrypted port is told: Go's answer.
const PLAIN_TO_TLS: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
/// Connections the kernel holds until we accept them.
const BACKLOG: i32 = 1024;

/// Who may use a unix socket besides root: a group. The mode is 0660.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ownership {
    /// The group; `None` leaves that of the daemon.
    pub gid: Option<u32>,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Not one of the three forms.
    #[error("invalid bind address ({0}), should have form proto://addr")]
    Format(String),
    /// A form that is not ours.
    #[error("invalid bind address ({0}): unsupported protocol {1:?}")]
    Protocol(String, String),
    /// Another daemon answers there.
    #[error("{0} is in use by another daemon")]
    InUse(PathBuf),
    /// Something that is not a socket is in the way.
    #[error("{0} exists and is not a socket")]
    NotASocket(PathBuf),
    /// `fd://` without systemd.
    #[error("no sockets found via socket activation: make sure the service was started by systemd")]
    NoSockets,
    /// The kernel refused.
    #[error("failed to listen on {address}: {cause}")]
    Io {
        /// What was asked for.
        address: String,
        /// Why not.
        cause: io::Error,
    },
}

/// One listening socket. Dropping it removes its file.
pub struct Listener {
    socket: Socket,
    address: String,
    file: Option<SocketFile>,
}

enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener, Option<TlsAcceptor>),
}

/// A client.
pub(crate) enum Connection {
    Unix(UnixStream),
    Tcp(TcpStream),
    /// Not yet shaken hands with: [`shake_hands`].
    Tls(TcpStream, TlsAcceptor),
}

/// Shakes hands with a client that has connected. An error is the client's.
pub(crate) async fn shake_hands(
    mut stream: TcpStream,
    acceptor: &TlsAcceptor,
) -> io::Result<TlsStream<TcpStream>> {
    let shaken = async {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE_RECORD {
            // Closing with something unread would cut the answer off.
            let _request = stream.read(&mut [0; 4096]).await?;
            stream.write_all(PLAIN_TO_TLS).await?;
            return Err(io::Error::other("client sent an HTTP request to an HTTPS server"));
        }
        acceptor.accept(stream).await
    };
    tokio::time::timeout(HANDSHAKE_PATIENCE, shaken)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// A socket's file, to be removed if it is still the one we made.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|now| now == self.inode) {
            // Nobody can be told any more; a stale file is handled at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let meta = std::fs::symlink_metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl Listener {
    /// Listens on one `-H` address. `activated` are the sockets given by systemd, used by `fd://`; one address may
    /// give several listeners. With `tls`, what comes over TCP is encrypted. Must be called inside the tokio runtime.
    pub fn bind(
        address: &str,
        ownership: Ownership,
        activated: &mut Vec<OwnedFd>,
        tls: Option<&Arc<ServerConfig>>,
    ) -> Result<Vec<Self>, ListenError> {
        let (protocol, rest) =
            address.split_once("://").ok_or_else(|| ListenError::Format(address.to_owned()))?;
        match protocol {
            "unix" => Ok(vec![Self::unix(address, Path::new(rest), ownership)?]),
            "tcp" => Ok(vec![Self::tcp(address, rest, tls)?]),
            "fd" => Self::activated(address, activated, tls),
            other => Err(ListenError::Protocol(address.to_owned(), other.to_owned())),
        }
    }

    fn unix(address: &str, path: &Path, ownership: Ownership) -> Result<Self, ListenError> {
        let io = |cause| ListenError::Io { address: address.to_owned(), cause };
        clear_stale(path).map_err(|e| match e {
            Obstacle::InUse => ListenError::InUse(path.to_owned()),
            Obstacle::NotASocket => ListenError::NotASocket(path.to_owned()),
            Obstacle::Io(cause) => io(cause),
        })?;
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(io)?;
        }
        let socket = unix_socket(path, ownership).map_err(|e| io(e.into()))?;
        let listener = std::os::unix::net::UnixListener::from(socket);
        let listener = UnixListener::from_std(listener).map_err(io)?;
        let file = inode(path).map(|inode| SocketFile { path: path.to_owned(), inode }).map_err(io)?;
        Ok(Self { socket: Socket::Unix(listener), address: address.to_owned(), file: Some(file) })
    }

    fn tcp(address: &str, rest: &str, tls: Option<&Arc<ServerConfig>>) -> Result<Self, ListenError> {
        let port = if tls.is_some() { DEFAULT_TLS_PORT } else { DEFAULT_PORT };
        let target = tcp_address(rest, port).ok_or_else(|| ListenError::Format(address.to_owned()))?;
        let io = |cause| ListenError::Io { address: address.to_owned(), cause };
        // A daemon that was restarted must get its port back at once: std sets SO_REUSEADDR.
        let listener = std::net::TcpListener::bind(target).map_err(io)?;
        listener.set_nonblocking(true).map_err(io)?;
        let listener = TcpListener::from_std(listener).map_err(io)?;
        if tls.is_none() {
            tracing::warn!(
                "{address}: the API is reachable over the network without encryption; whoever reaches it is root here"
            );
        }
        let acceptor = tls.cloned().map(TlsAcceptor::from);
        Ok(Self { socket: Socket::Tcp(listener, acceptor), address: address.to_owned(), file: None })
    }

    fn activated(
        address: &str,
        sockets: &mut Vec<OwnedFd>,
        tls: Option<&Arc<ServerConfig>>,
    ) -> Result<Vec<Self>, ListenError> {
        let io = |cause| ListenError::Io { address: address.to_owned(), cause };
        let listeners = sockets.drain(..).map(|socket| {
            rustix::io::ioctl_fionbio(&socket, true).map_err(|e| io(e.into()))?;
            let family = rustix::net::sockopt::socket_domain(&socket).map_err(|e| io(e.into()))?;
            let socket = if family == AddressFamily::UNIX {
                let listener = std::os::unix::net::UnixListener::from(socket);
                Socket::Unix(UnixListener::from_std(listener).map_err(io)?)
            } else {
                let listener = TcpListener::from_std(socket.into()).map_err(io)?;
                Socket::Tcp(listener, tls.cloned().map(TlsAcceptor::from))
            };
            Ok(Self { socket, address: address.to_owned(), file: None })
        });
        let listeners: Vec<_> = listeners.collect::<Result<_, ListenError>>()?;
        if listeners.is_empty() { Err(ListenError::NoSockets) } else { Ok(listeners) }
    }

    /// Where it listens, with the port that was chosen for port 0.
    pub fn local_address(&self) -> String {
        match &self.socket {
            Socket::Unix(_) => self.address.clone(),
            Socket::Tcp(tcp, _) => {
                tcp.local_addr().map_or_else(|_| self.address.clone(), |address| format!("tcp://{address}"))
            }
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<Connection> {
        match &self.socket {
            Socket::Unix(listener) => Ok(Connection::Unix(listener.accept().await?.0)),
            Socket::Tcp(listener, acceptor) => {
                let stream = listener.accept().await?.0;
                stream.set_nodelay(true)?;
                Ok(match acceptor {
                    None => Connection::Tcp(stream),
                    Some(acceptor) => Connection::Tls(stream, acceptor.clone()),
                })
            }
        }
    }

    /// The file of a unix socket.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }
}

/// A bound and listening socket that nobody but root could open before its owner and mode were right.
fn unix_socket(path: &Path, ownership: Ownership) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // unix(7): bind gives the file the mode of the socket's inode, less the umask. So there is no moment in which
    // others could connect, and the process-wide umask is left alone.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    if let Some(gid) = ownership.gid {
        rustix::fs::chown(path, None, Some(Gid::from_raw(gid)))?;
    }
    rustix::fs::chmod(path, Mode::from_raw_mode(0o660))?;
    Ok(socket)
}

enum Obstacle {
    InUse,
    NotASocket,
    Io(io::Error),
}

/// Removes the socket file of a daemon that is gone.
fn clear_stale(path: &Path) -> Result<(), Obstacle> {
    use std::os::unix::fs::FileTypeExt;
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Obstacle::Io(e)),
    };
    if !meta.file_type().is_socket() {
        return Err(Obstacle::NotASocket);
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(Obstacle::InUse),
        Err(_) => std::fs::remove_file(path).map_err(Obstacle::Io),
    }
}

/// `host:port`, `host` or `:port`; the host is an address or `localhost`. A static binary resolves no names.
fn tcp_address(text: &str, default_port: u16) -> Option<SocketAddr> {
    let text = text.trim_end_matches('/');
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let host = |host: &str| match host {
        "" => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        other => other.trim_start_matches('[').trim_end_matches(']').parse().ok(),
    };
    match text.rsplit_once(':') {
        Some((name, port)) if host(name).is_some() && !port.is_empty() => {
            Some((host(name)?, port.parse().ok()?).into())
        }
        _ => Some((host(text)?, default_port).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn tcp_addresses_have_dockers_defaults() {
        for (text, want) in [
            ("127.0.0.1:99", Some("127.0.0.1:99")),
            (":2376", Some("0.0.0.0:2376")),
            ("127.0.0.1", Some("127.0.0.1:2375")),
            ("localhost:0", Some("127.0.0.1:0")),
            ("", Some("0.0.0.0:2375")),
            ("[::1]:5", Some("[::1]:5")),
            ("example.com:1", None),
            ("127.0.0.1:x", None),
        ] {
            assert_eq!(tcp_address(text, DEFAULT_PORT).map(|a| a.to_string()).as_deref(), want, "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_unix_socket_is_private_replaced_when_stale_and_removed_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/wharf.sock");
        let address = format!("unix://{}", path.display());
        let bind = || Listener::bind(&address, Ownership::default(), &mut Vec::new(), None);
        let first = bind().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(bind(), Err(ListenError::InUse(_))));
        // A daemon that was killed leaves its file.
        for Listener { socket, file, .. } in first {
            std::mem::forget(file);
            drop(socket);
        }
        let second = bind().unwrap();
        drop(second);
        assert!(!path.exists());
        std::fs::write(&path, "").unwrap();
        assert!(matches!(bind(), Err(ListenError::NotASocket(_))));
    }

    #[tokio::test]
    async fn other_addresses_are_refused() {
        for bad in ["/run/x.sock", "http://x", "fd://", "tcp://example.com:1"] {
            assert!(Listener::bind(bad, Ownership::default(), &mut Vec::new(), None).is_err(), "{bad}");
        }
    }
}
