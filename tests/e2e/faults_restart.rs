//! The daemon goes away and comes back while containers run and clients are attached.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use crate::bed::Bed;

/// A client with its standard streams in our hands.
struct Attached {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Attached {
    fn new(bed: &Bed, words: &[&str]) -> Self {
        let mut command = bed.docker_command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("run docker");
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, input, output }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("read from docker");
        line.trim_end().to_owned()
    }

    fn say(&mut self, text: &str) {
        writeln!(self.input, "{text}").expect("write to docker");
    }

    /// What else it says until it ends by itself.
    fn rest(mut self) -> (i32, String) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("read from docker");
        drop(self.input);
        (self.child.wait().expect("wait for docker").code().unwrap_or(-1), rest)
    }
}

/// How the daemon goes.
const WAYS: [&str; 2] = ["killed", "stopped"];

fn go_and_come(bed: &mut Bed, way: &str) {
    if way == "killed" {
        bed.crash()
    } else {
        bed.stop()
    }
    bed.start();
}

#[test]
fn privileged_clients_of_a_daemon_that_goes_end_and_containers_do_not() {
    let mut bed = Bed::new();
    for way in WAYS {
        bed.docker(&[
            "run",
            "-d",
            "-i",
            "--name",
            "echo",
            "busybox",
            "sh",
            "-c",
            "while read x; do echo got $x; done",
        ])
        .ok();
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
        let mut attached = Attached::new(&bed, &["attach", "--sig-proxy=false", "echo"]);
        attached.say("one");
        assert_eq!(attached.line(), "got one");
        let mut follower = Attached::new(&bed, &["logs", "-f", "echo"]);
        assert_eq!(follower.line(), "got one");
        let mut shell = Attached::new(
            &bed,
            &["exec", "-i", "echo", "sh", "-c", "echo ready; cat > /typed; echo $? > /ended"],
        );
        assert_eq!(shell.line(), "ready");
        shell.say("typed");
        bed.until(&["exec", "echo", "cat", "/typed"], "typed");
        let events = Attached::new(&bed, &["events"]);
        let waiter = Attached::new(&bed, &["wait", "ends"]);
        // What the client has written is the container's, whatever becomes of the daemon.
        attached.say("two");
        bed.until(&["logs", "echo"], "got one\ngot two");

        go_and_come(&mut bed, way);
        let (_, rest) = attached.rest();
        assert!(rest.is_empty() || rest == "got two\n", "{way}: {rest:?}");
        follower.rest();
        shell.rest();
        events.rest();
        assert_ne!(waiter.rest().0, 0, "{way}: a wait that was broken off says so");

        // The container has not noticed: its input is open, and it answers who comes now.
        let mut again = Attached::new(&bed, &["attach", "--sig-proxy=false", "echo"]);
        again.say("three");
        assert_eq!(again.line(), "got three", "{way}");
        let mut follower = Attached::new(&bed, &["logs", "-f", "echo"]);
        assert_eq!([follower.line(), follower.line(), follower.line()], ["got one", "got two", "got three"]);
        let mut events =
            Attached::new(&bed, &["events", "--filter", "container=ends", "--filter", "event=die"]);
        let waiter = Attached::new(&bed, &["wait", "ends"]);
        bed.docker(&["exec", "ends", "touch", "/go"]).ok();
        assert_eq!(waiter.rest(), (0, "9\n".to_owned()), "{way}");
        assert!(events.line().contains("exitCode=9"), "{way}");
        for mut client in [again, follower, events] {
            client.child.kill().expect("kill docker");
            client.child.wait().expect("reap docker");
        }
        bed.docker(&["rm", "-f", "echo", "ends"]).ok();
    }
}

