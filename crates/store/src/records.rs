//! Records: JSON documents of the engine (containers, networks), each with an id and a unique name.

use rusqlite::{OptionalExtension as _, Row, params};

use crate::{
    db::{Db, Durability},
    error::{Error, Result},
};

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// A container.
    Container,
    /// A network.
    Network,
}

impl RecordKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Network => "network",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Container => "container name",
            Self::Network => "network name",
        }
    }
}

/// One record as it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Unique, never changes.
    pub id: String,
    /// Unique at any time; changes by [`Records::update`].
    pub name: String,
    /// The engine's document.
    pub json: String,
}

/// The records of one kind.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a> {
    db: &'a Db,
    kind: RecordKind,
}

impl Db {
    /// The records of `kind`.
    pub fn records(&self, kind: RecordKind) -> Records<'_> {
        Records { db: self, kind }
    }

    /// A new container; an `Exists` error whose holder is the other container if the name is taken. Flushed.
    pub fn create_container(&self, id: &str, name: &str, json: &str) -> Result<()> {
        self.records(RecordKind::Container).create(id, name, json)
    }

    /// A new state of an existing container, under its old name or another free one.
    pub fn put_container(&self, id: &str, name: &str, json: &str) -> Result<()> {
        self.records(RecordKind::Container).update(id, name, json, Durability::Process)
    }

    /// All containers.
    pub fn containers(&self) -> Result<Vec<Record>> {
        self.records(RecordKind::Container).list()
    }

    /// Forgets a container. Whether it existed. Not flushed, as Docker's removal is not: after a sudden end of power a
    /// container may be there again that was removed in the last moment, and is removed again.
    pub fn delete_container(&self, id: &str) -> Result<bool> {
        self.records(RecordKind::Container).delete_with(id, Durability::Process)
    }
}

impl Records<'_> {
    /// A new record, flushed to disk before this returns.
    pub fn create(&self, id: &str, name: &str, json: &str) -> Result<()> {
        self.db.write(Durability::Power, |tx| {
            self.check_name(tx, id, name)?;
            let known: bool = tx
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM records WHERE kind = ?1 AND id = ?2)")?
                .query_row([self.kind.as_str(), id], |row| row.get(0))?;
            if known {
                let (what, name) = (self.kind.as_str(), id.to_owned());
                return Err(Error::Exists { what, name, holder: Some(id.to_owned()) });
            }
            tx.prepare_cached("INSERT INTO records (kind, id, name, body) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![self.kind.as_str(), id, name, json])?;
            Ok(())
        })
    }

    /// Replaces name and document of an existing record.
    pub fn update(&self, id: &str, name: &str, json: &str, durability: Durability) -> Result<()> {
        self.db.write_freeing(durability, |tx| {
            self.check_name(tx, id, name)?;
            let changed = tx
                .prepare_cached("UPDATE records SET name = ?3, body = ?4 WHERE kind = ?1 AND id = ?2")?
                .execute(params![self.kind.as_str(), id, name, json])?;
            if changed == 0 { Err(Error::not_found(self.kind.as_str(), id)) } else { Ok(()) }
        })
    }

    /// The record with this id.
    pub fn get(&self, id: &str) -> Result<Option<Record>> {
        self.db.read(|db| {
            Ok(db
                .prepare_cached("SELECT id, name, body FROM records WHERE kind = ?1 AND id = ?2")?
                .query_row([self.kind.as_str(), id], record)
                .optional()?)
        })
    }

    /// All records of the kind, by id.
    pub fn list(&self) -> Result<Vec<Record>> {
        self.db.read(|db| {
            let mut statement =
                db.prepare_cached("SELECT id, name, body FROM records WHERE kind = ?1 ORDER BY id")?;
            let rows = statement.query_map([self.kind.as_str()], record)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Forgets a record. Whether it existed. Flushed to disk.
    pub fn delete(&self, id: &str) -> Result<bool> {
        self.delete_with(id, Durability::Power)
    }

    fn delete_with(&self, id: &str, durability: Durability) -> Result<bool> {
        self.db.write_freeing(durability, |tx| {
            let gone = tx
                .prepare_cached("DELETE FROM records WHERE kind = ?1 AND id = ?2")?
                .execute([self.kind.as_str(), id])?;
            Ok(gone > 0)
        })
    }

    fn check_name(&self, tx: &rusqlite::Transaction<'_>, id: &str, name: &str) -> Result<()> {
        let holder: Option<String> = tx
            .prepare_cached("SELECT id FROM records WHERE kind = ?1 AND name = ?2 AND id <> ?3")?
            .query_row([self.kind.as_str(), name, id], |row| row.get(0))
            .optional()?;
        match holder {
            None => Ok(()),
            holder => Err(Error::Exists { what: self.kind.name(), name: name.to_owned(), holder }),
        }
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record { id: row.get(0)?, name: row.get(1)?, json: row.get(2)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_free_again_after_delete_or_rename() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wharf.db");
        let db = Db::open(&path).unwrap();
        db.create_container("1", "a", "{}").unwrap();
        let error = db.create_container("2", "a", "{}").unwrap_err();
        assert!(
            matches!(&error, Error::Exists { holder: Some(holder), .. } if holder == "1"),
            "{error} should name the holder"
        );
        assert!(db.create_container("1", "b", "{}").is_err());
        db.put_container("1", "b", "{\"x\":1}").unwrap();
        db.create_container("2", "a", "{}").unwrap();
        assert!(db.put_container("2", "b", "{}").is_err());
        assert!(db.put_container("3", "c", "{}").unwrap_err().is_not_found());
        drop(db);
        let db = Db::open(&path).unwrap();
        let ids: Vec<_> = db.containers().unwrap().into_iter().map(|r| (r.id, r.name, r.json)).collect();
        assert_eq!(
            ids,
            [
                ("1".to_owned(), "b".to_owned(), "{\"x\":1}".to_owned()),
                ("2".to_owned(), "a".to_owned(), "{}".to_owned())
            ]
        );
        assert!(db.delete_container("1").unwrap());
        assert!(!db.delete_container("1").unwrap());
        assert!(db.records(RecordKind::Network).list().unwrap().is_empty());
    }
}
