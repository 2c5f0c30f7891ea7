//! What the specification asks under "Content Discovery", and what Docker and people ask besides.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::bed::{Bed, Json, OCI_INDEX, OCI_MANIFEST, header, sha256};

async fn json(bed: &Bed, path: &str) -> Value {
    bed.get(path).await.json().await.expect("the answer is JSON")
}

#[tokio::test]
async fn tags_come_in_lexical_order_and_in_pages() {
    let bed = Bed::new().await;
    for tag in ["b", "A", "c", "1.0"] {
        bed.push_image("a", tag, b"layer").await;
    }
    assert_eq!(json(&bed, "/v2/a/tags/list").await, json!({ "name": "a", "tags": ["1.0", "A", "b", "c"] }));
    let mut path = "/v2/a/tags/list?n=3".to_owned();
    let mut found = Vec::new();
    loop {
        let response = bed.get(&path).await;
        let link = header(&response, "link");
        let body: Value = response.json().await.unwrap();
        found.extend(body["tags"].as_array().unwrap().clone());
        let Some((target, relation)) = link.split_once('>') else { break };
        assert_eq!(relation, "; rel=\"next\"");
        path = target.trim_start_matches('<').to_owned();
    }
    assert_eq!(json!(found), json!(["1.0", "A", "b", "c"]));
    for (query, want) in [("n=0", json!([])), ("last=b", json!(["c"])), ("n=2&last=1.0", json!(["A", "b"]))] {
        assert_eq!(json(&bed, &format!("/v2/a/tags/list?{query}")).await["tags"], want, "{query}");
    }
    assert_eq!(bed.get("/v2/a/tags/list?n=x").await.status(), StatusCode::BAD_REQUEST);
    bed.push_image("z/y", "1", b"layer").await;
    assert_eq!(json(&bed, "/v2/_catalog").await, json!({ "repositories": ["a", "z/y"] }));
    let response = bed.get("/v2/_catalog?n=1").await;
    assert_eq!(header(&response, "link"), "</v2/_catalog?n=1&last=a>; rel=\"next\"");
    let found = json(&bed, "/v1/search?q=Y&n=5").await;
    assert_eq!((&found["num_results"], &found["results"][0]["name"]), (&json!(1), &json!("z/y")));
}

#[tokio::test]
async fn referrers_are_found_by_their_subject() {
    let bed = Bed::new().await;
    let (image, subject) = bed.push_image("a", "image", b"layer").await;
    let empty: Value = bed.get(&format!("/v2/a/referrers/{subject}")).await.json().await.unwrap();
    assert_eq!(empty, json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }));
    let subject_descriptor = json!({ "mediaType": OCI_MANIFEST, "digest": subject, "size": 1 });
    let artifact = |kind: Option<&str>, note: &str| {
        let mut manifest = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": image["config"],
            "layers": [], "subject": subject_descriptor, "annotations": { "note": note } });
        if let Some(kind) = kind {
            manifest["artifactType"] = json!(kind);
        }
        manifest
    };
    let typed = artifact(Some("application/x.sbom"), "one");
    let response = bed.put_manifest("a", &sha256(typed.to_string().as_bytes()), &typed).await;
    assert_eq!((response.status(), header(&response, "oci-subject")), (StatusCode::CREATED, subject.clone()));
    let by_config = artifact(None, "two");
    bed.put_manifest("a", "two", &by_config).await;
    let index =
        json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "subject": subject_descriptor });
    assert_eq!(header(&bed.put_manifest("a", "three", &index).await, "oci-subject"), subject);

    let response = bed.get(&format!("/v2/a/referrers/{subject}")).await;
    assert_eq!(
        (response.status(), header(&response, "content-type")),
        (StatusCode::OK, OCI_INDEX.to_owned())
    );
    let list: Value = response.json().await.unwrap();
    let found = |digest: &str| {
        list["manifests"].as_array().unwrap().iter().find(|one| one["digest"] == digest).cloned()
    };
    let typed_text = typed.to_string();
    let want = json!({ "mediaType": OCI_MANIFEST, "digest": sha256(typed_text.as_bytes()), "size": typed_text.len(),
        "artifactType": "application/x.sbom", "annotations": { "note": "one" } });
    assert_eq!(found(&sha256(typed_text.as_bytes())), Some(want));
    let by_config = found(&sha256(by_config.to_string().as_bytes())).expect("it is listed");
    assert_eq!(by_config["artifactType"], "application/vnd.oci.image.config.v1+json");
    let index = found(&sha256(index.to_string().as_bytes())).expect("it is listed");
    assert_eq!(index.get("artifactType"), None);

    let response = bed.get(&format!("/v2/a/referrers/{subject}?artifactType=application%2Fx.sbom")).await;
    assert_eq!(header(&response, "oci-filters-applied"), "artifactType");
    let list: Value = response.json().await.unwrap();
    assert_eq!(list["manifests"].as_array().map(Vec::len), Some(1));
    bed.delete(&format!("/v2/a/manifests/{}", sha256(typed_text.as_bytes()))).await;
    let list: Value = bed.get(&format!("/v2/a/referrers/{subject}")).await.json().await.unwrap();
    assert_eq!(list["manifests"].as_array().map(Vec::len), Some(2));
    // A subject that is not there may be named.
    let missing = sha256(b"nothing");
    let mut orphan = artifact(None, "three");
    orphan["subject"]["digest"] = json!(missing);
    assert_eq!(header(&bed.put_manifest("a", "orphan", &orphan).await, "oci-subject"), missing);
}

