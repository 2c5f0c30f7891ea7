//! What a daemon finds on the host, takes over and leaves behind.

use super::*;

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
            (18082, "failed to bind host port for 127.0.0.1:18082:172.17.0.4:80/tcp: address already in use"),
        ] {
            let ports = [port(Protocol::Tcp, "", 7000, 80), port(Protocol::Tcp, "127.0.0.1", wanted, 80)];
            let error = join(&networks, &ports).unwrap_err().to_string();
            let (start, end) = error.split_once(" (").unwrap();
            assert_eq!(start, "driver failed programming external connectivity on endpoint web");
            assert_eq!(end.split_once("): ").unwrap().1, reason);
        }
        drop(program);
        assert_eq!(networks.endpoints(), [first.endpoint]);
        // The addresses and ports of the failures are free again. (A copy of the listener may linger.)
        let ports = [port(Protocol::Tcp, "", 7000, 80), port(Protocol::Tcp, "", 18082, 80)];
        let mut next = join(&networks, &ports);
        eventually("the ports are free", || {
            if next.is_err() {
                next = join(&networks, &ports);
            }
            next.is_ok()
        });
        let next = next.unwrap();
        assert_eq!(next.endpoint.ports.len(), 2);
        assert_eq!(host_links().iter().filter(|name| name.starts_with("veth")).count(), 2);
    });
}

#[test]
fn privileged_fixed_addresses_are_kept_and_checked() {
    on_a_host(|| {
        let bip = "10.77.0.1/29".parse().ok();
        let networks = networks(NetworkConfig { bip, mtu: 1200, ..NetworkConfig::default() });
        let want = |address: &str| EndpointRequest {
            ipam_config: Some(EndpointIpam { ipv4_address: address.to_owned(), ..EndpointIpam::default() }),
            mac_address: "02:00:00:00:00:09".to_owned(),
            ..EndpointRequest::default()
        };
        let fixed = join_as(&networks, &[], Some(&want("10.77.0.5"))).unwrap().endpoint;
        assert_eq!(
            (fixed.address, fixed.mac.as_str()),
            (Some(Ipv4Addr::new(10, 77, 0, 5)), "02:00:00:00:00:09")
        );
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
        let live: Endpoint = serde_json::from_str(&text).unwrap();
        let after = restarted(std::slice::from_ref(&live));
        assert_eq!(after.bridge().pools[0].subnet, "10.77.0.0/24".parse().unwrap());
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
        remove_interface("wharf0", &mut Socket::route().unwrap()).unwrap();
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

        let open =
            |config| Networks::open(config).map(|networks| networks.bridge().pools[0].subnet.to_string());
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
fn privileged_another_firewalls_drop_policy_is_seen() {
    on_a_host(|| {
        let networks = networks(NetworkConfig::default());
        assert_eq!(networks.firewall.overruled_by().unwrap(), [""; 0]);
        let table = "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }";
        let Ok(status) = Command::new("nft").arg(table).status() else { return };
        assert!(status.success());
        assert_eq!(networks.firewall.overruled_by().unwrap(), ["ip filter FORWARD"]);
        networks.teardown().unwrap();
        assert!(nft_list().unwrap().contains("policy drop"), "others' tables stay");
    });
}

#[test]
fn privileged_a_second_daemon_on_the_same_bridge_breaks_nothing() {
    on_a_host(|| {
        let first = networks(NetworkConfig::default());
        let web = join(&first, &[port(Protocol::Tcp, "", 8080, 80)]).unwrap();
        serve(&web.netns, 80);
        let second = networks(NetworkConfig::default());
        let error = join(&second, &[]).unwrap_err().to_string();
        assert!(error.starts_with("bridge wharf0 is used by another daemon on this host"), "{error}");
        let third = networks(NetworkConfig { bridge: "wharf1".to_owned(), ..NetworkConfig::default() });
        let other = join(&third, &[port(Protocol::Tcp, "", 8081, 80)]).unwrap();
        assert_eq!(other.endpoint.address, Some(Ipv4Addr::new(172, 18, 0, 2)));
        serve(&other.netns, 80);
        assert_eq!(ask("127.0.0.1:8080"), "172.17.0.1");
        assert_eq!(ask("127.0.0.1:8081"), "172.18.0.1");
        assert_eq!(within(&other.netns, || ask("172.17.0.1:8080")), "172.17.0.1");
        assert_eq!(within(&other.netns, || ask("172.17.0.2:80")), "silence");
    });
}
