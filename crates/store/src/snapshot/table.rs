//! The rows of `snapshots`, as all implementations use them.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Kind, SnapshotInfo, Usage};
use crate::{
    db::{self, Db, Durability},
    error::{Error, IoContext, Result},
    paths,
    trash::Trash,
};

/// Deeper stacks cannot come from an image (Docker's bound is 127 layers), only from a damaged database.
const MAX_DEPTH: usize = 1000;

/// One row.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) number: u64,
    pub(super) info: SnapshotInfo,
}

/// The rows of one driver and the directory with its trees.
#[derive(Debug)]
pub(super) struct Table {
    db: Arc<Db>,
    driver: &'static str,
    dir: PathBuf,
    trash: Arc<Trash>,
    next: AtomicU64,
    /// Numbers from here on were given out by this process.
    first: u64,
}

impl Table {
    pub(super) fn open(
        paths: &paths::Paths,
        db: Arc<Db>,
        trash: Arc<Trash>,
        driver: &'static str,
    ) -> Result<Self> {
        let dir = paths.snapshots(driver);
        paths::make(&dir, 0o710)?;
        let rows: u64 = db.read(|db| {
            Ok(db
                .query_row("SELECT coalesce(max(number), 0) FROM snapshots", [], |row| row.get::<_, i64>(0))?
                .cast_unsigned())
        })?;
        // Trees without a row may not have been swept yet: their numbers are taken too.
        let trees = numbered(&dir)?.into_iter().max().unwrap_or(0);
        let first = rows.max(trees) + 1;
        Ok(Self { db, driver, dir, trash, next: AtomicU64::new(first), first })
    }

    /// Takes what lies in the directory of a snapshot away.
    pub(super) fn discard(&self, path: &Path) -> Result<()> {
        self.trash.discard(path)
    }

    /// Where the tree of a snapshot and its scratch space lie.
    pub(super) fn dir(&self, number: u64) -> PathBuf {
        self.dir.join(number.to_string())
    }

    pub(super) fn tree(&self, number: u64) -> PathBuf {
        self.dir(number).join("diff")
    }

