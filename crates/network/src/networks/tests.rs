//! Against the kernel: each test is a small internet of its own.
//!
//! ```text
//! container --- wharf0 (host namespace of the test) out0 --- outside (198.51.100.2, knows no route back)
//! ```

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use types::ContainerId;
use types::config::{EndpointIpam, EndpointRequest};

use super::*;
use crate::namespace::Namespace;
use crate::netlink::message::Batch;
use crate::netlink::route::{self, Veth};
use crate::{PortRequest, Protocol};

const PATIENCE: Duration = Duration::from_secs(5);
/// Long enough for a packet that is not dropped, on a busy machine.
const SILENCE: Duration = Duration::from_millis(300);

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
    let mut namespace = Namespace::new().unwrap();
    let mut socket = Socket::route().unwrap();
    let mut batch = Batch::new();
    route::put_bridge(&mut batch, "out0", [2, 0, 0, 0, 0, 1], 1500);
    socket.request(&mut batch).unwrap();
    let bridge_index = socket.link("out0").unwrap().unwrap().index;
    let mut batch = Batch::new();
    route::put_up(&mut batch, bridge_index);
    route::put_address(&mut batch, bridge_index, "198.51.100.1/24".parse().unwrap());
    route::put_veth(
        &mut batch,
        &Veth {
            host_name: "out1",
            bridge_index,
            mtu: 1500,
            peer_name: "eth0",
            peer_mac: [2, 0, 0, 0, 0, 2],
            netns: namespace.fd.as_fd(),
            isolated: false,
        },
    );
    socket.request(&mut batch).unwrap();
    let index = namespace.route.link("eth0").unwrap().unwrap().index;
    let mut batch = Batch::new();
    route::put_up(&mut batch, index);
    route::put_address(&mut batch, index, "198.51.100.2/24".parse().unwrap());
    namespace.route.request(&mut batch).unwrap();
    namespace
}

fn networks(config: NetworkConfig) -> Networks {
    let networks = Networks::open(config).unwrap();
    assert!(networks.restore(&[]).unwrap().is_empty());
    networks
}

fn join(networks: &Networks, ports: &[PortRequest]) -> Result<Joined> {
    join_as(networks, ports, None)
}

