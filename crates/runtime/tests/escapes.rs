//! Known ways out of a container, tried. Each test says what would happen to a runtime that is open to it.

#![allow(clippy::unwrap_used)] // Tests; clippy sees only functions marked as such.

mod support;

use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use support::{Bundle, told};

const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";

/// Without a tmpfs of its own, `/dev` is the image's.
fn with_dev_of_the_image(script: &str) -> Bundle {
    let mut bundle = Bundle::new(script);
    bundle.spec.mounts.retain(|mount| !mount.destination.starts_with("/dev"));
    std::fs::create_dir_all(bundle.rootfs().join("dev/pts")).unwrap();
    bundle
}

/// CVE-2025-31133: runc covered masked files with the container's `/dev/null`; where the image has a link there, what it
/// points to appeared, writable, in place of the masked file. The host's null device is used here, and verified.
#[test]
fn privileged_masks_do_not_follow_the_images_null_device() {
    let mut bundle = with_dev_of_the_image(
        "wc -c < /masked; echo overwritten > /masked; cat /proc/sys/kernel/core_pattern",
    );
    symlink(CORE_PATTERN, bundle.rootfs().join("dev/null")).unwrap();
    std::fs::write(bundle.rootfs().join("masked"), "secret").unwrap();
    bundle.linux().masked_paths.push("/masked".into());
    let before = std::fs::read_to_string(CORE_PATTERN).unwrap();
    let (_, out, _) = bundle.run();
    let after = std::fs::read_to_string(CORE_PATTERN).unwrap();
    assert_eq!(before, after);
    assert!(!out.contains("secret") && (out.is_empty() || out.starts_with("0\n")), "{out}");
}

/// CVE-2025-52565: the terminal was bound to where the image's `/dev/console` pointed, which covered what was to be masked
/// or read-only below `/proc`, and `/dev/pts/ptmx` could be a file of the image's choice.
#[test]
fn privileged_the_console_is_not_mounted_where_a_link_leads() {
    let mut bundle = Bundle::new(
        "grep -cE ' /proc/(sysrq-trigger|sys/kernel/core_pattern) .*devpts' /proc/self/mountinfo",
    );
    bundle.spec.mounts.retain(|mount| mount.destination != "/dev");
    std::fs::create_dir_all(bundle.rootfs().join("dev")).unwrap();
    symlink(CORE_PATTERN, bundle.rootfs().join("dev/console")).unwrap();
    bundle.process().terminal = true;
    let listener = UnixListener::bind(bundle.path().join("console.sock")).unwrap();
    let args = ["run", "--detach", "--console-socket", "console.sock", &bundle.id];
    let output = bundle.command(&args).output().unwrap();
    if !output.status.success() {
        return; // refused
    }
    let (stream, _) = listener.accept().unwrap();
    let (_, mut fds) = linux::fd::recv_fds(stream.as_fd(), &mut [0; 256]).unwrap();
    let mut text = Vec::new();
    let _ = std::io::Read::read_to_end(&mut std::fs::File::from(fds.remove(0)), &mut text);
    assert_eq!(String::from_utf8_lossy(&text).trim(), "0");
}

/// CVE-2025-52565, second part: a pseudo-terminal is asked from what the image says is one.
#[test]
fn privileged_a_file_called_ptmx_is_not_a_terminal() {
    let mut bundle = with_dev_of_the_image("true");
    std::fs::write(bundle.rootfs().join("dev/ptmx"), "").unwrap();
    bundle.process().terminal = true;
    let _listener = UnixListener::bind(bundle.path().join("console.sock")).unwrap();
    let args = ["run", "--detach", "--console-socket", "console.sock", &bundle.id];
    let output = bundle.command(&args).output().unwrap();
    // devices::make replaces it by the link that the specification demands, or the file is refused.
    let (code, _, err) = told(&output);
    assert!(code != 0, "{err}");
}

