//! The metadata: one SQLite file, one writer, write-ahead log.
//!
//! ```text
//! images     id*, config, manifest, layers, size, created, parent, added_at      one row per image
//! names      reference*, image_id -> images, updated_at                          tags and digests
//! snapshots  key*, driver, number, parent, kind, bytes, inodes, created_at       trees on disk
//! leases     (owner, kind, resource)*                                            who needs what
//! records    (kind, id)*, name unique per kind, body                             containers, networks: the engine's JSON
//! volumes    name*, driver, labels, options, created_at, anonymous
//! settings   key*, value
//! ```
//! `user_version` counts the migrations that were applied. A commit is flushed to disk where [`Durability::Power`] is
//! asked for, which also carries everything committed before it; otherwise it survives the end of the process, not
//! that of the machine.

mod reserve;

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use crate::error::{Error, Result};
use reserve::Reserve;

/// Entry N brings a database from version N to N + 1. Never edit one that was released.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE images (
        id TEXT PRIMARY KEY, config BLOB NOT NULL, manifest TEXT, layers TEXT NOT NULL, size INTEGER NOT NULL,
        created TEXT NOT NULL, parent TEXT, added_at TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX images_by_parent ON images(parent);
    CREATE TABLE names (
        reference TEXT PRIMARY KEY, image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
        updated_at TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX names_by_image ON names(image_id);
    CREATE TABLE snapshots (
        key TEXT PRIMARY KEY, driver TEXT NOT NULL, number INTEGER NOT NULL UNIQUE, parent TEXT,
        kind TEXT NOT NULL, bytes INTEGER NOT NULL DEFAULT 0, inodes INTEGER NOT NULL DEFAULT 0,
        created_at TEXT NOT NULL
    );
    CREATE INDEX snapshots_by_parent ON snapshots(parent);
    CREATE TABLE leases (
        owner TEXT NOT NULL, kind TEXT NOT NULL, resource TEXT NOT NULL, PRIMARY KEY (owner, kind, resource)
    ) WITHOUT ROWID;
    CREATE INDEX leases_by_resource ON leases(kind, resource);
    CREATE TABLE records (
        kind TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, id),
        UNIQUE (kind, name)
    ) WITHOUT ROWID;
    CREATE TABLE volumes (
        name TEXT PRIMARY KEY, driver TEXT NOT NULL, labels TEXT NOT NULL, options TEXT NOT NULL,
        created_at TEXT NOT NULL, anonymous INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"];

/// What a commit must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of this process, by any signal.
    Process,
    /// Also the end of power: the log is flushed before the call returns.
    Power,
}

/// The database. Changes are serialised, and so are reads, but reads do not wait for a flush to disk.
#[derive(Debug)]
pub struct Db {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    path: PathBuf,
    reserve: Reserve,
}

impl Db {
    /// Opens or makes the file and brings its schema up to date.
    pub fn open(path: &Path) -> Result<Self> {
        let reserve = Reserve::beside(path);
        let (writer, reader) = match connect_both(path) {
            // SQLite needs files of its own beside the database, and says in many ways that it cannot make them.
            Err(_) if reserve.spend() => connect_both(path)?,
            other => other?,
        };
        reserve.refill();
        Ok(Self { writer: Mutex::new(writer), reader: Mutex::new(reader), path: path.to_owned(), reserve })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A value kept under `key`, such as the daemon's identity.
    pub fn setting(&self, key: &str) -> Result<Option<String>> {
        let connection = lock(&self.reader);
        let mut statement = connection.prepare_cached("SELECT value FROM settings WHERE key = ?1")?;
        Ok(statement.query_row([key], |row| row.get(0)).optional()?)
    }

    /// Keeps `value` under `key`.
    pub fn set_setting(&self, key: &str, value: &str) -> Result<()> {
        self.write(Durability::Power, |tx| {
            tx.execute("INSERT OR REPLACE INTO settings VALUES (?1, ?2)", params![key, value])?;
            Ok(())
        })
    }

    /// Runs `read` on the connection.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        read(&lock(&self.reader))
    }

