//! Images: pulled, loaded, listed, named, removed.
//!
//! ```text
//!  pull   ── registry::Repository ──> store blobs ──> snapshots ──> image table ──> events
//!  load   ── archive stream ─────────────^
//! ```
//!
//! Words: an *image* is a config (its digest is the image id) with layers; a *name* is a tag or a repository digest
//! that points to it; an image without a tag is *dangling*. What a container uses it holds by a lease in the store:
//! nothing here asks `Containers`.

mod names;
mod progress;
mod view;

use std::sync::Arc;

use store::Store;
use types::{Digest, ImageRef, Platform, Result};

use crate::{Events, Filters};

pub use progress::{Detail, Progress, ProgressStream};
pub use view::{
    HistoryEntry, ImageDetails, ImageSummary, ListRequest, Pruned, PullRequest, Removed, ResolvedImage,
};

/// The images of this daemon. Cheap to clone.
#[derive(Clone)]
pub struct Images(Arc<Shared>);

struct Shared {
    store: Arc<Store>,
    client: registry::Client,
    events: Events,
    settings: ImageSettings,
}

/// Settings of the images part, from `daemon.json`.
#[derive(Debug, Clone)]
pub struct ImageSettings {
    /// How to reach registries.
    pub registry: registry::Options,
    /// `max-concurrent-downloads`: layers per pull.
    pub concurrent_downloads: usize,
}

impl Default for ImageSettings {
    fn default() -> Self {
        Self { registry: registry::Options::default(), concurrent_downloads: 3 }
    }
}

impl std::fmt::Debug for Images {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Images").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl Images {
    /// Images over an open store.
    pub fn new(store: Arc<Store>, events: Events, settings: ImageSettings) -> Self {
        let client = registry::Client::new(settings.registry.clone());
        Self(Arc::new(Shared { store, client, events, settings }))
    }
}

fn todo<T>(what: &str) -> Result<T> {
    Err(crate::error::later(what))
}

impl Images {
    /// Pulls an image; dropping the stream cancels.
    pub fn pull(&self, request: PullRequest) -> ProgressStream {
        let _ = (request, &self.0.store, &self.0.client, &self.0.events);
        ProgressStream::spawn(|_| async { todo("pull") })
    }

    /// Loads a docker-archive or OCI archive (plain, gzip, zstd). With `quiet` only the `Loaded image` lines come.
    pub fn load<R>(&self, archive: R, quiet: bool) -> ProgressStream
    where
        R: tokio::io::AsyncRead + Send + Unpin + 'static,
    {
        let _ = (archive, quiet);
        ProgressStream::spawn(|_| async { todo("load") })
    }

    /// Makes an image of one layer from a root file system archive. The last event's status is the image id.
    pub fn import<R>(&self, archive: R, request: ImportRequest) -> ProgressStream
    where
        R: tokio::io::AsyncRead + Send + Unpin + 'static,
    {
        let _ = (archive, request);
        ProgressStream::spawn(|_| async { todo("import") })
    }

    /// Images, newest first.
    pub async fn list(&self, request: ListRequest) -> Result<Vec<ImageSummary>> {
        let _ = request;
        todo("list")
    }

    /// All about the image that `name` (reference, id or prefix) means.
    pub async fn inspect(&self, name: &str) -> Result<ImageDetails> {
        let _ = name;
        todo("inspect")
    }

    /// The image for a new container. `NotFound` is the cue for the client to pull.
    pub async fn resolve(&self, name: &str, platform: Option<&Platform>) -> Result<ResolvedImage> {
        let _ = (name, platform);
        todo("resolve")
    }

    /// The current familiar name of an image for `ps` and `inspect`: what `typed` means now, else the short id.
    pub async fn display_name(&self, id: &Digest, typed: &str) -> String {
        let _ = id;
        typed.to_owned()
    }

    /// The steps that made an image, newest first.
    pub async fn history(&self, name: &str) -> Result<Vec<HistoryEntry>> {
        let _ = name;
        todo("history")
    }

    /// Gives the image `name` the name `target` (`repo` and `tag` of the API).
    pub async fn tag(&self, name: &str, repository: &str, tag: &str) -> Result<()> {
        let _ = (name, repository, tag);
        todo("tag")
    }

    /// Removes a name or an image by Docker's rules. `prune` also removes untagged parents.
    pub async fn remove(&self, name: &str, force: bool, prune: bool) -> Result<Vec<Removed>> {
        let _ = (name, force, prune);
        todo("remove")
    }

    /// Removes dangling images (or, with `dangling=false`, all unused ones) that match `until` and `label`.
    pub async fn prune(&self, filters: Filters) -> Result<Pruned> {
        let _ = filters;
        todo("prune")
    }

    /// How many images there are, for `info`.
    pub async fn count(&self) -> usize {
        0
    }
}

/// What `POST /images/create?fromSrc=` asks for.
#[derive(Debug, Clone, Default)]
pub struct ImportRequest {
    /// Name to give; none if `None`.
    pub reference: Option<ImageRef>,
    /// Dockerfile instructions applied to the config (`CMD`, `ENV`, ...).
    pub changes: Vec<String>,
    /// Comment of its history entry.
    pub message: String,
    /// Platform of its config; the host's if none.
    pub platform: Option<Platform>,
}
