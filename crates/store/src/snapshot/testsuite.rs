//! What every kind of snapshots must do. Mounts are made detached, so the machine's mount table stays as it is.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::CWD,
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags},
};
use tar::{Entry, EntryKind, Reader, Writer};

use super::*;
use crate::{Options, Store};

/// The runtime's job, done for a test: a mount that nobody else sees.
struct Mounted {
    _fd: OwnedFd,
    path: PathBuf,
}

fn mounted(mounts: &[Mount]) -> Mounted {
    let [mount] = mounts else { panic!("one mount expected: {mounts:?}") };
    let fd = if mount.kind == "bind" {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        rustix::mount::open_tree(CWD, &mount.source, flags).unwrap()
    } else {
        let fs = rustix::mount::fsopen(mount.kind.as_str(), FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
        for option in &mount.options {
            match option.split_once('=') {
                // fsconfig(2) takes 255 bytes at most; one by one needs Linux 6.8.
                Some(("lowerdir", lowers)) if lowers.len() > 255 => {
                    for lower in lowers.split(':') {
                        rustix::mount::fsconfig_set_string(fs.as_fd(), "lowerdir+", lower).unwrap();
                    }
                }
                Some((key, value)) => rustix::mount::fsconfig_set_string(fs.as_fd(), key, value).unwrap(),
                None => rustix::mount::fsconfig_set_flag(fs.as_fd(), option.as_str()).unwrap(),
            }
        }
        rustix::mount::fsconfig_create(fs.as_fd()).unwrap();
        let flags = FsMountFlags::FSMOUNT_CLOEXEC;
        rustix::mount::fsmount(fs.as_fd(), flags, MountAttrFlags::empty()).unwrap()
    };
    let path = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    Mounted { _fd: fd, path }
}

fn file(path: &str, text: &str) -> (Entry, String) {
    (Entry { size: text.len() as u64, ..Entry::new(EntryKind::File, path, 0o644) }, text.to_owned())
}

fn dir(path: &str, mode: u32) -> (Entry, String) {
    (Entry::new(EntryKind::Directory, path, mode), String::new())
}

fn tar(entries: &[(Entry, String)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, text) in entries {
        writer.append_file(entry, &mut text.as_bytes()).unwrap();
    }
    writer.finish().unwrap()
}

/// Paths and short contents of a tar.
fn listing(tar: &[u8]) -> BTreeMap<String, String> {
    let mut reader = Reader::new(tar);
    let mut all = BTreeMap::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let text = if entry.link.is_empty() { text } else { String::from_utf8(entry.link).unwrap() };
        all.insert(String::from_utf8(entry.path).unwrap(), text);
    }
    all
}

fn exported(snapshots: &dyn Snapshotter, key: &str) -> BTreeMap<String, String> {
    let mut tar = Vec::new();
    snapshots.export(key, &mut tar).unwrap();
    listing(&tar)
}

fn layer(snapshots: &dyn Snapshotter, name: &str, parent: Option<&str>, entries: &[(Entry, String)]) {
    snapshots.prepare("stage-x", parent).unwrap();
    let applied = snapshots.apply("stage-x", &mut &tar(entries)[..]).unwrap();
    snapshots.commit(name, "stage-x", Some(&applied)).unwrap();
}

fn base(snapshots: &dyn Snapshotter) {
    layer(
        snapshots,
        "base",
        None,
        &[
            dir("./", 0o751),
            dir("etc", 0o755),
            file("etc/passwd", "root"),
            file("etc/hosts", ""),
            dir("tmp", 0o1777),
            dir("opt", 0o700),
            file("opt/a", "a"),
            file("opt/b", "b"),
            dir("var", 0o755),
            file("var/x", "x"),
            file("gone", "g"),
        ],
    );
    layer(
        snapshots,
        "top",
        Some("base"),
        &[
            file(".wh.gone", ""),
            dir("opt", 0o700),
            file("opt/.wh..wh..opq", ""),
            file("opt/c", "c"),
            file("tmp/new", "n"),
            file(".wh.var", ""),
            file("var", "now a file"),
        ],
    );
}

fn with_store(driver: &str, test: impl FnOnce(&Store, &Path)) {
    let root = tempfile::tempdir().unwrap();
    let options = Options { snapshotter: Some(driver.to_owned()) };
    let store = Store::open_with(root.path(), &options).unwrap();
    test(&store, root.path());
    // Children first; nothing may be left of anything.
    let snapshots = store.snapshots();
    let mut all = snapshots.walk().unwrap();
    all.reverse();
    for info in all {
        snapshots.remove(&info.key).unwrap();
    }
    store.settle();
    for leftover in [snapshots.name(), "trash"] {
        assert_eq!(fs::read_dir(root.path().join(leftover)).unwrap().count(), 0, "{leftover}");
    }
}

