//! Registries that lie, refuse, break off and never end: a clear error, nothing kept, no hang.

use serde_json::json;

use crate::archives::{self, digest};
use crate::bed::Bed;
use crate::inventory;
use crate::liar::{INDEX, Liar, Lie, MANIFEST};
use crate::raw::must;

/// What a pull says of an error, with its status.
fn pull(bed: &Bed, name: &str) -> (u16, String) {
    let heard = must(bed, "POST", &format!("/images/create?fromImage={name}"), b"");
    let last = heard.text().lines().last().unwrap_or_default().to_owned();
    let said: serde_json::Value = serde_json::from_str(&last).unwrap_or_default();
    let text = said["message"].as_str().or(said["error"].as_str()).unwrap_or_default();
    (heard.status, text.to_owned())
}

#[test]
fn privileged_a_registry_that_lies_gets_a_clear_word_and_leaves_nothing() {
    let bed = Bed::new();
    let registry = Liar::new(&bed);
    let layer = archives::layer("one");
    registry.image("a", "1", std::slice::from_ref(&layer));
    let name = registry.name("a:1");
    let before = inventory::take(&bed);
    let (layer_digest, config_digest) =
        (digest(&layer), digest(&archives::config(std::slice::from_ref(&layer))));
    let size = layer.len();
    let error = |code: &str, message: &str| -> &'static str {
        format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#).leak()
    };
    let refused = error("DENIED", "requested access to the resource is denied");
    let many = error("TOOMANYREQUESTS", "too many requests");
    for (of, lie, expect) in [
        (
            "/manifests/",
            Lie::Status(401, error("UNAUTHORIZED", "authentication required")),
            "authentication required",
        ),
        ("/manifests/", Lie::Status(403, refused), "pull access denied for"),
        (
            "/manifests/",
            Lie::Status(404, error("MANIFEST_UNKNOWN", "manifest unknown")),
            "not found: manifest unknown",
        ),
        ("/manifests/", Lie::Status(404, "<html>"), "error parsing HTTP 404 response body"),
        ("/manifests/", Lie::Status(429, many), "toomanyrequests: too many requests"),
        (
            "/manifests/",
            Lie::Status(500, "oops"),
            "received unexpected HTTP status: 500 Internal Server Error",
        ),
        ("/manifests/", Lie::Status(200, "{"), "invalid manifest"),
        ("/manifests/", Lie::Status(200, "[]"), "invalid manifest"),
        ("/manifests/", Lie::Status(200, r#"{"schemaVersion":1}"#), "schema 1 support has been removed"),
        ("/manifests/", Lie::Loop, "stopped after 10 redirects"),
        ("/manifests/", Lie::Endless(100 << 20), "larger than 4194304 bytes"),
        ("/manifests/", Lie::Endless(u64::MAX / 2), "larger than 4194304 bytes"),
        ("/manifests/", Lie::Cut(10), "EOF"),
        ("config", Lie::Status(404, error("BLOB_UNKNOWN", "blob unknown")), "blob unknown"),
        ("config", Lie::Garbage, "image config verification failed for digest sha256:"),
        ("config", Lie::Endless(100 << 20), "expected"),
        ("config", Lie::Short(3), "expected"),
        ("layer", Lie::Status(403, refused), "requested access to the resource is denied"),
        ("layer", Lie::Garbage, "filesystem layer verification failed for digest sha256:"),
        ("layer", Lie::Short(size - 1), "expected"),
        ("layer", Lie::Long(1), "expected"),
        ("layer", Lie::Endless(1 << 40), "expected"),
        ("layer", Lie::Loop, "stopped after 10 redirects"),
    ] {
        let part = match of {
            "config" => config_digest.clone(),
            "layer" => layer_digest.clone(),
            other => other.to_owned(),
        };
        let told = lie.clone();
        registry.lie(move |target| target.contains(&part).then(|| told.clone()));
        let (status, said) = pull(&bed, &name);
        assert!(said.contains(expect), "{of} {lie:?}: {status} {said:?}");
        registry.be_honest();
        // Honest parts may be kept for the next attempt; they go when they are not wanted.
        must(&bed, "POST", "/images/prune", b"");
        inventory::wait_for(&bed, &before, &format!("{of} {lie:?}"));
    }
    assert_eq!(pull(&bed, &name), (200, String::new()), "what is mended works");
    assert!(!bed.log().contains("panicked"), "{}", bed.log());
}

/// A manifest of these parts, under tag 1.
fn manifest(registry: &Liar, repository: &str, config: serde_json::Value, layers: &[serde_json::Value]) {
    let text =
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}).to_string();
    registry.manifest(repository, "1", MANIFEST, text.as_bytes());
}

