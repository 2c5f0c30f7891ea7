//! Indexes against plain unpacking of the same tars, both seen through the kernel.

use std::{
    fs,
    os::{
        fd::AsRawFd as _,
        unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _},
    },
    process::Command,
};

use proptest::{prelude::*, test_runner::TestRunner};
use tar::{Entry, EntryKind, Segment, Time, Writer};

use super::*;
use crate::{Options, Store};

type File = (Entry, Vec<u8>);

fn write(entries: &[File]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, payload) in entries {
        writer.append_file(entry, &mut payload.as_slice()).unwrap();
    }
    writer.finish().unwrap()
}

fn entry(kind: EntryKind, path: &str) -> File {
    (Entry::new(kind, path, 0o755), Vec::new())
}

fn file(path: &str, payload: &[u8]) -> File {
    let size = payload.len() as u64;
    (Entry { size, ..Entry::new(EntryKind::File, path, 0o644) }, payload.to_vec())
}

/// What a tar says, but for the times of directories, which unpacking makes up where nobody described them.
fn facts(tar: &[u8]) -> Vec<File> {
    let mut reader = Reader::new(tar);
    let mut all = Vec::new();
    while let Some(mut entry) = reader.next_entry().unwrap() {
        let mut payload = Vec::new();
        reader.read_to_end(&mut payload).unwrap();
        if entry.kind == EntryKind::Directory {
            entry.mtime = Time::default();
        }
        all.push((entry, payload));
    }
    all
}

/// Stores with one snapshotter each, that layers are put into side by side.
struct Both {
    _dirs: [tempfile::TempDir; 2],
    stores: [Store; 2],
}

impl Both {
    fn new() -> Self {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let open = |dir: &tempfile::TempDir, driver: &str| {
            let options = Options { snapshotter: Some(driver.to_owned()) };
            Store::open_with(dir.path(), &options).unwrap()
        };
        let stores = [open(&dirs[0], "overlay"), open(&dirs[1], "erofs")];
        Self { _dirs: dirs, stores }
    }

    /// Stacks the layers; what the result looks like, or the number of the layer that is refused.
    fn show(store: &Store, layers: &[Vec<u8>]) -> Result<(Vec<File>, Vec<Usage>), usize> {
        let snapshots = store.snapshots();
        let (mut made, mut usage, mut refused) = (Vec::<String>::new(), Vec::new(), None);
        for (n, layer) in layers.iter().enumerate() {
            let (key, name) = (format!("stage-{n}"), format!("layer-{n}"));
            snapshots.prepare(&key, None).unwrap();
            let Ok(applied) = snapshots.apply(&key, &mut layer.as_slice()) else {
                snapshots.remove(&key).unwrap();
                refused = Some(n);
                break;
            };
            if let Some(below) = made.last() {
                snapshots.rebase(&key, below).unwrap();
            }
            snapshots.commit(&name, &key, Some(&applied)).unwrap();
            usage.push(applied.usage);
            made.push(name);
        }
        let mut tar = Vec::new();
        if refused.is_none() {
            snapshots.export(made.last().unwrap(), &mut tar).unwrap();
        }
        for name in made.iter().rev() {
            snapshots.remove(name).unwrap();
        }
        match refused {
            Some(n) => Err(n),
            None => Ok((facts(&tar), usage)),
        }
    }

    fn compare(&self, layers: &[Vec<u8>]) {
        let [overlay, erofs] = self.stores.each_ref().map(|store| Self::show(store, layers));
        assert_eq!(overlay, erofs);
    }
}

fn any_path() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["a", "b", "c", "d", "-", "..", "zebra"]);
    prop::collection::vec(part, 0..4).prop_map(|parts| parts.join("/"))
}

fn any_xattr() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let key = prop::sample::select(vec![
        "user.a",
        "user.b",
        "trusted.t",
        "trusted.overlay.opaque",
        "what.x",
        "user.",
    ]);
    let value = prop::collection::vec(any::<u8>(), 0..40);
    (key, value).prop_map(|(key, value)| (key.as_bytes().to_vec(), value))
}

