//! Published ports and the rules behind them.

use super::*;

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
        client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut before = None;
        for more in [vec![], vec![port(Protocol::Udp, "", 5354, 54)]] {
            // Nobody is there yet, or any more: this leaves an entry that leads nowhere. The refusal is read away.
            // (A process that another test is about to start may hold a copy of the closed reservation for a moment.)
            eventually("the port is refused", || {
                let _ = client.send(b"lost");
                client.recv(&mut [0; 16]).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
            });
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
                host: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                host_port: port,
                to: IpAddr::from([172, 17, 0, 2]),
                to_port: 80,
            })
            .collect();
        let of = |mappings: &[PortMapping]| firewall::Ports { mappings: mappings.to_vec(), open: Vec::new() };
        networks.firewall.install(&[], &of(&ports), [false; 2]).unwrap();
        networks.firewall.remove(&of(&ports[..10_000])).unwrap();
        networks.firewall.add(&of(&ports[..10_000])).unwrap();
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
            assert_eq!(rules, include_str!("ruleset.nft"));
        }
    });
}