fn layers_stack_with_whiteouts(driver: &str) {
    with_store(driver, |store, _| {
        let snapshots = store.snapshots();
        base(snapshots);
        let want: BTreeMap<String, String> = [
            ("etc/", ""),
            ("etc/hosts", ""),
            ("etc/passwd", "root"),
            ("opt/", ""),
            ("opt/c", "c"),
            ("tmp/", ""),
            ("tmp/new", "n"),
            ("var", "now a file"),
        ]
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .into();
        assert_eq!(exported(snapshots, "top"), want);
        snapshots.prepare("active", Some("top")).unwrap();
        assert_eq!(exported(snapshots, "active"), want);
        for key in ["top", "active"] {
            let root = mounted(&snapshots.mounts(key).unwrap());
            assert!(!root.path.join("gone").exists() && !root.path.join("opt/a").exists());
            assert_eq!(fs::read_to_string(root.path.join("var")).unwrap(), "now a file");
            let mode = |path: &str| fs::metadata(root.path.join(path)).unwrap().mode() & 0o7777;
            assert_eq!((mode("."), mode("tmp"), mode("opt")), (0o751, 0o1777, 0o700), "{key}");
        }
        snapshots.view("look", "base").unwrap();
        let root = mounted(&snapshots.mounts("look").unwrap());
        assert!(root.path.join("gone").exists());
        assert_eq!(exported(snapshots, "look").len(), 10);
    });
}