#[test]
fn privileged_what_happens_while_there_is_no_daemon_is_made_good() {
    let mut bed = Bed::new();
    // Each waits for a word that comes while the daemon is away.
    let shared = bed.path("shared");
    std::fs::create_dir(&shared).expect("make a folder");
    let mount = format!("{}:/shared", shared.display());
    let run = |name: &str, more: &[&str], script: &str| {
        let script = format!("while [ ! -e /shared/go ]; do sleep 0.02; done; {script}");
        let words =
            [&["run", "-d", "--name", name, "-v", &mount], more, &["busybox", "sh", "-c", &script]].concat();
        bed.docker(&words).ok();
    };
    run("code", &[], "exit 7");
    run("signal", &[], "sh -c 'kill -9 $$'; exit $?");
    run("talks", &[], "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; done; touch /shared/talked");
    run("removes", &["--rm", "-v", "/anonymous"], "exit 3");
    run("always", &["--restart", "always"], "sleep 1000");
    run("again", &["--restart", "on-failure:2"], "echo failed; exit 1");
    run("not-again", &["--restart", "on-failure"], "exit 0");
    bed.docker(&[
        "run",
        "-d",
        "--name",
        "stopped",
        "--restart",
        "unless-stopped",
        "busybox",
        "sleep",
        "1000",
    ])
    .ok();
    bed.docker(&["stop", "-t", "0", "stopped"]).ok();
    let pid_of = |bed: &Bed, name: &str| bed.docker(&["inspect", "-f", "{{.State.Pid}}", name]).ok();
    let always = pid_of(&bed, "always");
    bed.crash();
    std::fs::write(shared.join("go"), "").expect("write");
    let ended = |name: &str| shared.join(name).exists();
    let deadline = std::time::Instant::now() + crate::bed::PATIENCE;
    while !ended("talked") {
        assert!(std::time::Instant::now() < deadline, "a container does not go on without a daemon");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // One that the policy wants back, killed without a daemon that could see it.
    let killed = std::process::Command::new("kill").args(["-KILL", &always]).status().expect("run kill");
    assert!(killed.success());
    while std::path::Path::new(&format!("/proc/{always}")).exists() {
        assert!(std::time::Instant::now() < deadline, "{always} does not die");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    bed.start();
    let state = "{{.State.Status}} {{.State.ExitCode}}";
    bed.until(&["inspect", "-f", state, "code"], "exited 7");
    bed.until(&["inspect", "-f", state, "signal"], "exited 137");
    bed.until(&["inspect", "-f", state, "not-again"], "exited 0");
    bed.until(&["inspect", "-f", state, "stopped"], "exited 137");
    bed.until(&["inspect", "-f", "{{.State.Status}} {{.RestartCount}}", "again"], "exited 2");
    bed.until(&["inspect", "-f", "{{.State.Status}}", "always"], "running");
    assert_ne!(pid_of(&bed, "always"), always);
    assert_eq!(bed.docker(&["wait", "code"]).ok(), "7");
    bed.until(&["ps", "-aq", "--filter", "name=removes"], "");
    bed.until(&["volume", "ls", "-q"], "");
    bed.until(&["inspect", "-f", state, "talks"], "exited 0");
    let lines = bed.docker(&["logs", "talks"]).ok();
    let expect: Vec<String> = (1..=3000).map(|n| n.to_string()).collect();
    assert!(lines.lines().eq(expect.iter().map(String::as_str)), "{} lines", lines.lines().count());
    assert_eq!(bed.docker(&["logs", "again"]).ok(), "failed\nfailed\nfailed");
}

#[test]
fn privileged_a_supervisor_that_stands_still_does_not_hold_up_the_daemon() {
    let mut bed = Bed::new();
    for name in ["still", "moves"] {
        bed.docker(&["run", "-d", "--name", name, "busybox", "sleep", "1000"]).ok();
    }
    let pid = bed.docker(&["inspect", "-f", "{{.State.Pid}}", "still"]).ok();
    let supervisor = crate::faults::parent_of(&pid);
    let signal = |signal: &str| {
        let sent = std::process::Command::new("kill").args([signal, &supervisor]).status().expect("run kill");
        assert!(sent.success());
    };
    signal("-STOP");
    bed.crash();
    bed.start();
    assert_eq!(bed.docker(&["exec", "moves", "echo", "alive"]).ok(), "alive");
    assert_eq!(
        bed.docker(&["inspect", "-f", "{{.State.Status}} {{.State.Pid}}", "still"]).ok(),
        format!("running {pid}")
    );
    signal("-CONT");
    assert_eq!(bed.docker(&["exec", "still", "echo", "alive"]).ok(), "alive");
    bed.docker(&["kill", "still"]).ok();
    assert_eq!(bed.docker(&["wait", "still"]).ok(), "137");
}

#[test]
fn privileged_a_restart_removes_what_was_to_be_removed_at_its_end_and_does_not_run() {
    let mut bed = Bed::new();
    bed.docker(&["create", "--rm", "--name", "made", "busybox", "true"]).ok();
    bed.docker(&["create", "--name", "stays", "busybox", "true"]).ok();
    bed.docker(&["run", "-d", "--rm", "--name", "runs", "busybox", "sleep", "1000"]).ok();
    for way in WAYS {
        go_and_come(&mut bed, way);
        assert_eq!(bed.docker(&["ps", "-a", "--format", "{{.Names}}"]).ok(), "runs\nstays", "{way}");
    }
    bed.docker(&["rm", "-f", "runs"]).ok();
}
