//! What goes wrong: clients that break off, lie, meet; a process that ends; paths that lead elsewhere.

use std::time::Duration;

use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bed::{Bed, header, sha256};

/// Sends bytes as they are and returns what comes back before the end.
async fn raw(bed: &Bed, request: &str) -> String {
    let mut stream = TcpStream::connect(bed.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _until = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn paths_cannot_leave_the_folder() {
    let bed = Bed::new().await;
    std::fs::write(bed.root().join("secret"), "secret").unwrap();
    for path in [
        "/v2/../../../../secret/manifests/x",
        "/v2/%2e%2e/%2e%2e/blobs/uploads/",
        "/v2/a/manifests/..%2f..%2fsecret",
        "/v2/a/blobs/sha256:..%2f..%2fsecret",
        "/v2/a/blobs/uploads/..%2f..%2f..%2fsecret",
        "/v2/a/blobs/uploads/../../secret",
        "/web/../secret",
        "//secret",
        "/v2/a/referrers/sha256:%2e%2e",
    ] {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let answer = raw(&bed, &request).await;
            assert!(answer.starts_with("HTTP/1.1 4"), "{method} {path}: {answer}");
        }
    }
    let bad = raw(&bed, "GET /v2/ HTTP/1.1\r\nHost: x\r\nX: \x01\r\n\r\n").await;
    assert!(bad.starts_with("HTTP/1.1 400"), "{bad}");
}

#[tokio::test]
async fn an_upload_that_breaks_off_goes_on_where_it_was() {
    let bed = Bed::new().await;
    let location = bed.begin("a").await;
    let request = format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhello");
    let mut stream = TcpStream::connect(bed.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    drop(stream);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let state = bed.get(&location).await;
        if header(&state, "range") == "0-4" {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "what came is not there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let path = format!("{location}?digest={}", sha256(b"hello world"));
    let response =
        bed.request("PUT", &path).header("content-range", "5-10").body(" world").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(bed.get(&header(&response, "location")).await.text().await.unwrap(), "hello world");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_who_push_one_tag_or_one_blob_both_succeed_and_one_wins() {
    let bed = Bed::new().await;
    let (one, _) = bed.push_image("a", "one", b"one").await;
    let (two, _) = bed.push_image("a", "two", b"two").await;
    let pushes = (0..20).map(|round| bed.put_manifest("a", "tag", if round % 2 == 0 { &one } else { &two }));
    for answer in futures_util::future::join_all(pushes).await {
        assert_eq!(answer.status(), StatusCode::CREATED);
    }
    let won = bed.get("/v2/a/manifests/tag").await.text().await.unwrap();
    assert!([one.to_string(), two.to_string()].contains(&won));
    let large = vec![9_u8; 3_000_000];
    let digests = futures_util::future::join_all((0..6).map(|_| bed.push_blob("a", large.clone()))).await;
    assert!(bed.get(&format!("/v2/a/blobs/{}", digests[0])).await.bytes().await.unwrap() == large);
    let uploads = bed.root().join("docker/registry/v2/repositories/a/_uploads");
    assert_eq!(std::fs::read_dir(uploads).unwrap().count(), 0);
}

#[tokio::test]
async fn many_answers_on_one_connection_are_not_confused() {
    let bed = Bed::new().await;
    let blobs: Vec<Vec<u8>> = (1..6_u8).map(|fill| vec![fill; 700_000 + usize::from(fill)]).collect();
    let mut request = String::new();
    for (number, blob) in blobs.iter().enumerate() {
        let digest = bed.push_blob("a", blob.clone()).await;
        let end = if number + 1 == blobs.len() { "Connection: close\r\n" } else { "" };
        request.push_str(&format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\n{end}\r\n"));
    }
    // All at once: the second answer waits behind the first.
    let mut stream = TcpStream::connect(bed.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    for blob in blobs {
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert!(answer[head..head + blob.len()] == blob);
        answer.drain(..head + blob.len());
    }
    assert!(answer.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_delete_during_a_pull_does_not_cut_it_short() {
    let bed = Bed::new().await;
    let large = vec![5_u8; 30_000_000];
    let digest = bed.push_blob("a", large.clone()).await;
    let path = format!("/v2/a/blobs/{digest}");
    let mut pulling = bed.get(&path).await;
    let first = pulling.chunk().await.unwrap().unwrap();
    assert_eq!(bed.delete(&path).await.status(), StatusCode::ACCEPTED);
    let collect = registry::server::AdminRequest::Collect { dry_run: false, now: true };
    registry::server::ask(bed.root(), &collect).await.unwrap().unwrap();
    let mut length = first.len();
    while let Some(chunk) = pulling.chunk().await.unwrap() {
        assert!(chunk.iter().all(|byte| *byte == 5));
        length += chunk.len();
    }
    assert_eq!(length, large.len());
    assert_eq!(bed.get(&path).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn one_folder_is_served_once() {
    let bed = Bed::new().await;
    let config = registry::server::Config {
        root: bed.root().to_owned(),
        listen: "127.0.0.1:0".to_owned(),
        ..registry::server::Config::default()
    };
    let error = registry::server::serve(config, |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("is served by another process"), "{error}");
}
