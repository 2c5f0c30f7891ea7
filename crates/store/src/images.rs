//! Images and their names.
//!
//! An image's id is the digest of its config. A name is a reference with a tag, or with the digest of the manifest or
//! index it was pulled by; both point at an id. An image without names is *dangling* and stays until it is removed.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};
use types::{Descriptor, Digest, ImageConfig, ImageRef};

use crate::{
    db::{self, Durability},
    error::{Error, Result},
    leases::{self, Resource},
    store::Store,
};

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Name of the snapshot of this layer on top of those before it.
    pub chain_id: Digest,
    /// The blob as it came, if it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<Descriptor>,
    /// Sum of its files' lengths.
    pub bytes: u64,
}

/// One image.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageRecord {
    /// Digest of the config.
    pub id: Digest,
    /// The config as it came, byte for byte.
    pub config: Vec<u8>,
    /// The manifest it came with, kept in the content store.
    pub manifest: Option<Descriptor>,
    /// Base first.
    pub layers: Vec<LayerRecord>,
    /// Sum of the layers' bytes: Docker's size.
    pub size: u64,
    /// RFC 3339, from the config; empty if it has none.
    pub created: String,
    /// The image it was built or committed from on this machine.
    pub parent: Option<Digest>,
    /// When it came here, RFC 3339. Filled by [`ImageTable::put`] when empty.
    pub added_at: String,
    /// Its names, tags and digests, sorted. Filled when read; [`ImageTable::put`] adds them.
    pub names: Vec<ImageRef>,
}

impl ImageRecord {
    /// The config, parsed.
    pub fn parsed(&self) -> Result<ImageConfig> {
        serde_json::from_slice(&self.config)
            .map_err(|error| Error::Invalid(format!("config of image {}: {error}", self.id)))
    }

    /// Name of the snapshot with all layers; none for an image without layers.
    pub fn top(&self) -> Option<&Digest> {
        self.layers.last().map(|layer| &layer.chain_id)
    }

    /// Tags, as Docker shows them.
    pub fn repo_tags(&self) -> Vec<String> {
        self.names.iter().filter(|name| name.tag().is_some()).map(ImageRef::familiar).collect()
    }

    /// Digest references, as Docker shows them.
    pub fn repo_digests(&self) -> Vec<String> {
        self.names
            .iter()
            .filter(|name| name.tag().is_none() && name.digest().is_some())
            .map(ImageRef::familiar)
            .collect()
    }
}

/// What removing an image took away.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removed {
    /// Chain ids of layers nobody else uses, topmost first.
    pub layers: Vec<Digest>,
    /// Their bytes.
    pub bytes: u64,
}

/// The images of one store.
#[derive(Debug, Clone, Copy)]
pub struct ImageTable<'a> {
    store: &'a Store,
}

