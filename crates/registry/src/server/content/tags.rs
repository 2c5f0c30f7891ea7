//! Tags: listed, moved, removed.

use super::Content;
use crate::server::digest::Digest;
use crate::server::error::{Code, Fault};
use crate::server::{layout, names};

impl Content {
    /// All tags of a repository, in lexical order; empty if there are none or no such repository.
    pub(crate) async fn tags(&self, name: &str) -> Result<Vec<String>, Fault> {
        let entries = self.storage.list(&layout::tags(name)).await?;
        let folders = entries.into_iter().filter(|entry| entry.is_folder && names::is_tag(&entry.name));
        let mut tags: Vec<String> = folders.map(|entry| entry.name).collect();
        tags.sort_by(|a, b| names::order(a, b));
        Ok(tags)
    }

    /// What a tag names, whether or not that is there.
    pub(crate) async fn tag(&self, name: &str, tag: &str) -> Result<Option<Digest>, Fault> {
        self.link(layout::tag_current(name, tag)).await
    }

    /// Removes a tag; `MANIFEST_UNKNOWN` if there is none.
    pub(crate) async fn delete_tag(&self, name: &str, tag: &str) -> Result<Digest, Fault> {
        let unknown = || Fault::new(Code::ManifestUnknown, "manifest unknown").with_detail(tag);
        let digest = self.tag(name, tag).await?.ok_or_else(unknown)?;
        self.remove_tag(name, tag).await?;
        Ok(digest)
    }

    pub(super) async fn remove_tag(&self, name: &str, tag: &str) -> Result<(), Fault> {
        self.storage.remove(&layout::tag(name, tag)).await?;
        self.changes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.links.forget(&layout::tag_current(name, tag).into());
        Ok(())
    }
}
