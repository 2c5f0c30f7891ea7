//! `manifest.json` of `docker save`: a list of images, each with config, names and layers by path.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use types::{Descriptor, ImageConfig, ImageRef, Platform};

use super::{
    assemble::{self, Planned, PlannedLayer},
    spool::Spool,
};
use crate::{
    compression::Compression,
    content::BlobInfo,
    error::{Error, Result},
    store::Store,
};

/// One image of `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Item {
    pub(super) config: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) layers: Vec<String>,
}

/// Go writes `null` for no names.
fn or_empty<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// The images that `manifest` lists, as far as they are for `platform`.
pub(super) fn images(
    store: &Store,
    spool: &Spool,
    manifest: &[u8],
    platform: Option<&Platform>,
) -> Result<Vec<Planned>> {
    let items: Vec<Item> = assemble::json("manifest.json", manifest)?;
    let images = items.iter().map(|item| image(store, spool, item));
    let is_wanted = |image: &Planned| platform.is_none_or(|wanted| image.parsed.platform().runs_on(wanted));
    images.filter(|image| image.as_ref().map_or(true, is_wanted)).collect()
}

fn image(store: &Store, spool: &Spool, item: &Item) -> Result<Planned> {
    let config_blob = spool.file(&item.config)?;
    let (config, parsed) = assemble::config(store, &config_blob.digest)?;
    check_os(&parsed)?;
    let diff_ids = &parsed.rootfs.diff_ids;
    assemble::check(&parsed, item.layers.len())?;
    let mut layers = Vec::with_capacity(diff_ids.len());
    for (path, diff_id) in item.layers.iter().zip(diff_ids) {
        let blob = describe(store, spool.file(path)?)?;
        layers.push(PlannedLayer { diff_id: diff_id.clone(), blob });
    }
    let mut names = Vec::with_capacity(item.repo_tags.len());
    for tag in &item.repo_tags {
        let name: ImageRef = tag
            .parse()
            .map_err(|error: types::reference::InvalidReference| Error::Invalid(error.to_string()))?;
        if name.tag().is_none() || name.digest().is_some() {
            return Err(Error::Invalid(format!("invalid tag {tag:?}")));
        }
        names.push(name);
    }
    Ok(Planned { id: config_blob.digest.clone(), config, parsed, manifest: None, layers, names })
}

/// The descriptor of a layer about which the archive only has the bytes.
fn describe(store: &Store, info: &BlobInfo) -> Result<Descriptor> {
    use std::io::Read as _;
    let mut start = Vec::new();
    let file = store.content().open_blob(&info.digest)?;
    file.take(8).read_to_end(&mut start).map_err(Error::Input)?;
    let media_type = Compression::detect(&start).layer_media_type();
    let media_type =
        media_type.ok_or_else(|| Error::Unsupported("layers in bzip2 or xz compression".to_owned()))?;
    Ok(Descriptor::new(media_type, info.digest.clone(), info.size))
}

/// What `docker save` writes for an image.
pub(super) fn item(id: &types::Digest, names: &[ImageRef], layers: &[Descriptor]) -> Item {
    let path = |digest: &types::Digest| format!("blobs/sha256/{}", digest.hex());
    Item {
        config: path(id),
        repo_tags: names.iter().filter(|name| name.tag().is_some()).map(ImageRef::familiar).collect(),
        layers: layers.iter().map(|layer| path(&layer.digest)).collect(),
    }
}

/// What readers from before `manifest.json` look for: by repository and tag, the digits of the topmost layer's digest.
pub(super) fn repositories(items: &[Item]) -> BTreeMap<&str, BTreeMap<&str, &str>> {
    let mut repositories: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for item in items {
        let top = item.layers.last().and_then(|path| path.rsplit('/').next());
        let named =
            item.repo_tags.iter().filter_map(|name| name.rsplit_once(':')).zip(top.into_iter().cycle());
        for ((repository, tag), top) in named {
            repositories.entry(repository).or_default().insert(tag, top);
        }
    }
    repositories
}

/// Only Linux images can be used here. Docker's words.
pub(super) fn check_os(config: &ImageConfig) -> Result<()> {
    if config.os.is_empty() || config.os == "linux" {
        return Ok(());
    }
    Err(Error::Invalid(format!("cannot load {} image on linux", config.os)))
}
