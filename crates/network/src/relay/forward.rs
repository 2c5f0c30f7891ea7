//! Asking other name servers. Blocks; on threads of its own.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::message;

const PORT: u16 = 53;
/// Resolvers give up after five seconds; two servers are asked within that.
const PATIENCE: Duration = Duration::from_secs(2);
/// Docker asks no more than these.
const SERVERS_MAX: usize = 3;

/// The first server's answer that is one, or a failure.
pub(super) fn ask(query: &[u8], servers: &[IpAddr], over_udp: bool) -> Vec<u8> {
    let mut last = None;
    for server in servers.iter().take(SERVERS_MAX) {
        let server = SocketAddr::new(*server, PORT);
        let answer = if over_udp { ask_udp(query, server) } else { ask_tcp(query, server) };
        match answer {
            Ok(answer) if matches!(message::code(&answer), message::SERVER_FAILURE | message::REFUSED) => {
                last = Some(answer);
            }
            Ok(answer) => return answer,
            Err(error) => tracing::debug!(%server, %error, "a name server does not answer"),
        }
    }
    last.unwrap_or_else(|| message::refusal(query, message::SERVER_FAILURE))
}

/// A socket for each question: its random port and the kernel's check of the sender keep forged answers out.
fn ask_udp(query: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let local: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((local, 0))?;
    socket.connect(server)?;
    socket.send(query)?;
    let end = Instant::now() + PATIENCE;
    let mut buffer = vec![0; 4096];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let len = socket.recv(&mut buffer)?;
        if message::answers(query, &buffer[..len]) {
            buffer.truncate(len);
            return Ok(buffer);
        }
    }
}

fn ask_tcp(query: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write_framed(&mut stream, query)?;
    let answer = read_framed(&mut stream)?;
    if message::answers(query, &answer) { Ok(answer) } else { Err(ErrorKind::InvalidData.into()) }
}

/// A message over TCP has its length before it.
pub(super) fn write_framed(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let len = u16::try_from(message.len()).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
    stream.write_all(&[&len.to_be_bytes()[..], message].concat())
}

pub(super) fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message)?;
    Ok(message)
}
