use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _, symlink},
    },
    process::Command,
};

use rustix::fs::{CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use tar::{Entry, EntryKind, Writer};

use super::*;
use crate::error::Error;

/// All that can be seen of a tree, one line per path.
pub(crate) fn describe(tree: &Path) -> BTreeMap<PathBuf, String> {
    fn walk(tree: &Path, at: &Path, links: &mut HashMap<u64, PathBuf>, out: &mut BTreeMap<PathBuf, String>) {
        let path = tree.join(at);
        let meta = fs::symlink_metadata(&path).unwrap();
        let kind = meta.file_type();
        let content = if kind.is_file() {
            crate::sha256(&fs::read(&path).unwrap()).short().to_owned()
        } else if kind.is_symlink() {
            fs::read_link(&path).unwrap().display().to_string()
        } else {
            format!("dev {}", meta.rdev())
        };
        let first = if kind.is_dir() {
            at.to_owned()
        } else {
            links.entry(meta.ino()).or_insert_with(|| at.to_owned()).clone()
        };
        let parent = dir::Dir::open(path.parent().unwrap()).unwrap();
        let xattrs = parent.xattrs(path.file_name().unwrap()).unwrap();
        let size = if kind.is_dir() { 0 } else { meta.size() };
        let line = format!(
            "{:o} {}:{} {size} {}.{:09} {content} like {} {xattrs:?}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            meta.mtime_nsec(),
            first.display()
        );
        out.insert(at.to_owned(), line);
        if kind.is_dir() {
            let mut names: Vec<_> = fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            for name in names {
                walk(tree, &at.join(name), links, out);
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(tree, Path::new(""), &mut HashMap::new(), &mut out);
    out
}

/// Fails with the lines that differ only.
pub(crate) fn assert_same(left: &Path, right: &Path, what: &str) {
    let (left, right) = (describe(left), describe(right));
    let only = |a: &BTreeMap<PathBuf, String>, b: &BTreeMap<PathBuf, String>| {
        a.iter()
            .filter(|(path, line)| b.get(*path) != Some(line))
            .map(|(p, l)| format!("{p:?} {l}"))
            .collect()
    };
    let (left, right): (Vec<String>, Vec<String>) = (only(&left, &right), only(&right, &left));
    assert_eq!(left, right, "{what}");
}

fn set_mtime(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds as _ };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// A tree with one of everything. `rich` adds what ustar cannot say.
fn make_tree(tree: &Path, rich: bool) {
    let put = |name: &str, bytes: &[u8]| {
        let path = tree.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    };
    let nanos = if rich { 123_456_789 } else { 0 };
    put("etc/passwd", b"root:x:0:0::/:/bin/sh\n");
    put("empty", b"");
    let big = put("usr/lib/big", &b"0123456789".repeat(70_000));
    let suid = put("usr/bin/su", b"#!");
    std::os::unix::fs::chown(&suid, Some(7), Some(8)).unwrap();
    rustix::fs::chmod(&suid, Mode::from_raw_mode(0o6755)).unwrap();
    fs::hard_link(&big, tree.join("usr/lib/same")).unwrap();
    fs::hard_link(&suid, tree.join("a-second-name")).unwrap();
    symlink("usr/bin/su", tree.join("link")).unwrap();
    symlink("/absolute", tree.join("etc/absolute")).unwrap();
    fs::create_dir(tree.join("tmp")).unwrap();
    rustix::fs::chmod(tree.join("tmp"), Mode::from_raw_mode(0o1777)).unwrap();
    let node = |name: &str, kind, device| {
        rustix::fs::mknodat(CWD, tree.join(name), kind, Mode::from_raw_mode(0o640), device).unwrap();
    };
    node("pipe", FileType::Fifo, 0);
    node("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    node("disk", FileType::BlockDevice, rustix::fs::makedev(8, 1));
    put(&format!("{}/{}", "d".repeat(90), "f".repeat(95)), b"prefix");
    if rich {
        put(&format!("{}/{}", "long/".repeat(40), "name".repeat(50)), b"long");
        symlink("x".repeat(300), tree.join("long-link")).unwrap();
        put("ünïcode", b"u");
        let owner = put("owner", b"o");
        std::os::unix::fs::chown(&owner, Some(3_000_000_000), Some(2_999_999)).unwrap();
        let xattr = put("xattr", b"x");
        let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for (key, value) in [("security.capability", &capability[..]), ("user.note", b"hi\n=there\0")] {
            rustix::fs::setxattr(&xattr, key, value, XattrFlags::empty()).unwrap();
        }
        set_mtime(&xattr, -86_401, 500_000_000);
        let holes = fs::File::create(tree.join("holes")).unwrap();
        for at in [0_u64, 1 << 20, 3 << 20, 5 << 20, 7 << 20, 9 << 20] {
            std::os::unix::fs::FileExt::write_at(&holes, b"data", at).unwrap();
        }
        holes.set_len(20 << 20).unwrap();
        fs::File::create(tree.join("only-a-hole")).unwrap().set_len(1 << 20).unwrap();
    }
    for (i, path) in ["etc", "usr/lib/big", "link", "tmp", "pipe", ""].iter().enumerate() {
        set_mtime(&tree.join(path), 1_600_000_000 + i as i64, nanos);
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn subdir(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir(&path).unwrap();
    path
}

fn unpack(tar: &[u8], tree: &Path, whiteouts: Whiteouts) -> Result<crate::snapshot::Applied> {
    apply(&mut &tar[..], tree, whiteouts)
}

#[test]
fn privileged_unpacking_gives_what_gnu_tar_gives() {
    let dialects: &[(bool, &[&str])] = &[
        (false, &["--format=v7"]),
        (false, &["--format=ustar"]),
        (true, &["--format=gnu"]),
        (true, &["--format=gnu", "--sparse"]),
        (true, &["--format=posix", "--xattrs", "--xattrs-include=*"]),
        (true, &["--format=posix", "--sparse", "--sparse-version=0.0"]),
        (true, &["--format=posix", "--sparse", "--sparse-version=0.1"]),
        (true, &["--format=posix", "--sparse", "--sparse-version=1.0", "--xattrs", "--xattrs-include=*"]),
    ];
    for (rich, options) in dialects {
        let dir = tempfile::tempdir().unwrap();
        let source = subdir(dir.path(), "source");
        make_tree(&source, *rich);
        if options.contains(&"--format=v7") {
            for name in ["pipe", "null", "disk", &"d".repeat(90)] {
                remove_tree(&source.join(name)).unwrap();
            }
        }
        let tar = dir.path().join("x.tar");
        run(Command::new("tar").args(*options).arg("-cf").arg(&tar).arg("-C").arg(&source).arg("."));
        let (ours, theirs) = (subdir(dir.path(), "ours"), subdir(dir.path(), "theirs"));
        let mut tar_file = fs::File::open(&tar).unwrap();
        let applied = apply(&mut tar_file, &ours, Whiteouts::Overlay).unwrap();
        assert_eq!(applied.implied, [] as [PathBuf; 0]);
        run(Command::new("tar")
            .args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"])
            .arg(&tar)
            .arg("-C")
            .arg(&theirs));
        assert_same(&ours, &theirs, &format!("{options:?}"));
        assert_eq!(measure(&ours).unwrap(), applied_usage(&applied), "{options:?}");
    }
}

/// The top directory is an entry of the tar, but not in the tree's count.
fn applied_usage(applied: &crate::snapshot::Applied) -> crate::snapshot::Usage {
    applied.usage
}

#[test]
fn privileged_unpacking_gives_what_python_packed() {
    const SCRIPT: &str = "
import sys, tarfile
tar = tarfile.open(sys.argv[2], 'w', format=getattr(tarfile, sys.argv[3]))
tar.add(sys.argv[1], '.')
tar.close()";
    for (rich, format) in [(false, "USTAR_FORMAT"), (true, "GNU_FORMAT"), (true, "PAX_FORMAT")] {
        let dir = tempfile::tempdir().unwrap();
        let source = subdir(dir.path(), "source");
        make_tree(&source, rich);
        // Python keeps no attributes, and GNU headers no nanoseconds.
        if rich {
            fs::remove_file(source.join("xattr")).unwrap();
            set_mtime(&source, 5, 0);
        }
        let tar = dir.path().join("x.tar");
        run(Command::new("python3").args(["-c", SCRIPT]).arg(&source).arg(&tar).arg(format));
        let ours = subdir(dir.path(), "ours");
        apply(&mut fs::File::open(&tar).unwrap(), &ours, Whiteouts::Overlay).unwrap();
        // Python writes times as binary fractions, so nanoseconds are off by some hundreds.
        let rounded = |tree: &Path| -> Vec<_> {
            let line = |(path, line): (PathBuf, String)| {
                let words: Vec<_> =
                    line.split(' ').map(|w| w.split('.').next().unwrap().to_owned()).collect();
                (path, words)
            };
            describe(tree).into_iter().map(line).collect()
        };
        assert_eq!(rounded(&ours), rounded(&source), "{format}");
    }
}

#[test]
fn privileged_what_is_exported_is_unpacked_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (source, copy) = (subdir(dir.path(), "source"), subdir(dir.path(), "copy"));
    make_tree(&source, true);
    copy_tree(std::slice::from_ref(&source), &copy).unwrap();
    assert_same(&copy, &source, "copy");
    assert_eq!(measure(&copy).unwrap(), measure(&source).unwrap());
    // And other programs can read it.
    let (tar, theirs) = (dir.path().join("x.tar"), subdir(dir.path(), "theirs"));
    export(std::slice::from_ref(&source), &mut fs::File::create(&tar).unwrap()).unwrap();
    run(Command::new("tar")
        .args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"])
        .arg(&tar)
        .arg("-C")
        .arg(&theirs));
    set_mtime(&theirs, 0, 0);
    set_mtime(&source, 0, 0);
    assert_same(&theirs, &source, "export");
}

fn entry(kind: EntryKind, path: &str) -> Entry {
    Entry::new(kind, path, if kind == EntryKind::Directory { 0o755 } else { 0o644 })
}

fn link(kind: EntryKind, path: &str, target: &str) -> Entry {
    Entry { link: target.into(), ..entry(kind, path) }
}

fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for entry in entries {
        writer.append_file(entry, &mut std::io::repeat(b'x')).unwrap();
    }
    writer.finish().unwrap()
}

fn file(path: &str) -> Entry {
    Entry { size: 4, ..entry(EntryKind::File, path) }
}

#[test]
fn privileged_hostile_layers_stay_inside_or_are_refused() {
    use EntryKind::{Char, Directory, HardLink, Symlink};
    let dir = tempfile::tempdir().unwrap();
    let outside = subdir(dir.path(), "outside");
    fs::write(outside.join("secret"), b"secret").unwrap();
    let before = describe(&outside);
    let out = outside.to_str().unwrap();
    let secret = format!("{out}/secret");
    // What a layer does, and whether it is refused or confined.
    let cases: Vec<(&str, Vec<Entry>, bool)> = vec![
        ("climbing", vec![file("../outside/evil")], false),
        ("climbing from within", vec![file("a/../../outside/evil")], false),
        ("climbing and cleaned", vec![file("a/../b")], true),
        ("absolute", vec![file(&format!("{out}/evil"))], true),
        ("absolute and climbing", vec![file("/../../evil")], true),
        ("hard link out", vec![link(HardLink, "l", "../outside/secret")], false),
        ("hard link by absolute name", vec![link(HardLink, "l", &secret)], false),
        ("hard link to nothing", vec![link(HardLink, "l", "nothing")], false),
        ("hard link to the top", vec![link(HardLink, "l", ".")], false),
        ("hard link to itself", vec![link(HardLink, "l", "l")], false),
        ("symlink climbing", vec![link(Symlink, "l", "../outside")], true),
        ("symlink climbing deep", vec![link(Symlink, "a/b/l", "../../../outside")], true),
        ("file through absolute symlink", vec![link(Symlink, "l", out), file("l/evil")], false),
        ("file over symlink", vec![link(Symlink, "l", &secret), file("l")], true),
        (
            "directory over symlink",
            vec![link(Symlink, "l", out), entry(Directory, "l"), file("l/evil")],
            true,
        ),
        (
            "through a symlink made of two",
            vec![
                entry(Directory, "d"),
                link(Symlink, "d/up", ".."),
                link(Symlink, "l", "d/up/.."),
                file("l/outside/evil"),
            ],
            true,
        ),
        (
            "hard link through a symlink",
            vec![link(Symlink, "l", out), link(HardLink, "h", "l/secret")],
            false,
        ),
        (
            "through a symlink that replaced a directory",
            vec![file("d/a"), link(Symlink, "d", out), file("d/evil")],
            false,
        ),
        ("whiteout of a parent", vec![file(".wh...")], false),
        ("whiteout of itself", vec![file(".wh..")], false),
        ("whiteout of nothing", vec![file(".wh.")], false),
        ("whiteout through a symlink", vec![link(Symlink, "l", out), file("l/.wh.secret")], false),
        ("opaque through a symlink", vec![link(Symlink, "l", out), file("l/.wh..wh..opq")], false),
        ("top that is a file", vec![file(".")], false),
        ("top that is a link", vec![link(Symlink, "./", "/")], false),
        ("file as a directory", vec![file("f"), file("f/g")], false),
        ("name too long", vec![file(&"n".repeat(256))], false),
        ("NUL in a link", vec![Entry { link: b"a\0b".to_vec(), ..entry(Symlink, "l") }], true),
        ("device", vec![Entry { device: (1, 3), ..entry(Char, "dev/null") }], true),
        ("overlay's own marks", vec![xattr(entry(Directory, "d"), "trusted.overlay.redirect")], true),
    ];
    for whiteouts in [Whiteouts::Overlay, Whiteouts::Remove] {
        for (what, entries, fine) in &cases {
            let tree = subdir(dir.path(), "tree");
            let result = unpack(&tar(entries), &tree, whiteouts);
            assert_eq!(result.is_ok(), *fine, "{what}: {result:?}");
            assert_eq!(describe(&outside), before, "{what}");
            assert!(!dir.path().join("evil").exists() && !dir.path().join("b").exists(), "{what}");
            let marks = dir::Dir::open(&tree).unwrap();
            if *what == "overlay's own marks" {
                let mut value = [0; 8];
                let got =
                    rustix::fs::lgetxattr(marks.path("d".as_ref()), "trusted.overlay.redirect", &mut value);
                assert!(got.is_err());
            }
            remove_tree(&tree).unwrap();
        }
    }
}

fn xattr(mut entry: Entry, key: &str) -> Entry {
    entry.xattrs.push((key.into(), b"/".to_vec()));
    entry
}

#[test]
fn privileged_whiteouts_take_overlays_form() {
    use EntryKind::Directory;
    let dir = tempfile::tempdir().unwrap();
    let tree = subdir(dir.path(), "tree");
    let entries = [
        file("a/.wh.gone"),
        file("b/.wh..wh..opq"),
        file("b/new"),
        // In one layer both: the file stays, whichever comes first.
        file(".wh.both"),
        file("both"),
        file("other"),
        file(".wh.other"),
        // A directory that replaces one of below.
        file(".wh.dir"),
        entry(Directory, "dir"),
        file("dir/new"),
        file(".wh..wh.plnk"),
    ];
    let applied = unpack(&tar(&entries), &tree, Whiteouts::Overlay).unwrap();
    let meta = |path: &str| fs::symlink_metadata(tree.join(path)).unwrap();
    assert!(meta("a/gone").file_type().is_char_device() && meta("a/gone").rdev() == 0);
    let opaque = |path: &str| dir::Dir::open(&tree.join(path)).unwrap().is_opaque().unwrap();
    assert!(opaque("b") && opaque("dir") && !opaque("a"));
    assert!(meta("both").is_file() && meta("other").is_file() && meta("b/new").is_file());
    let names: Vec<_> = fs::read_dir(&tree).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.as_bytes().starts_with(b".wh.")), "{names:?}");
    assert_eq!(applied.implied, ["a", "b", ""].map(PathBuf::from));
}

#[test]
fn privileged_implied_directories_look_like_those_below() {
    let dir = tempfile::tempdir().unwrap();
    let (lower, upper) = (subdir(dir.path(), "lower"), subdir(dir.path(), "upper"));
    let mut tmp = entry(EntryKind::Directory, "tmp");
    (tmp.mode, tmp.uid) = (0o1777, 5);
    let mut top = entry(EntryKind::Directory, "./");
    top.mode = 0o700;
    unpack(&tar(&[top, tmp]), &lower, Whiteouts::Overlay).unwrap();
    let applied = unpack(&tar(&[file("tmp/x"), file("new/y")]), &upper, Whiteouts::Overlay).unwrap();
    inherit_attributes(&upper, &applied.implied, &[lower]).unwrap();
    let meta = |path: &str| fs::metadata(upper.join(path)).unwrap();
    assert_eq!((meta("tmp").mode() & 0o7777, meta("tmp").uid()), (0o1777, 5));
    assert_eq!(meta("").mode() & 0o7777, 0o700);
    assert_eq!(meta("new").mode() & 0o7777, 0o755);
}

#[test]
fn privileged_trees_deeper_than_the_stack_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let mut at = dir::Dir::open(dir.path()).unwrap();
    for _ in 0..3000 {
        rustix::fs::mkdirat(&at, "d", Mode::from_raw_mode(0o755)).unwrap();
        at = at.child("d".as_ref()).unwrap();
    }
    let top = dir.path().join("d");
    assert!(matches!(measure(dir.path()), Err(Error::TooLarge { .. })));
    remove_tree(&top).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn privileged_gigantic_files_are_refused_or_take_no_space() {
    let dir = tempfile::tempdir().unwrap();
    let tree = subdir(dir.path(), "tree");
    // 4 TiB promised, nothing delivered.
    let mut lie = tar(&[file("lie")])[..512].to_vec();
    lie[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0]);
    lie[148..156].fill(b' ');
    let sum: u32 = lie.iter().map(|b| u32::from(*b)).sum();
    lie[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let error = unpack(&lie, &tree, Whiteouts::Overlay).unwrap_err();
    assert_eq!(error.to_string(), "unexpected EOF");
    assert_eq!(fs::metadata(tree.join("lie")).unwrap().blocks(), 0);
}
