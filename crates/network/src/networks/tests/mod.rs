//! Against the kernel: each test is a small internet of its own.
//!
//! ```text
//! container --- wharf0 (host namespace of the test) out0 --- outside (198.51.100.2, knows no route back)
//! ```

mod host;
mod ipv6;
mod parents;
mod policy;
mod publish;
mod reach;
mod remove;
mod watch;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use types::ContainerId;
use types::config::{EndpointIpam, EndpointRequest};

use super::*;
use crate::driver::remove_interface;
use crate::firewall::PortMapping;
use crate::namespace::Namespace;
use crate::netlink::message::Batch;
use crate::netlink::route::{self, Veth, Way};
use crate::{JoinRequest, Joined, PortRequest, Protocol};

const PATIENCE: Duration = Duration::from_secs(30);

/// Long enough for a packet that is not dropped, on a busy machine: in an emulated guest also for one that was lost once.
/// Shorter than the three seconds after which an address that nobody answers for is told to be unreachable.
fn silence() -> Duration {
    Duration::from_millis(if std::env::var_os("IN_VM").is_some() { 2000 } else { 300 })
}

/// Runs a test in a network namespace of its own, which plays the host.
fn on_a_host(test: impl FnOnce() + Send + 'static) {
    let thread = thread::spawn(|| {
        linux::netns::unshare_network().unwrap();
        let mut batch = Batch::new();
        route::put_up(&mut batch, 1);
        Socket::route().unwrap().request(&mut batch).unwrap();
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Does something in another namespace. Sockets made there stay there.
fn within<T: Send>(netns: impl AsFd + Sync, act: impl FnOnce() -> T + Send) -> T {
    let netns: BorrowedFd<'_> = netns.as_fd();
    thread::scope(|scope| {
        let inside = scope.spawn(move || {
            move_into_link_name_space(netns, Some(LinkNameSpaceType::Network)).unwrap();
            act()
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A neighbour of the host at 198.51.100.2; the host is 198.51.100.1.
fn outside() -> Namespace {
    neighbour("198.51.100")
}

/// A neighbour of the host in this /24, with the last byte 2; the host has 1.
fn neighbour(network: &str) -> Namespace {
    let address = |last| format!("{network}.{last}/24").parse().unwrap();
    let name = format!("to-{network}");
    let port = format!("p-{network}");
    let mut namespace = Namespace::new().unwrap();
    let mut socket = Socket::route().unwrap();
    let mut batch = Batch::new();
    route::put_bridge(&mut batch, &name, [2, 0, 0, 0, 0, 1], 1500);
    socket.request(&mut batch).unwrap();
    let bridge_index = socket.link(&name).unwrap().unwrap().index;
    let mut batch = Batch::new();
    route::put_up(&mut batch, bridge_index);
    route::put_address(&mut batch, bridge_index, address(1));
    let veth = Veth {
        host_name: &port,
        bridge_index,
        mtu: 1500,
        peer_name: "eth0",
        peer_mac: [2, 0, 0, 0, 0, 2],
        netns: namespace.fd.as_fd(),
        isolated: false,
    };
    route::put_veth(&mut batch, &veth);
    socket.request(&mut batch).unwrap();
    let index = namespace.route.link("eth0").unwrap().unwrap().index;
    let mut batch = Batch::new();
    route::put_up(&mut batch, index);
    route::put_address(&mut batch, index, address(2));
    namespace.route.request(&mut batch).unwrap();
    namespace.route.settle("eth0").unwrap();
    socket.settle(&port).unwrap();
    socket.settle(&name).unwrap();
    namespace
}

/// From now on the neighbour sends everything to this gateway.
fn send_all_to(namespace: &mut Namespace, gateway: [u8; 4]) {
    let index = namespace.route.link("eth0").unwrap().unwrap().index;
    let mut batch = Batch::new();
    route::put_default_route(&mut batch, index, Way::Gateway(gateway.into()));
    namespace.route.request(&mut batch).unwrap();
}

fn networks(config: NetworkConfig) -> Networks {
    let networks = Networks::open(config).unwrap();
    assert!(networks.restore(&[]).unwrap().is_empty());
    networks
}

/// The daemon after one that has ended. (A process that another test is about to start may hold a copy of its
/// descriptors for a moment.)
fn restarted(live: &[Endpoint]) -> Networks {
    let networks = Networks::open(NetworkConfig::default()).unwrap();
    eventually("the bridge is free", || networks.claim().is_ok());
    assert!(networks.restore(live).unwrap().is_empty());
    networks
}

fn join(networks: &Networks, ports: &[PortRequest]) -> Result<Joined> {
    join_as(networks, ports, None)
}

fn join_as(networks: &Networks, ports: &[PortRequest], want: Option<&EndpointRequest>) -> Result<Joined> {
    let container = ContainerId::from_bytes([7; 32]);
    networks.join(&JoinRequest {
        network: "bridge",
        interface: "eth0",
        container: &container,
        name: "web",
        want,
        ports,
        sysctls: &[],
    })
}

fn port(protocol: Protocol, ip: &str, host: u16, container: u16) -> PortRequest {
    let host_ports = if host == 0 { None } else { Some((host, host)) };
    PortRequest { container_port: container, protocol, host_ip: ip.parse().ok(), host_ports }
}

/// A server that tells each client its address, as the server sees it.
fn serve(netns: impl AsFd + Sync, port: u16) {
    let listener = within(netns, || TcpListener::bind(("0.0.0.0", port)).unwrap());
    thread::spawn(move || {
        while let Ok((mut stream, peer)) = listener.accept() {
            let _ = stream.write_all(peer.ip().to_string().as_bytes());
        }
    });
}

/// What the server says to a client in this thread's namespace.
fn ask(address: &str) -> String {
    let address: SocketAddr = address.parse().unwrap();
    let answer = TcpStream::connect_timeout(&address, silence()).and_then(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    });
    answer.unwrap_or_else(|error| match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "silence".to_owned(),
        kind => kind.to_string(),
    })
}

fn host_links() -> Vec<String> {
    Socket::route().unwrap().links().unwrap().into_iter().map(|link| link.name).collect()
}

/// Waits for what the kernel does a little later.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The ruleset in nft's own words; `None` where it is not installed.
fn nft_list() -> Option<String> {
    let output = Command::new("nft").args(["list", "ruleset"]).output().ok()?;
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The namespace of this thread, as a descriptor.
fn own_namespace() -> OwnedFd {
    std::fs::File::open("/proc/thread-self/ns/net").unwrap().into()
}
