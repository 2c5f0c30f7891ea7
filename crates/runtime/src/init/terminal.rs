//! Standard descriptors and the pseudo-terminal.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux::fs::{DEVPTS_SUPER_MAGIC, is_char_device, is_on, make_file_in_root, open_in_root};
use linux::mount::FdPath;
use linux::pty::{self, Pty};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Uid};

use crate::error::{Context, Error};
use crate::request::Stdio;

/// Makes a pseudo-terminal in the devpts of the container whose root this is, and the caller's terminal.
pub(crate) fn open(root: BorrowedFd<'_>, (rows, cols): (u16, u16), plain_lines: bool) -> Result<Pty, Error> {
    let what = || "open pseudo-terminal".to_owned();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let ptmx = open_in_root(root, Path::new("/dev/pts/ptmx"), flags, Mode::empty())
        .or_else(|_| open_in_root(root, Path::new("/dev/ptmx"), flags, Mode::empty()))
        .doing(what)?;
    // Whatever else answers to that name is not a terminal (CVE-2025-52565).
    let genuine = is_char_device(ptmx.as_fd(), 5, 2).doing(what)?
        && is_on(ptmx.as_fd(), DEVPTS_SUPER_MAGIC).doing(what)?;
    if !genuine {
        return Err(Error::Failed("open pseudo-terminal: /dev/ptmx of the container is not one".into()));
    }
    let pty = pty::from_ptmx(ptmx).doing(what)?;
    pty::resize(pty.master.as_fd(), rows, cols).doing(|| "set size of terminal".into())?;
    if plain_lines {
        pty::leave_line_ends(pty.master.as_fd()).doing(|| "set modes of terminal".into())?;
    }
    Ok(pty)
}

/// Mounts the terminal on `/dev/console`.
pub(super) fn mount_console(root: BorrowedFd<'_>, slave: BorrowedFd<'_>) -> Result<(), Error> {
    let what = || "mount /dev/console".to_owned();
    make_file_in_root(root, Path::new("/dev/console"), Mode::from_raw_mode(0o600)).doing(what)?;
    // Not where a link of the image leads, into /proc for one (CVE-2025-52565).
    let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    resolve.set(ResolveFlags::NO_SYMLINKS, !linux::weakened("console"));
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let target = rustix::fs::openat2(root, "dev/console", flags, Mode::empty(), resolve).doing(what)?;
    let (source, target) = (FdPath::of(slave), FdPath::of(target.as_fd()));
    rustix::mount::mount_bind(source.as_str(), target.as_str()).doing(what)
}

/// Makes the slave the controlling terminal and the standard descriptors.
pub(crate) fn take(slave: &OwnedFd) -> Result<(), Error> {
    pty::control(slave.as_fd()).doing(|| "set controlling terminal".into())?;
    wire([slave.as_fd(); 3])
}

/// Puts given descriptors at 0, 1 and 2.
pub(crate) fn wire_stdio(stdio: &Stdio<'_>) -> Result<(), Error> {
    match stdio {
        Stdio::Fds { stdin, stdout, stderr } => wire([*stdin, *stdout, *stderr]),
        Stdio::Inherit | Stdio::Terminal { .. } => Ok(()),
    }
}

fn wire(fds: [BorrowedFd<'_>; 3]) -> Result<(), Error> {
    let what = || "set standard descriptors".to_owned();
    // One that is among the targets would be overwritten before its turn.
    let mut moved: [Option<OwnedFd>; 3] = [None, None, None];
    for (slot, fd) in moved.iter_mut().zip(fds) {
        if fd.as_raw_fd() < 3 {
            *slot = Some(rustix::io::fcntl_dupfd_cloexec(fd, 3).doing(what)?);
        }
    }
    let source = |index: usize| moved[index].as_ref().map_or(fds[index], AsFd::as_fd);
    rustix::stdio::dup2_stdin(source(0)).doing(what)?;
    rustix::stdio::dup2_stdout(source(1)).doing(what)?;
    rustix::stdio::dup2_stderr(source(2)).doing(what)
}

/// The container's own null device, if `/dev/null` is that.
fn own_null() -> Option<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let null = rustix::fs::open("/dev/null", flags, Mode::empty()).ok()?;
    is_char_device(null.as_fd(), 1, 3).unwrap_or(false).then_some(null)
}

/// Gives the user the standard descriptors, so that it can open `/dev/stdout` again. Those that refuse stay as they are. The
/// host's null device becomes the container's: that is one file of the host less to hold, and a checkpoint could not keep it.
pub(super) fn give_stdio_to(uid: u32) -> Result<(), Error> {
    let fds = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let mut null = None;
    for (number, fd) in fds.into_iter().enumerate() {
        let Ok(stat) = rustix::fs::fstat(fd) else { continue };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let shared = kind == FileType::CharacterDevice && stat.st_rdev == rustix::fs::makedev(1, 3);
        if shared && let Some(null) = null.get_or_insert_with(own_null) {
            let put =
                [rustix::stdio::dup2_stdin, rustix::stdio::dup2_stdout, rustix::stdio::dup2_stderr][number];
            put(&*null).doing(|| "set standard descriptors".into())?;
        }
        if stat.st_uid == uid || shared {
            continue;
        }
        let _ = rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), None);
    }
    Ok(())
}
