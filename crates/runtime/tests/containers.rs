//! Containers as users see them: the command line on a real root file system.

#![allow(clippy::unwrap_used)] // Tests; clippy sees only functions marked as such.

mod support;

use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use support::Bundle;
use types::spec::{Hook, Hooks, IdMapping, Mount, NamespaceKind, Rlimit, Root};

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn privileged_run_gives_output_and_exit_code() {
    let (code, out, err) = Bundle::new("echo out; echo err >&2; exit 3").run();
    assert_eq!((code, out.as_str(), err.as_str()), (3, "out\n", "err\n"));
}

#[test]
fn privileged_every_namespace_is_new() {
    let out = Bundle::new(
        "for n in cgroup ipc mnt net pid uts; do readlink /proc/self/ns/$n; done; echo $$; hostname",
    )
    .output();
    let own = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
    for (name, theirs) in ["cgroup", "ipc", "mnt", "net", "pid", "uts"].iter().zip(lines(&out)) {
        assert_ne!(own(name).to_string_lossy(), theirs, "{name}");
    }
    assert_eq!(lines(&out)[6..], ["1", "wharf"]);
}

#[test]
fn privileged_the_process_has_what_the_configuration_gives_and_no_more() {
    let mut bundle = Bundle::new(
        "umask; pwd; ulimit -n; cat /proc/self/oom_score_adj; env | grep -E '^(HOME|A)='; id -u; id -g; id -G;
         grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs):' /proc/self/status | cut -f2; ls /proc/self/fd | wc -l",
    );
    let process = bundle.process();
    process.user.uid = 1000;
    process.user.gid = 100;
    process.user.additional_gids = vec![29];
    process.user.umask = Some(0o027);
    process.cwd = "/made/for/it".into();
    process.oom_score_adj = Some(500);
    process.env.extend(["A=1".into(), "A=2".into()]);
    process.rlimits = vec![Rlimit { kind: "RLIMIT_NOFILE".into(), hard: 77, soft: 77 }];
    let caps = process.capabilities.as_mut().unwrap();
    caps.inheritable = vec!["CAP_KILL".into()];
    caps.ambient = vec!["CAP_KILL".into(), "CAP_NOT_KNOWN".into()];
    let out = bundle.output();
    let kill = "0000000000000020";
    assert_eq!(
        lines(&out),
        [
            "0027",
            "/made/for/it",
            "77",
            "500",
            "HOME=/home/ada",
            "A=2",
            "1000",
            "100",
            "100 29",
            kill,
            kill,
            kill,
            "0000000020000420",
            kill,
            "1",
            "4",
        ]
    );
}

#[test]
fn privileged_paths_are_masked_and_protected() {
    let mut bundle = Bundle::new(
        "wc -c < /proc/keys; ls /sys/firmware | wc -l; ls /hidden | wc -l; wc -c < /secret;
         echo x > /proc/sys/kernel/hostname; echo 3 > /proc/irq/default_smp_affinity; touch /kept/file",
    );
    std::fs::create_dir(bundle.rootfs().join("hidden")).unwrap();
    std::fs::write(bundle.rootfs().join("hidden/file"), "x").unwrap();
    std::fs::write(bundle.rootfs().join("secret"), "x").unwrap();
    std::fs::create_dir(bundle.rootfs().join("kept")).unwrap();
    bundle.linux().masked_paths.extend(["/hidden".into(), "/secret".into(), "/not/there".into()]);
    bundle.linux().readonly_paths.push("/kept".into());
    let (code, out, err) = bundle.run();
    assert_eq!(lines(&out)[..4], ["0", "0", "0", "0"], "{out}{err}");
    assert_eq!(
        err.matches("Read-only file system").count() + out.matches("Read-only file system").count(),
        3,
        "{out}{err}"
    );
    assert_eq!(code, 1);
}

