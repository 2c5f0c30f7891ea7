//! `docker image inspect` and `docker history`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use store::ImageRecord;
use types::{Error, Result};

use super::{HistoryEntry, ImageDetails, Images, Shared};
use crate::Timestamp;

impl Images {
    /// All about the image that `name` (reference, id or prefix) means.
    pub async fn inspect(&self, name: &str) -> Result<ImageDetails> {
        let text = name.to_owned();
        self.blocking(move |shared| {
            let record = shared.find(&text)?;
            shared.details(record)
        })
        .await
    }

    /// The steps that made an image, newest first.
    pub async fn history(&self, name: &str) -> Result<Vec<HistoryEntry>> {
        let text = name.to_owned();
        self.blocking(move |shared| {
            let record = shared.find(&text)?;
            let mut entries = steps(&record)?;
            shared.name_steps(&mut entries, record)?;
            Ok(entries)
        })
        .await
    }
}

impl Shared {
    fn details(&self, record: ImageRecord) -> Result<ImageDetails> {
        #[derive(serde::Deserialize)]
        struct Raw {
            #[serde(default)]
            config: serde_json::Value,
        }
        let raw: Raw = serde_json::from_slice(&record.config).map_err(Error::internal)?;
        let last_tagged = self.store.images().last_tagged(&record.id)?;
        Ok(ImageDetails {
            repo_tags: record.repo_tags(),
            repo_digests: record.repo_digests(),
            parent: record.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
            config: record.parsed()?,
            raw_config: raw.config,
            size_bytes: record.size,
            graph_driver: self.graph_driver(&record)?,
            last_tagged: last_tagged.and_then(|text| Timestamp::from_rfc3339(&text)),
            id: record.id,
        })
    }

    /// `GraphDriver` as Docker's tools read it: which names it gives the drivers, and where the trees are.
    fn graph_driver(&self, record: &ImageRecord) -> Result<(String, BTreeMap<String, String>)> {
        let snapshots = self.store.snapshots();
        let name = crate::containers::driver_name(snapshots.name());
        let mut data = BTreeMap::new();
        if let Some(top) = record.top() {
            let paths = snapshots.paths(top.as_str())?;
            let text = |path: &PathBuf| path.to_string_lossy().into_owned();
            let mut lower = paths.lower.iter();
            // A committed tree has no upper of its own: Docker shows the layer itself there.
            let upper = paths.upper.as_ref().or_else(|| lower.next());
            data.insert("MergedDir".to_owned(), text(&paths.merged));
            data.extend(upper.map(|path| ("UpperDir".to_owned(), text(path))));
            let work = paths.work.unwrap_or_else(|| paths.merged.with_file_name("work"));
            data.insert("WorkDir".to_owned(), text(&work));
            let below: Vec<String> = lower.map(text).collect();
            if !below.is_empty() {
                data.insert("LowerDir".to_owned(), below.join(":"));
            }
        }
        Ok((name.to_owned(), data))
    }

    /// Ids and tags for those steps whose images are here: the image itself, and what it was built from.
    fn name_steps(&self, entries: &mut [HistoryEntry], image: ImageRecord) -> Result<()> {
        let mut current = Some(image);
        for entry in entries {
            let Some(record) = current else { break };
            entry.id = record.id.to_string();
            entry.tags = record.repo_tags();
            current = match &record.parent {
                Some(parent) => self.store.images().get(parent)?,
                None => None,
            };
        }
        Ok(())
    }
}

fn steps(record: &ImageRecord) -> Result<Vec<HistoryEntry>> {
    let mut layers = record.layers.iter();
    let mut entries = Vec::new();
    for step in record.parsed()?.history {
        let size_bytes = match step.empty_layer {
            true => 0,
            false => {
                let layer = layers.next();
                layer.ok_or_else(|| Error::internal("too many non-empty layers in History section"))?.bytes
            }
        };
        let created = step.created.as_deref().and_then(Timestamp::from_rfc3339);
        entries.push(HistoryEntry {
            id: "<missing>".to_owned(),
            created: created.map_or(0, Timestamp::seconds),
            created_by: step.created_by,
            tags: Vec::new(),
            size_bytes,
            comment: step.comment,
        });
    }
    entries.reverse();
    Ok(entries)
}