fn join_as(networks: &Networks, ports: &[PortRequest], want: Option<&EndpointRequest>) -> Result<Joined> {
    let container = ContainerId::from_bytes([7; 32]);
    networks.join(&JoinRequest { container: &container, name: "web", want, ports })
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
    let answer = TcpStream::connect_timeout(&address, SILENCE).and_then(|mut stream| {
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

#[test]
fn privileged_containers_reach_each_other_and_the_outside_through_the_hosts_address() {
    on_a_host(|| {
        let outside = outside();
        let networks = networks(NetworkConfig::default());
        assert_eq!(networks.bridge().subnet, "172.17.0.0/16".parse().unwrap());
        assert!(!host_links().contains(&"wharf0".to_owned()), "made on demand");

        let one = join(&networks, &[]).unwrap();
        let two = join(&networks, &[]).unwrap();
        assert_eq!(one.endpoint.address, Ipv4Addr::new(172, 17, 0, 2));
        assert_eq!(two.endpoint.address, Ipv4Addr::new(172, 17, 0, 3));
        assert_eq!(two.endpoint.mac, "02:42:ac:11:00:03");
        serve(&one.netns, 80);
        serve(&outside.fd, 80);
        assert_eq!(within(&two.netns, || ask("172.17.0.2:80")), "172.17.0.3");
        assert_eq!(within(&two.netns, || ask("198.51.100.2:80")), "198.51.100.1");
        assert_eq!(ask("172.17.0.2:80"), "172.17.0.1");
        assert_eq!(within(&one.netns, || ask("172.17.0.1:80")), "connection refused");
    });
}

#[test]
fn privileged_a_published_port_is_reached_from_everywhere_it_should_be() {
    on_a_host(|| {
        let outside = outside();
        let networks = networks(NetworkConfig::default());
        let other = join(&networks, &[]).unwrap();
        let ports = [
            port(Protocol::Tcp, "", 8080, 80),
            port(Protocol::Tcp, "127.0.0.1", 8081, 80),
            port(Protocol::Tcp, "198.51.100.1", 8082, 80),
        ];
        let web = join(&networks, &ports).unwrap();
        serve(&web.netns, 80);
        for (from, address, expect) in [
            // Outside clients keep their address.
            (Some(&outside.fd), "198.51.100.1:8080", "198.51.100.2"),
            (Some(&outside.fd), "198.51.100.1:8081", "connection refused"),
            (Some(&outside.fd), "198.51.100.1:8082", "198.51.100.2"),
            (None, "127.0.0.1:8080", "172.17.0.1"),
            (None, "127.0.0.1:8081", "172.17.0.1"),
            (None, "127.5.5.5:8080", "172.17.0.1"),
            (None, "198.51.100.1:8080", "198.51.100.1"),
            (None, "172.17.0.1:8080", "172.17.0.1"),
            (None, "127.0.0.1:8082", "connection refused"),
            (Some(&other.netns), "172.17.0.1:8080", "172.17.0.1"),
            (Some(&other.netns), "198.51.100.1:8082", "172.17.0.1"),
            // A container reaches itself.
            (Some(&web.netns), "198.51.100.1:8080", "172.17.0.1"),
            (Some(&web.netns), "172.17.0.1:8081", "connection refused"),
        ] {
            let answer = match from {
                Some(netns) => within(netns, || ask(address)),
                None => ask(address),
            };
            assert_eq!(answer, expect, "{address} from {from:?}");
        }
        networks.leave(&web.endpoint).unwrap();
        assert_eq!(ask("127.0.0.1:8080"), "connection refused");
        assert_eq!(within(&outside.fd, || ask("198.51.100.1:8080")), "connection refused");
    });
}

#[test]
fn privileged_udp_is_published_too() {
    on_a_host(|| {
        let outside = outside();
        let networks = networks(NetworkConfig::default());
        let dns = join(&networks, &[port(Protocol::Udp, "", 5353, 53)]).unwrap();
        let server = within(&dns.netns, || UdpSocket::bind("0.0.0.0:53").unwrap());
        thread::spawn(move || {
            let mut buffer = [0; 16];
            while let Ok((len, peer)) = server.recv_from(&mut buffer) {
                let _ = server.send_to(&buffer[..len], peer);
            }
        });
        let echo = |address: &str| {
            let client = UdpSocket::bind("0.0.0.0:0").unwrap();
            client.connect(address).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.send(b"hello").unwrap();
            let mut buffer = [0; 16];
            client.recv(&mut buffer).map(|len| buffer[..len].to_vec()).unwrap()
        };
        assert_eq!(echo("127.0.0.1:5353"), b"hello");
        assert_eq!(within(&outside.fd, || echo("198.51.100.1:5353")), b"hello");
    });
}

#[test]
fn privileged_a_udp_client_that_goes_on_sending_reaches_the_next_container() {
    on_a_host(|| {
        let outside = outside();
        let networks = networks(NetworkConfig::default());
        let client = within(&outside.fd, || UdpSocket::bind("0.0.0.0:5000").unwrap());
        client.connect("198.51.100.1:5353").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut before = Ipv4Addr::UNSPECIFIED;
        for more in [vec![], vec![port(Protocol::Udp, "", 5354, 54)]] {
            // Nobody is there yet, or any more: this leaves an entry that leads nowhere. The refusal is read away.
            let _ = client.send(b"lost");
            assert_eq!(client.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
            let ports = [vec![port(Protocol::Udp, "", 5353, 53)], more].concat();
            let dns = join(&networks, &ports).unwrap();
            assert_ne!(dns.endpoint.address, before);
            before = dns.endpoint.address;
            let server = within(&dns.netns, || UdpSocket::bind("0.0.0.0:53").unwrap());
            server.set_read_timeout(Some(PATIENCE)).unwrap();
            client.send(b"hello").unwrap();
            let mut buffer = [0; 16];
            let (len, peer) = server.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], b"hello");
            server.send_to(b"again", peer).unwrap();
            client.recv(&mut buffer).unwrap();
            networks.leave(&dns.endpoint).unwrap();
        }
    });
}

#[test]
fn privileged_a_host_that_was_no_router_does_not_become_one() {
    on_a_host(|| {
        // Two neighbours, each of whom sends everything to us.
        let mut one = outside();
        let networks = networks(NetworkConfig::default());
        let mut index = one.route.link("eth0").unwrap().unwrap().index;
        let other = Namespace::new().unwrap();
        {
            let mut socket = Socket::route().unwrap();
            let mut batch = Batch::new();
            route::put_bridge(&mut batch, "out2", [2, 0, 0, 0, 0, 3], 1500);
            socket.request(&mut batch).unwrap();
            let bridge_index = socket.link("out2").unwrap().unwrap().index;
            let mut batch = Batch::new();
            route::put_up(&mut batch, bridge_index);
            route::put_address(&mut batch, bridge_index, "203.0.113.1/24".parse().unwrap());
            route::put_veth(
                &mut batch,
                &Veth {
                    host_name: "out3",
                    bridge_index,
                    mtu: 1500,
                    peer_name: "eth0",
                    peer_mac: [2, 0, 0, 0, 0, 4],
                    netns: other.fd.as_fd(),
                    isolated: false,
                },
            );
            socket.request(&mut batch).unwrap();
        }
        let mut route_to_us = |namespace: &mut Namespace, gateway: &str, own: Option<&str>| {
            index = namespace.route.link("eth0").unwrap().unwrap().index;
            let mut batch = Batch::new();
            if let Some(own) = own {
                route::put_up(&mut batch, index);
                route::put_address(&mut batch, index, own.parse().unwrap());
            }
            route::put_default_route(&mut batch, index, gateway.parse().unwrap());
            namespace.route.request(&mut batch).unwrap();
        };
        let mut other = other;
        route_to_us(&mut one, "198.51.100.1", None);
        route_to_us(&mut other, "203.0.113.1", Some("203.0.113.2/24"));
        serve(&other.fd, 80);
        let web = join(&networks, &[]).unwrap();
        assert_eq!(within(&web.netns, || ask("203.0.113.2:80")), "203.0.113.1");
        assert_eq!(within(&one.fd, || ask("203.0.113.2:80")), "silence");
        // The next daemon finds forwarding on, but knows.
        drop(networks);
        let next = Networks::open(NetworkConfig::default()).unwrap();
        next.restore(std::slice::from_ref(&web.endpoint)).unwrap();
        assert_eq!(within(&one.fd, || ask("203.0.113.2:80")), "silence");
        // Once the administrator's host is a router, it stays one.
        next.teardown().unwrap();
        next.restore(&[web.endpoint]).unwrap_or_default();
        assert_eq!(within(&one.fd, || ask("203.0.113.2:80")), "198.51.100.2");
    });
}

#[test]
fn privileged_many_may_join_at_once() {
    on_a_host(|| {
        let networks = networks(NetworkConfig::default());
        let joined: Vec<_> = thread::scope(|scope| {
            let joins: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| join(&networks, &[port(Protocol::Tcp, "", 0, 80)]).unwrap()))
                .collect();
            joins.into_iter().map(|join| join.join().unwrap()).collect()
        });
        let mut addresses: Vec<_> = joined.iter().map(|joined| joined.endpoint.address).collect();
        let mut ports: Vec<_> = joined.iter().map(|joined| joined.endpoint.ports[0].host_port).collect();
        addresses.sort_unstable();
        addresses.dedup();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!((addresses.len(), ports.len()), (16, 16));
        let rules = nft_list().unwrap_or_default();
        thread::scope(|scope| {
            for joined in &joined {
                scope.spawn(|| networks.leave(&joined.endpoint).unwrap());
            }
        });
        assert!(rules.is_empty() || rules.contains(&format!("tcp . {}", ports[15])), "{rules}");
        assert!(!nft_list().unwrap_or_default().contains("tcp ."));
    });
}

