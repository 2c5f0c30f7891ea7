//! A test bed: a daemon of one's own, clients for it, and a check that nothing is left.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take before the test counts it as hanging. A bound, not a measurement.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) struct Bed {
    folder: tempfile::TempDir,
    daemon: Option<Child>,
    /// Keeps the namespaces, so that a daemon finds there what the one before it left.
    namespace: Beside,
    /// The data root is a file system of its own, in a mount namespace of its own.
    own_disk: bool,
    cgroup: String,
    /// Ends containers when this process is killed before it can.
    watch: Beside,
    extra: Vec<String>,
    /// A program, with its arguments, that runs the daemon.
    pub(crate) runner: Vec<String>,
}

/// A program in a bed's network namespace.
pub(crate) struct Beside(Child);

impl Drop for Beside {
    fn drop(&mut self) {
        // It may have ended by itself; what counts is that it is gone.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// What a client said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// The output of a command that must succeed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        self.out.trim_end().to_owned()
    }

    /// The error of a command that must fail with `code`.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self.err.trim_end().to_owned()
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The repository's own folder.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("tests/e2e lies in the repository")
        .to_owned()
}

/// The binary under test: `WHARF_BIN`, or the one built beside this test.
pub(crate) fn wharf_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("WHARF_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test knows its own path");
    let path = test.ancestors().nth(2).expect("tests lie in deps/").join("wharf");
    assert!(path.exists(), "{} is missing: cargo build -p wharf", path.display());
    path
}

/// The test image's root file system as a tar, made once per run.
pub(crate) fn rootfs_tar() -> &'static Path {
    static TAR: OnceLock<tempfile::TempPath> = OnceLock::new();
    static GIVEN: OnceLock<Option<PathBuf>> = OnceLock::new();
    if let Some(given) = GIVEN.get_or_init(|| std::env::var_os("WHARF_TEST_ROOTFS").map(PathBuf::from)) {
        return given;
    }
    TAR.get_or_init(|| {
        let mut file = tempfile::NamedTempFile::new().expect("make a temporary file");
        let made =
            Command::new(repository().join("scripts/busybox-rootfs.sh")).output().expect("run the script");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        file.write_all(&made.stdout).expect("write the image");
        file.into_temp_path()
    })
}

