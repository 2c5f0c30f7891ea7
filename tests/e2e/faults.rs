//! The daemon dies, and nothing that was acknowledged is lost.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::bed::Bed;

/// What a container answers to a line, through a client that then goes away.
fn echoed(bed: &Bed, container: &str) -> String {
    let mut command = bed.docker_command(&["attach", "--sig-proxy=false", container]);
    let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("run docker");
    client.stdin.as_mut().expect("it is piped").write_all(b"echoed\n").expect("write to docker");
    let mut line = String::new();
    let output = client.stdout.take().expect("it is piped");
    BufReader::new(output).read_line(&mut line).expect("read from docker");
    client.kill().expect("kill docker");
    client.wait().expect("reap docker");
    line
}

#[test]
fn privileged_a_killed_daemon_finds_its_containers_again() {
    let mut bed = Bed::new();
    let talk = "i=0; while true; do i=$((i+1)); echo $i; sleep 0.01; done";
    bed.docker(&["run", "-d", "--name", "runs", "busybox", "sh", "-c", talk]).ok();
    bed.docker(&["run", "-d", "-i", "--name", "reads", "busybox", "cat"]).ok();
    bed.docker(&[
        "run",
        "-d",
        "--name",
        "ends",
        "busybox",
        "sh",
        "-c",
        "while [ ! -e /go ]; do sleep 0.05; done; exit 9",
    ])
    .ok();
    bed.docker(&["create", "--name", "made", "busybox", "true"]).ok();
    let pid = bed.docker(&["inspect", "-f", "{{.State.Pid}}", "runs"]).ok();
    bed.docker(&["exec", "-d", "ends", "sh", "-c", "sleep 1; touch /go"]).ok();
    bed.crash();
    bed.start();
    assert_eq!(bed.docker(&["inspect", "-f", "{{.State.Pid}}", "runs"]).ok(), pid, "the same process");
    assert_eq!(bed.docker(&["inspect", "-f", "{{.State.Status}}", "made"]).ok(), "created");
    assert_eq!(bed.docker(&["wait", "ends"]).ok(), "9");
    assert_eq!(echoed(&bed, "reads"), "echoed\n");
    assert_eq!(bed.docker(&["exec", "runs", "echo", "alive"]).ok(), "alive");
    bed.docker(&["stop", "-t", "0", "runs"]).ok();
    let logs = bed.docker(&["logs", "runs"]).ok();
    let gap = logs.lines().enumerate().find(|(at, line)| line.parse() != Ok(at + 1));
    assert_eq!(gap, None, "each line is there once");
}

#[test]
fn privileged_a_daemon_killed_at_any_moment_leaves_nothing_half_done() {
    let mut bed = Bed::new();
    for round in 0..12u64 {
        let name = format!("c{round}");
        let mut run = bed.docker_command(&["run", "-d", "--name", &name, "busybox", "sleep", "1000"]);
        let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("docker");
        // Each round kills at another point of create and start.
        std::thread::sleep(std::time::Duration::from_millis(5 + round * 6));
        bed.crash();
        run.wait().expect("wait for docker");
        bed.start();
        for line in bed.docker(&["ps", "-a", "--format", "{{.Names}} {{.State}}"]).ok().lines() {
            let (name, state) = line.split_once(' ').expect("two words");
            assert!(matches!(state, "created" | "running" | "exited"), "{name} {state}");
            if state == "running" {
                assert_eq!(bed.docker(&["exec", name, "echo", "alive"]).ok(), "alive");
            }
        }
    }
    for name in bed.docker(&["ps", "-a", "--format", "{{.Names}}"]).ok().lines() {
        bed.docker(&["rm", "-f", name]).ok();
    }
}

#[test]
fn privileged_a_stopped_daemon_keeps_containers_and_a_second_one_is_refused() {
    let mut bed = Bed::new();
    bed.docker(&["run", "-d", "--name", "stays", "busybox", "sleep", "1000"]).ok();
    let pid = bed.docker(&["inspect", "-f", "{{.State.Pid}}", "stays"]).ok();
    bed.stop();
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists(), "containers outlive the daemon");
    bed.start();
    assert_eq!(bed.docker(&["inspect", "-f", "{{.State.Running}}", "stays"]).ok(), "true");
    let second = std::process::Command::new(crate::bed::wharf_binary())
        .args(["daemon", "-H", &format!("unix://{}", bed.path("second.sock").display())])
        .arg("--data-root")
        .arg(bed.path("data"))
        .arg("--exec-root")
        .arg(bed.path("run2"))
        .arg("--config-file")
        .arg(bed.path("daemon.json"))
        .output()
        .expect("run a second daemon");
    assert!(!second.status.success(), "two daemons on one data root");
}
