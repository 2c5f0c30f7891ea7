//! The store under bad circumstances: killed at any moment, on a full disk.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::fd::{AsFd as _, AsRawFd as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use proptest::{prelude::*, test_runner::TestRunner};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use tar::{Entry, EntryKind, Writer};

use crate::{Error, ImageRecord, Options, Resource, Store, archive, sha256};

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
    let Ok(victim) = std::env::var(VICTIM) else { return };
    let (driver, root) = victim.split_once(':').unwrap();
    let store = open(Path::new(root), driver);
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

/// Another test of this process may be between fork and exec: its child then has our lock for a moment.
fn open(root: &Path, driver: &str) -> Store {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        match Store::open_with(root, &Options { snapshotter: Some(driver.to_owned()) }) {
            Err(Error::Locked(_)) if std::time::Instant::now() < deadline => {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            opened => return opened.unwrap(),
        }
    }
}

/// Every file has an owner: blobs an image, what lies beside a layer the layer.
fn check_files(store: &Store) {
    let images = store.images().list().unwrap();
    for (blob, _) in store.content().walk().unwrap() {
        let needs = |image: &ImageRecord| {
            image.id == blob.digest
                || image.manifest.as_ref().is_some_and(|manifest| manifest.digest == blob.digest)
                || image.layers.iter().any(|layer| layer.blob.as_ref().unwrap().digest == blob.digest)
        };
        assert!(images.iter().any(needs), "left over: {}", blob.digest);
    }
    store.settle();
    let all = store.snapshots().walk().unwrap();
    let trees = store.paths().snapshots(store.snapshots().name());
    let trees: Vec<_> = std::fs::read_dir(trees).unwrap().map(|tree| tree.unwrap().path()).collect();
    assert_eq!(trees.len(), all.len());
    for file in trees.iter().flat_map(|tree| std::fs::read_dir(tree).unwrap()) {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(matches!(name.as_str(), "diff" | "work" | "layer.tar" | "index"), "left over: {name}");
    }
    for empty in ["trash", "tmp", "content/ingest"] {
        let dir = store.paths().root().join(empty);
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0, "{empty}");
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
    check_files(store);
}

/// One thing that happens to a store; numbers choose among what is there.
#[derive(Debug, Clone)]
enum Step {
    Load(usize),
    Import(usize),
    Remove(usize),
    Container(usize),
    Commit(usize),
    End(usize),
    Sweep,
    /// The process dies in the middle of the next layer, and another one opens the store.
    Crash,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4_usize).prop_map(Step::Load),
        (0..4_usize).prop_map(Step::Import),
        (0..9_usize).prop_map(Step::Remove),
        (0..9_usize).prop_map(Step::Container),
        (0..9_usize).prop_map(Step::Commit),
        (0..9_usize).prop_map(Step::End),
        Just(Step::Sweep),
        Just(Step::Crash),
    ]
}

/// Does a step. Nobody names containers but `containers`.
fn step(store: &Store, step: &Step, containers: &mut Vec<String>, turn: usize) {
    let images = store.images().list().unwrap();
    let chosen = |n: usize| images.get(n % images.len().max(1));
    match step {
        Step::Load(n) => drop(load(store, &image(&format!("box:{n}"), 3000 + n)).unwrap()),
        Step::Import(n) => {
            let layer = tar(&[("imported", &[b'i'; 100][..10 * n + 1])]);
            archive::import(store, &mut &layer[..], &archive::ImportOptions::default()).unwrap();
        }
        Step::Remove(n) => {
            if let Some(image) = chosen(*n) {
                store.images().remove(&image.id).unwrap();
            }
        }
        Step::Container(n) => {
            let key = format!("container-{turn}");
            store
                .snapshots()
                .prepare(&key, chosen(*n).and_then(|i| i.top()).map(|top| top.as_str()))
                .unwrap();
            store.db().create_container(&key, &key, "{}").unwrap();
            containers.push(key);
        }
        Step::Commit(n) if !containers.is_empty() => {
            let key = &containers[n % containers.len()];
            let upper = store.snapshots().paths(key).unwrap().upper.unwrap();
            std::fs::write(upper.join(format!("written-{turn}")), turn.to_string()).unwrap();
            let mut layer = Vec::new();
            store.snapshots().diff(key, &mut layer).unwrap();
            archive::import(store, &mut &layer[..], &archive::ImportOptions::default()).unwrap();
        }
        Step::End(n) if !containers.is_empty() => {
            let key = containers.remove(n % containers.len());
            store.db().delete_container(&key).unwrap();
            store.snapshots().remove(&key).unwrap();
        }
        Step::Sweep => drop(store.sweep().unwrap()),
        Step::Commit(_) | Step::End(_) | Step::Crash => {}
    }
}

#[test]
fn privileged_whatever_is_done_every_byte_has_an_owner() {
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 8,
        max_shrink_iters: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let steps = (prop::sample::select(drivers()), prop::collection::vec(any_step(), 1..25));
    let run = |(driver, steps): (&str, Vec<Step>)| {
        let root = tempfile::tempdir().unwrap();
        let mut store = open(root.path(), driver);
        let mut containers = Vec::new();
        for (turn, next) in steps.iter().enumerate() {
            step(&store, next, &mut containers, turn);
            if matches!(next, Step::Crash) {
                // Half of a layer, an index that was not finished, a blob under way.
                store.snapshots().prepare("stage-1", None).unwrap();
                let layer = tar(&[("half", &[0; 5000])]);
                assert!(store.snapshots().apply("stage-1", &mut &layer[..3000]).is_err());
                std::fs::write(root.path().join("content/ingest/tmp-9"), "x").unwrap();
                drop(store);
                store = open(root.path(), driver);
            }
        }
        for key in &containers {
            assert!(!store.snapshots().mounts(key).unwrap().is_empty());
        }
        store.sweep().unwrap();
        check_files(&store);
        Ok(())
    };
    runner.run(&steps, run).unwrap();
}

#[test]
fn privileged_killed_at_any_moment_nothing_acknowledged_is_lost_and_nothing_is_left_over() {
    for driver in drivers() {
        kill(driver);
    }
}

/// Those that this kernel can have.
fn drivers() -> Vec<&'static str> {
    let erofs = crate::snapshot::probe::kernel_is_new_enough().then_some("erofs");
    ["overlay"].into_iter().chain(erofs).collect()
}

fn kill(driver: &str) {
    let root = tempfile::tempdir().unwrap();
    for round in 0..6_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::privileged_victim_of_the_kill_test", "--nocapture"])
            .env(VICTIM, format!("{driver}:{}", root.path().display()))
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
        let store = open(root.path(), driver);
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
    // Not erofs: the kernel mounts no file of a tmpfs.
    for driver in ["overlay", "copy"] {
        let store = open(&root, driver);
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
