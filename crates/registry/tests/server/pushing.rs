//! Our client pushes to our server over connections that break.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use registry::{Client, Credentials, Growth, Options, Pushed, Pusher, UploadStep};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use types::Descriptor;

use crate::bed::Bed;

const SIZE: usize = 1 << 20;

/// Passes connections on, and breaks the first `broken` of them after `limit` bytes from the client. Tells how many came.
async fn breaking(server: SocketAddr, broken: usize, limit: u64) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let number = counter.fetch_add(1, Ordering::SeqCst);
            let limit = if number < broken { limit } else { u64::MAX };
            tokio::spawn(async move {
                let server = TcpStream::connect(server).await.unwrap();
                let (from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let mut limited = from_client.take(limit);
                tokio::select! {
                    _ = copy(&mut limited, &mut to_server) => {}
                    _ = copy(&mut from_server, &mut to_client) => {}
                }
                let _ended = to_server.shutdown().await;
            });
        }
    });
    (address, count)
}

/// A blob that is not all alike, in a file.
fn blob() -> (tempfile::NamedTempFile, Descriptor) {
    let bytes: Vec<u8> = (0..SIZE as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let digest = store::sha256(&bytes);
    let json = serde_json::json!({ "mediaType": "x", "digest": digest, "size": SIZE });
    (file, serde_json::from_value(json).unwrap())
}

async fn pusher(address: SocketAddr, attempts: u32) -> Result<Pusher, registry::Error> {
    let options =
        Options { backoff: Duration::from_millis(5), certs_dir: None, attempts, ..Options::default() };
    let reference = format!("{address}/a").parse().unwrap();
    Client::new(options).repository(&reference, Credentials::default()).pusher().await
}

async fn push(
    address: SocketAddr,
    attempts: u32,
    step: impl Fn(UploadStep) + Send + Sync + 'static,
) -> Result<Pushed, registry::Error> {
    let pusher = pusher(address, attempts).await?;
    let (file, descriptor) = blob();
    pusher.blob(&descriptor, None, || std::fs::File::open(file.path()), step).await
}

async fn is_there(bed: &Bed) -> bool {
    let (_file, descriptor) = blob();
    let answer = bed.get(&format!("/v2/a/blobs/{}", descriptor.digest)).await;
    answer.bytes().await.unwrap().len() == SIZE
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_goes_on_where_each_connection_broke() {
    let bed = Bed::new().await;
    // No connection takes more than a fifth of the blob: only who goes on can bring it there.
    let (address, connections) = breaking(bed.address, usize::MAX, SIZE as u64 / 5).await;
    let retries = Arc::new(AtomicUsize::new(0));
    let counter = retries.clone();
    let step = move |step| {
        if matches!(step, UploadStep::Retrying(1..)) {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    };
    assert_eq!(push(address, 20, step).await.unwrap(), Pushed::Uploaded);
    assert!(is_there(&bed).await);
    assert!(connections.load(Ordering::SeqCst) > 5 && retries.load(Ordering::SeqCst) > 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_whose_session_is_gone_begins_again() {
    let bed = Bed::new().await;
    let uploads = bed.root().join("docker/registry/v2/repositories/a/_uploads");
    let (address, _) = breaking(bed.address, 3, SIZE as u64 / 2).await;
    let step = move |step| {
        if matches!(step, UploadStep::Retrying(_)) {
            // It may be in use at this moment, or not there: then there is nothing to lose.
            let _gone = std::fs::remove_dir_all(&uploads);
        }
    };
    assert_eq!(push(address, 20, step).await.unwrap(), Pushed::Uploaded);
    assert!(is_there(&bed).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_never_gets_on_ends_with_the_error() {
    let bed = Bed::new().await;
    let (address, _) = breaking(bed.address, usize::MAX, 20).await;
    let error = push(address, 3, |_| ()).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_survives_a_connection_that_breaks_at_any_byte() {
    let bed = Bed::new().await;
    for limit in (0..700).step_by(53) {
        // The blob is new each time, or it would be there already.
        let (file, mut descriptor) = blob();
        let bytes =
            [&limit.to_string().into_bytes()[..], &std::fs::read(file.path()).unwrap()[..2000]].concat();
        std::fs::write(file.path(), &bytes).unwrap();
        (descriptor.digest, descriptor.size) = (store::sha256(&bytes), bytes.len() as u64);
        let (address, _) = breaking(bed.address, 3, limit).await;
        let pusher = match pusher(address, 10).await {
            Ok(pusher) => pusher,
            // The first question of all is asked once only.
            Err(error) => {
                assert!(error.is_transient(), "{limit}: {error}");
                self::pusher(address, 10).await.unwrap_or_else(|error| panic!("{limit}: {error}"))
            }
        };
        let pushed = pusher.blob(&descriptor, None, || std::fs::File::open(file.path()), |_| ()).await;
        assert_eq!(pushed.unwrap_or_else(|error| panic!("{limit}: {error}")), Pushed::Uploaded);
        let there = bed.get(&format!("/v2/a/blobs/{}", descriptor.digest)).await.bytes().await.unwrap();
        assert!(there == bytes, "{limit}");
    }
}

/// Sends the blob while it is written, a quarter at a time.
async fn push_growing(address: SocketAddr, attempts: u32) -> Result<Pushed, registry::Error> {
    let pusher = pusher(address, attempts).await?;
    let (file, descriptor) = blob();
    let bytes = std::fs::read(file.path()).unwrap();
    let growing = tempfile::NamedTempFile::new().unwrap();
    let (tell, growth) = watch::channel(Growth::default());
    let mut out = growing.reopen().unwrap();
    let write = async move {
        for (at, part) in bytes.chunks(SIZE / 4).enumerate() {
            out.write_all(part).unwrap();
            let _nobody = tell.send(Growth { length: ((at + 1) * SIZE / 4) as u64, whole: None });
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _nobody = tell.send(Growth { length: SIZE as u64, whole: Some(descriptor) });
    };
    let send = pusher.growing(growth, || std::fs::File::open(growing.path()), |_| ());
    tokio::join!(send, write).0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_is_sent_while_it_grows_over_any_connection() {
    for (broken, limit) in [(0, 0), (3, 100), (usize::MAX, SIZE as u64 / 5), (2, SIZE as u64 - 1)] {
        let bed = Bed::new().await;
        let (address, _) = breaking(bed.address, broken, limit).await;
        assert_eq!(push_growing(address, 20).await.unwrap(), Pushed::Uploaded, "{broken} {limit}");
        assert!(is_there(&bed).await, "{broken} {limit}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_is_given_up_while_it_grows_ends_the_push() {
    let bed = Bed::new().await;
    let pusher = pusher(bed.address, 3).await.unwrap();
    let (file, _) = blob();
    let (tell, growth) = watch::channel(Growth { length: 10, whole: None });
    let send = pusher.growing(growth, || std::fs::File::open(file.path()), |_| ());
    let give_up = async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(tell);
    };
    let error = tokio::join!(send, give_up).0.unwrap_err();
    assert!(error.to_string().contains("given up"), "{error}");
    assert!(!is_there(&bed).await);
}