#[test]
fn privileged_twenty_thousand_ports_fit_into_one_transaction() {
    on_a_host(|| {
        let networks = networks(NetworkConfig::default());
        let ports: Vec<_> = (1..=20_000)
            .map(|port| PortMapping {
                protocol: Protocol::Tcp,
                host: Ipv4Addr::UNSPECIFIED,
                host_port: port,
                to: Ipv4Addr::new(172, 17, 0, 2),
                to_port: 80,
            })
            .collect();
        networks.firewall.install(&[], &ports, false).unwrap();
        networks.firewall.remove(&ports[..10_000]).unwrap();
        networks.firewall.add(&ports[..10_000]).unwrap();
    });
}

#[test]
fn privileged_what_is_not_published_is_not_reached_from_outside() {
    on_a_host(|| {
        let mut outside = outside();
        let networks = networks(NetworkConfig::default());
        let web = join(&networks, &[port(Protocol::Tcp, "127.0.0.1", 8081, 80)]).unwrap();
        serve(&web.netns, 80);
        // A neighbour that sends everything to us: to the container's own address, and to our loopback.
        let index = outside.route.link("eth0").unwrap().unwrap().index;
        let mut batch = Batch::new();
        route::put_default_route(&mut batch, index, Ipv4Addr::new(198, 51, 100, 1));
        outside.route.request(&mut batch).unwrap();
        assert_eq!(within(&outside.fd, || ask("172.17.0.2:80")), "silence");
        // A container must not reach what listens on the host's loopback only.
        serve(own_namespace(), 9999);
        let loopback = within(&web.netns, || {
            std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").unwrap();
            let mut socket = Socket::route().unwrap();
            let lo: Vec<_> = socket.addresses().unwrap();
            let mut batch = Batch::new();
            for (index, address) in lo.into_iter().filter(|(index, _)| *index == 1) {
                route::put_delete_address(&mut batch, index, address);
            }
            socket.request(&mut batch).unwrap();
            ask("127.0.0.1:9999")
        });
        assert_eq!(loopback, "silence");
    });
}

