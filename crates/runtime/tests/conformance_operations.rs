//! The specification's sentences about operations and the life of a container (runtime.md), tried: each test names those that it
//! covers. `WHARF_RUNTIME=/usr/sbin/runc` runs the same against another runtime.

#![allow(clippy::unwrap_used)] // Tests; clippy sees only functions marked as such.

mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};

use support::Bundle;
use types::spec::{Hook, Hooks, NamespaceKind};

fn create(bundle: &Bundle) {
    // Init keeps the standard descriptors of `create`: pipes would never end.
    let mut command = bundle.command(&["create", "--pid-file", "pid", &bundle.id]);
    assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
}

fn state(bundle: &Bundle) -> serde_json::Value {
    let (code, out, err) = bundle.runtime(&["state", &bundle.id]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// runtime.md, Lifecycle: "While the resources requested in the config.json MUST be created, the user-specified program MUST NOT
/// be run at this time. Any updates to config.json after this step MUST NOT affect the container."; create: "process.args MUST
/// NOT be applied until triggered by the start operation"; start: "This operation MUST run the user-specified program".
#[test]
fn privileged_the_program_runs_at_start_as_it_was_configured_at_create() {
    let mut bundle = Bundle::new("echo first > /ran");
    create(&bundle);
    let ran = bundle.rootfs().join("ran");
    bundle.process().args = ["/bin/sh", "-c", "echo second > /ran"].map(String::from).to_vec();
    assert_eq!(state(&bundle)["status"], "created");
    assert!(!ran.exists());
    assert_eq!(bundle.runtime(&["start", &bundle.id]).0, 0);
    until("it ends", || state(&bundle)["status"] == "stopped");
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), "first\n");
    assert_eq!(bundle.runtime(&["delete", &bundle.id]).0, 0);
}

/// runtime.md, State: "ociVersion", "id", "status", "pid", "bundle", "annotations"; "This operation MUST return the state of a
/// container as specified in the State section."
#[test]
fn privileged_the_state_has_every_property() {
    let mut bundle = Bundle::new("sleep 1000");
    bundle.spec.annotations.insert("com.example.key".into(), "value".into());
    let pid = bundle.start();
    let state = state(&bundle);
    assert!(state["ociVersion"].as_str().unwrap().starts_with("1."), "{state}");
    assert_eq!(state["id"], bundle.id.as_str());
    assert_eq!((state["status"].as_str(), state["pid"].as_i64()), (Some("running"), Some(pid.into())));
    assert_eq!(state["bundle"], bundle.path().to_str().unwrap());
    assert_eq!(state["annotations"]["com.example.key"], "value");
}

/// runtime.md, create: "This operation MUST generate an error if it is not provided a path to the bundle and the container ID",
/// "If the ID provided is not unique across all containers within the scope of the runtime, or is not valid in any other way,
/// the implementation MUST generate an error and a new container MUST NOT be created."
#[test]
fn privileged_a_container_needs_a_bundle_and_an_id_of_its_own() {
    let bundle = Bundle::new("sleep 1000");
    let list = |bundle: &Bundle| bundle.runtime(&["list", "-q"]).1;
    assert_ne!(bundle.runtime(&["create"]).0, 0);
    assert_ne!(bundle.runtime(&["create", "--bundle", "/nonexistent", &bundle.id]).0, 0);
    for wrong in ["", ".", "..", "a/b", "../up", "a b", "ä"] {
        assert_ne!(bundle.runtime(&["create", wrong]).0, 0, "{wrong:?}");
    }
    assert_eq!(list(&bundle), "");
    create(&bundle);
    let pid = state(&bundle)["pid"].clone();
    assert_ne!(bundle.runtime(&["create", &bundle.id]).0, 0);
    assert_eq!(state(&bundle)["pid"], pid, "the first is as it was");
    assert_eq!(list(&bundle), format!("{}\n", bundle.id));
}

/// runtime.md, kill: "This operation MUST send the specified signal to the container process", also to one that is created.
#[test]
fn privileged_signals_arrive_by_name_and_number() {
    let bundle = Bundle::new(
        "trap 'echo USR1 >> /got' USR1; trap 'echo HUP >> /got' HUP; trap 'echo TERM >> /got' TERM
         : > /ready; while :; do sleep 0.05; done",
    );
    bundle.start();
    until("it is ready", || bundle.rootfs().join("ready").exists());
    let got = || std::fs::read_to_string(bundle.rootfs().join("got")).unwrap_or_default();
    for (signal, expect) in [("USR1", "USR1\n"), ("SIGHUP", "USR1\nHUP\n"), ("15", "USR1\nHUP\nTERM\n")] {
        assert_eq!(bundle.runtime(&["kill", &bundle.id, signal]).0, 0, "{signal}");
        until(signal, || got() == expect);
    }
    assert_ne!(bundle.runtime(&["kill", &bundle.id, "NOSUCH"]).0, 0);

    let created = Bundle::new("sleep 1000");
    create(&created);
    assert_eq!(created.runtime(&["kill", &created.id, "KILL"]).0, 0);
    until("a created one ends", || state(&created)["status"] == "stopped");
}

