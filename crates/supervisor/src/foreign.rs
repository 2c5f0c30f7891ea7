//! Another runtime than ours: a program with runc's command line, run for each thing that is asked of it.
//!
//! ```text
//! DIR/bundle/config.json    what it is to make; process.json for an exec
//!            init.pid       who that is, in its words; exec.pid
//!            console.sock   where it sends the master of a terminal
//!            log.json       its last command's complaints
//!            mounts/        what only we can mount, for it to bind
//! ```
//! It works in the supervisor's mount namespace, where the root file system is. Processes become the supervisor's children
//! when the command that made them ends, as it is a subreaper; their streams are those that the command was given.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::net::SocketFlags;
use serde::{Deserialize, Serialize};

/// How long a command may take, in milliseconds. Making a virtual machine takes seconds; nothing takes minutes.
const PATIENCE_MS: u64 = 120_000;
/// Of what a command complains, as much is read, in bytes.
const COMPLAINT_MAX: u64 = 64 << 10;

/// A runtime other than ours.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Foreign {
    /// The program: a path, or a name to be found in [`Foreign::search`].
    pub program: String,
    /// Words before those of every command.
    pub args: Vec<String>,
    /// The daemon's `PATH`: some are wrappers around another.
    pub search: String,
    /// Where it keeps its state (`--root`).
    pub root: PathBuf,
    /// Cgroups are units of systemd's (`--systemd-cgroup`).
    pub systemd_cgroup: bool,
}

/// Standard descriptors of a command; those that are not given are `/dev/null`, and stderr is kept to explain a failure.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
}

/// The directory of one container for its runtime, `DIR/bundle`.
#[derive(Debug)]
pub(crate) struct Bundle(PathBuf);

impl Bundle {
    pub(crate) fn of(dir: &Path) -> Self {
        Self(dir.join("bundle"))
    }

    /// An empty one. What a former start has left goes.
    pub(crate) fn make(dir: &Path) -> io::Result<Self> {
        let bundle = Self::of(dir);
        match fs::remove_dir_all(&bundle.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::DirBuilder::new().mode(0o700).create(&bundle.0)?;
        fs::DirBuilder::new().mode(0o700).create(bundle.mounts())?;
        Ok(bundle)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn mounts(&self) -> PathBuf {
        self.0.join("mounts")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let mut file = io::BufWriter::new(File::create(self.file(name))?);
        serde_json::to_writer(&mut file, value)?;
        file.flush()
    }

    /// The process that a command wrote into a file of ours.
    pub(crate) fn pid(&self, name: &str) -> io::Result<i32> {
        let text = fs::read_to_string(self.file(name))?;
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("{name} holds {text:?}"));
        text.trim().parse().ok().filter(|pid| *pid > 0).ok_or_else(wrong)
    }
}

/// Where a runtime sends the master of a terminal (runc's docs/terminals.md).
#[derive(Debug)]
pub(crate) struct Console {
    listener: UnixListener,
    /// Keeps the short path valid.
    directory: OwnedFd,
}

impl Console {
    const NAME: &str = "console.sock";

    pub(crate) fn listen(bundle: &Bundle) -> io::Result<Self> {
        let _none = fs::remove_file(bundle.file(Self::NAME));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(bundle.path(), flags, Mode::empty())?;
        // `sun_path` holds 108 bytes; the exec-root's name and an id easily take more.
        let short = format!("/proc/self/fd/{}/{}", directory.as_raw_fd(), Self::NAME);
        let listener = UnixListener::bind(short)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, directory })
    }

    /// As another process finds it while we live.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}/{}", std::process::id(), self.directory.as_raw_fd(), Self::NAME)
    }

    /// The master. The command has ended: what it had to send waits already.
    pub(crate) fn receive(self) -> io::Result<OwnedFd> {
        let socket = rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        // With it comes the name of the terminal.
        let (_, fds) = linux::fd::recv_fds(socket.as_fd(), &mut [0; 4096])?;
        fds.into_iter().next().ok_or_else(|| io::Error::other("the runtime sent no terminal"))
    }
}