    /// Adds a row after `make` has built what belongs to its number.
    pub(super) fn add(
        &self,
        key: &str,
        parent: Option<&str>,
        kind: Kind,
        make: impl FnOnce(u64, Option<&Row>) -> Result<()>,
    ) -> Result<Row> {
        if self.find(key)?.is_some() {
            return Err(exists(key));
        }
        let below = parent.map(|parent| self.committed(parent)).transpose()?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let created_at = db::now();
        let made = make(number, below.as_ref()).and_then(|()| {
            self.db.write(Durability::Process, |tx| {
                // The parent may have gone while the tree was made.
                if let Some(parent) = parent
                    && find(tx, self.driver, parent)?.is_none()
                {
                    return Err(Error::not_found("snapshot", parent));
                }
                if find(tx, self.driver, key)?.is_some() {
                    return Err(exists(key));
                }
                tx.prepare_cached(
                    "INSERT INTO snapshots (key, driver, number, parent, kind, created_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![
                    key,
                    self.driver,
                    number.cast_signed(),
                    parent,
                    kind_name(kind),
                    created_at
                ])?;
                Ok(())
            })
        });
        if let Err(error) = made {
            // The first error is the one to tell; what stays is swept at the next open.
            let _ = self.trash.discard(&self.dir(number));
            return Err(error);
        }
        let parent = parent.map(str::to_owned);
        let info = SnapshotInfo { key: key.to_owned(), parent, kind, usage: Usage::default(), created_at };
        Ok(Row { number, info })
    }

    pub(super) fn find(&self, key: &str) -> Result<Option<Row>> {
        self.db.read(|db| find(db, self.driver, key))
    }

    pub(super) fn get(&self, key: &str) -> Result<Row> {
        self.find(key)?.ok_or_else(|| Error::not_found("snapshot", key))
    }

    pub(super) fn active(&self, key: &str) -> Result<Row> {
        let row = self.get(key)?;
        if row.info.kind == Kind::Active {
            return Ok(row);
        }
        Err(Error::Invalid(format!("snapshot {key} is not active")))
    }

    fn committed(&self, key: &str) -> Result<Row> {
        let row = self.get(key)?;
        if row.info.kind == Kind::Committed {
            return Ok(row);
        }
        Err(Error::Invalid(format!("snapshot {key} is not committed and cannot be a parent")))
    }

    /// The snapshots below `row`, topmost first.
    pub(super) fn parents(&self, row: &Row) -> Result<Vec<Row>> {
        self.db.read(|db| {
            let mut parents = Vec::new();
            let mut next = row.info.parent.clone();
            while let Some(key) = next {
                if parents.len() == MAX_DEPTH {
                    return Err(Error::Invalid(format!("snapshot {} has too many parents", row.info.key)));
                }
                let parent =
                    find(db, self.driver, &key)?.ok_or_else(|| Error::not_found("snapshot", &key))?;
                next = parent.info.parent.clone();
                parents.push(parent);
            }
            Ok(parents)
        })
    }

    /// Gives an active snapshot without parent a parent.
    pub(super) fn rebase(&self, key: &str, parent: &str) -> Result<()> {
        let row = self.active(key)?;
        if row.info.parent.is_some() {
            return Err(Error::Invalid(format!("snapshot {key} has a parent already")));
        }
        self.committed(parent)?;
        self.db.write(Durability::Process, |tx| {
            tx.prepare_cached("UPDATE snapshots SET parent = ?2 WHERE key = ?1")?.execute([key, parent])?;
            Ok(())
        })
    }

    /// Turns the active snapshot `key` into the committed snapshot `name`.
    pub(super) fn commit(&self, name: &str, key: &str, usage: Usage) -> Result<()> {
        self.db.write(Durability::Process, |tx| {
            if find(tx, self.driver, name)?.is_some() {
                return Err(exists(name));
            }
            tx.prepare_cached(
                "UPDATE snapshots SET key = ?2, kind = 'committed', bytes = ?3, inodes = ?4, created_at = ?5
                 WHERE key = ?1",
            )?
            .execute(params![
                key,
                name,
                usage.bytes.cast_signed(),
                usage.inodes.cast_signed(),
                db::now()
            ])?;
            Ok(())
        })
    }

    /// Deletes the row, then the tree.
    pub(super) fn remove(&self, key: &str) -> Result<()> {
        let number = self.db.write_freeing(Durability::Process, |tx| {
            let row = find(tx, self.driver, key)?.ok_or_else(|| Error::not_found("snapshot", key))?;
            let mut statement =
                tx.prepare_cached("SELECT key FROM snapshots WHERE parent = ?1 ORDER BY key")?;
            let holders: Vec<String> =
                statement.query_map([key], |row| row.get(0))?.collect::<Result<_, _>>()?;
            if !holders.is_empty() {
                return Err(Error::InUse { what: "snapshot", name: key.to_owned(), holders });
            }
            tx.prepare_cached("DELETE FROM snapshots WHERE key = ?1")?.execute([key])?;
            Ok(row.number)
        })?;
        self.trash.discard(&self.dir(number))
    }

    pub(super) fn walk(&self) -> Result<Vec<SnapshotInfo>> {
        self.db.read(|db| {
            let mut statement = db.prepare_cached(&format!("{SELECT} WHERE driver = ?1 ORDER BY number"))?;
            let rows = statement.query_map([self.driver], row)?;
            Ok(rows.map(|row| row.map(|row| row.info)).collect::<Result<_, _>>()?)
        })
    }

    /// Deletes trees from before this process that have no row.
    pub(super) fn sweep(&self) -> Result<usize> {
        let mut swept = 0;
        for number in numbered(&self.dir)?.into_iter().filter(|number| *number < self.first) {
            let known: bool = self.db.read(|db| {
                Ok(db
                    .prepare_cached("SELECT EXISTS (SELECT 1 FROM snapshots WHERE number = ?1)")?
                    .query_row([number.cast_signed()], |row| row.get(0))?)
            })?;
            if !known {
                self.trash.discard(&self.dir(number))?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}

const SELECT: &str = "SELECT key, number, parent, kind, bytes, inodes, created_at FROM snapshots";

fn find(db: &Connection, driver: &str, key: &str) -> Result<Option<Row>> {
    Ok(db
        .prepare_cached(&format!("{SELECT} WHERE key = ?1 AND driver = ?2"))?
        .query_row([key, driver], row)
        .optional()?)
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let kind = match row.get::<_, String>(3)?.as_str() {
        "committed" => Kind::Committed,
        "view" => Kind::View,
        _ => Kind::Active,
    };
    let usage =
        Usage { bytes: row.get::<_, i64>(4)?.cast_unsigned(), inodes: row.get::<_, i64>(5)?.cast_unsigned() };
    Ok(Row {
        number: row.get::<_, i64>(1)?.cast_unsigned(),
        info: SnapshotInfo { key: row.get(0)?, parent: row.get(2)?, kind, usage, created_at: row.get(6)? },
    })
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Active => "active",
        Kind::View => "view",
        Kind::Committed => "committed",
    }
}

fn exists(key: &str) -> Error {
    Error::Exists { what: "snapshot", name: key.to_owned(), holder: None }
}

/// The directories in `dir` whose names are numbers.
fn numbered(dir: &Path) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).at("listing", dir)? {
        let entry = entry.at("listing", dir)?;
        found.extend(entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    Ok(found)
}
