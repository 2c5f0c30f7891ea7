//! Readiness told to the service manager (`sd_notify(3)`): the container gets a socket of ours in its `/run/notify`, and what it says
//! there about being ready is passed on to the socket that `NOTIFY_SOCKET` names, as runc does.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use linux::mount::FdPath;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use types::spec::{Mount, RuntimeSpec};

use super::Log;
use crate::error::{Context, Error};

/// Below the container's state directory.
const DIRECTORY: &str = "notify";
const SOCKET: &str = "notify.sock";
const INSIDE: &str = "/run/notify";
/// How long the service manager may take to acknowledge: as systemd's own clients wait.
const BARRIER_S: i64 = 30;

/// The service manager's socket and the one that the container writes to.
#[derive(Debug)]
pub(super) struct Notify {
    manager: UnixDatagram,
    container: UnixDatagram,
}

/// The service manager's address, if it wants to be told.
fn manager() -> io::Result<Option<SocketAddr>> {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(Path::new(&name)),
    }
    .map(Some)
}

/// Whether the container is to have a socket.
pub(super) fn wanted() -> bool {
    matches!(manager(), Ok(Some(_)))
}

/// Makes the socket's directory in the container's state directory and gives the container a mount of it.
pub(super) fn prepare(spec: &mut RuntimeSpec, state: &Path) -> Result<(), Error> {
    let source = state.join(DIRECTORY);
    let what = || format!("make {}", source.display());
    std::fs::create_dir(&source).doing(what)?;
    std::fs::set_permissions(&source, PermissionsExt::from_mode(0o755)).doing(what)?;
    spec.mounts.push(Mount {
        destination: INSIDE.into(),
        kind: "bind".into(),
        source: std::path::absolute(&source).doing(what)?.to_string_lossy().into_owned(),
        options: ["bind", "nosuid", "noexec", "nodev", "ro"].map(String::from).to_vec(),
        ..Mount::default()
    });
    if let Some(process) = &mut spec.process {
        process.env.push(format!("NOTIFY_SOCKET={INSIDE}/{SOCKET}"));
    }
    Ok(())
}

impl Notify {
    /// Listens to the container; `None` if nobody wants to be told, or the container was made without a socket.
    pub(super) fn listen(state: &Path) -> Result<Option<Self>, Error> {
        let what = || "listen for the container's readiness".to_owned();
        let directory = state.join(DIRECTORY);
        let Some(address) = manager().doing(what)?.filter(|_| directory.is_dir()) else { return Ok(None) };
        // By its descriptor: the path may be longer than an address.
        let opened = linux::fs::open_root(&directory).doing(what)?;
        let path = format!("{}/{SOCKET}", FdPath::of(opened.as_fd()).as_str());
        let container = UnixDatagram::bind(&path).doing(what)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).doing(what)?;
        container.set_nonblocking(true).doing(what)?;
        let manager = UnixDatagram::unbound().doing(what)?;
        manager.connect_addr(&address).doing(|| "connect to NOTIFY_SOCKET".into())?;
        Ok(Some(Notify { manager, container }))
    }

    /// Becomes readable when the container says something.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.container.as_fd()
    }

    /// Reads what the container says; when that is that it is ready, tells the service manager, whose main process is `pid` from
    /// then on, and returns `true`.
    pub(super) fn pass_on(&self, pid: i32, log: &Log) -> bool {
        let mut buffer = [0; 4096];
        let Ok(length) = self.container.recv(&mut buffer) else { return false };
        let Some(ready) = readiness(&buffer[..length]) else { return false };
        if let Err(error) = self.tell(ready, pid) {
            log.warn(&format!("tell the service manager that the container is ready: {error}"));
        }
        true
    }

    fn tell(&self, ready: &[u8], pid: i32) -> io::Result<()> {
        self.manager.send(&[ready, b"\n"].concat())?;
        self.manager.send(format!("MAINPID={pid}\n").as_bytes())?;
        // It closes its end of a pipe when it has read this (sd_notify_barrier(3)), which must be before we are gone.
        let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        linux::fd::send_fds(self.manager.as_fd(), b"BARRIER=1", &[theirs.as_fd()])?;
        drop(theirs);
        let timeout = Timespec { tv_sec: BARRIER_S, tv_nsec: 0 };
        poll(&mut [PollFd::new(&ours, PollFlags::IN)], Some(&timeout))?;
        Ok(())
    }

    /// Waits until the container is ready, or its first process has ended.
    pub(super) fn wait(&self, pidfd: BorrowedFd<'_>, pid: i32, log: &Log) -> Result<(), Error> {
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(self.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(pidfd, PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Err(Errno::INTR) => continue,
                other => other.doing(|| "wait for the container's readiness".into())?,
            };
            let [said, ended] = fds.map(|fd| !fd.revents().is_empty());
            if said && self.pass_on(pid, log) || ended {
                return Ok(());
            }
        }
    }
}

/// The line `READY=` of a message.
fn readiness(message: &[u8]) -> Option<&[u8]> {
    message.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"READY="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_one_line_of_a_message() {
        for (message, expect) in [
            ("READY=1", Some("READY=1")),
            ("STATUS=warm\nREADY=1\nX=2", Some("READY=1")),
            ("STATUS=READY=1", None),
            ("", None),
        ] {
            assert_eq!(readiness(message.as_bytes()), expect.map(str::as_bytes), "{message}");
        }
    }

    #[test]
    fn the_manager_hears_of_the_main_process_and_may_take_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let manager = UnixDatagram::bind(dir.path().join("manager")).unwrap();
        let container = UnixDatagram::unbound().unwrap();
        let notify = Notify {
            manager: UnixDatagram::unbound().unwrap(),
            container: UnixDatagram::bind(dir.path().join("own")).unwrap(),
        };
        notify.manager.connect(dir.path().join("manager")).unwrap();
        let listening = std::thread::spawn(move || {
            let mut told = Vec::new();
            for _ in 0..3 {
                let mut buffer = [0; 64];
                let (length, _fds) = linux::fd::recv_fds(manager.as_fd(), &mut buffer).unwrap();
                told.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
            told
        });
        let log = Log::open(None, false, false).unwrap();
        container.send_to(b"STATUS=x", dir.path().join("own")).unwrap();
        assert!(!notify.pass_on(7, &log));
        container.send_to(b"READY=1", dir.path().join("own")).unwrap();
        assert!(notify.pass_on(7, &log));
        assert_eq!(listening.join().unwrap(), ["READY=1\n", "MAINPID=7\n", "BARRIER=1"]);
    }
}
