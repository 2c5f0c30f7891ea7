//! Pull-through: one registry of ours in front of another.

use std::time::Duration;

use registry::server::{Config, UpstreamOptions};
use reqwest::StatusCode;

use crate::bed::{Bed, OCI_MANIFEST, code, sha256};

fn in_front_of(config: &mut Config, bed: &Bed, fresh: Duration) {
    config.upstreams = vec![UpstreamOptions {
        prefix: "mirror".to_owned(),
        url: format!("http://{}", bed.address),
        username: String::new(),
        password: String::new(),
        fresh,
        ttl: None,
    }];
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn copies_go_when_their_time_is_over_and_come_back_when_asked_for() {
    let upstream = Bed::new().await;
    let (manifest, _) = upstream.push_image("team/app", "1", b"layer").await;
    let bed = Bed::with(|config| {
        in_front_of(config, &upstream, Duration::ZERO);
        config.upstreams[0].ttl = Some(Duration::from_secs(3600));
        config.collection.grace = Duration::ZERO;
    })
    .await;
    bed.push_image("own/app", "1", b"ours").await;
    let path = "/v2/mirror/team/app/manifests/1";
    let blob = format!("/v2/mirror/team/app/blobs/{}", sha256(b"layer"));
    let fetch = async || {
        assert_eq!(bed.get(path).await.text().await.unwrap(), manifest.to_string());
        assert_eq!(bed.get(&blob).await.text().await.unwrap(), "layer");
    };
    fetch().await;
    let collect = async || {
        let request = registry::server::AdminRequest::Collect { dry_run: false, now: true };
        let told = registry::server::ask(bed.root(), &request).await.unwrap().unwrap();
        serde_json::from_value::<registry::server::Report>(told).unwrap()
    };
    assert!(collect().await.manifests.is_empty(), "it is young");
    // Two hours pass for every link of both repositories.
    let then = std::time::SystemTime::now() - Duration::from_secs(7200);
    let mut folders = vec![bed.root().join("docker/registry/v2/repositories")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => std::fs::File::open(entry.path()).unwrap().set_modified(then).unwrap(),
            }
        }
    }
    let report = collect().await;
    assert!(report.manifests.iter().all(|gone| gone.starts_with("mirror/team/app@")), "{report:?}");
    // Its config is that of our own image, too.
    assert_eq!((report.manifests.len(), report.blobs), (1, 2), "{report:?}");
    assert_eq!(bed.get("/v2/own/app/manifests/1").await.status(), StatusCode::OK);
    fetch().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_an_upstream_has_is_fetched_once_and_kept() {
    let upstream = Bed::with(|config| config.open_metrics = true).await;
    let layer: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 253) as u8).collect();
    let (manifest, digest) = upstream.push_image("team/app", "1", &layer).await;
    let bed = Bed::with(|config| in_front_of(config, &upstream, Duration::ZERO)).await;
    let tag = bed.request("GET", "/v2/mirror/team/app/manifests/1").header("accept", OCI_MANIFEST);
    assert_eq!(tag.send().await.unwrap().text().await.unwrap(), manifest.to_string());
    let path = format!("/v2/mirror/team/app/blobs/{}", sha256(&layer));
    assert_eq!(bed.head(&path).await.headers()["content-length"], "5000000");
    let many = (0..8).map(|_| bed.get(&path));
    for answer in futures_util::future::join_all(many).await {
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.bytes().await.unwrap() == layer);
    }
    let metrics = upstream.get("/metrics").await.text().await.unwrap();
    let fetched = metrics.lines().find(|line| line.contains("handler=\"blob\",method=\"GET\",code=\"200\""));
    // Once for the question of its length, once for its bytes.
    assert!(fetched.is_some_and(|line| line.ends_with(" 1") || line.ends_with(" 2")), "{metrics}");

    // A tag that moves is seen; an upstream that is gone is not missed.
    let (moved, _) = upstream.push_image("team/app", "1", b"new").await;
    let path = "/v2/mirror/team/app/manifests/1";
    assert_eq!(bed.get(path).await.text().await.unwrap(), moved.to_string());
    let (refused, unknown) = (bed.begin("own/app").await, bed.get("/v2/mirror/none/manifests/1").await);
    assert!(refused.contains("/v2/own/app/"));
    assert_eq!((unknown.status().as_u16(), code(unknown).await), (404, "MANIFEST_UNKNOWN".to_owned()));
    drop(upstream);
    assert_eq!(bed.get(path).await.text().await.unwrap(), moved.to_string());
    assert_eq!(bed.get(&format!("/v2/mirror/team/app/manifests/{digest}")).await.status(), StatusCode::OK);
    let lost = bed.get("/v2/mirror/team/other/manifests/1").await;
    assert_eq!(lost.status(), StatusCode::BAD_GATEWAY);
    let push = bed.request("POST", "/v2/mirror/team/app/blobs/uploads/").send().await.unwrap();
    assert_eq!((push.status().as_u16(), code(push).await), (405, "UNSUPPORTED".to_owned()));
}