#[test]
fn privileged_devices_and_links_are_there() {
    let mut bundle = Bundle::new(
        "for d in null zero full random urandom tty mine; do stat -c '%n %t:%T %a' /dev/$d; done;
         readlink /dev/fd; readlink /dev/stdout; readlink /dev/ptmx; echo x > /dev/null; head -c 3 /dev/zero | wc -c; mount | grep -c ' / '",
    );
    let mine = types::spec::Device {
        path: "/dev/mine".into(),
        kind: "c".into(),
        major: 1,
        minor: 5,
        file_mode: Some(0o600),
        uid: Some(1000),
        gid: None,
    };
    bundle.linux().devices.push(mine);
    let out = bundle.output();
    assert_eq!(
        lines(&out),
        [
            "/dev/null 1:3 666",
            "/dev/zero 1:5 666",
            "/dev/full 1:7 666",
            "/dev/random 1:8 666",
            "/dev/urandom 1:9 666",
            "/dev/tty 5:0 666",
            "/dev/mine 1:5 600",
            "/proc/self/fd",
            "/proc/self/fd/1",
            "pts/ptmx",
            "3",
            "1",
        ]
    );
}

#[test]
fn privileged_executables_that_cannot_run_are_told_in_dockers_words() {
    for (program, expect) in [
        ("nosuch", r#"exec: "nosuch": executable file not found in $PATH"#),
        ("/nosuch", r#"exec: "/nosuch": stat /nosuch: no such file or directory"#),
        ("/etc/passwd", r#"exec: "/etc/passwd": permission denied"#),
        ("/etc", r#"exec: "/etc": is a directory"#),
        ("/script", "exec /script: no such file or directory"),
        ("/garbage", "exec /garbage: exec format error"),
    ] {
        let mut bundle = Bundle::new("");
        for (name, content) in [("script", "#!/no/interpreter\n"), ("garbage", "\u{1}\u{2}\u{3}\u{4}")] {
            let path = bundle.rootfs().join(name);
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        bundle.process().args = vec![program.into()];
        let (code, _, err) = bundle.run();
        let expect = format!("unable to start container process: {expect}").replace('"', "\\\"");
        assert!(code == 1 && err.contains(&expect), "{program}: {code} {err}");
    }
}

#[test]
fn privileged_bad_configurations_leave_nothing() {
    let change = |change: &dyn Fn(&mut Bundle)| {
        let mut bundle = Bundle::new("true");
        change(&mut bundle);
        let (code, _, err) = bundle.run();
        assert_eq!(code, 1, "{err}");
        err
    };
    let err = change(&|bundle| bundle.spec.root = Some(Root { path: "none".into(), readonly: false }));
    assert!(err.contains("no such file or directory"), "{err}");
    let err = change(&|bundle| {
        let limit = Rlimit { kind: "RLIMIT_NONE".into(), hard: 1, soft: 1 };
        bundle.process().rlimits.push(limit);
    });
    assert!(err.contains("invalid rlimit type: RLIMIT_NONE"), "{err}");
    let err = change(&|bundle| bundle.process().apparmor_profile = "x".into());
    assert!(err.contains("apparmor"), "{err}");
    let err = change(&|bundle| {
        let options = vec!["bind".into(), "size=3".into()];
        bundle.spec.mounts.push(Mount { destination: "/x".into(), options, ..Mount::default() });
    });
    assert!(err.contains("bind mounts cannot have any filesystem-specific options"), "{err}");
}

#[test]
fn privileged_a_container_lives_from_create_to_delete() {
    let bundle = Bundle::new("sleep 100");
    let id = bundle.id.as_str();
    let status = |bundle: &Bundle| -> String {
        let (code, out, err) = bundle.runtime(&["state", id]);
        assert_eq!(code, 0, "{err}");
        serde_json::from_str::<serde_json::Value>(&out).unwrap()["status"].as_str().unwrap().to_owned()
    };
    // Init keeps the standard descriptors of `create`: pipes would never end.
    let create = bundle.command(&["create", id]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(create.unwrap().success());
    assert_eq!(status(&bundle), "created");
    assert_eq!(bundle.runtime(&["exec", id, "true"]).0, 0, "exec works before start");
    assert!(bundle.runtime(&["create", id]).2.contains("container with id exists"));
    assert_eq!(bundle.runtime(&["start", id]).0, 0);
    assert_eq!(status(&bundle), "running");
    assert!(bundle.runtime(&["start", id]).2.contains("cannot start an already running container"));
    assert!(bundle.runtime(&["delete", id]).2.contains("that is not stopped: running"));
    assert_eq!(bundle.runtime(&["pause", id]).0, 0);
    assert_eq!(status(&bundle), "paused");
    assert!(bundle.runtime(&["exec", id, "true"]).2.contains("paused container"));
    assert_eq!(bundle.runtime(&["resume", id]).0, 0);
    let (_, out, _) = bundle.runtime(&["ps", "--format", "json", id]);
    assert_eq!(serde_json::from_str::<Vec<i32>>(&out).unwrap().len(), 1);
    let (_, out, _) = bundle.runtime(&["list", "-q"]);
    assert_eq!(out, format!("{id}\n"));
    assert!(bundle.runtime(&["events", "--stats", id]).1.contains(r#""type":"stats""#));
    assert_eq!(bundle.runtime(&["kill", id, "KILL"]).0, 0);
    let deadline = Instant::now() + Duration::from_secs(120);
    while status(&bundle) != "stopped" && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(bundle.runtime(&["delete", id]).0, 0);
    assert!(bundle.runtime(&["state", id]).2.contains("container does not exist"));
    assert_eq!(bundle.runtime(&["delete", "--force", id]).0, 0);
}

#[test]
fn privileged_exec_enters_every_namespace_and_the_cgroup() {
    let bundle = Bundle::new("sleep 100");
    let id = bundle.id.as_str();
    let pid = bundle.start();
    let script =
        "for n in cgroup ipc mnt net pid uts; do readlink /proc/self/ns/$n; done; cat /proc/self/cgroup";
    let (code, out, err) = bundle.runtime(&["exec", id, "sh", "-c", script]);
    assert_eq!(code, 0, "{err}");
    for (name, theirs) in ["cgroup", "ipc", "mnt", "net", "pid", "uts"].iter().zip(lines(&out)) {
        let init = std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        assert_eq!(init.to_string_lossy(), theirs, "{name}");
    }
    assert!(lines(&out)[6..].iter().all(|line| line.ends_with(":/")), "{out}");

    assert_eq!(bundle.runtime(&["exec", id, "sh", "-c", "exit 7"]).0, 7);
    let told = |args: &[&str], expect: &str| {
        let (code, _, err) = bundle.runtime(args);
        assert!(code == 255 && err.contains(&expect.replace('"', "\\\"")), "{code} {err}");
    };
    told(&["exec", id, "nosuch"], r#"exec: "nosuch": executable file not found in $PATH"#);
    told(
        &["exec", "--cwd", "/no", id, "true"],
        r#"chdir to cwd ("/no") set in config.json failed: no such file"#,
    );
    let script = "id -u; id -g; echo $A; pwd; grep CapEff /proc/self/status | cut -f2";
    let args = [
        "exec",
        "--user",
        "1000:100",
        "--env",
        "A=b",
        "--cwd",
        "/etc",
        "--cap",
        "CAP_CHOWN",
        id,
        "sh",
        "-c",
        script,
    ];
    let (_, out, err) = bundle.runtime(&args);
    assert_eq!(lines(&out), ["1000", "100", "b", "/etc", "0000000000000000"], "{err}");
}

#[test]
fn privileged_a_terminal_is_sent_to_the_console_socket() {
    let mut bundle =
        Bundle::new("tty; stty size; echo x > /dev/console; exec 3<>/dev/tty && echo controlled");
    bundle.process().terminal = true;
    bundle.process().console_size = Some(types::spec::ConsoleSize { height: 33, width: 44 });
    let socket = bundle.path().join("console.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let args = ["run", "--detach", "--console-socket", "console.sock", &bundle.id];
    let child = bundle.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (stream, _) = listener.accept().unwrap();
    let (_, mut fds) = linux::fd::recv_fds(stream.as_fd(), &mut [0; 256]).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let mut text = Vec::new();
    // A terminal whose other end is closed answers with an error instead of an end.
    let _ = std::io::Read::read_to_end(&mut std::fs::File::from(fds.remove(0)), &mut text);
    assert_eq!(String::from_utf8_lossy(&text), "/dev/pts/0\r\n33 44\r\nx\r\ncontrolled\r\n");
}

#[test]
fn privileged_hooks_run_in_order_and_place() {
    let mut bundle = Bundle::new("echo process >> /log");
    let log = bundle.rootfs().join("log");
    let host = |name: &str| Hook {
        path: "/bin/sh".into(),
        args: vec!["sh".into(), "-c".into(), format!("read s; echo {name} $(hostname) >> {}", log.display())],
        ..Hook::default()
    };
    let inside = Hook {
        path: "/bin/sh".into(),
        args: ["sh", "-c", "cat > /state; echo startContainer $$ >> /log"].map(String::from).to_vec(),
        env: vec!["PATH=/bin".into()],
        timeout: None,
    };
    bundle.spec.hooks = Some(Hooks {
        prestart: vec![host("prestart")],
        create_runtime: vec![host("createRuntime")],
        create_container: vec![host("createContainer")],
        start_container: vec![inside],
        poststart: vec![Hook { timeout: Some(60), ..host("poststart") }],
        poststop: vec![host("poststop")],
    });
    bundle.output();
    let text = std::fs::read_to_string(bundle.rootfs().join("log")).unwrap();
    let mut names: Vec<&str> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
    // The process and poststart run at the same time.
    names[4..6].sort_unstable();
    assert_eq!(
        names,
        [
            "prestart",
            "createRuntime",
            "createContainer",
            "startContainer",
            "poststart",
            "process",
            "poststop"
        ]
    );
    assert!(text.contains("createContainer wharf") || !text.contains("prestart wharf"), "{text}");
    let state: serde_json::Value =
        serde_json::from_slice(&std::fs::read(bundle.rootfs().join("state")).unwrap()).unwrap();
    assert_eq!((state["status"].as_str(), state["id"].as_str()), (Some("created"), Some(bundle.id.as_str())));
    assert!(state["pid"].as_i64().unwrap() > 1);
}

#[test]
fn privileged_a_failing_hook_ends_the_container() {
    let failing = Hook {
        path: "/bin/sh".into(),
        args: ["sh", "-c", "echo because >&2; exit 2"].map(String::from).to_vec(),
        ..Hook::default()
    };
    let hooks: [fn(Hook) -> Hooks; 5] = [
        |hook| Hooks { prestart: vec![hook], ..Hooks::default() },
        |hook| Hooks { create_runtime: vec![hook], ..Hooks::default() },
        |hook| Hooks { create_container: vec![hook], ..Hooks::default() },
        |hook| Hooks { start_container: vec![hook], ..Hooks::default() },
        |hook| Hooks { poststart: vec![hook], ..Hooks::default() },
    ];
    for make in hooks {
        let mut bundle = Bundle::new("sleep 100");
        bundle.spec.hooks = Some(make(failing.clone()));
        let (code, _, err) = bundle.run();
        assert!(code == 1 && err.contains("hook #0: /bin/sh: exit status: 2: because"), "{err}");
    }
}

#[test]
fn privileged_a_user_namespace_maps_ids() {
    let mut bundle = Bundle::new(
        "cat /proc/self/uid_map; id -u; touch /file; stat -c %u /file; echo x > /dev/null; stat -c %t:%T /dev/zero; cat /in/file; hostname",
    );
    for path in [bundle.path().to_owned(), bundle.rootfs()] {
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    let map = vec![IdMapping { container_id: 0, host_id: 100_000, size: 65_536 }];
    bundle.linux().uid_mappings = map.clone();
    bundle.linux().gid_mappings = map;
    bundle.namespace(NamespaceKind::User, "");
    // Out of reach for the mapped root: bound by a tree that the creator made.
    let secret = bundle.path().join("secret");
    std::fs::create_dir(&secret).unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let shared = secret.join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::write(shared.join("file"), "reached\n").unwrap();
    bundle.spec.mounts.push(Mount {
        destination: "/in".into(),
        kind: "bind".into(),
        source: shared.to_string_lossy().into_owned(),
        options: vec!["rbind".into(), "ro".into()],
        ..Mount::default()
    });
    let out = bundle.output();
    let seen: Vec<&str> = out.lines().map(str::trim).collect();
    assert_eq!(seen[1..], ["0", "0", "1:5", "reached", "wharf"], "{out}");
    let owner =
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(bundle.rootfs().join("file")).unwrap());
    assert_eq!(owner, 100_000);
}

/// Under systemd `/` is shared: the root and the sources of mounts that the creator copies for a user namespace must not stay
/// peers of the host's.
#[test]
fn privileged_a_user_namespace_on_a_shared_root_keeps_its_mounts_to_itself() {
    let mut bundle = Bundle::new("mount -t tmpfs inner /in/below && grep -c inner /proc/self/mountinfo");
    for path in [bundle.path().to_owned(), bundle.rootfs()] {
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    let map = vec![IdMapping { container_id: 0, host_id: 100_000, size: 65_536 }];
    bundle.linux().uid_mappings.clone_from(&map);
    bundle.linux().gid_mappings = map;
    bundle.namespace(NamespaceKind::User, "");
    let caps = bundle.process().capabilities.get_or_insert_default();
    for set in [&mut caps.bounding, &mut caps.effective, &mut caps.permitted] {
        set.push("CAP_SYS_ADMIN".into());
    }
    let shared = bundle.path().join("shared");
    std::fs::create_dir_all(shared.join("below")).unwrap();
    bundle.spec.mounts.push(Mount {
        destination: "/in".into(),
        kind: "bind".into(),
        source: shared.to_string_lossy().into_owned(),
        options: vec!["rbind".into()],
        ..Mount::default()
    });
    let inner = bundle.command(&["run", &bundle.id]);
    let script = "\"$@\" && ! grep inner /proc/self/mountinfo";
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "--propagation", "shared", "sh", "-c", script, "sh"]);
    command.arg(inner.get_program()).args(inner.get_args()).current_dir(bundle.path());
    let (code, out, err) = support::told(&command.stdin(Stdio::null()).output().unwrap());
    assert_eq!((code, out.as_str()), (0, "1\n"), "{err}");
}

#[test]
fn privileged_namespaces_of_another_container_are_joined() {
    let first = Bundle::new("sleep 100");
    let pid = first.start();
    let seen = |pid: i32, name: &str| {
        std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap().to_string_lossy().into_owned()
    };
    let mut second =
        Bundle::new("for n in net pid ipc; do readlink /proc/self/ns/$n; done; ps | grep -c 'sleep 100'");
    for (kind, name) in
        [(NamespaceKind::Network, "net"), (NamespaceKind::Pid, "pid"), (NamespaceKind::Ipc, "ipc")]
    {
        second.namespace(kind, &format!("/proc/{pid}/ns/{name}"));
    }
    let out = second.output();
    assert_eq!(lines(&out)[..3], [seen(pid, "net"), seen(pid, "pid"), seen(pid, "ipc")]);
    assert!(lines(&out)[3].parse::<u32>().unwrap() >= 1, "{out}");

    // A new user namespace and someone else's network: joined by a process in between.
    let mut third = Bundle::new("readlink /proc/self/ns/net; id -u");
    let map = vec![IdMapping { container_id: 0, host_id: 0, size: 65_536 }];
    third.linux().uid_mappings = map.clone();
    third.linux().gid_mappings = map;
    third.namespace(NamespaceKind::User, "");
    third.namespace(NamespaceKind::Network, &format!("/proc/{pid}/ns/net"));
    third.spec.mounts.retain(|mount| mount.kind != "sysfs" && mount.kind != "cgroup");
    third.linux().masked_paths.clear();
    assert_eq!(lines(&third.output()), [seen(pid, "net").as_str(), "0"]);
}

#[test]
fn privileged_a_time_namespace_has_its_offsets() {
    let mut bundle = Bundle::new("cut -d. -f1 /proc/uptime");
    bundle.namespace(NamespaceKind::Time, "");
    let offset = types::spec::TimeOffset { secs: 1_000_000, nanosecs: 0 };
    bundle.linux().time_offsets.insert("boottime".into(), offset);
    assert!(bundle.output().trim().parse::<u64>().unwrap() >= 1_000_000);
}

#[test]
fn privileged_a_time_namespace_of_a_new_user_namespace_has_its_offsets() {
    let mut bundle = Bundle::new("cut -d. -f1 /proc/uptime");
    for path in [bundle.path().to_owned(), bundle.rootfs()] {
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    let map = vec![IdMapping { container_id: 0, host_id: 100_000, size: 65_536 }];
    bundle.linux().uid_mappings.clone_from(&map);
    bundle.linux().gid_mappings = map;
    bundle.namespace(NamespaceKind::User, "");
    bundle.namespace(NamespaceKind::Time, "");
    let offset = types::spec::TimeOffset { secs: 1_000_000, nanosecs: 0 };
    bundle.linux().time_offsets.insert("boottime".into(), offset);
    assert!(bundle.output().trim().parse::<u64>().unwrap() >= 1_000_000);
}

#[test]
fn privileged_a_start_container_hook_without_an_environment_has_the_processs() {
    let mut bundle = Bundle::new("cat /told");
    bundle.process().env.push("ONE=two".into());
    let hook = Hook {
        path: "/bin/sh".into(),
        args: ["sh", "-c", "echo $ONE > /told"].map(String::from).to_vec(),
        ..Hook::default()
    };
    bundle.spec.hooks = Some(Hooks { start_container: vec![hook], ..Hooks::default() });
    assert_eq!(bundle.output(), "two\n");
}

#[test]
fn privileged_sysctls_are_set_in_the_containers_namespaces() {
    let mut bundle = Bundle::new("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax");
    bundle.linux().sysctl.insert("net.ipv4.ip_forward".into(), "1".into());
    bundle.linux().sysctl.insert("kernel.msgmax".into(), "4242".into());
    let own = std::fs::read_to_string("/proc/sys/kernel/msgmax").unwrap();
    assert_eq!(lines(&bundle.output()), ["1", "4242"]);
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/msgmax").unwrap(), own);
}

#[test]
fn privileged_mount_targets_cannot_leave_the_root() {
    let mut bundle = Bundle::new("ls /target; mount | grep -c /target");
    let outside = bundle.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    // As the image has it: a link up and out of the root.
    symlink(
        "../../../../../../../../../..".to_owned() + outside.to_str().unwrap(),
        bundle.rootfs().join("target"),
    )
    .unwrap();
    let mount = |destination: &str, kind: &str| Mount {
        destination: destination.into(),
        kind: kind.into(),
        source: kind.into(),
        ..Mount::default()
    };
    bundle.spec.mounts.push(mount("/target/sub", "tmpfs"));
    bundle.run();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);

    // Inside /proc only procfs speaks, but for what lxcfs and the like provide.
    for (destination, expect) in [("/proc/self/attr", 1), ("/proc/sys", 1), ("/proc/uptime", 0), ("/proc", 1)]
    {
        let mut bundle = Bundle::new("true");
        let source = if destination == "/proc/uptime" { "/etc/passwd" } else { "/tmp" };
        let options = vec!["bind".into()];
        let mount = Mount { source: source.into(), options, ..mount(destination, "bind") };
        bundle.spec.mounts.push(mount);
        let (code, _, err) = bundle.run();
        assert_eq!((code, err.contains("inside /proc")), (expect, expect == 1), "{destination}: {err}");
    }

    // procfs where the image has a link: refused (CVE-2019-16884, CVE-2023-27561).
    let bundle = Bundle::new("true");
    std::fs::create_dir(bundle.rootfs().join("elsewhere")).unwrap();
    symlink("/elsewhere", bundle.rootfs().join("proc")).unwrap();
    let (code, _, err) = bundle.run();
    assert!(code == 1 && err.contains("at \\\"/proc\\\""), "{err}");
}

#[test]
fn privileged_leaked_descriptors_and_directories_are_not_reachable() {
    // CVE-2024-21626: a descriptor of the host's root in the caller, and a working directory through it.
    let mut bundle = Bundle::new("ls /proc/self/fd | wc -l");
    let leaked = "exec 9</; exec \"$@\"";
    let run = |bundle: &Bundle| {
        let inner = bundle.command(&["run", &bundle.id]);
        let mut outer = std::process::Command::new("/bin/sh");
        outer.args(["-c", leaked, "sh"]).arg(inner.get_program()).args(inner.get_args());
        outer.current_dir(bundle.path()).stdin(Stdio::null());
        support::told(&outer.output().unwrap())
    };
    assert_eq!(run(&bundle).1.trim(), "4");
    for fd in 3..20 {
        bundle.process().cwd = format!("/proc/self/fd/{fd}");
        bundle.process().args = vec!["/bin/pwd".into()];
        let (code, out, err) = run(&bundle);
        assert!(code == 1 && out.is_empty() && err.contains("chdir to cwd"), "{fd}: {out}{err}");
    }
}

#[test]
fn privileged_the_runtime_runs_from_a_file_nobody_can_write() {
    // CVE-2019-5736: what a container could reach as /proc/<pid>/exe is on a read-only mount of no namespace.
    let bundle = Bundle::new("true");
    let args = ["create", "--pid-file", "pid", &bundle.id];
    let status = bundle.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success());
    let pid = std::fs::read_to_string(bundle.path().join("pid")).unwrap();
    let exe = std::fs::File::open(format!("/proc/{pid}/exe")).unwrap();
    let flags = rustix::fs::fstatvfs(&exe).unwrap().f_flag;
    assert!(flags.contains(rustix::fs::StatVfsMountFlags::RDONLY));
}

#[test]
fn privileged_a_read_only_root_still_has_writable_mounts() {
    let mut bundle = Bundle::new("touch /x; touch /dev/shm/x && touch /made/x && echo ok");
    bundle.spec.root.as_mut().unwrap().readonly = true;
    bundle.spec.mounts.push(Mount {
        destination: "/made".into(),
        kind: "tmpfs".into(),
        options: vec!["nosuid".into(), "tmpcopyup".into()],
        ..Mount::default()
    });
    let (_, out, err) = bundle.run();
    assert!(out == "ok\n" && err.contains("/x: Read-only file system"), "{out}{err}");
}

#[test]
fn privileged_a_cgroup_with_other_processes_is_refused_and_left_alone() {
    let first = Bundle::new("sleep 100");
    let pid = first.start();
    let mut second = Bundle::new("true");
    second.linux().cgroups_path = format!("/{}", first.id);
    let (code, _, err) = second.run();
    assert!(code == 1 && err.contains("cgroup is not empty: 1 process(es) found"), "{err}");
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn privileged_limits_reach_the_cgroup() {
    let mut bundle = Bundle::new("sleep 100");
    let resources = bundle.linux().resources.as_mut().unwrap();
    resources.pids = Some(types::spec::Pids { limit: Some(23) });
    bundle.start();
    let cgroup = linux::cgroup::Cgroup::open(&format!("/{}", bundle.id)).unwrap();
    assert_eq!(cgroup.stats().unwrap().pids.limit, 23);
    assert_eq!(bundle.runtime(&["update", "--pids-limit", "24", &bundle.id]).0, 0);
    assert_eq!(cgroup.stats().unwrap().pids.limit, 24);
    assert_eq!(bundle.runtime(&["kill", "--all", &bundle.id, "KILL"]).0, 0);
}

#[test]
fn privileged_a_seccomp_profile_is_enforced_with_and_without_no_new_privs() {
    for no_new_privileges in [false, true] {
        let mut bundle = Bundle::new("mkdir /d 2>&1; grep Seccomp: /proc/self/status | cut -f2");
        bundle.process().no_new_privileges = no_new_privileges;
        let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}"#;
        bundle.linux().seccomp = Some(serde_json::from_str(profile).unwrap());
        let out = bundle.output();
        assert!(lines(&out)[0].contains("Function not implemented"), "{out}");
        assert_eq!(lines(&out)[1], "2");
    }
}