    /// Runs `change` in one transaction, which is kept when it returns `Ok` and undone otherwise.
    pub(crate) fn write<T>(
        &self,
        durability: Durability,
        change: impl FnOnce(&Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let result = self.write_once(durability, change);
        if result.is_ok() {
            self.reserve.refill();
        }
        result
    }

    /// The same for a change that frees something, or tells what has become of something: it works on a full disk.
    pub(crate) fn write_freeing<T>(
        &self,
        durability: Durability,
        change: impl Fn(&Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        match self.write_once(durability, &change) {
            Err(Error::NoSpace { .. }) => {
                self.reserve.spend();
                // The log starts again where it began, in blocks that it has already. A reader may be in the way.
                let restarted = "PRAGMA wal_checkpoint(RESTART)";
                let _busy = lock(&self.writer).query_row(restarted, [], |_| Ok(()));
                self.write_once(durability, &change)
            }
            result => result,
        }
    }

    fn write_once<T>(
        &self,
        durability: Durability,
        change: impl FnOnce(&Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut connection = lock(&self.writer);
        if durability == Durability::Power {
            connection.pragma_update(None, "synchronous", "FULL")?;
        }
        let result = transact(&mut connection, change);
        if durability == Durability::Power {
            connection.pragma_update(None, "synchronous", "NORMAL")?;
        }
        result
    }
}

/// The connection that writes and the one that reads.
fn connect_both(path: &Path) -> Result<(Connection, Connection)> {
    let mut writer = connect(path)?;
    writer.pragma_update(None, "journal_mode", "WAL")?;
    writer.pragma_update(None, "synchronous", "NORMAL")?;
    migrate(&mut writer)?;
    let reader = connect(path)?;
    reader.pragma_update(None, "query_only", true)?;
    Ok((writer, reader))
}

fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    // A panic in a transaction has rolled it back, so the connection is fit for use.
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn transact<T>(connection: &mut Connection, change: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = change(&tx)?;
    tx.commit()?;
    Ok(value)
}

fn migrate(connection: &mut Connection) -> Result<()> {
    let known = MIGRATIONS.len() as i64;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if !(0..=known).contains(&found) {
        return Err(Error::NewerSchema { found, known });
    }
    for (version, script) in (1..).zip(MIGRATIONS).skip(found as usize) {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(script)?;
        tx.pragma_update(None, "user_version", version)?;
        tx.commit()?;
    }
    Ok(())
}

/// The time now as records keep it: RFC 3339 in UTC with nanoseconds.
pub(crate) fn now() -> String {
    let now = time::OffsetDateTime::now_utc();
    now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}

/// Text that this program wrote and must be able to read back.
pub(crate) fn decode<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::Invalid(format!("{what} in wharf.db: {error}")))
}

/// The text that [`decode`] reads.
pub(crate) fn encode<T: serde::Serialize>(what: &'static str, value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Invalid(format!("{what}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_a_reopen_and_newer_schemas_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wharf.db");
        let db = Db::open(&path).unwrap();
        assert_eq!(db.setting("id").unwrap(), None);
        db.set_setting("id", "a").unwrap();
        db.set_setting("id", "b").unwrap();
        drop(db);
        let db = Db::open(&path).unwrap();
        assert_eq!(db.setting("id").unwrap().as_deref(), Some("b"));
        lock(&db.writer).pragma_update(None, "user_version", 99).unwrap();
        drop(db);
        assert!(matches!(Db::open(&path), Err(Error::NewerSchema { found: 99, .. })));
    }

    #[test]
    fn a_failed_change_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("wharf.db")).unwrap();
        let result: Result<()> = db.write(Durability::Process, |tx| {
            tx.execute("INSERT INTO settings VALUES ('a', 'b')", [])?;
            Err(Error::Invalid("stop".to_owned()))
        });
        assert!(result.is_err());
        assert_eq!(db.setting("a").unwrap(), None);
    }
}
