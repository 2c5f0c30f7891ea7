//! Collection of what nobody names, beside running pushes and pulls.
//!
//! Mark: every manifest that a repository links is live, and with it every blob it names. Sweep: every other blob goes,
//! one at a time, with the gate held whole and the question asked once more: not touched within the grace time, not
//! named since by a manifest that was pushed meanwhile. A push that looked for a blob (`HEAD`, mount, upload, or the
//! push of its manifest) touches it, so it cannot lose it within the grace time; and a manifest is only acknowledged
//! after all its blobs were seen with the gate held shared, so it cannot lose one at all.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::digest::{Algorithm, Digest};
use super::error::Fault;
use super::route::Reference;
use super::{RetentionOptions, Server, layout, names};

/// What a collection found, and removed unless it was only asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Nothing was removed.
    pub dry_run: bool,
    /// Repositories that were looked through.
    pub repositories: u64,
    /// Blobs that stay.
    pub live_blobs: u64,
    /// Tags that retention rules do not keep, as `NAME:TAG`.
    pub tags: Vec<String>,
    /// Manifests without a tag, or kept for another registry for long enough, as `NAME@DIGEST`.
    pub manifests: Vec<String>,
    /// Blobs that nobody names.
    pub blobs: u64,
    /// Their size.
    pub bytes: u64,
    /// Uploads that nobody went on with.
    pub uploads: u64,
    /// Their size.
    pub upload_bytes: u64,
}

/// Collects on schedule.
pub(super) async fn run(server: Arc<Server>) {
    let Some(interval) = server.config.collection.interval else { return };
    loop {
        tokio::time::sleep(interval).await;
        match collect(&server, false, false).await {
            Ok(report) => tracing::info!(
                blobs = report.blobs,
                bytes = report.bytes,
                manifests = report.manifests.len(),
                tags = report.tags.len(),
                uploads = report.uploads,
                "collected"
            ),
            Err(fault) => tracing::error!(why = fault.message, "collection failed"),
        }
    }
}

/// Collects once. `now` leaves out the grace time, for when nobody pushes.
pub(super) async fn collect(server: &Server, dry_run: bool, now: bool) -> Result<Report, Fault> {
    let options = &server.config.collection;
    let grace = if now { Duration::ZERO } else { options.grace };
    let mut report = Report { dry_run, ..Report::default() };
    // A push that is under way has touched its blobs before, and is not linked yet: it comes to its end first. All later
    // ones touch what they need after this.
    let began = {
        let _gate = server.content.gate.write().await;
        Instant::now()
    };
    let mut live = HashSet::new();
    for name in server.content.repositories().await? {
        report.repositories += 1;
        let gone = retain(server, &name, &mut report).await?;
        mark(server, &name, &gone, (grace, began), &mut live, &mut report).await?;
    }
    report.live_blobs = live.len() as u64;
    sweep(server, &live, (grace, began), &mut report).await?;
    let upload_age = if now { Duration::ZERO } else { options.upload_age };
    (report.uploads, report.upload_bytes) = server.uploads.expire(upload_age, dry_run).await?;
    server.content.forget_recent(options.grace);
    if !dry_run {
        server.metrics.collected_blobs.fetch_add(report.blobs, Ordering::Relaxed);
        server.metrics.collected_bytes.fetch_add(report.bytes, Ordering::Relaxed);
        let detail = serde_json::to_value(&report).unwrap_or_default();
        server.audit.write("", "", "collect", "", &detail);
    }
    Ok(report)
}

/// Removes the tags that the rules do not keep; returns those that are gone, or would be.
async fn retain(server: &Server, name: &str, report: &mut Report) -> Result<HashSet<String>, Fault> {
    let rules: Vec<&RetentionOptions> =
        server.config.retention.iter().filter(|rule| names::matches(&rule.repositories, name)).collect();
    if rules.is_empty() {
        return Ok(HashSet::new());
    }
    let mut tags = Vec::new();
    for tag in server.content.tags(name).await? {
        if let Ok(meta) = server.content.storage.meta(&layout::tag_current(name, &tag)).await {
            tags.push((tag, meta.modified));
        }
    }
    let gone = unretained(&rules, tags, SystemTime::now());
    for tag in &gone {
        report.tags.push(format!("{name}:{tag}"));
        if !report.dry_run {
            let _turn = server.turns.take(name).await;
            match server.content.delete_tag(name, tag).await {
                Err(fault) if fault.status != http::StatusCode::NOT_FOUND => return Err(fault),
                _ => {}
            }
        }
    }
    Ok(gone)
}

/// The tags that a rule is about and no rule keeps. Pure.
fn unretained(
    rules: &[&RetentionOptions],
    mut tags: Vec<(String, SystemTime)>,
    now: SystemTime,
) -> HashSet<String> {
    tags.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let (mut concerned, mut kept) = (HashSet::new(), HashSet::new());
    for rule in rules {
        let of_rule = tags.iter().filter(|(tag, _)| names::matches(&rule.tags, tag));
        for (position, (tag, modified)) in of_rule.enumerate() {
            concerned.insert(tag.clone());
            let age = now.duration_since(*modified).unwrap_or_default();
            if rule.keep_last.is_some_and(|count| position < count)
                || rule.keep_within.is_some_and(|within| age < within)
            {
                kept.insert(tag.clone());
            }
        }
    }
    &concerned - &kept
}

