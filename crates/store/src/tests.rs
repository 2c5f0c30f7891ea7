//! The store under bad circumstances: killed at any moment, on a full disk.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::fd::{AsFd as _, AsRawFd as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use tar::{Entry, EntryKind, Writer};

use crate::{Error, Options, Resource, Store, archive, sha256};

/// Set in the child that is to be killed.
const VICTIM: &str = "WHARF_STORE_TEST_VICTIM";

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (path, bytes) in files {
        let entry = Entry { size: bytes.len() as u64, ..Entry::new(EntryKind::File, *path, 0o644) };
        writer.append_file(&entry, &mut &bytes[..]).unwrap();
    }
    writer.finish().unwrap()
}

fn image(name: &str, size: usize) -> Vec<u8> {
    let shared = tar(&[("shared", b"all images have this")]);
    let own = tar(&[("name", name.as_bytes()), ("big", &vec![b'x'; size])]);
    let config = serde_json::json!({"os": "linux", "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": [sha256(&shared), sha256(&own)]}});
    let manifest = serde_json::json!([{"Config": "c", "RepoTags": [name], "Layers": ["1", "2"]}]);
    let (config, manifest) = (config.to_string(), manifest.to_string());
    tar(&[("1", &shared), ("2", &own), ("c", config.as_bytes()), ("manifest.json", manifest.as_bytes())])
}

fn load(store: &Store, archive: &[u8]) -> Result<Vec<archive::Loaded>, Error> {
    archive::load(store, &mut &archive[..], &archive::LoadOptions::default(), &mut |_| {})
}

/// Not a test by itself: what the killed process does. Tells on standard output what was acknowledged.
#[test]
fn privileged_victim_of_the_kill_test() {
    let Ok(root) = std::env::var(VICTIM) else { return };
    let store = Store::open(Path::new(&root)).unwrap();
    let mut out = std::io::stdout();
    for round in 0_u32.. {
        let name = format!("box:{round}");
        load(&store, &image(&name, 100_000)).unwrap();
        writeln!(out, "+{name}").unwrap();
        let container = format!("container-{round}");
        let id = store.images().resolve(&name).unwrap();
        store.leases().add(&container, &Resource::Image(id.id.clone())).unwrap();
        store.snapshots().prepare(&container, id.top().map(|top| top.as_str())).unwrap();
        store.db().create_container(&container, &container, "{}").unwrap();
        writeln!(out, "+{container}").unwrap();
        if round % 2 == 1 {
            writeln!(out, "-{container}\n-{name}").unwrap();
            store.db().delete_container(&container).unwrap();
            store.leases().remove(&container).unwrap();
            store.snapshots().remove(&container).unwrap();
            store.images().remove(&id.id).unwrap();
        }
    }
}

/// What must hold in every store that was just opened.
fn check(store: &Store) {
    let images = store.images().list().unwrap();
    let mut needed: Vec<String> = Vec::new();
    for image in &images {
        assert!(store.content().contains(&image.id).unwrap(), "config of {:?}", image.names);
        for layer in &image.layers {
            let tree = store.snapshots().layers(layer.chain_id.as_str()).unwrap();
            assert!(tree.iter().all(|path| path.is_dir()), "layer of {:?}", image.names);
            assert!(store.content().contains(&layer.blob.as_ref().unwrap().digest).unwrap());
            needed.push(layer.chain_id.to_string());
        }
        let top = store.snapshots().layers(image.top().unwrap().as_str()).unwrap();
        assert_eq!(std::fs::metadata(top[0].join("big")).unwrap().len(), 100_000);
    }
    let containers = store.db().containers().unwrap();
    needed.extend(containers.iter().map(|record| record.id.clone()));
    for container in &containers {
        assert!(!store.snapshots().mounts(&container.id).unwrap().is_empty());
    }
    let all = store.snapshots().walk().unwrap();
    for info in &all {
        assert!(needed.contains(&info.key), "left over: {}", info.key);
    }
    store.settle();
    let trees = store.paths().snapshots(store.snapshots().name());
    assert_eq!(std::fs::read_dir(trees).unwrap().count(), all.len());
    for empty in ["trash", "tmp", "content/ingest"] {
        let dir = store.paths().root().join(empty);
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0, "{empty}");
    }
}

#[test]
fn privileged_killed_at_any_moment_nothing_acknowledged_is_lost_and_nothing_is_left_over() {
    let root = tempfile::tempdir().unwrap();
    for round in 0..8_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::privileged_victim_of_the_kill_test", "--nocapture"])
            .env(VICTIM, root.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // So many acknowledgements in, and then somewhere in the middle of the next operation.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut output: Vec<String> = Vec::new();
        while output.iter().filter(|line| line.starts_with(['+', '-'])).count() < 1 + 2 * round {
            output.push(lines.next().unwrap());
        }
        std::thread::sleep(Duration::from_micros(1_700 * round as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        output.extend(lines);
        let store = Store::open(root.path()).unwrap();
        check(&store);
        let containers: Vec<String> = store.db().containers().unwrap().into_iter().map(|r| r.id).collect();
        let undone: Vec<&str> = output.iter().filter_map(|line| line.strip_prefix('-')).collect();
        for made in output.iter().filter_map(|line| line.strip_prefix('+')) {
            if undone.contains(&made) {
                continue;
            }
            match made.starts_with("box") {
                true => drop(store.images().resolve(made).unwrap()),
                false => assert!(containers.iter().any(|id| id == made), "{made}"),
            }
        }
        // A fresh start for the next victim.
        for id in containers {
            store.db().delete_container(&id).unwrap();
            store.leases().remove(&id).unwrap();
            store.snapshots().remove(&id).unwrap();
        }
        for (owner, _) in store.leases().list().unwrap() {
            store.leases().remove(&owner).unwrap();
        }
        for image in store.images().list().unwrap() {
            store.images().remove(&image.id).unwrap();
        }
        assert_eq!(store.snapshots().walk().unwrap(), []);
        assert!(store.content().walk().unwrap().is_empty());
    }
}

#[test]
fn privileged_a_full_disk_is_told_and_survived() {
    let fs = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    rustix::mount::fsconfig_set_string(fs.as_fd(), "size", "3m").unwrap();
    rustix::mount::fsconfig_create(fs.as_fd()).unwrap();
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    let disk = rustix::mount::fsmount(fs.as_fd(), flags, MountAttrFlags::empty()).unwrap();
    let root = PathBuf::from(format!("/proc/self/fd/{}/root", disk.as_raw_fd()));
    for driver in ["overlay", "copy"] {
        let options = Options { snapshotter: Some(driver.to_owned()) };
        let store = Store::open_with(&root, &options).unwrap();
        load(&store, &image("small:1", 100_000)).unwrap();
        for (what, size) in [("no room for the blob", 4 << 20), ("no room for the tree", 1_600_000)] {
            let error = load(&store, &image("large:1", size)).unwrap_err();
            assert!(matches!(error, Error::NoSpace { .. }), "{driver}: {what}: {error}");
            assert!(error.to_string().starts_with("no space left on device"), "{error}");
            store.settle();
            check(&store);
        }
        load(&store, &image("small:2", 100_000)).unwrap();
        assert_eq!(store.images().list().unwrap().len(), 2);
        for image in store.images().list().unwrap() {
            store.images().remove(&image.id).unwrap();
        }
        store.settle();
    }
}
