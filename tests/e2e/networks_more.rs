//! Networks with IPv6, templates, drivers, links, and a daemon that dies while its containers talk.

use crate::bed::{Bed, rootfs_tar};

fn run(bed: &Bed, name: &str, more: &[&str]) {
    let mut words = vec!["run", "-d", "--init", "--name", name];
    words.extend(more);
    words.extend(["busybox", "sleep", "1000"]);
    bed.docker(&words).ok();
}

const SERVE: &str = "mkdir /www; echo hello >/www/index.html; exec httpd -f -p 80 -h /www";

fn get(bed: &Bed, address: &str) -> String {
    let retries = ["--retry", "40", "--retry-all-errors", "--retry-delay", "0"];
    let mut words = vec!["-sS", "-m", "10"];
    words.extend(retries);
    words.push(address);
    bed.in_namespace("curl", &words).ok()
}

#[test]
fn privileged_networks_have_both_families_or_one_alone_and_keep_their_addresses() {
    let mut bed = Bed::new();
    bed.docker(&["network", "create", "--ipv6", "both"]).ok();
    bed.docker(&["network", "create", "--ipv4=false", "--ipv6", "--subnet", "fd00:6::/64", "six"]).ok();
    let shown = |bed: &Bed, name: &str| {
        let format = "{{.EnableIPv4}} {{.EnableIPv6}} {{range .IPAM.Config}}{{.Subnet}} {{.Gateway}} {{end}}";
        bed.docker(&["network", "inspect", "-f", format, name]).ok()
    };
    let both = shown(&bed, "both");
    assert!(both.starts_with("true true 172.") && both.contains("::/64 fd"), "{both}");
    assert_eq!(shown(&bed, "six"), "false true fd00:6::/64");
    run(&bed, "one", &["--network", "both", "-p", "8080:80"]);
    bed.docker(&["exec", "-d", "one", "sh", "-c", SERVE]).ok();
    run(&bed, "two", &["--network", "both"]);
    run(&bed, "alone", &["--network", "six", "--ip6", "fd00:6::77"]);
    let six = |bed: &Bed, name: &str| {
        bed.docker(&[
            "inspect",
            "-f",
            "{{range .NetworkSettings.Networks}}{{.GlobalIPv6Address}}{{end}}",
            name,
        ])
        .ok()
    };
    assert_eq!(six(&bed, "alone"), "fd00:6::77");
    assert_eq!(bed.docker(&["exec", "alone", "ip", "-4", "addr", "show", "eth0"]).ok(), "");
    let address = six(&bed, "one");
    bed.docker(&["exec", "two", "ping", "-c1", "-w5", "-6", "one"]).ok();
    bed.docker(&["exec", "two", "ping", "-c1", "-w5", "-4", "one"]).ok();
    let route = bed.docker(&["exec", "two", "ip", "-6", "route"]).ok();
    assert!(route.contains("default via fd"), "{route}");
    for host in [&format!("[{address}]:80"), "[::1]:8080", "127.0.0.1:8080"] {
        assert_eq!(get(&bed, &format!("http://{host}/")), "hello", "{host}");
    }
    let taken =
        bed.docker(&["run", "--rm", "--network", "six", "--ip6", "fd00:6::77", "busybox", "true"]).fails(125);
    assert!(taken.contains("Address already in use"), "{taken}");
    let before = (shown(&bed, "both"), six(&bed, "one"), six(&bed, "two"));
    bed.crash();
    bed.start();
    assert_eq!((shown(&bed, "both"), six(&bed, "one"), six(&bed, "two")), before);
    run(&bed, "three", &["--network", "both"]);
    assert!(![&before.1, &before.2].contains(&&six(&bed, "three")), "no address twice");
    assert_eq!(get(&bed, "http://[::1]:8080/"), "hello");
    bed.docker(&["network", "disconnect", "both", "two"]).ok();
    assert_eq!(bed.docker(&["exec", "two", "ls", "/sys/class/net"]).ok(), "lo");
}

