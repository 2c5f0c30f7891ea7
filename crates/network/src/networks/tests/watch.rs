//! What others remove comes back by itself.

use super::*;

fn nft(arguments: &[&str]) -> bool {
    Command::new("nft").args(arguments).status().is_ok_and(|status| status.success())
}

#[test]
fn privileged_flushed_rules_and_a_removed_bridge_come_back_by_themselves() {
    on_a_host(|| {
        let networks = Arc::new(networks(NetworkConfig::default()));
        networks.watch().unwrap();
        let web = join(&networks, &[port(Protocol::Tcp, "", 8080, 80)]).unwrap();
        serve(&web.netns, 80);
        let answers = || ask("127.0.0.1:8080") == "172.17.0.1";
        assert!(answers());
        for flush in [
            &["flush", "ruleset"][..],
            &["delete", "table", "inet", "wharf"],
            &["flush", "table", "inet", "wharf"],
            &["flush", "map", "inet", "wharf", "publish4_any"],
        ] {
            if !nft(flush) {
                return;
            }
            eventually("the rules are back", answers);
        }
        remove_interface("wharf0", &mut Socket::route().unwrap()).unwrap();
        eventually("the bridge is back", answers);
        // What we remove ourselves stays away.
        networks.leave(&web.endpoint).unwrap();
        networks.teardown().unwrap();
        thread::sleep(silence());
        assert_eq!(nft_list().unwrap_or_default(), "");
        assert!(!host_links().contains(&"wharf0".to_owned()));
    });
}