fn any_entry() -> impl Strategy<Value = File> {
    let kinds = vec![
        (EntryKind::File, ""),
        (EntryKind::File, ""),
        (EntryKind::File, ".wh."),
        (EntryKind::File, "/.wh..wh..opq"),
        (EntryKind::Directory, ""),
        (EntryKind::Directory, ""),
        (EntryKind::Symlink, ""),
        (EntryKind::HardLink, ""),
        (EntryKind::Char, ""),
        (EntryKind::Block, ""),
        (EntryKind::Fifo, ""),
    ];
    let attributes = (0..0o10000_u32, 0..3_u32, 0..70_000_u32, -5..2_000_000_000_i64, 0..1_000_000_000_u32);
    let rest =
        (prop::collection::vec(any_xattr(), 0..3), prop::collection::vec(any::<u8>(), 0..1500), 0..3_u32);
    (prop::sample::select(kinds), any_path(), any_path(), attributes, rest).prop_map(
        |((kind, mark), path, link, (mode, uid, gid, seconds, nanoseconds), (mut xattrs, payload, minor))| {
            let path = match (mark, path.rsplit_once('/')) {
                ("", _) => path,
                (".wh.", Some((parent, name))) => format!("{parent}/.wh.{name}"),
                (".wh.", None) => format!(".wh.{path}"),
                (mark, _) => format!("{path}{mark}"),
            };
            let payload = if kind == EntryKind::File { payload } else { Vec::new() };
            // The writer sorts; of two with one name the last counts.
            xattrs.sort();
            xattrs.dedup_by(|a, b| a.0 == b.0);
            xattrs.retain(|(key, _)| key != b"user.");
            let entry = Entry {
                link: link.into_bytes(),
                uid,
                gid,
                size: payload.len() as u64,
                mtime: Time { seconds, nanoseconds },
                device: if matches!(kind, EntryKind::Char | EntryKind::Block) { (1, minor) } else { (0, 0) },
                xattrs,
                ..Entry::new(kind, path, mode)
            };
            (entry, payload)
        },
    )
}

#[test]
fn privileged_random_layers_look_as_if_they_were_unpacked() {
    if !crate::snapshot::probe::kernel_is_new_enough() {
        return;
    }
    let both = Both::new();
    let layer = prop::collection::vec(any_entry(), 1..12);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 64,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let strategy = prop::collection::vec(layer, 1..4);
    runner
        .run(&strategy, |layers| {
            let layers: Vec<_> = layers.iter().map(|layer| write(layer)).collect();
            both.compare(&layers);
            Ok(())
        })
        .unwrap();
}

/// A mounted chain of layers.
struct Mounted {
    dir: tempfile::TempDir,
    _fd: std::os::fd::OwnedFd,
    root: PathBuf,
}

fn mounted(layers: &[&[u8]]) -> Result<Mounted> {
    let dir = tempfile::tempdir().unwrap();
    let mut dirs = Vec::new();
    for (n, layer) in layers.iter().enumerate() {
        let path = dir.path().join(n.to_string());
        fs::create_dir(&path).unwrap();
        receive(&mut &**layer, &path)?;
        dirs.push(path);
    }
    let layers = Layers::new(dirs);
    let index = dir.path().join("index");
    layers.index(&index, "test")?;
    let fd = mount(dir.path(), &index, &layers.devices())?;
    Ok(Mounted { root: PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())), dir, _fd: fd })
}

