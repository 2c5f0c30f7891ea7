//! What who calls the command line sees: help, usage errors, readiness passed on, descriptors handed over, and the odd configuration.

#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use support::{Bundle, runtime_path, told};
use types::spec::NamespaceKind;

fn plain(args: &[&str]) -> (i32, String, String) {
    told(&Command::new(runtime_path()).args(args).output().unwrap())
}

#[test]
fn usage_errors_show_the_help_and_say_what_is_wrong() {
    for (args, code, out, err) in [
        (&["state", "--help"][..], 0, " state - ", ""),
        (&["help", "state"], 0, " state - ", ""),
        (&[], 0, "GLOBAL OPTIONS:", ""),
        (&["state"], 1, "Incorrect Usage.\n\nNAME:", r#"\"state\" requires exactly 1 argument(s)"#),
        (&["kill"], 1, "Incorrect Usage.", r#"\"kill\" requires a minimum of 1 argument(s)"#),
        (&["exec"], 1, "Incorrect Usage.", r#"\"exec\" requires a minimum of 1 argument(s)"#),
        (&["run", "--nope"], 1, "--bundle value, -b value", "flag provided but not defined: -nope"),
        (&["nope"], 3, "", "No help topic for 'nope'"),
    ] {
        let told = plain(args);
        assert!(told.0 == code && told.1.contains(out) && told.2.contains(err), "{args:?}: {told:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_reason_to_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let (code, _, err) = told(&Command::new(runtime_path()).arg("features").stdout(writer).output().unwrap());
    assert!(code == 1 && err.contains("write to standard output"), "{code} {err}");
}

/// config.md, "Process": required when `start` is called.
#[test]
fn privileged_a_container_without_a_process_is_created_and_cannot_start() {
    let mut bundle = Bundle::new("true");
    bundle.spec.process = None;
    let id = bundle.id.clone();
    // Its output would be held open by what waits for the start.
    let mut create = bundle.command(&["create", &id]);
    assert!(create.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    let (code, _, err) = bundle.runtime(&["start", &id]);
    assert!(code == 1 && err.contains("process property must not be empty"), "{err}");
    assert!(bundle.runtime(&["state", &id]).1.contains(r#""status": "stopped""#));
    assert_eq!(bundle.runtime(&["delete", &id]).0, 0);
}

#[test]
fn privileged_mounts_without_a_mount_namespace_go_with_the_container() {
    let mut bundle = Bundle::new("ls /proc/self >/dev/null && sleep 1000");
    bundle.linux().namespaces.retain(|namespace| namespace.kind != NamespaceKind::Mount);
    bundle.linux().masked_paths.clear();
    bundle.linux().readonly_paths.clear();
    let mounted = |bundle: &Bundle| {
        let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        text.lines().filter(|line| line.contains(&*bundle.path().to_string_lossy())).count()
    };
    bundle.start();
    assert!(mounted(&bundle) > 3);
    // An exec must not end up in the host's root, which is that of its mount namespace.
    let (code, out, err) = bundle.runtime(&["exec", &bundle.id, "ls", "/"]);
    assert_eq!((code, out.contains("proc"), out.contains("usr")), (0, true, false), "{out}{err}");
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).0, 0);
    assert_eq!(mounted(&bundle), 0);

    bundle.process().args = vec!["/nope".into()];
    assert_ne!(bundle.run().0, 0);
    assert_eq!(mounted(&bundle), 0);
}

#[test]
fn privileged_readiness_is_passed_on_to_the_service_manager() {
    // What sends it: busybox has no client of datagram sockets, so the test itself writes to the container's.
    let bundle = Bundle::new("echo $NOTIFY_SOCKET > /seen; until test -e /go; do sleep 0.1; done");
    let manager = UnixDatagram::bind(bundle.path().join("manager")).unwrap();
    manager.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let mut command = bundle.command(&["run", "--detach", &bundle.id]);
    command.env("NOTIFY_SOCKET", bundle.path().join("manager")).stdout(Stdio::null()).stderr(Stdio::null());
    let mut run = command.spawn().unwrap();
    let own = bundle.path().join("state").join(&bundle.id).join("notify/notify.sock");
    let client = UnixDatagram::unbound().unwrap();
    // From the directory: its path is longer than an address may be.
    let opened = std::fs::File::open(bundle.path()).unwrap();
    let short = format!(
        "/proc/self/fd/{}/{}",
        std::os::fd::AsRawFd::as_raw_fd(&opened),
        own.strip_prefix(bundle.path()).unwrap().display()
    );
    while client.send_to(b"STATUS=warm\nREADY=1", &short).is_err() {
        assert!(run.try_wait().unwrap().is_none(), "the container was not made");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let hear = || {
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    // The descriptor that comes with the last is closed by being received without room for it.
    let heard = [hear(), hear(), hear()];
    assert!(run.wait().unwrap().success());
    let state: serde_json::Value = serde_json::from_str(&bundle.runtime(&["state", &bundle.id]).1).unwrap();
    assert_eq!(heard, ["READY=1\n".into(), format!("MAINPID={}\n", state["pid"]), "BARRIER=1".to_owned()]);
    while std::fs::read_to_string(bundle.rootfs().join("seen")).unwrap_or_default()
        != "/run/notify/notify.sock\n"
    {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn privileged_descriptors_of_socket_activation_are_passed_and_told_of() {
    let bundle = Bundle::new("echo $LISTEN_FDS $LISTEN_PID; readlink /proc/self/fd/3");
    let run = |pid: &str| {
        let script = format!("exec 3</dev/null; LISTEN_FDS=1 LISTEN_PID={pid} exec \"$@\"");
        let inner = bundle.command(&["run", &bundle.id]);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script, "sh"]).arg(inner.get_program()).args(inner.get_args());
        told(&command.current_dir(bundle.path()).output().unwrap())
    };
    assert_eq!(run("$$").1, "1 1\n/dev/null\n");
    // Meant for another process.
    assert_eq!(run("1").1, "\n");

    let (code, _, err) = bundle.runtime(&["run", "--preserve-fds", "999", &bundle.id]);
    assert!(code == 1 && err.contains("unable to stat preserved-fd "), "{err}");
}
