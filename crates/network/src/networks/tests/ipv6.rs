//! Networks with IPv6, alone and beside IPv4.

use std::net::Ipv6Addr;

use super::*;
use crate::{BridgeOptions, Driver, GatewayMode, Pool};

/// Gives a neighbour at 198.51.100.2 and the host IPv6 addresses too: 2001:db8::2 and 2001:db8::1.
fn add_ipv6(namespace: &mut Namespace) {
    let put = |socket: &mut Socket, name: &str, address: &str| {
        let index = socket.link(name).unwrap().unwrap().index;
        let mut batch = Batch::new();
        route::put_address(&mut batch, index, address.parse().unwrap());
        socket.request(&mut batch).unwrap();
    };
    within(&namespace.fd, || std::fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "0").unwrap());
    put(&mut namespace.route, "eth0", "2001:db8::2/64");
    put(&mut Socket::route().unwrap(), "to-198.51.100", "2001:db8::1/64");
}

fn serve6(netns: impl AsFd + Sync, port: u16) {
    let listener = within(netns, || TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap());
    thread::spawn(move || {
        while let Ok((mut stream, peer)) = listener.accept() {
            let peer = peer.ip().to_canonical();
            let _ = stream.write_all(peer.to_string().as_bytes());
        }
    });
}

pub(super) fn network(name: &str, pools: &[(&str, &str)], options: BridgeOptions) -> Network {
    let pool = |(subnet, gateway): &(&str, &str)| Pool {
        subnet: subnet.parse().unwrap(),
        range: None,
        reserved: Vec::new(),
        gateway: gateway.parse().ok(),
        way_out: None,
    };
    Network {
        name: name.to_owned(),
        id: "0123456789abcdef".to_owned(),
        driver: Driver::Bridge(options),
        interface: format!("br-{name}"),
        owns_interface: true,
        pools: pools.iter().map(pool).collect(),
        internal: false,
        mtu: 1500,
    }
}

pub(super) fn join_network(networks: &Networks, network: &str, ports: &[PortRequest]) -> Joined {
    let container = ContainerId::from_bytes([8; 32]);
    let request = JoinRequest {
        network,
        interface: "eth0",
        container: &container,
        name: "web",
        want: None,
        ports,
        sysctls: &[],
    };
    networks.join(&request).unwrap()
}

#[test]
fn privileged_a_default_bridge_with_both_families_reaches_and_is_reached_by_both() {
    on_a_host(|| {
        let mut outside = outside();
        add_ipv6(&mut outside);
        let networks =
            networks(NetworkConfig { ipv6: true, global_id: [1, 2, 3, 4, 5], ..NetworkConfig::default() });
        assert_eq!(networks.bridge().pools[1].subnet, "fd01:203:405::/64".parse().unwrap());
        let other = join(&networks, &[]).unwrap();
        let ports = [port(Protocol::Tcp, "", 8080, 80), port(Protocol::Tcp, "2001:db8::1", 8081, 80)];
        let web = join(&networks, &ports).unwrap();
        assert_eq!(web.endpoint.address6, "fd01:203:405::3".parse().ok());
        serve6(&web.netns, 80);
        serve6(&outside.fd, 80);
        // No address is waited for: all are usable at once.
        for (from, address, expect) in [
            (Some(&other.netns), "[fd01:203:405::3]:80", "fd01:203:405::2"),
            (Some(&other.netns), "[2001:db8::2]:80", "2001:db8::1"),
            (Some(&other.netns), "198.51.100.2:80", "198.51.100.1"),
            (None, "[fd01:203:405::3]:80", "fd01:203:405::1"),
            (None, "[2001:db8::1]:8080", "2001:db8::1"),
            // Without a relay nobody serves it; nobody waits for it either.
            (None, "[::1]:8080", "connection refused"),
            (Some(&outside.fd), "[2001:db8::1]:8080", "2001:db8::2"),
            (Some(&outside.fd), "[2001:db8::1]:8081", "2001:db8::2"),
            (Some(&outside.fd), "198.51.100.1:8080", "198.51.100.2"),
            (Some(&other.netns), "[2001:db8::1]:8080", "fd01:203:405::1"),
            (Some(&web.netns), "[2001:db8::1]:8080", "fd01:203:405::1"),
        ] {
            let answer = match from {
                Some(netns) => within(netns, || ask(address)),
                None => ask(address),
            };
            assert_eq!(answer, expect, "{address} from {from:?}");
        }
    });
}

