//! The specification's sentences, tried: each test names those that it covers. `WHARF_RUNTIME=/usr/sbin/runc` runs the same
//! against another runtime.

#![allow(clippy::unwrap_used)] // Tests; clippy sees only functions marked as such.

mod support;

use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Bundle, told};
use types::spec::{
    Cpu, Device, DeviceRule, IdMapping, IoPriority, Memory, Mount, NamespaceKind, Personality, Pids,
    Resources, Rlimit, Scheduler, Seccomp, SeccompAction, SeccompRule,
};

fn bind(source: &std::path::Path, destination: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: "bind".into(),
        source: source.to_string_lossy().into_owned(),
        options: options.iter().map(ToString::to_string).collect(),
        ..Mount::default()
    }
}

fn refused(change: impl Fn(&mut Bundle)) -> String {
    let mut bundle = Bundle::new("true");
    change(&mut bundle);
    let (code, _, err) = bundle.run();
    assert_ne!(code, 0, "accepted");
    err
}

/// config.md: "If `rlimits` contains duplicated entries with same `type`, the runtime MUST generate an error", "cwd ... This
/// value MUST be an absolute path", "path ... MUST be an absolute path" and "timeout ... MUST be greater than zero" (hooks);
/// config-linux.md: "If a `namespaces` field contains duplicated namespaces with same `type`, the runtime MUST generate an
/// error", "The values MUST be absolute paths in the container namespace" (maskedPaths, readonlyPaths).
#[test]
fn privileged_what_must_be_refused_is_refused() {
    let limit = Rlimit { kind: "RLIMIT_NOFILE".into(), hard: 9, soft: 9 };
    let err = refused(|bundle| bundle.process().rlimits = vec![limit.clone(), limit.clone()]);
    assert!(err.contains("duplicate rlimit"), "{err}");
    refused(|bundle| bundle.process().cwd = "relative".into());
    refused(|bundle| {
        let list = &mut bundle.linux().namespaces;
        list.push(list[0].clone());
    });
    let hook = |path: &str, timeout| types::spec::Hook { path: path.into(), timeout, ..Default::default() };
    for wrong in [hook("true", None), hook("/bin/true", Some(0))] {
        let err = refused(|bundle| {
            bundle.spec.hooks =
                Some(types::spec::Hooks { poststop: vec![wrong.clone()], ..Default::default() });
        });
        assert!(err.contains("hook"), "{err}");
    }
    refused(|bundle| bundle.linux().masked_paths.push("relative".into()));
}

/// config-linux.md: "The runtime MUST generate an error if `path` is not associated with a namespace of type `type`."
#[test]
fn privileged_a_namespace_of_another_kind_is_not_joined() {
    refused(|bundle| bundle.namespace(NamespaceKind::Ipc, "/proc/self/ns/uts"));
}

/// config-linux.md: "If a file already exists at `path` that does not match the requested device, the runtime MUST generate
/// an error."
#[test]
fn privileged_a_file_in_the_place_of_a_device_is_an_error() {
    let err = refused(|bundle| {
        std::fs::write(bundle.rootfs().join("etc/device"), "").unwrap();
        let device = Device {
            path: "/etc/device".into(),
            kind: "c".into(),
            major: 1,
            minor: 3,
            file_mode: None,
            uid: None,
            gid: None,
        };
        bundle.linux().devices.push(device);
    });
    assert!(err.contains("/etc/device"), "{err}");
}