#[test]
fn privileged_networks_are_refused_in_dockers_words() {
    let bed = Bed::new();
    bed.docker(&["network", "create", "--config-only", "--subnet", "10.99.1.0/24", "template"]).ok();
    bed.docker(&["network", "create", "--config-from", "template", "made"]).ok();
    let from = "{{.ConfigFrom.Network}} {{range .IPAM.Config}}{{.Subnet}}{{end}}";
    assert_eq!(bed.docker(&["network", "inspect", "-f", from, "made"]).ok(), "template 10.99.1.0/24");
    for (words, expect) in [
        (&["--ipv4=false"][..], "IPv4 or IPv6 must be enabled"),
        (&["--config-from", "nosuch"], "configuration network \"nosuch\" does not exist"),
        (
            &["--config-from", "template", "--subnet", "10.98.0.0/24"],
            "user specified configurations are not supported if the network depends on a configuration network",
        ),
        (&["--config-from", "template"], "Pool overlaps with other one on this address space"),
        (
            &["-o", "com.docker.network.bridge.gateway_mode_ipv4=isolated"],
            "gateway mode 'isolated' can only be used for an internal network",
        ),
        (
            &["-o", "com.docker.network.bridge.gateway_mode_ipv4=foo"],
            "failed to parse com.docker.network.bridge.gateway_mode_ipv4 value: foo (unknown gateway mode foo)",
        ),
        (&["-d", "macvlan", "-o", "parent=lo"], "loopback interface is not a valid macvlan parent link"),
        (
            &["-d", "macvlan", "-o", "parent=nosuch"],
            "invalid subinterface vlan name nosuch, example formatting is eth0.10",
        ),
        (
            &["-d", "ipvlan", "-o", "ipvlan_mode=foo"],
            "requested ipvlan mode 'foo' is not valid, 'l2' mode is the ipvlan driver default",
        ),
        (
            &["-d", "macvlan", "-o", "parent=nosuch.7"],
            "-o parent interface was not found on the host: nosuch",
        ),
        (&["-o", "com.docker.network.bridge.name=much-too-long-a-name"], "numerical result out of range"),
        (
            &["--subnet", "10.96.1.0/24", "--gateway", "10.96.1.1", "--aux-address", "x=10.96.1.1"],
            "failed to allocate secondary ip address (x:10.96.1.1): Address already in use",
        ),
        (&["--ingress"], "Ingress network can only be global scope network"),
        (&["--scope", "swarm"], "cannot create a swarm scoped network when swarm is not active"),
        (
            &["--subnet", "10.97.1.0/24", "--gateway", "10.97.1.0"],
            "failed to allocate gateway (10.97.1.0): Address already in use",
        ),
    ] {
        let mut line = vec!["network", "create"];
        line.extend(words);
        line.push("n");
        let error = bed.docker(&line).fails(1);
        assert!(error.ends_with(expect), "{words:?}: {error}");
    }
    bed.docker(&["create", "--name", "late", "busybox", "true"]).ok();
    for (words, expect) in [
        (
            &["host", "late"][..],
            "cannot connect container to host network - container must be created in host network mode",
        ),
        (
            &["--ip", "10.1.1.1", "made", "late"],
            "daemon: invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 10.1.1.1",
        ),
    ] {
        let error = bed.docker(&[&["network", "connect"], words].concat()).fails(1);
        assert!(error.ends_with(expect), "{words:?}: {error}");
    }
    bed.docker(&["rm", "late"]).ok();
    let error = bed.docker(&["network", "rm", "template"]).fails(1);
    assert!(error.contains("configuration network \"template\" is in use"), "{error}");
    let error = bed.docker(&["run", "--rm", "--network", "template", "busybox", "true"]).fails(125);
    assert!(error.contains("cannot create endpoint on configuration-only network"), "{error}");
    bed.docker(&["network", "rm", "made"]).ok();
    bed.docker(&["network", "rm", "template"]).ok();
}

#[test]
fn privileged_macvlan_and_options_of_endpoints_do_what_they_say() {
    let bed = Bed::new();
    // The host's uplink: a bridge whose neighbours are reached without us.
    bed.in_namespace("ip", &["link", "add", "up0", "type", "bridge"]).ok();
    bed.in_namespace("ip", &["link", "set", "up0", "up"]).ok();
    bed.docker(&[
        "network",
        "create",
        "-d",
        "macvlan",
        "-o",
        "parent=up0",
        "--subnet",
        "10.50.0.0/24",
        "lan",
    ])
    .ok();
    run(&bed, "one", &["--network", "lan", "--ip", "10.50.0.10"]);
    run(&bed, "two", &["--network", "lan"]);
    bed.docker(&["exec", "two", "ping", "-c1", "-w5", "10.50.0.10"]).ok();
    bed.docker(&["exec", "two", "ping", "-c1", "-w5", "one"]).ok();
    bed.docker(&["network", "create", "bridged"]).ok();
    bed.docker(&["network", "connect", "bridged", "two"]).ok();
    bed.docker(&["network", "disconnect", "lan", "two"]).ok();
    assert_eq!(bed.docker(&["exec", "two", "ls", "/sys/class/net"]).ok(), "eth1\nlo");
    let sysctl = "driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1";
    let network = format!("name=bridged,{sysctl},driver-opt=com.docker.network.endpoint.ifname=wan7");
    run(&bed, "three", &["--network", &network]);
    let value = bed.docker(&["exec", "three", "cat", "/proc/sys/net/ipv4/conf/wan7/log_martians"]).ok();
    assert_eq!(value, "1");
    let bad = "name=bridged,driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.all.log_martians=1";
    let error = bed.docker(&["run", "--rm", "--network", bad, "busybox", "true"]).fails(125);
    assert!(
        error.contains("unrecognised network interface sysctl 'net.ipv4.conf.all.log_martians=1'"),
        "{error}"
    );
}