/// Adds what a repository names to `live`. Without a tag, manifests go too if that is wanted.
async fn mark(
    server: &Server,
    name: &str,
    gone: &HashSet<String>,
    (grace, began): (Duration, Instant),
    live: &mut HashSet<Digest>,
    report: &mut Report,
) -> Result<(), Fault> {
    let content = &server.content;
    let revisions = content.digests_in(&layout::revisions(name)).await?;
    // A copy of another registry's content is only good for so long; whoever asks again gets it anew.
    let ttl = server.upstreams.ttl(name);
    let kept = match server.config.collection.untagged {
        false => revisions.iter().cloned().collect(),
        true => tagged(server, name, gone, &revisions).await?,
    };
    for digest in revisions {
        let Some(stored) = content.stored(&digest).await? else { continue };
        let linked = content.storage.meta(&layout::revision_link(name, &digest)).await;
        let age = linked.ok().and_then(|meta| SystemTime::now().duration_since(meta.modified).ok());
        let is_young = age.is_some_and(|age| age < grace);
        let is_outdated = ttl.zip(age).is_some_and(|(ttl, age)| age >= ttl);
        let is_kept = kept.contains(&digest) && !is_outdated;
        if !is_kept && !is_young && !content.is_recent(&digest, grace, began) {
            let _turn = server.turns.take(name).await;
            // A push may have named it while we looked.
            if content.is_recent(&digest, grace, began) {
                live.insert(digest);
                continue;
            }
            report.manifests.push(format!("{name}@{digest}"));
            if !report.dry_run {
                match content.delete_manifest(name, &digest).await {
                    Err(fault) if fault.status != http::StatusCode::NOT_FOUND => return Err(fault),
                    _ => {}
                }
            }
            continue;
        }
        if let Some(manifest) = &stored.manifest {
            live.extend(manifest.all_blobs());
            live.extend(manifest.entries());
        }
        live.insert(digest);
    }
    Ok(())
}

/// The manifests that a tag reaches: by itself, through an index, or as the subject's referrer.
async fn tagged(
    server: &Server,
    name: &str,
    gone: &HashSet<String>,
    revisions: &[Digest],
) -> Result<HashSet<Digest>, Fault> {
    let mut kept = HashSet::new();
    let mut waiting = Vec::new();
    for tag in server.content.tags(name).await? {
        if !gone.contains(&tag) {
            waiting.extend(server.content.tag(name, &tag).await?);
        }
    }
    loop {
        while let Some(digest) = waiting.pop() {
            if !kept.insert(digest.clone()) {
                continue;
            }
            let stored = server.content.manifest(name, &Reference::Digest(digest)).await.ok();
            if let Some(manifest) = stored.as_ref().and_then(|stored| stored.manifest.as_ref()) {
                waiting.extend(manifest.entries());
            }
        }
        for digest in revisions.iter().filter(|digest| !kept.contains(*digest)) {
            let stored = server.content.stored(digest).await?;
            let manifest = stored.as_ref().and_then(|stored| stored.manifest.as_ref());
            if manifest.and_then(|manifest| manifest.subject.as_ref()).is_some_and(|one| kept.contains(one)) {
                waiting.push(digest.clone());
            }
        }
        if waiting.is_empty() {
            return Ok(kept);
        }
    }
}

async fn sweep(
    server: &Server,
    live: &HashSet<Digest>,
    limits: (Duration, Instant),
    report: &mut Report,
) -> Result<(), Fault> {
    let content = &server.content;
    for algorithm in Algorithm::ALL {
        let root = layout::blobs(algorithm);
        for folder in content.storage.list(&root).await? {
            for entry in content.storage.list(&format!("{root}/{}", folder.name)).await? {
                let text = format!("{}:{}", algorithm.as_str(), entry.name);
                let Some(digest) = Digest::parse(&text).filter(|digest| !live.contains(digest)) else {
                    continue;
                };
                sweep_blob(server, &digest, limits, report).await?;
            }
        }
    }
    Ok(())
}

async fn sweep_blob(
    server: &Server,
    digest: &Digest,
    (grace, began): (Duration, Instant),
    report: &mut Report,
) -> Result<(), Fault> {
    let content = &server.content;
    let _gate = content.gate.write().await;
    let meta = match content.storage.meta(&layout::blob(digest)).await {
        Ok(meta) => meta,
        Err(error) if error.is_absent() => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let is_young = SystemTime::now().duration_since(meta.modified).is_ok_and(|age| age < grace);
    if is_young || content.is_recent(digest, grace, began) {
        return Ok(());
    }
    report.blobs += 1;
    report.bytes += meta.size;
    if report.dry_run {
        return Ok(());
    }
    content.remove_blob_bytes(digest).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_goes_when_a_rule_is_about_it_and_none_keeps_it() {
        let now = SystemTime::now();
        let day = Duration::from_secs(86_400);
        let tags = |list: &[(&str, u32)]| -> Vec<(String, SystemTime)> {
            list.iter().map(|(tag, days)| ((*tag).to_owned(), now - day * *days)).collect()
        };
        let rule = |tags: &str, keep_last: Option<usize>, days: Option<u32>| RetentionOptions {
            repositories: "**".to_owned(),
            tags: tags.to_owned(),
            keep_last,
            keep_within: days.map(|days| day * days),
        };
        let all = tags(&[("v1", 30), ("v2", 20), ("pr-1", 9), ("pr-2", 3), ("latest", 40)]);
        let check = |rules: &[RetentionOptions], want: &[&str]| {
            let rules: Vec<&RetentionOptions> = rules.iter().collect();
            let mut got: Vec<String> = unretained(&rules, all.clone(), now).into_iter().collect();
            got.sort();
            assert_eq!(got, want);
        };
        check(&[rule("pr-*", None, Some(7))], &["pr-1"]);
        check(&[rule("v*", Some(1), None)], &["v1"]);
        check(&[rule("**", Some(2), None)], &["latest", "v1", "v2"]);
        check(&[rule("**", Some(2), None), rule("latest", Some(1), None)], &["v1", "v2"]);
        check(&[], &[]);
    }
}
