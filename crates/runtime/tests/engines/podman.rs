//! Podman, unpacked or installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Bundle, runtime_path, told};

/// Podman with directories of its own.
struct Podman<'a> {
    dir: &'a Path,
    program: PathBuf,
}

/// Where it is unpacked, with its libraries.
fn unpacked() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/podman")
}

/// The unpacked one, or that which is installed.
fn find() -> Option<PathBuf> {
    let own = unpacked().join("usr/bin/podman");
    if own.is_file() {
        return Some(own);
    }
    Command::new("podman").arg("--version").output().ok().map(|_| "podman".into())
}

impl Podman<'_> {
    fn command(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(&self.program);
        if self.program.is_absolute() {
            self.settle(&mut command);
        }
        command.arg("--root").arg(self.dir.join("root")).arg("--runroot").arg(self.dir.join("run"));
        command.arg("--runtime").arg(runtime_path()).args(["--cgroup-manager", "cgroupfs"]);
        command.args(["--storage-driver", "vfs", "--events-backend", "file"]).args(args);
        told(&command.stdin(Stdio::null()).output().unwrap())
    }

    /// What a package would have put in `/etc` and `/usr/lib`.
    fn settle(&self, command: &mut Command) {
        let (home, at) = (self.dir.join("home"), unpacked().canonicalize().unwrap());
        std::fs::create_dir_all(home.join(".config/containers")).unwrap();
        let policy = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
        std::fs::write(home.join(".config/containers/policy.json"), policy).unwrap();
        let conmon =
            format!("[engine]\nconmon_path = [{:?}, \"/usr/bin/conmon\"]\n", at.join("usr/bin/conmon"));
        std::fs::write(home.join("containers.conf"), conmon).unwrap();
        let libraries =
            ["usr/lib", "lib"].map(|dir| at.join(dir).join("x86_64-linux-gnu").display().to_string());
        command.env("LD_LIBRARY_PATH", libraries.join(":"));
        command.env("CONTAINERS_CONF", home.join("containers.conf")).env("HOME", home);
    }

    fn says(&self, args: &[&str]) -> String {
        let (code, out, err) = self.command(args);
        assert_eq!(code, 0, "{args:?}: {out}{err}");
        out.trim().to_owned()
    }
}

#[test]
fn privileged_podman_runs_execs_pauses_and_removes_with_this_runtime() {
    let Some(program) = find() else {
        eprintln!("skipped: podman is not there");
        return;
    };
    let bundle = Bundle::new("");
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("rootfs.tar");
    let packed =
        Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(bundle.rootfs()).arg(".").status();
    assert!(packed.unwrap().success());
    let podman = Podman { dir: dir.path(), program };
    podman.says(&["import", archive.to_str().unwrap(), "box"]);

    // Its default is to lift limits, which a machine may not allow even to root.
    let run = ["run", "--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000"];
    let (code, out, err) =
        podman.command(&[&run[..], &["--rm", "box", "sh", "-c", "echo hello; exit 7"]].concat());
    assert_eq!((code, out.as_str()), (7, "hello\n"), "{err}");
    let (code, _, err) = podman.command(&[&run[..], &["--rm", "box", "nosuch"]].concat());
    assert_eq!(code, 127, "{err}");

    let name = bundle.id.as_str();
    podman.says(&[&run[..], &["-d", "--name", name, "--memory=64m", "box", "sleep", "1000"]].concat());
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
