//! `docker images`.

use std::collections::{HashMap, HashSet};

use store::ImageRecord;
use types::{Config, Digest, ImageRef, Result};

use super::{ImageSummary, Images, ListRequest, Shared, glob};
use crate::{Filters, Timestamp, parse_time};

const FILTERS: &[&str] = &["before", "dangling", "label", "label!", "reference", "since", "until"];

impl Images {
    /// Images, newest first.
    pub async fn list(&self, request: ListRequest) -> Result<Vec<ImageSummary>> {
        self.blocking(move |shared| list(shared, &request)).await
    }
}

/// What the filters ask for, resolved.
struct Wanted<'a> {
    filters: &'a Filters,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// `None` if not asked for.
    dangling: Option<bool>,
}

impl<'a> Wanted<'a> {
    fn new(shared: &Shared, filters: &'a Filters) -> Result<Self> {
        filters.accept_only(FILTERS)?;
        // Of several values Docker takes the last it sees.
        let created = |name: &str| -> Result<Option<Timestamp>> {
            filters.get(name).last().map(|text| Ok(created(&shared.find(text)?))).transpose()
        };
        let dangling = filters.boolean("dangling", false)?;
        let until = match filters.get("until") {
            [] => None,
            [.., last] => parse_time(last)?,
        };
        Ok(Self {
            filters,
            before: created("before")?,
            since: created("since")?,
            until,
            dangling: filters.has("dangling").then_some(dangling),
        })
    }

    /// The filters that look at the image itself.
    fn takes(&self, record: &ImageRecord, config: Option<&Config>) -> bool {
        let at = created(record);
        let labels = config.and_then(|config| config.labels.clone()).unwrap_or_default();
        let by_label = self.filters.has("label") || self.filters.has("label!");
        self.before.is_none_or(|before| at < before)
            && self.since.is_none_or(|since| at > since)
            && self.until.is_none_or(|until| at < until)
            && (!by_label || config.is_some() && self.filters.labels(&labels))
    }

    /// The names that the `reference` filter leaves.
    fn names<'r>(&self, record: &'r ImageRecord) -> Result<Vec<&'r ImageRef>> {
        let patterns = self.filters.get("reference");
        let mut names = Vec::new();
        for name in &record.names {
            let mut fits = patterns.is_empty();
            for pattern in patterns {
                fits = fits
                    || glob::matches(pattern, &name.familiar())?
                    || glob::matches(pattern, &name.familiar_repository())?;
            }
            if fits {
                names.push(name);
            }
        }
        Ok(names)
    }
}

fn list(shared: &Shared, request: &ListRequest) -> Result<Vec<ImageSummary>> {
    let wanted = Wanted::new(shared, &request.filters)?;
    let records = shared.store.images().list()?;
    let parents: HashSet<&Digest> = records.iter().filter_map(|record| record.parent.as_ref()).collect();
    let layer_users = count_layers(&records);
    let mut found = Vec::new();
    for record in &records {
        let has_children = parents.contains(&record.id);
        if wanted.dangling == Some(true)
            && (has_children || record.names.iter().any(|name| name.tag().is_some()))
        {
            continue;
        }
        // A config that cannot be read should not hide the image from the one who wants to remove it.
        let config = record.parsed().ok().and_then(|parsed| parsed.config);
        if !wanted.takes(record, config.as_ref()) {
            continue;
        }
        let names = wanted.names(record)?;
        let is_hidden = !request.all && has_children
            || wanted.dangling == Some(false)
            || request.filters.has("reference");
        if names.is_empty() && is_hidden {
            continue;
        }
        let familiar = |has_tag: bool| {
            names.iter().filter(|name| name.tag().is_some() == has_tag).map(|name| name.familiar()).collect()
        };
        let shared_size = || {
            let of_others = record.layers.iter().filter(|layer| layer_users.get(&layer.chain_id) > Some(&1));
            of_others.map(|layer| layer.bytes).sum::<u64>()
        };
        found.push(ImageSummary {
            id: record.id.clone(),
            parent: record.parent.as_ref().map(Digest::to_string).unwrap_or_default(),
            repo_tags: familiar(true),
            repo_digests: familiar(false),
            created: created(record).seconds(),
            size_bytes: record.size,
            shared_size_bytes: if request.shared_size { shared_size().cast_signed() } else { -1 },
            containers: match request.container_count {
                true => i64::try_from(shared.store.images().holders(&record.id)?.len()).unwrap_or(i64::MAX),
                false => -1,
            },
            labels: config.and_then(|config| config.labels),
        });
    }
    found.sort_by_key(|summary| std::cmp::Reverse(summary.created));
    Ok(found)
}

/// How many images use each layer.
fn count_layers(records: &[ImageRecord]) -> HashMap<&Digest, usize> {
    let mut users = HashMap::new();
    for layer in records.iter().flat_map(|record| &record.layers) {
        *users.entry(&layer.chain_id).or_default() += 1;
    }
    users
}

/// When the image was made; 1970 if it does not say.
pub(super) fn created(record: &ImageRecord) -> Timestamp {
    Timestamp::from_rfc3339(&record.created).unwrap_or_default()
}
