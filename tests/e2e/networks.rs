//! Networks that users make: names, several on one container, joined and left live, published ports, and a daemon that
//! dies meanwhile.

use std::time::Instant;

use crate::bed::{Bed, PATIENCE};

/// What a name is in a container: the addresses, or nothing.
fn resolve(bed: &Bed, container: &str, name: &str) -> String {
    let said = bed.docker(&["exec", container, "nslookup", name, "127.0.0.11"]);
    let answer = said.out.split("Name:").nth(1).unwrap_or_default();
    let addresses = answer.lines().filter_map(|line| line.trim().strip_prefix("Address")?.split(": ").nth(1));
    addresses.map(|address| address.split(' ').next().unwrap_or_default()).collect::<Vec<_>>().join(" ")
}

fn run(bed: &Bed, name: &str, more: &[&str]) {
    let mut words = vec!["run", "-d", "--init", "--name", name];
    words.extend(more);
    words.extend(["busybox", "sleep", "1000"]);
    bed.docker(&words).ok();
}

/// The processes of a bed's relay.
fn relays(bed: &Bed) -> Vec<String> {
    let said = bed.in_namespace("sh", &["-c", "ss -xlp 2>/dev/null | grep relay.sock || true"]);
    let socket = bed.path("run/relay.sock");
    let lines = said.out.lines().filter(|line| line.contains(&*socket.to_string_lossy()));
    lines.filter_map(|line| line.split("pid=").nth(1)?.split(',').next()).map(str::to_owned).collect()
}

#[test]
fn privileged_a_network_is_made_listed_and_removed() {
    let mut bed = Bed::new();
    let id = bed
        .docker(&["network", "create", "--label", "a=b", "-o", "com.docker.network.driver.mtu=1400", "n1"])
        .ok();
    assert_eq!(id.len(), 64);
    bed.docker(&["network", "create", "--subnet", "10.9.0.0/24", "--gateway", "10.9.0.254", "n2"]).ok();
    let names =
        |filter: &str| bed.docker(&["network", "ls", "-q", "--filter", filter, "--format", "{{.Name}}"]).ok();
    for (filter, expect) in
        [("type=custom", "n1\nn2"), ("label=a=b", "n1"), ("driver=null", "none"), ("dangling=true", "n1\nn2")]
    {
        assert_eq!(names(filter), expect, "{filter}");
    }
    run(&bed, "c1", &["--network", "n1"]);
    run(&bed, "c2", &["--network", "n2"]);
    assert!(bed.docker(&["exec", "c1", "ip", "link", "show", "eth0"]).ok().contains("mtu 1400"));
    let route = bed.docker(&["exec", "c2", "ip", "route"]).ok();
    assert!(route.contains("default via 10.9.0.254"), "{route}");
    assert!(bed.docker(&["network", "rm", "n1"]).fails(1).contains("has active endpoints (name:\"c1\""));
    let error = bed.docker(&["network", "create", "--subnet", "10.9.0.128/25", "n3"]).fails(1);
    assert!(error.contains("Pool overlaps with other one on this address space"), "{error}");

    bed.crash();
    bed.start();
    assert_eq!(bed.docker(&["network", "inspect", "-f", "{{.Id}}", "n1"]).ok(), id);
    let on = "{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}";
    assert_eq!(bed.docker(&["network", "inspect", "-f", on, "n2"]).ok(), "c2 10.9.0.1/24");
    bed.docker(&["rm", "-f", "c1"]).ok();
    bed.docker(&["network", "rm", "n1"]).ok();
    let link = format!("br-{}", &id[..12]);
    assert_ne!(bed.in_namespace("ip", &["link", "show", &link]).code, 0, "its bridge is gone");
    bed.docker(&["rm", "-f", "c2"]).ok();
    assert_eq!(bed.docker(&["network", "prune", "-f"]).ok(), "Deleted Networks:\nn2");
}