/// runtime.md: "Attempting to query a container that does not exist MUST generate an error", "Attempting to send a signal to a
/// container that is neither created nor running MUST have no effect on the container and MUST generate an error",
/// "Attempting to start a container that is not created MUST have no effect on the container and MUST generate an error".
#[test]
fn privileged_operations_that_do_not_fit_the_state_are_errors() {
    let bundle = Bundle::new("true");
    let id = bundle.id.as_str();
    for verb in ["state", "start", "kill", "delete", "pause", "resume", "ps"] {
        assert_ne!(bundle.runtime(&[verb, id]).0, 0, "{verb}");
        assert_ne!(bundle.runtime(&[verb]).0, 0, "{verb} without an id");
    }
    bundle.start();
    let deadline = Instant::now() + Duration::from_secs(120);
    while !bundle.runtime(&["state", id]).1.contains("stopped") {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    for verb in ["start", "kill", "pause", "resume"] {
        assert_ne!(bundle.runtime(&[verb, id]).0, 0, "{verb} of a stopped container");
    }
    assert_eq!(bundle.runtime(&["delete", id]).0, 0);
}

/// config.md: "idmap: Indicates that the mount MUST have an idmapping applied ... If `uidMappings` or `gidMappings` are
/// specified for the mount, the runtime MUST use those values for the mount's mapping ... If there are no `uidMappings` and
/// `gidMappings` specified and the container isn't using user namespaces, an error MUST be returned."
#[test]
fn privileged_owners_are_mapped_through_id_mapped_mounts() {
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("file"), "").unwrap();
    chown(source.path().join("file"), Some(7), Some(8)).unwrap();
    let mut bundle = Bundle::new("stat -c %u:%g /mapped/file");
    let map = |host_id| vec![IdMapping { container_id: 0, host_id, size: 1000 }];
    let mut mount = bind(source.path(), "/mapped", &["bind", "idmap"]);
    (mount.uid_mappings, mount.gid_mappings) = (map(100_000), map(200_000));
    bundle.spec.mounts.push(mount);
    assert_eq!(bundle.output(), "100007:200008\n");
    assert_eq!(std::fs::metadata(source.path().join("file")).unwrap().uid(), 7);
    let err = refused(|bundle| bundle.spec.mounts.push(bind(source.path(), "/m", &["bind", "idmap"])));
    assert!(err.contains("mappings"), "{err}");
}

/// As before: "If they are not specified, the runtime MAY use the container's user namespace mapping".
#[test]
fn privileged_an_id_mapped_mount_uses_the_containers_user_namespace() {
    let source = tempfile::tempdir().unwrap();
    std::fs::set_permissions(source.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(source.path().join("file"), "").unwrap();
    let mut bundle =
        Bundle::new("stat -c %u /plain/file; stat -c %u /mapped/file; touch /mapped/new && echo written");
    for path in [bundle.path().to_owned(), bundle.rootfs()] {
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    bundle.namespace(NamespaceKind::User, "");
    let map = vec![IdMapping { container_id: 0, host_id: 300_000, size: 1000 }];
    bundle.linux().uid_mappings.clone_from(&map);
    bundle.linux().gid_mappings = map;
    bundle.spec.mounts.push(bind(source.path(), "/plain", &["bind"]));
    bundle.spec.mounts.push(bind(source.path(), "/mapped", &["bind", "idmap"]));
    assert_eq!(bundle.output(), "65534\n0\nwritten\n");
    assert_eq!(std::fs::metadata(source.path().join("new")).unwrap().uid(), 0, "root's on the host");
}

/// config.md: "rro: The mountpoint MUST be read-only recursively", "rnosuid", "rnodev", "rnoexec" likewise.
#[test]
fn privileged_recursive_attributes_reach_mounts_below() {
    let source = tempfile::tempdir().unwrap();
    std::fs::create_dir(source.path().join("below")).unwrap();
    let mut bundle = Bundle::new("grep -E ' /(plain|all)/below ' /proc/self/mountinfo | cut -d' ' -f5,6");
    bundle.spec.mounts.push(bind(source.path(), "/plain", &["rbind", "ro"]));
    bundle.spec.mounts.push(bind(source.path(), "/all", &["rbind", "rro", "rnosuid", "rnodev", "rnoexec"]));
    let inner = bundle.command(&["run", &bundle.id]);
    let script = format!("mount -t tmpfs none {}/below && exec \"$@\"", source.path().display());
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script, "sh"]).arg(inner.get_program()).args(inner.get_args());
    let (code, out, err) = told(&command.current_dir(bundle.path()).output().unwrap());
    assert_eq!(code, 0, "{err}");
    assert_eq!(out, "/plain/below rw,relatime\n/all/below ro,nosuid,nodev,noexec,relatime\n");
}

