//! The warm parent that supervisors are forked from.

use std::io;
use std::os::fd::OwnedFd;

use crate::spawn::{Attach, ProcessError, Spawn, Spawned};

/// `argv[0]` of the zygote: a program whose main is called by that name must call [`zygote_main`] at once.
pub const ZYGOTE_NAME: &str = "wharf-zygote";

/// The daemon's handle on its zygote. Dropping it ends the zygote, not the supervisors.
#[derive(Debug)]
pub struct Zygote {}

impl Zygote {
    /// Starts the zygote: this program again (from a sealed copy where there is one), called [`ZYGOTE_NAME`].
    /// May be called at any time; early is better.
    pub fn launch() -> io::Result<Self> {
        Err(io::Error::other("starting a zygote is not implemented"))
    }

    /// Creates and starts a container; returns when its process runs. Blocking, thread-safe: many may be in flight.
    ///
    /// `netns` is the network namespace to enter if the spec asks for one without a path. Each of `attach` is one end of
    /// a `SOCK_STREAM` socketpair made by the caller, attached before the process runs, so that not a byte is lost; the
    /// caller talks to the other end as to [`crate::Client::attach`]'s stream (there is no reply before the stream). On
    /// failure they are closed without a byte.
    pub fn spawn(
        &self,
        spawn: &Spawn,
        netns: Option<OwnedFd>,
        attach: Vec<(Attach, OwnedFd)>,
    ) -> Result<Spawned, ProcessError> {
        drop((netns, attach));
        Err(ProcessError { exit_code: 128, message: format!("starting {} is not implemented", spawn.id) })
    }
}

/// The zygote's main: never returns. Standard input is the socket to the daemon.
pub fn zygote_main() -> ! {
    std::process::exit(1)
}