#[test]
fn privileged_odd_files_are_shown_as_they_are() {
    if !crate::snapshot::probe::kernel_is_new_enough() {
        return;
    }
    let long_name = "n".repeat(255);
    let long_link = format!("/{}", "link/".repeat(300));
    let mut entries = vec![entry(EntryKind::Directory, "many")];
    let name = |n: usize| format!("many/{}{n}", "x".repeat(n % 200));
    entries.extend((0..3000).map(|n| file(&name(n), n.to_string().as_bytes())));
    entries.push(file(&long_name, b"long"));
    let sizes = [0, 1, 511, 512, 513, 4095, 4096, 4097, 1 << 20];
    let payload = |size: usize| (0..size).map(|n| (n % 251) as u8).collect::<Vec<_>>();
    entries.extend(sizes.map(|size| file(&format!("size-{size}"), &payload(size))));
    for (name, length) in [("short", 1), ("tail", 481), ("block", 512), ("two", 700)] {
        let mut link = entry(EntryKind::Symlink, name);
        link.0.link = long_link.as_bytes()[..length].to_vec();
        entries.push(link);
    }
    let mut device = entry(EntryKind::Char, "device");
    device.0.device = (4095, 1_048_575);
    device.0.mtime = Time { seconds: -3, nanoseconds: 999_999_999 };
    entries.push(device);
    let mut marked = file("marked", b"marked");
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    marked.0.xattrs =
        vec![(b"security.capability".to_vec(), capability.to_vec()), (b"user.big".to_vec(), payload(60_000))];
    entries.push(marked);
    let mut hard = entry(EntryKind::HardLink, "hard");
    hard.0.link = b"marked".to_vec();
    entries.push(hard);
    let mounted = mounted(&[&write(&entries)]).unwrap();
    let at = |path: &str| mounted.root.join(path);
    assert_eq!(fs::read_dir(at("many")).unwrap().count(), 3000);
    for n in (0..3000).step_by(7) {
        assert_eq!(fs::read_to_string(at(&name(n))).unwrap(), n.to_string());
    }
    assert!(!at("many/nothing").exists());
    assert_eq!(fs::read(at(&long_name)).unwrap(), b"long");
    for size in sizes {
        assert_eq!(fs::read(at(&format!("size-{size}"))).unwrap(), payload(size));
    }
    for (name, length) in [("short", 1), ("tail", 481), ("block", 512), ("two", 700)] {
        assert_eq!(fs::read_link(at(name)).unwrap().as_os_str().len(), length);
    }
    let device = fs::symlink_metadata(at("device")).unwrap();
    assert!(device.file_type().is_char_device());
    assert_eq!((rustix::fs::major(device.rdev()), rustix::fs::minor(device.rdev())), (4095, 1_048_575));
    assert_eq!((device.mtime(), device.mtime_nsec()), (-3, 999_999_999));
    let (one, other) = (fs::metadata(at("marked")).unwrap(), fs::metadata(at("hard")).unwrap());
    assert_eq!((one.ino(), one.nlink()), (other.ino(), 2));
    let mut value = vec![0; 70_000];
    let n = rustix::fs::getxattr(at("marked"), "user.big", &mut value).unwrap();
    assert_eq!(value[..n], payload(60_000));
    let n = rustix::fs::getxattr(at("marked"), "security.capability", &mut value).unwrap();
    assert_eq!(value[..n], capability);
    check(&mounted);
}

/// What the format's own tool says, where it is installed.
fn check(mounted: &Mounted) {
    let index = mounted.dir.path().join("index");
    let device = format!("--device={}", mounted.dir.path().join("0/layer.tar").display());
    if let Ok(said) = Command::new("fsck.erofs").arg(device).arg(index).output() {
        let text = String::from_utf8_lossy(&said.stderr) + String::from_utf8_lossy(&said.stdout);
        // Versions before 1.6 know one block size only.
        assert!(said.status.success() || text.contains("isn't supported on this platform"), "{text}");
    }
}

