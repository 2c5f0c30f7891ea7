//! Clients and containers that take all they can get: others are not harmed, and memory stays bounded.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::archives;
use crate::bed::Bed;
use crate::liar::{Liar, Lie};
use crate::raw::{connect, must};

/// Resident memory of the daemon in MiB.
fn memory_mib(bed: &Bed) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", bed.pid())).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("proc(5) has it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// The daemon does for others what it did before.
#[track_caller]
fn works(bed: &Bed, while_what: &str) {
    let said = bed.docker(&["run", "--rm", "--network", "none", "busybox", "echo", "works"]);
    assert_eq!(said.out, "works\n", "{while_what}: {said:?}");
}

/// A request whose body never ends, or whose answer is never read.
fn begin(bed: &Bed, head: &str) -> UnixStream {
    let mut stream = connect(bed);
    write!(stream, "{head} HTTP/1.1\r\nHost: d\r\n").expect("send");
    stream
}

#[test]
fn privileged_layers_that_wait_for_their_first_leave_room_for_it() {
    let bed = Bed::new();
    let registry = Liar::new(&bed);
    // More than there are threads to unpack them, and the one below them all comes last.
    let layers: Vec<_> = (0..100).map(|n| archives::layer(&n.to_string())).collect();
    registry.image("high", "1", &layers);
    let first = archives::digest(&layers[0]);
    let all = layers.len();
    registry.lie(move |target| target.ends_with(&first).then_some(Lie::After(all)));
    let name = registry.name("high:1");
    let pulled = must(&bed, "POST", &format!("/images/create?fromImage={name}"), b"");
    assert!(pulled.is_done(), "{}", pulled.text());
    works(&bed, "a pull of many layers");
    bed.docker(&["create", "--name", "high", &name, "x"]).ok();
    let tree = must(&bed, "GET", "/containers/high/export", b"").body;
    assert!(tree.len() > 100 * 512, "{} bytes", tree.len());
}

#[test]
fn privileged_clients_that_stand_still_hold_up_nobody() {
    let bed = Bed::new();
    bed.docker(&[
        "run",
        "-d",
        "--name",
        "talks",
        "--network",
        "none",
        "--log-opt",
        "max-size=1m",
        "busybox",
        "yes",
    ])
    .ok();
    bed.docker(&["run", "-d", "--name", "quiet", "--network", "none", "busybox", "sleep", "1000"]).ok();
    let before = memory_mib(&bed);
    let mut idle = Vec::new();
    // Half a head.
    for _ in 0..500 {
        idle.push(begin(&bed, "GET /_ping"));
    }
    works(&bed, "500 requests that do not end");
    // Bodies that do not end.
    let chunked = "Transfer-Encoding: chunked\r\nContent-Type: application/x-tar\r\n\r\n5\r\nabcde\r\n";
    for head in [
        "POST /images/load",
        "POST /images/create?fromSrc=-&repo=x",
        "PUT /containers/quiet/archive?path=/",
        "POST /containers/create",
    ] {
        for _ in 0..80 {
            let mut stream = begin(&bed, head);
            stream.write_all(chunked.as_bytes()).expect("send");
            idle.push(stream);
        }
        works(&bed, head);
    }
    // Answers that nobody reads.
    for head in [
        "GET /images/busybox/get",
        "GET /containers/quiet/export",
        "GET /containers/quiet/archive?path=/bin",
        "GET /containers/talks/logs?follow=1&stdout=1",
        "POST /containers/quiet/attach?stream=1&stdout=1",
        "GET /containers/talks/stats",
        "GET /events",
    ] {
        for _ in 0..80 {
            let mut stream = begin(&bed, head);
            stream.write_all(b"\r\n").expect("send");
            idle.push(stream);
        }
        works(&bed, head);
    }
    let after = memory_mib(&bed);
    assert!(after < before + idle.len() as u64 / 4, "{before} MiB became {after} for {} clients", idle.len());
    drop(idle);
    let image = archives::image("honest:1", &[archives::layer("x")]);
    assert!(must(&bed, "POST", "/images/load", &image).is_done());
    assert!(!bed.log().contains("panicked"), "{}", bed.log());
}

