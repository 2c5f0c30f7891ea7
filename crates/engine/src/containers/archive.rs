//! `docker cp`: what a path is, and archives out of and into a container.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use linux::fs::open_in_root;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use store::subtree::{self, UnpackOptions};
use tokio::io::AsyncRead;
use tokio_util::io::SyncIoBridge;
use types::{Error, Result};

use super::Containers;
use super::record::Record;
use super::root::{answer, follow, with_root};
use crate::Timestamp;
use crate::images::ArchiveStream;

/// What is at a path of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStat {
    /// Last part of the path.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// As `st_mode`.
    pub mode: u32,
    /// Last change of its contents.
    pub changed: Timestamp,
    /// Where a symbolic link leads in the end, as an absolute path; empty for anything else.
    pub link_target: String,
}

/// `PUT /containers/x/archive`.
#[derive(Debug, Clone, Default)]
pub struct ExtractRequest {
    /// Directory to unpack into.
    pub path: String,
    /// A directory never gives way to something else, nor the other way round.
    pub keep_kinds: bool,
    /// Everything is given to the container's user.
    pub take_owner: bool,
}

impl Containers {
    /// What is at `path`; a link is not followed.
    pub async fn stat_path(&self, name: &str, path: &str) -> Result<PathStat> {
        let handle = self.find(name)?;
        let (shown, wanted) = (name.to_owned(), path.to_owned());
        let waiting = with_root(&self.0, &handle, move |root, _| {
            Ok(Place::find(root, &wanted).map_err(|e| missing(e, &wanted, &shown))?.stat)
        })?;
        answer(waiting).await
    }

    /// What is at `path` as a tar, and what [`stat_path`](Self::stat_path) says. Dropping the stream ends the work.
    pub async fn archive(&self, name: &str, path: &str) -> Result<(PathStat, ArchiveStream)> {
        let handle = self.find(name)?;
        let (shown, wanted) = (name.to_owned(), path.to_owned());
        let (chunks, stream) = ArchiveStream::channel();
        let (tell, told) = tokio::sync::oneshot::channel();
        let work = with_root(&self.0, &handle, move |root, record| {
            let place = match Place::find(root, &wanted) {
                Ok(place) => place,
                Err(error) => {
                    let _gone = tell.send(Err(missing(error, &wanted, &shown)));
                    return Ok(());
                }
            };
            if tell.send(Ok(place.stat.clone())).is_err() {
                return Ok(());
            }
            let mut out = io::BufWriter::with_capacity(64 << 10, chunks.clone());
            let packed = place.pack(record, &mut out).and_then(|()| out.flush().map_err(Error::internal));
            chunks.end(packed);
            Ok(())
        })?;
        let stat = match told.await {
            Ok(told) => told?,
            // It never came so far: the thread's own error counts.
            Err(_) => match answer(work).await {
                Err(error) => return Err(error),
                Ok(()) => return Err(Error::internal("reading the container's files was interrupted")),
            },
        };
        self.0.publish(&handle.record(), "archive-path", []);
        Ok((stat, stream))
    }

    /// Unpacks a tar (plain or compressed) into a directory.
    pub async fn extract<R>(&self, name: &str, request: ExtractRequest, archive: R) -> Result<()>
    where
        R: AsyncRead + Send + Unpin + 'static,
    {
        let handle = self.find(name)?;
        let shown = name.to_owned();
        // The bridge must be made inside the runtime; it is used outside.
        let mut archive = SyncIoBridge::new(archive);
        let work = with_root(&self.0, &handle, move |root, record| {
            let at = follow(root, &Path::new("/").join(request.path.trim_start_matches('/')));
            let found = open_in_root(root, &at, OFlags::PATH, Mode::empty());
            let found = found.map_err(|e| missing(e, &request.path, &shown))?;
            let stat = rustix::fs::fstat(&found).map_err(Error::internal)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                return Err(Error::invalid("extraction point is not a directory"));
            }
            check_writable(record, &at)?;
            let owner = match (request.take_owner, record.config.user.as_str()) {
                (true, user) if !user.is_empty() => {
                    Some(runtime::owner_in(root, user).map_err(Error::internal)?)
                }
                _ => None,
            };
            let inside = at.strip_prefix("/").unwrap_or(&at);
            let inside = if inside.as_os_str().is_empty() { Path::new(".") } else { inside };
            let options = UnpackOptions { owner, keep_kinds: request.keep_kinds };
            Ok(subtree::unpack_into(root, inside, options, &mut archive)?)
        })?;
        answer(work).await?;
        self.0.publish(&handle.record(), "extract-to-dir", []);
        Ok(())
    }
}

