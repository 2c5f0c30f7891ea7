//! The client against a registry that answers, refuses, lies, stalls and breaks.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod fixture;

use std::sync::Arc;
use std::time::Duration;

use fixture::{FakeRegistry, Fault, Guard};
use registry::{Client, Credentials, DownloadStep, Options, Repository, Target};
use store::Store;
use types::image::media_type;
use types::{Descriptor, Digest};

const MANIFEST: &[u8] = br#"{"schemaVersion":2}"#;

fn client() -> Client {
    Client::new(Options { backoff: Duration::from_millis(1), certs_dir: None, ..Options::default() })
}

fn user(username: &str, password: &str) -> Credentials {
    Credentials { username: username.to_owned(), password: password.to_owned(), ..Credentials::default() }
}

fn repository(registry: &FakeRegistry, credentials: Credentials) -> Repository {
    client().repository(&registry.reference("a/b"), credentials)
}

/// A registry with a manifest `1`.
fn registry() -> (FakeRegistry, Digest) {
    let registry = FakeRegistry::start();
    let digest = registry.put_manifest("a/b", "1", media_type::OCI_MANIFEST, MANIFEST);
    (registry, digest)
}

async fn tag(repository: &Repository) -> Result<Digest, registry::Error> {
    repository.manifest(&Target::Tag("1".to_owned())).await.map(|fetched| fetched.digest)
}

/// A blob of a registry, and a store to fetch it into.
struct Blob {
    registry: FakeRegistry,
    bytes: Vec<u8>,
    descriptor: Descriptor,
    store: Arc<Store>,
    _dir: tempfile::TempDir,
}

impl Blob {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = FakeRegistry::start();
        let bytes: Vec<u8> = (0..300_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
        let digest = registry.put_blob("a/b", &bytes);
        let descriptor = Descriptor::new(media_type::OCI_LAYER, digest, bytes.len() as u64);
        let options = store::Options { snapshotter: Some("copy".to_owned()) };
        let store = Arc::new(Store::open_with(dir.path(), &options).unwrap());
        Self { registry, bytes, descriptor, store, _dir: dir }
    }

    async fn fetch(&self) -> Result<(), String> {
        let repository = repository(&self.registry, Credentials::default());
        repository.fetch_blob(&self.store, &self.descriptor, |_| ()).await.map_err(|error| error.to_string())
    }

    fn is_whole(&self) -> bool {
        let kept = self.store.content().read(&self.descriptor.digest, 1 << 20);
        kept.is_ok_and(|kept| kept == self.bytes)
    }

    fn is_nothing_kept(&self) -> bool {
        let ingest = self.store.content().ingest(Some(&self.descriptor.digest), None).unwrap();
        !self.store.content().contains(&self.descriptor.digest).unwrap() && ingest.offset() == 0
    }
}

#[tokio::test]
async fn a_manifest_comes_with_the_digest_of_its_bytes() {
    let (registry, digest) = registry();
    let repository = repository(&registry, Credentials::default());
    let fetched = repository.manifest(&Target::Tag("1".to_owned())).await.unwrap();
    assert_eq!((fetched.digest.clone(), &fetched.bytes[..]), (digest.clone(), MANIFEST));
    assert_eq!(fetched.media_type, media_type::OCI_MANIFEST);
    assert_eq!(repository.manifest(&Target::Digest(digest.clone())).await.unwrap().digest, digest);
}

#[tokio::test]
async fn a_manifest_with_other_bytes_than_its_digest_is_refused() {
    let (registry, digest) = registry();
    registry.fault("/manifests/", Fault::Garbage);
    let error = repository(&registry, Credentials::default())
        .manifest(&Target::Digest(digest.clone()))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), format!("manifest verification failed for digest {digest}"));
}

#[tokio::test]
async fn what_is_not_there_is_refused_in_the_registrys_words() {
    let (registry, _) = registry();
    let repository = repository(&registry, Credentials::default());
    let error = repository.manifest(&Target::Tag("nosuch".to_owned())).await.unwrap_err();
    assert_eq!(error.to_string(), "manifest unknown: manifest unknown");
    assert_eq!(registry.count("nosuch"), 1, "a clear answer is not asked for again");
}

#[tokio::test]
async fn a_token_is_fetched_once_and_used_again() {
    let (registry, _) = registry();
    registry.guard(Guard::Token(Some(("me", "secret"))));
    let repository = repository(&registry, user("me", "secret"));
    tag(&repository).await.unwrap();
    tag(&repository).await.unwrap();
    let log = registry.log();
    assert_eq!(
        registry.count("GET /token?service=fake&scope=repository%3Aa%2Fb%3Apull&account=me  Basic"),
        1,
        "{log:?}"
    );
    assert_eq!(registry.count("/manifests/1  Bearer"), 2, "{log:?}");
}

