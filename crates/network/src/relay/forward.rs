//! Asking other name servers. Blocks; on threads of its own.
//!
//! The next server is asked as soon as one fails or is silent for a moment, and the first good answer counts: a server that
//! is down costs that moment, not a time-out.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::message;

const PORT: u16 = 53;
/// For a server over TCP.
const PATIENCE: Duration = Duration::from_secs(2);
/// For all over UDP: clients give up after five seconds.
const PATIENCE_UDP: Duration = Duration::from_secs(4);
/// A server that has not answered by then is not the only one that is asked.
const MOMENT: Duration = Duration::from_millis(150);
/// Docker asks no more than these.
const SERVERS_MAX: usize = 3;

/// The first good answer, or a failure.
pub(super) fn ask(query: &[u8], servers: &[IpAddr], over_udp: bool) -> Vec<u8> {
    let servers: Vec<SocketAddr> =
        servers.iter().take(SERVERS_MAX).map(|server| SocketAddr::new(*server, PORT)).collect();
    ask_at(query, &servers, over_udp)
}

fn ask_at(query: &[u8], servers: &[SocketAddr], over_udp: bool) -> Vec<u8> {
    let answer = if over_udp { ask_udp(query, servers) } else { ask_tcp_in_turn(query, servers) };
    answer.unwrap_or_else(|| message::refusal(query, message::SERVER_FAILURE))
}

/// Whether another server may know better.
fn is_failure(answer: &[u8]) -> bool {
    matches!(message::code(answer), message::SERVER_FAILURE | message::REFUSED)
}

/// A socket for each question: its random port and the kernel's check of the sender keep forged answers out.
fn send_udp(query: &[u8], server: SocketAddr) -> io::Result<UdpSocket> {
    let local: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((local, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(server)?;
    socket.send(query)?;
    Ok(socket)
}

fn ask_udp(query: &[u8], servers: &[SocketAddr]) -> Option<Vec<u8>> {
    let end = Instant::now() + PATIENCE_UDP;
    let mut rest = servers.iter();
    let mut asked: Vec<UdpSocket> = Vec::new();
    let mut failure = None;
    // When the next server is asked, if there is one.
    let mut next = Instant::now();
    let mut buffer = vec![0; 4096];
    loop {
        let now = Instant::now();
        if now >= end {
            return failure;
        }
        if now >= next || asked.is_empty() {
            match rest.next() {
                Some(server) => {
                    next = now + MOMENT;
                    match send_udp(query, *server) {
                        Ok(socket) => asked.push(socket),
                        Err(error) => {
                            tracing::debug!(%server, %error, "a name server cannot be asked");
                            next = now;
                        }
                    }
                    continue;
                }
                None if asked.is_empty() => return failure,
                None => next = end,
            }
        }
        wait_for_any(&asked, next.min(end).saturating_duration_since(now));
        let mut at = 0;
        while let Some(socket) = asked.get(at) {
            match socket.recv(&mut buffer) {
                Ok(len) if !message::answers(query, &buffer[..len]) => {}
                Ok(len) if is_failure(&buffer[..len]) => {
                    failure = Some(buffer[..len].to_vec());
                    asked.remove(at);
                    next = now;
                }
                Ok(len) => return Some(buffer[..len].to_vec()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => at += 1,
                Err(error) => {
                    tracing::debug!(%error, "a name server does not answer");
                    asked.remove(at);
                    next = now;
                }
            }
        }
    }
}

/// Until one can be read or the time is over.
fn wait_for_any(sockets: &[UdpSocket], time: Duration) {
    let mut fds: Vec<PollFd<'_>> = sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
    // Rounded up, so that it does not spin in the last millisecond.
    let time = time + Duration::from_millis(1);
    let limit = Timespec::try_from(time).ok();
    // Whatever it says, the sockets are read and the clock is looked at next.
    let _ = poll(&mut fds, limit.as_ref());
}

/// Who takes no connection within a moment is asked again only when nobody else has answered.
fn ask_tcp_in_turn(query: &[u8], servers: &[SocketAddr]) -> Option<Vec<u8>> {
    let mut failure = None;
    let mut silent = Vec::new();
    for server in servers {
        let patience = if servers.len() > 1 { MOMENT } else { PATIENCE };
        match ask_tcp(query, *server, patience) {
            Ok(answer) if is_failure(&answer) => failure = Some(answer),
            Ok(answer) => return Some(answer),
            Err(error) if error.kind() == ErrorKind::TimedOut && patience < PATIENCE => silent.push(*server),
            Err(error) => tracing::debug!(%server, %error, "a name server does not answer"),
        }
    }
    for server in silent {
        match ask_tcp(query, server, PATIENCE) {
            Ok(answer) if is_failure(&answer) => failure = Some(answer),
            Ok(answer) => return Some(answer),
            Err(error) => tracing::debug!(%server, %error, "a name server does not answer"),
        }
    }
    failure
}

/// `patience` is for the connection.
fn ask_tcp(query: &[u8], server: SocketAddr, patience: Duration) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, patience)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn query() -> Vec<u8> {
        vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1]
    }

    /// A server on a loopback address that gives one answer with this code, or none.
    fn server(code: Option<u8>) -> (SocketAddr, std::thread::JoinHandle<()>) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let address = socket.local_addr().unwrap();
        let answering = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            let Ok((len, client)) = socket.recv_from(&mut buffer) else { return };
            if let Some(code) = code {
                let mut forged = message::refusal(&buffer[..len], message::NO_ERROR);
                forged[0] ^= 1;
                socket.send_to(&forged, client).unwrap();
                socket.send_to(&message::refusal(&buffer[..len], code), client).unwrap();
            } else {
                // Silent, but there, until the test has its answer from elsewhere.
                std::thread::sleep(Duration::from_millis(300));
            }
        });
        (address, answering)
    }

    #[test]
    fn the_first_good_answer_counts_whoever_fails_or_is_silent_before() {
        for (codes, want) in [
            (vec![Some(message::NO_ERROR)], message::NO_ERROR),
            (vec![Some(message::SERVER_FAILURE), Some(message::NAME_ERROR)], message::NAME_ERROR),
            (vec![None, Some(message::NO_ERROR)], message::NO_ERROR),
            (vec![Some(message::REFUSED), None, Some(message::NO_ERROR)], message::NO_ERROR),
            (vec![Some(message::REFUSED)], message::REFUSED),
        ] {
            let (addresses, running): (Vec<_>, Vec<_>) = codes.iter().map(|code| server(*code)).unzip();
            let answer = ask_at(&query(), &addresses, true);
            assert_eq!((message::code(&answer), &answer[..2]), (want, &[7, 7][..]), "{codes:?}");
            running.into_iter().for_each(|thread| thread.join().unwrap());
        }
        // Nobody is there: the kernel says so at once.
        let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        assert_eq!(message::code(&ask_at(&query(), &[closed], true)), message::SERVER_FAILURE);
        assert_eq!(message::code(&ask_at(&query(), &[], true)), message::SERVER_FAILURE);
    }
}