/// config.md: "tmpcopyup: copy up the contents to a tmpfs".
#[test]
fn privileged_a_tmpfs_starts_with_what_it_covers() {
    let mut bundle = Bundle::new("cat /etc/copied/a; echo new > /etc/copied/a");
    std::fs::create_dir(bundle.rootfs().join("etc/copied")).unwrap();
    std::fs::write(bundle.rootfs().join("etc/copied/a"), "old\n").unwrap();
    bundle.spec.mounts.push(Mount {
        destination: "/etc/copied".into(),
        kind: "tmpfs".into(),
        options: vec!["tmpcopyup".into()],
        ..Mount::default()
    });
    assert_eq!(bundle.output(), "old\n");
    assert_eq!(std::fs::read_to_string(bundle.rootfs().join("etc/copied/a")).unwrap(), "old\n");
}

/// config.md, "scheduler", "ioPriority"; config-linux.md, "personality": "domain ... LINUX32".
#[test]
fn privileged_scheduling_and_execution_domain_are_the_containers() {
    // Fields of stat(5): nice is 19, policy 41.
    let mut bundle = Bundle::new("cut -d' ' -f19,41 /proc/self/stat; ionice -p 1; uname -m");
    let process = bundle.process();
    process.scheduler =
        Some(Scheduler { policy: "SCHED_BATCH".into(), nice: Some(5), ..Scheduler::default() });
    process.io_priority = Some(IoPriority { class: "IOPRIO_CLASS_BE".into(), priority: Some(6) });
    bundle.linux().personality = Some(Personality { domain: "LINUX32".into(), ..Personality::default() });
    let machine = if cfg!(target_arch = "x86_64") { "i686" } else { "armv8l" };
    assert_eq!(bundle.output(), format!("5 3\nbest-effort: prio 6\n{machine}\n"));
}

/// config-linux.md, "rootfsPropagation": "slave", "private", "shared", "unbindable".
#[test]
fn privileged_the_root_propagates_as_configured() {
    for (word, expect) in [("private", ""), ("unbindable", "unbindable"), ("shared", "shared:")] {
        let mut bundle = Bundle::new("grep -E '^[0-9]+ [0-9]+ [^ ]+ [^ ]+ / ' /proc/self/mountinfo");
        bundle.linux().rootfs_propagation = word.into();
        let out = bundle.output();
        let optional = out.split(" - ").next().unwrap();
        assert!(
            if expect.is_empty() { !optional.contains("shared:") } else { optional.contains(expect) },
            "{word}: {out}"
        );
    }
}

/// config.md, "execCPUAffinity": "final ... a list of CPUs the process will be run on after the transition to container's
/// cgroup".
#[test]
fn privileged_an_exec_runs_on_the_processors_it_may() {
    let bundle = Bundle::new("sleep 1000");
    bundle.start();
    let process = r#"{"cwd":"/","args":["/bin/grep","Cpus_allowed_list","/proc/self/status"],
        "env":["PATH=/bin"],"execCPUAffinity":{"initial":"0-1","final":"0"}}"#;
    std::fs::write(bundle.path().join("process.json"), process).unwrap();
    let (code, out, err) = bundle.runtime(&["exec", "--process", "process.json", &bundle.id]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(out.split_whitespace().collect::<Vec<_>>(), ["Cpus_allowed_list:", "0"]);
}

/// runc's `--preserve-fds` and `--no-pivot`.
#[test]
fn privileged_descriptors_are_preserved_and_the_root_moves_without_pivot() {
    let bundle =
        Bundle::new("echo through >&3; ls / | grep -c '^bin$'; grep -c ' / / ' /proc/self/mountinfo");
    let inner = bundle.command(&["run", "--preserve-fds", "1", "--no-pivot", &bundle.id]);
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" 3>passed", "sh"]).arg(inner.get_program()).args(inner.get_args());
    let (_, out, err) = told(&command.current_dir(bundle.path()).stdin(Stdio::null()).output().unwrap());
    assert!(out.starts_with("1\n"), "{out}{err}");
    assert_eq!(std::fs::read_to_string(bundle.path().join("passed")).unwrap(), "through\n");
}