impl<'a> ImageTable<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Keeps an image and points its names at it, taking them from other images. One that is there already keeps its
    /// parent and names. Blobs and snapshots must be there. Flushed to disk before this returns.
    pub fn put(&self, image: &ImageRecord) -> Result<()> {
        self.put_all(std::slice::from_ref(image))
    }

    /// The same for several images: all or none.
    pub fn put_all(&self, images: &[ImageRecord]) -> Result<()> {
        let now = db::now();
        for top in images.iter().filter_map(ImageRecord::top) {
            self.store.snapshots().make_ready(top.as_str())?;
        }
        self.store.db().write(Durability::Power, |tx| {
            for image in images {
                insert(tx, image, &now)?;
                for name in &image.names {
                    set_name(tx, name, &image.id, &now)?;
                }
            }
            Ok(())
        })
    }

    /// The image with this id.
    pub fn get(&self, id: &Digest) -> Result<Option<ImageRecord>> {
        self.store.db().read(|db| get(db, id))
    }

    /// The image that exactly this name points at. Give it a tag or a digest first.
    pub fn by_name(&self, name: &ImageRef) -> Result<Option<ImageRecord>> {
        self.store.db().read(|db| match id_of(db, name)? {
            Some(id) => get(db, &id),
            None => Ok(None),
        })
    }

    /// What a user means: an id with or without `sha256:`, a name (tag `latest` if none is given), or the beginning of
    /// an id, in Docker's order.
    pub fn resolve(&self, text: &str) -> Result<ImageRecord> {
        let missing = || Error::not_found("image", text);
        let full = if types::id::is_full_id(text) { format!("sha256:{text}") } else { text.to_owned() };
        if let Ok(id) = full.parse::<Digest>() {
            return self.get(&id)?.ok_or_else(missing);
        }
        if let Ok(name) = text.parse::<ImageRef>() {
            // A tag beside a digest says nothing: the digest decides.
            let name = match name.digest() {
                Some(digest) => name.with_digest(digest.clone()),
                None => name.with_default_tag(),
            };
            if let Some(image) = self.by_name(&name)? {
                return Ok(image);
            }
        }
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        self.by_prefix(prefix)?.ok_or_else(missing)
    }

    /// The image whose id begins with these hexadecimal digits.
    pub fn by_prefix(&self, prefix: &str) -> Result<Option<ImageRecord>> {
        if prefix.is_empty() || !prefix.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(None);
        }
        self.store.db().read(|db| {
            let (low, high) = (format!("sha256:{prefix}"), format!("sha256:{prefix}g"));
            let mut statement =
                db.prepare_cached("SELECT id FROM images WHERE id >= ?1 AND id < ?2 LIMIT 2")?;
            let ids: Vec<String> =
                statement.query_map([low, high], |row| row.get(0))?.collect::<Result<_, _>>()?;
            match ids.as_slice() {
                [] => Ok(None),
                [id] => get(db, &digest(id)?),
                _ => Err(Error::Ambiguous(prefix.to_owned())),
            }
        })
    }

    /// All images, newest first.
    pub fn list(&self) -> Result<Vec<ImageRecord>> {
        self.store.db().read(|db| {
            let mut statement = db.prepare_cached(&format!("{SELECT} ORDER BY created DESC, id"))?;
            let rows: Vec<Raw> = statement.query_map([], raw)?.collect::<Result<_, _>>()?;
            rows.into_iter().map(|row| finish(db, row)).collect()
        })
    }

    /// Every name and the id it points at, sorted.
    pub fn names(&self) -> Result<Vec<(ImageRef, Digest)>> {
        self.store.db().read(|db| {
            let mut statement =
                db.prepare_cached("SELECT reference, image_id FROM names ORDER BY reference")?;
            let rows =
                statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            rows.map(|row| {
                let (name, id) = row?;
                Ok((reference(&name)?, digest(&id)?))
            })
            .collect()
        })
    }

    /// When the newest of the image's names was set, RFC 3339.
    pub fn last_tagged(&self, id: &Digest) -> Result<Option<String>> {
        self.store.db().read(|db| {
            Ok(db
                .prepare_cached("SELECT max(updated_at) FROM names WHERE image_id = ?1")?
                .query_row([id.as_str()], |row| row.get(0))?)
        })
    }

    /// Points `name` (with a tag or digest) at the image. Returns the id it pointed at before, if another. Flushed.
    pub fn tag(&self, id: &Digest, name: &ImageRef) -> Result<Option<Digest>> {
        self.store.db().write(Durability::Power, |tx| {
            if !exists(tx, id)? {
                return Err(Error::not_found("image", id.as_str()));
            }
            let before = id_of(tx, name)?.filter(|before| before != id);
            set_name(tx, name, id, &db::now())?;
            Ok(before)
        })
    }

    /// Deletes a name. Returns the id it pointed at. Flushed.
    pub fn untag(&self, name: &ImageRef) -> Result<Digest> {
        self.store.db().write_freeing(Durability::Power, |tx| {
            let id = id_of(tx, name)?.ok_or_else(|| Error::not_found("image", name.familiar()))?;
            tx.prepare_cached("DELETE FROM names WHERE reference = ?1")?.execute([name.to_string()])?;
            Ok(id)
        })
    }

    /// Images whose parent this is.
    pub fn children(&self, id: &Digest) -> Result<Vec<Digest>> {
        self.store.db().read(|db| {
            let mut statement = db.prepare_cached("SELECT id FROM images WHERE parent = ?1 ORDER BY id")?;
            let rows = statement.query_map([id.as_str()], |row| row.get::<_, String>(0))?;
            rows.map(|row| digest(&row?)).collect()
        })
    }

    /// Whether an image has this blob as config, manifest or layer.
    pub(crate) fn names_blob(&self, digest: &Digest) -> Result<bool> {
        // Layers and manifests are JSON in which a digest stands nowhere else than in a descriptor.
        self.store.db().read(|db| {
            Ok(db
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM images
                     WHERE id = ?1 OR instr(layers, ?1) > 0 OR instr(coalesce(manifest, ''), ?1) > 0)",
                )?
                .query_row([digest.as_str()], |row| row.get(0))?)
        })
    }

    /// Owners of leases on the image: the containers that use it.
    pub fn holders(&self, id: &Digest) -> Result<Vec<String>> {
        self.store.leases().holders(&Resource::Image(id.clone()))
    }

    /// Deletes an image with all its names, and the layers and blobs that nobody else uses. Refused while a lease is on
    /// it; children are the caller's business. Flushed.
    pub fn remove(&self, id: &Digest) -> Result<Removed> {
        let image = self.store.db().write_freeing(Durability::Power, |tx| {
            let image = get(tx, id)?.ok_or_else(|| Error::not_found("image", id.as_str()))?;
            let holders = leases::holders(tx, &Resource::Image(id.clone()))?;
            if !holders.is_empty() {
                return Err(Error::InUse { what: "image", name: id.to_string(), holders });
            }
            tx.prepare_cached("DELETE FROM images WHERE id = ?1")?.execute([id.as_str()])?;
            tx.prepare_cached("UPDATE images SET parent = NULL WHERE parent = ?1")?.execute([id.as_str()])?;
            Ok(image)
        })?;
        self.store.release(&image)
    }
}

