//! A bundle with a static busybox in a directory of its own, and the runtime's command line on it.

#![allow(dead_code)] // Each test program uses its part.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use types::spec::{Namespace, NamespaceKind, RuntimeSpec};

const APPLETS: [&str; 34] = [
    "sh", "true", "cat", "id", "mount", "ls", "ps", "hostname", "sleep", "env", "pwd", "stat", "touch",
    "echo", "ip", "tty", "stty", "head", "kill", "grep", "readlink", "mkdir", "rm", "test", "wc", "dd",
    "sed", "ln", "cut", "date", "ionice", "uname", "find", "mknod",
];

/// A bundle; dropped, it checks that nothing of its containers is left.
pub(crate) struct Bundle {
    dir: tempfile::TempDir,
    /// Prefix of the ids of its containers.
    pub(crate) id: String,
    pub(crate) spec: RuntimeSpec,
    /// Defences that the runtime goes without, for the tests of escapes.
    without: &'static str,
}

impl Bundle {
    /// With runc's example configuration, without a terminal and with a writable root, running this script.
    pub(crate) fn new(script: &str) -> Bundle {
        Bundle::without(script, "")
    }

    /// The same, for a runtime that leaves out the named defences.
    pub(crate) fn without(script: &str, without: &'static str) -> Bundle {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("rootfs/bin");
        std::fs::create_dir_all(&bin).unwrap();
        copy_program(Path::new("/bin/busybox"), &bin.join("busybox"));
        for applet in APPLETS {
            symlink("busybox", bin.join(applet)).unwrap();
        }
        std::fs::create_dir(dir.path().join("rootfs/etc")).unwrap();
        let passwd = "root:x:0:0:root:/root:/bin/sh\nada:x:1000:100::/home/ada:/bin/sh\n";
        std::fs::write(dir.path().join("rootfs/etc/passwd"), passwd).unwrap();
        let group = "root:x:0:\nusers:x:100:\naudio:x:29:ada\n";
        std::fs::write(dir.path().join("rootfs/etc/group"), group).unwrap();

        let made = Command::new(runtime_path()).args(["spec", "--bundle"]).arg(dir.path()).status().unwrap();
        assert!(made.success());
        let text = std::fs::read(dir.path().join("config.json")).unwrap();
        let mut spec: RuntimeSpec = serde_json::from_slice(&text).unwrap();
        let process = spec.process.as_mut().unwrap();
        process.terminal = false;
        process.args = ["/bin/sh", "-c", script].map(String::from).to_vec();
        spec.root.as_mut().unwrap().readonly = false;
        let id = format!("wt-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Bundle { dir, id, spec, without }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.dir.path().join("rootfs")
    }

    pub(crate) fn process(&mut self) -> &mut types::spec::Process {
        self.spec.process.as_mut().unwrap()
    }

    pub(crate) fn linux(&mut self) -> &mut types::spec::Linux {
        self.spec.linux.as_mut().unwrap()
    }

    /// Replaces a namespace, or adds it.
    pub(crate) fn namespace(&mut self, kind: NamespaceKind, path: &str) {
        let list = &mut self.linux().namespaces;
        list.retain(|namespace| namespace.kind != kind);
        list.push(Namespace { kind, path: path.into() });
    }

    /// The runtime with these arguments; the state directory is the bundle's own.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let text = serde_json::to_vec(&self.spec).unwrap();
        std::fs::write(self.dir.path().join("config.json"), text).unwrap();
        let mut command = Command::new(self.program());
        command.env("WHARF_WEAKENED", self.without);
        command.arg("--root").arg(self.dir.path().join("state")).args(args).stdin(Stdio::null());
        command.current_dir(self.dir.path());
        command
    }

    /// The runtime's executable.
    pub(crate) fn program(&self) -> PathBuf {
        match weakened_path() {
            Some(path) if !self.without.is_empty() => path,
            _ => runtime_path(),
        }
    }

    /// Exit code, standard output, standard error.
    pub(crate) fn runtime(&self, args: &[&str]) -> (i32, String, String) {
        told(&self.command(args).output().unwrap())
    }

    /// `run` of the bundle.
    pub(crate) fn run(&self) -> (i32, String, String) {
        self.runtime(&["run", &self.id])
    }

    /// `run`, which must succeed; its standard output.
    pub(crate) fn output(&self) -> String {
        let (code, out, err) = self.run();
        assert_eq!(code, 0, "{out}{err}");
        out
    }

    /// Starts the bundle in the background; output goes nowhere.
    pub(crate) fn start(&self) -> i32 {
        let mut command = self.command(&["run", "--detach", "--pid-file", "pid", &self.id]);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success());
        std::fs::read_to_string(self.path().join("pid")).unwrap().parse().unwrap()
    }

    fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let here = self.dir.path().to_string_lossy().into_owned();
        found.extend(mounts.lines().filter(|line| line.contains(&here)).map(str::to_owned));
        if let Ok(entries) = std::fs::read_dir(self.dir.path().join("state")) {
            found.extend(entries.map(|entry| entry.unwrap().path().display().to_string()));
        }
        for (_, root) in linux::cgroup::Cgroup::of_process(1).unwrap().paths() {
            let Ok(entries) = std::fs::read_dir(root) else { continue };
            let names = entries.map(|entry| entry.unwrap().path());
            found
                .extend(names.filter(|path| path.ends_with(&self.id)).map(|path| path.display().to_string()));
        }
        found
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.runtime(&["delete", "--force", &self.id]);
        let left = self.leftovers();
        if !std::thread::panicking() {
            assert!(left.is_empty(), "left over: {left:?}");
        }
    }
}

/// Copies a program by a process of its own: had this one the file open for writing while another test forks, that test's child
/// would hold it open, too, and nobody could execute it (`ETXTBSY`).
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").args([from, to]).status().unwrap();
    assert!(copied.success(), "{} could not be copied", from.display());
}

pub(crate) fn told(output: &Output) -> (i32, String, String) {
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// The program, built along with the tests; `WHARF_RUNTIME` names another, or another runtime to compare with.
pub(crate) fn runtime_path() -> PathBuf {
    if let Some(path) = std::env::var_os("WHARF_RUNTIME") {
        return path.into();
    }
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().parent().unwrap().join("wharf-runtime")
}

/// The same with the feature `weakened`: `WHARF_RUNTIME_WEAKENED`, or the example if it is built.
pub(crate) fn weakened_path() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("WHARF_RUNTIME_WEAKENED") {
        return Some(path.into());
    }
    let path = runtime_path().with_file_name("examples/wharf-runtime-weakened");
    path.exists().then_some(path)
}
