//! A whole registry whose storage is a bucket.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use registry::server::{AdminRequest, Config, ObjectOptions, StorageOptions, ask};
use reqwest::StatusCode;

use crate::bed::{Bed, Json, sha256};

/// `moto_server`, which speaks S3; `scripts/needs.sh test` installs it.
fn program() -> Option<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let installed = repository.join("target/tools/python/bin/moto_server");
    let given = std::env::var_os("MOTO_SERVER").map(PathBuf::from);
    given.or(Some(installed)).filter(|path| path.exists())
}

/// Ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_in_a_bucket_come_and_go_and_outlive_the_server() {
    let Some(program) = program() else {
        eprintln!("skipped: there is no moto_server (scripts/needs.sh test installs it)");
        return;
    };
    // Nobody listens there any more when the server begins to; a port of the kernel's choice it does not tell.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(program);
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    let _server = Killed(command.spawn().unwrap());
    let endpoint = format!("http://127.0.0.1:{port}");
    let use_bucket = |config: &mut Config| {
        config.storage = StorageOptions::Bucket(ObjectOptions {
            bucket: "bucket".to_owned(),
            endpoint: Some(endpoint.clone()),
            access_key: Some("key".to_owned()),
            secret_key: Some("secret".to_owned()),
            ..ObjectOptions::default()
        });
    };
    let _present = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    while client.put(format!("{endpoint}/bucket")).send().await.is_err() {
        assert!(Instant::now() < deadline, "the server for buckets does not answer");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let first = tempfile::tempdir().unwrap();
    let layer: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    let (manifest, _) = {
        let bed = Bed::on(first.path(), use_bucket).await;
        // In parts, as clients with much to send do it.
        let place = bed.begin("team/app").await;
        let sent = bed.request("PATCH", &place).body(layer[..100_000].to_vec()).send().await.unwrap();
        let place = crate::bed::header(&sent, "location");
        let whole = format!("{place}?digest={}", sha256(&layer));
        let sent = bed.request("PUT", &whole).body(layer[100_000..].to_vec()).send().await.unwrap();
        assert_eq!(sent.status(), StatusCode::CREATED);
        bed.push_image("team/app", "2", b"removed").await;
        bed.push_image("team/app", "1", &layer).await
    };
    // Another server with nothing of its own: all is in the bucket.
    let second = tempfile::tempdir().unwrap();
    let bed = Bed::on(second.path(), use_bucket).await;
    assert_eq!(bed.get("/v2/team/app/manifests/1").await.text().await.unwrap(), manifest.to_string());
    let path = format!("/v2/team/app/blobs/{}", sha256(&layer));
    assert!(bed.get(&path).await.bytes().await.unwrap() == layer);
    let part = bed.request("GET", &path).header("range", "bytes=1000-1999").send().await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert!(part.bytes().await.unwrap() == layer[1000..2000]);
    let tags = bed.get("/v2/team/app/tags/list").await.json().await.unwrap();
    assert_eq!(tags["tags"], serde_json::json!(["1", "2"]));
    assert_eq!(bed.delete("/v2/team/app/manifests/2").await.status(), StatusCode::ACCEPTED);
    // The manifest stays until it is removed itself, and with it its blobs.
    let digest = crate::bed::header(&bed.head("/v2/team/app/manifests/1").await, "docker-content-digest");
    assert_eq!(bed.delete(&format!("/v2/team/app/manifests/{digest}")).await.status(), StatusCode::ACCEPTED);
    let request = AdminRequest::Collect { dry_run: false, now: true };
    let report = ask(second.path(), &request).await.unwrap().unwrap();
    assert_eq!(bed.get(&path).await.status(), StatusCode::NOT_FOUND, "{report}");
    assert_eq!(bed.get("/v2/team/app/manifests/1").await.status(), StatusCode::NOT_FOUND);
}
