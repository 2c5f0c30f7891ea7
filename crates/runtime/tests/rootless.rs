//! Containers of ordinary users: with a user namespace, without root's help, with and without a delegated cgroup.

#![allow(clippy::unwrap_used)] // Tests; clippy sees only functions marked as such.

mod support;

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Bundle, told};
use types::spec::{Pids, Resources, RuntimeSpec};

/// A directory of a user who is nobody else, with a bundle in it and the runtime where the user may execute it.
struct Home {
    dir: tempfile::TempDir,
    user: u32,
}

impl Home {
    fn new(user: u32, script: &str, change: impl Fn(&mut RuntimeSpec)) -> Home {
        let home = Home { dir: tempfile::tempdir().unwrap(), user };
        let bundle = Bundle::new("");
        let copied = Command::new("cp").arg("-r").arg(bundle.rootfs()).arg(home.path()).status().unwrap();
        assert!(copied.success());
        support::copy_program(&support::runtime_path(), &home.path().join("wharf-runtime"));
        // A root that the user does not own gets no mount points.
        for path in [home.path().to_owned(), home.path().join("rootfs")] {
            chown(path, Some(user), Some(user)).unwrap();
        }
        let (code, _, err) = home.runtime(&["spec", "--rootless"]);
        assert_eq!(code, 0, "{err}");
        let path = home.path().join("config.json");
        let mut spec: RuntimeSpec = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let process = spec.process.as_mut().unwrap();
        process.terminal = false;
        process.args = ["sh", "-c", script].map(String::from).to_vec();
        spec.root.as_mut().unwrap().readonly = false;
        change(&mut spec);
        std::fs::write(&path, serde_json::to_vec(&spec).unwrap()).unwrap();
        home
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn runtime(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(self.path().join("wharf-runtime"));
        command.args(["--root", "state"]).args(args).current_dir(self.path());
        command.uid(self.user).gid(self.user).stdin(Stdio::null());
        told(&command.output().unwrap())
    }
}

#[test]
fn privileged_an_ordinary_user_runs_a_container_without_root() {
    let home = Home::new(54_321, "id -u; cat /proc/self/uid_map", |_| {});
    let (code, out, err) = home.runtime(&["run", "rootless"]);
    assert_eq!(code, 0, "{err}");
    let words: Vec<&str> = out.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "54321", "1"]);
}

/// A cgroup that belongs to a user, and one below it that the user's processes are in (cgroup-v2.rst, "Delegation").
struct Delegated(PathBuf);

impl Delegated {
    fn to(user: u32) -> Delegated {
        let root = Path::new("/sys/fs/cgroup");
        std::fs::write(root.join("cgroup.subtree_control"), "+memory +pids").unwrap();
        let delegated = Delegated(root.join(format!("wt-delegated-{}", std::process::id())));
        std::fs::create_dir(&delegated.0).unwrap();
        std::fs::create_dir(delegated.0.join("shell")).unwrap();
        for path in
            ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads", "shell", "shell/cgroup.procs"]
        {
            chown(delegated.0.join(path), Some(user), Some(user)).unwrap();
        }
        delegated
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for path in [self.0.join("shell"), self.0.clone()] {
            let removed = std::fs::remove_dir(path);
            assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
        }
    }
}

