//! `docker commit`: what a container changed becomes a layer on top of its image.

use store::{ImageRecord, LayerRecord, Resource, Store, layer};
use types::image::{History, media_type};
use types::{Config, ContainerId, Descriptor, Digest, Error, ImageConfig, ImageRef, Platform, Result};

use super::{Images, Shared};

/// What is committed.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    /// Whose snapshot.
    pub(crate) container: ContainerId,
    /// The image it was made from, if any.
    pub(crate) parent: Option<Digest>,
    /// Defaults for containers of the new image.
    pub(crate) config: Config,
    /// The container's command, for the history.
    pub(crate) created_by: String,
    /// Who says so.
    pub(crate) author: String,
    /// Why.
    pub(crate) comment: String,
    /// Name of the new image.
    pub(crate) reference: Option<ImageRef>,
}

impl Images {
    /// Makes the image; gives its id. A container that changed nothing adds a line of history, but no layer.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<Digest> {
        self.blocking(move |shared| {
            let made = shared.commit(&commit);
            if made.is_err() {
                // What came in vain. The first error is the one to tell.
                let _ = shared.store.sweep();
            }
            made
        })
        .await
    }
}

impl Shared {
    fn commit(&self, commit: &Commit) -> Result<Digest> {
        let hold = self.store.hold();
        let store: &Store = &self.store;
        // The image itself may have been removed by force while the container stayed.
        let find = |id: &Digest| {
            let gone = || Error::not_found(format!("could not find image \"{id}\": image not found"));
            store.images().get(id)?.ok_or_else(gone)
        };
        let parent = commit.parent.as_ref().map(find).transpose()?;
        let mut layers = parent.as_ref().map(|parent| parent.layers.clone()).unwrap_or_default();
        let added = added_layer(store, &hold, commit, parent.as_ref().and_then(ImageRecord::top))?;
        let is_empty = added.is_none();
        layers.extend(added);
        let created = crate::Timestamp::now().rfc3339();
        let config = document(parent.as_ref(), commit, &layers, &created, is_empty)?;
        let id = store.content().put(&config)?.digest;
        hold.pin(Resource::Blob(id.clone()));
        let name = commit.reference.clone().map(ImageRef::with_default_tag);
        let record = ImageRecord {
            id: id.clone(),
            config,
            manifest: None,
            size: layers.iter().map(|layer| layer.bytes).sum(),
            layers,
            created,
            parent: commit.parent.clone(),
            added_at: String::new(),
            names: name.iter().cloned().collect(),
        };
        store.images().put(&record)?;
        if let Some(name) = name {
            self.publish("tag", id.as_str(), &name.familiar(), &record);
        }
        Ok(id)
    }
}

/// What the container changed, as a layer. None if it changed nothing.
fn added_layer(
    store: &Store,
    hold: &store::Hold,
    commit: &Commit,
    top: Option<&Digest>,
) -> Result<Option<LayerRecord>> {
    let mut ingest = store.content().ingest(None, None)?;
    store.snapshots().diff(commit.container.as_str(), &mut ingest)?;
    let info = ingest.commit_unless_present(None)?;
    hold.pin(Resource::Blob(info.digest.clone()));
    // The end of an archive and nothing before it: Docker's `layer.DigestSHA256EmptyTar`.
    if info.digest == store::sha256(&[0; 1024]) {
        return Ok(None);
    }
    let descriptor = Descriptor::new(media_type::OCI_LAYER, info.digest.clone(), info.size);
    let done = layer::unpack(store, hold, &descriptor, top, &info.digest)?;
    Ok(Some(LayerRecord {
        diff_id: done.diff_id,
        chain_id: done.chain_id,
        blob: Some(descriptor),
        bytes: done.bytes,
    }))
}

fn document(
    parent: Option<&ImageRecord>,
    commit: &Commit,
    layers: &[LayerRecord],
    created: &str,
    is_empty: bool,
) -> Result<Vec<u8>> {
    let base = parent.map(ImageRecord::parsed).transpose()?.unwrap_or_default();
    let host = Platform::host();
    let mut history = base.history;
    history.push(History {
        created: Some(created.to_owned()),
        created_by: commit.created_by.clone(),
        author: commit.author.clone(),
        comment: commit.comment.clone(),
        empty_layer: is_empty,
    });
    let mut rootfs = base.rootfs;
    rootfs.kind = "layers".to_owned();
    rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id.clone()).collect();
    let config = ImageConfig {
        created: Some(created.to_owned()),
        author: commit.author.clone(),
        architecture: if base.architecture.is_empty() { host.architecture } else { base.architecture },
        variant: base.variant,
        os: if base.os.is_empty() { host.os } else { base.os },
        os_version: base.os_version,
        config: Some(commit.config.clone()),
        rootfs,
        history,
        comment: commit.comment.clone(),
        ..ImageConfig::default()
    };
    serde_json::to_vec(&config).map_err(Error::internal)
}
