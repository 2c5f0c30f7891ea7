//! dockerd with `--add-runtime`, above a containerd of its own.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::containerd::Containerd;
use crate::support::{Bundle, runtime_path, told};
use crate::{Daemon, path_variable, program};

struct Docker<'a> {
    dir: &'a Path,
}

impl Docker<'_> {
    fn command(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new("docker");
        command
            .env("DOCKER_HOST", format!("unix://{}/d.sock", self.dir.display()))
            .env("PATH", path_variable());
        command.env("DOCKER_CONFIG", self.dir).args(args);
        told(&command.stdin(Stdio::null()).output().unwrap())
    }

    #[track_caller]
    fn says(&self, args: &[&str]) -> String {
        let (code, out, err) = self.command(args);
        assert_eq!(code, 0, "{args:?}: {out}{err}");
        out.trim().to_owned()
    }
}

#[test]
fn privileged_docker_runs_execs_pauses_and_removes_with_this_runtime() {
    let Some(dockerd) = program("dockerd") else { return };
    if program("docker").is_none() {
        return;
    }
    let bundle = Bundle::new("");
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let Some(containerd) = Containerd::start(dir.path()) else { return };
    let in_dir = |name: &str| dir.path().join(name).display().to_string();
    let (host, runtime) =
        (format!("unix://{}", in_dir("d.sock")), format!("wharf={}", runtime_path().display()));
    let cgroup = format!("/{}", bundle.id);
    // An empty configuration of its own; no bridge and no rules: what is tried is the runtime.
    std::fs::write(dir.path().join("daemon.json"), "{}").unwrap();
    let mut daemon = Daemon::start(
        &dockerd,
        &[
            "--config-file",
            &in_dir("daemon.json"),
            "-H",
            &host,
            "--containerd",
            containerd.socket().to_str().unwrap(),
            "--data-root",
            &in_dir("data"),
            "--exec-root",
            &in_dir("exec"),
            "--pidfile",
            &in_dir("d.pid"),
            "--bridge",
            "none",
            "--iptables=false",
            "--ip6tables=false",
            "--storage-driver",
            "vfs",
            "--cgroup-parent",
            &cgroup,
            "--exec-opt",
            "native.cgroupdriver=cgroupfs",
            "--add-runtime",
            &runtime,
            "--default-runtime",
            "wharf",
        ],
        dir.path().join("dockerd.log"),
    );
    let docker = Docker { dir: dir.path() };
    daemon.until(|| docker.command(&["version"]).0 == 0);

    let archive = dir.path().join("rootfs.tar");
    let packed =
        Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(bundle.rootfs()).arg(".").status();
    assert!(packed.unwrap().success());
    docker.says(&["import", archive.to_str().unwrap(), "box"]);
    let run = ["run", "--network", "none"];
    let (code, out, err) =
        docker.command(&[&run[..], &["--rm", "box", "sh", "-c", "echo hello; exit 7"]].concat());
    assert_eq!((code, out.as_str()), (7, "hello\n"), "{err}");
    let (code, _, err) = docker.command(&[&run[..], &["--rm", "box", "nosuch"]].concat());
    assert!(code == 127 && err.contains("executable file not found in $PATH"), "{code} {err}");

    docker.says(&[&run[..], &["-d", "--name", "one", "--memory", "64m", "box", "sleep", "1000"]].concat());
    let exec = ["exec", "-u", "1000", "-e", "A=b", "-w", "/etc", "one", "sh", "-c", "echo $A; pwd; id -u"];
    assert_eq!(docker.says(&exec), "b\n/etc\n1000");
    let (code, _, _) = docker.command(&["exec", "one", "nosuch"]);
    assert!(code == 126 || code == 127, "{code}");
    let usage = docker.says(&["stats", "--no-stream", "--format", "{{.MemUsage}}", "one"]);
    assert!(usage.ends_with("64MiB"), "{usage}");
    docker.says(&["update", "--memory", "128m", "--memory-swap", "128m", "one"]);
    let usage = docker.says(&["stats", "--no-stream", "--format", "{{.MemUsage}}", "one"]);
    assert!(usage.ends_with("128MiB"), "{usage}");
    assert!(docker.says(&["top", "one"]).contains("sleep 1000"));
    docker.says(&["pause", "one"]);
    assert_eq!(docker.says(&["inspect", "-f", "{{.State.Status}}", "one"]), "paused");
    docker.says(&["unpause", "one"]);
    docker.says(&["kill", "one"]);
    docker.says(&["wait", "one"]);
    assert_eq!(docker.says(&["inspect", "-f", "{{.State.ExitCode}}", "one"]), "137");
    docker.says(&["start", "one"]);
    docker.says(&["rm", "-f", "one"]);
    assert_eq!(docker.says(&["ps", "-aq"]), "");
    drop((daemon, containerd));
    linux::cgroup::Cgroup::open(&cgroup).and_then(|parent| parent.remove()).unwrap();
}
