//! Collection beside pushes and pulls.

use std::time::Duration;

use registry::server::{AdminRequest, Config, Report, RetentionOptions, ask, collect_garbage};
use reqwest::StatusCode;

use crate::bed::{Bed, sha256};

async fn collect(bed: &Bed, dry_run: bool, now: bool) -> Report {
    let answer =
        ask(bed.root(), &AdminRequest::Collect { dry_run, now }).await.expect("the registry is asked");
    serde_json::from_value(answer.expect("it collects")).expect("a report")
}

#[tokio::test]
async fn what_nobody_names_goes_and_nothing_else() {
    let bed = Bed::new().await;
    bed.push_image("a", "1", b"kept").await;
    let (_, gone) = bed.push_image("a", "2", b"removed").await;
    bed.push_blob("a", b"stray".to_vec()).await;
    bed.delete(&format!("/v2/a/manifests/{gone}")).await;
    let upload = bed.begin("a").await;

    // Within the grace time nothing goes.
    assert_eq!(collect(&bed, false, false).await.blobs, 0);
    let told = collect(&bed, true, true).await;
    assert_eq!((told.blobs, told.live_blobs, told.dry_run), (3, 3, true));
    assert_eq!(bed.get(&format!("/v2/a/blobs/{}", sha256(b"removed"))).await.status(), StatusCode::OK);
    let done = collect(&bed, false, true).await;
    assert_eq!((done.blobs, done.bytes, done.uploads), (3, told.bytes, 0));
    for (bytes, want) in [(&b"kept"[..], 200), (b"removed", 404), (b"stray", 404)] {
        let status = bed.get(&format!("/v2/a/blobs/{}", sha256(bytes))).await.status();
        assert_eq!(status.as_u16(), want);
    }
    assert_eq!(bed.get("/v2/a/manifests/1").await.status(), StatusCode::OK);
    // Somebody may still go on with it.
    assert_eq!(bed.get(&upload).await.status(), StatusCode::NO_CONTENT);
    // What is gone can come back.
    bed.push_image("a", "2", b"removed").await;
    let config = Config { root: bed.root().to_owned(), ..Config::default() };
    assert_eq!(collect_garbage(config, true, true).await.expect("it asks the registry").live_blobs, 5);
}

#[tokio::test]
async fn rules_say_which_tags_stay_and_what_they_leave_goes() {
    let rule = RetentionOptions {
        repositories: "ci/**".to_owned(),
        tags: "pr-*".to_owned(),
        keep_last: Some(1),
        keep_within: None,
    };
    let bed = Bed::with(|config| {
        config.retention = vec![rule];
        config.collection.untagged = true;
    })
    .await;
    bed.push_image("ci/app", "pr-1", b"one").await;
    bed.push_image("ci/app", "latest", b"other").await;
    // Files have to differ in age for one to be the newest.
    tokio::time::sleep(Duration::from_millis(50)).await;
    bed.push_image("ci/app", "pr-2", b"two").await;
    bed.push_image("elsewhere", "pr-1", b"three").await;
    let report = collect(&bed, false, true).await;
    assert_eq!((report.tags, report.manifests.len(), report.blobs), (vec!["ci/app:pr-1".to_owned()], 1, 2));
    for (path, want) in [
        ("ci/app/manifests/pr-1", 404),
        ("ci/app/manifests/pr-2", 200),
        ("ci/app/manifests/latest", 200),
        ("elsewhere/manifests/pr-1", 200),
    ] {
        assert_eq!(bed.get(&format!("/v2/{path}")).await.status().as_u16(), want, "{path}");
    }
}

/// Two who push, one who deletes, one who pulls, while everything is collected without any grace time: what was
/// acknowledged stays whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pushes_and_pulls_go_on_while_everything_is_collected() {
    let bed = Bed::new().await;
    let collecting = async {
        for _ in 0..25 {
            collect(&bed, false, true).await;
        }
    };
    let pushing = async |who: u32| {
        for round in 0..25_u32 {
            let layer = format!("{who} {round}").into_bytes();
            // A blob may go between its upload and its manifest: then the manifest is refused, and pushed again.
            let tag = format!("{who}");
            let manifest = loop {
                let config = bed.push_blob("a", b"{}".to_vec()).await;
                let digest = bed.push_blob("a", layer.clone()).await;
                let manifest = serde_json::json!({ "schemaVersion": 2, "config": { "digest": config, "size": 2 },
                    "layers": [{ "digest": digest, "size": layer.len() }] });
                let answer = bed.put_manifest("a", &tag, &manifest).await;
                if answer.status() == StatusCode::CREATED {
                    break manifest;
                }
                assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
            };
            let pulled = bed.get(&format!("/v2/a/manifests/{tag}")).await;
            assert_eq!(pulled.status(), StatusCode::OK);
            assert_eq!(pulled.text().await.unwrap(), manifest.to_string());
            let blob = bed.get(&format!("/v2/a/blobs/{}", sha256(&layer))).await;
            assert_eq!((blob.status(), blob.bytes().await.unwrap().to_vec()), (StatusCode::OK, layer));
        }
    };
    tokio::join!(collecting, pushing(1), pushing(2));
}