#[tokio::test]
async fn anyone_gets_a_token_for_a_public_repository() {
    let (registry, _) = registry();
    registry.guard(Guard::Token(None));
    tag(&repository(&registry, Credentials::default())).await.unwrap();
}

#[tokio::test]
async fn bad_credentials_are_told() {
    for (guard, words) in [
        (Guard::Token(Some(("me", "secret"))), "unauthorized: incorrect username or password"),
        (Guard::Basic("me:secret"), "unauthorized: authentication required"),
        (Guard::Nobody, "denied: requested access to the resource is denied"),
    ] {
        let (registry, _) = registry();
        registry.guard(guard.clone());
        let error = tag(&repository(&registry, user("me", "wrong"))).await.unwrap_err();
        assert_eq!(error.to_string(), words, "{guard:?}");
    }
}

#[tokio::test]
async fn basic_credentials_are_sent_when_asked_for() {
    let (registry, _) = registry();
    registry.guard(Guard::Basic("me:secret"));
    tag(&repository(&registry, user("me", "secret"))).await.unwrap();
    assert_eq!(registry.log(), ["GET /v2/a/b/manifests/1", "GET /v2/a/b/manifests/1  Basic"]);
}

#[tokio::test]
async fn a_registry_that_is_not_well_is_asked_again_but_not_for_ever() {
    let (registry, _) = registry();
    let busy = || Fault::Status(503, "");
    registry.fault("/manifests/", busy());
    registry.fault("/manifests/", Fault::Status(429, ""));
    tag(&repository(&registry, Credentials::default())).await.unwrap();
    for _ in 0..3 {
        registry.fault("/manifests/", busy());
    }
    let error = tag(&repository(&registry, Credentials::default())).await.unwrap_err();
    assert_eq!(error.to_string(), "received unexpected HTTP status: 503 Service Unavailable");
}

#[tokio::test]
async fn an_oversized_manifest_is_refused_whatever_it_promises() {
    let (registry, _) = registry();
    for promised in [u64::MAX / 2, 100 << 20] {
        registry.fault("/manifests/", Fault::Endless(promised));
        let error = tag(&repository(&registry, Credentials::default())).await.unwrap_err();
        assert_eq!(error.to_string(), "manifest 1 is larger than 4194304 bytes");
    }
}

#[tokio::test]
async fn nobody_at_home_is_told_in_dockers_words() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let reference = format!("127.0.0.1:{port}/a/b").parse().unwrap();
    let error = tag(&client().repository(&reference, Credentials::default())).await.unwrap_err();
    let host = format!("127.0.0.1:{port}");
    let words = format!(r#"Get "http://{host}/v2/": dial tcp {host}: connect: connection refused"#);
    assert_eq!(error.to_string(), words);
}

#[tokio::test]
async fn a_mirror_that_fails_is_passed_over() {
    let (registry, _) = registry();
    let broken = FakeRegistry::start();
    let hub = FakeRegistry::start();
    hub.put_manifest("library/x", "1", media_type::OCI_MANIFEST, MANIFEST);
    let options = Options {
        mirrors: vec![format!("http://{}", broken.host()), format!("http://{}", hub.host())],
        backoff: Duration::from_millis(1),
        ..Options::default()
    };
    let client = Client::new(options);
    let repository = client.repository(&"x:1".parse().unwrap(), Credentials::default());
    tag(&repository).await.unwrap();
    tag(&repository).await.unwrap();
    assert_eq!(broken.log().len(), 1, "the one that answered is asked first next time");
    drop(registry);
}

