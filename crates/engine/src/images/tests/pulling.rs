//! Pulls from a registry in this process.

use std::time::Instant;

use fixture::{Fault, Gate};
use registry::Credentials;

use super::*;

fn request(registry: &FakeRegistry, rest: &str) -> PullRequest {
    let name = format!("{}/{rest}", registry.host());
    let by_tag = || name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
    let (repository, tag) = name.split_once('@').or_else(by_tag).unwrap_or((&name, ""));
    PullRequest::parse(repository, tag, "", Credentials::default()).unwrap()
}

async fn pull(world: &World, request: PullRequest) -> (Vec<String>, Option<String>) {
    lines(world.images.pull(request)).await
}

#[tokio::test]
async fn a_pull_tells_its_steps_and_leaves_an_image() {
    let (world, registry) = (World::new(), FakeRegistry::start());
    let layers = [tar("a", "one"), tar("b", "two")];
    let (id, digest) = publish(&registry, "x/y", "1", &layers);
    let (lines, error) = pull(&world, request(&registry, "x/y:1")).await;
    assert_eq!(error, None);
    assert_eq!(lines[0], "1 Pulling from x/y");
    for layer in &layers {
        let short = store::sha256(layer).short().to_owned();
        for status in ["Pulling fs layer", "Download complete", "Pull complete"] {
            assert!(lines.contains(&format!("{short} {status}")), "{status}: {lines:#?}");
        }
    }
    let name = format!("{}/x/y", registry.host());
    let tail = [format!(" Digest: {digest}"), format!(" Status: Downloaded newer image for {name}:1")];
    assert_eq!(lines[lines.len() - 2..], tail);

    let details = world.images.inspect(&format!("{name}:1")).await.unwrap();
    assert_eq!(details.id, id);
    assert_eq!(details.repo_digests, [format!("{name}@{digest}")]);
    assert_eq!(details.size_bytes, 6);
    assert_eq!(details.config.rootfs.diff_ids.len(), 2);
    let history = world.images.history(id.short()).await.unwrap();
    assert_eq!(
        (history.len(), history[0].id.as_str(), history[1].id.as_str()),
        (2, id.as_str(), "<missing>")
    );
    assert_eq!(world.actions().await, [format!("pull {name}")]);

    let (again, _) = pull(&world, request(&registry, "x/y:1")).await;
    let up_to_date = format!(" Status: Image is up to date for {name}:1");
    assert_eq!(again, ["1 Pulling from x/y".to_owned(), format!(" Digest: {digest}"), up_to_date]);
    let (by_digest, _) = pull(&world, request(&registry, &format!("x/y@{digest}"))).await;
    assert_eq!(by_digest.last().unwrap(), &format!(" Status: Image is up to date for {name}@{digest}"));
}

#[tokio::test]
async fn shared_layers_are_there_already() {
    let (world, registry) = (World::new(), FakeRegistry::start());
    let base = tar("a", "base");
    publish(&registry, "x", "1", std::slice::from_ref(&base));
    publish(&registry, "x", "2", &[base.clone(), tar("b", "top")]);
    pull(&world, request(&registry, "x:1")).await;
    let (lines, error) = pull(&world, request(&registry, "x:2")).await;
    assert_eq!(error, None);
    assert!(lines.contains(&format!("{} Already exists", store::sha256(&base).short())), "{lines:#?}");
    assert_eq!(registry.count(&format!("/blobs/{}", store::sha256(&base))), 1);
    let request = ListRequest { shared_size: true, ..ListRequest::default() };
    let sizes: Vec<_> = world
        .images
        .list(request)
        .await
        .unwrap()
        .iter()
        .map(|i| (i.size_bytes, i.shared_size_bytes))
        .collect();
    assert!(sizes.contains(&(4, 4)) && sizes.contains(&(7, 4)), "{sizes:?}");
}

#[tokio::test]
async fn without_a_tag_all_tags_come() {
    let (world, registry) = (World::new(), FakeRegistry::start());
    publish(&registry, "x", "1", &[tar("a", "1")]);
    publish(&registry, "x", "2", &[tar("a", "2")]);
    registry.put("/v2/x/tags/list", "application/json", br#"{"tags":["1","2"]}"#);
    let (lines, error) = pull(&world, request(&registry, "x")).await;
    assert_eq!(error, None, "{lines:#?}");
    assert_eq!(world.images.count().await.unwrap(), 2);
}

#[tokio::test]
async fn an_index_gives_the_image_for_the_platform() {
    let (world, registry) = (World::new(), FakeRegistry::start());
    let (_, arm) = publish(&registry, "x", "arm", &[tar("a", "arm")]);
    let (id, host) = publish(&registry, "x", "host", &[tar("a", "host")]);
    let architecture = Platform::host().architecture;
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [
        {"mediaType": media_type::OCI_MANIFEST, "digest": arm, "size": 1, "platform": {"os": "linux", "architecture": "s390x"}},
        {"mediaType": media_type::OCI_MANIFEST, "digest": host, "size": 1, "platform": {"os": "linux", "architecture": architecture}},
    ]})
    .to_string();
    let digest = registry.put_manifest("x", "1", media_type::OCI_INDEX, index.as_bytes());
    let (lines, error) = pull(&world, request(&registry, "x:1")).await;
    assert_eq!(error, None);
    assert!(lines.contains(&format!(" Digest: {digest}")), "the digest of the index, not of its part");
    assert_eq!(world.images.id_of(&format!("{}/x:1", registry.host())).await.unwrap(), id);
    let mut riscv = request(&registry, "x:1");
    riscv.platform = Some("linux/riscv64".parse().unwrap());
    let (_, error) = pull(&world, riscv).await;
    assert_eq!(error.as_deref(), Some("no matching manifest for linux/riscv64 in the manifest list entries"));
}

