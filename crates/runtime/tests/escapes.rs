//! Known ways out of a container, tried. Each is tried twice: against the runtime, which must withstand it, and against a build
//! that leaves out the one defence it is about (`linux::weakened`), where it must succeed; else the test would show nothing.
//!
//!     cargo build -p runtime --features weakened --example wharf-runtime-weakened

#![allow(clippy::unwrap_used)] // Tests; clippy sees only functions marked as such.

mod support;

use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use support::{Bundle, copy_program, told, weakened_path};
use types::spec::{Device, Mount};

/// `escapes` tells whether an attempt succeeded against a runtime without the named defences.
fn withstood_only_by(defences: &'static str, escapes: impl Fn(&'static str) -> bool) {
    assert!(!escapes(""), "escaped");
    if weakened_path().is_some() {
        assert!(escapes(defences), "does not escape without {defences} either: the attempt shows nothing");
    } else {
        eprintln!("not shown to be found: no build of the example wharf-runtime-weakened");
    }
}

/// Without a tmpfs of its own, `/dev` is the image's.
fn with_dev_of_the_image(script: &str, without: &'static str) -> Bundle {
    let mut bundle = Bundle::without(script, without);
    bundle.spec.mounts.retain(|mount| !mount.destination.starts_with("/dev"));
    std::fs::create_dir_all(bundle.rootfs().join("dev/pts")).unwrap();
    bundle
}

fn mount(kind: &str, source: &Path, destination: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: kind.into(),
        source: source.to_string_lossy().into_owned(),
        options: options.iter().map(ToString::to_string).collect(),
        ..Mount::default()
    }
}

