//! Removed networks: out of the way at once, and gone soon.

use super::ipv6::{join_network, network};
use super::*;
use crate::{BridgeOptions, Network};

#[test]
fn privileged_a_removed_networks_name_and_subnet_are_free_at_once() {
    on_a_host(|| {
        let outside = outside();
        serve(&outside.fd, 7000);
        let networks = networks(NetworkConfig::default());
        let make = |name: &str, subnet: &str, gateway: &str| {
            networks.create(network(name, &[(subnet, gateway)], BridgeOptions::default())).unwrap();
        };
        // A neighbour in numbers: where one subnet ends the next one begins.
        make("b", "10.1.1.0/24", "10.1.1.1");
        let stays = join_network(&networks, "b", &[port(Protocol::Tcp, "", 8081, 80)]);
        serve(&stays.netns, 80);
        for turn in 0..10 {
            make("a", "10.1.0.0/24", "10.1.0.1");
            let joined = join_network(&networks, "a", &[port(Protocol::Tcp, "", 8080, 80)]);
            serve(&joined.netns, 80);
            assert_eq!(ask("127.0.0.1:8080"), "10.1.0.1", "turn {turn}");
            assert_eq!(within(&joined.netns, || ask("198.51.100.2:7000")), "198.51.100.1");
            networks.leave(&joined.endpoint).unwrap();
            networks.remove("a").unwrap();
            let seen = host_links();
            assert!(!seen.contains(&"br-a".to_owned()), "{seen:?}");
            let rules = nft_list().unwrap_or_default();
            assert!(!rules.contains("br-a") && !rules.contains("10.1.0."), "{rules}");
        }
        assert_eq!(ask("127.0.0.1:8081"), "10.1.1.1");
        assert_eq!(within(&stays.netns, || ask("198.51.100.2:7000")), "198.51.100.1");
        eventually("removed bridges go", || !host_links().iter().any(|name| name.starts_with("gone-")));
    });
}

#[test]
fn privileged_bridges_that_a_killed_daemon_did_not_delete_are_deleted_by_the_next() {
    on_a_host(|| {
        let mut socket = Socket::route().unwrap();
        let mut bridge = |name: &str| {
            let mut batch = Batch::new();
            route::put_bridge(&mut batch, name, [2, 0, 0, 0, 0, 1], 1500);
            socket.request(&mut batch).unwrap();
            socket.link(name).unwrap().unwrap().index
        };
        let (left, others) = (bridge("left"), bridge("gone-01234567"));
        assert_ne!(others, 0x0123_4567);
        let mut batch = Batch::new();
        route::put_retire(&mut batch, left, &format!("gone-{left:08x}"));
        socket.request(&mut batch).unwrap();
        let _networks = networks(NetworkConfig::default());
        eventually("the bridge goes", || !host_links().contains(&format!("gone-{left:08x}")));
        assert!(host_links().contains(&"gone-01234567".to_owned()), "somebody's bridge stays");
    });
}

#[test]
fn privileged_a_bridge_that_was_there_before_its_network_stays() {
    on_a_host(|| {
        let mut socket = Socket::route().unwrap();
        let mut batch = Batch::new();
        route::put_bridge(&mut batch, "br-a", [2, 0, 0, 0, 0, 1], 1500);
        socket.request(&mut batch).unwrap();
        let networks = networks(NetworkConfig::default());
        let wanted = network("a", &[("10.1.0.0/24", "10.1.0.1")], BridgeOptions::default());
        networks.create(Network { owns_interface: false, ..wanted }).unwrap();
        let joined = join_network(&networks, "a", &[]);
        networks.leave(&joined.endpoint).unwrap();
        networks.remove("a").unwrap();
        assert!(host_links().contains(&"br-a".to_owned()));
        let rules = nft_list().unwrap_or_default();
        assert!(!rules.contains("br-a") && !rules.contains("10.1.0."), "{rules}");
    });
}
