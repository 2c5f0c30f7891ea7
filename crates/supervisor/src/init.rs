//! `docker-init`: the first process of a container started with `--init`. It does what tini does by default: runs the
//! command in a process group and in the terminal's foreground, passes signals on to it, and reaps orphans.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use linux::pidfd::Exit;
use linux::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitOptions, getpid};

use crate::record::exit_of;

/// The in-container init (`/sbin/docker-init -- COMMAND...`, args without `argv[0]`): ends with the command's exit code
/// (128 + signal), with 127 if there is no such command, 126 if it cannot be executed.
pub fn init_main(args: &[OsString]) -> ! {
    let command = match args {
        [first, rest @ ..] if first == "--" => rest,
        all => all,
    };
    let code = match command.split_first() {
        None => {
            eprintln!("usage: docker-init -- COMMAND [ARG...]");
            1
        }
        Some((program, args)) => run(program, args).unwrap_or_else(|error| {
            eprintln!("[FATAL docker-init ({})] {error}", getpid());
            1
        }),
    };
    std::process::exit(code)
}

fn run(program: &OsString, args: &[OsString]) -> io::Result<i32> {
    let signals = SignalFd::block_all()?;
    let child = match linux::process::fork()? {
        None => std::process::exit(execute(program, args)),
        Some(pid) => Pid::from_raw(pid).ok_or_else(|| io::Error::other("fork gave no pid"))?,
    };
    loop {
        let mut fds = [PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(signal) = signals.next()? {
            if signal == Signal::CHILD.as_raw() {
                if let Some(exit) = reap(child) {
                    return Ok(exit.code());
                }
            } else {
                // It may have ended meanwhile; then SIGCHLD is on its way.
                let _gone = linux::pidfd::open(child.as_raw_nonzero().get())
                    .and_then(|pidfd| linux::pidfd::send_signal(pidfd.as_fd(), signal));
            }
        }
    }
}

/// In the child: never returns if the command can be executed.
fn execute(program: &OsString, args: &[OsString]) -> i32 {
    // SIGTTOU is blocked at this moment, so that a background process may take the terminal. Without terminal, or as a
    // session leader already, there is nothing to do.
    if rustix::process::setpgid(None, None).is_ok() {
        let _no_terminal = rustix::termios::tcsetpgrp(io::stdin(), getpid());
    }
    linux::process::reset_signals();
    let error = Command::new(program).args(args).exec();
    eprintln!("[FATAL docker-init ({})] exec {} failed: {error}", getpid(), program.display());
    if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
}

/// Takes every child that has ended; how `wanted` ended, if it did.
fn reap(wanted: Pid) -> Option<Exit> {
    let mut found = None;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == wanted => {
                found = Some(exit_of(status));
            }
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) | Err(_) => return found,
        }
    }
}
