//! The warm parent that supervisors are forked from.
//!
//! It does nothing but receive a socket and fork a child that serves it: the child reads the request itself, so the
//! zygote stays as small and as clean as it was on its first day, and never waits for anybody.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::protocol;
use crate::spawn::{Attach, ProcessError, Spawn, Spawned};
use crate::supervise::{self, SpawnMessage};

/// `argv[0]` of the zygote: a program whose main is called by that name must call [`zygote_main`] at once.
pub const ZYGOTE_NAME: &str = "wharf-zygote";

/// The daemon's handle on its zygote. Dropping it ends the zygote, not the supervisors.
#[derive(Debug)]
pub struct Zygote {
    live: Mutex<Live>,
}

#[derive(Debug)]
struct Live {
    socket: OwnedFd,
    child: Child,
}

impl Zygote {
    /// Starts the zygote: this program again (from a sealed copy where there is one), called [`ZYGOTE_NAME`].
    /// May be called at any time; early is better.
    pub fn launch() -> io::Result<Self> {
        Ok(Self { live: Mutex::new(launch()?) })
    }

    /// Creates and starts a container; returns when its process runs. Blocking, thread-safe: many may be in flight.
    ///
    /// `netns` is the network namespace to enter if the spec asks for one without a path. Each of `attach` (at most 15)
    /// is one end of a `SOCK_STREAM` socketpair made by the caller, attached before the process runs, so that not a byte
    /// is lost; the caller talks to the other end as to [`crate::Client::attach`]'s stream (there is no reply before the
    /// stream). On failure they are closed without a byte.
    pub fn spawn(
        &self,
        spawn: &Spawn,
        netns: Option<OwnedFd>,
        attach: Vec<(Attach, OwnedFd)>,
    ) -> Result<Spawned, ProcessError> {
        let result = self.converse(spawn, netns, attach);
        result.unwrap_or_else(|error| {
            let message = format!("failed to start supervisor of {}: {error}", spawn.id);
            Err(ProcessError { exit_code: 128, message })
        })
    }

    fn converse(
        &self,
        spawn: &Spawn,
        netns: Option<OwnedFd>,
        attach: Vec<(Attach, OwnedFd)>,
    ) -> io::Result<Result<Spawned, ProcessError>> {
        let (mut ours, theirs) = UnixStream::pair()?;
        self.hand_over(theirs.into())?;
        let (attach, sockets): (Vec<_>, Vec<_>) = attach.into_iter().unzip();
        let message = SpawnMessage { spawn, netns: netns.is_some(), attach };
        let bytes = protocol::encode_request(&message, spawn.seccomp.as_deref().unwrap_or_default())?;
        let (header, rest) = bytes.split_at(protocol::REQUEST_HEADER);
        let fds: Vec<BorrowedFd<'_>> = netns.iter().chain(&sockets).map(AsFd::as_fd).collect();
        linux::fd::send_fds(ours.as_fd(), header, &fds)?;
        drop(fds);
        drop((netns, sockets));
        ours.write_all(rest)?;
        protocol::read_reply(&mut ours)
    }

    /// Gives the zygote one end of a socket. A zygote that was killed is replaced.
    fn hand_over(&self, socket: OwnedFd) -> io::Result<()> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if linux::fd::send_fds(live.socket.as_fd(), &[0], &[socket.as_fd()]).is_ok() {
            return Ok(());
        }
        // It closed its end, so it has ended or is about to.
        let old = std::mem::replace(&mut *live, launch()?);
        drop(old.socket);
        let mut child = old.child;
        child.wait()?;
        linux::fd::send_fds(live.socket.as_fd(), &[0], &[socket.as_fd()])
    }
}

fn launch() -> io::Result<Live> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let child = Command::new("/proc/self/exe")
        .arg0(ZYGOTE_NAME)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Live { socket: ours, child })
}

/// The zygote's main: never returns. Standard input is the socket to the daemon.
pub fn zygote_main() -> ! {
    let inherited = linux::aside::close_inherited();
    // A container's process can reach this executable: it must not be writable (CVE-2019-5736). Where neither way of
    // sealing works, containers are not started rather than started unsafely.
    if inherited.is_err() || linux::sealed::ensure().is_err() || rustix::process::setsid().is_err() {
        std::process::exit(1);
    }
    linux::signalfd::discard_children();
    // Looked up once here instead of in every child.
    let _known = linux::cgroup::hierarchies();
    // What served the start is of no use any more. Children map code for themselves anyway.
    linux::aside::trim_memory();
    let _kept = linux::memory::release_code();
    let stdin = io::stdin();
    let mut byte = [0];
    loop {
        match linux::fd::recv_fds(stdin.as_fd(), &mut byte) {
            // The daemon is gone; supervisors are not.
            Ok((0, _)) | Err(_) => std::process::exit(0),
            Ok((_, fds)) => {
                let Some(socket) = fds.into_iter().next() else { continue };
                // On failure the socket closes, which tells the daemon.
                if let Ok(None) = linux::process::fork() {
                    supervise::main(socket);
                }
            }
        }
    }
}