/// The namespace of this thread, as a descriptor.
fn own_namespace() -> OwnedFd {
    std::fs::File::open("/proc/thread-self/ns/net").unwrap().into()
}

#[test]
fn privileged_without_icc_containers_do_not_reach_each_other_but_published_ports_do() {
    on_a_host(|| {
        let networks = networks(NetworkConfig { icc: false, ..NetworkConfig::default() });
        let web = join(&networks, &[port(Protocol::Tcp, "", 8080, 80)]).unwrap();
        let other = join(&networks, &[]).unwrap();
        serve(&web.netns, 80);
        assert_eq!(within(&other.netns, || ask("172.17.0.2:80")), "silence");
        assert_eq!(ask("127.0.0.1:8080"), "172.17.0.1");
    });
}

#[test]
fn privileged_nothing_is_left_when_a_containers_namespace_is_dropped() {
    on_a_host(|| {
        let networks = networks(NetworkConfig::default());
        for _ in 0..6 {
            let joined = join(&networks, &[port(Protocol::Tcp, "", 0, 80)]).unwrap();
            assert!(host_links().contains(&joined.endpoint.host_interface));
            networks.leave(&joined.endpoint).unwrap();
            networks.leave(&joined.endpoint).unwrap();
            drop(joined.netns);
        }
        eventually("the interfaces go with their namespaces", || {
            !host_links().iter().any(|name| name.starts_with("veth"))
        });
        if let Some(rules) = nft_list() {
            assert!(!rules.contains("172.17.0.2"), "{rules}");
        }
        assert!(networks.endpoints().is_empty());
        networks.teardown().unwrap();
        assert_eq!(host_links(), ["lo"]);
        assert_eq!(nft_list().unwrap_or_default(), "");
    });
}

#[test]
fn privileged_a_failed_join_leaves_nothing_and_says_dockers_words() {
    on_a_host(|| {
        let networks = networks(NetworkConfig::default());
        let first = join(&networks, &[port(Protocol::Tcp, "127.0.0.1", 18081, 80)]).unwrap();
        let program = TcpListener::bind("0.0.0.0:18082").unwrap();
        for (wanted, reason) in [
            (18081, "Bind for 127.0.0.1:18081 failed: port is already allocated"),
            (18082, "failed to bind host port 127.0.0.1:18082/tcp: address already in use"),
        ] {
            let ports = [port(Protocol::Tcp, "", 7000, 80), port(Protocol::Tcp, "127.0.0.1", wanted, 80)];
            let error = join(&networks, &ports).unwrap_err().to_string();
            let (start, end) = error.split_once(" (").unwrap();
            assert_eq!(start, "driver failed programming external connectivity on endpoint web");
            assert_eq!(end.split_once("): ").unwrap().1, reason);
        }
        drop(program);
        assert_eq!(networks.endpoints(), [first.endpoint]);
        // The addresses and ports of the failures are free again.
        let next = join(&networks, &[port(Protocol::Tcp, "", 7000, 80), port(Protocol::Tcp, "", 18082, 80)])
            .unwrap();
        assert_eq!(next.endpoint.ports.len(), 2);
        assert_eq!(host_links().iter().filter(|name| name.starts_with("veth")).count(), 2);
    });
}

