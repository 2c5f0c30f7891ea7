//! From what an archive says to images in the store.

use types::{Descriptor, Digest, ImageConfig, ImageRef};

use super::{DOCUMENT_MAX, Loaded, Progress, docker::check_os};
use crate::{
    error::{Error, Result},
    images::{ImageRecord, LayerRecord},
    layer::{self, Unpacked},
    leases::{Hold, Resource},
    store::Store,
};

/// Docker's bound for layers of one image.
const LAYERS_MAX: usize = 127;

/// One layer that is to be unpacked.
#[derive(Debug)]
pub(super) struct PlannedLayer {
    pub(super) diff_id: Digest,
    pub(super) blob: Descriptor,
}

/// One image whose documents are checked and whose blobs are in the content store.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) id: Digest,
    pub(super) config: Vec<u8>,
    pub(super) parsed: ImageConfig,
    pub(super) manifest: Option<Descriptor>,
    pub(super) layers: Vec<PlannedLayer>,
    pub(super) names: Vec<ImageRef>,
}

/// Unpacks all layers, then makes all images known at once.
pub(super) fn all(
    store: &Store,
    hold: &Hold,
    images: &[Planned],
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Loaded>> {
    let records: Vec<ImageRecord> =
        images.iter().map(|image| record(store, hold, image, progress)).collect::<Result<_>>()?;
    store.images().put_all(&records)?;
    Ok(records.into_iter().map(|record| Loaded { id: record.id, names: record.names }).collect())
}

fn record(
    store: &Store,
    hold: &Hold,
    image: &Planned,
    progress: &mut dyn FnMut(Progress),
) -> Result<ImageRecord> {
    check_os(&image.parsed)?;
    let mut layers: Vec<LayerRecord> = Vec::with_capacity(image.layers.len());
    for layer in &image.layers {
        hold.pin(Resource::Blob(layer.blob.digest.clone()));
        let parent = layers.last().map(|layer| layer.chain_id.clone());
        let done = one(store, hold, layer, parent.as_ref(), progress)?;
        layers.push(LayerRecord {
            diff_id: done.diff_id,
            chain_id: done.chain_id,
            blob: Some(done.plain.unwrap_or_else(|| layer.blob.clone())),
            bytes: done.bytes,
        });
    }
    Ok(ImageRecord {
        id: image.id.clone(),
        config: image.config.clone(),
        manifest: image.manifest.clone(),
        size: layers.iter().map(|layer| layer.bytes).sum(),
        layers,
        created: image.parsed.created.clone().unwrap_or_default(),
        parent: None,
        added_at: String::new(),
        names: image.names.clone(),
    })
}

fn one(
    store: &Store,
    hold: &Hold,
    layer: &PlannedLayer,
    parent: Option<&Digest>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Unpacked> {
    let info = store.content().info(&layer.blob.digest)?;
    let info = info.ok_or_else(|| Error::Invalid(format!("archive has no blob {}", layer.blob.digest)))?;
    if info.size != layer.blob.size {
        return Err(Error::SizeMismatch { expected: layer.blob.size, got: info.size });
    }
    let diff_id = layer.diff_id.clone();
    progress(Progress::Unpacking { diff_id: diff_id.clone(), size: info.size });
    let done = layer::unpack(store, hold, &layer.blob, parent, &diff_id)?;
    progress(Progress::Unpacked { diff_id });
    Ok(done)
}

/// A config blob: its bytes and what they say.
pub(super) fn config(store: &Store, digest: &Digest) -> Result<(Vec<u8>, ImageConfig)> {
    let bytes = store.content().read(digest, DOCUMENT_MAX)?;
    let parsed = json("image config", &bytes)?;
    Ok((bytes, parsed))
}

/// A config must name as many layers as the manifest. Docker's words.
pub(super) fn check(config: &ImageConfig, layers: usize) -> Result<()> {
    let named = config.rootfs.diff_ids.len();
    if named != layers {
        return Err(Error::Invalid(format!(
            "invalid manifest, layers length mismatch: expected {layers}, got {named}"
        )));
    }
    if layers > LAYERS_MAX {
        return Err(Error::Invalid("max depth exceeded".to_owned()));
    }
    Ok(())
}

/// Parses a document from the archive. What is no JSON is told in Go's words, as users of Docker know them.
pub(super) fn json<T: serde::de::DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    let words = |error| types::go_json::syntax_error(bytes).unwrap_or_else(|| format!("{what}: {error}"));
    serde_json::from_slice(bytes).map_err(|error| Error::Invalid(words(error)))
}
