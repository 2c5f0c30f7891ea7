//! Cgroups that systemd makes. With systemd as process 1 (`scripts/vm/systemd.sh` boots one) all of it, elsewhere what is said
//! without one.

#![allow(clippy::unwrap_used)] // Tests; clippy sees only functions marked as such.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Bundle, told};
use types::spec::{Cpu, Memory, Pids, Resources};

/// Whether systemd is there; says what is skipped if not.
fn is_running() -> bool {
    let running = Path::new("/run/systemd/system").is_dir();
    if !running {
        eprintln!("skipped: systemd is not process 1 here");
    }
    running
}

/// A property of a unit.
fn property(unit: &str, name: &str) -> String {
    let output =
        Command::new("systemctl").args(["show", "--property", name, "--value", unit]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Starts the bundle in the background; the pid of its init.
fn start(bundle: &Bundle) -> i32 {
    let args = ["--systemd-cgroup", "run", "--detach", "--pid-file", "pid", &bundle.id];
    let mut command = bundle.command(&args);
    let output = command
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(bundle.path().join("err")).unwrap())
        .status();
    assert!(output.unwrap().success(), "{}", std::fs::read_to_string(bundle.path().join("err")).unwrap());
    std::fs::read_to_string(bundle.path().join("pid")).unwrap().parse().unwrap()
}

fn cgroup_of(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap()
}

#[test]
fn privileged_without_systemd_the_reason_is_told() {
    let bundle = Bundle::new("true");
    if Path::new("/run/systemd/system").exists() {
        return;
    }
    let (code, _, err) = bundle.runtime(&["--systemd-cgroup", "run", &bundle.id]);
    assert!(
        code == 1 && err.contains("systemd not running on this host, cannot use systemd cgroups manager"),
        "{err}"
    );
}

#[test]
fn privileged_a_path_that_names_no_unit_is_refused() {
    let mut bundle = Bundle::new("true");
    bundle.linux().cgroups_path = "/docker/x".into();
    let (code, _, err) = bundle.runtime(&["--systemd-cgroup", "run", &bundle.id]);
    assert!(code == 1 && err.contains("slice:prefix:name"), "{err}");
}

#[test]
fn privileged_a_container_is_a_delegated_scope_with_its_limits() {
    if !is_running() {
        return;
    }
    let mut bundle = Bundle::new("sleep 1000");
    let unit = format!("wt-{}.scope", bundle.id);
    bundle.linux().cgroups_path = format!("wharf-test.slice:wt:{}", bundle.id);
    let memory = Memory { limit: Some(64 << 20), ..Memory::default() };
    let cpu = Cpu { quota: Some(50_500), period: Some(100_000), shares: Some(1024), ..Cpu::default() };
    let deny_all = types::spec::DeviceRule { allow: false, access: "rwm".into(), ..Default::default() };
    bundle.linux().resources = Some(Resources {
        devices: vec![deny_all],
        memory: Some(memory),
        cpu: Some(cpu),
        pids: Some(Pids { limit: Some(50) }),
        ..Resources::default()
    });
    bundle.spec.annotations.insert("org.systemd.property.TimeoutStopSec".into(), "uint64 7".into());
    let pid = start(&bundle);
    let place = format!("/wharf.slice/wharf-test.slice/{unit}");
    assert!(cgroup_of(pid).contains(&place), "{}", cgroup_of(pid));
    for (name, expect) in [
        ("Slice", "wharf-test.slice"),
        ("Delegate", "yes"),
        ("TasksMax", "50"),
        ("CPUQuotaPerSecUSec", "510ms"),
        ("TimeoutStopUSec", "7s"),
        ("DevicePolicy", "strict"),
    ] {
        assert_eq!(property(&unit, name), expect, "{name}");
    }
    let v2 = linux::cgroup::detect() == linux::cgroup::Version::V2;
    let limit = if v2 { "MemoryMax" } else { "MemoryLimit" };
    assert_eq!(property(&unit, limit), (64 << 20).to_string());

    let args = ["exec", "--detach", "--pid-file", "exec-pid", &bundle.id, "sleep", "1000"];
    assert_eq!(
        bundle.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().code(),
        Some(0)
    );
    let exec: i32 = std::fs::read_to_string(bundle.path().join("exec-pid")).unwrap().parse().unwrap();
    assert!(cgroup_of(exec).contains(&place), "{}", cgroup_of(exec));

    let (code, _, err) = bundle.runtime(&["update", "--memory", "33554432", &bundle.id]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(property(&unit, limit), "33554432");
    let directory = if v2 { PathBuf::from("/sys/fs/cgroup") } else { PathBuf::from("/sys/fs/cgroup/memory") };
    let file = if v2 { "memory.max" } else { "memory.limit_in_bytes" };
    let written = std::fs::read_to_string(directory.join(&place[1..]).join(file)).unwrap();
    assert_eq!(written.trim(), "33554432");
    // What systemd does on a reload must not undo what we have set.
    assert!(Command::new("systemctl").arg("daemon-reload").status().unwrap().success());
    assert_eq!(bundle.runtime(&["exec", &bundle.id, "sh", "-c", ": > /dev/null"]).0, 0);

    for verb in ["pause", "resume"] {
        let (code, _, err) = bundle.runtime(&[verb, &bundle.id]);
        assert_eq!(code, 0, "{verb}: {err}");
    }
    let (code, _, err) = bundle.runtime(&["delete", "--force", &bundle.id]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(property(&unit, "LoadState"), "not-found");
    assert!(!directory.join(&place[1..]).exists());
}

#[test]
fn privileged_a_scope_that_failed_is_in_nobodys_way() {
    if !is_running() {
        return;
    }
    let mut bundle = Bundle::new("dd if=/dev/zero of=/dev/null bs=128M count=1");
    bundle.linux().cgroups_path = format!(":wt:{}", bundle.id);
    let memory = Memory { limit: Some(16 << 20), swap: Some(16 << 20), ..Memory::default() };
    bundle.linux().resources = Some(Resources { memory: Some(memory), ..Resources::default() });
    for _ in 0..2 {
        let (code, _, err) = bundle.runtime(&["--systemd-cgroup", "run", &bundle.id]);
        assert_eq!(code, 137, "taken by the kernel's killer: {err}");
    }
    assert_eq!(property(&format!("wt-{}.scope", bundle.id), "LoadState"), "not-found");
}

/// As an ordinary user with a systemd of the own: the scope lies in the tree that is delegated to the user, and has limits.
#[test]
fn privileged_an_ordinary_user_has_limits_by_the_users_own_systemd() {
    use std::os::unix::fs::chown;
    use std::os::unix::process::CommandExt;
    let uid = 1000;
    let runtime_dir = format!("/run/user/{uid}");
    if !is_running() || !Path::new(&runtime_dir).join("bus").exists() {
        eprintln!("skipped: user {uid} has no systemd");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mut bundle = Bundle::new("sleep 1000");
    let copied = Command::new("cp").arg("-r").arg(bundle.rootfs()).arg(home.path()).status().unwrap();
    assert!(copied.success());
    support::copy_program(&support::runtime_path(), &home.path().join("wharf-runtime"));
    for path in [home.path().to_owned(), home.path().join("rootfs")] {
        chown(path, Some(uid), Some(uid)).unwrap();
    }
    let run = |args: &[&str]| {
        let mut command = Command::new(home.path().join("wharf-runtime"));
        command.args(args).current_dir(home.path()).uid(uid).gid(uid).stdin(Stdio::null());
        command.env("XDG_RUNTIME_DIR", &runtime_dir).env_remove("DBUS_SESSION_BUS_ADDRESS");
        command
    };
    assert!(run(&["spec", "--rootless"]).status().unwrap().success());
    let path = home.path().join("config.json");
    let mut spec: types::spec::RuntimeSpec = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    spec.root.as_mut().unwrap().readonly = false;
    std::mem::swap(&mut bundle.process().args, &mut spec.process.as_mut().unwrap().args);
    spec.process.as_mut().unwrap().terminal = false;
    let linux = spec.linux.as_mut().unwrap();
    linux.cgroups_path = format!("user.slice:wt:{}", bundle.id);
    linux.resources = Some(Resources { pids: Some(Pids { limit: Some(33) }), ..Resources::default() });
    std::fs::write(&path, serde_json::to_vec(&spec).unwrap()).unwrap();
    let mut command =
        run(&["--root", "state", "--systemd-cgroup", "run", "--detach", "--pid-file", "pid", &bundle.id]);
    let err = std::fs::File::create(home.path().join("err")).unwrap();
    let status = command.stdout(Stdio::null()).stderr(err).status().unwrap();
    assert!(status.success(), "{}", std::fs::read_to_string(home.path().join("err")).unwrap());
    let pid: i32 = std::fs::read_to_string(home.path().join("pid")).unwrap().parse().unwrap();
    let place = format!("/user.slice/user-{uid}.slice/user@{uid}.service/user.slice/wt-{}.scope", bundle.id);
    assert!(cgroup_of(pid).contains(&place), "{}", cgroup_of(pid));
    let most =
        std::fs::read_to_string(Path::new("/sys/fs/cgroup").join(&place[1..]).join("pids.max")).unwrap();
    assert_eq!(most.trim(), "33");
    let (code, out, err) = told(&run(&["--root", "state", "exec", &bundle.id, "id", "-u"]).output().unwrap());
    assert_eq!((code, out.as_str()), (0, "0\n"), "{err}");
    let (code, _, err) = told(&run(&["--root", "state", "delete", "--force", &bundle.id]).output().unwrap());
    assert_eq!(code, 0, "{err}");
    assert!(!Path::new("/sys/fs/cgroup").join(&place[1..]).exists());
}
