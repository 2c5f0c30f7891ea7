//! The daemon dies at any moment, or one of its helpers does, and nothing that was acknowledged is lost.

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

/// Numbers that look random and are the same in each run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Creates, starts, stops, pauses, renames, removes until the daemon is gone. Gives the ids of the containers that were
/// acknowledged and are to stay.
fn work(bed: &Bed, name: &str, dice: &mut Dice) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let name = format!("{name}-{number}");
        let network = ["none", "bridge"][dice.below(2) as usize];
        let (mut arguments, stays) = match dice.below(4) {
            0 => (vec!["run", "--rm"], false),
            1 => (vec!["create", "-v", "/anonymous"], true),
            2 => (vec!["run", "-d", "--restart", "always"], true),
            _ => (vec!["run", "-d"], true),
        };
        let program: &[&str] = if stays { &["sleep", "1000"] } else { &["true"] };
        arguments.extend(["--name", &name, "--network", network, "busybox"]);
        let made = bed.docker(&[&arguments, program].concat());
        if made.code != 0 {
            return acknowledged;
        }
        if !stays {
            continue;
        }
        let id = made.ok();
        let renamed = format!("{name}-renamed");
        let next: &[&str] = match dice.below(6) {
            0 => &["stop", "-t", "0", &id],
            1 => &["kill", &id],
            2 => &["pause", &id],
            3 => &["rename", &id, &renamed],
            4 => &["exec", "-d", &id, "sleep", "1000"],
            _ => &["rm", "-fv", &id],
        };
        // A container that was only created takes not all of these.
        bed.docker(next);
        if next[0] != "rm" {
            acknowledged.push(id);
        }
    }
    acknowledged
}

/// Whether a process runs; one that nobody has reaped yet does not.
fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    pid != "0" && stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// What is left in a directory of the bed.
fn left_in(bed: &Bed, path: &str) -> usize {
    std::fs::read_dir(bed.path(path)).map_or(0, Iterator::count)
}

#[test]
fn privileged_work_goes_on_after_kills_at_any_moment() {
    let mut bed = Bed::new();
    let mut dice = Dice(7);
    for round in 0..6 {
        let wait = std::time::Duration::from_millis(150 + dice.below(700));
        let pid = bed.pid().to_string();
        let acknowledged: Vec<String> = std::thread::scope(|scope| {
            let bed = &bed;
            let workers: Vec<_> = (0..3)
                .map(|worker| {
                    let mut dice = Dice(round * 10 + worker);
                    scope.spawn(move || work(bed, &format!("c{round}-{worker}"), &mut dice))
                })
                .collect();
            std::thread::sleep(wait);
            let killed = std::process::Command::new("kill").args(["-KILL", &pid]).status().expect("run kill");
            assert!(killed.success());
            workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
        });
        bed.reap();
        bed.start();
        let known = bed.docker(&["ps", "-aq", "--no-trunc"]).ok();
        for id in &acknowledged {
            assert!(known.contains(id.as_str()), "round {round}: {id} was acknowledged and is lost");
        }
        for id in known.lines() {
            let said = bed.docker(&["inspect", "-f", "{{.State.Status}} {{.State.Pid}}", id]);
            if said.code != 0 && !acknowledged.iter().any(|known| known == id) {
                continue; // It was run with `--rm`.
            }
            let state = said.ok();
            let (status, pid) = state.split_once(' ').expect("two words");
            assert_eq!(is_alive(pid), matches!(status, "running" | "paused"), "round {round}: {id} {state}");
        }
        if !known.is_empty() {
            let mut all = vec!["rm", "-fv"];
            all.extend(known.lines());
            bed.docker(&all).ok();
        }
        assert_eq!(bed.docker(&["ps", "-aq"]).ok(), "");
        for path in ["data/containers", "run/containers", "data/volumes"] {
            assert_eq!(left_in(&bed, path), 0, "round {round}: {path}");
        }
        // Whichever way layers are kept here.
        let layers = left_in(&bed, "data/erofs") + left_in(&bed, "data/overlay");
        assert_eq!(layers, 1, "round {round}");
        // The kernel takes a namespace's links apart some time after its last process has gone.
        let deadline = std::time::Instant::now() + crate::bed::PATIENCE;
        loop {
            let links = bed.in_namespace("ip", &["-o", "link"]).ok();
            if !links.contains("veth") {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "round {round}: {links}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// The parent of a process.
pub(crate) fn parent_of(pid: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("proc(5) has it");
    line.trim().to_owned()
}

fn kill(pid: &str) {
    let killed = std::process::Command::new("kill").args(["-KILL", pid]).status().expect("run kill");
    assert!(killed.success(), "{pid}");
}

#[test]
fn privileged_the_death_of_any_helper_is_noticed_and_made_good() {
    let bed = Bed::new();
    let pid_of = |name: &str| bed.docker(&["inspect", "-f", "{{.State.Pid}}", name]).ok();
    let state = ["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "c1"];
    bed.docker(&["run", "-d", "--name", "c1", "busybox", "sleep", "1000"]).ok();
    let pid = pid_of("c1");
    let supervisor = parent_of(&pid);
    kill(&pid);
    bed.until(&state, "exited 137");
    bed.docker(&["start", "c1"]).ok();
    let pid = pid_of("c1");
    assert_ne!(parent_of(&pid), supervisor, "each start has a supervisor of its own");
    kill(&parent_of(&pid));
    bed.until(&state, "exited 255");
    assert!(!is_alive(&pid), "its process goes with it");
    let children = format!("/proc/{0}/task/{0}/children", bed.pid());
    let children = std::fs::read_to_string(children).expect("the kernel tells children");
    for child in children.split_whitespace() {
        let name = std::fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
        if name.starts_with("wharf-zygote") {
            kill(child);
        }
    }
    bed.docker(&["start", "c1"]).ok();
    assert_eq!(bed.docker(&["exec", "c1", "echo", "alive"]).ok(), "alive");
}