/// CVE-2021-30465: a target that is swapped for a link while it is looked up. The loop below swaps as fast as it can; a
/// runtime that resolves first and mounts by path then shows the host's directory, or mounts on it, in some of the rounds.
#[test]
fn privileged_targets_swapped_during_creation_stay_inside() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use std::sync::atomic::{AtomicBool, Ordering};
    let mut bundle = Bundle::new("true");
    let outside = tempfile::tempdir().unwrap();
    let (plain, link) = (bundle.rootfs().join("volume"), bundle.rootfs().join("link"));
    std::fs::create_dir(&plain).unwrap();
    symlink(format!("../../../../../../../..{}", outside.path().display()), &link).unwrap();
    bundle.spec.mounts.push(types::spec::Mount {
        destination: "/volume/made".into(),
        kind: "tmpfs".into(),
        source: "tmpfs".into(),
        ..Default::default()
    });
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = renameat_with(CWD, &plain, CWD, &link, RenameFlags::EXCHANGE);
            }
        });
        for _ in 0..20 {
            // Fails or not: what matters is outside.
            let _ = bundle.run();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

/// TIOCSTI: a process without a terminal of its own that keeps its caller's types commands into the caller's shell. It has a
/// session of its own, so `/dev/tty` leads nowhere.
#[test]
fn privileged_the_callers_terminal_is_out_of_reach() {
    let bundle = Bundle::new("(: < /dev/tty) 2>&1; cut -d' ' -f7 /proc/self/stat");
    let inner = bundle.command(&["run", &bundle.id]);
    let words: Vec<String> = std::iter::once(inner.get_program())
        .chain(inner.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    // In a terminal of its own, with pipes for the container.
    let shell = format!("{} </dev/null 2>&1 | cat", words.join(" "));
    let mut command = Command::new("script");
    command.args(["-qec", &shell, "/dev/null"]).current_dir(bundle.path()).stdin(Stdio::null());
    let Ok(output) = command.output() else {
        eprintln!("skipped: no script(1) here");
        return;
    };
    let (_, out, err) = told(&output);
    assert!(out.contains("No such device or address") && out.contains("\n0"), "{out}{err}");
}

/// A session keyring shared with the caller would hand over its keys (CVE-2014-9090's class); the container has its own.
#[test]
fn privileged_the_session_keyring_is_the_containers_own() {
    let mut bundle = Bundle::new("grep _ses /proc/keys");
    bundle.linux().masked_paths.clear();
    let (_, out, err) = bundle.run();
    if out.is_empty() && err.contains("No such file") {
        return; // a kernel without keys
    }
    assert!(out.contains(&format!("_ses.{}", bundle.id)), "{out}{err}");
}

/// CVE-2022-29162 and its like: an exec with more rights than the container, through inheritable or ambient sets.
#[test]
fn privileged_an_exec_has_no_more_capabilities_than_its_container() {
    let mut bundle = Bundle::new("sleep 1000");
    bundle.process().capabilities = None;
    bundle.start();
    let (code, out, err) = bundle.runtime(&["exec", &bundle.id, "grep", "-E", "^Cap", "/proc/self/status"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(out.lines().filter(|line| line.ends_with("\t0000000000000000")).count(), 5, "{out}");
}

/// CVE-2016-9962: while an exec enters, the container's processes see it; were it dumpable, they could take its descriptors
/// of the host. Seen from outside: the one who executes inside holds none but its own three.
#[test]
fn privileged_an_exec_brings_no_descriptors_along() {
    let bundle = Bundle::new("sleep 1000");
    bundle.start();
    let inner = bundle.command(&["exec", &bundle.id, "ls", "/proc/self/fd"]);
    let mut outer = Command::new("/bin/sh");
    outer.args(["-c", "exec 9</; exec \"$@\"", "sh"]).arg(inner.get_program()).args(inner.get_args());
    let (_, out, err) = told(&outer.current_dir(bundle.path()).stdin(Stdio::null()).output().unwrap());
    assert_eq!(out, "0\n1\n2\n3\n", "3 is that of ls: {err}");
}
