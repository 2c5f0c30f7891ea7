//! The sockets of the name server in a container's namespace, and the rules there that lead port 53 to them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use crate::firewall::redirect_names;
use crate::namespace::within;
use crate::netlink::Socket;
use crate::{Error, Result};

/// Where containers look for their name server, as Docker has it.
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// Makes them: UDP, then TCP. Any port will do, so a container may have a name server of its own at port 53; only
/// without nf_tables they take that.
pub(super) fn open(netns: &OwnedFd) -> Result<(OwnedFd, OwnedFd)> {
    let (udp, tcp, firewall) = within(netns, || {
        let firewall = Socket::netfilter()?;
        let udp = UdpSocket::bind((ADDRESS, 0))?;
        let tcp = TcpListener::bind((ADDRESS, 0))?;
        Ok((udp, tcp, firewall))
    })?;
    let port = |address: io::Result<SocketAddr>| {
        address.map(|a| a.port()).map_err(|error| Error::kernel("look at a name server's socket", error))
    };
    let (udp_port, tcp_port) = (port(udp.local_addr())?, port(tcp.local_addr())?);
    match redirect_names(firewall, ADDRESS, udp_port, tcp_port) {
        Ok(()) => Ok((udp.into(), tcp.into())),
        Err(error) => {
            tracing::debug!(%error, "no rules in a container's namespace: its name server takes port 53");
            within(netns, || {
                Ok((UdpSocket::bind((ADDRESS, 53))?.into(), TcpListener::bind((ADDRESS, 53))?.into()))
            })
        }
    }
}
