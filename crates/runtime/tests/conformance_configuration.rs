//! The specification's sentences about `config.json` (config.md, config-linux.md, features.md) that are about values rather than
//! about what they do, tried: each test names those that it covers. `WHARF_RUNTIME=/usr/sbin/runc` runs the same against another.

#![allow(clippy::unwrap_used)] // Tests; clippy sees only functions marked as such.

mod support;

use std::path::Path;

use support::Bundle;
use types::spec::{Mount, NamespaceKind, Rlimit, Seccomp, SeccompAction, SeccompRule};

fn tmpfs(destination: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: "tmpfs".into(),
        source: "tmpfs".into(),
        options: options.iter().map(ToString::to_string).collect(),
        ..Mount::default()
    }
}

fn features() -> serde_json::Value {
    let (code, out, err) = Bundle::new("").runtime(&["features"]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

/// A bundle whose configuration is changed as text, so that it can be anything.
fn with_text(bundle: &Bundle, change: impl Fn(&mut serde_json::Value)) -> (i32, String, String) {
    let mut command = bundle.command(&["run", &bundle.id]);
    let path = bundle.path().join("config.json");
    let mut value: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(&path, value.to_string()).unwrap();
    support::told(&command.output().unwrap())
}

/// config.md: "ociVersion MUST be in SemVer v2.0.0 format"; features.md: "ociVersionMin ... The runtime MUST accept this value as
/// the ociVersion property", "ociVersionMax" likewise; "Runtimes MUST generate an error when invalid or unsupported values are
/// encountered"; extensibility: "unknown properties ... MUST otherwise ignore them".
#[test]
fn privileged_versions_invalid_values_and_unknown_properties() {
    let features = features();
    for name in ["ociVersionMin", "ociVersionMax"] {
        let mut bundle = Bundle::new("echo ok");
        bundle.spec.oci_version = features[name].as_str().unwrap().into();
        assert_eq!(bundle.output(), "ok\n", "{name}");
    }
    let bundle = Bundle::new("echo ok");
    let (_, out, err) = with_text(&bundle, |value| {
        value["unknown"] = serde_json::json!({"a": [1]});
        value["linux"]["unknown"] = true.into();
        value["annotations"] = serde_json::json!({"org.example.unknown": "x"});
    });
    assert_eq!(out, "ok\n", "{err}");
    let wrong: [(&str, serde_json::Value); 8] = [
        ("/ociVersion", "one".into()),
        ("/process/cwd", 7.into()),
        ("/process/args", "sh".into()),
        ("/linux/namespaces", serde_json::json!([{"type": "nosuch"}])),
        ("/linux/rootfsPropagation", "sideways".into()),
        ("/process/rlimits", serde_json::json!([{"type": "RLIMIT_NOSUCH", "soft": 1, "hard": 1}])),
        ("/linux/personality", serde_json::json!({"domain": "LINUX16"})),
        ("/process/ioPriority", serde_json::json!({"class": "IOPRIO_CLASS_NONE_SUCH", "priority": 1})),
    ];
    for (pointer, value) in wrong {
        let bundle = Bundle::new("echo ran");
        let (code, out, _) = with_text(&bundle, |config| {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            config.pointer_mut(parent).unwrap()[name] = value.clone();
        });
        assert!(code != 0 && !out.contains("ran"), "{pointer} = {value}");
    }
}

/// config.md, mounts: "Runtimes MUST/SHOULD/MAY implement the following option strings for Linux"; features.md: "The runtime MUST
/// recognize the elements in this array as the options of mounts objects"; "Runtimes SHOULD treat unknown options as
/// filesystem-specific ones".
#[test]
fn privileged_every_option_of_the_specification_is_understood() {
    let specified = "async atime bind defaults dev diratime dirsync exec iversion lazytime loud noatime nodev nodiratime noexec \
        noiversion nolazytime norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime remount \
        rexec rnoatime rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared \
        rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync unbindable idmap ridmap";
    let features = features();
    let known: Vec<&str> =
        features["mountOptions"].as_array().unwrap().iter().map(|option| option.as_str().unwrap()).collect();
    for option in specified.split_whitespace() {
        assert!(known.contains(&option), "{option}");
    }
    // All at once that make sense on a file system of its own; each on a mount of its own.
    let special = ["bind", "rbind", "remount", "idmap", "ridmap", "tmpcopyup", "mand", "iversion"];
    let mut bundle = Bundle::new("grep -c ' /option-' /proc/self/mountinfo");
    let plain: Vec<&str> = known.into_iter().filter(|option| !special.contains(option)).collect();
    for option in &plain {
        bundle.spec.mounts.push(tmpfs(&format!("/option-{option}"), &[option]));
    }
    assert_eq!(bundle.output().trim(), plain.len().to_string());

    let mut bundle = Bundle::new("grep ' /mine ' /proc/self/mountinfo");
    bundle.spec.mounts.push(tmpfs("/mine", &["size=8k"]));
    assert!(bundle.output().contains("size=8k"));
    let mut bundle = Bundle::new("true");
    bundle.spec.mounts.push(tmpfs("/mine", &["nosuchoption"]));
    assert_ne!(bundle.run().0, 0);
}

/// config.md, mounts: "The runtime MUST mount entries in the listed order", "it MAY be a relative path, in which case it MUST be
/// interpreted as relative to "/"".
#[test]
fn privileged_mounts_are_made_in_order_and_relative_to_the_root() {
    let mut bundle = Bundle::new("ls /over /relative; grep -c ' /over/below ' /proc/self/mountinfo");
    std::fs::create_dir_all(bundle.rootfs().join("over/covered")).unwrap();
    bundle.spec.mounts.push(tmpfs("/over", &[]));
    bundle.spec.mounts.push(tmpfs("/over/below", &[]));
    let hidden = bundle.path().join("hidden");
    std::fs::create_dir(&hidden).unwrap();
    std::fs::write(hidden.join("file"), "").unwrap();
    bundle.spec.mounts.push(Mount {
        destination: "relative".into(),
        kind: "bind".into(),
        source: hidden.to_string_lossy().into_owned(),
        options: vec!["bind".into()],
        ..Mount::default()
    });
    assert_eq!(bundle.output(), "/over:\nbelow\n\n/relative:\nfile\n1\n");
}

/// config.md, rlimits: "rlim.rlim_cur MUST match the configured value", "rlim.rlim_max MUST match"; "If oomScoreAdj is not set, the
/// runtime MUST NOT change the value of oom_score_adj"; "Runtimes MUST ignore consoleSize if terminal is false or unset".
#[test]
fn privileged_limits_of_the_process_are_exact_and_what_is_not_set_stays() {
    let mut bundle =
        Bundle::new("grep -E 'open files|Max processes' /proc/self/limits; cat /proc/self/oom_score_adj");
    let process = bundle.process();
    process.rlimits = vec![
        Rlimit { kind: "RLIMIT_NOFILE".into(), soft: 345, hard: 678 },
        Rlimit { kind: "RLIMIT_NPROC".into(), soft: 1234, hard: 2345 },
    ];
    process.oom_score_adj = None;
    process.console_size = Some(types::spec::ConsoleSize { height: 1, width: 1 });
    let out = bundle.output();
    let words: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert_eq!(words[0][2..4], ["1234", "2345"]);
    assert_eq!(words[1][3..5], ["345", "678"]);
    assert_eq!(words[2], [own.trim()]);
}

/// config-linux.md: "If a namespace type is not specified in the namespaces array, the container MUST inherit the runtime
/// namespace of that type", "If path is not specified, the runtime MUST create a new container namespace".
#[test]
fn privileged_namespaces_that_are_not_listed_are_the_runtimes() {
    let seen = |name: &str| {
        std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap().to_string_lossy().into_owned()
    };
    for (kind, name) in [
        (NamespaceKind::Network, "net"),
        (NamespaceKind::Ipc, "ipc"),
        (NamespaceKind::Uts, "uts"),
        (NamespaceKind::Cgroup, "cgroup"),
        (NamespaceKind::Pid, "pid"),
    ] {
        let mut bundle = Bundle::new(&format!("readlink /proc/self/ns/{name}"));
        assert_ne!(bundle.output().trim(), seen(name), "new {name}");
        bundle.linux().namespaces.retain(|namespace| namespace.kind != kind);
        bundle.spec.hostname.clear();
        // A sysfs needs the network namespace to be of the own user namespace, which it is; mqueue the same of ipc.
        bundle.spec.mounts.retain(|mount| mount.kind != "mqueue");
        assert_eq!(bundle.output().trim(), seen(name), "inherited {name}");
    }
}

/// config-linux.md, Cgroups Path: "In the case of an absolute path, the runtime MUST take the path to be relative to the cgroups
/// mount point", "the runtime MUST consistently attach to the same place in the cgroups hierarchy given the same value".
#[test]
fn privileged_an_absolute_cgroup_path_starts_at_the_mount_point() {
    let mut bundle = Bundle::new("cat /proc/self/cgroup");
    let path = format!("/wt-parent-{}/{}", std::process::id(), bundle.id);
    bundle.linux().cgroups_path.clone_from(&path);
    bundle.linux().namespaces.retain(|namespace| namespace.kind != NamespaceKind::Cgroup);
    for _ in 0..2 {
        let out = bundle.output();
        assert!(out.lines().any(|line| line.ends_with(&format!(":{path}"))), "{out}");
    }
    // What is above belongs to whoever named it.
    let parent = linux::cgroup::Cgroup::open(&format!("/wt-parent-{}", std::process::id())).unwrap();
    assert!(parent.paths().values().all(|above| !above.join(&bundle.id).exists()));
    parent.remove().unwrap();
}

/// config-linux.md, User namespace mappings: "The runtime SHOULD NOT modify the ownership of referenced filesystems to realize the
/// mapping".
#[test]
fn privileged_a_user_namespace_changes_no_owners() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let mut bundle = Bundle::new("true");
    for path in [bundle.path().to_owned(), bundle.rootfs()] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let map = vec![types::spec::IdMapping { container_id: 0, host_id: 100_000, size: 65_536 }];
    bundle.linux().uid_mappings.clone_from(&map);
    bundle.linux().gid_mappings = map;
    bundle.namespace(NamespaceKind::User, "");
    bundle.output();
    for name in ["bin/busybox", "etc/passwd", "etc"] {
        assert_eq!(std::fs::metadata(bundle.rootfs().join(name)).unwrap().uid(), 0, "{name}");
    }
}

/// config-linux.md, Seccomp: "When the action doesn't support an errno, the runtime MUST print and error and fail"
/// (defaultErrnoRet, errnoRet), "names MUST contain at least one entry", "listenerMetadata ... MUST NOT be set if listenerPath is
/// not set".
#[test]
fn privileged_seccomp_profiles_that_contradict_themselves_are_refused() {
    let allow = || Seccomp { default_action: SeccompAction::Allow, ..Seccomp::default() };
    let rule = |names: &[&str], action, errno| SeccompRule {
        names: names.iter().map(ToString::to_string).collect(),
        action,
        errno_ret: errno,
        ..SeccompRule::default()
    };
    let wrong: [(&str, Seccomp); 4] = [
        ("defaultErrnoRet", Seccomp { default_errno_ret: Some(1), ..allow() }),
        (
            "errnoRet",
            Seccomp { syscalls: vec![rule(&["mkdir"], SeccompAction::KillProcess, Some(1))], ..allow() },
        ),
        ("names", Seccomp { syscalls: vec![rule(&[], SeccompAction::Errno, None)], ..allow() }),
        ("listenerMetadata", Seccomp { listener_metadata: "x".into(), ..allow() }),
    ];
    for (what, profile) in wrong {
        let mut bundle = Bundle::new("echo ran");
        bundle.linux().seccomp = Some(profile);
        let (code, out, _) = bundle.run();
        assert!(code != 0 && out.is_empty(), "{what}: {out}");
    }
}

/// config.md, "apparmorProfile": "specifies the name of the AppArmor profile for the process"; and the same for an exec.
#[test]
fn privileged_an_apparmor_profile_confines_the_container() {
    let enabled =
        std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"));
    if !enabled {
        assert!(std::env::var_os("IN_VM").is_none(), "Debian's kernel has AppArmor");
        eprintln!("skipped: this kernel has no AppArmor");
        return;
    }
    let mut bundle = Bundle::new(
        "cat /proc/self/attr/apparmor/current; cat /etc/group > /dev/null; cat /etc/passwd; exec sleep 1000",
    );
    let name = format!("wharf-test-{}", std::process::id());
    let rules = "file, capability, network, signal, mount, umount, ptrace, deny /etc/passwd r,";
    let file = bundle.path().join("profile");
    std::fs::write(
        &file,
        format!("profile {name} flags=(attach_disconnected,mediate_deleted) {{ {rules} }}\n"),
    )
    .unwrap();
    let parser = |word: &str| {
        let mut command = std::process::Command::new("apparmor_parser");
        let output = command.args([word, "--skip-cache", "--base", "/nonexistent"]).arg(&file).output();
        output.map(|output| support::told(&output))
    };
    let Ok((code, _, err)) = parser("--replace") else {
        eprintln!("skipped: no apparmor_parser");
        return;
    };
    assert_eq!(code, 0, "{err}");
    bundle.process().apparmor_profile.clone_from(&name);
    bundle.process().args[2] = bundle.process().args[2].replace("; exec sleep 1000", "");
    let (code, out, err) = bundle.run();
    assert_eq!(out, format!("{name} (enforce)\n"), "{err}");
    assert!(code != 0 && err.contains("can't open '/etc/passwd': Permission denied"), "{err}");

    bundle.process().args[2] = "exec sleep 1000".into();
    bundle.start();
    let (_, out, err) = bundle.runtime(&["exec", &bundle.id, "cat", "/proc/self/attr/apparmor/current"]);
    assert_eq!(out, format!("{name} (enforce)\n"), "{err}");
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).0, 0);
    assert_eq!(parser("--remove").unwrap().0, 0);
    assert!(!Path::new("/sys/kernel/security/apparmor/policy/profiles").join(&name).exists());
}
