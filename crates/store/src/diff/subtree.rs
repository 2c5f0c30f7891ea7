//! Parts of a container's tree as it sees it, mounts and all: `docker cp`.
//!
//! The caller gives descriptors; nothing here looks up a path from the host's root.

use std::{
    ffi::OsStr,
    io::{Read, Write},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use super::{
    DEPTH_MAX, Whiteouts,
    apply::unpack,
    create::Pack,
    dir::{Dir, is_dir, is_gone, os},
    place::Place,
};
use crate::{
    compression::Decompressor,
    error::{Error, Result},
};

pub use super::apply::UnpackOptions;

/// File systems that show the kernel rather than keep files (linux/magic.h): sysfs, proc, cgroup, cgroup2, devpts,
/// mqueue, debugfs, tracefs, securityfs, bpf.
const KERNEL_VIEWS: [u64; 10] = [
    0x6265_6572,
    0x9fa0,
    0x0027_e0eb,
    0x6367_7270,
    0x1cd1,
    0x1980_0202,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xcafe_4a11,
];
const TMPFS: u64 = 0x0102_1994;

/// Whether what is open there is the kernel's own view of itself rather than anybody's files.
pub fn is_kernel_view(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatfs(fd).is_ok_and(|found| KERNEL_VIEWS.contains(&(found.f_type as u64)))
}

/// Packs a directory with all below it, under `name`. Of mounted kernel views, and of tmpfs other than at the absolute
/// paths in `wanted`, only the directory they are mounted on: as Docker, which does not see them. `at` is where the
/// directory is, absolute.
pub fn pack_directory(
    dir: OwnedFd,
    name: &Path,
    at: &Path,
    wanted: &[PathBuf],
    out: &mut dyn Write,
) -> Result<()> {
    let dir = Dir::from_fd(dir, at.to_owned());
    let stat = dir.stat_self()?;
    let mut walk = Walk { pack: Pack::new(out), wanted };
    walk.pack.file(&dir, OsStr::new("."), &stat, name)?;
    walk.children(&dir, name, at, stat.st_dev, 0)?;
    walk.pack.finish()
}

/// Packs what is called `file` in `parent`, under `name`.
pub fn pack_file(parent: OwnedFd, file: &OsStr, name: &Path, out: &mut dyn Write) -> Result<()> {
    let dir = Dir::from_fd(parent, PathBuf::new());
    let stat = dir.stat(file)?.ok_or_else(|| Error::not_found("file", file.to_string_lossy()))?;
    let mut pack = Pack::new(out);
    pack.file(&dir, file, &stat, name)?;
    pack.finish()
}

/// Unpacks an archive (plain or compressed) into the directory `inside`, a path without symbolic links below `root`.
pub fn unpack_into(
    root: BorrowedFd<'_>,
    inside: &Path,
    options: UnpackOptions,
    archive: &mut dyn Read,
) -> Result<()> {
    let place = Place::open_in(root, inside)?;
    let mut plain = Decompressor::new(archive)?;
    unpack(&mut plain, place, Whiteouts::Literal, Some(options)).map(drop)
}

/// Unpacks an archive (plain or compressed) into the empty directory `dir`, whose own owner, mode and times it brings.
pub fn unpack_all(dir: BorrowedFd<'_>, archive: &mut dyn Read) -> Result<()> {
    let place = Place::open_in(dir, Path::new("."))?;
    let mut plain = Decompressor::new(archive)?;
    unpack(&mut plain, place, Whiteouts::Literal, None).map(drop)
}

struct Walk<'a> {
    pack: Pack<'a>,
    wanted: &'a [PathBuf],
}