#[test]
fn privileged_containers_find_each_other_by_name_also_while_the_daemon_is_down() {
    let mut bed = Bed::new();
    bed.docker(&["network", "create", "--subnet", "10.9.0.0/24", "front"]).ok();
    bed.docker(&["network", "create", "--internal", "--subnet", "10.8.0.0/24", "back"]).ok();
    run(&bed, "web", &["--network", "front", "--ip", "10.9.0.10", "--network-alias", "www"]);
    run(&bed, "db", &["--network", "back", "--ip", "10.8.0.20"]);
    run(&bed, "asks", &["--network", "front"]);
    let file = bed.docker(&["exec", "asks", "cat", "/etc/resolv.conf"]).ok();
    assert!(file.contains("nameserver 127.0.0.11\n") && file.contains("ndots:0"), "{file}");
    assert_eq!(resolve(&bed, "asks", "web"), "10.9.0.10");
    assert_eq!(resolve(&bed, "asks", "www"), "10.9.0.10");
    assert_eq!(resolve(&bed, "asks", "db"), "");

    bed.docker(&["network", "connect", "--alias", "asker", "back", "asks"]).ok();
    assert_eq!(resolve(&bed, "asks", "db"), "10.8.0.20");
    let reverse = bed.docker(&["exec", "asks", "nslookup", "10.8.0.20", "127.0.0.11"]).out;
    assert!(reverse.contains("db.back"), "{reverse}");
    bed.docker(&["exec", "db", "ping", "-c1", "-w5", "asker"]).ok();
    bed.docker(&["exec", "asks", "ping", "-c1", "-w5", "db"]).ok();

    // The name server goes on without the daemon: what is asked then is answered.
    let loops = "while sleep 0.2; do ping -c1 -w2 web >/dev/null && ping -c1 -w2 db >/dev/null && echo ok || echo lost; done >/log";
    bed.docker(&["exec", "-d", "asks", "sh", "-c", loops]).ok();
    let before = relays(&bed);
    bed.crash();
    std::thread::sleep(std::time::Duration::from_secs(1));
    bed.start();
    assert_eq!(relays(&bed), before, "the same relay");
    assert_eq!(resolve(&bed, "asks", "web"), "10.9.0.10");
    run(&bed, "late", &["--network", "front", "--ip", "10.9.0.30"]);
    assert_eq!(resolve(&bed, "asks", "late"), "10.9.0.30");
    bed.docker(&["rename", "late", "later"]).ok();
    assert_eq!(resolve(&bed, "asks", "later"), "10.9.0.30");
    bed.docker(&["rm", "-f", "later"]).ok();
    assert_eq!(resolve(&bed, "asks", "later"), "");
    let log = bed.docker(&["exec", "asks", "cat", "/log"]).ok();
    assert!(log.contains("ok") && !log.contains("lost"), "{log}");

    bed.docker(&["network", "disconnect", "back", "asks"]).ok();
    assert_eq!(resolve(&bed, "asks", "db"), "");
    assert_eq!(bed.docker(&["exec", "asks", "ls", "/sys/class/net"]).ok(), "eth0\nlo");
}

#[test]
fn privileged_a_killed_relay_is_replaced() {
    let bed = Bed::new();
    bed.docker(&["network", "create", "front"]).ok();
    run(&bed, "web", &["--network", "front"]);
    run(&bed, "asks", &["--network", "front"]);
    let address = resolve(&bed, "asks", "web");
    assert_ne!(address, "");
    for pid in relays(&bed) {
        bed.in_namespace("kill", &["-KILL", &pid]).ok();
    }
    let deadline = Instant::now() + PATIENCE;
    while resolve(&bed, "asks", "web") != address {
        assert!(Instant::now() < deadline, "nobody answers");
    }
}

