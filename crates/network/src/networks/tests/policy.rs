//! Whose rules published ports obey, on hosts whose own rules drop what they do not know.

use super::*;
use crate::{PublishPolicy, relay};

/// What an administrator may have written. `forward` is the policy for what is passed on.
fn firewall(forward: &str) -> bool {
    let rules = format!(
        "table inet fw {{
            chain input {{
                type filter hook input priority 0; policy drop;
                iif lo accept
                ct state established,related accept
                tcp dport 8081 accept
            }}
            chain forward {{ type filter hook forward priority 0; policy {forward}; }}
        }}"
    );
    let made = Command::new("nft").arg(rules).status();
    made.is_ok_and(|status| status.success())
}

fn answers(networks: &Networks, port: u16) -> Vec<(&'static str, &'static str)> {
    let found = networks.explain(port, Protocol::Tcp).unwrap().publications;
    let v4 = found.iter().find(|publication| publication.port.host_ip.is_ipv4()).unwrap();
    v4.reach.iter().map(|reach| (reach.from, reach.answer)).collect()
}

#[test]
fn privileged_with_dockers_policy_ports_are_led_past_what_the_host_lets_in() {
    on_a_host(|| {
        let outside = outside();
        let networks = networks(NetworkConfig::default());
        if !firewall("accept") {
            return;
        }
        let web =
            join(&networks, &[port(Protocol::Tcp, "", 8080, 80), port(Protocol::Tcp, "127.0.0.1", 8082, 80)])
                .unwrap();
        serve(&web.netns, 80);
        serve(own_namespace(), 9000);
        assert_eq!(within(&outside.fd, || ask("198.51.100.1:9000")), "silence", "the host's own");
        assert_eq!(within(&outside.fd, || ask("198.51.100.1:8080")), "198.51.100.2");
        assert_eq!(
            answers(&networks, 8080),
            [("this host", "yes"), ("other hosts", "yes"), ("other hosts", "yes")]
        );
        assert_eq!(answers(&networks, 8082), [("this host", "yes"), ("other hosts", "no")]);
        assert!(networks.explain(1, Protocol::Tcp).unwrap().publications.is_empty());
        Command::new("nft").args(["delete", "table", "inet", "fw"]).status().unwrap();
        assert!(firewall("drop"));
        assert_eq!(answers(&networks, 8080), [("this host", "yes"), ("other hosts", "depends")]);
        assert_eq!(within(&outside.fd, || ask("198.51.100.1:8080")), "silence", "others' drops are final");
        networks.firewall.teardown().unwrap();
        assert_eq!(answers(&networks, 8080), [("this host", "no"), ("other hosts", "no")]);
    });
}

#[test]
fn privileged_with_the_hosts_policy_ports_obey_what_the_host_lets_in() {
    let dir = std::env::temp_dir().join(format!("wharf-policy-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let folder = dir.clone();
    on_a_host(move || {
        let outside = outside();
        let relay = relay::for_tests(folder);
        let config = NetworkConfig {
            publish_policy: PublishPolicy::HostFirewall,
            proxy: Some(relay),
            ..NetworkConfig::default()
        };
        let networks = networks(config);
        if !firewall("drop") {
            return;
        }
        let ports = [8080, 8081].map(|host| port(Protocol::Tcp, "", host, 80));
        let web = join(&networks, &ports).unwrap();
        serve(&web.netns, 80);
        assert_eq!(within(&outside.fd, || ask("198.51.100.1:8080")), "silence");
        // It ends at the host, so nobody is asked whether it may be passed on.
        assert_eq!(within(&outside.fd, || ask("198.51.100.1:8081")), "172.17.0.1");
        assert_eq!(ask("127.0.0.1:8080"), "172.17.0.1");
        assert_eq!(answers(&networks, 8081), [("this host", "yes"), ("other hosts", "depends")]);
        let sctp = join(&networks, &[port(Protocol::Sctp, "", 8083, 80)]).unwrap_err().to_string();
        assert!(
            sctp.ends_with("sctp ports cannot be published under the publish policy host-firewall"),
            "{sctp}"
        );
        networks.leave(&web.endpoint).unwrap();
        assert_eq!(ask("127.0.0.1:8080"), "connection refused");
    });
    let _ = std::fs::remove_dir_all(dir);
}
