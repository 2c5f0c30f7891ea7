//! Containers to test with: busybox, its own directories, its own zygote.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use supervisor::log::{LogDriver, LogSpec, Next, Reader, Select};
use supervisor::{Attach, Client, ExitRecord, Found, RunRecord, Spawn, Zygote, find};
use types::spec::{
    ConsoleSize, Linux, Mount, Namespace, NamespaceKind, Process, Resources, Root, RuntimeSpec, User,
};
use types::{Frame, StreamKind};

const APPLETS: [&str; 19] = [
    "sh", "cat", "echo", "sleep", "dd", "seq", "true", "stty", "head", "kill", "ps", "ls", "touch", "wc",
    "yes", "trap", "tty", "id", "readlink",
];

/// Directories of one test; gone with it, and so are its containers.
pub(crate) struct World {
    root: tempfile::TempDir,
    pub(crate) zygote: Zygote,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl World {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        make_rootfs(&root.path().join("rootfs"));
        Self { root, zygote: Zygote::launch().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// A container that is not started yet.
    pub(crate) fn container(&self, command: &[&str]) -> Spawn {
        container(self.root.path(), command)
    }

    /// Starts a container with one attachment that sees everything.
    pub(crate) fn run(&self, spawn: &Spawn) -> UnixStream {
        let attach =
            Attach { stdin: true, stdout: true, stderr: true, detach_keys: vec![0x10, 0x11], framed: None };
        self.run_with(spawn, attach)
    }

    pub(crate) fn run_with(&self, spawn: &Spawn, attach: Attach) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let theirs: OwnedFd = theirs.into();
        self.zygote.spawn(spawn, None, vec![(attach, theirs)]).unwrap();
        ours
    }

    /// Starts a container nobody is attached to.
    pub(crate) fn start(&self, spawn: &Spawn) -> Client {
        self.zygote.spawn(spawn, None, vec![]).unwrap();
        Client::connect(&spawn.dir).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let Ok(dirs) = fs::read_dir(self.root.path().join("containers")) else { return };
        for dir in dirs.flatten() {
            if let Found::Live(client) = find(&dir.path()) {
                let waiting = client.wait();
                let _ = client.signal(9, false);
                let _ = waiting.map(supervisor::Waiting::join);
            }
            let _ = supervisor::clean_up(&dir.path());
        }
        // The parent of the containers' cgroups.
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let _ = fs::remove_dir(hierarchy.path().join(cgroup_parent(self.path())));
        }
    }
}

/// One per world, also for a daemon that is another process.
fn cgroup_parent(root: &Path) -> String {
    format!("wharf-test-{}", root.file_name().unwrap().to_string_lossy().trim_start_matches('.'))
}