/// CVE-2019-5736: before `start`, process 1 is the runtime. A process beside it keeps its executable open, and writes to it once
/// it no longer runs: the next container of the host is started by the attacker's program.
#[test]
fn privileged_the_runtimes_executable_cannot_be_overwritten() {
    withstood_only_by("seal", |without| {
        let mut bundle = Bundle::without("sleep 1000", without);
        // As much as such an attack could wish for.
        let caps = bundle.process().capabilities.get_or_insert_default();
        for set in [&mut caps.bounding, &mut caps.effective, &mut caps.permitted] {
            set.push("CAP_SYS_PTRACE".into());
        }
        // By the same name, which tells the one binary what it is.
        let copy = bundle.path().join("wharf-runtime");
        copy_program(&bundle.program(), &copy);
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
        let run = |args: &[&str]| {
            let inner = bundle.command(args);
            let mut command = Command::new(&copy);
            command.args(inner.get_args()).current_dir(bundle.path()).env("WHARF_WEAKENED", without);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().unwrap().success()
        };
        assert!(run(&["create", &bundle.id]));
        let attack = "exec 3< /proc/1/exe; touch /opened
            while [ ! -e /started ]; do sleep 0.05; done
            echo overwritten > /proc/self/fd/3; touch /tried";
        let mut exec =
            bundle.command(&["exec", "--detach", "--cap", "CAP_SYS_PTRACE", &bundle.id, "sh", "-c", attack]);
        assert!(exec.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
        wait_for(&bundle.rootfs().join("opened"));
        assert!(run(&["start", &bundle.id]));
        std::fs::write(bundle.rootfs().join("started"), "").unwrap();
        wait_for(&bundle.rootfs().join("tried"));
        std::fs::read(&copy).unwrap().starts_with(b"overwritten")
    });
}

fn wait_for(path: &Path) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !path.exists() {
        assert!(std::time::Instant::now() < deadline, "{} did not appear", path.display());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// CVE-2025-31133: runc covered masked files with the container's `/dev/null`; where the image has a link there, what it
/// points to appeared, writable, in place of the masked file. The host's null device is used here, and verified.
#[test]
fn privileged_masks_do_not_follow_the_images_null_device() {
    withstood_only_by("null", |without| {
        let mut bundle = Bundle::without("cat /masked", without);
        // `/dev` comes from a volume, as when a container swaps the device for a link after it was made. What the link leads
        // to is harmless; the attack would take core_pattern.
        let dev = bundle.path().join("dev");
        std::fs::create_dir(&dev).unwrap();
        symlink("/proc/sys/kernel/osrelease", dev.join("null")).unwrap();
        bundle.spec.mounts.retain(|mount| !mount.destination.starts_with("/dev"));
        bundle.spec.mounts.push(mount("bind", &dev, "/dev", &["bind"]));
        std::fs::write(bundle.rootfs().join("masked"), "secret").unwrap();
        bundle.linux().masked_paths.push("/masked".into());
        let (_, out, _) = bundle.run();
        !out.is_empty()
    });
}

/// CVE-2025-52565: the terminal was bound to where the image's `/dev/console` pointed, which covered what was to be masked
/// or read-only below `/proc`.
#[test]
fn privileged_the_console_is_not_mounted_where_a_link_leads() {
    withstood_only_by("console", |without| {
        let mut bundle = Bundle::without(
            "grep -cE ' /proc/sys/kernel/core_pattern .*devpts' /proc/self/mountinfo",
            without,
        );
        bundle.spec.mounts.retain(|mount| mount.destination != "/dev");
        std::fs::create_dir_all(bundle.rootfs().join("dev")).unwrap();
        symlink("/proc/sys/kernel/core_pattern", bundle.rootfs().join("dev/console")).unwrap();
        bundle.process().terminal = true;
        let listener = UnixListener::bind(bundle.path().join("console.sock")).unwrap();
        let args = ["run", "--detach", "--console-socket", "console.sock", &bundle.id];
        if !bundle.command(&args).output().unwrap().status.success() {
            return false;
        }
        let (stream, _) = listener.accept().unwrap();
        let (_, mut fds) = linux::fd::recv_fds(stream.as_fd(), &mut [0; 256]).unwrap();
        let mut text = Vec::new();
        let _ = std::io::Read::read_to_end(&mut std::fs::File::from(fds.remove(0)), &mut text);
        String::from_utf8_lossy(&text).trim() != "0"
    });
}

/// CVE-2025-52565, second part: a pseudo-terminal is asked from what the image says is one. A runtime that trusts the name would
/// take the file's bytes for a terminal's; that the kernel answers its ioctl with ENOTTY is a second defence, so that a weakened
/// build could not show more.
#[test]
fn privileged_a_file_called_ptmx_is_not_a_terminal() {
    let mut bundle = with_dev_of_the_image("true", "");
    std::fs::write(bundle.rootfs().join("dev/ptmx"), "").unwrap();
    bundle.process().terminal = true;
    let _listener = UnixListener::bind(bundle.path().join("console.sock")).unwrap();
    let args = ["run", "--detach", "--console-socket", "console.sock", &bundle.id];
    let (code, _, err) = told(&bundle.command(&args).output().unwrap());
    assert!(code != 0, "{err}");
}

/// CVE-2025-52881: what a runtime writes to procfs, a kernel parameter or a label, goes where a mount that the attacker placed
/// over the file leads: `/proc/sysrq-trigger`, or nowhere. Two defences: nothing is mounted below `/proc`, and every write goes
/// through a lookup that crosses no mount. One of them is enough.
#[test]
fn privileged_writes_to_procfs_are_not_redirected() {
    for (defences, expect) in [("", false), ("cover-proc", false), ("cover-proc,proc-writes", true)] {
        if !defences.is_empty() && weakened_path().is_none() {
            continue;
        }
        let mut bundle = Bundle::without("true", defences);
        let victim = bundle.path().join("victim");
        std::fs::write(&victim, "untouched").unwrap();
        bundle.spec.mounts.push(mount("bind", &victim, "/proc/sys/kernel/domainname", &["bind"]));
        bundle.linux().sysctl.insert("kernel.domainname".into(), "redirected".into());
        bundle.run();
        let redirected = std::fs::read_to_string(&victim).unwrap() != "untouched";
        assert_eq!(redirected, expect, "without {defences:?}");
    }
}

/// CVE-2019-16884, CVE-2023-27561: procfs mounted where the image's link `/proc` leads, into a volume that others prepared or
/// see; masks and read-only paths below the real `/proc` then protect nothing.
#[test]
fn privileged_procfs_is_not_mounted_where_a_link_leads() {
    withstood_only_by("plain-proc", |without| {
        let bundle = Bundle::without(
            "/elsewhere/self/root/bin/grep -c ' /elsewhere proc ' /elsewhere/mounts",
            without,
        );
        std::fs::create_dir(bundle.rootfs().join("elsewhere")).unwrap();
        symlink("/elsewhere", bundle.rootfs().join("proc")).unwrap();
        bundle.run().1 == "1\n"
    });
}

/// CVE-2021-30465: a target that is swapped for a link while it is looked up. The loop below swaps as fast as it can; a
/// runtime that resolves first and mounts by path then shows the host's directory, or mounts on it, in some of the rounds.
#[test]
fn privileged_targets_swapped_during_creation_stay_inside() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    withstood_only_by("lookups", |without| {
        let mut bundle = Bundle::without("true", without);
        let outside = tempfile::tempdir().unwrap();
        let (plain, link) = (bundle.rootfs().join("volume"), bundle.rootfs().join("link"));
        std::fs::create_dir(&plain).unwrap();
        symlink(format!("../../../../../../../..{}", outside.path().display()), &link).unwrap();
        bundle.spec.mounts.push(mount("tmpfs", Path::new("tmpfs"), "/volume/made", &[]));
        let escaped = || std::fs::read_dir(outside.path()).unwrap().count() > 0;
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
                if escaped() {
                    break;
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        escaped()
    });
}

/// The same without a race, for the bind mounts of a file and of a directory: a link in the image that leads out.
#[test]
fn privileged_bind_targets_that_lead_out_stay_inside() {
    withstood_only_by("lookups", |without| {
        let mut bundle = Bundle::without("true", without);
        let outside = tempfile::tempdir().unwrap();
        symlink(format!("../../../../../../../..{}", outside.path().display()), bundle.rootfs().join("out"))
            .unwrap();
        let file = bundle.path().join("file");
        std::fs::write(&file, "").unwrap();
        bundle.spec.mounts.push(mount("bind", &file, "/out/file", &["bind"]));
        let source = bundle.path().to_owned();
        bundle.spec.mounts.push(mount("bind", &source, "/out/directory", &["bind"]));
        bundle.run();
        std::fs::read_dir(outside.path()).unwrap().count() > 0
    });
}

/// CVE-2024-21626: a working directory that is reached through a descriptor of the host's root that the caller leaked.
#[test]
fn privileged_the_working_directory_is_inside() {
    withstood_only_by("cwd", |without| {
        let mut bundle = Bundle::without("", without);
        std::fs::write(bundle.path().join("secret"), "").unwrap();
        bundle.process().args = vec!["/bin/ls".into()];
        bundle.process().cwd = "/proc/self/fd/9".into();
        let (_, out, _) = with_leaked_descriptor(&bundle, &["run", &bundle.id]);
        out.contains("secret")
    });
}

/// CVE-2024-21626, CVE-2016-9962: descriptors of the host that a container or an exec inherits.
#[test]
fn privileged_no_descriptors_of_the_host_come_along() {
    withstood_only_by("descriptors", |without| {
        let bundle = Bundle::without("ls /proc/self/fd/9/secret", without);
        std::fs::write(bundle.path().join("secret"), "").unwrap();
        with_leaked_descriptor(&bundle, &["run", &bundle.id]).1.contains("secret")
    });
    withstood_only_by("descriptors", |without| {
        let bundle = Bundle::without("sleep 1000", without);
        std::fs::write(bundle.path().join("secret"), "").unwrap();
        bundle.start();
        let args = ["exec", &bundle.id, "ls", "/proc/self/fd/9/secret"];
        with_leaked_descriptor(&bundle, &args).1.contains("secret")
    });
}

/// The same before `start`: process 1 is the runtime, and an exec beside it looks at what it holds.
#[test]
fn privileged_a_created_container_holds_no_descriptor_of_the_host() {
    withstood_only_by("descriptors", |without| {
        let mut bundle = Bundle::without("sleep 1000", without);
        let caps = bundle.process().capabilities.get_or_insert_default();
        for set in [&mut caps.bounding, &mut caps.effective, &mut caps.permitted] {
            set.push("CAP_SYS_PTRACE".into());
        }
        let mut create = bundle.command(&["create", &bundle.id]);
        assert!(create.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
        let look = "for fd in /proc/1/fd/*; do readlink $fd; done";
        let (code, out, err) =
            bundle.runtime(&["exec", "--cap", "CAP_SYS_PTRACE", &bundle.id, "sh", "-c", look]);
        assert_eq!(code, 0, "{err}");
        assert!(out.contains("/dev/null"), "its standard descriptors are seen: {out}");
        // Init's own: where it hears of its start, and of signals.
        let own = |line: &str| line.starts_with("socket:") || line == "anon_inode:[signalfd]";
        out.lines().any(|line| !line.contains("/dev/null") && !own(line))
    });
}

/// Runs the runtime by a caller that has the bundle's directory open, as 9.
fn with_leaked_descriptor(bundle: &Bundle, args: &[&str]) -> (i32, String, String) {
    let inner = bundle.command(args);
    let mut outer = Command::new("/bin/sh");
    outer.args(["-c", "exec 9<.; exec \"$@\"", "sh"]).arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        outer.env(name, value.unwrap_or_default());
    }
    told(&outer.current_dir(bundle.path()).stdin(Stdio::null()).output().unwrap())
}

/// TIOCSTI: a process without a terminal of its own that keeps its caller's types commands into the caller's shell. It has a
/// session of its own, so `/dev/tty` leads nowhere.
#[test]
fn privileged_the_callers_terminal_is_out_of_reach() {
    if Command::new("script").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("skipped: no script(1) here");
        return;
    }
    withstood_only_by("session", |without| {
        let bundle = Bundle::without(": < /dev/tty && echo reached", without);
        let inner = bundle.command(&["run", &bundle.id]);
        let words: Vec<String> = std::iter::once(inner.get_program())
            .chain(inner.get_args())
            .map(|word| format!("'{}'", word.to_string_lossy()))
            .collect();
        // In a terminal of its own, with pipes for the container.
        let shell = format!("WHARF_WEAKENED={without} {} </dev/null 2>&1 | cat", words.join(" "));
        let mut command = Command::new("script");
        command.args(["-qec", &shell, "/dev/null"]).current_dir(bundle.path()).stdin(Stdio::null());
        let (_, out, err) = told(&command.output().unwrap());
        let reached = out.contains("reached");
        assert!(reached || out.contains("No such device or address"), "{out}{err}");
        reached
    });
}

/// A session keyring shared with the caller would hand over its keys (CVE-2014-9090's class); the container has its own.
#[test]
fn privileged_the_session_keyring_is_the_containers_own() {
    if !Path::new("/proc/keys").exists() {
        eprintln!("skipped: a kernel without keys");
        return;
    }
    withstood_only_by("keyring", |without| {
        let mut bundle = Bundle::without("cat /proc/keys", without);
        bundle.linux().masked_paths.clear();
        let (_, out, err) = bundle.run();
        assert!(err.is_empty(), "{err}");
        !out.contains(&format!("_ses.{}", bundle.id))
    });
}

/// CVE-2022-29162: capabilities in the inheritable set of an exec, which files in the container turn into permitted ones.
#[test]
fn privileged_an_exec_inherits_no_capabilities() {
    withstood_only_by("inheritable", |without| {
        let mut bundle = Bundle::without("sleep 1000", without);
        let _ = bundle.process();
        bundle.start();
        let args =
            ["exec", "--cap", "CAP_KILL", &bundle.id, "grep", "-E", "^Cap(Inh|Amb)", "/proc/self/status"];
        let (code, out, err) = bundle.runtime(&args);
        assert_eq!(code, 0, "{err}");
        out.lines().filter(|line| line.ends_with("\t0000000000000000")).count() != 2
    });
}

/// The same class: an exec with more rights than its container. That capabilities are set at all is its defence.
#[test]
fn privileged_an_exec_has_no_more_capabilities_than_its_container() {
    let mut bundle = Bundle::new("sleep 1000");
    bundle.process().capabilities = None;
    bundle.start();
    let (code, out, err) = bundle.runtime(&["exec", &bundle.id, "grep", "-E", "^Cap", "/proc/self/status"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(out.lines().filter(|line| line.ends_with("\t0000000000000000")).count(), 5, "{out}");
}

/// A device of the host, brought along as a node in a volume: rules for devices keep it shut.
#[test]
fn privileged_device_nodes_in_volumes_cannot_be_opened() {
    withstood_only_by("devices", |without| {
        // A number that no driver has: what counts is which of the two refuses.
        let mut bundle = Bundle::without("cat /volume/node", without);
        let volume = bundle.path().join("volume");
        std::fs::create_dir(&volume).unwrap();
        let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::from_raw_mode(0o666));
        let (cwd, number) = (rustix::fs::CWD, rustix::fs::makedev(1, 99));
        rustix::fs::mknodat(cwd, volume.join("node"), kind, mode, number).unwrap();
        bundle.spec.mounts.push(mount("bind", &volume, "/volume", &["bind", "dev"]));
        let err = bundle.run().2;
        assert!(err.contains("Operation not permitted") || err.contains("No such device"), "{err}");
        err.contains("No such device")
    });
}

/// A program of the volume with the set-user-id bit of root: with `noNewPrivileges` it gains nothing.
#[test]
fn privileged_set_user_id_programs_in_volumes_gain_nothing() {
    withstood_only_by("no-new-privs", |without| {
        // busybox would give up what it does not need. The runtime knows no such care: as root it can read the directory.
        let mut bundle = Bundle::without("/volume/wharf-runtime --root /private list", without);
        let volume = bundle.path().join("volume");
        std::fs::create_dir(&volume).unwrap();
        copy_program(&support::runtime_path(), &volume.join("wharf-runtime"));
        std::fs::set_permissions(volume.join("wharf-runtime"), std::fs::Permissions::from_mode(0o4755))
            .unwrap();
        let private = bundle.rootfs().join("private");
        std::fs::create_dir(&private).unwrap();
        std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o700)).unwrap();
        bundle.spec.mounts.push(mount("bind", &volume, "/volume", &["bind", "suid"]));
        let process = bundle.process();
        process.user.uid = 1000;
        process.no_new_privileges = true;
        bundle.run().0 == 0
    });
}

