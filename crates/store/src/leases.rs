//! Leases say, on disk, who uses what; holds protect, in memory, what is being made just now.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use rusqlite::params;
use types::Digest;

use crate::{
    db::{Db, Durability},
    error::Result,
};

/// Something that can be in use.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// An image by its id.
    Image(Digest),
    /// A snapshot by its key or name.
    Snapshot(String),
    /// A blob by its digest.
    Blob(Digest),
    /// A volume by its name.
    Volume(String),
}

impl Resource {
    pub(crate) fn columns(&self) -> (&'static str, &str) {
        match self {
            Self::Image(id) => ("image", id.as_str()),
            Self::Snapshot(key) => ("snapshot", key),
            Self::Blob(digest) => ("blob", digest.as_str()),
            Self::Volume(name) => ("volume", name),
        }
    }

    fn parse(kind: &str, name: String) -> Option<Self> {
        Some(match kind {
            "image" => Self::Image(name.parse().ok()?),
            "snapshot" => Self::Snapshot(name),
            "blob" => Self::Blob(name.parse().ok()?),
            "volume" => Self::Volume(name),
            _ => return None,
        })
    }
}

/// The table of leases. An owner is an opaque text, for containers their id.
#[derive(Debug, Clone, Copy)]
pub struct Leases<'a> {
    db: &'a Db,
}

impl<'a> Leases<'a> {
    pub(crate) fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// `owner` needs `resource`. Twice is once.
    pub fn add(&self, owner: &str, resource: &Resource) -> Result<()> {
        self.add_all(owner, std::slice::from_ref(resource))
    }

    /// `owner` needs all of these, in one transaction.
    pub fn add_all(&self, owner: &str, resources: &[Resource]) -> Result<()> {
        self.db.write(Durability::Process, |tx| {
            let mut statement = tx.prepare_cached("INSERT OR IGNORE INTO leases VALUES (?1, ?2, ?3)")?;
            for resource in resources {
                let (kind, name) = resource.columns();
                statement.execute(params![owner, kind, name])?;
            }
            Ok(())
        })
    }

    /// `owner` needs nothing any more.
    pub fn remove(&self, owner: &str) -> Result<()> {
        self.db.write_freeing(Durability::Process, |tx| {
            tx.prepare_cached("DELETE FROM leases WHERE owner = ?1")?.execute([owner])?;
            Ok(())
        })
    }

    /// `owner` does not need `resource` any more.
    pub fn remove_one(&self, owner: &str, resource: &Resource) -> Result<()> {
        let (kind, name) = resource.columns();
        self.db.write_freeing(Durability::Process, |tx| {
            tx.prepare_cached("DELETE FROM leases WHERE owner = ?1 AND kind = ?2 AND resource = ?3")?
                .execute([owner, kind, name])?;
            Ok(())
        })
    }

    /// Who needs `resource`, sorted.
    pub fn holders(&self, resource: &Resource) -> Result<Vec<String>> {
        self.db.read(|db| holders(db, resource))
    }

    /// All leases as (owner, resource).
    pub fn list(&self) -> Result<Vec<(String, Resource)>> {
        self.db.read(|db| {
            let mut statement =
                db.prepare_cached("SELECT owner, kind, resource FROM leases ORDER BY owner, kind, resource")?;
            let rows = statement
                .query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)))?;
            let mut leases = Vec::new();
            for row in rows {
                let (owner, kind, name) = row?;
                leases.extend(Resource::parse(&kind, name).map(|resource| (owner, resource)));
            }
            Ok(leases)
        })
    }
}

pub(crate) fn holders(db: &rusqlite::Connection, resource: &Resource) -> Result<Vec<String>> {
    let (kind, name) = resource.columns();
    let mut statement =
        db.prepare_cached("SELECT owner FROM leases WHERE kind = ?1 AND resource = ?2 ORDER BY owner")?;
    let rows = statement.query_map([kind, name], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What is pinned at the moment, and since when holds exist.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    inner: Mutex<PinTable>,
}

#[derive(Debug, Default)]
pub(crate) struct PinTable {
    count: HashMap<Resource, usize>,
    holds: HashMap<u64, SystemTime>,
    next: u64,
}

impl PinTable {
    pub(crate) fn is_pinned(&self, resource: &Resource) -> bool {
        self.count.contains_key(resource)
    }

    /// What is newer than this may belong to a hold.
    pub(crate) fn oldest_hold(&self) -> Option<SystemTime> {
        self.holds.values().min().copied()
    }
}

impl Pins {
    pub(crate) fn lock(&self) -> MutexGuard<'_, PinTable> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hold(self: &Arc<Self>) -> Hold {
        let mut table = self.lock();
        let number = table.next;
        table.next += 1;
        table.holds.insert(number, SystemTime::now());
        drop(table);
        Hold { pins: Arc::clone(self), number, pinned: Mutex::default() }
    }
}

/// Protects blobs and snapshots of an operation under way (pull, load, build) from the garbage collection: all that is
/// made while it exists, and what is [pinned](Hold::pin) because it was there already. Ends with the process, because
/// then the operation has ended too.
#[derive(Debug)]
pub struct Hold {
    pins: Arc<Pins>,
    number: u64,
    pinned: Mutex<Vec<Resource>>,
}

impl Hold {
    /// Protects something from now on. Pin first, then look whether it exists.
    pub fn pin(&self, resource: Resource) {
        *self.pins.lock().count.entry(resource.clone()).or_default() += 1;
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner).push(resource);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let pinned = std::mem::take(&mut *self.pinned.lock().unwrap_or_else(PoisonError::into_inner));
        let mut table = self.pins.lock();
        table.holds.remove(&self.number);
        for resource in pinned {
            if let Some(count) = table.count.get_mut(&resource) {
                *count -= 1;
                if *count == 0 {
                    table.count.remove(&resource);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_listed_by_resource_and_go_with_their_owner() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("wharf.db")).unwrap();
        let leases = Leases::new(&db);
        let (a, b) = (Resource::Snapshot("a".to_owned()), Resource::Volume("b".to_owned()));
        leases.add_all("one", &[a.clone(), b.clone()]).unwrap();
        leases.add("two", &b).unwrap();
        leases.add("two", &b).unwrap();
        assert_eq!(leases.holders(&b).unwrap(), ["one", "two"]);
        leases.remove("one").unwrap();
        assert!(leases.holders(&a).unwrap().is_empty());
        assert_eq!(leases.list().unwrap(), [("two".to_owned(), b.clone())]);
        leases.remove_one("two", &b).unwrap();
        assert!(leases.list().unwrap().is_empty());
    }

    #[test]
    fn a_pin_lasts_as_long_as_the_last_hold_on_it() {
        let pins = Arc::new(Pins::default());
        let resource = Resource::Snapshot("a".to_owned());
        let (one, two) = (pins.hold(), pins.hold());
        one.pin(resource.clone());
        two.pin(resource.clone());
        assert!(pins.lock().oldest_hold().is_some());
        drop(one);
        assert!(pins.lock().is_pinned(&resource));
        drop(two);
        assert!(!pins.lock().is_pinned(&resource));
        assert!(pins.lock().oldest_hold().is_none());
    }
}