fn changes_are_what_docker_diff_shows(driver: &str) {
    with_store(driver, |store, _| {
        let snapshots = store.snapshots();
        base(snapshots);
        let mounts = snapshots.prepare("c", Some("top")).unwrap();
        assert_eq!(snapshots.changes("c").unwrap(), []);
        let root = mounted(&mounts);
        let at = |path: &str| root.path.join(path);
        fs::write(at("etc/passwd"), "changed").unwrap();
        // Touched, but the same: a copy of the file in the upper tree is no change.
        fs::set_permissions(at("var"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::remove_dir_all(at("opt")).unwrap();
        fs::create_dir(at("opt")).unwrap();
        fs::set_permissions(at("opt"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(at("opt/d"), "d").unwrap();
        fs::remove_file(at("tmp/new")).unwrap();
        fs::create_dir(at("new")).unwrap();
        fs::write(at("new/file"), "1").unwrap();
        fs::hard_link(at("new/file"), at("new/link")).unwrap();
        symlink("file", at("new/symlink")).unwrap();
        // Places the engine mounts over are no change while they are empty.
        fs::create_dir(at("proc")).unwrap();
        fs::create_dir(at("dev")).unwrap();
        fs::write(at("dev/console"), "").unwrap();
        fs::write(at("etc/resolv.conf"), "").unwrap();
        drop(root);
        let got: Vec<_> = snapshots
            .changes("c")
            .unwrap()
            .into_iter()
            .map(|change| {
                let kind = match change.kind {
                    ChangeKind::Changed => 'C',
                    ChangeKind::Added => 'A',
                    ChangeKind::Deleted => 'D',
                };
                format!("{kind} {}", change.path.display())
            })
            .collect();
        let want = [
            "C /etc",
            "C /etc/passwd",
            "A /new",
            "A /new/file",
            "A /new/link",
            "A /new/symlink",
            "C /opt",
            "D /opt/c",
            "A /opt/d",
            "C /tmp",
            "D /tmp/new",
        ];
        assert_eq!(got, want);
        let usage = snapshots.usage("c").unwrap();
        assert!((9..=30).contains(&usage.bytes), "{usage:?}");
        // As a layer of its own, the changes give the same tree.
        let mut diff = Vec::new();
        snapshots.diff("c", &mut diff).unwrap();
        snapshots.prepare("again", Some("top")).unwrap();
        snapshots.apply("again", &mut &diff[..]).unwrap();
        let mut want = exported(snapshots, "c");
        for skeleton in ["proc/", "dev/", "dev/console", "etc/resolv.conf"] {
            want.remove(skeleton);
        }
        assert_eq!(exported(snapshots, "again"), want);
        let mut second = Vec::new();
        snapshots.diff("again", &mut second).unwrap();
        assert_eq!(listing(&second), listing(&diff));
    });
}

fn an_untouched_snapshot_is_an_empty_layer(driver: &str) {
    with_store(driver, |store, _| {
        let snapshots = store.snapshots();
        base(snapshots);
        snapshots.prepare("c", Some("top")).unwrap();
        let mut diff = Vec::new();
        snapshots.diff("c", &mut diff).unwrap();
        assert_eq!(diff, [0; 1024]);
        assert_eq!(snapshots.usage("c").unwrap(), Usage::default());
    });
}

fn names_and_states_are_checked(driver: &str) {
    with_store(driver, |store, _| {
        let snapshots = store.snapshots();
        base(snapshots);
        snapshots.prepare("c", Some("top")).unwrap();
        let exists = |result: Result<Vec<Mount>>| matches!(result, Err(Error::Exists { .. }));
        assert!(exists(snapshots.prepare("c", None)));
        assert!(exists(snapshots.prepare("top", None)));
        assert!(exists(snapshots.view("c", "top")));
        assert!(snapshots.prepare("d", Some("nothing")).unwrap_err().is_not_found());
        assert!(matches!(snapshots.prepare("d", Some("c")), Err(Error::Invalid(_))));
        assert!(snapshots.mounts("d").unwrap_err().is_not_found());
        assert!(matches!(snapshots.commit("base", "c", None), Err(Error::Exists { .. })));
        assert!(matches!(snapshots.apply("top", &mut &b""[..]), Err(Error::Invalid(_))));
        assert!(matches!(snapshots.remove("top"), Err(Error::InUse { .. })));
        assert!(snapshots.remove("d").unwrap_err().is_not_found());
        let info = snapshots.info("top").unwrap();
        assert_eq!(
            (info.kind, info.parent.as_deref(), info.usage.bytes),
            (Kind::Committed, Some("base"), 12)
        );
        snapshots.commit("committed", "c", None).unwrap();
        assert!(snapshots.info("c").unwrap_err().is_not_found());
        assert_eq!(snapshots.info("committed").unwrap().kind, Kind::Committed);
    });
}

fn snapshots_outlive_the_process_and_leftovers_do_not(driver: &str) {
    let root = tempfile::tempdir().unwrap();
    let options = Options { snapshotter: Some(driver.to_owned()) };
    let store = Store::open_with(root.path(), &options).unwrap();
    base(store.snapshots());
    let trees = root.path().join(store.snapshots().name());
    for key in ["container", "leased", "stage-1", "unowned"] {
        store.snapshots().prepare(key, Some("top")).unwrap();
    }
    store.leases().add("someone", &crate::Resource::Snapshot("leased".to_owned())).unwrap();
    store.db().create_container("container", "name", "{}").unwrap();
    drop(store);
    // A tree that was made but not recorded, and one on its way out.
    fs::create_dir_all(trees.join("99/diff/deep")).unwrap();
    fs::create_dir_all(root.path().join("trash/1/diff")).unwrap();
    fs::write(root.path().join("tmp/spool"), "x").unwrap();
    fs::write(root.path().join("content/ingest/tmp-1"), "x").unwrap();
    let store = Store::open_with(root.path(), &options).unwrap();
    store.settle();
    let mut keys: Vec<_> = store.snapshots().walk().unwrap().into_iter().map(|info| info.key).collect();
    keys.sort();
    assert_eq!(keys, ["base", "container", "leased", "top"]);
    assert_eq!(fs::read_dir(&trees).unwrap().count(), 4);
    for empty in ["trash", "tmp", "content/ingest"] {
        assert_eq!(fs::read_dir(root.path().join(empty)).unwrap().count(), 0, "{empty}");
    }
    assert!(exported(store.snapshots(), "container").contains_key("tmp/new"));
    assert!(matches!(Store::open_with(root.path(), &options), Err(Error::Locked(_))));
    // Without owners everything goes, children before parents.
    store.leases().remove("someone").unwrap();
    store.db().delete_container("container").unwrap();
    drop(store);
    let store = Store::open_with(root.path(), &options).unwrap();
    assert_eq!(store.snapshots().walk().unwrap(), []);
    assert_eq!(fs::read_dir(&trees).unwrap().count(), 0);
}

fn a_directory_can_be_copied_out(driver: &str) {
    with_store(driver, |store, root| {
        let snapshots = store.snapshots();
        base(snapshots);
        let mut link = Entry::new(EntryKind::Symlink, "etc/link", 0o777);
        link.link = b"/tmp/../opt".to_vec();
        let mut loop_ = Entry::new(EntryKind::Symlink, "loop", 0o777);
        loop_.link = b"loop".to_vec();
        layer(snapshots, "links", Some("top"), &[(link, String::new()), (loop_, String::new())]);
        let check = |path: &str, want: Option<&[&str]>| {
            let target = root.join("target");
            fs::create_dir(&target).unwrap();
            let found = snapshots.copy_out("links", Path::new(path), &target).unwrap();
            assert_eq!(found, want.is_some(), "{path}");
            let mut names: Vec<_> = fs::read_dir(&target)
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            assert_eq!(names, want.unwrap_or_default(), "{path}");
            let mode = fs::metadata(&target).unwrap().mode() & 0o7777;
            fs::remove_dir_all(&target).unwrap();
            mode
        };
        assert_eq!(check("/opt", Some(&["c"])), 0o700);
        assert_eq!(check("/tmp", Some(&["new"])), 0o1777);
        check("/etc/link", Some(&["c"]));
        check("/../etc/../etc/./link/..", Some(&["etc", "loop", "opt", "tmp", "var"]));
        check("/nothing", None);
        check("/var", None);
        check("/loop", None);
        check("/gone", None);
    });
}

macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        mod privileged_overlay { $(#[test] fn $test() { super::$test("overlay"); })* }
        mod privileged_erofs {
            $(#[test] fn $test() {
                if super::probe::kernel_is_new_enough() {
                    super::$test("erofs");
                }
            })*
        }
        mod privileged_copy { $(#[test] fn $test() { super::$test("copy"); })* }
    };
}

suite!(
    layers_stack_with_whiteouts,
    changes_are_what_docker_diff_shows,
    an_untouched_snapshot_is_an_empty_layer,
    names_and_states_are_checked,
    snapshots_outlive_the_process_and_leftovers_do_not,
    a_directory_can_be_copied_out,
);
