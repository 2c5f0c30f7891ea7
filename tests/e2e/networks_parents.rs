//! Networks on an interface of the host's: ipvlan in its modes, VLANs, parents that lead nowhere. A kernel that lacks a
//! kind must say so; where it has it, packets must come through.

use crate::bed::Bed;

/// A host with an uplink whose other end is `far`: a bridge, because every kernel has those.
fn bed_with_uplink() -> Bed {
    let bed = Bed::new();
    let ip = |line: &str| bed.in_namespace("ip", &line.split(' ').collect::<Vec<_>>()).ok();
    ip("link add up0 type bridge");
    ip("link add port0 type veth peer name far");
    ip("link set port0 master up0");
    for name in ["up0", "port0", "far"] {
        ip(&format!("link set {name} up"));
    }
    bed
}

/// Whether the kernel has a kind of interface, without asking Wharf.
fn has_kind(bed: &Bed, more: &[&str]) -> bool {
    let made = bed.in_namespace("ip", &[&["link", "add", "name", "probe0"], more].concat()).code == 0;
    if made {
        bed.in_namespace("ip", &["link", "del", "probe0"]).ok();
    }
    made
}

fn run(bed: &Bed, network: &str, name: &str) {
    bed.docker(&["run", "-d", "--init", "--name", name, "--network", network, "busybox", "sleep", "1000"])
        .ok();
}

fn links(bed: &Bed) -> String {
    bed.in_namespace("ip", &["-o", "link"]).ok()
}

#[test]
fn privileged_ipvlan_connects_containers_in_each_of_its_modes() {
    let bed = bed_with_uplink();
    let is_there = has_kind(&bed, &["link", "up0", "type", "ipvlan"]);
    for mode in ["l2", "l3", "l3s"] {
        let option = format!("ipvlan_mode={mode}");
        let words = ["-d", "ipvlan", "-o", "parent=up0", "-o", &option, "--subnet", "10.60.0.0/24", "lan"];
        bed.docker(&[&["network", "create"], &words[..]].concat()).ok();
        if is_there {
            run(&bed, "lan", "one");
            run(&bed, "lan", "two");
            bed.docker(&["exec", "two", "ping", "-c1", "-w9", "one"]).ok();
            let route = bed.docker(&["exec", "two", "ip", "route"]).ok();
            assert_eq!(route.contains("default dev eth0"), mode != "l2", "{mode}: {route}");
            bed.docker(&["rm", "-f", "one", "two"]).ok();
        } else {
            let error = bed.docker(&["run", "--rm", "--network", "lan", "busybox", "true"]).fails(125);
            assert!(error.contains("this host's kernel has no ipvlan interfaces"), "{error}");
        }
        bed.docker(&["network", "rm", "lan"]).ok();
    }
}

#[test]
fn privileged_a_vlan_of_the_uplink_is_made_for_networks_and_removed_with_the_last() {
    let mut bed = bed_with_uplink();
    let words = |driver: &str, parent: &str, subnet: &str, name: &str| {
        let parent = format!("parent={parent}");
        let words = ["network", "create", "-d", driver, "-o", &parent, "--subnet", subnet, name];
        words.map(str::to_owned)
    };
    let create = |bed: &Bed, line: [String; 9]| bed.docker(&line.each_ref().map(String::as_str));
    if !has_kind(&bed, &["link", "up0", "type", "vlan", "id", "5"]) {
        let error = create(&bed, words("macvlan", "up0.10", "10.70.0.0/24", "ten")).fails(1);
        assert!(error.contains("this host's kernel has no vlan interfaces"), "{error}");
        assert!(!links(&bed).contains("up0.10"));
        return;
    }
    for line in [
        "link add link far name far.10 type vlan id 10",
        "address add 10.70.0.254/24 dev far.10",
        "link set far.10 up",
    ] {
        bed.in_namespace("ip", &line.split(' ').collect::<Vec<_>>()).ok();
    }
    // What the host has is not chosen by us, but the user may say so: the far end plays a router on that VLAN.
    create(&bed, words("macvlan", "up0.10", "10.70.0.0/24", "ten")).ok();
    create(&bed, words("macvlan", "up0.20", "10.71.0.0/24", "twenty")).ok();
    run(&bed, "ten", "one");
    bed.docker(&["exec", "one", "ping", "-c1", "-w9", "10.70.0.254"]).ok();
    run(&bed, "twenty", "other");
    bed.docker(&["network", "connect", "twenty", "one"]).ok();
    bed.docker(&["exec", "other", "ping", "-c1", "-w9", "one"]).ok();
    bed.crash();
    bed.start();
    bed.docker(&["exec", "one", "ping", "-c1", "-w9", "10.70.0.254"]).ok();
    run(&bed, "ten", "late");
    bed.docker(&["exec", "late", "ping", "-c1", "-w9", "one"]).ok();
    bed.docker(&["rm", "-f", "one", "other", "late"]).ok();
    // Two networks on one VLAN.
    create(&bed, words("macvlan", "up0.10", "10.72.0.0/24", "beside")).ok();
    bed.docker(&["network", "rm", "ten"]).ok();
    assert!(links(&bed).contains("up0.10@up0"));
    bed.docker(&["network", "rm", "beside", "twenty"]).ok();
    let left = links(&bed);
    assert!(!left.contains("up0.") && left.contains("up0:"), "{left}");
}

#[test]
fn privileged_a_network_without_a_parent_leads_nowhere() {
    let bed = bed_with_uplink();
    let is_there = has_kind(&bed, &["type", "dummy"]);
    for driver in ["macvlan", "ipvlan"] {
        if !is_there || !has_kind(&bed, &["link", "up0", "type", driver]) {
            let said = bed.docker(&["network", "create", "-d", driver, "nowhere"]);
            if !is_there {
                let error = said.fails(1);
                assert!(error.contains("this host's kernel has no dummy interfaces"), "{error}");
                continue;
            }
            said.ok();
            bed.docker(&["network", "rm", "nowhere"]).ok();
            continue;
        }
        bed.docker(&["network", "create", "-d", driver, "nowhere"]).ok();
        let shown = bed.docker(&["network", "inspect", "-f", "{{.Internal}}", "nowhere"]).ok();
        assert_eq!(shown, "true");
        run(&bed, "nowhere", "one");
        run(&bed, "nowhere", "two");
        bed.docker(&["exec", "two", "ping", "-c1", "-w9", "one"]).ok();
        let route = bed.docker(&["exec", "two", "ip", "route"]).ok();
        assert!(!route.contains("default"), "{route}");
        bed.docker(&["rm", "-f", "one", "two"]).ok();
        bed.docker(&["network", "rm", "nowhere"]).ok();
        let left = links(&bed);
        assert!(!left.contains("dm-") && !left.contains("di-"), "{left}");
    }
}
