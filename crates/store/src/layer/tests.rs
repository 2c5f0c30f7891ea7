use std::{fs, io::Write as _};

use tar::{Entry, EntryKind, Writer};

use super::*;
use crate::Options;

fn stores() -> Vec<(tempfile::TempDir, Store)> {
    ["overlay", "copy"]
        .map(|name| {
            let dir = tempfile::tempdir().unwrap();
            let options = Options { snapshotter: Some(name.to_owned()) };
            let store = Store::open_with(dir.path(), &options).unwrap();
            (dir, store)
        })
        .into()
}

fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (path, text) in files {
        let entry = Entry { size: text.len() as u64, ..Entry::new(EntryKind::File, *path, 0o644) };
        writer.append_file(&entry, &mut text.as_bytes()).unwrap();
    }
    writer.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn blob(store: &Store, bytes: &[u8]) -> Descriptor {
    let info = store.content().put(bytes).unwrap();
    Descriptor::new(types::image::media_type::OCI_LAYER, info.digest, info.size)
}

#[test]
fn privileged_layers_stack_under_their_chain_ids() {
    for (_dir, store) in stores() {
        let hold = store.hold();
        let (one, two) = (tar(&[("a", "1"), ("b", "22")]), tar(&[("b", "333")]));
        let (diff_one, diff_two) = (crate::sha256(&one), crate::sha256(&two));
        let first = unpack(&store, &hold, &blob(&store, &gzip(&one)), None, &diff_one).unwrap();
        assert_eq!((&first.chain_id, first.bytes), (&diff_one, 3));
        let zstd = zstd::encode_all(&two[..], 1).unwrap();
        let layer = blob(&store, &zstd);
        let second = unpack(&store, &hold, &layer, Some(&first.chain_id), &diff_two).unwrap();
        let want = crate::sha256(format!("{diff_one} {diff_two}").as_bytes());
        assert_eq!((&second.chain_id, second.bytes), (&want, 3));
        store.content().remove(&layer.digest).unwrap();
        let again = unpack(&store, &hold, &layer, Some(&first.chain_id), &diff_two).unwrap();
        assert_eq!(again, second, "what is unpacked is not read again");
        assert_eq!(store.snapshots().walk().unwrap().len(), 2);
    }
}

#[test]
fn privileged_a_layer_that_is_not_what_was_promised_leaves_nothing() {
    for (dir, store) in stores() {
        let hold = store.hold();
        let layer = tar(&[("a", "1")]);
        let wrong = crate::sha256(b"other");
        let error = unpack(&store, &hold, &blob(&store, &layer), None, &wrong).unwrap_err();
        assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
        let cut = gzip(&tar(&[("a", &"x".repeat(100_000))]));
        let error = stage(&store, &hold, &mut &cut[..cut.len() / 2], None).unwrap_err();
        assert!(matches!(error, Error::Tar(_)), "{error}");
        assert!(store.snapshots().walk().unwrap().is_empty());
        let trees = dir.path().join(store.snapshots().name());
        assert_eq!(fs::read_dir(trees).unwrap().count(), 0);
    }
}

#[test]
fn privileged_the_same_layer_at_once_is_one_unpack() {
    let (_dir, store) = stores().remove(0);
    let hold = store.hold();
    let layer = tar(&[("a", "1")]);
    let (descriptor, diff_id) = (blob(&store, &layer), crate::sha256(&layer));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| unpack(&store, &hold, &descriptor, None, &diff_id).unwrap());
        }
    });
    assert_eq!(store.snapshots().walk().unwrap().len(), 1);
}

#[test]
fn privileged_layers_may_come_before_their_parents() {
    let (_dir, store) = stores().remove(0);
    let hold = store.hold();
    let (one, two) = (tar(&[("d/a", "1")]), tar(&[("d/b", "2")]));
    let second = stage(&store, &hold, &mut &two[..], None).unwrap();
    let first = stage(&store, &hold, &mut &one[..], None).unwrap().commit(None, None).unwrap();
    let top = second.commit(Some(&first.chain_id), None).unwrap();
    assert_eq!(store.snapshots().layers(top.chain_id.as_str()).unwrap().len(), 2);
}
