//! `docker import`: a file system tar becomes an image of one layer.

use std::io::Read;

use types::{
    Config, Digest, ImageConfig, ImageRef, Platform,
    image::{History, RootFs, media_type},
};

use crate::{
    compression::{self, Decompressor},
    db,
    error::{Error, Result},
    images::{ImageRecord, LayerRecord},
    layer,
    leases::{Hold, Resource},
    store::Store,
};

/// What `docker import` wants beside the tar.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Name of the new image; with a tag.
    pub name: Option<ImageRef>,
    /// Defaults for its containers (`--change` already applied by the caller).
    pub config: Option<Config>,
    /// Message: the history entry's comment.
    pub message: String,
    /// Platform of the new image; the host's by default.
    pub platform: Option<Platform>,
}

/// Makes an image of one layer from a file system tar (plain or compressed). Returns its id.
pub fn import(store: &Store, tar: &mut dyn Read, options: &ImportOptions) -> Result<Digest> {
    let imported = import_held(store, &store.hold(), tar, options);
    // What came in vain, and a compressed copy of what is kept plain.
    let swept = store.sweep();
    let imported = imported?;
    swept?;
    Ok(imported)
}

fn import_held(store: &Store, hold: &Hold, tar: &mut dyn Read, options: &ImportOptions) -> Result<Digest> {
    let (compression, mut raw) = compression::peek(tar)?;
    let mut ingest = store.content().ingest(None, None)?;
    let media_type = match compression.layer_media_type() {
        Some(media_type) if !store.snapshots().keeps_tars() => {
            ingest.append_from(&mut raw)?;
            media_type
        }
        // A compressed copy would be one too many, or one that no registry takes.
        _ => {
            ingest.append_from(&mut Decompressor::over(compression, raw)?)?;
            media_type::OCI_LAYER
        }
    };
    let info = ingest.commit_unless_present(None)?;
    hold.pin(Resource::Blob(info.digest.clone()));
    let staged = layer::stage_blob(store, hold, &info.digest, None)?;
    let done = staged.commit(None, None)?;
    let (config, created) = config(&done.diff_id, options)?;
    let id = store.content().put(&config)?.digest;
    hold.pin(Resource::Blob(id.clone()));
    let layer = LayerRecord {
        diff_id: done.diff_id,
        chain_id: done.chain_id,
        blob: Some(
            done.plain.unwrap_or_else(|| types::Descriptor::new(media_type, info.digest.clone(), info.size)),
        ),
        bytes: done.bytes,
    };
    store.images().put(&ImageRecord {
        id: id.clone(),
        config,
        manifest: None,
        size: layer.bytes,
        layers: vec![layer],
        created,
        parent: None,
        added_at: String::new(),
        names: options.name.iter().cloned().map(ImageRef::with_default_tag).collect(),
    })?;
    Ok(id)
}

fn config(diff_id: &Digest, options: &ImportOptions) -> Result<(Vec<u8>, String)> {
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let created = db::now();
    let history =
        History { created: Some(created.clone()), comment: options.message.clone(), ..History::default() };
    let config = ImageConfig {
        created: Some(created.clone()),
        architecture: platform.architecture,
        variant: platform.variant,
        os: platform.os,
        os_version: platform.os_version,
        config: Some(options.config.clone().unwrap_or_default()),
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![diff_id.clone()] },
        history: vec![history],
        comment: options.message.clone(),
        ..ImageConfig::default()
    };
    let bytes =
        serde_json::to_vec(&config).map_err(|error| Error::Invalid(format!("image config: {error}")))?;
    Ok((bytes, created))
}
