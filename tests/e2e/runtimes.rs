//! Other OCI runtimes than ours, driven by our supervisor: Debian's runc, and our own as a program of its own.

use std::path::Path;

use crate::bed::{Bed, wharf_binary};

/// `daemon.json` with the runtimes there are here, and their names.
fn configuration() -> (String, Vec<&'static str>) {
    let own = format!(r#""own":{{"path":"{}","runtimeArgs":["runtime"]}}"#, wharf_binary().display());
    let mut runtimes = vec![own, r#""gone":{"path":"/no/such"}"#.to_owned()];
    let mut names = vec!["own"];
    if ["/usr/sbin/runc", "/usr/bin/runc"].iter().any(|path| Path::new(path).exists()) {
        runtimes.push(r#""debian":{"path":"runc","args":[]}"#.to_owned());
        names.push("debian");
    }
    (format!(r#"{{"runtimes":{{{}}}}}"#, runtimes.join(",")), names)
}

/// A bed whose daemon has taken over that configuration while it ran.
fn bed() -> (Bed, Vec<&'static str>) {
    let bed = Bed::new();
    let (json, names) = configuration();
    assert_eq!(
        bed.docker(&["run", "--rm", "--runtime", "own", "busybox"]).fails(125).lines().next(),
        Some("docker: Error response from daemon: unknown or invalid runtime name: own")
    );
    std::fs::write(bed.path("daemon.json"), json).expect("write the configuration");
    bed.signal("-HUP");
    bed.until(&["info", "--format", "{{with index .Runtimes \"own\"}}{{.Args}}{{end}}"], "[runtime]");
    (bed, names)
}

#[test]
fn privileged_another_runtime_makes_containers_and_all_else_is_as_with_ours() {
    let (mut bed, names) = bed();
    let script = "trap 'echo bye; exit 7' TERM; echo up; echo oops >&2; while :; do sleep 0.1; done";
    for name in &names {
        let run = ["run", "-d", "--network", "none", "--memory", "64m", "--runtime", name, "--name", name];
        bed.docker(&[&run[..], &["busybox", "sh", "-c", script]].concat()).ok();
        bed.until(&["logs", name], "up");
        let exec = |more: &[&str]| bed.docker(&[&["exec"], more].concat());
        assert_eq!(
            exec(&["-u", "1000:5", "-w", "/tmp", name, "sh", "-c", "id -u; id -g; pwd"]).ok(),
            "1000\n5\n/tmp"
        );
        assert_eq!(
            bed.docker_with_input(&["exec", "-i", name, "sh", "-c", "cat; exit 4"], b"in").fails(4),
            ""
        );
        exec(&[name, "nosuch"]).fails(127);
        bed.docker(&["pause", name]).ok();
        assert_eq!(bed.docker(&["inspect", "-f", "{{.State.Status}}", name]).ok(), "paused");
        bed.docker(&["unpause", name]).ok();
        bed.docker(&["update", "--memory", "80m", "--memory-swap", "160m", name]).ok();
        let limit = bed.docker(&["stats", "--no-stream", "--format", "{{.MemUsage}}", name]).ok();
        assert!(limit.ends_with("/ 80MiB"), "{limit}");
    }
    bed.crash();
    bed.start();
    let (json, _) = configuration();
    std::fs::write(bed.path("daemon.json"), json).expect("write the configuration");
    bed.signal("-HUP");
    for name in &names {
        assert_eq!(bed.docker(&["exec", name, "echo", "found"]).ok(), "found");
        bed.docker(&["stop", "-t", "60", name]).ok();
        assert_eq!(bed.docker(&["logs", name]).ok(), "up\nbye");
        let format = "{{.State.ExitCode}} {{.HostConfig.Runtime}}";
        assert_eq!(bed.docker(&["inspect", "-f", format, name]).ok(), format!("7 {name}"));
    }
}

#[test]
fn privileged_another_runtimes_terminals_mounts_and_failures_reach_the_client() {
    let (bed, names) = bed();
    for name in names {
        let run = |more: &[&str]| {
            bed.docker(&[&["run", "--rm", "--network", "none", "--runtime", name], more].concat())
        };
        let client = format!("stty rows 41 cols 121; docker run --rm -it --runtime {name} busybox stty size");
        assert!(bed.in_terminal(&client).contains("41 121"), "{name}");
        bed.docker(&[
            "run",
            "--rm",
            "-v",
            "vol:/v",
            "busybox",
            "sh",
            "-c",
            "mkdir -p /v/part; echo part > /v/part/x",
        ])
        .ok();
        let part = "type=volume,src=vol,dst=/p,volume-subpath=part,readonly";
        let said = run(&[
            "--mount",
            part,
            "--tmpfs",
            "/t",
            "busybox",
            "sh",
            "-c",
            "cat /p/x; touch /t/x; touch /p/y",
        ]);
        assert_eq!(said.out.trim_end(), "part", "{name}: {}", said.err);
        assert!(said.err.contains("Read-only file system"), "{name}: {}", said.err);
        assert_eq!(
            run(&["-u", "nosuch", "busybox", "id"]).fails(125).lines().next(),
            Some(
                "docker: Error response from daemon: unable to find user nosuch: no matching entries in passwd file"
            )
        );
        let said = run(&["busybox", "nosuch"]).fails(127);
        let start =
            "failed to create task for container: failed to create shim task: OCI runtime create failed: ";
        assert!(said.contains(start) && said.contains("executable file"), "{name}: {said}");
        assert!(run(&["busybox", "/etc"]).fails(126).contains("permission denied"), "{name}");
    }
    let said = bed.docker(&["run", "--rm", "--network", "none", "--runtime", "gone", "busybox"]).fails(127);
    assert!(said.contains("fork/exec /no/such: no such file or directory"), "{said}");
}
