//! Containers that are put on disk and brought back, where criu(8) is installed and works on this kernel.

#![allow(clippy::unwrap_used)] // Tests; clippy sees only functions marked as such.

mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::Bundle;

/// Whether criu works here; says what is skipped if not.
fn criu_works() -> bool {
    match Command::new("criu").arg("check").output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            eprintln!("skipped: criu check: {}", String::from_utf8_lossy(&output.stderr).trim_end());
            false
        }
        Err(error) => {
            eprintln!("skipped: criu: {error}");
            false
        }
    }
}

#[test]
fn privileged_without_criu_the_reason_is_told() {
    let bundle = Bundle::new("sleep 1000");
    bundle.start();
    let output = bundle.command(&["checkpoint", &bundle.id]).env("PATH", "/nonexistent").output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && err.contains("criu, which is not in $PATH"), "{err}");
    assert!(bundle.runtime(&["state", &bundle.id]).1.contains("running"));
}

#[test]
fn privileged_what_cannot_be_checkpointed_is_refused() {
    let bundle = Bundle::new("sleep 1000");
    for args in [&["checkpoint", "none"][..], &["checkpoint", "--manage-cgroups-mode", "odd", "none"]] {
        assert_eq!(bundle.runtime(args).0, 1, "{args:?}");
    }
    let output = bundle.command(&["create", &bundle.id]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(output.unwrap().success());
    let (code, _, err) = bundle.runtime(&["checkpoint", &bundle.id]);
    assert!(code == 1 && err.contains("cannot be checkpointed in created state"), "{err}");
}

#[test]
fn privileged_a_container_goes_on_where_it_was() {
    if !criu_works() {
        return;
    }
    let mut bundle = Bundle::new("i=0; while :; do i=$((i + 1)); echo $i > /counter; sleep 0.1; done");
    // criu 3.17 dumps the links of a new network namespace even where they are not wanted, and fails on newer kernels.
    bundle.linux().namespaces.retain(|namespace| namespace.kind != types::spec::NamespaceKind::Network);
    std::fs::write(bundle.path().join("bound"), "of the host").unwrap();
    bundle.spec.mounts.push(types::spec::Mount {
        destination: "/bound".into(),
        kind: "bind".into(),
        source: bundle.path().join("bound").to_string_lossy().into_owned(),
        options: vec!["bind".into()],
        ..Default::default()
    });
    let counter = || -> u64 {
        std::fs::read_to_string(bundle.rootfs().join("counter"))
            .unwrap_or_default()
            .trim()
            .parse()
            .unwrap_or(0)
    };
    let wait_beyond = |least: u64| {
        let deadline = Instant::now() + Duration::from_secs(120);
        while counter() <= least {
            assert!(Instant::now() < deadline, "stays at {}", counter());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let quietly = |args: &[&str]| {
        let err = std::fs::File::create(bundle.path().join("err")).unwrap();
        let status = bundle.command(args).stdout(Stdio::null()).stderr(err).status().unwrap();
        let log =
            |name: &str| std::fs::read_to_string(bundle.path().join("images").join(name)).unwrap_or_default();
        let told = || std::fs::read_to_string(bundle.path().join("err")).unwrap();
        assert!(status.success(), "{args:?}: {}{}{}", told(), log("dump.log"), log("restore.log"));
    };
    bundle.start();
    wait_beyond(3);
    quietly(&["checkpoint", "--image-path", "images", "--leave-running", &bundle.id]);
    wait_beyond(counter());
    quietly(&["checkpoint", "--image-path", "images", &bundle.id]);
    assert_ne!(bundle.runtime(&["state", &bundle.id]).0, 0, "a checkpointed container is gone");
    let then = counter();
    std::fs::write(bundle.rootfs().join("counter"), "0").unwrap();
    quietly(&["restore", "--detach", "--image-path", "images", "--pid-file", "pid", &bundle.id]);
    wait_beyond(then);
    let pid = std::fs::read_to_string(bundle.path().join("pid")).unwrap();
    let (_, state, _) = bundle.runtime(&["state", &bundle.id]);
    assert!(state.contains("running") && state.contains(&format!("\"pid\": {pid}")), "{state}");
    let (code, out, err) = bundle.runtime(&["exec", &bundle.id, "cat", "/bound"]);
    assert_eq!((code, out.as_str()), (0, "of the host"), "{err}");
    assert_eq!(bundle.runtime(&["kill", &bundle.id, "KILL"]).0, 0);
}