#[test]
fn privileged_a_user_with_a_delegated_cgroup_limits_containers() {
    if linux::cgroup::detect() != linux::cgroup::Version::V2 {
        eprintln!("skipped: cgroups are delegated to users on v2 only");
        return;
    }
    let user = 54_322;
    let home = Home::new(user, "sleep 1000", |spec| {
        let linux = spec.linux.as_mut().unwrap();
        linux.cgroups_path = "limited".into();
        linux.resources = Some(Resources { pids: Some(Pids { limit: Some(7) }), ..Resources::default() });
    });
    let delegated = Delegated::to(user);
    let runtime = |args: &[&str]| {
        let mut command = Command::new("sh");
        let script = "echo $$ > \"$0\"/shell/cgroup.procs && exec \"$@\"";
        command.args(["-c", script]).arg(&delegated.0).args([
            "/usr/bin/setpriv",
            "--reuid",
            "54322",
            "--regid",
            "54322",
        ]);
        command
            .arg("--clear-groups")
            .arg(home.path().join("wharf-runtime"))
            .args(["--root", "state"])
            .args(args);
        // Through files: init keeps the descriptors of `run --detach`, and pipes would never end.
        let err = home.path().join("stderr");
        command.current_dir(home.path()).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(std::fs::File::create(&err).unwrap());
        let code = command.status().unwrap().code();
        (code, std::fs::read_to_string(err).unwrap())
    };
    let pids_max = || std::fs::read_to_string(delegated.0.join("limited/pids.max")).unwrap_or_default();
    let (code, err) = runtime(&["run", "--detach", "one"]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(pids_max(), "7\n");
    for (args, expect) in [
        (&["update", "--pids-limit", "9", "one"][..], "9\n"),
        (&["pause", "one"], "9\n"),
        (&["resume", "one"], "9\n"),
        (&["exec", "one", "true"], "9\n"),
        (&["delete", "--force", "one"], ""),
    ] {
        let (code, err) = runtime(args);
        assert_eq!((code, pids_max().as_str()), (Some(0), expect), "{args:?}: {err}");
    }
}

/// user_namespaces(7): an ordinary user maps more than the own id by newuidmap(1) and newgidmap(1), as /etc/subuid and
/// /etc/subgid allow it; groups can be set then. An exec enters the same namespaces.
#[test]
fn privileged_a_user_maps_subordinate_ids_by_the_helpers() {
    if !["unshare", "setpriv", "newuidmap"].iter().all(|tool| Path::new("/usr/bin").join(tool).exists()) {
        eprintln!("skipped: no newuidmap(1) here");
        return;
    }
    let user = 65_534; // nobody: the helpers want a name
    let home = Home::new(user, "cat /proc/self/setgroups; exec sleep 1000", |spec| {
        let linux = spec.linux.as_mut().unwrap();
        let map = |container_id, host_id, size| types::spec::IdMapping { container_id, host_id, size };
        linux.uid_mappings = vec![map(0, user, 1), map(1, 200_000, 1000)];
        linux.gid_mappings.clone_from(&linux.uid_mappings);
        spec.process.as_mut().unwrap().user.additional_gids = vec![7];
    });
    for name in ["subuid", "subgid"] {
        std::fs::write(home.path().join(name), "nobody:200000:1000\n").unwrap();
    }
    let runtime = |args: &[&str]| {
        let script = "mount --bind subuid /etc/subuid && mount --bind subgid /etc/subgid &&
            exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(home.path().join("wharf-runtime"));
        command.args(["--root", "state"]).args(args).current_dir(home.path()).stdin(Stdio::null());
        let (out, err) = (home.path().join("out"), home.path().join("err"));
        command.stdout(std::fs::File::create(&out).unwrap()).stderr(std::fs::File::create(&err).unwrap());
        let code = command.status().unwrap().code();
        (code, std::fs::read_to_string(out).unwrap(), std::fs::read_to_string(err).unwrap())
    };
    let (code, _, err) = runtime(&["run", "--detach", "mapped"]);
    assert_eq!(code, Some(0), "{err}");
    let inside = "cat /proc/self/uid_map /proc/self/setgroups; grep ^Groups /proc/self/status";
    let (code, out, err) = runtime(&["exec", "--user", "0:0", "mapped", "sh", "-c", inside]);
    let words: Vec<&str> = out.split_whitespace().collect();
    assert_eq!(words, ["0", "65534", "1", "1", "200000", "1000", "allow", "Groups:", "7"], "{code:?} {err}");
    let (code, _, err) = runtime(&["delete", "--force", "mapped"]);
    assert_eq!(code, Some(0), "{err}");
}