/// What a container puts in the place of its `/proc` is not asked when an exec joins its namespaces: a runtime that wrote there
/// after the join would leave its words in these files, and label nothing. Labels are opened and limits are set on the host's
/// procfs, before; there is no code to weaken.
#[test]
fn privileged_an_exec_does_not_use_the_containers_procfs() {
    let mut bundle = Bundle::new(
        "mount -t tmpfs fake /proc && mkdir -p /proc/self/attr /proc/self/fd /proc/thread-self/attr &&
         for f in oom_score_adj loginuid setgroups uid_map gid_map attr/exec; do : > /proc/self/$f; done; : > /ready; exec sleep 1000",
    );
    let caps = bundle.process().capabilities.get_or_insert_default();
    for set in [&mut caps.bounding, &mut caps.effective, &mut caps.permitted] {
        set.push("CAP_SYS_ADMIN".into());
    }
    // Masks below it would keep `/proc` busy, not covered.
    bundle.linux().masked_paths.clear();
    bundle.linux().readonly_paths.clear();
    bundle.start();
    wait_for(&bundle.rootfs().join("ready"));
    let process = r#"{"cwd":"/","args":["/bin/find","/proc/self/","-type","f","-size","+0"],"env":["PATH=/bin"],"oomScoreAdj":77}"#;
    std::fs::write(bundle.path().join("process.json"), process).unwrap();
    let (code, out, err) = bundle.runtime(&["exec", "--process", "process.json", &bundle.id]);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
}

/// A node that the image names as one of the container's devices, but is another: made or bound by its path, the host's disk
/// would be behind it.
#[test]
fn privileged_another_node_in_the_place_of_a_device_is_refused() {
    let mut bundle = with_dev_of_the_image("true", "");
    let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::from_raw_mode(0o666));
    let kmsg = rustix::fs::makedev(1, 11);
    rustix::fs::mknodat(rustix::fs::CWD, bundle.rootfs().join("dev/mine"), kind, mode, kmsg).unwrap();
    bundle.linux().devices.push(Device {
        path: "/dev/mine".into(),
        kind: "c".into(),
        major: 1,
        minor: 5,
        file_mode: None,
        uid: None,
        gid: None,
    });
    let (code, _, err) = bundle.run();
    assert!(code != 0 && err.contains("/dev/mine"), "{err}");
}
