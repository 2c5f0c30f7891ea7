//! A process in the foreground: signals go to it, its terminal is ours, its exit code becomes ours.

use std::os::fd::{AsFd, BorrowedFd};

use linux::pidfd;
use linux::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, OutputModes, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

use super::log::Log;
use super::notify::Notify;
use crate::error::{Context, Error};
use crate::request::Running;

const SIGCHLD: i32 = 17;
const SIGWINCH: i32 = 28;
const SIGURG: i32 = 23;

/// Blocks all signals and collects them. Processes made afterwards start with none blocked.
pub(super) fn signals() -> Result<SignalFd, Error> {
    SignalFd::block_all().doing(|| "collect signals".into())
}

/// Passes signals on, copies the terminal, tells the service manager that the container is ready, and waits for the end.
/// Returns the exit code.
pub(super) fn wait(
    running: &Running,
    signals: &SignalFd,
    notify: Option<(Notify, &Log)>,
) -> Result<i32, Error> {
    let raw = running.terminal.as_ref().and_then(|_| Raw::enter());
    let code = relay(running, signals, notify);
    drop(raw);
    code
}

fn relay(running: &Running, signals: &SignalFd, mut notify: Option<(Notify, &Log)>) -> Result<i32, Error> {
    let what = || "wait for container".to_owned();
    let master = running.terminal.as_ref().map(AsFd::as_fd);
    if let Some(master) = master {
        copy_size(master);
    }
    let (mut reads_stdin, mut reads_master) = (master.is_some(), master.is_some());
    let stdin = rustix::stdio::stdin();
    loop {
        let mut fds = vec![
            PollFd::from_borrowed_fd(running.pidfd.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        if let Some(master) = master.filter(|_| reads_master) {
            fds.push(PollFd::from_borrowed_fd(master, PollFlags::IN));
            if reads_stdin {
                fds.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
            }
        }
        let watched = fds.len();
        fds.extend(notify.iter().map(|(notify, _)| PollFd::from_borrowed_fd(notify.as_fd(), PollFlags::IN)));
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            other => other.doing(what)?,
        };
        let mut ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let told = ready.split_off(watched).contains(&true);
        // The main process of the service is this one, which ends with the container.
        let own = rustix::process::getpid().as_raw_nonzero().get();
        notify = notify.filter(|(notify, log)| !(told && notify.pass_on(own, log)));
        if ready[1] {
            while let Some(signal) = signals.next().doing(what)? {
                pass_on(signal, running, master);
            }
        }
        if let (Some(master), Some(true)) = (master, ready.get(2)) {
            reads_master = copy(master, rustix::stdio::stdout());
        }
        if let (Some(master), Some(true)) = (master, ready.get(3)) {
            reads_stdin = copy(stdin, master);
        }
        if ready[0] && !(reads_master && ready.get(2) == Some(&true)) {
            return Ok(pidfd::wait(running.pidfd.as_fd()).doing(what)?.code());
        }
    }
}

fn pass_on(signal: i32, running: &Running, master: Option<BorrowedFd<'_>>) {
    match (signal, master) {
        (SIGWINCH, Some(master)) => copy_size(master),
        (SIGCHLD | SIGURG | SIGWINCH, _) => {}
        _ => {
            let _ = pidfd::send_signal(running.pidfd.as_fd(), signal);
        }
    }
}

/// Copies what is there; `false` at the end.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut buffer = [0; 16384];
    let Ok(length) = rustix::io::read(from, &mut buffer) else { return false };
    let mut rest = &buffer[..length];
    while !rest.is_empty() {
        match rustix::io::write(to, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    length > 0
}

/// Gives the container's terminal the size of ours.
fn copy_size(master: BorrowedFd<'_>) {
    if let Ok(size) = tcgetwinsize(rustix::stdio::stdin()) {
        let _ = linux::pty::resize(master, size.ws_row, size.ws_col);
    }
}

/// Our terminal in raw mode, until dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> Option<Self> {
        let stdin = rustix::stdio::stdin();
        if !isatty(stdin) {
            return None;
        }
        let old = tcgetattr(stdin).ok()?;
        let mut raw = old.clone();
        raw.make_raw();
        // Output is processed here, by the terminal that shows it.
        raw.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
        tcsetattr(stdin, OptionalActions::Now, &raw).ok()?;
        Some(Raw(old))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0);
    }
}
