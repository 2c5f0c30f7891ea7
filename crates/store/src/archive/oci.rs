//! OCI image layouts (image-spec, image-layout.md): `index.json` -> indexes -> manifests -> config and layers.

use types::{Descriptor, ImageRef, Index, Manifest, Platform, image::media_type};

use super::{
    DOCUMENT_MAX,
    assemble::{self, Planned, PlannedLayer},
};
use crate::{
    error::{Error, Result},
    store::Store,
};

/// Indexes in indexes.
const DEPTH_MAX: usize = 4;
/// Where containerd and BuildKit put the whole name, and where the specification has room for one.
pub(super) const FULL_NAME: &str = "io.containerd.image.name";
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// BuildKit's mark of manifests that only describe another one.
const ATTESTATION: &str = "vnd.docker.reference.type";

/// The images that `index` lists. Of several platforms of one image, the wanted one.
pub(super) fn images(store: &Store, index: &[u8], platform: Option<&Platform>) -> Result<Vec<Planned>> {
    let index: Index = assemble::json("index.json", index)?;
    let mut images: Vec<Planned> = Vec::new();
    for descriptor in index.manifests.iter().filter(|d| !d.annotations.contains_key(ATTESTATION)) {
        let manifest = choose(store, descriptor, platform, 0)?;
        let names = names(descriptor);
        // Several names of one image are several entries with one digest.
        if let Some(known) =
            images.iter_mut().find(|i| i.manifest.as_ref().map(|m| &m.digest) == Some(&manifest.digest))
        {
            known.names.extend(names);
            continue;
        }
        images.push(image(store, manifest, names)?);
    }
    if images.is_empty() {
        return Err(Error::Invalid("archive has no images".to_owned()));
    }
    Ok(images)
}

/// Goes through indexes down to one manifest.
fn choose(
    store: &Store,
    descriptor: &Descriptor,
    platform: Option<&Platform>,
    depth: usize,
) -> Result<Descriptor> {
    match descriptor.media_type.as_str() {
        media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => return Ok(descriptor.clone()),
        media_type::OCI_INDEX | media_type::DOCKER_LIST if depth < DEPTH_MAX => {}
        other => return Err(Error::Unsupported(format!("media type {other:?} in an image layout"))),
    }
    let bytes = blob(store, descriptor)?;
    let index: Index = assemble::json(descriptor.digest.as_str(), &bytes)?;
    let images: Vec<_> =
        index.manifests.iter().filter(|d| !d.annotations.contains_key(ATTESTATION)).collect();
    let host = Platform::host();
    let wanted = platform.unwrap_or(&host);
    let fits = |d: &&&Descriptor| d.platform.as_ref().is_some_and(|p| p.runs_on(wanted));
    let chosen = match images.iter().find(fits) {
        Some(chosen) => chosen,
        // Nothing to choose from, and nothing said about what it runs on.
        None if images.len() == 1 && platform.is_none() => images[0],
        None => return Err(Error::Invalid(format!("image has no manifest for platform {wanted}"))),
    };
    choose(store, chosen, platform, depth + 1)
}

fn image(store: &Store, descriptor: Descriptor, names: Vec<ImageRef>) -> Result<Planned> {
    let bytes = blob(store, &descriptor)?;
    let manifest: Manifest = assemble::json(descriptor.digest.as_str(), &bytes)?;
    let (config, parsed) = assemble::config(store, &manifest.config.digest)?;
    assemble::check(&parsed, manifest.layers.len())?;
    let pairs = manifest.layers.into_iter().zip(&parsed.rootfs.diff_ids);
    let layers = pairs.map(|(blob, diff_id)| PlannedLayer { diff_id: diff_id.clone(), blob }).collect();
    let id = manifest.config.digest;
    let manifest = Some(Descriptor { annotations: std::collections::BTreeMap::new(), ..descriptor });
    Ok(Planned { id, config, parsed, manifest, layers, names })
}

/// A document by descriptor. The blob's digest was checked when it came in; its size is checked here.
fn blob(store: &Store, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let bytes = store.content().read(&descriptor.digest, DOCUMENT_MAX)?;
    if bytes.len() as u64 != descriptor.size {
        return Err(Error::SizeMismatch { expected: descriptor.size, got: bytes.len() as u64 });
    }
    Ok(bytes)
}

/// The name that the index gives an image, if it is a whole one: many tools only write the tag.
fn names(descriptor: &Descriptor) -> Vec<ImageRef> {
    let full = descriptor.annotations.get(FULL_NAME);
    let other = descriptor.annotations.get(REF_NAME).filter(|name| name.contains(['/', ':']));
    let name = full.or(other).and_then(|name| name.parse::<ImageRef>().ok());
    name.map(ImageRef::with_default_tag).into_iter().collect()
}
