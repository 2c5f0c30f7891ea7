//! Manifests: pushed, fetched, deleted.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::Content;
use crate::server::digest::Digest;
use crate::server::error::{Code, Fault};
use crate::server::layout;
use crate::server::manifest::Manifest;
use crate::server::route::Reference;

/// A manifest as it is served.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    /// Byte for byte as it was pushed.
    pub(crate) bytes: Bytes,
    /// What it says, if it is of a kind that we know.
    pub(crate) manifest: Option<Manifest>,
}

/// Where the parts of a manifest are that is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parts {
    /// In the repository, or it is refused.
    Here,
    /// At the upstream, from where they come when somebody asks for them.
    Upstream,
}

/// The `mediaType` of anything that has one.
pub(super) fn own_word(bytes: &[u8]) -> String {
    let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
    value["mediaType"].as_str().unwrap_or("application/octet-stream").to_owned()
}

fn unknown(name: &str, reference: &Reference) -> Fault {
    let detail = match reference {
        Reference::Tag(tag) => json!({ "name": name, "tag": tag }),
        Reference::Digest(digest) => json!({ "name": name, "digest": digest.as_str() }),
    };
    Fault::new(Code::ManifestUnknown, "manifest unknown").with_detail(detail)
}

impl Content {
    /// The digest that a reference means in a repository.
    pub(crate) async fn resolve(&self, name: &str, reference: &Reference) -> Result<Digest, Fault> {
        let digest = match reference {
            Reference::Tag(tag) => self.link(layout::tag_current(name, tag)).await?,
            Reference::Digest(digest) => Some(digest.clone()),
        };
        let digest = digest.ok_or_else(|| unknown(name, reference))?;
        let revision = self.link(layout::revision_link(name, &digest)).await?;
        revision.map(|_| digest).ok_or_else(|| unknown(name, reference))
    }

    /// A manifest of a repository.
    pub(crate) async fn manifest(&self, name: &str, reference: &Reference) -> Result<Arc<Stored>, Fault> {
        let digest = self.resolve(name, reference).await?;
        let stored = self.stored(&digest).await?;
        stored.ok_or_else(|| unknown(name, reference))
    }

    /// Takes a manifest, checked, under its digest and `tags`.
    pub(crate) async fn put_manifest(
        &self,
        name: &str,
        digest: &Digest,
        bytes: Bytes,
        manifest: &Manifest,
        tags: &[String],
        parts: Parts,
    ) -> Result<(), Fault> {
        let _gate = self.gate.read().await;
        if parts == Parts::Here {
            self.check_parts(name, manifest).await?;
        }
        self.touch(digest);
        if self.blob_meta(digest).await?.is_none() {
            self.storage.write(&layout::blob(digest), bytes).await?;
            self.metas.forget(digest);
            self.manifests.forget(digest);
        }
        if let Some(subject) = &manifest.subject {
            self.write_link(layout::referrer_link(name, subject, digest), digest).await?;
        }
        self.write_link(layout::revision_link(name, digest), digest).await?;
        for tag in tags {
            self.write_link(layout::tag_index(name, tag, digest), digest).await?;
            self.write_link(layout::tag_current(name, tag), digest).await?;
        }
        Ok(())
    }

    /// All that a manifest needs must be in the repository: every blob that does not lie elsewhere, every entry.
    async fn check_parts(&self, name: &str, manifest: &Manifest) -> Result<(), Fault> {
        let mut missing = Vec::new();
        for digest in manifest.blobs() {
            self.touch(&digest);
            let linked = self.link(layout::layer_link(name, &digest)).await?.is_some();
            if !linked || self.blob_meta(&digest).await?.is_none() {
                missing.push(digest);
            }
        }
        for digest in manifest.entries() {
            self.touch(&digest);
            if self.link(layout::revision_link(name, &digest)).await?.is_none() {
                missing.push(digest);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let mut fault = Fault::new(
            Code::ManifestBlobUnknown,
            "manifest references a manifest or blob unknown to registry",
        );
        fault.rest.more = missing.iter().map(|digest| json!({ "digest": digest.as_str() })).collect();
        Err(fault)
    }

    /// Forgets a manifest and every tag that names it; returns those tags.
    pub(crate) async fn delete_manifest(&self, name: &str, digest: &Digest) -> Result<Vec<String>, Fault> {
        if !self.has_repository(name).await? {
            return Err(
                Fault::new(Code::NameUnknown, "repository name not known to registry").with_detail(name)
            );
        }
        let _gate = self.gate.read().await;
        let stored = self.manifest(name, &Reference::Digest(digest.clone())).await?;
        let mut untagged = Vec::new();
        for tag in self.tags(name).await? {
            if self.link(layout::tag_current(name, &tag)).await?.as_ref() == Some(digest) {
                self.remove_tag(name, &tag).await?;
                untagged.push(tag);
            }
        }
        self.remove_link(layout::revision_link(name, digest)).await?;
        if let Some(subject) = stored.manifest.as_ref().and_then(|manifest| manifest.subject.as_ref()) {
            self.remove_link(layout::referrer_link(name, subject, digest)).await?;
        }
        Ok(untagged)
    }
}
