//! What the distribution specification asks of a registry, sentence by sentence: "Pull", "Push", "Content Management".

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::bed::{Bed, DOCKER_MANIFEST, Json, OCI_INDEX, OCI_MANIFEST, code, header, sha256, sha512};

const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[tokio::test]
async fn pull_gives_exactly_what_was_pushed() {
    let bed = Bed::new().await;
    assert_eq!(bed.get("/v2/").await.status(), StatusCode::OK);
    let (manifest, digest) = bed.push_image("a/b", "latest", b"layer").await;
    let text = manifest.to_string();
    for reference in ["latest", &digest] {
        let path = format!("/v2/a/b/manifests/{reference}");
        let response = bed.get(&path).await;
        assert_eq!(
            (response.status(), header(&response, "docker-content-digest")),
            (StatusCode::OK, digest.clone())
        );
        assert_eq!(header(&response, "content-type"), OCI_MANIFEST);
        assert_eq!(response.text().await.unwrap(), text);
        let response = bed.head(&path).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(&response, "content-length"), text.len().to_string());
        assert_eq!(header(&response, "docker-content-digest"), digest);
        let tag = header(&response, "etag");
        let again = bed.request("GET", &path).header("if-none-match", tag).send().await.unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }
    let layer = format!("/v2/a/b/blobs/{}", sha256(b"layer"));
    let response = bed.get(&layer).await;
    assert_eq!(header(&response, "docker-content-digest"), sha256(b"layer"));
    assert_eq!(response.bytes().await.unwrap(), "layer");
    let response = bed.head(&layer).await;
    assert_eq!((response.status(), header(&response, "content-length")), (StatusCode::OK, "5".to_owned()));
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_what_cannot_be_is_refused() {
    let bed = Bed::new().await;
    bed.push_image("a", "latest", b"layer").await;
    for (path, status, want) in [
        (format!("/v2/a/manifests/{EMPTY}"), 404, "MANIFEST_UNKNOWN"),
        ("/v2/a/manifests/none".to_owned(), 404, "MANIFEST_UNKNOWN"),
        ("/v2/none/manifests/latest".to_owned(), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/a/blobs/{EMPTY}"), 404, "BLOB_UNKNOWN"),
        (format!("/v2/none/blobs/{}", sha256(b"layer")), 404, "BLOB_UNKNOWN"),
        ("/v2/a/blobs/sha256:xyz".to_owned(), 400, "DIGEST_INVALID"),
        ("/v2/a/referrers/sha256:xyz".to_owned(), 400, "DIGEST_INVALID"),
        ("/v2/A/tags/list".to_owned(), 400, "NAME_INVALID"),
        ("/v2/none/tags/list".to_owned(), 404, "NAME_UNKNOWN"),
        ("/v2/a/blobs/uploads/00000000-0000-4000-8000-000000000000".to_owned(), 404, "BLOB_UPLOAD_UNKNOWN"),
    ] {
        let response = bed.get(&path).await;
        assert_eq!((response.status().as_u16(), code(response).await), (status, want.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn blobs_can_be_fetched_in_parts() {
    let bed = Bed::new().await;
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let digest = bed.push_blob("a", bytes.clone()).await;
    let path = format!("/v2/a/blobs/{digest}");
    for (range, status, start, end) in [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=1000000-2999999", 206, 1_000_000, 3_000_000),
        ("bytes=2999990-", 206, 2_999_990, 3_000_000),
        ("bytes=-7", 206, 2_999_993, 3_000_000),
        ("bytes=5-3", 200, 0, 3_000_000),
    ] {
        let response = bed.request("GET", &path).header("range", range).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{range}");
        if status == 206 {
            assert_eq!(header(&response, "content-range"), format!("bytes {start}-{}/3000000", end - 1));
        }
        assert!(response.bytes().await.unwrap() == bytes[start..end], "{range}");
    }
    let response = bed.request("GET", &path).header("range", "bytes=3000000-").send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), header(&response, "content-range")),
        (416, "bytes */3000000".to_owned())
    );
    let known =
        bed.request("GET", &path).header("if-none-match", format!("\"{digest}\"")).send().await.unwrap();
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_blob_is_pushed_whole_by_post_and_put_or_by_post_alone() {
    let bed = Bed::new().await;
    for bytes in [&b""[..], b"small", &vec![1; 2_000_000]] {
        let digest = bed.push_blob("two/steps", bytes).await;
        assert_eq!(bed.get(&format!("/v2/two/steps/blobs/{digest}")).await.bytes().await.unwrap(), bytes);
        for digest in [sha256(bytes), sha512(bytes)] {
            let path = format!("/v2/one/step/blobs/uploads/?digest={digest}");
            let response = bed.request("POST", &path).body(bytes.to_vec()).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::CREATED);
            assert_eq!(header(&response, "docker-content-digest"), digest);
            let location = header(&response, "location");
            assert_eq!(bed.get(&location).await.bytes().await.unwrap(), bytes);
        }
    }
    let path = format!("/v2/one/step/blobs/uploads/?digest={EMPTY}");
    let wrong = bed.request("POST", &path).body("not empty").send().await.unwrap();
    assert_eq!((wrong.status().as_u16(), code(wrong).await), (400, "DIGEST_INVALID".to_owned()));
    let location = bed.begin("a").await;
    let wrong = bed.request("PUT", &format!("{location}?digest={EMPTY}")).body("x").send().await.unwrap();
    assert_eq!((wrong.status().as_u16(), code(wrong).await), (400, "DIGEST_INVALID".to_owned()));
    let location = bed.begin("a").await;
    for query in ["", "?digest=", "?digest=md5:d41d8cd98f00b204e9800998ecf8427e"] {
        let wrong = bed.request("PUT", &format!("{location}{query}")).body("x").send().await.unwrap();
        assert_eq!((wrong.status().as_u16(), code(wrong).await), (400, "DIGEST_INVALID".to_owned()));
    }
}

#[tokio::test]
async fn a_blob_is_pushed_in_chunks_in_order() {
    let bed = Bed::new().await;
    let mut location = bed.begin("a").await;
    for (range, bytes, status, after) in [
        ("5-9", "world", 416, "0-0"),
        ("0-4", "hello", 202, "0-4"),
        ("0-4", "hello", 416, "0-4"),
        ("6-10", "world", 416, "0-4"),
        ("5-9", "world", 202, "0-9"),
    ] {
        let request = bed.request("PATCH", &location).header("content-range", range).body(bytes);
        let response = request.send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), header(&response, "range")),
            (status, after.to_owned()),
            "{range}"
        );
        location = header(&response, "location");
        let state = bed.get(&location).await;
        assert_eq!((state.status().as_u16(), header(&state, "range")), (204, after.to_owned()));
        assert!(!header(&state, "location").is_empty());
    }
    let digest = sha256(b"helloworld!");
    let last = format!("{location}?digest={digest}");
    let request = bed.request("PUT", &last).header("content-range", "9-9").body("!");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::RANGE_NOT_SATISFIABLE);
    for (range, status) in [("x", 400), ("10-12", 400)] {
        let request = bed.request("PUT", &last).header("content-range", range).body("!");
        assert_eq!(request.send().await.unwrap().status().as_u16(), status, "{range}");
    }
    let response = bed.request("PUT", &last).header("content-range", "10-10").body("!").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(bed.get(&header(&response, "location")).await.text().await.unwrap(), "helloworld!");
    assert_eq!(bed.get(&location).await.status(), StatusCode::NOT_FOUND);

    // By another algorithm, told beforehand or not, and without ranges.
    for query in ["?digest-algorithm=sha512", ""] {
        let response = bed.request("POST", &format!("/v2/a/blobs/uploads/{query}")).send().await.unwrap();
        let location = header(&response, "location");
        assert_eq!(bed.request("PATCH", &location).body("abc").send().await.unwrap().status().as_u16(), 202);
        let digest = sha512(b"abc");
        let response = bed.request("PUT", &format!("{location}?digest={digest}")).send().await.unwrap();
        assert_eq!((response.status().as_u16(), header(&response, "docker-content-digest")), (201, digest));
    }
    let odd = bed.request("POST", "/v2/a/blobs/uploads/?digest-algorithm=md5").send().await.unwrap();
    assert_eq!(odd.status(), StatusCode::BAD_REQUEST);
    let location = bed.begin("a").await;
    assert_eq!(bed.delete(&location).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(bed.get(&location).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_blob_is_mounted_from_another_repository() {
    let bed = Bed::new().await;
    let digest = bed.push_blob("from", b"shared").await;
    for query in [format!("mount={digest}&from=from"), format!("mount={digest}")] {
        let response = bed.request("POST", &format!("/v2/to/blobs/uploads/?{query}")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED, "{query}");
        assert_eq!(bed.get(&header(&response, "location")).await.text().await.unwrap(), "shared");
    }
    for query in [
        format!("mount={EMPTY}&from=from"),
        format!("mount={digest}&from=none"),
        format!("mount={digest}&from=../x"),
    ] {
        let response = bed.request("POST", &format!("/v2/to2/blobs/uploads/?{query}")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED, "{query}");
        assert!(header(&response, "location").contains("/v2/to2/blobs/uploads/"));
    }
}

#[tokio::test]
async fn manifests_are_checked_before_they_are_taken() {
    let bed = Bed::new().await;
    let (manifest, _) = bed.push_image("a", "1", b"layer").await;
    let mut missing = manifest.clone();
    missing["layers"][0]["digest"] = json!(EMPTY);
    let response = bed.put_manifest("a", "2", &missing).await;
    assert_eq!((response.status().as_u16(), code(response).await), (400, "MANIFEST_BLOB_UNKNOWN".to_owned()));
    // Where the blobs are in another repository they are not in this one.
    let response = bed.put_manifest("b", "1", &manifest).await;
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["errors"].as_array().map(Vec::len), Some(2), "{body}");
    let mut foreign = manifest.clone();
    foreign["layers"][0] = json!({ "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar", "digest": EMPTY, "size": 1 });
    assert_eq!(bed.put_manifest("a", "foreign", &foreign).await.status(), StatusCode::CREATED);
    let mut wrong = manifest.clone();
    wrong["mediaType"] = json!(DOCKER_MANIFEST);
    let request = bed.request("PUT", "/v2/a/manifests/2").header("content-type", OCI_MANIFEST);
    let response = request.body(wrong.to_string()).send().await.unwrap();
    assert_eq!((response.status().as_u16(), code(response).await), (400, "MANIFEST_INVALID".to_owned()));
    assert_eq!(bed.put_manifest("a", "docker", &wrong).await.status(), StatusCode::CREATED);
    assert_eq!(header(&bed.get("/v2/a/manifests/docker").await, "content-type"), DOCKER_MANIFEST);
    let response = bed.put_manifest("a", EMPTY, &manifest).await;
    assert_eq!((response.status().as_u16(), code(response).await), (400, "DIGEST_INVALID".to_owned()));
    let response = bed.put_manifest("a", ".bad", &manifest).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let large = json!({ "schemaVersion": 2, "config": manifest["config"], "layers": [], "annotations": { "x": "y".repeat(4 << 20) } });
    assert_eq!(bed.put_manifest("a", "large", &large).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let fits = json!({ "schemaVersion": 2, "config": manifest["config"], "layers": [], "annotations": { "x": "y".repeat((4 << 20) - 1000) } });
    assert_eq!(bed.put_manifest("a", "fits", &fits).await.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn manifests_have_many_names() {
    let bed = Bed::new().await;
    let (manifest, digest) = bed.push_image("a", "1", b"layer").await;
    let text = manifest.to_string();
    let long = sha512(text.as_bytes());
    let path = format!("{digest}?tag=2&tag=3.0");
    let response = bed.put_manifest("a", &path, &manifest).await;
    let tags: Vec<_> =
        response.headers().get_all("oci-tag").iter().map(|tag| tag.to_str().unwrap().to_owned()).collect();
    assert_eq!((response.status(), tags), (StatusCode::CREATED, vec!["2".to_owned(), "3.0".to_owned()]));
    let response = bed.put_manifest("a", &long, &manifest).await;
    assert_eq!(
        (response.status(), header(&response, "docker-content-digest")),
        (StatusCode::CREATED, long.clone())
    );
    for reference in ["2", "3.0", &long] {
        assert_eq!(bed.get(&format!("/v2/a/manifests/{reference}")).await.text().await.unwrap(), text);
    }
    // A push onto what is no longer there.
    let request = bed.request("PUT", "/v2/a/manifests/2").header("if-match", format!("\"{EMPTY}\""));
    let response = request.header("content-type", OCI_MANIFEST).body(text).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn clients_get_the_kind_that_they_accept() {
    let bed = Bed::new().await;
    let (_, image) = bed.push_image("a", "image", b"layer").await;
    let entry = |digest: &str| json!({ "mediaType": OCI_MANIFEST, "digest": digest, "size": 1, "platform": { "os": "linux", "architecture": "amd64" } });
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry(&image)] });
    assert_eq!(bed.put_manifest("a", "index", &index).await.status(), StatusCode::CREATED);
    let missing = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry(EMPTY)] });
    let response = bed.put_manifest("a", "missing", &missing).await;
    assert_eq!((response.status().as_u16(), code(response).await), (400, "MANIFEST_BLOB_UNKNOWN".to_owned()));
    for (accept, status, want) in [
        (OCI_INDEX, 200, OCI_INDEX),
        ("*/*", 200, OCI_INDEX),
        (OCI_MANIFEST, 200, OCI_MANIFEST),
        ("text/plain, application/vnd.oci.image.index.v1+json;q=0.1", 200, OCI_INDEX),
        ("text/plain", 404, "application/json"),
    ] {
        let response =
            bed.request("GET", "/v2/a/manifests/index").header("accept", accept).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), header(&response, "content-type")),
            (status, want.to_owned()),
            "{accept}"
        );
    }
}

