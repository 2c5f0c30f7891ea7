//! Images: pulled, loaded, listed, named, removed.
//!
//! ```text
//!  pull   ── registry::Repository ──> store blobs ──> snapshots ──> image table ──> events
//!  load   ── archive stream ─────────────^
//! ```
//!
//! Words: an *image* is a config (its digest is the image id) with layers; a *name* is a tag or a repository digest
//! that points to it; an image without a name is *dangling*. What a container uses it holds by a lease in the store,
//! and [`Images::set_running`] tells which of these run: nothing here asks `Containers`.

mod changes;
mod commit;
mod downloads;
mod glob;
mod hold;
mod import_url;
mod inspect;
mod layers;
mod list;
mod load;
mod names;
mod progress;
mod prune;
mod pull;
mod push;
mod registry_calls;
mod remove;
mod save;
mod search;
mod tag;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use store::{ImageRecord, Store};
use tokio::sync::Semaphore;
use types::{ContainerId, Digest, Error, Platform, Result};

use crate::Events;
use downloads::Downloads;

pub(crate) use changes::apply_to;
pub(crate) use commit::Commit;
pub use load::ImportRequest;
pub use progress::{Aux, Detail, Progress, ProgressStream};
pub use push::PushRequest;
/// Who we are for a registry: doors use no crate below the engine.
pub use registry::Credentials;
pub use registry_calls::Distribution;
pub use save::ArchiveStream;
pub use search::Found;
pub use view::{
    HistoryEntry, ImageDetails, ImageSummary, ListRequest, Pruned, PullRequest, Removed, ResolvedImage,
};

/// One more than one, so that no processor waits for the end of a layer.
const COMPRESSING_MAX: usize = 2;

/// The images of this daemon. Cheap to clone.
#[derive(Clone)]
pub struct Images(Arc<Shared>);

struct Shared {
    store: Arc<Store>,
    /// A std lock: held for a clone only.
    client: RwLock<registry::Client>,
    events: Events,
    downloads: Downloads,
    /// Blobs of all pushes that may be sent at once. A std lock: held for a clone only.
    uploads: RwLock<Arc<Semaphore>>,
    /// Layers of all pushes that are compressed at once, each by all processors.
    compressing: Arc<Semaphore>,
    /// Running containers and the image of each. A std mutex: never held across an await or a system call.
    running: Mutex<HashMap<ContainerId, Digest>>,
}

/// Settings of the images part, from `daemon.json`.
#[derive(Debug, Clone)]
pub struct ImageSettings {
    /// How to reach registries.
    pub registry: registry::Options,
    /// `max-concurrent-downloads`: layers of one pull that are fetched at once.
    pub concurrent_downloads: usize,
    /// `max-concurrent-uploads`: blobs, of all pushes, that are sent at once.
    pub concurrent_uploads: usize,
}

impl Default for ImageSettings {
    fn default() -> Self {
        Self { registry: registry::Options::default(), concurrent_downloads: 3, concurrent_uploads: 5 }
    }
}

impl std::fmt::Debug for Images {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Images").finish_non_exhaustive()
    }
}

impl Images {
    /// Images over an open store.
    pub fn new(store: Arc<Store>, events: Events, settings: ImageSettings) -> Self {
        let client = registry::Client::new(settings.registry.clone());
        let downloads = Downloads::new(settings.concurrent_downloads);
        let uploads = RwLock::new(Arc::new(Semaphore::new(settings.concurrent_uploads.max(1))));
        let (client, running) = (RwLock::new(client), Mutex::default());
        let compressing = Arc::new(Semaphore::new(COMPRESSING_MAX));
        Self(Arc::new(Shared { store, client, events, downloads, uploads, compressing, running }))
    }

    /// Other settings, for what begins from now on.
    pub(crate) fn reload(&self, settings: ImageSettings) {
        self.0.downloads.allow(settings.concurrent_downloads);
        *self.0.uploads.write().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(Semaphore::new(settings.concurrent_uploads.max(1)));
        *self.0.client.write().unwrap_or_else(PoisonError::into_inner) =
            registry::Client::new(settings.registry);
    }

    /// Containers say here which image they run from, and that they stopped (`None`): a running container forbids the
    /// removal of its image, a stopped one can be overruled. Kept in memory only, because who runs is known anew after
    /// every start of the daemon.
    pub fn set_running(&self, container: &ContainerId, image: Option<&Digest>) {
        let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        match image {
            Some(image) => running.insert(container.clone(), image.clone()),
            None => running.remove(container),
        };
    }

    /// The image for a new container. `NotFound` is the cue for the client to pull.
    pub async fn resolve(&self, name: &str, platform: Option<&Platform>) -> Result<ResolvedImage> {
        let (text, wanted) = (name.to_owned(), platform.cloned());
        self.blocking(move |shared| {
            let record = shared.find(&text)?;
            let config = record.parsed()?;
            let platform = config.platform();
            if let Some(wanted) = wanted.filter(|wanted| !platform.runs_on(wanted)) {
                return Err(Error::not_found(format!(
                    "image with reference {text} was found but its platform ({platform}) does not match the specified \
                     platform ({wanted})"
                )));
            }
            Ok(ResolvedImage { id: record.id.clone(), chain_id: record.top().cloned(), config, platform })
        })
        .await
    }

    /// The id that `name` means now, for filters and for `ps`.
    pub async fn id_of(&self, name: &str) -> Result<Digest> {
        let text = name.to_owned();
        self.blocking(move |shared| Ok(shared.find(&text)?.id)).await
    }

    /// How many images there are, for `info`.
    pub async fn count(&self) -> Result<usize> {
        self.blocking(|shared| Ok(shared.store.images().list()?.len())).await
    }

    /// Runs store work on a blocking thread.
    async fn blocking<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Shared) -> Result<T> + Send + 'static,
    {
        let shared = self.0.clone();
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(outcome) => outcome,
            Err(died) => Err(Error::internal(format!("the operation was interrupted: {died}"))),
        }
    }
}

impl Shared {
    /// How registries are reached now.
    fn client(&self) -> registry::Client {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Turns for blobs that are sent.
    fn uploads(&self) -> Arc<Semaphore> {
        self.uploads.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a user means, with Docker's words if there is no such image.
    fn find(&self, text: &str) -> Result<ImageRecord> {
        names::check(text)?;
        self.store.images().resolve(text).map_err(|error| match error {
            store::Error::NotFound { .. } => names::missing(text),
            other => other.into(),
        })
    }

    /// Tells the world. `name` is what Docker gives as the actor's name: a reference, or the id.
    fn publish(&self, action: &str, actor: &str, name: &str, record: &ImageRecord) {
        let labels = record.parsed().ok().and_then(|config| config.config).and_then(|config| config.labels);
        let mut attributes: BTreeMap<String, String> = labels.unwrap_or_default();
        attributes.insert("name".to_owned(), name.to_owned());
        self.events.publish("image", action, actor, attributes);
    }

    /// Containers with a lease on the image, running ones first.
    fn users(&self, image: &Digest) -> Result<Vec<User>> {
        let holders = self.store.images().holders(image)?;
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut users: Vec<User> = holders
            .into_iter()
            .map(|id| User { running: id.parse().is_ok_and(|id: ContainerId| running.contains_key(&id)), id })
            .collect();
        users.sort_by_key(|user| !user.running);
        Ok(users)
    }
}

/// A container that uses an image.
struct User {
    id: String,
    running: bool,
}

impl User {
    fn short(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}
