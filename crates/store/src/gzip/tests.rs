use std::io::Read as _;

use super::*;

fn plain(store: &Store, bytes: &[u8]) -> Descriptor {
    let info = store.content().put(bytes).unwrap();
    Descriptor::new(media_type::OCI_LAYER, info.digest, info.size)
}

/// Neither all alike nor without any likeness.
fn bytes(length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| ((at * at) >> 7) as u8 ^ (at / 5000) as u8).collect()
}

#[test]
fn a_copy_unpacks_to_the_layer_and_is_the_same_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let options = crate::Options { snapshotter: Some("copy".to_owned()) };
    let store = Store::open_with(dir.path(), &options).unwrap();
    let block = BLOCK as usize;
    for length in [0, 1, block - 1, block, block + 1, 7 * block + 3] {
        let layer = plain(&store, &bytes(length));
        let mut steps = Vec::new();
        let gzip = Gzip::begin(&store, &layer).unwrap();
        let mut reader = File::open(gzip.path()).unwrap();
        let made = gzip
            .run(|written| {
                // What is told can be read.
                let mut seen = Vec::new();
                reader.read_to_end(&mut seen).unwrap();
                steps.push((written, seen.len() as u64));
                true
            })
            .unwrap();
        assert_eq!(steps.len(), length.div_ceil(block).max(1), "{length}");
        let (mut read, mut before) = (0, Written::default());
        for (written, seen) in steps {
            read += seen;
            assert!(
                written.plain >= before.plain
                    && written.compressed > before.compressed
                    && read >= written.compressed
            );
            before = written;
        }
        assert_eq!(before, Written { plain: length as u64, compressed: made.descriptor.size });
        let described = made.keep().unwrap();
        let mut copy = store.content().open_blob(&described.digest).unwrap();
        let mut unpacked = Vec::new();
        crate::Decompressor::new(&mut copy).unwrap().read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == bytes(length), "{length}");
        let again = Gzip::begin(&store, &layer).unwrap().run(|_| true).unwrap();
        assert_eq!(again.descriptor, described);
    }
}

#[test]
fn a_copy_that_nobody_wants_ends_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let options = crate::Options { snapshotter: Some("copy".to_owned()) };
    let store = Store::open_with(dir.path(), &options).unwrap();
    let layer = plain(&store, &bytes(20 * BLOCK as usize));
    let gzip = Gzip::begin(&store, &layer).unwrap();
    let path = gzip.path().to_owned();
    let mut told = 0;
    let ended = gzip.run(|_| {
        told += 1;
        told < 3
    });
    assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
    assert_eq!(told, 3);
    assert!(!path.exists());
    // A tar that is shorter than it should be.
    let longer = Descriptor { size: layer.size + 1, ..layer };
    assert!(matches!(Gzip::begin(&store, &longer).unwrap().run(|_| true), Err(Error::Input(_))));
}
