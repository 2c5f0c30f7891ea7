//! containerd, by its own client: `ctr run --runc-binary`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Bundle, runtime_path, told};
use crate::{Daemon, path_variable, program};

/// containerd with directories of its own.
pub(crate) struct Containerd {
    dir: PathBuf,
    ctr: PathBuf,
    _daemon: Daemon,
}

impl Containerd {
    /// `None` where it is not installed.
    pub(crate) fn start(dir: &Path) -> Option<Containerd> {
        let (containerd, ctr) = (program("containerd")?, program("ctr")?);
        let config = format!(
            "version = 2\nroot = '{0}/root'\nstate = '{0}/state'\ndisabled_plugins = ['io.containerd.grpc.v1.cri', \
             'io.containerd.cri.v1.runtime', 'io.containerd.cri.v1.images', 'io.containerd.internal.v1.opt']\n[grpc]\n  address = '{0}/c.sock'\n[ttrpc]\n  address = '{0}/c.sock.ttrpc'\n",
            dir.display()
        );
        std::fs::write(dir.join("containerd.toml"), config).unwrap();
        let config = dir.join("containerd.toml");
        let mut daemon =
            Daemon::start(&containerd, &["--config", config.to_str().unwrap()], dir.join("containerd.log"));
        let socket = dir.join("c.sock");
        daemon.until(|| {
            let mut version = Command::new(&ctr);
            version.arg("-a").arg(&socket).arg("version").stdout(Stdio::null()).stderr(Stdio::null());
            version.status().unwrap().success()
        });
        Some(Containerd { dir: dir.to_owned(), ctr, _daemon: daemon })
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("c.sock")
    }

    fn command(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(&self.ctr);
        command.arg("-a").arg(self.socket()).args(args).env("PATH", path_variable());
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
fn privileged_containerd_runs_execs_pauses_and_removes_with_this_runtime() {
    let bundle = Bundle::new("");
    // Sockets of shims have long names: a short folder.
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let Some(containerd) = Containerd::start(dir.path()) else { return };
    let (runtime, rootfs) = (runtime_path(), bundle.rootfs());
    let (runtime, rootfs) = (runtime.to_str().unwrap(), rootfs.to_str().unwrap());
    let cgroup = format!("/{}", bundle.id);
    let run = ["run", "--runc-binary", runtime, "--rootfs", "--cgroup", cgroup.as_str()];

    // What is printed goes through a client that may leave before it has copied all: files tell.
    let said = || std::fs::read_to_string(bundle.rootfs().join("said")).unwrap_or_default();
    let script = "echo hello > /said; exit 7";
    let (code, _, err) =
        containerd.command(&[&run[..], &["--rm", rootfs, "first", "/bin/sh", "-c", script]].concat());
    assert_eq!((code, said().as_str()), (7, "hello\n"), "{err}");

    let id = bundle.id.as_str();
    let limits = ["--memory-limit", "67108864", "-d", rootfs, id, "/bin/sleep", "1000"];
    containerd.says(&[&run[..], &limits].concat());
    let exec = ["tasks", "exec", "--exec-id"];
    let script = "(pwd; /bin/id -u) > /said";
    containerd.says(&[&exec[..], &["e1", "--cwd", "/etc", id, "/bin/sh", "-c", script]].concat());
    assert_eq!(said(), "/etc\n0\n");
    assert_ne!(containerd.command(&[&exec[..], &["e2", id, "nosuch"]].concat()).0, 0);
    let metrics = containerd.says(&["tasks", "metrics", id]);
    assert!(metrics.contains("67108864") || metrics.contains("memory"), "{metrics}");
    let status = || -> String {
        let list = containerd.says(&["tasks", "ls"]);
        let line = list.lines().find(|line| line.starts_with(id)).unwrap_or_default().to_owned();
        line.split_whitespace().last().unwrap_or_default().to_owned()
    };
    containerd.says(&["tasks", "pause", id]);
    assert_eq!(status(), "PAUSED");
    containerd.says(&["tasks", "resume", id]);
    assert_eq!(status(), "RUNNING");
    containerd.says(&["tasks", "kill", "-s", "SIGKILL", id]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while status() != "STOPPED" {
        assert!(std::time::Instant::now() < deadline, "{}", status());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    containerd.says(&["tasks", "rm", id]);
    containerd.says(&["containers", "rm", id]);
    assert_eq!(containerd.says(&["containers", "ls", "-q"]), "");
}