#[test]
fn privileged_documents_that_make_no_sense_are_refused() {
    let bed = Bed::new();
    let registry = Liar::new(&bed);
    let before = inventory::take(&bed);
    let layer = archives::layer("one");
    let layers = vec![layer.clone(); 10_000];
    let (oci_config, oci_layer) =
        ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar");
    let described = registry.blob("many", oci_layer, &layer);
    let config = registry.blob("many", oci_config, &archives::config(&layers));
    manifest(&registry, "many", config, &vec![described; 10_000]);

    let honest = archives::config(std::slice::from_ref(&layer));
    for (repository, config_size, layer_size) in [
        ("negative", json!(-1), json!(layer.len())),
        ("negative-layer", json!(honest.len()), json!(-1)),
        ("huge", json!(honest.len()), json!(u64::MAX)),
        ("huge-config", json!(100 << 20), json!(layer.len())),
        ("fraction", json!(1.5), json!(layer.len())),
        ("wrong", json!(honest.len() + 1), json!(layer.len())),
    ] {
        let mut config = registry.blob(repository, oci_config, &honest);
        config["size"] = config_size;
        let mut described = registry.blob(repository, oci_layer, &layer);
        described["size"] = layer_size;
        manifest(&registry, repository, config, &[described]);
    }
    // The config promises another layer, another number of them, another system, or is none.
    let text = String::from_utf8_lossy(&honest).into_owned();
    for (repository, config) in [
        ("other", text.replace(&digest(&layer), &digest(b"other"))),
        ("fewer", text.replace(&format!("\"{}\"", digest(&layer)), "")),
        ("windows", text.replace("linux", "windows")),
        ("garbage", "{".to_owned()),
        ("null", "null".to_owned()),
        ("deep", "[".repeat(100_000)),
    ] {
        let config = registry.blob(repository, oci_config, config.as_bytes());
        let described = registry.blob(repository, oci_layer, &layer);
        manifest(&registry, repository, config, &[described]);
    }
    // Layers that are no tar, no gzip, or of another kind.
    for (repository, kind, bytes) in [
        ("not-tar", oci_layer, b"not a tar at all".repeat(64)),
        (
            "not-gzip",
            "application/vnd.oci.image.layer.v1.tar+gzip",
            [&[0x1f, 0x8b, 8, 0][..], &[7; 100]].concat(),
        ),
        ("alien", "application/vnd.example.thing", layer.clone()),
    ] {
        let config = registry.blob(repository, oci_config, &archives::config(std::slice::from_ref(&bytes)));
        let described = registry.blob(repository, kind, &bytes);
        manifest(&registry, repository, config, &[described]);
    }
    // Indexes in indexes in indexes.
    let mut inner = json!({"mediaType": MANIFEST, "digest": digest(b"none"), "size": 4,
        "platform": {"os": "linux", "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }}});
    for _ in 0..50 {
        let platform = inner["platform"].clone();
        let text = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [inner]}).to_string();
        inner = registry.manifest("index", "1", INDEX, text.as_bytes());
        inner["platform"] = platform;
    }
    for (repository, expect) in [
        ("many", "max depth exceeded"),
        ("negative", "invalid manifest"),
        ("negative-layer", "invalid manifest"),
        ("huge", "expected 18446744073709551615 bytes"),
        ("huge-config", "larger than"),
        ("fraction", "invalid manifest"),
        ("wrong", "expected"),
        ("other", "digest mismatch"),
        ("fewer", "layers from manifest don't match image configuration"),
        ("windows", "cannot be used on this platform"),
        ("garbage", "invalid config of image"),
        ("null", "invalid config of image"),
        ("deep", "invalid config of image"),
        ("not-tar", ""),
        ("not-gzip", ""),
        ("alien", "unsupported media type application/vnd.example.thing"),
        ("index", "unsupported manifest format"),
    ] {
        let (status, said) = pull(&bed, &registry.name(&format!("{repository}:1")));
        assert!(!said.is_empty() && said.contains(expect), "{repository}: {status} {said:?}");
        must(&bed, "POST", "/images/prune", b"");
        inventory::wait_for(&bed, &before, repository);
    }
    assert!(!bed.log().contains("panicked"), "{}", bed.log());
}

#[test]
fn privileged_a_pull_that_breaks_off_goes_on_where_it_was() {
    let mut bed = Bed::new();
    let registry = Liar::new(&bed);
    // Random enough not to be a tar of one block, large enough to be under way for a while.
    let noise: Vec<u8> = (0..400_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let layer = archives::Tar::default().file("noise", &noise).done();
    registry.image("a", "1", std::slice::from_ref(&layer));
    let name = registry.name("a:1");
    let target = format!("/images/create?fromImage={name}");
    let wanted = digest(&layer);
    // Breaks after ever more bytes: each time the rest is asked for.
    let part = wanted.clone();
    let broken = std::sync::atomic::AtomicUsize::new(0);
    registry.lie(move |asked| {
        let wants = asked.starts_with("GET") && asked.ends_with(&part);
        let times = if wants { broken.fetch_add(1, std::sync::atomic::Ordering::SeqCst) } else { 9 };
        (times < 3).then_some(Lie::Cut(1 + times * 100_000))
    });
    let pulled = must(&bed, "POST", &target, b"");
    assert!(pulled.is_done(), "{}", pulled.text());
    let ranges: Vec<String> =
        registry.log().into_iter().filter(|line| line.contains(&format!("{wanted} bytes="))).collect();
    assert_eq!(ranges.len(), 3, "{ranges:?}");
    bed.docker(&["rmi", &name]).ok();

    // The daemon dies in the middle; the next one asks for the rest only.
    let part = wanted.clone();
    registry
        .lie(move |asked| asked.ends_with(&part).then_some(Lie::Slow(std::time::Duration::from_millis(5))));
    let sent = registry.sent();
    std::thread::scope(|scope| {
        let pulling = scope.spawn(|| crate::raw::send(&bed, "POST", &target, b""));
        let deadline = std::time::Instant::now() + crate::bed::PATIENCE;
        while registry.sent() < sent + 100_000 {
            assert!(std::time::Instant::now() < deadline, "the pull does not begin");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        bed.signal("-KILL");
        assert!(!pulling.join().expect("no panic").is_some_and(|heard| heard.is_done()));
    });
    bed.reap();
    bed.start();
    registry.be_honest();
    let before = registry.log().len();
    let pulled = must(&bed, "POST", &target, b"");
    assert!(pulled.is_done(), "{}", pulled.text());
    let asked = registry.log().split_off(before);
    let range = asked.iter().find(|line| line.contains(&wanted)).expect("it asks for the layer");
    let (_, from) =
        range.split_once("bytes=").unwrap_or_else(|| panic!("all of it is asked for again: {asked:?}"));
    assert!(from.trim_end_matches('-').parse::<usize>().expect("a number") > 0, "{range}");

    // A client that hangs up ends its pull.
    bed.docker(&["rmi", &name]).ok();
    must(&bed, "POST", "/images/prune", b"");
    let part = wanted.clone();
    registry
        .lie(move |asked| asked.ends_with(&part).then_some(Lie::Slow(std::time::Duration::from_millis(5))));
    let mut client = crate::raw::connect(&bed);
    let head = format!("POST {target} HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n");
    std::io::Write::write_all(&mut client, head.as_bytes()).expect("send");
    let begun = registry.log().len();
    let deadline = std::time::Instant::now() + crate::bed::PATIENCE;
    while !registry.log().iter().skip(begun).any(|line| line.contains(&wanted)) {
        assert!(std::time::Instant::now() < deadline, "the pull does not begin");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    drop(client);
    registry.be_honest();
    let pulled = must(&bed, "POST", &target, b"");
    assert!(pulled.is_done(), "{}", pulled.text());
}

#[test]
fn privileged_a_push_that_is_refused_or_broken_says_so() {
    let bed = Bed::new();
    let registry = Liar::new(&bed);
    let name = registry.name("box");
    bed.docker(&["tag", "busybox", &format!("{name}:1")]).ok();
    let push = || {
        let heard = must(&bed, "POST", &format!("/images/{name}/push?tag=1"), b"");
        (heard.is_done(), heard.text())
    };
    // The first push makes a manifest and compresses the layer; both are the image's from then on.
    assert!(push().0);
    registry.forget();
    let before = inventory::take(&bed);
    let refused = r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
    for (of, lie, expect) in [
        ("POST ", Lie::Status(403, refused), "denied: requested access to the resource is denied"),
        ("POST ", Lie::Status(500, "oops"), "received unexpected HTTP status: 500 Internal Server Error"),
        ("POST ", Lie::Status(202, ""), ""),
        ("PATCH ", Lie::Status(413, "too large"), "413"),
        (
            "PUT ",
            Lie::Status(
                400,
                r#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match"}]}"#,
            ),
            "did not match",
        ),
        (
            "manifests",
            Lie::Status(400, r#"{"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid"}]}"#),
            "manifest invalid",
        ),
        ("HEAD ", Lie::Loop, ""),
    ] {
        let told = lie.clone();
        registry.lie(move |target| target.contains(of).then(|| told.clone()));
        let (done, said) = push();
        // What is never asked cannot refuse: how a blob is sent is the client's choice.
        assert!(done && of != "manifests" || said.contains(expect), "{of} {lie:?}: {said}");
        inventory::wait_for(&bed, &before, of);
    }
    registry.be_honest();
    assert!(push().0);
}
