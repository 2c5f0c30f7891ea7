//! `prune`: those that do not run.

use std::collections::BTreeMap;

use types::Result;

use super::inspect::size_of;
use super::request::RemoveRequest;
use super::state::Status;
use super::view::Pruned;
use super::{Containers, Request, ask};
use crate::{Filters, blocking, clock};

impl Containers {
    /// Removes those that do not run and match (`until label label!`).
    pub async fn prune(&self, filters: &Filters) -> Result<Pruned> {
        filters.accept_only(&["label", "label!", "until"])?;
        let until = match filters.get("until") {
            [] => None,
            [one] => Some(clock::parse_until(one)?),
            _ => return Err(types::Error::invalid("more than one until filter specified")),
        };
        let mut pruned = Pruned::default();
        for handle in self.handles() {
            let record = handle.record();
            let idle = matches!(record.state.status(), Status::Created | Status::Exited | Status::Dead);
            if !idle || !filters.labels(record.labels()) || until.is_some_and(|until| record.created > until)
            {
                continue;
            }
            let (shared, of) = (self.0.clone(), record.clone());
            let bytes = blocking(move || size_of(&shared, &of)).await.map_or(0, |size| size.rw_bytes);
            // One that was started in the meantime refuses.
            if ask(&handle, |reply| Request::Remove { request: RemoveRequest::default(), reply })
                .await
                .is_ok()
            {
                pruned.space_bytes += bytes;
                pruned.deleted.push(record.id.to_string());
            }
        }
        let freed = BTreeMap::from([("reclaimed".to_owned(), pruned.space_bytes.to_string())]);
        self.0.events.publish("container", "prune", "", freed);
        Ok(pruned)
    }
}