/// config-linux.md, "listenerPath": "The runtime MUST send exactly one container process state per connection. ... `fds`: it
/// MUST contain `seccompFd`", and "listenerMetadata ... MUST be passed through".
#[test]
fn privileged_a_seccomp_agent_gets_the_listener_and_the_state() {
    let mut bundle = Bundle::new("mkdir /denied; sleep 1000");
    let path = bundle.path().join("agent.sock");
    let agent = UnixListener::bind(&path).unwrap();
    bundle.linux().seccomp = Some(Seccomp {
        default_action: SeccompAction::Allow,
        listener_path: path.to_string_lossy().into_owned(),
        listener_metadata: "told".into(),
        syscalls: vec![SeccompRule {
            names: vec!["mkdir".into(), "mkdirat".into()],
            action: SeccompAction::Notify,
            ..SeccompRule::default()
        }],
        ..Seccomp::default()
    });
    // For the container, then for an exec. The listener is closed with the end of a round: what waits gets ENOSYS.
    let thread = std::thread::spawn(move || {
        [(); 2].map(|()| {
            let (stream, _) = agent.accept().unwrap();
            let mut text = vec![0; 65536];
            let (length, fds) = linux::fd::recv_fds(stream.as_fd(), &mut text).unwrap();
            text.truncate(length);
            (text, fds.len())
        })
    });
    let pid = bundle.start();
    let (code, _, err) = bundle.runtime(&["exec", &bundle.id, "mkdir", "/denied"]);
    assert!(code == 1 && err.contains("Function not implemented"), "{code} {err}");
    assert!(!bundle.rootfs().join("denied").exists());
    let told = thread.join().unwrap();
    let states: Vec<serde_json::Value> =
        told.iter().map(|(text, _)| serde_json::from_slice(text).unwrap()).collect();
    for ((_, fds), state) in told.iter().zip(&states) {
        assert_eq!(*fds, 1);
        assert_eq!(state["fds"][0], "seccompFd");
        assert_eq!(state["metadata"], "told");
        assert_eq!(state["state"]["id"], bundle.id.as_str());
    }
    assert_eq!(states[0]["pid"], pid);
    assert_ne!(states[1]["pid"], pid);
}

/// config-linux.md, "memory": "limit ... sets limit of memory usage", "pids", "cpu": "quota", on whichever cgroups are there.
#[test]
fn privileged_limits_are_enforced() {
    let mut bundle = Bundle::new("dd if=/dev/zero of=/dev/null bs=128M count=1; echo $?");
    let limit = |resources: Resources| Some(resources);
    let memory = Memory { limit: Some(16 << 20), swap: Some(16 << 20), ..Memory::default() };
    bundle.linux().resources = limit(Resources { memory: Some(memory), ..Resources::default() });
    let (_, out, err) = bundle.run();
    assert!(out.contains("137"), "the kernel's killer took it: {out}{err}");

    let mut bundle = Bundle::new("i=0; while [ $i -lt 9 ]; do sleep 5 & i=$((i+1)); done");
    bundle.linux().resources =
        limit(Resources { pids: Some(Pids { limit: Some(5) }), ..Resources::default() });
    let (code, _, err) = bundle.run();
    assert!(code != 0 && err.contains("fork"), "{code} {err}");

    let mut bundle = Bundle::new("while :; do :; done");
    let cpu = Cpu { quota: Some(10_000), period: Some(100_000), ..Cpu::default() };
    bundle.linux().resources = limit(Resources { cpu: Some(cpu), ..Resources::default() });
    bundle.start();
    let throttled = || -> (u64, u64) {
        let (code, out, err) = bundle.runtime(&["events", "--stats", &bundle.id]);
        assert_eq!(code, 0, "{err}");
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        let cpu = &value["data"]["cpu"];
        let number = |value: &serde_json::Value| value.as_u64().unwrap_or(0);
        (number(&cpu["throttling"]["throttledPeriods"]), number(&cpu["usage"]["total"]))
    };
    let deadline = Instant::now() + Duration::from_secs(120);
    while throttled().0 < 5 {
        assert!(Instant::now() < deadline, "never throttled: {:?}", throttled());
        std::thread::sleep(Duration::from_millis(100));
    }
    // A tenth of a processor, with a part of a period at each end.
    let (since, before) = (Instant::now(), throttled().1);
    std::thread::sleep(Duration::from_secs(2));
    let used = throttled().1 - before;
    let passed = u64::try_from(since.elapsed().as_nanos()).unwrap();
    assert!(used < passed / 10 + 100_000_000, "{used} ns of processor time in {passed} ns");
    assert_eq!(bundle.runtime(&["exec", &bundle.id, "true"]).0, 0, "exec in a limited container");
    let before = {
        assert_eq!(bundle.runtime(&["pause", &bundle.id]).0, 0);
        throttled().1
    };
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(throttled().1, before, "a frozen container uses no processor");
    assert_eq!(bundle.runtime(&["resume", &bundle.id]).0, 0);
}

