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
    }];
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