/// Where nothing may be written although the kernel might let us.
fn check_writable(record: &Record, at: &Path) -> Result<()> {
    let within = record.mounts.iter().filter(|mount| at.starts_with(&mount.point.destination));
    match within.max_by_key(|mount| mount.point.destination.len()) {
        Some(mount) if !mount.point.rw => Err(Error::invalid("mounted volume is marked read-only")),
        None if record.host_config.readonly_rootfs => {
            Err(Error::invalid("container rootfs is marked read-only"))
        }
        _ => Ok(()),
    }
}

/// Docker's words for what is not there; what else may be wrong is told as it is.
fn missing(error: io::Error, path: &str, container: &str) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        return Error::not_found(format!("Could not find the file {path} in container {container}"));
    }
    let error = match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::NOTDIR) => "not a directory".to_owned(),
        Some(rustix::io::Errno::LOOP) => "too many levels of symbolic links".to_owned(),
        _ => error.to_string(),
    };
    Error::internal(format!("lstat {path}: {error}"))
}

/// Something in a container that was asked for.
struct Place {
    stat: PathStat,
    /// Absolute, without `.` and `..`.
    at: PathBuf,
    what: What,
}

enum What {
    /// The directory itself.
    Directory(OwnedFd),
    /// Where it is, and its name there.
    Other(OwnedFd, std::ffi::OsString),
}

impl Place {
    /// `path` as Docker reads it: made absolute and cleaned, but a trailing slash or `/.` wants a directory and follows a
    /// link.
    fn find(root: BorrowedFd<'_>, path: &str) -> io::Result<Self> {
        let clean = super::mounts::clean(path);
        let at = PathBuf::from(&clean);
        let wants_dir = path.ends_with('/') || path.ends_with("/.") || path == "." || clean == "/";
        let base = at.file_name().unwrap_or_else(|| OsStr::new("/"));
        let (parent, stat) = if wants_dir {
            let dir = open_in_root(root, &at, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
            let stat = rustix::fs::fstat(&dir)?;
            (dir, stat)
        } else {
            let above = at.parent().unwrap_or(Path::new("/"));
            let dir = open_in_root(root, above, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
            let stat = rustix::fs::statat(&dir, base, AtFlags::SYMLINK_NOFOLLOW)?;
            (dir, stat)
        };
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let dots = path.ends_with("/.") || path == ".";
        let name = if dots { "." } else { &base.to_string_lossy() };
        let stat = path_stat(root, name, &stat, &at);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let what = if is_dir {
            let dir = open_in_root(root, &at, flags, Mode::empty())?;
            if subtree::is_kernel_view(dir.as_fd()) {
                return Err(io::ErrorKind::NotFound.into());
            }
            What::Directory(dir)
        } else {
            if subtree::is_kernel_view(parent.as_fd()) {
                return Err(io::ErrorKind::NotFound.into());
            }
            What::Other(rustix::fs::openat(&parent, ".", flags, Mode::empty())?, base.to_os_string())
        };
        Ok(Self { stat, at, what })
    }

    fn pack(self, record: &Record, out: &mut dyn io::Write) -> Result<()> {
        let name = Path::new(&self.stat.name);
        match self.what {
            What::Other(parent, file) => Ok(subtree::pack_file(parent, &file, name, out)?),
            What::Directory(dir) => {
                let wanted: Vec<PathBuf> =
                    record.mounts.iter().map(|mount| PathBuf::from(&mount.point.destination)).collect();
                Ok(subtree::pack_directory(dir, name, &self.at, &wanted, out)?)
            }
        }
    }
}

fn path_stat(root: BorrowedFd<'_>, name: &str, stat: &Stat, at: &Path) -> PathStat {
    let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
    let target = if is_link { follow(root, at).to_string_lossy().into_owned() } else { String::new() };
    let nanos = stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec as i64);
    PathStat {
        name: name.to_owned(),
        size: stat.st_size,
        mode: stat.st_mode,
        changed: Timestamp(nanos),
        link_target: target,
    }
}