#[test]
fn privileged_fixed_addresses_are_kept_and_checked() {
    on_a_host(|| {
        let bip = "10.77.0.1/29".parse().ok();
        let networks = networks(NetworkConfig { bip, mtu: 1400, ..NetworkConfig::default() });
        let want = |address: &str| EndpointRequest {
            ipam_config: Some(EndpointIpam { ipv4_address: address.to_owned(), ..EndpointIpam::default() }),
            mac_address: "02:00:00:00:00:09".to_owned(),
            ..EndpointRequest::default()
        };
        let fixed = join_as(&networks, &[], Some(&want("10.77.0.5"))).unwrap().endpoint;
        assert_eq!((fixed.address, fixed.mac.as_str()), (Ipv4Addr::new(10, 77, 0, 5), "02:00:00:00:00:09"));
        for (address, expect) in [
            ("10.77.0.5", "Address already in use"),
            ("10.77.0.1", "Address already in use"),
            (
                "10.78.0.1",
                "invalid config for network bridge: invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 10.78.0.1",
            ),
            ("nowhere", "invalid IP address: nowhere"),
        ] {
            assert_eq!(join_as(&networks, &[], Some(&want(address))).unwrap_err().to_string(), expect);
        }
        for _ in 0..4 {
            join(&networks, &[]).unwrap();
        }
        let error = join(&networks, &[]).unwrap_err().to_string();
        assert_eq!(error, "no available IPv4 addresses on this network's address pools: bridge (wharf0)");
    });
}

#[test]
fn privileged_a_restarted_daemon_takes_over_what_lives_and_removes_the_rest() {
    on_a_host(|| {
        let outside = outside();
        let before = networks(NetworkConfig { bip: "10.77.0.1/24".parse().ok(), ..NetworkConfig::default() });
        let lost = join(&before, &[port(Protocol::Tcp, "", 8080, 80)]).unwrap();
        let web = join(&before, &[port(Protocol::Tcp, "", 8081, 80)]).unwrap();
        serve(&web.netns, 80);
        let text = serde_json::to_string(&web.endpoint).unwrap();
        drop(before);

        // The bridge's own address tells the subnet.
        let after = Networks::open(NetworkConfig::default()).unwrap();
        assert_eq!(after.bridge().subnet, "10.77.0.0/24".parse().unwrap());
        let live: Endpoint = serde_json::from_str(&text).unwrap();
        assert!(after.restore(std::slice::from_ref(&live)).unwrap().is_empty());
        assert!(!host_links().contains(&lost.endpoint.host_interface));
        assert!(host_links().contains(&live.host_interface));
        assert_eq!(within(&outside.fd, || ask("198.51.100.1:8081")), "198.51.100.2");
        assert_eq!(within(&outside.fd, || ask("198.51.100.1:8080")), "connection refused");
        let error = join(&after, &[port(Protocol::Tcp, "", 8081, 80)]).unwrap_err().to_string();
        assert!(error.ends_with("Bind for 0.0.0.0:8081 failed: port is already allocated"), "{error}");
        join(&after, &[port(Protocol::Tcp, "", 8080, 80)]).unwrap();
        after.leave(&live).unwrap();
    });
}