#[tokio::test]
async fn referrers_from_before_are_found_by_the_fallback_tag() {
    let bed = Bed::new().await;
    let (image, subject) = bed.push_image("a", "image", b"layer").await;
    let artifact = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": image["config"], "layers": [],
        "subject": { "mediaType": OCI_MANIFEST, "digest": subject, "size": 1 } });
    let digest = sha256(artifact.to_string().as_bytes());
    bed.put_manifest("a", &digest, &artifact).await;
    // As if it had come before referrers were known.
    let hex = subject.trim_start_matches("sha256:");
    let known = format!("docker/registry/v2/repositories/a/_manifests/referrers/sha256/{hex}");
    std::fs::remove_dir_all(bed.root().join(known)).unwrap();
    let referrers = format!("/v2/a/referrers/{subject}");
    let count = async || json(&bed, &referrers).await["manifests"].as_array().map(Vec::len);
    assert_eq!(count().await, Some(0));
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{ "mediaType": OCI_MANIFEST, "digest": digest, "size": 1 }] });
    bed.put_manifest("a", &subject.replace(':', "-"), &index).await;
    assert_eq!(count().await, Some(1));
}

#[tokio::test]
async fn pages_health_and_metrics_answer() {
    let bed = Bed::with(|config| config.open_metrics = true).await;
    bed.push_image("team/app", "v1", b"layer").await;
    let front = bed.get("/?q=%3Cscript%3E").await;
    let policy = header(&front, "content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src"), "{policy}");
    let text = front.text().await.unwrap();
    assert!(text.contains("&lt;script&gt;") && !text.contains("<script>"), "{text}");
    assert!(bed.get("/").await.text().await.unwrap().contains("href=\"/web/team/app\""));
    let page = bed.get("/web/team/app").await.text().await.unwrap();
    assert!(page.contains("linux/amd64") && page.contains("?tag=v1"), "{page}");
    let page = bed.get("/web/team/app?tag=v1").await.text().await.unwrap();
    assert!(page.contains(&format!("docker pull {}/team/app:v1", bed.address)), "{page}");
    assert_eq!(bed.get("/web/none").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(bed.get("/health").await.status(), StatusCode::OK);
    let metrics = bed.get("/metrics").await.text().await.unwrap();
    assert!(
        metrics.contains("registry_http_requests_total{handler=\"manifest\",method=\"PUT\",code=\"201\"} 1"),
        "{metrics}"
    );
}