impl Foreign {
    /// Runs a command about the container of `bundle`. The error is what the runtime says.
    pub(crate) fn run<S: AsRef<OsStr>>(
        &self,
        bundle: &Bundle,
        words: &[S],
        streams: Streams,
    ) -> Result<(), String> {
        let log = bundle.file("log.json");
        let _none = fs::remove_file(&log);
        let complaints = rustix::fs::memfd_create("stderr", MemfdFlags::CLOEXEC).map(File::from);
        let mut complaints = complaints.map_err(|error| error.to_string())?;
        let mut command = Command::new(self.find());
        command.args(&self.args).arg("--root").arg(&self.root);
        command.arg("--log").arg(&log).args(["--log-format", "json"]);
        if self.systemd_cgroup {
            command.arg("--systemd-cgroup");
        }
        command.args(words).env_clear().env("PATH", &self.search).current_dir(bundle.path());
        let or_null = |fd: Option<OwnedFd>| fd.map_or_else(Stdio::null, Stdio::from);
        command.stdin(or_null(streams.stdin)).stdout(or_null(streams.stdout));
        let duplicate = || complaints.try_clone().map(OwnedFd::from).map_err(|error| error.to_string());
        command.stderr(streams.stderr.map_or_else(duplicate, Ok)?);
        let mut child = linux::process::spawn(&mut command).map_err(|error| {
            // Docker's client reads the code from these words, which are those of its own shim.
            format!(
                "unable to retrieve OCI runtime error (open {}: no such file or directory): fork/exec {}: {}",
                log.display(),
                self.program,
                plain(&error)
            )
        })?;
        drop(command);
        let in_time = linux::pidfd::open(child.id().cast_signed())
            .and_then(|pidfd| linux::pidfd::exited_within(pidfd.as_fd(), PATIENCE_MS));
        if !in_time.unwrap_or(false) {
            let _gone = child.kill();
        }
        let status = child.wait().map_err(|error| error.to_string())?;
        if status.success() {
            return Ok(());
        }
        let mut text = String::new();
        let _none =
            complaints.rewind().and_then(|()| complaints.take(COMPLAINT_MAX).read_to_string(&mut text));
        let said = File::open(&log).ok().and_then(|log| last_error(log.take(COMPLAINT_MAX)));
        Err(said.unwrap_or_else(|| format!("{}: {status}: {}", self.program, text.trim_end())))
    }

    /// Forgets a container, whatever is left of it. Nothing of it need be there.
    pub(crate) fn delete(&self, bundle: &Bundle, id: &str) -> Result<(), String> {
        self.run(bundle, &["delete", "--force", id], Streams::default())
    }

    /// The program's path. What is not found is left to `execve`, whose error names it.
    fn find(&self) -> PathBuf {
        let name = Path::new(&self.program);
        if self.program.contains('/') {
            return name.to_owned();
        }
        let places = self.search.split(':').filter(|place| !place.is_empty());
        let mut found = places.map(|place| Path::new(place).join(name)).filter(|path| path.is_file());
        found.next().unwrap_or_else(|| name.to_owned())
    }
}

/// An error of the system without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// The last error in a log of JSON lines.
fn last_error(log: impl Read) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        level: String,
        msg: String,
    }
    let lines = serde_json::Deserializer::from_reader(log).into_iter::<Line>();
    let errors = lines.map_while(Result::ok).filter(|line| matches!(line.level.as_str(), "error" | "fatal"));
    errors.last().map(|line| line.msg.trim_end().to_owned())
}

/// A file in memory that a command reads.
pub(crate) fn readable(value: &impl Serialize) -> io::Result<OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create("stdin", MemfdFlags::CLOEXEC)?);
    serde_json::to_writer(&mut file, value)?;
    file.rewind()?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell in a runtime's place: `$*` are the words of a command.
    fn foreign(script: &str) -> Foreign {
        let args = ["-c", script, "other"].map(str::to_owned).to_vec();
        let search = "/nowhere:/bin:/usr/bin".to_owned();
        Foreign { program: "sh".into(), args, search, root: "/r".into(), systemd_cgroup: false }
    }

    #[test]
    fn a_command_is_runcs_behind_the_administrators_words() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = Bundle::make(dir.path()).unwrap();
        let other = foreign(r#"echo "$*" > words; test "$PATH" = /nowhere:/bin:/usr/bin"#);
        assert_eq!(other.run(&bundle, &["state", "x"], Streams::default()), Ok(()));
        let log = bundle.file("log.json");
        let want = format!("--root /r --log {} --log-format json state x\n", log.display());
        assert_eq!(fs::read_to_string(bundle.file("words")).unwrap(), want);
    }

    #[test]
    fn a_failure_is_told_in_the_runtimes_words() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = Bundle::make(dir.path()).unwrap();
        let log = r#"printf '{"level":"error","msg":"first","time":"x"}\n{"level":"warning","msg":"no"}\n{"level":"error","msg":"why"}\n' > "$4"; exit 1"#;
        let missing = Foreign { program: "/no/such".into(), ..Foreign::default() };
        let log_of = bundle.file("log.json").display().to_string();
        for (other, want) in [
            (foreign(log), "why".to_owned()),
            (foreign("echo oops >&2; exit 3"), "sh: exit status: 3: oops".to_owned()),
            (
                missing,
                format!(
                    "unable to retrieve OCI runtime error (open {log_of}: no such file or directory): fork/exec /no/such: no such file or directory"
                ),
            ),
        ] {
            assert_eq!(other.run(&bundle, &["start", "x"], Streams::default()), Err(want));
        }
    }

    #[test]
    fn a_pid_is_a_number_above_zero() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = Bundle::make(dir.path()).unwrap();
        for (text, want) in [("17\n", Some(17)), ("0", None), ("", None), ("x", None), ("-3", None)] {
            fs::write(bundle.file("init.pid"), text).unwrap();
            assert_eq!(bundle.pid("init.pid").ok(), want, "{text:?}");
        }
    }
}
