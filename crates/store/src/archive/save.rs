//! `docker save`: images as docker-archive and OCI image layout in one tar. The same images give the same bytes.
//!
//! Layers are written as they are kept, compressed or not: every reader of either format finds that out by itself. A
//! manifest keeps its digest if it names the very blobs that are written; otherwise there is a new one.

use std::{
    collections::BTreeSet,
    io::{BufReader, Write},
};

use serde::Serialize;
use tar::{Entry, EntryKind, Writer};
use types::{Descriptor, Digest, ImageRef, Index, Manifest, image::media_type};

use super::{
    DOCUMENT_MAX, assemble, docker,
    oci::{FULL_NAME, REF_NAME},
};
use crate::{
    error::{Error, Result},
    images::ImageRecord,
    leases::{Hold, Resource},
    store::Store,
};

/// Writes images, each with the names under which to save it, as docker-archive and OCI image layout in one tar.
pub fn save(store: &Store, images: &[(Digest, Vec<ImageRef>)], out: &mut dyn Write) -> Result<()> {
    let hold = store.hold();
    let mut plan =
        Plan { store, hold: &hold, blobs: BTreeSet::new(), items: Vec::new(), manifests: Vec::new() };
    // Everything is found before the first byte goes out: an error in the middle of a stream is hard to tell.
    let manifests: Vec<(Descriptor, Vec<u8>)> =
        images.iter().map(|(id, names)| plan.add(id, names)).collect::<Result<_>>()?;
    plan.write(&manifests, out)
}

struct Plan<'a> {
    store: &'a Store,
    hold: &'a Hold,
    blobs: BTreeSet<Digest>,
    items: Vec<docker::Item>,
    manifests: Vec<Descriptor>,
}

impl Plan<'_> {
    fn add(&mut self, id: &Digest, names: &[ImageRef]) -> Result<(Descriptor, Vec<u8>)> {
        self.hold.pin(Resource::Image(id.clone()));
        let image = self.store.images().get(id)?.ok_or_else(|| Error::not_found("image", id.as_str()))?;
        self.need(id)?;
        let mut layers = Vec::with_capacity(image.layers.len());
        for layer in &image.layers {
            let blob = layer
                .blob
                .clone()
                .ok_or_else(|| Error::not_found("blob of layer", layer.diff_id.as_str()))?;
            self.need(&blob.digest)?;
            layers.push(blob);
        }
        self.items.push(docker::item(id, names, &layers));
        let (manifest, bytes) = self.manifest(&image, layers)?;
        if names.is_empty() {
            self.manifests.push(manifest.clone());
        }
        for name in names {
            let mut named = manifest.clone();
            named.annotations.insert(FULL_NAME.to_owned(), name.to_string());
            if let Some(tag) = name.tag() {
                named.annotations.insert(REF_NAME.to_owned(), tag.to_owned());
            }
            self.manifests.push(named);
        }
        Ok((manifest, bytes))
    }

    /// The manifest that the image came with, if it is about these layers, or a new one.
    fn manifest(&self, image: &ImageRecord, layers: Vec<Descriptor>) -> Result<(Descriptor, Vec<u8>)> {
        if let Some(descriptor) = &image.manifest
            && self.store.content().contains(&descriptor.digest)?
        {
            let bytes = self.store.content().read(&descriptor.digest, DOCUMENT_MAX)?;
            let manifest: Manifest = assemble::json(descriptor.digest.as_str(), &bytes)?;
            if manifest.layers.iter().map(|layer| &layer.digest).eq(layers.iter().map(|layer| &layer.digest))
            {
                return Ok((descriptor.clone(), bytes));
            }
        }
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::OCI_MANIFEST.to_owned()),
            config: Descriptor::new(media_type::OCI_CONFIG, image.id.clone(), image.config.len() as u64),
            layers,
            annotations: std::collections::BTreeMap::new(),
        };
        let bytes = json(&manifest)?;
        let digest = crate::sha256(&bytes);
        Ok((Descriptor::new(media_type::OCI_MANIFEST, digest.clone(), bytes.len() as u64), bytes))
    }

    fn need(&mut self, digest: &Digest) -> Result<()> {
        self.hold.pin(Resource::Blob(digest.clone()));
        if !self.store.content().contains(digest)? {
            return Err(Error::not_found("blob", digest.as_str()));
        }
        self.blobs.insert(digest.clone());
        Ok(())
    }

    fn write(&self, manifests: &[(Descriptor, Vec<u8>)], out: &mut dyn Write) -> Result<()> {
        let mut writer = Writer::new(out);
        for dir in ["blobs/", "blobs/sha256/"] {
            writer.append(&Entry::new(EntryKind::Directory, dir, 0o755)).map_err(Error::Input)?;
        }
        let mut written = BTreeSet::new();
        for digest in &self.blobs {
            let file = self.store.content().open_blob(digest)?;
            let size = file.metadata().map_err(Error::Input)?.len();
            let entry = Entry { size, ..Entry::new(EntryKind::File, path(digest), 0o644) };
            let mut file = BufReader::with_capacity(128 << 10, file);
            writer.append_file(&entry, &mut file).map_err(Error::Input)?;
            written.insert(digest);
        }
        for (descriptor, bytes) in manifests {
            if written.insert(&descriptor.digest) {
                document(&mut writer, &path(&descriptor.digest), bytes)?;
            }
        }
        let index = Index {
            schema_version: 2,
            media_type: Some(media_type::OCI_INDEX.to_owned()),
            manifests: self.manifests.clone(),
            annotations: std::collections::BTreeMap::new(),
        };
        document(&mut writer, "index.json", &json(&index)?)?;
        document(&mut writer, "manifest.json", &json(&self.items)?)?;
        document(&mut writer, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let repositories = docker::repositories(&self.items);
        if !repositories.is_empty() {
            document(&mut writer, "repositories", &json(&repositories)?)?;
        }
        writer.finish().map(drop).map_err(Error::Input)
    }
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Invalid(error.to_string()))
}

fn document(writer: &mut Writer<&mut dyn Write>, path: &str, bytes: &[u8]) -> Result<()> {
    let entry = Entry { size: bytes.len() as u64, ..Entry::new(EntryKind::File, path, 0o644) };
    writer.append_file(&entry, &mut &bytes[..]).map_err(Error::Input)
}