#[tokio::test]
async fn failures_are_told_in_dockers_words_and_leave_nothing() {
    let (world, registry) = (World::new(), FakeRegistry::start());
    let layer = tar("a", "one");
    publish(&registry, "x", "good", std::slice::from_ref(&layer));
    publish_with(&registry, "x", "fewer", std::slice::from_ref(&layer), &[]);
    let other = store::sha256(b"other").to_string();
    publish_with(&registry, "x", "lying", std::slice::from_ref(&layer), &[other]);
    registry.put_manifest(
        "x",
        "old",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        br#"{"schemaVersion":1}"#,
    );
    registry.put_manifest("x", "junk", media_type::OCI_MANIFEST, b"{");
    let artifact = r#"{"schemaVersion":2,"config":{"mediaType":"application/x-chart","digest":"DIGEST","size":2},"layers":[]}"#;
    let artifact = artifact.replace("DIGEST", registry.put_blob("x", b"{}").as_str());
    registry.put_manifest("x", "chart", media_type::OCI_MANIFEST, artifact.as_bytes());
    let name = format!("{}/x", registry.host());
    for (tag, want) in [
        ("nosuch", format!("manifest for {name}:nosuch not found: manifest unknown: manifest unknown")),
        ("fewer", "layers from manifest don't match image configuration".to_owned()),
        (
            "old",
            format!(
                "Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been removed. Suggest the \
                 author of {name}:old to upgrade the image to the OCI Format or Docker Image manifest v2, schema 2. More \
                 information at https://docs.docker.com/go/deprecated-image-specs/"
            ),
        ),
        ("chart", "unsupported media type application/x-chart".to_owned()),
    ] {
        assert_eq!(pull(&world, request(&registry, &format!("x:{tag}"))).await.1, Some(want), "{tag}");
    }
    assert!(
        pull(&world, request(&registry, "x:junk")).await.1.unwrap().starts_with("invalid manifest sha256:")
    );
    assert!(
        pull(&world, request(&registry, "x:lying")).await.1.is_some(),
        "a diff id that the layer does not have"
    );
    registry.fault(&format!("/blobs/{}", store::sha256(&layer)), Fault::Garbage);
    world.store.content().remove(&store::sha256(&layer)).unwrap();
    let (_, error) = pull(&world, request(&registry, "x:good")).await;
    assert_eq!(
        error,
        Some(format!("filesystem layer verification failed for digest {}", store::sha256(&layer)))
    );
    assert_eq!(world.images.count().await.unwrap(), 0);
    assert_eq!(pull(&world, request(&registry, "x:good")).await.1, None, "and then all is well");
}

#[tokio::test]
async fn a_refused_repository_is_told_as_by_docker() {
    let (world, registry) = (World::new(), FakeRegistry::start());
    registry.guard(fixture::Guard::Nobody);
    let (_, error) = pull(&world, request(&registry, "x:1")).await;
    let want = format!(
        "pull access denied for {}/x, repository does not exist or may require 'docker login': denied: requested access to \
         the resource is denied",
        registry.host()
    );
    assert_eq!(error, Some(want));
}

#[tokio::test]
async fn many_pulls_of_one_blob_are_one_download() {
    let (world, registry) = (World::new(), FakeRegistry::start());
    let layer = tar("a", "one");
    publish(&registry, "x", "1", std::slice::from_ref(&layer));
    let gate = Arc::new(Gate::default());
    let blob = format!("/blobs/{}", store::sha256(&layer));
    registry.fault(&blob, Fault::Stall(gate.clone()));
    let pulls: Vec<_> = (0..8).map(|_| world.images.pull(request(&registry, "x:1"))).collect();
    let started = Instant::now();
    while registry.count("/manifests/1") < 8 && started.elapsed() < Duration::from_secs(20) {
        tokio::task::yield_now().await;
    }
    gate.open();
    for pull in pulls {
        assert_eq!(lines(pull).await.1, None);
    }
    assert_eq!(registry.count(&blob), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_pull_and_the_next_one_goes_on() {
    let (world, registry) = (World::new(), FakeRegistry::start());
    let layer = tar("a", "one");
    publish(&registry, "x", "1", std::slice::from_ref(&layer));
    let gate = Arc::new(Gate::default());
    let blob = format!("/blobs/{}", store::sha256(&layer));
    registry.fault(&blob, Fault::Stall(gate.clone()));
    let mut stream = world.images.pull(request(&registry, "x:1"));
    while let Some(event) = stream.next().await {
        if event.unwrap().detail.is_some_and(|detail| detail.current == 1) {
            break;
        }
    }
    drop(stream);
    gate.open();
    let (lines, error) = pull(&world, request(&registry, "x:1")).await;
    assert_eq!(error, None, "{lines:#?}");
    assert!(registry.log().last().unwrap().ends_with("bytes=1-"), "{:?}", registry.log());
}
