//! The gate: where init waits between `create` and `start`, and what happens when it opens.
//!
//! `start` may be another process than `create`: then init listens on a socket in the container's state directory. The
//! container is *created* as long as that socket exists, and *running* afterwards.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect as connect_to, socket_with,
};
use types::spec::{ContainerProcessState, Hook, State, Status};

use crate::channel::{Channel, Tag};
use crate::error::{Context, Error};
use crate::hooks;
use crate::init::state;
use crate::request::{CreateRequest, SeccompAgent};

/// Name of the socket in the container's state directory.
pub(crate) const SOCKET: &str = "start.sock";

/// What there is to do around the start of the user's process.
#[derive(Debug, Clone)]
pub(crate) struct After {
    pub(crate) state: State,
    pub(crate) poststart: Vec<Hook>,
    /// Where a seccomp listener is sent, and what is said about it.
    pub(crate) listener: Option<(String, String)>,
}

impl After {
    pub(crate) fn of(request: &CreateRequest<'_>, pid: i32) -> Self {
        let seccomp = request.spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
        After {
            state: state(request, pid, Status::Created),
            poststart: request.spec.hooks.as_ref().map(|hooks| hooks.poststart.clone()).unwrap_or_default(),
            listener: seccomp
                .filter(|seccomp| !seccomp.listener_path.is_empty())
                .map(|seccomp| (seccomp.listener_path.clone(), seccomp.listener_metadata.clone())),
        }
    }
}

/// The address of the socket in `directory`, short enough whatever the directory's path: by its descriptor.
fn address(directory: &Path) -> Result<(OwnedFd, SocketAddrUnix), Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let what = || format!("open {}", directory.display());
    let directory = rustix::fs::open(directory, flags, Mode::empty()).doing(what)?;
    let path = format!("{}/{SOCKET}", linux::mount::FdPath::of(directory.as_fd()).as_str());
    let address = SocketAddrUnix::new(path).doing(what)?;
    Ok((directory, address))
}

/// The socket on which init will wait for `start`.
pub(crate) fn listen(directory: &Path) -> Result<OwnedFd, Error> {
    let (_directory, address) = address(directory)?;
    let what = || format!("listen in {}", directory.display());
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).doing(what)?;
    bind(&socket, &address).doing(what)?;
    rustix::net::listen(&socket, 1).doing(what)?;
    Ok(socket)
}

/// Connects to init.
pub(crate) fn connect(directory: &Path) -> Result<Channel, Error> {
    let (_directory, address) = address(directory)?;
    let what = || format!("connect to init in {}", directory.display());
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).doing(what)?;
    connect_to(&socket, &address).doing(what)?;
    Ok(Channel::from_fd(socket))
}

/// Lets init go on, waits until it has executed the user's process, and runs the poststart hooks.
pub(crate) fn open(channel: &Channel, after: &After) -> Result<(), Error> {
    channel.send(Tag::Start, "", &[])?;
    wait_for_exec(channel, after)?;
    let mut state = after.state.clone();
    state.status = Status::Running;
    hooks::run("poststart", &after.poststart, &state)
}

/// The end of file means that `execve` closed init's end.
fn wait_for_exec(channel: &Channel, after: &After) -> Result<(), Error> {
    while let Some(packet) = channel.recv()? {
        match (packet.tag, packet.fds.first()) {
            (Tag::Listener, Some(listener)) => send_listener(listener, after, after.state.pid)?,
            (tag, _) => return Err(Error::Failed(format!("unexpected {tag:?} from init"))),
        }
    }
    Ok(())
}

impl From<SeccompAgent<'_>> for After {
    fn from(agent: SeccompAgent<'_>) -> Self {
        let listener = Some((agent.path.to_owned(), agent.metadata.to_owned()));
        After { state: agent.state.clone(), poststart: Vec::new(), listener }
    }
}

/// Sends the seccomp listener of process `pid` and the container's state to who asked for it (config-linux.md,
/// "listenerPath").
pub(crate) fn send_listener(listener: &OwnedFd, after: &After, pid: i32) -> Result<(), Error> {
    let Some((path, metadata)) = &after.listener else {
        return Err(Error::Invalid("seccomp filter notifies, but listenerPath is not set".into()));
    };
    let what = || format!("failed to connect with seccomp agent: send listener to {path}");
    let state = ContainerProcessState {
        oci_version: after.state.oci_version.clone(),
        fds: vec!["seccompFd".into()],
        pid,
        metadata: metadata.clone(),
        state: after.state.clone(),
    };
    let text = serde_json::to_vec(&state).map_err(|error| Error::Failed(format!("{}: {error}", what())))?;
    let socket = std::os::unix::net::UnixStream::connect(path).doing(what)?;
    linux::fd::send_fds(socket.as_fd(), &text, &[listener.as_fd()]).doing(what)
}
