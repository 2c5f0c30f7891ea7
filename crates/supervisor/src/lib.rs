//! What stays beside a container and outlives the daemon.
//!
//! ```text
//!  daemon ──seqpacket──► zygote (one per daemon, single-threaded, idle in recvmsg)
//!    │                     │ fork, no exec, one per container start
//!    │                     ▼
//!    └──DIR/supervisor.sock──► supervisor (one per container: epoll + signalfd)
//!                                │ runtime::create, start        │ writes
//!                                ▼                               ▼
//!                             container's init, execs         the log, DIR/run.json, DIR/exit.json
//! ```
//!
//! Words: the *zygote* is the warm parent; a *supervisor* is its fork that owns one container's stdio, log, exit
//! record and exec'd processes; `DIR` is the container's directory under the exec-root; a *client* is whoever talks to
//! `DIR/supervisor.sock`; an *attachment* is a client that became a stream.
//!
//! # Streams: what an attachment sees
//!
//! One connection, both ways, byte for byte what Docker sends after its `101 UPGRADED`, so the engine only splices:
//!
//! - **Out, without terminal**: [`types::Frame`]s (8-byte header, payload) of stdout and stderr, those asked for.
//!   **Out, with terminal**: raw bytes.
//! - **In**: raw bytes for the process's stdin, if asked for; ignored otherwise. With a terminal, the detach keys end
//!   this attachment and are not passed on.
//! - **Half-close** (`shutdown(Write)`) is end of input. For an exec, and for a container with `stdin_once` and without
//!   terminal, the process sees EOF once all input was delivered, and output goes on. Otherwise (Docker does the same)
//!   the attachment ends when what was on its way to the client is delivered; the process's stdin stays open. An
//!   attachment without stdin, or to a process without open stdin, may half-close at any time; that changes nothing.
//! - **End**: after the last byte of output, when the process has ended, the supervisor closes the connection. Closing it
//!   at the client's side only ends the attachment; with `stdin_once` it also ends the process's input.
//! - **Order at exit**: all output is in the log and in the attachments' sockets (a slow client gets 2 seconds for that,
//!   and what it has not taken is still kept for it), then `exit.json` is written, then waiters are answered.
//! - **Slow clients**: output a client has not taken holds the process back, as a pipe would; nothing is lost and nothing
//!   piles up. Attachments that came with [`Spawn`] or that belong to an exec hold it as long as they are connected; one
//!   that came later is dropped when it takes no byte for [`STALL_LIMIT_S`] seconds while output waits.
//! - **The log** is a slow client, too, but in mode `non-blocking`: there a process of its own writes it, and entries that
//!   find the buffer full are dropped.
//!
//! # Invariants
//! - Nothing here needs the daemon after [`Zygote::spawn`] has returned.
//! - Every buffer, table and wait has a bound; an idle supervisor never wakes up.

mod client;
mod detach;
mod foreign;
mod init;
pub mod log;
mod protocol;
mod record;
mod spawn;
mod supervise;
mod zygote;

pub use client::{Client, ClientError, Executed, Found, Waiting, clean_up, find};
pub use foreign::Foreign;
pub use init::init_main;
pub use protocol::{ExecState, Status};
pub use record::{ExitRecord, RunRecord};
pub use spawn::{Attach, Exec, ProcessError, Spawn, Spawned};
pub use zygote::{ZYGOTE_NAME, Zygote, zygote_main};

/// Seconds for which a late attachment may take no output before it is dropped.
pub const STALL_LIMIT_S: u64 = 60;
