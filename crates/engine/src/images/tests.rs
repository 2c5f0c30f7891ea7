//! Images over a real store in a temporary directory and a registry that answers as it is told.

#[path = "../../../registry/tests/fixture/mod.rs"]
mod fixture;

mod files;
mod pulling;
mod rules;

use std::sync::Arc;
use std::time::Duration;

use fixture::FakeRegistry;
use store::{ImageRecord, LayerRecord, Store};
use types::image::media_type;
use types::{Digest, Platform};

use super::*;
use crate::Events;

/// A daemon's worth of images.
struct World {
    images: Images,
    store: Arc<Store>,
    events: Events,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Overlay needs privileges that not every test run has.
        let options = store::Options { snapshotter: Some("copy".to_owned()) };
        let store = Arc::new(Store::open_with(dir.path(), &options).unwrap());
        let events = Events::new();
        let registry = registry::Options {
            backoff: Duration::from_millis(1),
            certs_dir: None,
            ..registry::Options::default()
        };
        let settings = ImageSettings { registry, ..ImageSettings::default() };
        Self { images: Images::new(store.clone(), events.clone(), settings), store, events, _dir: dir }
    }

    /// A record of an image without layers; `n` makes its id and its age.
    fn image(&self, n: u8, names: &[&str], labels: &str, parent: Option<&Digest>) -> Digest {
        let created = format!("2024-01-{n:02}T00:00:00Z");
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","created":"{created}","config":{{"Labels":{labels}}},"rootfs":{{"type":"layers","diff_ids":[]}}}}"#
        );
        let id = store::sha256(config.as_bytes());
        let record = ImageRecord {
            id: id.clone(),
            config: config.into_bytes(),
            manifest: None,
            layers: Vec::<LayerRecord>::new(),
            size: u64::from(n),
            created,
            parent: parent.cloned(),
            added_at: String::new(),
            names: names.iter().map(|name| name.parse().unwrap()).collect(),
        };
        self.store.images().put(&record).unwrap();
        id
    }

    fn lease(&self, container: &ContainerId, image: &Digest) {
        self.store.leases().add(container.as_str(), &store::Resource::Image(image.clone())).unwrap();
    }

    async fn actions(&self) -> Vec<String> {
        let now = Some(crate::Timestamp::now());
        let mut all =
            self.events.subscribe(Some(crate::Timestamp(0)), now, crate::Filters::default()).unwrap();
        let mut actions = Vec::new();
        while let Some(event) = all.next().await {
            actions.push(format!("{} {}", event.action, event.attributes["name"]));
        }
        actions
    }
}

/// All lines, as `id status` or the text, and the error if there was one.
async fn lines(mut stream: ProgressStream) -> (Vec<String>, Option<String>) {
    let mut lines = Vec::new();
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) if event.stream.is_empty() => lines.push(format!("{} {}", event.id, event.status)),
            Ok(event) => lines.push(event.stream),
            Err(error) => return (lines, Some(error.message)),
        }
    }
    (lines, None)
}

fn container(n: u8) -> ContainerId {
    ContainerId::from_bytes([n; 32])
}

/// Layers and config of an image in a registry; returns the image id and the manifest's digest.
fn publish(registry: &FakeRegistry, repository: &str, tag: &str, layers: &[Vec<u8>]) -> (Digest, Digest) {
    let diff_ids: Vec<String> = layers.iter().map(|tar| store::sha256(tar).to_string()).collect();
    publish_with(registry, repository, tag, layers, &diff_ids)
}

fn publish_with(
    registry: &FakeRegistry,
    repository: &str,
    tag: &str,
    layers: &[Vec<u8>],
    diff_ids: &[String],
) -> (Digest, Digest) {
    let config = serde_json::json!({
        "architecture": Platform::host().architecture, "os": "linux", "created": "2024-01-01T00:00:00Z",
        "config": {"Cmd": ["sh"], "Labels": {"from": "registry"}},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": diff_ids.iter().map(|_| serde_json::json!({"created_by": "a test"})).collect::<Vec<_>>(),
    })
    .to_string();
    let id = registry.put_blob(repository, config.as_bytes());
    let layers: Vec<_> = layers
        .iter()
        .map(|tar| {
            let digest = registry.put_blob(repository, tar);
            serde_json::json!({"mediaType": media_type::OCI_LAYER, "digest": digest, "size": tar.len()})
        })
        .collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": {"mediaType": media_type::OCI_CONFIG, "digest": id, "size": config.len()}, "layers": layers,
    })
    .to_string();
    let digest = registry.put_manifest(repository, tag, media_type::OCI_MANIFEST, manifest.as_bytes());
    (id, digest)
}

/// A layer with one file: a plain tar of two blocks and the end.
fn tar(name: &str, content: &str) -> Vec<u8> {
    assert!(content.len() <= 512);
    let mut header = [0u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    header[108..115].copy_from_slice(b"0000000");
    header[116..123].copy_from_slice(b"0000000");
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[136..147].copy_from_slice(b"00000000000");
    header[148..156].copy_from_slice(b"        ");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut body = content.as_bytes().to_vec();
    body.resize(512, 0);
    [header.to_vec(), body, vec![0; 1024]].concat()
}
