//! Files whose paths somebody else chose: every lookup below a directory descriptor, by `openat2`.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// `f_type` of procfs (linux/magic.h).
pub const PROC_SUPER_MAGIC: u64 = 0x9fa0;
/// `f_type` of devpts (linux/magic.h).
pub const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;

/// `openat2`, tried again when a rename elsewhere made the kernel unsure (EAGAIN), with a bound.
fn openat2(
    dir: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> io::Result<OwnedFd> {
    if crate::weakened("lookups") && resolve.contains(ResolveFlags::IN_ROOT) {
        let path = path.strip_prefix("/").unwrap_or(path);
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        return Ok(rustix::fs::openat(dir, path, flags | OFlags::CLOEXEC, mode)?);
    }
    for _ in 0..128 {
        match rustix::fs::openat2(dir, path, flags | OFlags::CLOEXEC, mode, resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Opens a directory as the root of lookups.
pub fn open_root(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Opens a path as if `root` were `/`: absolute paths, `..` and symbolic links stay within, magic links are refused.
pub fn open_in_root(root: BorrowedFd<'_>, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new("/") } else { path };
    openat2(root, path, flags, mode, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Opens a relative path below `dir`; a symbolic link, `..` beyond `dir` or a mount point on the way is an error.
pub fn open_beneath(dir: BorrowedFd<'_>, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(dir, path, flags, mode, resolve)
}

/// The directory at `path` within `root` (an `O_PATH` descriptor), made with its missing parents.
///
/// Symbolic links are followed within the root, also those to what is not there yet; the names that are missing are made one by
/// one below the descriptor reached so far, so that a link swapped in meanwhile cannot lead outside.
pub fn make_dirs_in_root(root: BorrowedFd<'_>, path: &Path, mode: Mode) -> io::Result<OwnedFd> {
    make_dirs(root, path, mode, LINKS_MAX)
}

fn make_dirs(root: BorrowedFd<'_>, path: &Path, mode: Mode, links: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    match open_in_root(root, path, flags, Mode::empty()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let (mut dir, missing) = deepest_existing(root, path)?;
    let mut here: PathBuf = path.components().take(path.components().count() - missing.len()).collect();
    for (index, name) in missing.iter().enumerate() {
        match rustix::fs::mkdirat(&dir, name, mode) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        dir = match openat2(dir.as_fd(), name, flags, Mode::empty(), resolve) {
            Err(error) if is_link(&error) && links > 0 => {
                let target = here.join(read_link(dir.as_fd(), name)?);
                let rest = missing.iter().skip(index + 1);
                return make_dirs(root, &rest.fold(target, |path, name| path.join(name)), mode, links - 1);
            }
            other => other?,
        };
        here.push(name);
    }
    Ok(dir)
}

/// How many links that lead to nothing yet are followed, as the kernel counts.
const LINKS_MAX: u32 = 40;

fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

fn read_link(dir: BorrowedFd<'_>, name: &Path) -> io::Result<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let target = rustix::fs::readlinkat(dir, name, Vec::new())?;
    Ok(std::ffi::OsString::from_vec(target.into_bytes()).into())
}

/// The file at `path` within `root` (an `O_PATH` descriptor), made empty with its missing parents if it is not there.
pub fn make_file_in_root(root: BorrowedFd<'_>, path: &Path, mode: Mode) -> io::Result<OwnedFd> {
    make_file(root, path, mode, LINKS_MAX)
}

fn make_file(root: BorrowedFd<'_>, path: &Path, mode: Mode, links: u32) -> io::Result<OwnedFd> {
    match open_in_root(root, path, OFlags::PATH, Mode::empty()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let name = Path::new(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    let above = path.parent().unwrap_or(Path::new("/"));
    let parent = make_dirs(root, above, Mode::from_raw_mode(0o755), links)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(&parent, name, flags, mode) {
        Ok(_) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match openat2(parent.as_fd(), name, OFlags::PATH, Mode::empty(), resolve) {
        Err(error) if is_link(&error) && links > 0 => {
            make_file(root, &above.join(read_link(parent.as_fd(), name)?), mode, links - 1)
        }
        other => other,
    }
}

/// The deepest directory of `path` that exists, and the names below it that do not. `..` among the missing names is
/// refused: there is nothing it could mean.
fn deepest_existing(root: BorrowedFd<'_>, path: &Path) -> io::Result<(OwnedFd, Vec<PathBuf>)> {
    let mut missing = Vec::new();
    let mut rest = path;
    loop {
        let (Some(parent), Some(last)) = (rest.parent(), rest.components().next_back()) else {
            return Ok((
                open_in_root(root, Path::new("/"), OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?,
                reversed(missing),
            ));
        };
        match last {
            Component::Normal(name) => missing.push(PathBuf::from(name)),
            Component::CurDir => {}
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "`..` below a directory that does not exist",
                ));
            }
        }
        rest = parent;
        match open_in_root(root, rest, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) {
            Ok(dir) => return Ok((dir, reversed(missing))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

fn reversed(mut list: Vec<PathBuf>) -> Vec<PathBuf> {
    list.reverse();
    list
}

/// Whether `fd` is on a file system of this type.
pub fn is_on(fd: BorrowedFd<'_>, magic: u64) -> io::Result<bool> {
    Ok(rustix::fs::fstatfs(fd)?.f_type as u64 == magic)
}

/// Whether `fd` is a character device with these numbers.
pub fn is_char_device(fd: BorrowedFd<'_>, major: u32, minor: u32) -> io::Result<bool> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == rustix::fs::makedev(major, minor))
}

/// Writes `bytes` to a file of procfs below `dir`, which must be on procfs; links and mounts on the way are refused, so
/// that nothing planted there can catch or redirect the write (CVE-2025-52881). One write, as procfs wants it.
pub fn write_proc(dir: BorrowedFd<'_>, path: &Path, bytes: &[u8]) -> io::Result<()> {
    if crate::weakened("proc-writes") {
        return std::fs::write(format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), path.display()), bytes);
    }
    let file = open_beneath(dir, path, OFlags::WRONLY, Mode::empty())?;
    if !is_on(file.as_fd(), PROC_SUPER_MAGIC)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not on procfs"));
    }
    match rustix::io::write(&file, bytes)? {
        written if written == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Replaces a file: whoever reads it sees the old or the new content, even after a crash. `durable` waits for the disk.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32, durable: bool) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}", std::process::id()));
    let temporary = parent.join(temporary);
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let write = || -> io::Result<()> {
        let mut file = std::fs::File::from(rustix::fs::open(&temporary, flags, Mode::from_raw_mode(mode))?);
        file.write_all(bytes)?;
        if durable {
            file.sync_all()?;
        }
        std::fs::rename(&temporary, path)?;
        if durable {
            std::fs::File::open(parent)?.sync_all()?;
        }
        Ok(())
    };
    write().inspect_err(|_| {
        let _ = std::fs::remove_file(&temporary);
    })
}

/// Whether a path exists (following symbolic links), as seen by the caller.
pub fn exists(path: &str) -> bool {
    rustix::fs::statat(CWD, path, AtFlags::empty()).is_ok()
}

#[cfg(test)]
mod tests;