#[test]
fn privileged_a_client_that_does_not_read_its_container_holds_up_only_that() {
    let bed = Bed::new();
    bed.docker(&["create", "--name", "held", "--network", "none", "busybox", "yes"]).ok();
    let mut reader = begin(&bed, "POST /containers/held/attach?stream=1&stdout=1");
    reader.write_all(b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n").expect("send");
    let mut head = [0; 12];
    reader.read_exact(&mut head).expect("receive");
    assert_eq!(&head, b"HTTP/1.1 101");
    bed.docker(&["start", "held"]).ok();
    works(&bed, "an attachment that is not read");
    assert_eq!(bed.docker(&["exec", "held", "echo", "alive"]).ok(), "alive");
    // Nobody reads at all: the log takes it, and the container ends.
    let megabytes = if std::env::var_os("WHARF_TEST_LONG").is_some() { "count=1024" } else { "count=128" };
    let write = ["busybox", "dd", "if=/dev/zero", "bs=1M", megabytes];
    let limits = [
        "run",
        "-d",
        "--name",
        "writes",
        "--network",
        "none",
        "--log-driver",
        "local",
        "--log-opt",
        "max-size=1m",
    ];
    bed.docker(&[&limits[..], &write].concat()).ok();
    assert_eq!(bed.docker(&["wait", "writes"]).ok(), "0");
    bed.docker(&["rm", "-f", "held"]).ok();
}

#[test]
fn privileged_a_fork_bomb_stays_in_its_container() {
    let bed = Bed::new();
    let bomb = "f() { f | f & }; f; sleep 1000";
    bed.docker(&[
        "run",
        "-d",
        "--name",
        "bomb",
        "--network",
        "none",
        "--pids-limit",
        "50",
        "busybox",
        "sh",
        "-c",
        bomb,
    ])
    .ok();
    works(&bed, "a fork bomb");
    // There is no room for one more, or there is: either is said. (On cgroup v2 already the first process is refused.)
    let said = bed.docker(&["exec", "bomb", "echo", "alive"]);
    assert!(
        said.out == "alive\n" || said.code != 0 && !(said.out.is_empty() && said.err.is_empty()),
        "{said:?}"
    );
    bed.docker(&["top", "bomb"]).ok();
    bed.docker(&["stats", "--no-stream", "bomb"]).ok();
    bed.docker(&["kill", "bomb"]).ok();
    bed.docker(&["rm", "-f", "bomb"]).ok();
}

#[test]
fn privileged_a_daemon_with_few_descriptors_refuses_and_recovers() {
    let mut bed = Bed::new();
    bed.stop();
    bed.runner = ["prlimit", "--nofile=96:96"].map(str::to_owned).to_vec();
    bed.start();
    works(&bed, "96 descriptors");
    bed.docker(&["run", "-d", "--name", "stays", "--network", "none", "busybox", "sleep", "1000"]).ok();
    let mut idle: Vec<UnixStream> = (0..200).map(|_| begin(&bed, "GET /_ping")).collect();
    // Those that came first have their descriptors; they are served whatever else waits.
    let first = &mut idle[0];
    first.write_all(b"\r\n").expect("send");
    let mut head = [0; 15];
    first.read_exact(&mut head).expect("receive");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    drop(idle);
    works(&bed, "the end of too many clients");
    assert_eq!(bed.docker(&["exec", "stays", "echo", "alive"]).ok(), "alive");
    assert!(!bed.log().contains("panicked"), "{}", bed.log());
}

#[test]
fn privileged_many_containers_start_at_once() {
    let bed = Bed::new();
    let count = if std::env::var_os("WHARF_TEST_LONG").is_some() { 200 } else { 40 };
    std::thread::scope(|scope| {
        for number in 0..count {
            let bed = &bed;
            scope.spawn(move || {
                let body = br#"{"Image":"busybox","Cmd":["sleep","1000"]}"#;
                let made = must(bed, "POST", &format!("/containers/create?name=many{number}"), body);
                assert_eq!(made.status, 201, "{}", made.text());
                let started = must(bed, "POST", &format!("/containers/many{number}/start"), b"");
                assert_eq!(started.status, 204, "{}", started.text());
            });
        }
    });
    let running = bed.docker(&["ps", "-q"]).ok();
    assert_eq!(running.lines().count(), count);
    let addresses = bed.docker(
        &[&["inspect", "-f", "{{.NetworkSettings.IPAddress}}"], &running.lines().collect::<Vec<_>>()[..]]
            .concat(),
    );
    let addresses: std::collections::BTreeSet<_> = addresses.ok().lines().map(str::to_owned).collect();
    assert_eq!(addresses.len(), count, "each has an address of its own");
}