fn make_rootfs(root: &Path) {
    for dir in ["bin", "dev", "proc", "sys", "tmp", "etc"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::copy("/usr/bin/busybox", root.join("bin/busybox")).unwrap();
    for applet in APPLETS {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
}

pub(crate) fn container(root: &Path, command: &[&str]) -> Spawn {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let id = format!("{:064x}", (u64::from(std::process::id()) << 16) + u64::from(number));
    let dir = root.join("containers").join(&id);
    fs::create_dir_all(&dir).unwrap();
    let mount = |kind: &str, destination: &str, options: &[&str]| Mount {
        destination: destination.to_owned(),
        kind: kind.to_owned(),
        source: kind.to_owned(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    };
    let namespaces = [
        NamespaceKind::Pid,
        NamespaceKind::Mount,
        NamespaceKind::Ipc,
        NamespaceKind::Uts,
        NamespaceKind::Network,
    ];
    let spec = RuntimeSpec {
        oci_version: "1.2.0".to_owned(),
        process: Some(process(command)),
        root: Some(Root { path: root.join("rootfs").to_string_lossy().into_owned(), readonly: false }),
        hostname: "test".to_owned(),
        mounts: vec![
            mount("proc", "/proc", &["nosuid", "noexec", "nodev"]),
            mount("tmpfs", "/dev", &["nosuid", "mode=755", "size=65536k"]),
            mount(
                "devpts",
                "/dev/pts",
                &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
            ),
        ],
        linux: Some(Linux {
            namespaces: namespaces.into_iter().map(|kind| Namespace { kind, path: String::new() }).collect(),
            cgroups_path: format!("/{}/{id}", cgroup_parent(root)),
            resources: Some(Resources::default()),
            ..Linux::default()
        }),
        ..RuntimeSpec::default()
    };
    let log = LogSpec { driver: LogDriver::JsonFile, path: dir.join("log"), ..LogSpec::default() };
    Spawn { id, dir, spec, log, ..Spawn::default() }
}

pub(crate) fn process(command: &[&str]) -> Process {
    Process {
        args: command.iter().map(|word| (*word).to_owned()).collect(),
        env: vec!["PATH=/bin".to_owned(), "TERM=xterm".to_owned()],
        cwd: "/".to_owned(),
        user: User::default(),
        ..Process::default()
    }
}

/// Gives the container a terminal.
pub(crate) fn with_terminal(mut spawn: Spawn, rows: u64, cols: u64) -> Spawn {
    let process = spawn.spec.process.as_mut().unwrap();
    process.terminal = true;
    process.console_size = Some(ConsoleSize { height: rows, width: cols });
    spawn.open_stdin = true;
    spawn
}

/// What a framed stream said: stdout, stderr.
pub(crate) fn read_frames(stream: &mut impl Read) -> (Vec<u8>, Vec<u8>) {
    let mut out = (Vec::new(), Vec::new());
    each_frame(stream, |kind, bytes| match kind {
        StreamKind::Stderr => out.1.extend_from_slice(bytes),
        _ => out.0.extend_from_slice(bytes),
    });
    out
}

pub(crate) fn each_frame(stream: &mut impl Read, mut visit: impl FnMut(StreamKind, &[u8])) {
    let mut header = [0; Frame::HEADER];
    while let Ok(()) = stream.read_exact(&mut header) {
        let frame = Frame::decode(header).expect("a frame");
        let mut bytes = vec![0; frame.length as usize];
        stream.read_exact(&mut bytes).unwrap();
        visit(frame.kind, &bytes);
    }
}

/// Reads until the text appears.
pub(crate) fn read_until(stream: &mut UnixStream, wanted: &str) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let mut text = String::new();
    let mut bytes = [0; 4096];
    while !text.contains(wanted) {
        let got = stream
            .read(&mut bytes)
            .unwrap_or_else(|error| panic!("{error}: waited for {wanted:?} in {text:?}"));
        assert!(got > 0, "waited for {wanted:?} in {text:?}");
        text.push_str(&String::from_utf8_lossy(&bytes[..got]));
    }
    text
}

/// How the container ends.
pub(crate) fn exit_of(spawn: &Spawn) -> ExitRecord {
    match find(&spawn.dir) {
        Found::Exited(record) => record,
        Found::Gone => panic!("container is gone: {}", complaints(&spawn.dir)),
        Found::Live(client) => match client.wait().and_then(supervisor::Waiting::join) {
            Ok(record) => record,
            Err(_) => match find(&spawn.dir) {
                Found::Exited(record) => record,
                other => panic!("{other:?}: {}", complaints(&spawn.dir)),
            },
        },
    }
}

fn complaints(dir: &Path) -> String {
    fs::read_to_string(dir.join("supervisor.err")).unwrap_or_default()
}

pub(crate) fn log_lines(spawn: &Spawn, select: Select) -> Vec<(StreamKind, String)> {
    let mut reader = Reader::open(&spawn.log, select).unwrap();
    let mut lines = Vec::new();
    while let Next::Entry(entry) = reader.next().unwrap() {
        lines.push((entry.stream, String::from_utf8(entry.line).unwrap()));
    }
    lines
}

/// Nothing of a container is left but its records: no supervisor, no socket, no cgroup.
pub(crate) fn assert_clean(spawn: &Spawn) {
    assert!(!spawn.dir.join("supervisor.sock").exists());
    assert_eq!(complaints(&spawn.dir), "");
    assert!(cgroups(spawn).is_empty(), "{:?}", cgroups(spawn));
    if let Ok(run) = RunRecord::read(&spawn.dir) {
        eventually("supervisor ends", || !Path::new(&format!("/proc/{}", run.supervisor_pid)).exists());
        assert!(!run.is_alive());
    }
}

pub(crate) fn cgroups(spawn: &Spawn) -> Vec<PathBuf> {
    let path = spawn.spec.linux.as_ref().unwrap().cgroups_path.trim_start_matches('/').to_owned();
    let roots = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
    roots
        .chain([PathBuf::from("/sys/fs/cgroup")])
        .map(|root| root.join(&path))
        .filter(|path| path.exists())
        .collect()
}

/// Waits for something that has no event to wait for.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