const SELECT: &str = "SELECT id, config, manifest, layers, size, created, parent, added_at FROM images";

struct Raw {
    id: String,
    config: Vec<u8>,
    manifest: Option<String>,
    layers: String,
    size: i64,
    created: String,
    parent: Option<String>,
    added_at: String,
}

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok(Raw {
        id: row.get(0)?,
        config: row.get(1)?,
        manifest: row.get(2)?,
        layers: row.get(3)?,
        size: row.get(4)?,
        created: row.get(5)?,
        parent: row.get(6)?,
        added_at: row.get(7)?,
    })
}

fn finish(db: &Connection, row: Raw) -> Result<ImageRecord> {
    let mut statement =
        db.prepare_cached("SELECT reference FROM names WHERE image_id = ?1 ORDER BY reference")?;
    let names = statement.query_map([&row.id], |name| name.get::<_, String>(0))?;
    Ok(ImageRecord {
        names: names.map(|name| reference(&name?)).collect::<Result<_>>()?,
        id: digest(&row.id)?,
        config: row.config,
        manifest: row.manifest.as_deref().map(|text| db::decode("manifest", text)).transpose()?,
        layers: db::decode("layers", &row.layers)?,
        size: row.size.cast_unsigned(),
        created: row.created,
        parent: row.parent.as_deref().map(digest).transpose()?,
        added_at: row.added_at,
    })
}

fn get(db: &Connection, id: &Digest) -> Result<Option<ImageRecord>> {
    let row =
        db.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?.query_row([id.as_str()], raw).optional()?;
    row.map(|row| finish(db, row)).transpose()
}

fn insert(db: &Connection, image: &ImageRecord, now: &str) -> Result<()> {
    let manifest = image.manifest.as_ref().map(|m| db::encode("manifest", m)).transpose()?;
    let added_at = if image.added_at.is_empty() { now } else { &image.added_at };
    db.prepare_cached(
        "INSERT INTO images (id, config, manifest, layers, size, created, parent, added_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (id) DO UPDATE SET manifest = coalesce(excluded.manifest, manifest),
             layers = CASE WHEN excluded.manifest IS NULL AND manifest IS NOT NULL
                 THEN layers ELSE excluded.layers END,
             parent = coalesce(parent, excluded.parent)",
    )?
    .execute(params![
        image.id.as_str(),
        image.config,
        manifest,
        db::encode("layers", &image.layers)?,
        image.size.cast_signed(),
        image.created,
        image.parent.as_ref().map(Digest::as_str),
        added_at
    ])?;
    Ok(())
}

fn exists(db: &Connection, id: &Digest) -> Result<bool> {
    Ok(db
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM images WHERE id = ?1)")?
        .query_row([id.as_str()], |row| row.get(0))?)
}

fn id_of(db: &Connection, name: &ImageRef) -> Result<Option<Digest>> {
    let id: Option<String> = db
        .prepare_cached("SELECT image_id FROM names WHERE reference = ?1")?
        .query_row([name.to_string()], |row| row.get(0))
        .optional()?;
    id.as_deref().map(digest).transpose()
}

fn set_name(db: &Connection, name: &ImageRef, id: &Digest, now: &str) -> Result<()> {
    if name.tag().is_none() && name.digest().is_none() {
        return Err(Error::Invalid(format!("name {name} has neither tag nor digest")));
    }
    db.prepare_cached("INSERT OR REPLACE INTO names (reference, image_id, updated_at) VALUES (?1, ?2, ?3)")?
        .execute(params![name.to_string(), id.as_str(), now])?;
    Ok(())
}

fn digest(text: &str) -> Result<Digest> {
    text.parse().map_err(|error| Error::Invalid(format!("digest {text:?} in wharf.db: {error}")))
}

fn reference(text: &str) -> Result<ImageRef> {
    text.parse().map_err(|error| Error::Invalid(format!("name {text:?} in wharf.db: {error}")))
}

#[cfg(test)]
mod tests;
