use super::*;
use std::os::unix::fs::{MetadataExt, symlink};

fn dirs() -> (tempfile::TempDir, OwnedFd) {
    let outer = tempfile::tempdir().unwrap();
    std::fs::create_dir(outer.path().join("root")).unwrap();
    let root = open_root(&outer.path().join("root")).unwrap();
    (outer, root)
}

#[test]
fn links_to_outside_lead_back_into_the_root() {
    let (outer, root) = dirs();
    std::fs::create_dir(outer.path().join("root/etc")).unwrap();
    symlink("../../../../etc", outer.path().join("root/link")).unwrap();
    let dir =
        make_dirs_in_root(root.as_fd(), Path::new("/link/sub/dir"), Mode::from_raw_mode(0o755)).unwrap();
    let expect = std::fs::metadata(outer.path().join("root/etc/sub/dir")).unwrap().ino();
    assert_eq!(rustix::fs::fstat(&dir).unwrap().st_ino, expect);
}

#[test]
fn missing_directories_and_files_are_made() {
    let (outer, root) = dirs();
    for path in ["a/b/c", "/x/y", "/", "a/./b", "x/../z"] {
        make_dirs_in_root(root.as_fd(), Path::new(path), Mode::from_raw_mode(0o755))
            .unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    assert!(outer.path().join("root/z").is_dir() && outer.path().join("root/a/b/c").is_dir());
    make_file_in_root(root.as_fd(), Path::new("/f/g/file"), Mode::from_raw_mode(0o644)).unwrap();
    make_file_in_root(root.as_fd(), Path::new("/f/g/file"), Mode::from_raw_mode(0o644)).unwrap();
    assert!(outer.path().join("root/f/g/file").is_file());
    assert!(make_dirs_in_root(root.as_fd(), Path::new("/no/../up"), Mode::from_raw_mode(0o755)).is_err());
}

#[test]
fn what_a_dangling_link_leads_to_is_made_inside_the_root() {
    let (outer, root) = dirs();
    let inside = |path: &str| outer.path().join("root").join(path);
    symlink("/../../nowhere", inside("dangling")).unwrap();
    make_dirs_in_root(root.as_fd(), Path::new("dangling/sub"), Mode::from_raw_mode(0o755)).unwrap();
    assert!(!outer.path().join("nowhere").exists() && inside("nowhere/sub").is_dir());

    std::fs::create_dir(inside("etc")).unwrap();
    symlink("../tmp/foo", inside("etc/a")).unwrap();
    symlink("hosts", inside("etc/b")).unwrap();
    for (path, made) in [("/etc/a/hosts", "tmp/foo/hosts"), ("etc/b", "etc/hosts")] {
        make_file_in_root(root.as_fd(), Path::new(path), Mode::from_raw_mode(0o644)).unwrap();
        assert!(inside(made).is_file(), "{path}");
    }

    symlink("circle", inside("circle")).unwrap();
    assert!(make_dirs_in_root(root.as_fd(), Path::new("circle/x"), Mode::from_raw_mode(0o755)).is_err());
    assert!(make_file_in_root(root.as_fd(), Path::new("circle"), Mode::from_raw_mode(0o644)).is_err());
}

#[test]
fn open_beneath_refuses_links_and_parents() {
    let (outer, root) = dirs();
    std::fs::write(outer.path().join("root/file"), "x").unwrap();
    symlink("file", outer.path().join("root/link")).unwrap();
    let open = |path: &str| open_beneath(root.as_fd(), Path::new(path), OFlags::RDONLY, Mode::empty());
    assert!(open("file").is_ok());
    for path in ["link", "../root/file", "/file"] {
        assert!(open(path).is_err(), "{path}");
    }
}

#[test]
fn write_proc_writes_only_procfs() {
    let (outer, root) = dirs();
    std::fs::write(outer.path().join("root/comm"), "").unwrap();
    assert!(write_proc(root.as_fd(), Path::new("comm"), b"x").is_err());
    assert_eq!(std::fs::read(outer.path().join("root/comm")).unwrap(), b"");
}

#[test]
fn write_atomic_replaces_and_leaves_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.json");
    for (content, durable) in [("one", true), ("two", false)] {
        write_atomic(&path, content.as_bytes(), 0o600, durable).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    assert!(write_atomic(&dir.path().join("no/such"), b"", 0o600, false).is_err());
}