#[tokio::test]
async fn deleted_content_is_gone_at_once() {
    let bed = Bed::new().await;
    let (manifest, digest) = bed.push_image("a", "1", b"layer").await;
    bed.put_manifest("a", "2", &manifest).await;
    assert_eq!(bed.delete("/v2/a/manifests/1").await.status(), StatusCode::ACCEPTED);
    assert_eq!(bed.get("/v2/a/manifests/1").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(bed.delete("/v2/a/manifests/1").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(bed.get("/v2/a/manifests/2").await.status(), StatusCode::OK);
    assert_eq!(bed.delete(&format!("/v2/a/manifests/{digest}")).await.status(), StatusCode::ACCEPTED);
    for reference in ["2", &digest] {
        assert_eq!(bed.get(&format!("/v2/a/manifests/{reference}")).await.status(), StatusCode::NOT_FOUND);
    }
    let tags: Value = bed.get("/v2/a/tags/list").await.json().await.unwrap();
    assert_eq!(tags, json!({ "name": "a", "tags": [] }));
    let layer = format!("/v2/a/blobs/{}", sha256(b"layer"));
    assert_eq!(bed.delete(&layer).await.status(), StatusCode::ACCEPTED);
    assert_eq!(bed.get(&layer).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(bed.delete(&layer).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(bed.delete(&format!("/v2/none/manifests/{EMPTY}")).await.status(), StatusCode::NOT_FOUND);

    let bed = Bed::with(|config| config.delete = false).await;
    let (_, digest) = bed.push_image("a", "1", b"layer").await;
    for path in [
        "/v2/a/manifests/1".to_owned(),
        format!("/v2/a/manifests/{digest}"),
        format!("/v2/a/blobs/{}", sha256(b"layer")),
    ] {
        let response = bed.delete(&path).await;
        assert_eq!(
            (response.status().as_u16(), code(response).await),
            (405, "UNSUPPORTED".to_owned()),
            "{path}"
        );
    }
}