#[tokio::test]
async fn tags_are_listed_over_pages() {
    let registry = FakeRegistry::start();
    registry.put("/v2/a/b/tags/list", "application/json", br#"{"name":"a/b","tags":["1","2"]}"#);
    assert_eq!(repository(&registry, Credentials::default()).tags().await.unwrap(), ["1", "2"]);
}

#[tokio::test]
async fn a_blob_is_fetched_whole_and_only_once() {
    let blob = Blob::new();
    blob.fetch().await.unwrap();
    assert!(blob.is_whole());
    blob.fetch().await.unwrap();
    assert_eq!(blob.registry.count("/blobs/"), 1);
}

#[tokio::test]
async fn a_broken_connection_is_resumed_where_it_broke() {
    let blob = Blob::new();
    for at in [0, 1, 100_000] {
        blob.registry.fault("/blobs/", Fault::Cut(at));
    }
    blob.fetch().await.unwrap();
    assert!(blob.is_whole());
    let log = blob.registry.log();
    assert!(log.last().unwrap().ends_with("bytes=100001-"), "{log:?}");
}

#[tokio::test]
async fn every_first_byte_counts_but_no_byte_at_all_gives_up() {
    let blob = Blob::new();
    for _ in 0..20 {
        blob.registry.fault("/blobs/", Fault::Cut(10));
    }
    blob.fetch().await.unwrap();
    assert!(blob.is_whole());
    let blob = Blob::new();
    for _ in 0..5 {
        blob.registry.fault("/blobs/", Fault::Status(500, ""));
    }
    assert_eq!(blob.fetch().await.unwrap_err(), "received unexpected HTTP status: 500 Internal Server Error");
}

#[tokio::test]
async fn a_registry_without_ranges_starts_again() {
    let blob = Blob::new();
    blob.registry.fault("/blobs/", Fault::Cut(5000));
    blob.registry.fault("/blobs/", Fault::IgnoreRange);
    blob.fetch().await.unwrap();
    assert!(blob.is_whole());
}

#[tokio::test]
async fn what_an_earlier_daemon_left_is_used() {
    let blob = Blob::new();
    let mut ingest = blob.store.content().ingest(Some(&blob.descriptor.digest), None).unwrap();
    ingest.append(&blob.bytes[..1234]).unwrap();
    drop(ingest);
    blob.fetch().await.unwrap();
    assert!(blob.is_whole());
    assert!(blob.registry.log()[0].ends_with("bytes=1234-"));
}

#[tokio::test]
async fn what_an_earlier_daemon_left_wrong_is_thrown_away() {
    let blob = Blob::new();
    for left in [vec![0; 1234], vec![0; blob.bytes.len()]] {
        let mut ingest = blob.store.content().ingest(Some(&blob.descriptor.digest), None).unwrap();
        ingest.append(&left).unwrap();
        drop(ingest);
        blob.fetch().await.unwrap();
        assert!(blob.is_whole());
        blob.store.content().remove(&blob.descriptor.digest).unwrap();
    }
}

#[tokio::test]
async fn lies_about_content_and_size_are_refused_and_nothing_is_kept() {
    for (fault, words) in [
        (Fault::Garbage, "filesystem layer verification failed for digest"),
        (Fault::Short(10), "expected 300000 bytes, the registry sent 10"),
        (Fault::Long(1), "expected 300000 bytes, the registry sent 300001"),
    ] {
        let blob = Blob::new();
        blob.registry.fault("/blobs/", fault.clone());
        let error = blob.fetch().await.unwrap_err();
        assert!(error.contains(words), "{fault:?}: {error}");
        assert!(blob.is_nothing_kept(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_followed_without_the_credentials() {
    let blob = Blob::new();
    blob.registry.guard(Guard::Basic("me:secret"));
    let elsewhere = FakeRegistry::start();
    elsewhere.put("/data", "application/octet-stream", &blob.bytes);
    blob.registry.fault("/blobs/", Fault::Redirect(format!("http://{}/data", elsewhere.host())));
    let repository = repository(&blob.registry, user("me", "secret"));
    repository.fetch_blob(&blob.store, &blob.descriptor, |_| ()).await.unwrap();
    assert!(blob.is_whole());
    assert_eq!(elsewhere.log(), ["GET /data"]);
}

#[tokio::test]
async fn a_redirect_loop_ends() {
    let (registry, _) = registry();
    for _ in 0..100 {
        registry.fault("/manifests/", Fault::Redirect("/v2/a/b/manifests/1".to_owned()));
    }
    let error = tag(&repository(&registry, Credentials::default())).await.unwrap_err().to_string();
    assert!(error.contains("stopped after 10 redirects"), "{error}");
}

#[tokio::test]
async fn a_cancelled_download_keeps_what_it_has() {
    let blob = Blob::new();
    let gate = Arc::new(fixture::Gate::default());
    blob.registry.fault("/blobs/", Fault::Stall(gate.clone()));
    let (seen, arrived) = tokio::sync::oneshot::channel();
    let mut seen = Some(seen);
    let repository = repository(&blob.registry, Credentials::default());
    let fetch = repository.fetch_blob(&blob.store, &blob.descriptor, |step| {
        if matches!(step, DownloadStep::Bytes(n) if n > 0) {
            seen.take().map(|seen| seen.send(()));
        }
    });
    tokio::select! {
        done = fetch => panic!("ended though stalled: {done:?}"),
        _ = arrived => {}
    }
    gate.open();
    // The writer thread lets go of the file by itself; until then the store says that it is busy.
    while blob.store.content().ingest(Some(&blob.descriptor.digest), None).is_err() {
        tokio::task::yield_now().await;
    }
    blob.fetch().await.unwrap();
    assert!(blob.is_whole());
    assert!(blob.registry.log().last().unwrap().ends_with("bytes=1-"));
}
