//! What every storage does; a folder always, a bucket where a server for one runs.

use std::path::Path;

use super::*;

async fn whole(storage: &dyn Storage, key: &str, start: u64, length: u64) -> Vec<u8> {
    match storage.open(key, start, length).await.unwrap() {
        Source::File(file) => {
            let mut bytes = vec![0; usize::try_from(length).unwrap()];
            std::os::unix::fs::FileExt::read_exact_at(&*file, &mut bytes, start).unwrap();
            bytes
        }
        Source::Stream(stream) => {
            use futures_util::TryStreamExt;
            stream.map_ok(|bytes| bytes.to_vec()).try_concat().await.unwrap()
        }
    }
}

/// The suite.
pub(crate) async fn behaves(storage: &dyn Storage, scratch: &Path) {
    assert!(storage.check().await.is_ok());
    assert!(storage.read("a/none", 10).await.unwrap_err().is_absent());
    assert!(storage.meta("a/none").await.unwrap_err().is_absent());
    assert!(storage.list("a").await.unwrap().is_empty());
    storage.remove("a/none").await.unwrap();

    storage.write("a/b/link", Bytes::from_static(b"one")).await.unwrap();
    storage.write("a/b/link", Bytes::from_static(b"two")).await.unwrap();
    assert_eq!(storage.read("a/b/link", 3).await.unwrap(), "two");
    assert!(matches!(storage.read("a/b/link", 2).await, Err(StorageError::TooLarge(..))));
    assert_eq!(storage.meta("a/b/link").await.unwrap().size, 3);
    assert_eq!(storage.list("a").await.unwrap(), [Entry { name: "b".into(), is_folder: true }]);
    assert_eq!(storage.list("a/b").await.unwrap(), [Entry { name: "link".into(), is_folder: false }]);

    let large = vec![7_u8; 20 << 20];
    let file = scratch.join("upload");
    std::fs::write(&file, &large).unwrap();
    storage.adopt(&file, "blobs/x/data").await.unwrap();
    assert!(!file.exists());
    assert_eq!(storage.meta("blobs/x/data").await.unwrap().size, large.len() as u64);
    assert!(whole(storage, "blobs/x/data", 0, large.len() as u64).await == large);
    assert_eq!(whole(storage, "blobs/x/data", 5, 3).await, [7, 7, 7]);
    std::fs::write(&file, b"").unwrap();
    storage.adopt(&file, "blobs/empty/data").await.unwrap();
    assert!(whole(storage, "blobs/empty/data", 0, 0).await.is_empty());

    storage.write("a/b/c/link", Bytes::from_static(b"x")).await.unwrap();
    storage.remove("a/b").await.unwrap();
    assert!(storage.read("a/b/link", 3).await.unwrap_err().is_absent());
    assert!(storage.read("a/b/c/link", 3).await.unwrap_err().is_absent());
    assert!(storage.list("a").await.unwrap().is_empty());
    assert!(storage.meta("blobs/x/data").await.is_ok());
}

#[tokio::test]
async fn a_folder_behaves() {
    let folder = tempfile::tempdir().unwrap();
    let storage = FileStorage::open(&folder.path().join("root")).unwrap();
    behaves(&storage, folder.path()).await;
}

#[tokio::test]
async fn what_a_crash_left_is_gone_after_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let storage = FileStorage::open(folder.path()).unwrap();
    storage.write("a/link", Bytes::from_static(b"kept")).await.unwrap();
    std::fs::write(folder.path().join("wharf/tmp/99"), b"half").unwrap();
    let storage = FileStorage::open(folder.path()).unwrap();
    assert!(!folder.path().join("wharf/tmp/99").exists());
    assert_eq!(storage.read("a/link", 9).await.unwrap(), "kept");
}

#[tokio::test]
async fn many_who_write_and_remove_one_folder_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let storage = std::sync::Arc::new(FileStorage::open(folder.path()).unwrap());
    let tasks = (0..8).map(|number| {
        let storage = storage.clone();
        tokio::spawn(async move {
            for _ in 0..20 {
                storage.write("shared/one/link", Bytes::from(vec![number; 64])).await.unwrap();
                if number == 0 {
                    storage.remove("shared/one").await.unwrap();
                }
                match storage.read("shared/one/link", 64).await {
                    Ok(bytes) => assert!(bytes.len() == 64 && bytes.iter().all(|byte| *byte == bytes[0])),
                    Err(error) => assert!(error.is_absent(), "{error}"),
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// `moto_server`, which speaks S3; `scripts/needs.sh test` installs it.
fn bucket_server() -> Option<std::path::PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let installed = repository.join("target/tools/python/bin/moto_server");
    let given = std::env::var_os("MOTO_SERVER").map(std::path::PathBuf::from);
    given.or(Some(installed)).filter(|path| path.exists())
}

/// Ends with the test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[tokio::test]
async fn a_bucket_behaves() {
    let Some(program) = bucket_server() else {
        eprintln!("skipped: there is no moto_server (scripts/needs.sh test installs it)");
        return;
    };
    let _present = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // Nobody listens there any more when the server begins to; a port of the kernel's choice it does not tell.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = std::process::Command::new(program);
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    let silent = std::process::Stdio::null;
    let _server = Killed(command.stdout(silent()).stderr(silent()).spawn().unwrap());
    let endpoint = format!("http://127.0.0.1:{port}");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let client = reqwest::Client::new();
    while client.put(format!("{endpoint}/bucket")).send().await.is_err() {
        assert!(std::time::Instant::now() < deadline, "the server for buckets does not answer");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let options = ObjectOptions {
        bucket: "bucket".to_owned(),
        endpoint: Some(endpoint),
        access_key: Some("key".to_owned()),
        secret_key: Some("secret".to_owned()),
        root_directory: "/some/where".to_owned(),
        ..ObjectOptions::default()
    };
    let storage = ObjectStorage::open(&options, &folder.path().join("spool")).unwrap();
    behaves(&storage, folder.path()).await;
}