/// A process that does nothing in a network namespace of its own, where `lo` is up; with `disk`, the options of a
/// tmpfs, also in a mount namespace where that lies on `data`.
fn namespaces(data: &Path, disk: Option<&str>) -> Beside {
    let mut command = Command::new("setpriv");
    // Whatever ends this process ends its namespaces.
    command.args(["--pdeathsig", "KILL", "unshare", "--net"]);
    let mut script = "ip link set lo up && echo up && exec sleep infinity".to_owned();
    if let Some(options) = disk {
        command.arg("--mount");
        script = format!("mount -t tmpfs -o {options} tmpfs '{}' && {script}", data.display());
    }
    command.args(["--", "sh", "-c", &script]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("run setpriv");
    let mut holder = Beside(child);
    let mut line = [0; 3];
    let out = holder.0.stdout.as_mut().expect("it is piped");
    std::io::Read::read_exact(out, &mut line).expect("make namespaces");
    holder
}

/// Waits for the end of its input, which comes when this process ends in any way; then kills what runs in the bed's
/// cgroups (supervisors end with their containers) and removes the bed. In an orderly end it is killed before.
const WATCH: &str = r#"
    cat > /dev/null
    for round in 1 2 3 4 5 6 7 8 9 10; do
        for group in /sys/fs/cgroup/*/"$1"/* /sys/fs/cgroup/"$1"/*; do
            [ -e "$group/freezer.state" ] && echo THAWED > "$group/freezer.state"
            [ -e "$group/cgroup.procs" ] && while read -r pid; do kill -KILL "$pid"; done < "$group/cgroup.procs"
        done
        sleep 0.2
    done
    rmdir /sys/fs/cgroup/*/"$1"/* /sys/fs/cgroup/*/"$1" /sys/fs/cgroup/"$1"
    rm -rf "$2"
"#;

/// In a session of its own: a terminal's interrupt must not end it.
fn watch(cgroup: &str, folder: &Path) -> Beside {
    let mut command = Command::new("setsid");
    command.args(["sh", "-c", WATCH, "sh", cgroup.trim_start_matches('/')]).arg(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    Beside(command.spawn().expect("run setsid"))
}

impl Bed {
    /// A daemon with `busybox:latest` in it.
    pub(crate) fn new() -> Self {
        let bed = Self::empty(&[]);
        bed.import_busybox();
        bed
    }

    /// A daemon without images, with `extra` arguments.
    pub(crate) fn empty(extra: &[&str]) -> Self {
        Self::make(extra, None)
    }

    /// A daemon with `busybox:latest` whose data root is a tmpfs with these options.
    pub(crate) fn on_disk(options: &str) -> Self {
        let bed = Self::make(&[], Some(options));
        bed.import_busybox();
        bed
    }

    pub(crate) fn import_busybox(&self) {
        let tar = rootfs_tar().to_str().expect("temporary paths are text");
        self.docker(&["import", "--change", r#"CMD ["sh"]"#, tar, "busybox:latest"]).ok();
    }

    fn make(extra: &[&str], disk: Option<&str>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder =
            tempfile::Builder::new().prefix("wharf-e2e-").tempdir_in("/var/tmp").expect("make a folder");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("make the data root");
        let cgroup = format!("/wharf-e2e-{}-{number}", std::process::id());
        let mut bed = Self {
            daemon: None,
            namespace: namespaces(&data, disk),
            own_disk: disk.is_some(),
            watch: watch(&cgroup, folder.path()),
            folder,
            cgroup,
            extra: extra.iter().map(|word| (*word).to_owned()).collect(),
            runner: Vec::new(),
        };
        bed.start();
        bed
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("wharf.sock")
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Starts the daemon and waits until it answers.
    pub(crate) fn start(&mut self) {
        assert!(self.daemon.is_none(), "the daemon runs already");
        self.daemon = Some(self.spawn());
        let deadline = Instant::now() + PATIENCE;
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            assert!(Instant::now() < deadline, "the daemon does not answer:\n{}", self.log());
            let ended = self.daemon.as_mut().and_then(|daemon| daemon.try_wait().ok().flatten());
            assert!(ended.is_none(), "the daemon ended:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// More arguments for the next daemon.
    pub(crate) fn add_arguments(&mut self, more: &[&str]) {
        self.extra.extend(more.iter().map(|word| (*word).to_owned()));
    }

    /// Starts a daemon that cannot start; what it says.
    pub(crate) fn daemon_fails(&self) -> String {
        assert!(self.daemon.is_none(), "the daemon runs already");
        let before = self.log().len();
        let mut child = self.spawn();
        let deadline = Instant::now() + PATIENCE;
        let ended = loop {
            if let Some(ended) = child.try_wait().expect("wait for the daemon") {
                break ended;
            }
            if Instant::now() > deadline {
                child.kill().expect("kill the daemon");
                child.wait().expect("reap the daemon");
                panic!("the daemon starts:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(!ended.success(), "the daemon ends well:\n{}", self.log());
        self.log().split_off(before)
    }

    fn spawn(&self) -> Child {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .expect("open the log");
        // Each replaces itself with the next: what is spawned here becomes the daemon. It ends with this thread.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "nsenter"]).args(self.namespaces());
        command.args(&self.runner).arg(wharf_binary()).arg("daemon").args(["-H", &self.host()]);
        command.arg("--data-root").arg(self.path("data")).arg("--exec-root").arg(self.path("run"));
        command.args(["--cgroup-parent", &self.cgroup, "--config-file"]).arg(self.path("daemon.json"));
        std::fs::write(self.path("daemon.json"), "{}").expect("write the configuration");
        command.args(&self.extra).stdin(Stdio::null()).stdout(log.try_clone().expect("clone")).stderr(log);
        command.spawn().expect("start the daemon")
    }

    /// The arguments with which `nsenter` enters the bed's namespaces.
    fn namespaces(&self) -> Vec<String> {
        let holder = self.namespace.0.id().to_string();
        let mount = self.own_disk.then(|| "-m".to_owned());
        ["-t".to_owned(), holder, "-n".to_owned()].into_iter().chain(mount).chain(["--".to_owned()]).collect()
    }

    /// The daemon's process id: `nsenter` replaces itself with the daemon.
    pub(crate) fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("the daemon runs").id()
    }

    /// A port of `127.0.0.1` in the daemon's network namespace.
    pub(crate) fn listener(&self) -> std::net::TcpListener {
        use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
        let path = format!("/proc/{}/ns/net", self.namespace.0.id());
        // In a thread of its own: a socket stays where it was made.
        let bind = move || {
            let namespace = std::fs::File::open(path)?;
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), kind)?;
            std::net::TcpListener::bind("127.0.0.1:0")
        };
        std::thread::spawn(bind).join().expect("no panic").expect("listen in the namespace")
    }

    /// The names of other processes in the daemon's network namespace: helpers, and what is left of containers.
    pub(crate) fn processes_beside(&self) -> Vec<String> {
        let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let holder = self.namespace.0.id().to_string();
        let ours = namespace(&holder);
        let daemon = self.daemon.as_ref().map(|daemon| daemon.id().to_string()).unwrap_or_default();
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let others = pids.filter(|pid| *pid != holder && *pid != daemon && pid.parse::<u32>().is_ok());
        let beside = others.filter(|pid| ours.is_some() && namespace(pid) == ours);
        let name = |pid: String| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok();
        beside.filter_map(name).map(|comm| comm.trim().to_owned()).collect()
    }

    /// A path as the daemon sees it, who may have a disk of its own.
    pub(crate) fn inside(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        let path = path.strip_prefix("/").expect("it is absolute");
        PathBuf::from(format!("/proc/{}/root", self.namespace.0.id())).join(path)
    }

    /// Starts a program in the daemon's network namespace; it is killed when the guard is dropped.
    pub(crate) fn beside(&self, program: &str, arguments: &[&str]) -> Beside {
        let mut command = Command::new("nsenter");
        command.args(self.namespaces()).arg(program).args(arguments);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Beside(child.expect("start a program beside the daemon"))
    }

    /// Runs a program in the daemon's network namespace to its end.
    pub(crate) fn in_namespace(&self, program: &str, arguments: &[&str]) -> Said {
        let mut command = Command::new("nsenter");
        command.args(self.namespaces()).arg(program).args(arguments);
        command.stdin(Stdio::null()).output().expect("run a program beside the daemon").into()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.pid().to_string()]).status().expect("run kill");
        assert!(sent.success());
    }

    /// SIGKILL, as a crash would.
    pub(crate) fn crash(&mut self) {
        self.signal("-KILL");
        self.reap();
    }

    /// Waits for the end of a daemon that was killed.
    pub(crate) fn reap(&mut self) {
        self.daemon.take().expect("the daemon runs").wait().expect("reap the daemon");
    }

    /// SIGTERM, as an init system would.
    pub(crate) fn stop(&mut self) {
        self.signal("-TERM");
        self.daemon.take().expect("the daemon runs").wait().expect("reap the daemon");
    }

    fn client(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("DOCKER_HOST", self.host()).env("DOCKER_CONFIG", self.path("config"));
        command.env("DOCKER_CLI_HINTS", "false").env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    /// Docker's own client, ready to run.
    pub(crate) fn docker_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.client(Path::new("docker"));
        command.args(arguments);
        command
    }

    /// Docker's own client.
    pub(crate) fn docker(&self, arguments: &[&str]) -> Said {
        self.docker_command(arguments).output().expect("run docker").into()
    }

    /// What a shell script, in which `docker` is Docker's own client, shows on a terminal.
    pub(crate) fn in_terminal(&self, script: &str) -> String {
        let own = self.docker_command(&[]);
        let environment =
            own.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        let mut command = Command::new("script");
        command.args(["-qec", script, "/dev/null"]).envs(environment).stdin(Stdio::null());
        let output = command.output().expect("run script");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Docker's own client, with something on its standard input.
    pub(crate) fn docker_with_input(&self, arguments: &[&str], input: &[u8]) -> Said {
        let mut command = self.docker_command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("run docker");
        let mut stdin = child.stdin.take().expect("it is piped");
        let input = input.to_owned();
        let writer = std::thread::spawn(move || {
            // A client that ends early closes its end; what counts is what it then says.
            let _closed = stdin.write_all(&input);
        });
        let output = child.wait_with_output().expect("wait for docker");
        writer.join().expect("the writer does not panic");
        output.into()
    }

    /// Our own client.
    pub(crate) fn wharf(&self, arguments: &[&str]) -> Said {
        self.client(&wharf_binary()).args(arguments).output().expect("run wharf").into()
    }

    /// Waits until `docker ARGUMENTS` prints `expect`.
    #[track_caller]
    pub(crate) fn until(&self, arguments: &[&str], expect: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.docker(arguments);
            if said.out.trim_end() == expect {
                return;
            }
            assert!(Instant::now() < deadline, "{arguments:?}: want {expect:?}, last: {said:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Cgroups below this bed's parent that have not been removed.
    pub(crate) fn leftover_cgroups(&self) -> Vec<PathBuf> {
        let name = self.cgroup.trim_start_matches('/');
        let roots =
            std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
        let parents = roots.chain([PathBuf::from("/sys/fs/cgroup")]).map(|root| root.join(name));
        let children = parents.filter_map(|parent| std::fs::read_dir(parent).ok()).flatten().flatten();
        children
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect()
    }

    /// Processes whose command line or working directory names this bed's folder.
    fn leftover_processes(&self) -> Vec<String> {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            if Some(pid) == self.daemon.as_ref().map(Child::id) || pid == std::process::id() {
                continue;
            }
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(&folder) && pid != self.watch.0.id() {
                found.push(format!("{pid}: {line}"));
            }
        }
        found
    }

    /// Mounts of the host below this bed's folder.
    pub(crate) fn leftover_mounts(&self) -> Vec<String> {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let mounts = format!("/proc/{}/mounts", self.namespace.0.id());
        let mounts = std::fs::read_to_string(mounts).unwrap_or_default();
        let disk = format!(" {folder}/data tmpfs ");
        let left = mounts.lines().filter(|line| line.contains(&folder) && !line.contains(&disk));
        left.map(str::to_owned).collect()
    }

    fn remove_parent_cgroups(&self) {
        let name = self.cgroup.trim_start_matches('/');
        for entry in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let _absent = std::fs::remove_dir(entry.path().join(name));
        }
        let _absent = std::fs::remove_dir(Path::new("/sys/fs/cgroup").join(name));
    }

    fn kill_what_is_left(&self) {
        for cgroup in self.leftover_cgroups() {
            for pid in std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default().lines() {
                let _gone = Command::new("kill").args(["-KILL", pid]).output();
            }
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the daemon's log:\n{}", self.log());
        }
        if self.daemon.is_none() && !std::thread::panicking() {
            self.start(); // a test may end with the daemon down; its containers still have to go
        }
        if self.daemon.is_some() {
            let ids = self.docker(&["ps", "-aq", "--no-trunc"]).out;
            let ids: Vec<&str> = ids.split_whitespace().collect();
            if !ids.is_empty() {
                let mut arguments = vec!["rm", "-f"];
                arguments.extend(&ids);
                self.docker(&arguments);
            }
            if std::thread::panicking() {
                // It may be gone already; a second panic would end all tests.
                let _gone = self.daemon.as_mut().map(Child::kill);
                self.reap();
            } else {
                self.stop();
            }
        }
        let left = [self.leftover_processes(), self.leftover_mounts()].concat();
        let cgroups = self.leftover_cgroups();
        self.kill_what_is_left();
        self.remove_parent_cgroups();
        if !std::thread::panicking() {
            assert!(left.is_empty(), "left behind: {left:#?}");
            assert!(cgroups.is_empty(), "left behind: {cgroups:#?}");
        }
    }
}