#[test]
fn privileged_the_way_out_is_the_network_with_the_highest_priority() {
    let bed = Bed::new();
    for (name, subnet) in [("aa", "10.1.0.0/24"), ("bb", "10.2.0.0/24"), ("cc", "10.3.0.0/24")] {
        bed.docker(&["network", "create", "--subnet", subnet, name]).ok();
    }
    run(&bed, "many", &["--network", "bb", "-p", "8080:80"]);
    let gateway = || {
        let route = bed.docker(&["exec", "many", "ip", "route"]).ok();
        route
            .lines()
            .find_map(|l| l.strip_prefix("default via ")?.split(' ').next())
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(gateway(), "10.2.0.1");
    bed.docker(&["network", "connect", "aa", "many"]).ok();
    assert_eq!(gateway(), "10.1.0.1", "the first name");
    bed.docker(&["network", "connect", "--gw-priority", "1", "cc", "many"]).ok();
    assert_eq!(gateway(), "10.3.0.1");
    bed.docker(&["network", "disconnect", "cc", "many"]).ok();
    assert_eq!(gateway(), "10.1.0.1");
    let port = || bed.docker(&["port", "many"]).ok();
    let published = port();
    assert!(published.contains("0.0.0.0:8080"), "{published}");
    bed.docker(&["network", "disconnect", "bb", "many"]).ok();
    assert_eq!(port(), published, "published on what is left");
    bed.docker(&["network", "connect", "bb", "many"]).ok();
    bed.docker(&["restart", "-t", "0", "many"]).ok();
    assert_eq!(gateway(), "10.1.0.1");
    let addresses = bed
        .docker(&["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", "many"])
        .ok();
    assert!(addresses.starts_with("10.1.0.") && addresses.contains(" 10.2.0."), "{addresses}");
    bed.docker(&["network", "disconnect", "bb", "many"]).ok();
    bed.docker(&["restart", "-t", "0", "many"]).ok();
    let interfaces = bed.docker(&["exec", "many", "ls", "/sys/class/net"]).ok();
    assert_eq!(interfaces, "eth0\nlo", "not on the network it was created with any more");
    bed.docker(&["network", "rm", "bb"]).ok();
    bed.docker(&["restart", "-t", "0", "many"]).ok();
}

#[test]
fn privileged_an_internal_network_leads_nowhere() {
    let bed = Bed::new();
    bed.docker(&["network", "create", "--internal", "--subnet", "10.8.0.0/24", "inner"]).ok();
    bed.docker(&["network", "create", "--subnet", "10.9.0.0/24", "outer"]).ok();
    run(&bed, "inner1", &["--network", "inner"]);
    run(&bed, "inner2", &["--network", "inner"]);
    run(&bed, "outer1", &["--network", "outer", "--ip", "10.9.0.9"]);
    bed.docker(&["exec", "inner1", "ping", "-c1", "-w5", "inner2"]).ok();
    assert!(!bed.docker(&["exec", "inner1", "ip", "route"]).ok().contains("default"));
    bed.docker(&["exec", "inner1", "ip", "route", "add", "default", "via", "10.8.0.1"]);
    assert_ne!(bed.docker(&["exec", "inner1", "ping", "-c1", "-w1", "10.9.0.9"]).code, 0);
    assert_ne!(bed.docker(&["exec", "outer1", "ping", "-c1", "-w1", "10.8.0.2"]).code, 0);
}

#[test]
fn privileged_published_ports_answer_on_ipv4_and_ipv6_also_after_a_crash() {
    let mut bed = Bed::new();
    let serve = "mkdir /www; echo hello >/www/index.html; exec httpd -f -p 80 -h /www";
    bed.docker(&["network", "create", "front"]).ok();
    bed.docker(&[
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "front",
        "-p",
        "8080:80",
        "busybox",
        "sh",
        "-c",
        serve,
    ])
    .ok();
    assert_eq!(bed.docker(&["port", "web"]).ok(), "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080");
    let get = |bed: &Bed, address: &str| {
        bed.in_namespace(
            "curl",
            &["-sS", "-m", "10", "--retry", "20", "--retry-connrefused", "--retry-delay", "0", address],
        )
    };
    let both = ["http://127.0.0.1:8080/", "http://[::1]:8080/"];
    for address in both {
        assert_eq!(get(&bed, address).ok(), "hello", "{address}");
    }
    bed.crash();
    bed.start();
    for address in both {
        assert_eq!(get(&bed, address).ok(), "hello", "{address} after a crash");
    }
    let taken = bed.docker(&["run", "--rm", "-p", "[::]:8080:80", "busybox", "true"]).fails(125);
    assert!(taken.contains("port is already allocated"), "{taken}");
    bed.docker(&["rm", "-f", "web"]).ok();
    for address in both {
        let said = bed.in_namespace("curl", &["-sS", "-m", "2", address]);
        assert!(said.err.contains("refused") || said.err.contains("connect"), "{address}: {said:?}");
    }
    bed.docker(&["run", "--rm", "-p", "8080:80", "busybox", "true"]).ok();
}
