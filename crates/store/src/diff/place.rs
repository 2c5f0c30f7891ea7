//! Where an entry of a layer goes: paths cleaned, parents found inside the tree.

use std::{
    ffi::OsStr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use crate::error::{Error, IoContext, Result};

/// A path relative to the top of the tree without `.`, `..` or empty components. Empty for the top itself.
pub(crate) type Components = Vec<Vec<u8>>;

/// Cleans a path as Go's `filepath.Clean` does, before anything is looked up: an absolute one starts at the top of the
/// tree, where `..` leads nowhere; a relative one that climbs above the top is none.
pub(crate) fn clean(path: &[u8]) -> Option<Components> {
    let absolute = path.starts_with(b"/");
    let mut components: Components = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if components.pop().is_none() && !absolute {
                    return None;
                }
            }
            part => components.push(part.to_vec()),
        }
    }
    Some(components)
}

/// The same for an entry's name, with Docker's words for what is refused.
pub(crate) fn clean_name(path: &[u8]) -> Result<Components> {
    clean(path)
        .ok_or_else(|| Error::Breakout(format!("invalid entry name {:?}", String::from_utf8_lossy(path))))
}

/// The target of a hard link, which counts from the top of the tree. The text of a symbolic one is nobody's business but
/// the container's: it is never followed out of the tree.
pub(crate) fn clean_hard_link(link: &[u8]) -> Result<Components> {
    clean(link).filter(|target| !target.is_empty()).ok_or_else(|| {
        Error::Breakout(format!("invalid hardlink target {:?}", String::from_utf8_lossy(link)))
    })
}

/// A whiteout that names no child of its directory.
pub(crate) fn bad_whiteout(entry: &[u8]) -> Error {
    Error::Breakout(format!("invalid whiteout entry {:?}", String::from_utf8_lossy(entry)))
}

pub(crate) fn join(components: &[Vec<u8>]) -> PathBuf {
    components.iter().map(|part| OsStr::from_bytes(part)).collect()
}

/// The tree that a layer is unpacked into.
#[derive(Debug)]
pub(super) struct Place {
    top: OwnedFd,
    /// Where links and `..` are held: the tree's own top, or a directory above it and the way down.
    root: Option<(OwnedFd, PathBuf)>,
    path: PathBuf,
    /// The directory of the last entry: archives go directory by directory.
    last: Option<(PathBuf, OwnedFd)>,
    implied: Vec<PathBuf>,
}

impl Place {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::openat(CWD, path, flags, Mode::empty()).at("opening", path)?;
        Ok(Self { top, root: None, path: path.to_owned(), last: None, implied: Vec::new() })
    }

    /// The directory `inside` (without symbolic links) of the tree at `root`: links in it may lead to all of that tree.
    pub(super) fn open_in(root: BorrowedFd<'_>, inside: &Path) -> Result<Self> {
        let root = rustix::io::fcntl_dupfd_cloexec(root, 0).at("opening", inside)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = open_in(&root, inside, flags).at("opening", inside)?;
        let path = inside.to_owned();
        Ok(Self { top, root: Some((root, path.clone())), path, last: None, implied: Vec::new() })
    }

    /// For messages.
    pub(super) fn show(&self, components: &[Vec<u8>]) -> PathBuf {
        self.path.join(join(components))
    }

    pub(super) fn top(&self) -> BorrowedFd<'_> {
        self.top.as_fd()
    }

    /// Directories that were made because an entry needed them.
    pub(super) fn into_implied(self) -> Vec<PathBuf> {
        self.implied
    }

    /// The directory at `components`, made where it is missing. Symbolic links on the way are resolved inside the tree,
    /// as they would be in the container.
    pub(super) fn directory(&mut self, components: &[Vec<u8>]) -> Result<BorrowedFd<'_>> {
        let path = join(components);
        if components.is_empty() {
            return Ok(self.top.as_fd());
        }
        if self.last.as_ref().is_none_or(|(last, _)| *last != path) {
            let fd = match self.resolve(&path, OFlags::DIRECTORY) {
                Err(Errno::NOENT) => self.make(components)?,
                result => result.at("opening", self.show(components))?,
            };
            self.last = Some((path, fd));
        }
        Ok(self.last.as_ref().map_or(self.top.as_fd(), |(_, fd)| fd.as_fd()))
    }

    /// The directory at `components` if it is there.
    pub(super) fn existing(&self, components: &[Vec<u8>]) -> Result<OwnedFd> {
        let path = if components.is_empty() { PathBuf::from(".") } else { join(components) };
        self.resolve(&path, OFlags::DIRECTORY).at("opening", self.show(components))
    }

    /// What was resolved may lead elsewhere now.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    fn make(&mut self, components: &[Vec<u8>]) -> Result<OwnedFd> {
        let mut parent = rustix::io::fcntl_dupfd_cloexec(&self.top, 0).at("opening", &self.path)?;
        for end in 1..=components.len() {
            let (path, name) = (join(&components[..end]), OsStr::from_bytes(&components[end - 1]));
            let found = match self.resolve(&path, OFlags::DIRECTORY) {
                Err(Errno::NOENT) => {
                    let shown = self.path.join(&path);
                    rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)).at("creating", &shown)?;
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let made =
                        rustix::fs::openat(&parent, name, flags, Mode::empty()).at("opening", &shown)?;
                    // A parent with the set-group-ID bit gives its group to what is made in it. That is not the layer's.
                    let group = rustix::process::getegid();
                    rustix::fs::fchown(&made, None, Some(group)).at("changing the owner of", &shown)?;
                    // Whatever our umask is.
                    rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755))
                        .at("changing the mode of", &shown)?;
                    self.implied.push(path);
                    made
                }
                result => result.at("opening", self.path.join(&path))?,
            };
            parent = found;
        }
        Ok(parent)
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
        match &self.root {
            None => open_in(&self.top, path, flags),
            Some((root, inside)) => open_in(root, &inside.join(path), flags),
        }
    }
}

fn open_in(root: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    loop {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            // The kernel saw a rename somewhere on the machine and cannot tell whether it mattered.
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_like_go_does() {
        let check = |path: &str, want: Option<&str>| {
            let got = clean(path.as_bytes()).map(|c| join(&c).to_string_lossy().into_owned());
            assert_eq!(got.as_deref(), want, "{path}");
        };
        check("a/b", Some("a/b"));
        check("./a//b/.", Some("a/b"));
        check("/etc/passwd", Some("etc/passwd"));
        check("/../../x", Some("x"));
        check("a/../b", Some("b"));
        check("", Some(""));
        check(".", Some(""));
        check("..", None);
        check("../x", None);
        check("a/../../x", None);
        check("...", Some("..."));
    }
}
