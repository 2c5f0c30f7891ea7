//! Sessions: ranges, restarts, ends.

use super::*;
use crate::server::storage::FileStorage;

#[test]
fn ranges_are_read_as_the_specification_writes_them() {
    for (text, want) in [
        ("0-0", Some((0, 0))),
        ("5-9", Some((5, 9))),
        ("bytes 5-9/10", Some((5, 9))),
        ("bytes=5-9", Some((5, 9))),
        ("9-5", None),
        ("-5", None),
        ("5-", None),
        ("+1-2", None),
        ("", None),
        ("0-18446744073709551615", None),
    ] {
        assert_eq!(Chunk::parse(text).map(|chunk| (chunk.start, chunk.end)), want, "{text}");
    }
}

fn body(text: &'static str) -> http_body_util::Full<Bytes> {
    http_body_util::Full::new(Bytes::from_static(text.as_bytes()))
}

#[tokio::test]
async fn a_session_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::open(folder.path()).unwrap());
    let uploads = Uploads::new(storage.clone());
    let session = uploads.begin("a/b", Algorithm::Sha256).await.unwrap();
    assert_eq!(uploads.append(&session, Some(Chunk { start: 0, end: 4 }), body("hello")).await.unwrap(), 5);
    let wrong = uploads.append(&session, Some(Chunk { start: 0, end: 4 }), body("hello")).await.unwrap_err();
    assert_eq!(wrong.status, http::StatusCode::RANGE_NOT_SATISFIABLE);

    let uploads = Uploads::new(storage);
    assert!(uploads.find("other", &session.id).await.is_err());
    let session = uploads.find("a/b", &session.id).await.unwrap();
    assert_eq!(uploads.length(&session).await.unwrap(), 5);
    assert_eq!(uploads.append(&session, None, body(" world")).await.unwrap(), 11);
    let whole = Digest::of(Algorithm::Sha512, b"hello world");
    let file = uploads.verify(&session, &whole).await.unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"hello world");
    uploads.finish(&session).await.unwrap();
    assert!(uploads.find("a/b", &session.id).await.is_err());
}

#[tokio::test]
async fn abandoned_sessions_expire_and_those_in_use_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::open(folder.path()).unwrap());
    let uploads = Uploads::new(storage.clone());
    let used = uploads.begin("a", Algorithm::Sha256).await.unwrap();
    let left = uploads.begin("a/b", Algorithm::Sha256).await.unwrap();
    uploads.append(&left, None, body("12345")).await.unwrap();
    let left = left.id.clone();
    assert_eq!(uploads.expire(Duration::ZERO, true).await.unwrap(), (0, 0));
    // After a restart, one goes on with one of them.
    let uploads = Uploads::new(storage.clone());
    let used = uploads.find("a", &used.id).await.unwrap();
    assert_eq!(uploads.expire(Duration::ZERO, true).await.unwrap(), (0, 0), "the other is young");
    let data = storage.upload_folder("a/b").join(&left).join("data");
    let old = std::time::SystemTime::now() - 2 * IN_USE;
    fs::File::options().write(true).open(data).unwrap().set_modified(old).unwrap();
    assert_eq!(uploads.expire(Duration::ZERO, true).await.unwrap(), (1, 5));
    assert_eq!(uploads.expire(Duration::ZERO, false).await.unwrap(), (1, 5));
    assert!(uploads.find("a/b", &left).await.is_err());
    assert_eq!(uploads.length(&used).await.unwrap(), 0);
}
