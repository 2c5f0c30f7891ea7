//! `docker image prune`.

use std::collections::{BTreeMap, HashMap};

use types::{ErrorKind, Result};

use super::{Images, Pruned, Removed, Shared, list};
use crate::Filters;

const FILTERS: &[&str] = &["dangling", "label", "label!", "until"];

impl Images {
    /// Removes images that nobody uses: dangling ones, or with `dangling=false` also named ones.
    pub async fn prune(&self, filters: Filters) -> Result<Pruned> {
        self.blocking(move |shared| prune(shared, &filters)).await
    }
}

fn prune(shared: &Shared, filters: &Filters) -> Result<Pruned> {
    filters.accept_only(FILTERS)?;
    let dangling_only = filters.boolean("dangling", true)?;
    let until = match filters.get("until") {
        [] => None,
        // Docker's status for a wrong one is 500 here.
        [one] => Some(crate::clock::parse_until(one).map_err(|error| types::Error::internal(error.message))?),
        _ => return Err(types::Error::invalid("more than one until filter specified")),
    };
    let images = shared.store.images();
    let records = images.list()?;
    let sizes: HashMap<String, u64> =
        records.iter().flat_map(|r| &r.layers).map(|l| (l.chain_id.to_string(), l.bytes)).collect();
    let mut pruned = Pruned::default();
    for record in &records {
        let labels = record.parsed().ok().and_then(|parsed| parsed.config).and_then(|config| config.labels);
        let is_intermediate =
            !images.children(&record.id)?.is_empty() && (dangling_only || record.names.is_empty());
        if is_intermediate
            || until.is_some_and(|until| list::created(record) > until)
            || !filters.labels(&labels.unwrap_or_default())
            || dangling_only && record.names.iter().any(|name| name.tag().is_some())
        {
            continue;
        }
        let targets: Vec<String> = match record.names.as_slice() {
            [] => vec![record.id.hex().to_owned()],
            names => names.iter().map(ToString::to_string).collect(),
        };
        for target in targets {
            match shared.remove(&target, false, true) {
                Ok(removed) => pruned.removed.extend(removed),
                // In use, or gone with an earlier name: not what prune is about.
                Err(error) if matches!(error.kind, ErrorKind::Conflict | ErrorKind::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
    }
    pruned.space_reclaimed_bytes = pruned
        .removed
        .iter()
        .filter_map(|removed| match removed {
            Removed::Deleted(id) => sizes.get(id),
            Removed::Untagged(_) => None,
        })
        .sum();
    // What pulls that failed or were given up have left behind.
    pruned.space_reclaimed_bytes += shared.store.prune()?.bytes;
    let reclaimed = pruned.space_reclaimed_bytes.to_string();
    shared.events.publish("image", "prune", "", BTreeMap::from([("reclaimed".to_owned(), reclaimed)]));
    Ok(pruned)
}
