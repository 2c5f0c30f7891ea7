use std::io::Write as _;

use super::*;

fn store() -> (tempfile::TempDir, ContentStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = ContentStore::open(dir.path()).unwrap();
    (dir, store)
}

fn ingests(store: &ContentStore) -> usize {
    fs::read_dir(&store.ingests).unwrap().count()
}

#[test]
fn a_blob_can_be_read_back_and_removed() {
    let (_dir, store) = store();
    let info = store.put(b"hello").unwrap();
    assert_eq!(store.put(b"hello").unwrap(), info);
    assert_eq!(info.digest, sha256(b"hello"));
    assert_eq!(store.read(&info.digest, 5).unwrap(), b"hello");
    assert!(matches!(store.read(&info.digest, 4), Err(Error::TooLarge { limit: 4, .. })));
    assert_eq!(store.walk().unwrap()[0].0, info);
    assert!(store.remove(&info.digest).unwrap());
    assert!(!store.remove(&info.digest).unwrap());
    assert!(store.read(&info.digest, 5).unwrap_err().is_not_found());
    assert_eq!(ingests(&store), 0);
}

#[test]
fn wrong_bytes_are_never_put_in_place() {
    let (_dir, store) = store();
    let good = sha256(b"good");
    let mut ingest = store.ingest(Some(&good), None).unwrap();
    ingest.write_all(b"evil").unwrap();
    assert!(matches!(ingest.commit(), Err(Error::DigestMismatch { .. })));
    let mut ingest = store.ingest(Some(&good), Some(4)).unwrap();
    assert_eq!(ingest.offset(), 0, "what was wrong is not resumed");
    assert!(matches!(ingest.append(b"goods"), Err(Error::SizeMismatch { expected: 4, got: 5 })));
    drop(ingest);
    assert!(store.walk().unwrap().is_empty());
    assert_eq!(ingests(&store), 0);
}

#[test]
fn a_broken_off_ingest_is_resumed_by_its_digest() {
    let (_dir, store) = store();
    let digest = sha256(b"hello world");
    let mut ingest = store.ingest(Some(&digest), Some(11)).unwrap();
    ingest.append(b"hello").unwrap();
    assert!(matches!(store.ingest(Some(&digest), None), Err(Error::Busy(_))));
    assert!(matches!(ingest.commit(), Err(Error::SizeMismatch { expected: 11, got: 5 })));
    let mut ingest = store.ingest(Some(&digest), Some(11)).unwrap();
    assert_eq!(ingest.offset(), 5);
    ingest.append(b" world").unwrap();
    assert_eq!(ingest.commit().unwrap().digest, digest);
    let mut ingest = store.ingest(Some(&digest), Some(11)).unwrap();
    ingest.append(b"abc").unwrap();
    ingest.restart().unwrap();
    ingest.append(b"hello world").unwrap();
    assert_eq!(ingest.commit().unwrap().size, 11);
}

#[test]
fn sweeping_keeps_what_is_written_now_or_can_be_resumed() {
    let (_dir, store) = store();
    let digest = sha256(b"hello");
    store.ingest(Some(&digest), None).unwrap().append(b"he").unwrap();
    fs::write(store.ingests.join("tmp-left-by-a-crash"), b"123").unwrap();
    let live = store.ingest(None, None).unwrap();
    assert_eq!(store.sweep_ingests(SystemTime::UNIX_EPOCH).unwrap(), 3);
    assert_eq!(ingests(&store), 2);
    live.abandon();
    let later = SystemTime::now() + std::time::Duration::from_secs(60);
    assert_eq!(store.sweep_ingests(later).unwrap(), 2);
    assert_eq!(ingests(&store), 0);
}
