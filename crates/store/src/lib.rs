//! What lies on disk: blobs, snapshots, diffs, volumes, names, leases, records.
//!
//! Words: a *blob* is bytes named by their digest; a *layer* is a blob that is a (compressed) tar; unpacked it has a
//! *diff id* (digest of the tar), stacked on others a *chain id*. A *snapshot* is a tree: *active* ones can be written
//! and have a key, *committed* ones cannot and have a name (for layers: the chain id). A *reference* names an image.
//! A *lease* says who uses what; a *hold* protects what is just being made from the garbage collection.
//!
//! ```text
//!   reference --> image (config, manifest) --> layers --> blob        content/
//!                                                `-----> snapshot     erofs/    --> Vec<Mount>
//!   container record --lease--> image, active snapshot, volume       volumes/
//! ```
//!
//! Invariants: what was acknowledged survives SIGKILL, image names and container records also power loss; what was
//! half done is undone at the next [`Store::open`]; bytes are on disk before a record points at them; no lock is held
//! across long input or output. Nothing here is async: callers with a runtime use blocking tasks.

pub mod archive;
mod compression;
pub mod content;
pub mod db;
mod diff;
mod erofs;
mod error;
mod flight;
mod gc;
pub mod gzip;
mod hash;
mod images;
pub mod layer;
mod leases;
mod paths;
mod records;
pub mod snapshot;
mod store;
#[cfg(test)]
mod tests;
mod trash;
mod volume;

pub use compression::{Compression, Decompressor};
pub use content::{BlobInfo, ContentStore, Ingest};
pub use db::{Db, Durability};
pub use diff::subtree;
pub use error::{Error, Result};
pub use flight::{Flight, Flights};
pub use gc::Swept;
pub use hash::{HashReader, Sha256, sha256};
pub use images::{ImageRecord, ImageTable, LayerRecord};
pub use leases::{Hold, Leases, Resource};
pub use paths::Paths;
pub use records::{Record, RecordKind, Records};
pub use snapshot::{Change, ChangeKind, Snapshotter};
pub use store::{Options, Store};
pub use volume::{LOCAL, Volume, Volumes, is_mount};
