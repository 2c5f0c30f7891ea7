//! Pseudo-terminals of a given devpts instance.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

/// The two ends of a pseudo-terminal.
#[derive(Debug)]
pub struct Pty {
    /// Where the outside reads and writes.
    pub master: OwnedFd,
    /// What the process has as its terminal.
    pub slave: OwnedFd,
}

/// Makes a pseudo-terminal from an open `ptmx`. The slave comes from the master itself (`TIOCGPTPEER`), not from a path
/// that a container could have planted (CVE-2025-52565).
pub fn from_ptmx(master: OwnedFd) -> io::Result<Pty> {
    rustix::pty::unlockpt(&master)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    Ok(Pty { master, slave })
}

/// Sets the size of a terminal; 0 leaves it as it is.
pub fn resize(terminal: BorrowedFd<'_>, rows: u16, cols: u16) -> io::Result<()> {
    if rows == 0 && cols == 0 {
        return Ok(());
    }
    Ok(rustix::termios::tcsetwinsize(
        terminal,
        Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 },
    )?)
}

/// Lets lines end as the process ends them: no carriage returns are added.
pub fn leave_line_ends(terminal: BorrowedFd<'_>) -> io::Result<()> {
    use rustix::termios::{OptionalActions, OutputModes, tcgetattr, tcsetattr};
    let mut modes = tcgetattr(terminal)?;
    modes.output_modes.remove(OutputModes::ONLCR);
    Ok(tcsetattr(terminal, OptionalActions::Now, &modes)?)
}

/// Makes `slave` the controlling terminal of the caller, which must lead a session without one.
pub fn control(slave: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::process::ioctl_tiocsctty(slave)?)
}
