//! Who reaches whom without published ports.

use super::*;

#[test]
fn privileged_containers_reach_each_other_and_the_outside_through_the_hosts_address() {
    on_a_host(|| {
        let outside = outside();
        let networks = networks(NetworkConfig::default());
        assert_eq!(networks.bridge().pools[0].subnet, "172.17.0.0/16".parse().unwrap());
        assert!(!host_links().contains(&"wharf0".to_owned()), "made on demand");

        let one = join(&networks, &[]).unwrap();
        let two = join(&networks, &[]).unwrap();
        assert_eq!(one.endpoint.address, Some(Ipv4Addr::new(172, 17, 0, 2)));
        assert_eq!(two.endpoint.address, Some(Ipv4Addr::new(172, 17, 0, 3)));
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
fn privileged_a_host_that_was_no_router_does_not_become_one() {
    on_a_host(|| {
        let (mut one, mut other) = (outside(), neighbour("203.0.113"));
        send_all_to(&mut one, [198, 51, 100, 1]);
        send_all_to(&mut other, [203, 0, 113, 1]);
        let networks = networks(NetworkConfig::default());
        serve(&other.fd, 80);
        let web = join(&networks, &[]).unwrap();
        assert_eq!(within(&web.netns, || ask("203.0.113.2:80")), "203.0.113.1");
        assert_eq!(within(&one.fd, || ask("203.0.113.2:80")), "silence");
        // The next daemon finds forwarding on, but knows.
        drop(networks);
        let next = restarted(std::slice::from_ref(&web.endpoint));
        assert_eq!(within(&one.fd, || ask("203.0.113.2:80")), "silence");
        // Once the administrator's host is a router, it stays one.
        next.teardown().unwrap();
        next.restore(&[web.endpoint]).unwrap_or_default();
        assert_eq!(within(&one.fd, || ask("203.0.113.2:80")), "198.51.100.2");
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
        send_all_to(&mut outside, [198, 51, 100, 1]);
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