/// runtime.md, delete: "Attempting to delete a container that is not stopped MUST have no effect on the container and MUST
/// generate an error. Deleting a container MUST delete the resources that were created during the create step. Note that
/// resources associated with the container, but not created by this container, MUST NOT be deleted."
#[test]
fn privileged_delete_takes_what_create_made_and_no_more() {
    let first = Bundle::new("sleep 1000");
    let pid = first.start();
    assert_ne!(first.runtime(&["delete", &first.id]).0, 0);
    assert_eq!(state(&first)["status"], "running");

    // Another one in its network, with a bind mount.
    let kept = first.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    let mut second = Bundle::new("touch /kept/file");
    second.namespace(NamespaceKind::Network, &format!("/proc/{pid}/ns/net"));
    second.spec.mounts.push(types::spec::Mount {
        destination: "/kept".into(),
        kind: "bind".into(),
        source: kept.to_string_lossy().into_owned(),
        options: vec!["bind".into()],
        ..Default::default()
    });
    let network = std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    second.output();
    assert!(kept.join("file").exists());
    assert!(second.rootfs().join("bin").exists(), "the root file system stays");
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap(), network);
    assert_eq!(state(&first)["status"], "running");
}

/// runtime.md, Lifecycle: "If any poststop hook fails, the runtime MUST log a warning, but the remaining hooks and lifecycle
/// continue as if the hook had succeeded"; config.md: "The poststop hooks MUST be called after the container is deleted but
/// before the delete operation returns", "poststart ... after the user-specified process is executed but before the start
/// operation returns".
#[test]
fn privileged_hooks_after_start_and_after_the_end_are_done_when_the_operation_returns() {
    let mut bundle = Bundle::new("sleep 1000");
    let log = bundle.path().join("log");
    let hook = |script: &str| Hook {
        path: "/bin/sh".into(),
        args: ["sh", "-c", script].map(String::from).to_vec(),
        ..Hook::default()
    };
    let say = |word: &str| hook(&format!("sleep 0.3; echo {word} >> {}", log.display()));
    bundle.spec.hooks = Some(Hooks {
        poststart: vec![say("poststart")],
        poststop: vec![say("first"), hook("echo because >&2; exit 3"), say("last")],
        ..Hooks::default()
    });
    create(&bundle);
    assert!(!log.exists());
    let mut start = bundle.command(&["start", &bundle.id]);
    assert!(start.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "poststart\n");
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).0, 0);
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "poststart\nfirst\nlast\n");
    assert_ne!(bundle.runtime(&["state", &bundle.id]).0, 0);
}

/// config.md: "The createContainer hooks' path MUST resolve in the runtime namespace ... MUST be executed in the container
/// namespace ... before the pivot_root"; "The startContainer hooks' path MUST resolve in the container namespace".
#[test]
fn privileged_hooks_run_in_the_namespaces_that_are_theirs() {
    let mut bundle = Bundle::new("true");
    let outside = bundle.path().join("outside");
    let inside = bundle.rootfs().join("inside");
    let tell = |name: &str, file: &std::path::Path| Hook {
        path: "/bin/sh".into(),
        args: [
            "sh",
            "-c",
            &format!(
                "echo {name} $(readlink /proc/self/ns/uts) $(ls / | grep -c '^lab$') >> {}",
                file.display()
            ),
        ]
        .map(String::from)
        .to_vec(),
        env: vec!["PATH=/usr/bin:/bin".into()],
        ..Hook::default()
    };
    std::fs::create_dir(bundle.rootfs().join("lab")).unwrap();
    bundle.spec.hooks = Some(Hooks {
        prestart: vec![tell("prestart", &outside)],
        create_runtime: vec![tell("createRuntime", &outside)],
        create_container: vec![tell("createContainer", &outside)],
        start_container: vec![tell("startContainer", std::path::Path::new("/inside"))],
        poststart: vec![tell("poststart", &outside)],
        poststop: vec![tell("poststop", &outside)],
    });
    bundle.output();
    let own = std::fs::read_link("/proc/self/ns/uts").unwrap().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(&outside).unwrap() + &std::fs::read_to_string(&inside).unwrap();
    let seen: Vec<(&str, bool, bool)> = text
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[0], words[1] == own, words[2] == "1")
        })
        .collect();
    assert_eq!(
        seen,
        [
            // Name, the runtime's namespaces, the container's root.
            ("prestart", true, false),
            ("createRuntime", true, false),
            ("createContainer", false, false),
            ("poststart", true, false),
            ("poststop", true, false),
            ("startContainer", false, true),
        ]
    );
}