/// A tar with one sparse file as GNU tar writes it: the pieces of `map`, whose bytes are `payload`.
fn sparse(path: &str, size: u64, map: &[Segment], payload: &[u8]) -> Vec<u8> {
    let map: Vec<_> = map.iter().map(|piece| format!("{},{}", piece.offset, piece.length)).collect();
    let mut records = Vec::new();
    for (key, value) in [("GNU.sparse.map", map.join(",")), ("GNU.sparse.size", size.to_string())] {
        let body = format!(" {key}={value}\n");
        let mut length = body.len() + 1;
        while length != body.len() + length.to_string().len() {
            length = body.len() + length.to_string().len();
        }
        records.extend_from_slice(format!("{length}{body}").as_bytes());
    }
    let mut bytes = write(&[file("PaxHeaders/x", &records)]);
    bytes[156] = b'x';
    bytes[148..156].fill(b' ');
    let sum: u32 = bytes[..512].iter().map(|b| u32::from(*b)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes.truncate(bytes.len() - 1024);
    bytes.extend_from_slice(&write(&[file(path, payload)]));
    bytes
}

#[test]
fn privileged_sparse_files_keep_their_holes() {
    if !crate::snapshot::probe::kernel_is_new_enough() {
        return;
    }
    let gib = 1_u64 << 30;
    let piece = |offset, length| Segment { offset, length };
    // Pieces that begin and end anywhere, beyond 4 GiB too, and a hole at the end.
    let map = [piece(0, 3), piece(5000, 10_000), piece(6 * gib + 7, 5)];
    let payload: Vec<u8> = (0..10_008).map(|n| (n % 253) as u8 + 1).collect();
    let tar = sparse("s", 7 * gib, &map, &payload);
    let mounted = mounted(&[&tar]).unwrap();
    let path = mounted.root.join("s");
    let file = std::fs::File::open(&path).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 7 * gib);
    let mut from = 0;
    for piece in &map {
        let mut read = vec![0; piece.length as usize + 2];
        file.read_exact_at(&mut read[..piece.length as usize + 1], piece.offset).unwrap();
        assert_eq!(read[..piece.length as usize], payload[from..from + piece.length as usize]);
        assert_eq!(read[piece.length as usize], 0);
        from += piece.length as usize;
    }
    // Most of it is a hole to programs that ask.
    let data = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(gib)).unwrap();
    assert!(data > 5 * gib, "{data}");
    let disk = fs::metadata(sparse_in(&mounted.dir.path().join("0"))).unwrap();
    assert!(disk.blocks() * 512 < 1 << 20, "{} blocks", disk.blocks());
}

#[test]
fn broken_layers_are_refused() {
    let good = write(&[file("a", &[7; 5000])]);
    let refused = |tar: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        let received = receive(&mut &*tar, dir.path()).unwrap_err().to_string();
        let whole = dir.path().join("whole");
        fs::write(&whole, tar).unwrap();
        let place = dir.path().join("place");
        fs::create_dir(&place).unwrap();
        assert_eq!(adopt(&whole, &place).unwrap_err().to_string(), received);
        received
    };
    assert!(refused(&good[..3000]).contains("unexpected EOF"));
    assert!(refused(&good[..5600]).contains("unexpected EOF"));
    assert!(refused(b"no tar at all").contains("unexpected EOF"));
    assert!(refused(&write(&[file("../x", b"")])).contains("invalid entry name"));
    assert!(refused(&write(&[file(&"x".repeat(256), b"")])).contains("too long"));
    let mut link = entry(EntryKind::HardLink, "l");
    link.0.link = b"nothing".to_vec();
    assert!(refused(&write(&[link])).contains("No such file"));
    let huge = Segment { offset: 1 << 42, length: 1 };
    let many: Vec<u8> = (0..600)
        .flat_map(|n| sparse(&format!("s{n}"), (1 << 42) + 1, &[huge], b"x")[..2048].to_vec())
        .collect();
    assert!(refused(&many).contains("larger than"));
}

/// The whole of a distribution, where `make test` has left one.
#[test]
fn privileged_a_debian_looks_as_if_it_were_unpacked() {
    if !crate::snapshot::probe::kernel_is_new_enough() {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/debian");
    let Some(root) =
        [root.join("rootfs"), root].into_iter().find(|root| root.join("etc/debian_version").exists())
    else {
        return;
    };
    let mut tar = Vec::new();
    crate::diff::export(&[root], &mut tar).unwrap();
    Both::new().compare(&[tar]);
}
