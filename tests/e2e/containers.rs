//! A container's life, as Docker's own client sees it.

use crate::bed::Bed;

#[test]
fn privileged_run_prints_and_exits_as_the_process_did() {
    let bed = Bed::new();
    assert_eq!(bed.docker(&["run", "--rm", "busybox", "echo", "hello"]).ok(), "hello");
    bed.docker(&["run", "--rm", "busybox", "sh", "-c", "exit 7"]).fails(7);
    let missing = bed.docker(&["run", "--rm", "busybox", "nosuchcommand"]).fails(127);
    assert!(missing.contains(r#"exec: "nosuchcommand": executable file not found in $PATH"#), "{missing}");
    let denied = bed.docker(&["run", "--rm", "busybox", "/etc/passwd"]).fails(126);
    assert!(denied.contains(r#"exec: "/etc/passwd": permission denied"#), "{denied}");
    assert_eq!(bed.docker(&["ps", "-aq"]).ok(), "", "nothing that failed is left");
}

#[test]
fn privileged_our_client_and_dockers_say_the_same() {
    let bed = Bed::new();
    bed.docker(&["run", "-d", "--name", "one", "busybox", "sleep", "1000"]).ok();
    for arguments in [
        &["ps", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Command}} {{.State}} {{.Image}}"][..],
        &["inspect", "one"],
        &["run", "--rm", "busybox", "echo", "same"],
        &["run", "--rm", "nosuchimage.invalid/x:y", "true"],
        &[
            "images",
            "--digests",
            "--no-trunc",
            "--format",
            "{{.Repository}} {{.Tag}} {{.Digest}} {{.ID}} {{.Size}}",
        ],
        &["exec", "one", "sh", "-c", "echo out; echo err >&2; exit 4"],
        &["logs", "nosuch"],
        &["rm", "one"],
    ] {
        let (docker, wharf) = (bed.docker(arguments), bed.wharf(arguments));
        assert_eq!(
            (docker.code, docker.out, docker.err),
            (wharf.code, wharf.out, wharf.err),
            "{arguments:?}"
        );
    }
}

#[test]
fn privileged_stop_asks_first_and_kills_after_the_timeout() {
    let bed = Bed::new();
    let polite = "trap 'echo bye; exit 5' TERM; echo ready; while true; do sleep 0.1; done";
    bed.docker(&["run", "-d", "--name", "polite", "busybox", "sh", "-c", polite]).ok();
    bed.until(&["logs", "polite"], "ready");
    bed.docker(&["stop", "-t", "30", "polite"]).ok();
    assert_eq!(bed.docker(&["inspect", "-f", "{{.State.ExitCode}}", "polite"]).ok(), "5");
    assert_eq!(bed.docker(&["logs", "polite"]).ok(), "ready\nbye");
    let deaf = "trap '' TERM; echo ready; while true; do sleep 0.1; done";
    bed.docker(&["run", "-d", "--name", "deaf", "busybox", "sh", "-c", deaf]).ok();
    bed.until(&["logs", "deaf"], "ready");
    bed.docker(&["stop", "-t", "0", "deaf"]).ok();
    assert_eq!(bed.docker(&["inspect", "-f", "{{.State.ExitCode}}", "deaf"]).ok(), "137");
}

#[test]
fn privileged_limits_hold_inside_the_container() {
    let bed = Bed::new();
    let read = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max";
    let limit = bed.docker(&["run", "--rm", "--memory", "64m", "busybox", "sh", "-c", read]);
    assert_eq!(limit.ok(), (64 << 20).to_string());
    let hungry = "head -c 200m /dev/zero | tail >/dev/null";
    bed.docker(&["run", "--name", "oom", "--memory", "32m", "busybox", "sh", "-c", hungry]).fails(137);
    assert_eq!(bed.docker(&["inspect", "-f", "{{.State.OOMKilled}}", "oom"]).ok(), "true");
}

#[test]
fn privileged_bridge_containers_reach_each_other_and_not_the_none_network() {
    let bed = Bed::new();
    let server = "while true; do echo found | nc -l -p 8000; done";
    bed.docker(&["run", "-d", "--name", "server", "busybox", "sh", "-c", server]).ok();
    let address = bed.docker(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "server"]).ok();
    let ask = format!("for i in $(seq 50); do nc -w 2 {address} 8000 </dev/null && break; sleep 0.1; done");
    assert_eq!(bed.docker(&["run", "--rm", "busybox", "sh", "-c", &ask]).ok(), "found");
    let links = "ls /sys/class/net";
    assert_eq!(bed.docker(&["run", "--rm", "--network", "none", "busybox", "sh", "-c", links]).ok(), "lo");
    let shared =
        bed.docker(&["run", "--rm", "--network", "container:server", "busybox", "hostname", "-i"]).ok();
    assert_eq!(shared, address);
}