impl Walk<'_> {
    fn children(&mut self, dir: &Dir, name: &Path, at: &Path, device: u64, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(Error::TooLarge {
                what: format!("depth of {}", at.display()),
                limit: DEPTH_MAX as u64,
            });
        }
        for child in dir.names()? {
            let child = os(&child);
            match self.child(dir, child, &name.join(child), &at.join(child), (device, depth)) {
                Err(error) if is_gone(&error) => {}
                result => result?,
            }
        }
        Ok(())
    }

    fn child(
        &mut self,
        dir: &Dir,
        child: &OsStr,
        name: &Path,
        at: &Path,
        (device, depth): (u64, usize),
    ) -> Result<()> {
        let Some(stat) = dir.stat(child)? else { return Ok(()) };
        if !is_dir(&stat) {
            return self.pack.file(dir, child, &stat, name);
        }
        self.pack.file(dir, child, &stat, name)?;
        let below = dir.child(child)?;
        if stat.st_dev != device && self.is_hidden(&below, at) {
            return Ok(());
        }
        self.children(&below, name, at, stat.st_dev, depth + 1)
    }

    fn is_hidden(&self, mounted: &Dir, at: &Path) -> bool {
        let is_tmpfs = rustix::fs::fstatfs(mounted.as_fd()).is_ok_and(|found| found.f_type as u64 == TMPFS);
        is_kernel_view(mounted.as_fd()) || (is_tmpfs && !self.wanted.iter().any(|path| path == at))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tar::{Entry, EntryKind, Reader, Writer};

    use super::*;

    fn open(path: &Path) -> OwnedFd {
        fs::File::open(path).unwrap().into()
    }

    fn names(tar: &[u8]) -> Vec<String> {
        let mut reader = Reader::new(tar);
        let mut names = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            names.push(String::from_utf8(entry.path).unwrap());
        }
        names
    }

    fn tar(entries: &[Entry]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for entry in entries {
            writer.append_file(entry, &mut std::io::repeat(b'x')).unwrap();
        }
        writer.finish().unwrap()
    }

    fn entry(kind: EntryKind, path: &str, link: &str) -> Entry {
        let metadata = fs::metadata("/proc/self").unwrap();
        use std::os::unix::fs::MetadataExt as _;
        let size = u64::from(kind == EntryKind::File);
        let link = link.as_bytes().to_vec();
        Entry { link, size, uid: metadata.uid(), gid: metadata.gid(), ..Entry::new(kind, path, 0o755) }
    }

    #[test]
    fn a_directory_is_packed_under_the_name_that_was_asked_for() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        fs::write(root.path().join("a/b/f"), "x").unwrap();
        for (name, want) in [
            ("other", ["other/", "other/b/", "other/b/f"]),
            (".", ["./", "./b/", "./b/f"]),
            ("/", ["/", "/b/", "/b/f"]),
        ] {
            let mut out = Vec::new();
            let dir = open(&root.path().join("a"));
            pack_directory(dir, Path::new(name), Path::new("/a"), &[], &mut out).unwrap();
            assert_eq!(names(&out), want);
        }
        let mut out = Vec::new();
        pack_file(open(&root.path().join("a/b")), OsStr::new("f"), Path::new("g"), &mut out).unwrap();
        assert_eq!(names(&out), ["g"]);
    }

    #[test]
    fn links_lead_through_the_containers_tree_and_never_out_of_it() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("root");
        fs::create_dir_all(root.join("place")).unwrap();
        fs::create_dir_all(root.join("data")).unwrap();
        fs::create_dir_all(outer.path().join("secret")).unwrap();
        symlink("/data", root.join("place/inside")).unwrap();
        symlink("../../secret", root.join("place/outside")).unwrap();
        let top = open(&root);
        let into = |bytes: Vec<u8>| {
            unpack_into(top.as_fd(), Path::new("place"), UnpackOptions::default(), &mut bytes.as_slice())
        };
        into(tar(&[entry(EntryKind::File, "inside/f", "")])).unwrap();
        assert_eq!(fs::read(root.join("data/f")).unwrap(), b"x");
        // What leads out is held at the root, where there is no such directory: it is made there.
        into(tar(&[entry(EntryKind::File, "outside/f", "")])).unwrap_err();
        assert!(!outer.path().join("secret/f").exists());
        into(tar(&[entry(EntryKind::File, "../f", "")])).unwrap_err();
        assert!(!outer.path().join("f").exists());
    }

    #[test]
    fn kinds_are_kept_when_asked() {
        let outer = tempfile::tempdir().unwrap();
        fs::create_dir_all(outer.path().join("d/sub")).unwrap();
        fs::write(outer.path().join("d/file"), "").unwrap();
        let top = open(outer.path());
        let into = |keep_kinds: bool, bytes: Vec<u8>| {
            let options = UnpackOptions { keep_kinds, owner: None };
            unpack_into(top.as_fd(), Path::new("d"), options, &mut bytes.as_slice())
        };
        let file = || tar(&[entry(EntryKind::File, "sub", "")]);
        let refused = into(true, file()).unwrap_err().to_string();
        assert!(refused.contains("cannot overwrite directory"), "{refused}");
        let refused = into(true, tar(&[entry(EntryKind::Directory, "file", "")])).unwrap_err().to_string();
        assert!(refused.contains("cannot overwrite non-directory"), "{refused}");
        into(true, tar(&[entry(EntryKind::Directory, "./", ""), entry(EntryKind::File, "file", "")]))
            .unwrap();
        into(false, file()).unwrap();
        assert!(outer.path().join("d/sub").is_file());
    }
}