#[test]
fn privileged_links_tell_containers_of_each_other() {
    let bed = Bed::new();
    bed.docker(&[
        "run",
        "-d",
        "--name",
        "db",
        "-e",
        "FOO=bar",
        "--expose",
        "5432",
        "--hostname",
        "dbhost",
        "busybox",
        "sleep",
        "1000",
    ])
    .ok();
    bed.docker(&["run", "-d", "--name", "web", "--link", "db:data", "busybox", "sleep", "1000"]).ok();
    let env = bed.docker(&["exec", "web", "env"]).ok();
    for line in ["DATA_NAME=/web/data", "DATA_ENV_FOO=bar", "DATA_PORT_5432_TCP_PORT=5432"] {
        assert!(env.lines().any(|l| l == line), "{line}: {env}");
    }
    let hosts = bed.docker(&["exec", "web", "cat", "/etc/hosts"]).ok();
    assert!(hosts.contains("\tdata dbhost db\n"), "{hosts}");
    assert_eq!(bed.docker(&["inspect", "-f", "{{.HostConfig.Links}}", "web"]).ok(), "[/db:/web/data]");
    bed.docker(&["exec", "web", "ping", "-c1", "-w5", "data"]).ok();
    bed.docker(&["stop", "-t", "0", "db"]).ok();
    let error = bed.docker(&["run", "--rm", "--link", "db", "--name", "late", "busybox", "true"]).fails(125);
    assert!(error.contains("Cannot link to a non running container: /db AS /late/db"), "{error}");
    bed.docker(&["network", "create", "named"]).ok();
    run(&bed, "server", &["--network", "named"]);
    run(&bed, "asks", &["--network", "named", "--link", "server:alias"]);
    run(&bed, "other", &["--network", "named"]);
    bed.docker(&["exec", "asks", "ping", "-c1", "-w5", "alias"]).ok();
    assert_ne!(
        bed.docker(&["exec", "other", "ping", "-c1", "-w2", "alias"]).code,
        0,
        "it is one container's own"
    );
}

#[test]
fn privileged_published_ports_obey_the_host_where_the_daemon_is_told_so() {
    let bed = Bed::empty(&["--publish-policy", "host-firewall"]);
    let tar = rootfs_tar().to_str().expect("temporary paths are text");
    bed.docker(&["import", tar, "busybox:latest"]).ok();
    bed.docker(&["run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", SERVE]).ok();
    assert_eq!(get(&bed, "http://127.0.0.1:8080/"), "hello");
    let said = bed.wharf(&["network", "explain", "8080"]).ok();
    assert!(said.starts_with("publish-policy: host-firewall\n0.0.0.0:8080/tcp -> web port 80"), "{said}");
    assert!(said.contains("the host's own rules for what comes in hold"), "{said}");
    assert_eq!(bed.wharf(&["network", "explain", "9"]).ok(), "9: no container publishes it");
}

/// Ten containers (fifty with `WHARF_TEST_LONG`) that talk all the time: connections and queries go on as if nothing had
/// happened.
#[test]
fn privileged_a_daemon_that_dies_under_traffic_costs_no_connection_and_no_query() {
    // Fifty that never rest would wait for processors more than for answers.
    let (containers, pause) =
        if std::env::var_os("WHARF_TEST_LONG").is_some() { (50, 0.3) } else { (10, 0.0) };
    let mut bed = Bed::new();
    bed.docker(&["network", "create", "traffic"]).ok();
    let serve = format!(
        "printf '#!/bin/sh\nwhile sleep 0.05; do date; done\n' >/talk; chmod +x /talk; nc -ll -p 7000 -e /talk & {SERVE}"
    );
    bed.docker(&[
        "run",
        "-d",
        "--name",
        "server",
        "--network",
        "traffic",
        "-p",
        "8080:80",
        "busybox",
        "sh",
        "-c",
        &serve,
    ])
    .ok();
    // One connection that stays, name queries and requests without an end.
    let client = format!(
        "(nc server 7000 </dev/zero >/stream; echo closed >/closed) & while sleep {pause}; do \
         nslookup server 127.0.0.11 >/dev/null && wget -q -O /dev/null http://server/ && echo ok || echo lost; done >/log"
    );
    get(&bed, "http://127.0.0.1:8080/");
    for number in 1..containers {
        let name = format!("client{number}");
        bed.docker(&[
            "run",
            "-d",
            "--init",
            "--name",
            &name,
            "--network",
            "traffic",
            "busybox",
            "sh",
            "-c",
            &client,
        ])
        .ok();
    }
    for _ in 0..2 {
        bed.crash();
        std::thread::sleep(std::time::Duration::from_millis(700));
        bed.start();
        assert_eq!(get(&bed, "http://127.0.0.1:8080/"), "hello");
    }
    for number in 1..containers {
        let name = format!("client{number}");
        let log = bed.docker(&["exec", &name, "cat", "/log"]).ok();
        assert!(log.contains("ok") && !log.contains("lost"), "{name}: {log}");
        assert_ne!(
            bed.docker(&["exec", &name, "test", "-e", "/closed"]).code,
            0,
            "{name}'s connection has ended"
        );
    }
}
