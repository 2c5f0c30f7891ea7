//! Who is there: ids and names to the handles of drivers.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};

use tokio::sync::{mpsc, watch};
use types::{ContainerId, Result};

use super::driver::Request;
use super::record::Record;
use super::view::Health;
use crate::error::{ambiguous_prefix, name_conflict, no_such_container};

/// One container as readers see it; replaced as a whole at each change.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// The record as it was last kept.
    pub(crate) record: Arc<Record>,
    /// How often it has ended since this daemon knows it: waiting for the next end is waiting for a change of this.
    pub(crate) ends: u64,
    /// What its health checks say.
    pub(crate) health: Option<Health>,
    /// It is gone.
    pub(crate) removed: bool,
}

/// How to reach one container.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    /// Its identity.
    pub(crate) id: ContainerId,
    /// Its driver.
    pub(crate) requests: mpsc::Sender<Request>,
    /// What is so now.
    pub(crate) view: watch::Receiver<View>,
    /// Held for reading by those who look at the files of a container that does not run, for writing by its start: as
    /// with Docker, it starts when they are done. Only taken on threads that may wait.
    pub(crate) files: Arc<RwLock<()>>,
}

impl Handle {
    /// The record as it is now.
    pub(crate) fn record(&self) -> Arc<Record> {
        self.view.borrow().record.clone()
    }
}

/// All containers.
#[derive(Debug, Default)]
pub(crate) struct Table {
    by_id: BTreeMap<ContainerId, Handle>,
    /// Also names that are only reserved, by a create under way.
    names: HashMap<String, ContainerId>,
}

impl Table {
    /// Takes a name, or says who has it.
    pub(crate) fn reserve(&mut self, name: &str, id: &ContainerId) -> Result<()> {
        match self.names.get(name) {
            Some(holder) => Err(name_conflict(name, holder)),
            None => {
                self.names.insert(name.to_owned(), id.clone());
                Ok(())
            }
        }
    }

    /// Whether a name is taken.
    pub(crate) fn is_taken(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Gives a name back, if it is this container's.
    pub(crate) fn release(&mut self, name: &str, id: &ContainerId) {
        if self.names.get(name) == Some(id) {
            self.names.remove(name);
        }
    }

    /// A container whose name is reserved.
    pub(crate) fn insert(&mut self, handle: Handle) {
        self.by_id.insert(handle.id.clone(), handle);
    }

    /// Forgets a container and its name.
    pub(crate) fn remove(&mut self, id: &ContainerId, name: &str) {
        self.by_id.remove(id);
        self.release(name, id);
    }

    /// By Docker's rule: full id, then name, then unambiguous prefix of an id.
    pub(crate) fn find(&self, text: &str) -> Result<Handle> {
        if let Ok(id) = text.parse::<ContainerId>()
            && let Some(handle) = self.by_id.get(&id)
        {
            return Ok(handle.clone());
        }
        let bare = text.strip_prefix('/').unwrap_or(text);
        if let Some(handle) = self.names.get(bare).and_then(|id| self.by_id.get(id)) {
            return Ok(handle.clone());
        }
        if text.is_empty() || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(no_such_container(text));
        }
        let mut matching = self.by_id.values().filter(|handle| handle.id.as_str().starts_with(text));
        match (matching.next(), matching.next()) {
            (Some(handle), None) => Ok(handle.clone()),
            (Some(_), Some(_)) => Err(ambiguous_prefix(text)),
            (None, _) => Err(no_such_container(text)),
        }
    }

    /// All, by id.
    pub(crate) fn all(&self) -> Vec<Handle> {
        self.by_id.values().cloned().collect()
    }
}