#[test]
fn privileged_a_removed_bridge_and_a_flushed_table_are_made_again() {
    on_a_host(|| {
        let networks = networks(NetworkConfig::default());
        let web = join(&networks, &[port(Protocol::Tcp, "", 8080, 80)]).unwrap();
        serve(&web.netns, 80);
        networks.firewall.teardown().unwrap();
        assert_eq!(ask("127.0.0.1:8080"), "connection refused");
        let other = join(&networks, &[port(Protocol::Tcp, "", 8081, 80)]).unwrap();
        assert_eq!(ask("127.0.0.1:8080"), "172.17.0.1");
        bridge::teardown("wharf0", &mut Socket::route().unwrap()).unwrap();
        join(&networks, &[]).unwrap();
        assert_eq!(ask("127.0.0.1:8080"), "172.17.0.1");
        networks.firewall.teardown().unwrap();
        networks.leave(&other.endpoint).unwrap();
        assert_eq!(ask("127.0.0.1:8080"), "172.17.0.1");
    });
}

#[test]
fn privileged_the_host_is_looked_at_before_a_subnet_is_chosen() {
    on_a_host(|| {
        let mut socket = Socket::route().unwrap();
        let mut batch = Batch::new();
        route::put_bridge(&mut batch, "br1", [2, 0, 0, 0, 0, 1], 1500);
        socket.request(&mut batch).unwrap();
        let index = socket.link("br1").unwrap().unwrap().index;
        let mut batch = Batch::new();
        route::put_up(&mut batch, index);
        route::put_address(&mut batch, index, "172.17.8.1/24".parse().unwrap());
        socket.request(&mut batch).unwrap();

        let open = |config| Networks::open(config).map(|networks| networks.bridge().subnet.to_string());
        assert_eq!(open(NetworkConfig::default()).unwrap(), "172.18.0.0/16");
        let kept = NetworkConfig { subnet: "172.25.0.0/16".parse().ok(), ..NetworkConfig::default() };
        assert_eq!(open(kept).unwrap(), "172.25.0.0/16");
        let gone = NetworkConfig { subnet: "172.17.0.0/16".parse().ok(), ..NetworkConfig::default() };
        assert_eq!(open(gone).unwrap(), "172.18.0.0/16");
        for (config, expect) in [
            (
                NetworkConfig { bip: "172.17.0.1/16".parse().ok(), ..NetworkConfig::default() },
                "cannot use 172.17.0.0/16 for bridge wharf0: it overlaps 172.17.8.0/24 on this host",
            ),
            (
                NetworkConfig { bridge: "lo".to_owned(), ..NetworkConfig::default() },
                "invalid default bridge: interface lo exists and is no bridge",
            ),
            (
                NetworkConfig { bridge: "a name too long".to_owned(), ..NetworkConfig::default() },
                "invalid default bridge: \"a name too long\" is no interface name",
            ),
        ] {
            assert_eq!(open(config).unwrap_err().to_string(), expect);
        }
    });
}

#[test]
fn privileged_an_empty_namespace_has_lo_up_and_nothing_else() {
    on_a_host(|| {
        let networks = networks(NetworkConfig { pool_size: 2, ..NetworkConfig::default() });
        for _ in 0..4 {
            let netns = networks.empty_namespace().unwrap();
            let links = within(&netns, || Socket::route().unwrap().links().unwrap());
            assert_eq!(
                links.iter().map(|link| (link.name.as_str(), link.up)).collect::<Vec<_>>(),
                [("lo", true)]
            );
        }
    });
}

#[test]
fn privileged_without_a_firewall_ports_are_refused_clearly() {
    on_a_host(|| {
        let networks =
            networks(NetworkConfig { firewall: crate::FirewallKind::None, ..NetworkConfig::default() });
        join(&networks, &[]).unwrap();
        let error = join(&networks, &[port(Protocol::Tcp, "", 8080, 80)]).unwrap_err().to_string();
        assert!(error.ends_with("ports cannot be published without a firewall"), "{error}");
        assert_eq!(nft_list().unwrap_or_default(), "");
    });
}

#[test]
fn privileged_the_rules_are_what_nft_reads() {
    on_a_host(|| {
        let networks = networks(NetworkConfig::default());
        join(&networks, &[port(Protocol::Tcp, "127.0.0.1", 8080, 80), port(Protocol::Udp, "", 53, 5353)])
            .unwrap();
        if let Some(rules) = nft_list() {
            assert_eq!(rules, include_str!("tests/ruleset.nft"));
        }
    });
}
