use std::{collections::BTreeMap, io::Write as _};

use serde_json::{Value, json};
use tar::{Entry, EntryKind, Reader, Writer};
use types::image::media_type;

use super::*;
use crate::{Options, sha256};

type Files = Vec<(String, Vec<u8>)>;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { snapshotter: Some("copy".to_owned()) };
    let store = Store::open_with(dir.path(), &options).unwrap();
    (dir, store)
}

fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (path, bytes) in files {
        let link = bytes.strip_prefix(b"-> ");
        let kind = if link.is_some() { EntryKind::Symlink } else { EntryKind::File };
        let mut entry = Entry { size: bytes.len() as u64, ..Entry::new(kind, path.as_str(), 0o644) };
        entry.link = link.unwrap_or_default().to_vec();
        writer.append_file(&entry, &mut bytes.as_slice()).unwrap();
    }
    writer.finish().unwrap()
}

fn file(path: &str, bytes: impl Into<Vec<u8>>) -> (String, Vec<u8>) {
    (path.to_owned(), bytes.into())
}

fn layer(text: &str) -> Vec<u8> {
    tar(&[file("etc/text", text)])
}

fn config(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| sha256(layer)).collect();
    let config = json!({"architecture": "amd64", "os": "linux", "created": "2023-11-14T22:13:20Z",
        "config": {"Cmd": ["sh"]}, "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    config.to_string().into_bytes()
}

/// A docker-archive with layers before and after what names them.
fn docker_archive(one: &[u8], two: &[u8]) -> Files {
    let manifest = json!([{"Config": "c.json", "RepoTags": ["box:1", "host:5000/a/b:2"],
        "Layers": ["1/layer.tar", "2/layer.tar"]}]);
    vec![
        file("1/layer.tar", one),
        file("manifest.json", manifest.to_string()),
        file("c.json", config(&[one, two])),
        file("2/layer.tar", two),
    ]
}

fn blob(files: &mut Files, bytes: &[u8], kind: &str) -> Value {
    let digest = sha256(bytes);
    files.push(file(&format!("blobs/sha256/{}", digest.hex()), bytes));
    json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
}

/// An image layout: an index with one index for two platforms and an attestation.
fn oci_archive() -> (Files, Vec<u8>) {
    let mut files = Files::new();
    let plain = layer("oci");
    let zstd = zstd::encode_all(&plain[..], 1).unwrap();
    let config = config(&[&plain]);
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": blob(&mut files, &config, media_type::OCI_CONFIG),
        "layers": [blob(&mut files, &zstd, media_type::OCI_LAYER_ZSTD)]});
    let mut ours = blob(&mut files, manifest.to_string().as_bytes(), media_type::OCI_MANIFEST);
    ours["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let mut other = json!({"mediaType": media_type::OCI_MANIFEST, "digest": sha256(b"arm"), "size": 3});
    other["platform"] = json!({"os": "linux", "architecture": "arm64"});
    let mut attestation = other.clone();
    attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let index = json!({"schemaVersion": 2, "manifests": [attestation, other, ours]});
    let mut inner = blob(&mut files, index.to_string().as_bytes(), media_type::OCI_INDEX);
    inner["annotations"] = json!({"io.containerd.image.name": "docker.io/library/oci:1"});
    let index = json!({"schemaVersion": 2, "manifests": [inner]});
    files.push(file("index.json", index.to_string()));
    files.push(file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#));
    (files, config)
}

fn amd64() -> LoadOptions {
    LoadOptions { platform: Some("linux/amd64".parse().unwrap()) }
}

fn load_bytes(store: &Store, bytes: &[u8]) -> Result<Vec<Loaded>> {
    load(store, &mut &bytes[..], &amd64(), &mut |_| {})
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn privileged_a_docker_archive_becomes_an_image_however_it_is_compressed() {
    let (one, two) = (layer("one"), layer("two"));
    let archive = tar(&docker_archive(&one, &two));
    for bytes in [archive.clone(), gzip(&archive), zstd::encode_all(&archive[..], 1).unwrap()] {
        let (_dir, store) = store();
        let mut seen = Vec::new();
        let loaded = load(&store, &mut &bytes[..], &amd64(), &mut |progress| seen.push(progress)).unwrap();
        assert_eq!(loaded[0].id, sha256(&config(&[&one, &two])));
        let image = store.images().resolve("box:1").unwrap();
        assert_eq!(image.repo_tags(), ["box:1", "host:5000/a/b:2"]);
        assert_eq!((image.size, image.layers.len()), (6, 2));
        let top = store.snapshots().layers(image.top().unwrap().as_str()).unwrap();
        assert_eq!(std::fs::read(top[0].join("etc/text")).unwrap(), b"two");
        assert_eq!(seen.iter().filter(|p| matches!(p, Progress::Unpacked { .. })).count(), 2);
        assert_eq!(load_bytes(&store, &bytes).unwrap(), loaded, "a second load changes nothing");
        let removed = store.images().remove(&image.id).unwrap();
        assert_eq!((removed.layers.len(), removed.bytes), (2, 6));
        assert!(store.content().walk().unwrap().is_empty());
        assert!(store.snapshots().walk().unwrap().is_empty());
    }
}

#[test]
fn privileged_layers_of_old_archives_may_be_links() {
    let one = layer("one");
    let manifest = json!([{"Config": "c.json", "RepoTags": null, "Layers": ["1/layer.tar", "2/layer.tar"]}]);
    let files = [
        file("1/layer.tar", &one[..]),
        file("2/layer.tar", "-> ../1/layer.tar"),
        file("c.json", config(&[&one, &one])),
        file("manifest.json", manifest.to_string()),
    ];
    let (_dir, store) = store();
    let loaded = load_bytes(&store, &tar(&files)).unwrap();
    assert_eq!(loaded[0].names, []);
    assert_eq!(store.images().get(&loaded[0].id).unwrap().unwrap().layers.len(), 2);
}

#[test]
fn privileged_an_image_layout_gives_the_image_of_the_platform() {
    let (files, config) = oci_archive();
    let (_dir, store) = store();
    let loaded = load_bytes(&store, &tar(&files)).unwrap();
    assert_eq!((loaded.len(), &loaded[0].id), (1, &sha256(&config)));
    let image = store.images().resolve("oci:1").unwrap();
    assert!(store.content().contains(&image.manifest.unwrap().digest).unwrap());
    let options = LoadOptions { platform: Some("linux/s390x".parse().unwrap()) };
    let error = load(&store, &mut &tar(&files)[..], &options, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("linux/s390x"), "{error}");
}

#[test]
fn privileged_what_is_saved_is_loaded_with_the_same_ids() {
    let (_dir, first) = store();
    load_bytes(&first, &tar(&docker_archive(&layer("one"), &layer("two")))).unwrap();
    load_bytes(&first, &tar(&oci_archive().0)).unwrap();
    let images: Vec<_> = first.images().list().unwrap().into_iter().map(|i| (i.id, i.names)).collect();
    let mut saved = Vec::new();
    save(&first, &images, &mut saved).unwrap();
    let mut again = Vec::new();
    save(&first, &images, &mut again).unwrap();
    assert_eq!(saved, again, "the same images give the same bytes");
    let names = |bytes: &[u8]| {
        let mut reader = Reader::new(bytes);
        let mut names = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            names.push(String::from_utf8(entry.path).unwrap());
        }
        names
    };
    for want in ["manifest.json", "index.json", "oci-layout"] {
        assert_eq!(names(&saved).iter().filter(|name| *name == want).count(), 1);
    }
    let (_dir, second) = store();
    load_bytes(&second, &saved).unwrap();
    let facts = |store: &Store| -> BTreeMap<_, _> {
        let images = store.images().list().unwrap();
        images.into_iter().map(|i| (i.id.clone(), (i.names.clone(), i.layers.clone(), i.config))).collect()
    };
    assert_eq!(facts(&first), facts(&second));
    // Read as an image layout, the manifests keep their digests too.
    let mut files = Files::new();
    let mut reader = Reader::new(&saved[..]);
    while let Some(entry) = reader.next_entry().unwrap() {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        if entry.kind == EntryKind::File && entry.path != b"manifest.json" {
            files.push((String::from_utf8(entry.path).unwrap(), bytes));
        }
    }
    let (_dir, third) = store();
    load_bytes(&third, &tar(&files)).unwrap();
    assert_eq!(facts(&first), facts(&third));
    let manifest = |store: &Store| store.images().resolve("oci:1").unwrap().manifest.unwrap().digest;
    assert_eq!(manifest(&first), manifest(&third));
}

#[test]
fn privileged_a_file_system_is_imported() {
    let (_dir, store) = store();
    let tar = layer("imported");
    let options = ImportOptions {
        name: Some("rootfs".parse().unwrap()),
        message: "Imported from -".to_owned(),
        ..ImportOptions::default()
    };
    let id = import(&store, &mut &gzip(&tar)[..], &options).unwrap();
    let image = store.images().resolve("rootfs").unwrap();
    assert_eq!((&image.id, &image.layers[0].diff_id), (&id, &sha256(&tar)));
    let parsed = image.parsed().unwrap();
    assert_eq!((parsed.os.as_str(), parsed.history[0].comment.as_str()), ("linux", "Imported from -"));
    assert!(import(&store, &mut &b"junk"[..], &options).is_err());
    assert_eq!(store.content().walk().unwrap().len(), 2, "config and layer of the good one");
}

#[test]
fn privileged_hostile_archives_leave_the_store_unchanged() {
    let (_dir, store) = store();
    load_bytes(&store, &tar(&docker_archive(&layer("one"), &layer("two")))).unwrap();
    let before = (store.images().list().unwrap(), store.content().walk().unwrap().len());
    let (one, two) = (layer("new"), layer("newer"));
    let edit = |edit: &dyn Fn(&mut Files)| {
        let mut files = docker_archive(&one, &two);
        edit(&mut files);
        tar(&files)
    };
    let evil = |path: &str| {
        let evil = tar(&[file("ok", "x"), file(path, "x")]);
        edit(&|files| {
            files[3].1.clone_from(&evil);
            files[2].1 = config(&[&one, &evil]);
        })
    };
    let (mut oci, _) = oci_archive();
    oci[1].1[0] ^= 1;
    let whole = edit(&|_| {});
    let bomb = gzip(&edit(&|files| files[1].1 = vec![b' '; 9 << 20]));
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("junk", b"junk\n".to_vec(), "unexpected EOF"),
        ("empty", tar(&[]), "neither manifest.json"),
        ("cut", whole[..whole.len() / 2].to_vec(), "unexpected EOF"),
        ("cut gzip", gzip(&whole)[..400].to_vec(), ""),
        ("layer that climbs out", evil("../../etc/evil"), "invalid entry name"),
        ("member that climbs out", edit(&|f| f[0].0 = "../x".to_owned()), "outside of the archive"),
        ("link that climbs out", edit(&|f| f[3].1 = b"-> ../../x".to_vec()), "outside of the archive"),
        ("link to nothing", edit(&|f| f[3].1 = b"-> ../x".to_vec()), "no file"),
        ("missing layer", edit(&|f| drop(f.remove(3))), "no file 2/layer.tar"),
        ("missing config", edit(&|f| drop(f.remove(2))), "no file c.json"),
        ("wrong diff id", edit(&|f| f[2].1 = config(&[&one, &one])), "digest mismatch"),
        ("wrong number of layers", edit(&|f| f[2].1 = config(&[&one])), "length mismatch: expected 2, got 1"),
        ("config that is no JSON", edit(&|f| f[2].1 = b"{".to_vec()), "unexpected EOF"),
        ("manifest that is no list", edit(&|f| f[1].1 = b"{}".to_vec()), "manifest.json"),
        ("huge manifest", bomb, "larger than"),
        (
            "bad tag",
            edit(&|f| f[1].1 = String::from_utf8_lossy(&f[1].1).replace("box:1", "BOX:1").into()),
            "invalid reference format",
        ),
        ("blob under a wrong digest", tar(&oci), "digest mismatch"),
        (
            "another system",
            edit(&|f| f[2].1 = String::from_utf8_lossy(&f[2].1).replace("linux", "windows").into()),
            "windows",
        ),
        ("legacy", tar(&[file("repositories", "{}")]), "before 1.10"),
    ];
    for (what, bytes, want) in cases {
        let error = load_bytes(&store, &bytes).expect_err(what).to_string();
        assert!(error.contains(want), "{what}: {error}");
        let after = (store.images().list().unwrap(), store.content().walk().unwrap().len());
        assert_eq!(before, after, "{what}");
        assert_eq!(store.snapshots().walk().unwrap().len(), 2, "{what}");
    }
}
