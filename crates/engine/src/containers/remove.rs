//! `remove`: everything a container has.
//!
//! Order on disk: the record says "removing", then leases, snapshot, files, volumes go, then the record. A crash in
//! between leaves a record that [`restore`](super::restore) removes.

use std::sync::Arc;

use types::{Error, Result};

use super::record::Record;
use super::request::RemoveRequest;
use super::{Containers, Request, Shared, ask, files, room};

impl Containers {
    /// Removes it and all it has.
    pub async fn remove(&self, name: &str, request: RemoveRequest) -> Result<()> {
        let handle = self.find(name)?;
        if request.link {
            // What is not `/parent/alias` names the container itself; links are legacy and never made.
            let own = Error::internal("Conflict, cannot remove the default link name of the container");
            return Err(own);
        }
        ask(&handle, |reply| Request::Remove { request, reply }).await
    }
}

/// Removes all that lies on disk, the volumes that the record still calls its own included. `record` says that it is
/// being removed. Blocks.
pub(crate) fn from_disk(shared: &Arc<Shared>, record: &Record) -> Result<()> {
    let store = &shared.store;
    shared.keep(record)?;
    store.leases().remove(record.id.as_str())?;
    room::unlimit(store, record.id.as_str(), &record.host_config.storage_opt);
    match store.snapshots().remove(record.id.as_str()) {
        Err(error) if !error.is_not_found() => return Err(error.into()),
        _ => {}
    }
    files::remove_dir(&shared.data_dir(&record.id))?;
    files::remove_dir(&shared.run_dir(&record.id))?;
    for mount in record.mounts.iter().filter(|m| m.anonymous) {
        // Another container may have taken it over by --volumes-from: then it stays.
        if let Err(error) = shared.volumes.remove_now(&mount.point.name) {
            tracing::debug!(volume = mount.point.name, %error, "an anonymous volume stays");
        }
    }
    store.db().delete_container(record.id.as_str())?;
    Ok(())
}