/// config-linux.md, "Allowed Device list": "The runtime MUST apply entries in the listed order."
#[test]
fn privileged_devices_that_are_not_allowed_cannot_be_opened() {
    let mut bundle = Bundle::new(
        "cat /dev/null && echo null; head -c 1 /dev/log-of-kernel || echo denied; mknod /tmp-zero c 1 5 && echo made",
    );
    bundle.linux().devices.push(Device {
        path: "/dev/log-of-kernel".into(),
        kind: "c".into(),
        major: 1,
        minor: 11,
        file_mode: Some(0o666),
        uid: None,
        gid: None,
    });
    let caps = bundle.process().capabilities.get_or_insert_default();
    for set in [&mut caps.bounding, &mut caps.effective, &mut caps.permitted] {
        set.push("CAP_MKNOD".into());
    }
    let rule = |allow, minor| DeviceRule {
        allow,
        kind: "c".into(),
        major: Some(1),
        minor: Some(minor),
        access: "rwm".into(),
    };
    let deny_all = DeviceRule { allow: false, access: "rwm".into(), ..DeviceRule::default() };
    let devices = vec![deny_all, rule(true, 11), rule(false, 11)];
    bundle.linux().resources = Some(Resources { devices, ..Resources::default() });
    let (_, out, err) = bundle.run();
    assert_eq!(out, "null\ndenied\nmade\n", "{err}");
    assert!(err.contains("Operation not permitted"), "{err}");
}

/// config-linux.md: "If `cgroupsPath` is a relative path ... the runtime MAY interpret the path relative to a
/// runtime-determined location", "unified: ... configuration unknown to the runtime MUST still be written to the relevant
/// file" (cgroup v2).
#[test]
fn privileged_relative_cgroup_paths_cannot_climb_and_unified_values_are_written() {
    let mut bundle = Bundle::new("cat /proc/self/cgroup");
    let name = format!("../../../{}", bundle.id);
    bundle.linux().cgroups_path = name;
    bundle.linux().namespaces.retain(|namespace| namespace.kind != NamespaceKind::Cgroup);
    let v2 = linux::cgroup::detect() == linux::cgroup::Version::V2;
    if v2 {
        let unified = [("memory.high".to_owned(), "33554432".to_owned())].into();
        bundle.linux().resources = Some(Resources { unified, ..Resources::default() });
        bundle.process().args[2] = "cat /proc/self/cgroup; cat /sys/fs/cgroup/memory.high".into();
        bundle.namespace(NamespaceKind::Cgroup, "");
    }
    let out = bundle.output();
    if v2 {
        assert!(out.ends_with("33554432\n"), "{out}");
    } else {
        assert!(out.lines().any(|line| line.ends_with(&format!("/{}", bundle.id))), "{out}");
    }
}

/// config-linux.md: "If no mounted resctrl pseudo-filesystem is available ... the runtime MUST generate an error"
/// (intelRdt); the same for what this kernel or runtime lacks, instead of going on without.
#[test]
fn privileged_what_is_not_there_is_not_passed_over() {
    refused(|bundle| bundle.linux().intel_rdt = Some(Default::default()));
    refused(|bundle| bundle.linux().memory_policy = Some(Default::default()));
    refused(|bundle| bundle.process().selinux_label = "system_u:system_r:container_t:s0".into());
    let err = refused(|bundle| bundle.process().apparmor_profile = "wharf-not-loaded".into());
    assert!(err.contains("apparmor"), "{err}");
    let bundle = Bundle::new("true");
    assert_ne!(bundle.runtime(&["--systemd-cgroup", "run", &bundle.id]).0, 0);
    assert_ne!(bundle.runtime(&["--rootless", "maybe", "run", &bundle.id]).0, 0);
    assert_ne!(bundle.runtime(&["checkpoint", &bundle.id]).0, 0);
}