#[test]
fn privileged_a_network_may_have_ipv6_alone() {
    on_a_host(|| {
        let mut outside = outside();
        add_ipv6(&mut outside);
        let networks = networks(NetworkConfig::default());
        networks.create(network("six", &[("fd00:6::/64", "fd00:6::1")], BridgeOptions::default())).unwrap();
        let web = join_network(&networks, "six", &[port(Protocol::Tcp, "::", 8080, 80)]);
        let endpoint = &web.endpoint;
        assert_eq!((endpoint.address, endpoint.gateway), (None, None));
        assert_eq!(endpoint.addresses(), ["fd00:6::2/64".parse().unwrap()]);
        serve6(&web.netns, 80);
        assert_eq!(within(&outside.fd, || ask("[2001:db8::1]:8080")), "2001:db8::2");
        // What is kept of it is understood again.
        let text = serde_json::to_string(endpoint).unwrap();
        let live: Endpoint = serde_json::from_str(&text).unwrap();
        assert_eq!(&live, endpoint);
        networks.leave(&live).unwrap();
        assert!(networks.remove("six").is_ok() && !host_links().contains(&"br-six".to_owned()));
    });
}

#[test]
fn an_endpoint_that_an_older_daemon_kept_is_understood() {
    let text = r#"{"id":"e","network":"bridge","container":"0000000000000000000000000000000000000000000000000000000000000001",
        "address":"172.17.0.2","prefix":16,"gateway":"172.17.0.1","mac":"02:42:ac:11:00:02","interface":"eth0",
        "host_interface":"vethe","ports":[]}"#;
    let endpoint: Endpoint = serde_json::from_str(text).unwrap();
    assert_eq!(endpoint.addresses(), ["172.17.0.2/16".parse().unwrap()]);
    assert_eq!(endpoint.gateway, "172.17.0.1".parse().ok());
}

#[test]
fn privileged_gateway_modes_decide_who_reaches_a_containers_own_address() {
    on_a_host(|| {
        let mut outside = outside();
        send_all_to(&mut outside, [198, 51, 100, 1]);
        let trusting = BridgeOptions {
            trusted_interfaces: vec!["to-198.51.100".to_owned()],
            ..BridgeOptions::default()
        };
        let mode = |gateway_mode_v4| BridgeOptions { gateway_mode_v4, ..BridgeOptions::default() };
        let networks = networks(NetworkConfig::default());
        // Published, not published, and what the outside sees of a container that asks.
        for (number, options, published, other, seen) in [
            (1, mode(GatewayMode::Nat), "silence", "silence", "198.51.100.1"),
            (2, mode(GatewayMode::NatUnprotected), "198.51.100.2", "198.51.100.2", "198.51.100.1"),
            (3, mode(GatewayMode::Routed), "198.51.100.2", "silence", "10.3.0.2"),
            (4, trusting, "198.51.100.2", "silence", "198.51.100.1"),
        ] {
            let (name, subnet, gateway) =
                (format!("n{number}"), format!("10.{number}.0.0/24"), format!("10.{number}.0.1"));
            networks.create(network(&name, &[(&subnet, &gateway)], options)).unwrap();
            let web = join_network(&networks, &name, &[port(Protocol::Tcp, "", 8000 + number, 80)]);
            [80, 81].iter().for_each(|port| serve(&web.netns, *port));
            let ask_own = |port: u16| within(&outside.fd, || ask(&format!("10.{number}.0.2:{port}")));
            assert_eq!(ask_own(80), published, "{name}");
            assert_eq!(ask_own(81), other, "{name}");
            serve(&outside.fd, 7000 + number);
            let answer = within(&web.netns, || ask(&format!("198.51.100.2:{}", 7000 + number)));
            assert_eq!(answer, seen, "{name}");
            assert_eq!(web.endpoint.ports.is_empty(), number == 3, "routed takes no port of the host");
        }
        let isolated = network("iso", &[("10.9.0.0/24", "")], mode(GatewayMode::Isolated));
        assert!(networks.create(isolated.clone()).is_err(), "only internal ones");
        networks.create(Network { internal: true, ..isolated }).unwrap();
        let alone = join_network(&networks, "iso", &[]);
        assert_eq!(alone.endpoint.gateway, None);
        let mut socket = Socket::route().unwrap();
        let index = socket.link("br-iso").unwrap().unwrap().index;
        assert!(!socket.addresses().unwrap().iter().any(|(on, _)| *on == index));
    });
}
