//! What a push is about: which layers, under which names, and the manifest that says so.

use std::collections::{BTreeMap, HashMap};

use store::Resource;

use super::*;

/// No honest manifest is larger (distribution's own limit).
const MANIFEST_MAX: u64 = 4 << 20;

/// An image on its way to a registry.
pub(super) struct Plan {
    pub(super) record: ImageRecord,
    /// The one it has.
    pub(super) manifest: Option<Described>,
    /// Base first.
    pub(super) layers: Vec<Planned>,
    /// Protects it all meanwhile.
    pub(super) hold: store::Hold,
}

/// A manifest and its bytes.
pub(super) struct Described {
    pub(super) parsed: Manifest,
    pub(super) bytes: Bytes,
    pub(super) media_type: String,
    pub(super) digest: Digest,
}

/// A layer as it may be sent.
pub(super) struct Planned {
    pub(super) diff_id: Digest,
    /// Under this name registries may have it; whether it is here is not said.
    pub(super) named: Option<Descriptor>,
    /// Another repository of the same registry that may have that.
    pub(super) mount: Option<String>,
    /// What is here.
    pub(super) kept: Option<Descriptor>,
}

impl Plan {
    /// Whether the image's own manifest speaks of these very blobs.
    pub(super) fn is_about(&self, sent: &[Descriptor]) -> bool {
        let Some(manifest) = &self.manifest else { return false };
        manifest.parsed.layers.iter().map(|layer| &layer.digest).eq(sent.iter().map(|layer| &layer.digest))
    }
}

impl Shared {
    /// Looks up what is known about the image. Blocks.
    pub(super) fn plan(&self, id: &Digest, name: &ImageRef) -> Result<Plan> {
        let hold = self.store.hold();
        let record =
            self.store.images().get(id)?.ok_or_else(|| crate::error::no_such_image(&name.familiar()))?;
        let manifest = record.manifest.as_ref().map(|manifest| self.described(manifest)).transpose()?;
        if manifest.as_ref().is_some_and(|manifest| manifest.parsed.layers.len() != record.layers.len()) {
            return Err(Error::internal("the image's manifest and config differ in their layers"));
        }
        let mount = elsewhere(&record, name);
        let mut layers: Vec<Planned> = Vec::with_capacity(record.layers.len());
        for (at, layer) in record.layers.iter().enumerate() {
            let kept = layer.blob.clone();
            let named = match &manifest {
                Some(manifest) => manifest.parsed.layers.get(at).cloned(),
                None => kept.clone().filter(|blob| !is_plain(blob)),
            };
            layers.push(Planned { diff_id: layer.diff_id.clone(), named, mount: mount.clone(), kept });
        }
        if layers.iter().any(|layer| layer.named.is_none()) {
            self.name_as_others(&mut layers, name)?;
        }
        Ok(Plan { record, manifest, layers, hold })
    }

    fn described(&self, manifest: &Descriptor) -> Result<Described> {
        let bytes = self.store.content().read(&manifest.digest, MANIFEST_MAX)?;
        let parsed = serde_json::from_slice(&bytes).map_err(Error::internal)?;
        let (media_type, digest) = (manifest.media_type.clone(), manifest.digest.clone());
        Ok(Described { parsed, bytes: bytes.into(), media_type, digest })
    }

    /// A layer that another image has, too, goes by the name that it has in that one's manifest: where that image was
    /// pushed or pulled from, it is already.
    fn name_as_others(&self, layers: &mut [Planned], name: &ImageRef) -> Result<()> {
        let mut wanted: HashMap<Digest, &mut Planned> = layers
            .iter_mut()
            .filter(|layer| layer.named.is_none())
            .map(|layer| (layer.diff_id.clone(), layer))
            .collect();
        for other in self.store.images().list()? {
            let Some(manifest) = &other.manifest else { continue };
            if !other.layers.iter().any(|layer| wanted.contains_key(&layer.diff_id)) {
                continue;
            }
            let manifest = self.described(manifest)?;
            for (layer, named) in other.layers.iter().zip(manifest.parsed.layers) {
                if let Some(layer) = wanted.remove(&layer.diff_id) {
                    layer.named = Some(named);
                    layer.mount = elsewhere(&other, name);
                }
            }
        }
        Ok(())
    }

    /// Gives the image a manifest about what was sent. It is the image's own from now on, if it had none; otherwise it
    /// is for this push, and kept as long as the hold is. Blocks.
    pub(super) fn describe(&self, mut plan: Plan, sent: Vec<Descriptor>) -> Result<Plan> {
        let made = self.make_manifest(&plan, &sent)?;
        if plan.manifest.is_none() {
            plan.record.manifest = Some(made.clone());
            // From now on the next push sends the same bytes; plain tars that are kept anyway give them anew.
            if !self.store.snapshots().keeps_tars() {
                for (layer, blob) in plan.record.layers.iter_mut().zip(sent) {
                    layer.blob = Some(blob);
                }
            }
            self.store.images().put(&plan.record)?;
        }
        plan.manifest = Some(self.described(&made)?);
        Ok(plan)
    }

    /// Docker's manifest, or OCI's where Docker's has no word for a layer.
    fn make_manifest(&self, plan: &Plan, blobs: &[Descriptor]) -> Result<Descriptor> {
        let is_gzip = |blob: &Descriptor| {
            matches!(blob.media_type.as_str(), media_type::DOCKER_LAYER_GZIP | media_type::OCI_LAYER_GZIP)
        };
        let kinds = match blobs.iter().all(is_gzip) {
            true => (media_type::DOCKER_MANIFEST, media_type::DOCKER_CONFIG, media_type::DOCKER_LAYER_GZIP),
            false => (media_type::OCI_MANIFEST, media_type::OCI_CONFIG, media_type::OCI_LAYER_GZIP),
        };
        let config = self.store.content().put(&plan.record.config)?;
        plan.hold.pin(Resource::Blob(config.digest.clone()));
        let layers = blobs.iter().map(|blob| {
            let kind = if is_gzip(blob) { kinds.2 } else { media_type::OCI_LAYER_ZSTD };
            Descriptor::new(kind, blob.digest.clone(), blob.size)
        });
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(kinds.0.to_owned()),
            config: Descriptor::new(kinds.1, config.digest, config.size),
            layers: layers.collect(),
            annotations: BTreeMap::new(),
        };
        let bytes = serde_json::to_vec(&manifest).map_err(Error::internal)?;
        let kept = self.store.content().put(&bytes)?;
        plan.hold.pin(Resource::Blob(kept.digest.clone()));
        Ok(Descriptor::new(kinds.0, kept.digest, kept.size))
    }
}

/// Another repository of the registry that `name` is in, from which or to which the image has come.
fn elsewhere(record: &ImageRecord, name: &ImageRef) -> Option<String> {
    let other = record.names.iter().find(|other| {
        other.digest().is_some() && other.domain() == name.domain() && other.path() != name.path()
    });
    other.map(|other| other.path().to_owned())
}

/// Whether a layer is an uncompressed tar.
pub(super) fn is_plain(blob: &Descriptor) -> bool {
    matches!(blob.media_type.as_str(), media_type::OCI_LAYER | media_type::DOCKER_LAYER)
}
