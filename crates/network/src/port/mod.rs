//! Published ports: which host ports are taken by whom, and sockets that keep other programs off them.

pub(crate) mod parse;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use crate::{Error, PortRequest, Protocol, PublishedPort, Result};

/// Where Docker falls back to if the kernel does not tell its own range.
const FALLBACK_RANGE: (u16, u16) = (49153, 65535);

/// A host socket on a published port. Nothing ever reaches it, because the firewall translates before sockets are
/// looked up; it makes the port taken for everybody else. `None` where the kernel lacks the protocol.
pub(crate) type Reservation = Option<OwnedFd>;

/// What is taken on the host: by our endpoints only; what other programs have is found out by binding.
#[derive(Debug)]
pub(crate) struct Ports {
    taken: BTreeMap<(Protocol, u16), Vec<IpAddr>>,
    /// The last port given from the ephemeral range, so that the next is another one.
    last: BTreeMap<(Protocol, IpAddr), u16>,
    ephemeral: (u16, u16),
}

impl Ports {
    /// All free. `ephemeral` is the first and the last port for requests without one.
    pub(crate) fn new(ephemeral: (u16, u16)) -> Self {
        Self { taken: BTreeMap::new(), last: BTreeMap::new(), ephemeral }
    }

    /// Takes a port for a request. `bind` makes the reservation.
    ///
    /// # Errors
    /// [`Error::PortAllocated`] for a single port that an endpoint has, [`Error::PortBind`] for one that another
    /// program has, [`Error::AllPortsAllocated`] if no port of several is free.
    pub(crate) fn allocate(
        &mut self,
        request: &PortRequest,
        default_ip: IpAddr,
        mut bind: impl FnMut(Protocol, IpAddr, u16) -> io::Result<Reservation>,
    ) -> Result<(PublishedPort, Reservation)> {
        let (protocol, ip) = (request.protocol, request.host_ip.unwrap_or(default_ip));
        let published = |host_port| PublishedPort {
            container_port: request.container_port,
            protocol,
            host_ip: ip,
            host_port,
        };
        let bind_error = |port, source| Error::PortBind { ip, port, to: None, protocol, source };
        if let Some((port, last)) = request.host_ports
            && port == last
        {
            if !self.is_free(protocol, ip, port) {
                return Err(Error::PortAllocated { ip, port });
            }
            let reservation = bind(protocol, ip, port).map_err(|error| bind_error(port, error))?;
            self.taken.entry((protocol, port)).or_default().push(ip);
            return Ok((published(port), reservation));
        }

        let (first, last) = request.host_ports.unwrap_or(self.ephemeral);
        let start = match request.host_ports {
            Some(_) => first,
            None => match self.last.get(&(protocol, ip)) {
                Some(&given) if (first..last).contains(&given) => given + 1,
                _ => first,
            },
        };
        for port in (start..=last).chain(first..start) {
            if !self.is_free(protocol, ip, port) {
                continue;
            }
            match bind(protocol, ip, port) {
                Ok(reservation) => {
                    self.taken.entry((protocol, port)).or_default().push(ip);
                    if request.host_ports.is_none() {
                        self.last.insert((protocol, ip), port);
                    }
                    return Ok((published(port), reservation));
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(bind_error(port, error)),
            }
        }
        Err(Error::AllPortsAllocated)
    }

    /// Takes a port that a live endpoint has had since before a restart. False if another endpoint has it.
    pub(crate) fn take(&mut self, port: &PublishedPort) -> bool {
        let free = self.is_free(port.protocol, port.host_ip, port.host_port);
        if free {
            self.taken.entry((port.protocol, port.host_port)).or_default().push(port.host_ip);
        }
        free
    }

    /// Gives it back.
    pub(crate) fn release(&mut self, port: &PublishedPort) {
        let key = (port.protocol, port.host_port);
        if let Some(addresses) = self.taken.get_mut(&key) {
            addresses.retain(|ip| *ip != port.host_ip);
            if addresses.is_empty() {
                self.taken.remove(&key);
            }
        }
    }

    /// An unspecified address stands for all of its family, so it clashes with each of them.
    fn is_free(&self, protocol: Protocol, ip: IpAddr, port: u16) -> bool {
        let taken = self.taken.get(&(protocol, port));
        !taken.into_iter().flatten().any(|other| {
            *other == ip
                || (other.is_ipv4() == ip.is_ipv4() && (other.is_unspecified() || ip.is_unspecified()))
        })
    }
}

/// The kernel's range for ports that nobody asked for by number.
pub(crate) fn ephemeral_range() -> (u16, u16) {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| {
            let mut numbers = text.split_whitespace().map(str::parse::<u16>);
            let range = (numbers.next()?.ok()?, numbers.next()?.ok()?);
            (range.0 > 0 && range.0 <= range.1).then_some(range)
        })
        .unwrap_or(FALLBACK_RANGE)
}

