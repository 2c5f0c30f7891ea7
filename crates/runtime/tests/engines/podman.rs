//! Podman, wherever it is installed.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Bundle, runtime_path, told};

/// Podman with directories of its own.
struct Podman<'a> {
    dir: &'a Path,
}

impl Podman<'_> {
    fn command(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new("podman");
        command.arg("--root").arg(self.dir.join("root")).arg("--runroot").arg(self.dir.join("run"));
        command.arg("--runtime").arg(runtime_path()).args(["--cgroup-manager", "cgroupfs"]);
        command.args(["--storage-driver", "vfs", "--events-backend", "file"]).args(args);
        told(&command.stdin(Stdio::null()).output().unwrap())
    }

    fn says(&self, args: &[&str]) -> String {
        let (code, out, err) = self.command(args);
        assert_eq!(code, 0, "{args:?}: {out}{err}");
        out.trim().to_owned()
    }
}

#[test]
fn privileged_podman_runs_execs_pauses_and_removes_with_this_runtime() {
    if Command::new("podman").arg("--version").output().is_err() {
        eprintln!("skipped: podman is not installed");
        return;
    }
    let bundle = Bundle::new("");
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("rootfs.tar");
    let packed =
        Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(bundle.rootfs()).arg(".").status();
    assert!(packed.unwrap().success());
    let podman = Podman { dir: dir.path() };
    podman.says(&["import", archive.to_str().unwrap(), "box"]);

    let (code, out, err) =
        podman.command(&["run", "--rm", "--network=none", "box", "sh", "-c", "echo hello; exit 7"]);
    assert_eq!((code, out.as_str()), (7, "hello\n"), "{err}");
    let (code, _, err) = podman.command(&["run", "--rm", "--network=none", "box", "nosuch"]);
    assert_eq!(code, 127, "{err}");

    let name = bundle.id.as_str();
    podman.says(&["run", "-d", "--name", name, "--network=none", "--memory=64m", "box", "sleep", "1000"]);
    let in_exec = ["exec", "-u", "1000:1000", "-e", "A=b", "-w", "/etc", name, "sh", "-c"];
    assert_eq!(podman.says(&[&in_exec[..], &["echo $A; pwd; id -u"]].concat()), "b\n/etc\n1000");
    assert_eq!(podman.command(&["exec", name, "nosuch"]).0, 127);
    let usage = podman.says(&["stats", "--no-stream", "--format", "{{.MemUsage}}", name]);
    assert!(usage.contains("67.11MB"), "{usage}");
    podman.says(&["update", "--memory=128m", name]);
    podman.says(&["pause", name]);
    assert_eq!(podman.says(&["inspect", "-f", "{{.State.Status}}", name]), "paused");
    podman.says(&["unpause", name]);
    podman.says(&["kill", name]);
    podman.says(&["wait", name]);
    assert_eq!(podman.says(&["inspect", "-f", "{{.State.ExitCode}}", name]), "137");
    podman.says(&["rm", "-f", name]);
    assert_eq!(podman.says(&["ps", "-aq"]), "");
    podman.command(&["system", "reset", "-f"]);
}
