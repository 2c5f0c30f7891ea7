//! Referrers: the manifests of a repository that have a given subject (distribution-spec, "Listing Referrers").

use serde_json::{Map, Value, json};

use super::{Content, Stored};
use crate::server::digest::{Algorithm, Digest};
use crate::server::error::Fault;
use crate::server::layout;
use crate::server::route::Reference;

/// A page of descriptors, and after which digest the next one begins.
pub(crate) struct Referrers {
    pub(crate) descriptors: Vec<Value>,
    pub(crate) next: Option<Digest>,
}

/// A page's limits: an answer has to stay a manifest that clients take.
const PAGE_BYTES_MAX: usize = 3 << 20;
const PAGE_MAX: usize = 1000;

impl Content {
    /// The referrers of `subject` after `last`, of one artifact type if that is given.
    pub(crate) async fn referrers(
        &self,
        name: &str,
        subject: &Digest,
        artifact_type: Option<&str>,
        last: Option<&Digest>,
    ) -> Result<Referrers, Fault> {
        let mut digests = self.digests_in(&layout::referrers(name, subject)).await?;
        digests.extend(self.listed_by_tag(name, subject).await?);
        digests.sort();
        digests.dedup();
        let mut page = Referrers { descriptors: Vec::new(), next: None };
        let mut bytes = 0;
        let mut before: Option<Digest> = None;
        for digest in digests.into_iter().filter(|digest| last.is_none_or(|last| digest > last)) {
            let reference = Reference::Digest(digest.clone());
            let stored = match self.manifest(name, &reference).await {
                Ok(stored) => stored,
                // Deleted meanwhile, or a link that a crash left.
                Err(fault) if fault.status == http::StatusCode::NOT_FOUND => continue,
                Err(fault) => return Err(fault),
            };
            let Some(descriptor) = describe(&stored, subject) else { continue };
            if artifact_type.is_some_and(|wanted| descriptor["artifactType"].as_str() != Some(wanted)) {
                continue;
            }
            bytes += descriptor.to_string().len();
            let is_full = page.descriptors.len() >= PAGE_MAX || bytes > PAGE_BYTES_MAX;
            if is_full && !page.descriptors.is_empty() {
                page.next = before;
                break;
            }
            page.descriptors.push(descriptor);
            before = Some(digest);
        }
        Ok(page)
    }

    /// What clients listed under the fallback tag, from when the registry did not know referrers ("Enabling the
    /// Referrers API").
    async fn listed_by_tag(&self, name: &str, subject: &Digest) -> Result<Vec<Digest>, Fault> {
        let Some(digest) = self.tag(name, &fallback_tag(subject)).await? else { return Ok(Vec::new()) };
        let index = self.stored(&digest).await?;
        let manifest = index.as_ref().and_then(|stored| stored.manifest.as_ref());
        Ok(manifest.map(|manifest| manifest.entries().collect()).unwrap_or_default())
    }
}

/// `ALGORITHM-HEX`, with at most 64 digits.
fn fallback_tag(subject: &Digest) -> String {
    let hex = subject.hex();
    let algorithm: Algorithm = subject.algorithm();
    format!("{}-{}", algorithm.as_str(), hex.get(..64).unwrap_or(hex))
}

/// The entry for a referrer; `None` if that is not its subject.
fn describe(stored: &Stored, subject: &Digest) -> Option<Value> {
    let manifest = stored.manifest.as_ref()?;
    if manifest.subject.as_ref() != Some(subject) {
        return None;
    }
    let mut descriptor = Map::new();
    descriptor.insert("mediaType".into(), json!(stored.media_type));
    descriptor.insert("digest".into(), json!(stored.digest.as_str()));
    descriptor.insert("size".into(), json!(stored.bytes.len()));
    if let Some(kind) = manifest.referrer_type() {
        descriptor.insert("artifactType".into(), json!(kind));
    }
    if !manifest.annotations.is_empty() {
        descriptor.insert("annotations".into(), Value::Object(manifest.annotations.clone()));
    }
    Some(Value::Object(descriptor))
}
