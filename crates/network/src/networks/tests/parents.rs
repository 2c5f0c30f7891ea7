//! Interfaces on one of the host's.

use super::ipv6::{join_network, network};
use super::*;
use crate::{BridgeOptions, Driver, IpvlanFlag, IpvlanMode, MacvlanMode};

fn on_parent(name: &str, driver: Driver, parent: &str, subnet: &str, gateway: &str) -> Network {
    let bridge = network(name, &[(subnet, gateway)], BridgeOptions::default());
    Network { driver, interface: parent.to_owned(), owns_interface: false, mtu: 0, ..bridge }
}

#[test]
fn privileged_macvlan_puts_containers_beside_the_host() {
    on_a_host(|| {
        let outside = outside();
        let networks = networks(NetworkConfig::default());
        // The neighbour's network: containers are its neighbours, with addresses of their own there.
        let macvlan = Driver::Macvlan(MacvlanMode::Bridge);
        let made = networks.create(on_parent(
            "lan",
            macvlan.clone(),
            "to-198.51.100",
            "198.51.100.0/24",
            "198.51.100.2",
        ));
        made.unwrap();
        let fixed = EndpointRequest {
            ipam_config: Some(EndpointIpam {
                ipv4_address: "198.51.100.7".to_owned(),
                ..EndpointIpam::default()
            }),
            ..EndpointRequest::default()
        };
        let container = ContainerId::from_bytes([8; 32]);
        let request = JoinRequest {
            network: "lan",
            interface: "eth0",
            container: &container,
            name: "web",
            want: Some(&fixed),
            ports: &[],
            sysctls: &[("ipv4/conf/IFNAME/log_martians".to_owned(), "1".to_owned())],
        };
        let web = networks.join(&request).unwrap();
        serve(&web.netns, 80);
        assert_eq!(within(&outside.fd, || ask("198.51.100.7:80")), "198.51.100.2");
        let parameter = "/proc/sys/net/ipv4/conf/eth0/log_martians";
        assert_eq!(within(&web.netns, || std::fs::read_to_string(parameter).unwrap()), "1\n");
        // A container that goes on living loses its interface when it leaves.
        let mut sandbox = Sandbox { namespace: Namespace { fd: web.netns, route: Socket::route().unwrap() } };
        sandbox.namespace.route = within(&sandbox.namespace.fd, || Socket::route().unwrap());
        networks.detach(&mut sandbox, &web.endpoint).unwrap();
        assert_eq!(sandbox.namespace.route.link("eth0").unwrap(), None);
        for (parent, expect) in [
            ("lo", "loopback interface is not a valid macvlan parent link"),
            ("nosuch", "invalid subinterface vlan name nosuch, example formatting is eth0.10"),
            ("no.5", "-o parent interface was not found on the host: no"),
            ("lo.5000", "vlan id must be between 1-4094, received: 5000"),
            ("lo.x", "unable to parse a valid vlan id from: x (ex. eth0.10 for vlan 10)"),
        ] {
            let wanted = on_parent("other", macvlan.clone(), parent, "10.5.0.0/24", "");
            let error = networks.create(Network { owns_interface: true, ..wanted }).unwrap_err();
            assert_eq!(error.to_string(), expect, "{parent}");
        }
        let passthru =
            on_parent("p", Driver::Macvlan(MacvlanMode::Passthru), "to-198.51.100", "10.5.0.0/24", "");
        assert_eq!(
            networks.create(passthru).unwrap_err().to_string(),
            "cannot use mode passthru, macvlan network 0123456789abcdef is already using parent interface to-198.51.100"
        );
        networks.remove("lan").unwrap();
        assert!(host_links().contains(&"to-198.51.100".to_owned()), "the parent is the host's");
    });
}

/// On a kernel that has the kind; elsewhere it is refused in words that tell so.
#[test]
fn privileged_vlans_and_ipvlan_work_or_are_refused_clearly() {
    on_a_host(|| {
        let _outside = outside();
        let networks = networks(NetworkConfig::default());
        let vlan = on_parent(
            "v10",
            Driver::Macvlan(MacvlanMode::Bridge),
            "to-198.51.100.10",
            "10.1.0.0/24",
            "10.1.0.1",
        );
        // A name with more than one dot is no VLAN's.
        assert!(networks.create(Network { owns_interface: true, ..vlan }).is_err());
        let mut batch = Batch::new();
        route::put_bridge(&mut batch, "uplink", [2, 0, 0, 0, 0, 9], 1500);
        Socket::route().unwrap().request(&mut batch).unwrap();
        let vlan =
            on_parent("v10", Driver::Macvlan(MacvlanMode::Bridge), "uplink.10", "10.1.0.0/24", "10.1.0.1");
        match networks.create(Network { owns_interface: true, ..vlan }) {
            Ok(()) => {
                assert!(host_links().contains(&"uplink.10".to_owned()));
                networks.remove("v10").unwrap();
            }
            Err(error) => assert!(error.to_string().ends_with("kernel has no vlan interfaces"), "{error}"),
        }
        assert!(!host_links().contains(&"uplink.10".to_owned()));
        for (number, mode) in [(1, IpvlanMode::L2), (2, IpvlanMode::L3), (3, IpvlanMode::L3s)] {
            let (name, subnet) = (format!("ip{number}"), format!("10.{number}.0.0/24"));
            let driver = Driver::Ipvlan(mode, IpvlanFlag::Bridge);
            // A parent with a carrier: without one, nothing is carried between those on it either.
            networks.create(on_parent(&name, driver, "to-198.51.100", &subnet, "")).unwrap();
            let container = ContainerId::from_bytes([8; 32]);
            let request = JoinRequest {
                network: &name,
                interface: "eth0",
                container: &container,
                name: "web",
                want: None,
                ports: &[],
                sysctls: &[],
            };
            match networks.join(&request) {
                Ok(one) => {
                    let other = join_network(&networks, &name, &[]);
                    serve(&one.netns, 80);
                    let address = one.endpoint.address.unwrap();
                    let seen = within(&other.netns, || ask(&format!("{address}:80")));
                    assert_eq!(seen, other.endpoint.address.unwrap().to_string());
                    [one, other].iter().for_each(|joined| networks.leave(&joined.endpoint).unwrap());
                }
                Err(error) => {
                    assert!(error.to_string().ends_with("kernel has no ipvlan interfaces"), "{error}")
                }
            }
            networks.remove(&name).unwrap();
        }
    });
}