/// Whether anything can listen on an IPv6 address, in the calling thread's namespace.
pub(crate) fn host_has_ipv6() -> bool {
    fs::read("/proc/thread-self/net/if_inet6").is_ok_and(|addresses| !addresses.is_empty())
}

/// Binds a host socket, in the calling thread's namespace. It does not listen: should our rules be gone, clients are
/// refused instead of waiting.
pub(crate) fn reserve(protocol: Protocol, ip: IpAddr, port: u16) -> io::Result<Reservation> {
    let fd = match socket(protocol, ip) {
        Ok(fd) => fd,
        // Nobody else can use the protocol either, but containers' packets still pass.
        Err(Errno::PROTONOSUPPORT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let address = SocketAddr::new(ip, port);
    match rustix::net::bind(&fd, &address) {
        Ok(()) => Ok(Some(fd)),
        // What is in the way may be a connection of an earlier server that is still closing. Only what listens counts.
        Err(Errno::ADDRINUSE) if protocol == Protocol::Tcp => {
            let fd = socket(protocol, ip)?;
            sockopt::set_socket_reuseaddr(&fd, true)?;
            rustix::net::bind(&fd, &address)?;
            rustix::net::listen(&fd, 1)?;
            Ok(Some(fd))
        }
        Err(error) => Err(error.into()),
    }
}

fn socket(protocol: Protocol, ip: IpAddr) -> Result<OwnedFd, Errno> {
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let family = if ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, Some(number))?;
    if ip.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, true)?;
    }
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(ip: &str, ports: Option<(u16, u16)>) -> PortRequest {
        PortRequest {
            container_port: 80,
            protocol: Protocol::Tcp,
            host_ip: ip.parse().ok(),
            host_ports: ports,
        }
    }

    /// Port 8002 belongs to another program.
    fn bind(_: Protocol, _: IpAddr, port: u16) -> io::Result<Reservation> {
        if port == 8002 { Err(io::Error::from_raw_os_error(98)) } else { Ok(None) }
    }

    fn ask(ports: &mut Ports, request: &PortRequest) -> String {
        let default_ip = "0.0.0.0".parse().unwrap();
        match ports.allocate(request, default_ip, bind) {
            Ok((port, _)) => format!("{}:{}", port.host_ip, port.host_port),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_port_is_given_once_in_dockers_words() {
        let mut ports = Ports::new((32768, 32770));
        for (ip, range, expect) in [
            ("127.0.0.1", (8001, 8001), "127.0.0.1:8001"),
            ("127.0.0.1", (8001, 8001), "Bind for 127.0.0.1:8001 failed: port is already allocated"),
            ("127.0.0.2", (8001, 8001), "127.0.0.2:8001"),
            ("", (8001, 8001), "Bind for 0.0.0.0:8001 failed: port is already allocated"),
            ("", (9001, 9001), "0.0.0.0:9001"),
            ("127.0.0.1", (9001, 9001), "Bind for 127.0.0.1:9001 failed: port is already allocated"),
            ("::1", (9001, 9001), "::1:9001"),
            ("", (8002, 8002), "failed to bind host port for 0.0.0.0:8002/tcp: address already in use"),
        ] {
            assert_eq!(ask(&mut ports, &request(ip, Some(range))), expect);
        }
    }

    #[test]
    fn a_range_gives_its_first_free_port() {
        let mut ports = Ports::new((32768, 32770));
        let range = request("", Some((8001, 8003)));
        let given: Vec<_> = (0..3).map(|_| ask(&mut ports, &range)).collect();
        assert_eq!(given, ["0.0.0.0:8001", "0.0.0.0:8003", "all ports are allocated"]);
    }

    #[test]
    fn random_ports_are_given_in_sequence_and_used_again_last() {
        let mut ports = Ports::new((32768, 32770));
        let any = request("", None);
        assert_eq!(ask(&mut ports, &any), "0.0.0.0:32768");
        let first = PublishedPort {
            container_port: 80,
            protocol: Protocol::Tcp,
            host_ip: "0.0.0.0".parse().unwrap(),
            host_port: 32768,
        };
        assert!(!ports.take(&first), "an endpoint has it");
        ports.release(&first);
        let given: Vec<_> = (0..4).map(|_| ask(&mut ports, &any)).collect();
        assert_eq!(given, ["0.0.0.0:32769", "0.0.0.0:32770", "0.0.0.0:32768", "all ports are allocated"]);
        ports.release(&first);
        assert!(ports.take(&first));
    }
}
