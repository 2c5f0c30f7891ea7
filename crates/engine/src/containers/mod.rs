//! Containers: from `create` to `remove`.
//!
//! A *container* is a record in the store. While it lives in this process, one *driver* task owns every change of its
//! state and takes requests from a bounded queue; readers look at a `watch` snapshot and never wait. The process itself
//! belongs to a *supervisor* (another process), which goes on when this daemon dies.

mod archive;
mod attach;
mod capabilities;
mod commit;
mod create;
mod devices;
mod driver;
mod exec;
mod export;
mod files;
mod health;
mod host;
mod inspect;
mod kill;
mod links;
mod list;
mod log_attrs;
mod logs;
mod merge;
mod mounts;
mod name;
mod network;
mod prune;
mod record;
mod remove;
pub mod request;
mod restart;
mod restore;
mod room;
mod root;
mod seccomp;
mod security;
mod signal;
mod spec;
mod start;
pub mod state;
mod stats;
mod status_text;
mod stop;
mod table;
mod top;
mod update;
mod validate;
pub mod view;
mod wait;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::Store;
use supervisor::Zygote;
use types::{ContainerId, Result};

use crate::{Events, Images, Networks, Settings, Volumes};
use driver::Request;
use exec::Execs;
use host::HostFacts;
use record::Record;
use table::{Handle, Table};

pub use archive::{ExtractRequest, PathStat};
pub use attach::check_detach_keys;
pub use commit::CommitRequest;
pub(crate) use inspect::driver_name;
pub use stats::StatsStream;
pub use wait::Waiting;

/// All containers of this daemon. A cheap handle. Wherever a method takes `name`, Docker's rule holds: a full id, a name
/// (with or without leading slash), or an unambiguous prefix of an id.
#[derive(Debug, Clone)]
pub struct Containers(Arc<Shared>);

/// What drivers and requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    settings: Arc<Settings>,
    store: Arc<Store>,
    zygote: Zygote,
    images: Images,
    networks: Networks,
    volumes: Volumes,
    events: Events,
    host: HostFacts,
    /// Compiled filters by profile and capabilities. A std mutex: held for a look-up only.
    filters: Mutex<HashMap<String, Arc<Vec<u8>>>>,
    /// A std mutex: held for map operations only, never across an await.
    table: Mutex<Table>,
    execs: Execs,
    /// The daemon is going down: nothing is started again.
    closing: AtomicBool,
}

/// The parts that containers are made of.
pub(crate) struct Parts {
    pub(crate) settings: Arc<Settings>,
    pub(crate) store: Arc<Store>,
    pub(crate) zygote: Zygote,
    pub(crate) images: Images,
    pub(crate) networks: Networks,
    pub(crate) volumes: Volumes,
    pub(crate) events: Events,
}

impl Containers {
    /// No containers yet: see `restore`. Blocks.
    pub(crate) fn new(parts: Parts) -> Result<Self> {
        let Parts { settings, store, zygote, images, networks, volumes, events } = parts;
        let shared = Shared {
            settings,
            store,
            zygote,
            images,
            networks,
            volumes,
            events,
            host: HostFacts::read(),
            filters: Mutex::default(),
            table: Mutex::default(),
            execs: Execs::default(),
            closing: AtomicBool::new(false),
        };
        for dir in [shared.settings.exec_root.join("containers"), shared.rootfs()] {
            files::make_dir(&dir, 0o711)?;
        }
        Ok(Self(Arc::new(shared)))
    }

    /// The container `name` means.
    fn find(&self, name: &str) -> Result<Handle> {
        self.0.table().find(name)
    }

    /// Fails unless there is such a container.
    pub fn must_exist(&self, name: &str) -> Result<()> {
        self.find(name).map(drop)
    }

    /// All handles.
    fn handles(&self) -> Vec<Handle> {
        self.0.table().all()
    }

    /// The state of each, for `info`.
    pub(crate) fn states(&self) -> Vec<state::Status> {
        self.handles().iter().map(|handle| handle.record().state.status()).collect()
    }

    /// How many use each image, for `system df`.
    pub(crate) fn by_image(&self) -> BTreeMap<String, i64> {
        let mut counts = BTreeMap::new();
        for handle in self.handles() {
            if let Some(image) = &handle.record().image_id {
                *counts.entry(image.to_string()).or_default() += 1;
            }
        }
        counts
    }

    /// Facts about the host, for `info`.
    pub(crate) fn host(&self) -> &HostFacts {
        &self.0.host
    }

    /// Sets the size of its terminal.
    pub async fn resize(&self, name: &str, height: u16, width: u16) -> Result<()> {
        let handle = self.find(name)?;
        let record = handle.record();
        if record.state.run().is_none() {
            return Err(crate::error::not_running(&record.id));
        }
        let client = self.0.client(&record.id);
        crate::blocking(move || client.resize(height, width).map_err(|e| client_error(e, &record.id)))
            .await?;
        self.0.publish(
            &handle.record(),
            "resize",
            [("height", height.to_string()), ("width", width.to_string())],
        );
        Ok(())
    }

    /// Stops what runs, within the shutdown timeout; used when the daemon goes down in an orderly way.
    pub(crate) async fn close(&self) {
        self.0.closing.store(true, Ordering::Release);
        let limit = std::time::Duration::from_secs(self.0.settings.live.now().shutdown_timeout_s);
        let mut stopping = tokio::task::JoinSet::new();
        for handle in self.handles() {
            let this = self.clone();
            if handle.record().state.run().is_some() {
                stopping.spawn(async move { this.stop_for_shutdown(&handle).await });
            }
        }
        let all = async { while stopping.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, all).await.is_err() {
            tracing::warn!(
                "some containers did not stop in time; they go on and are found at the next start"
            );
        }
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Directory of a container's supervisor.
    fn run_dir(&self, id: &ContainerId) -> PathBuf {
        self.settings.exec_root.join("containers").join(id.as_str())
    }

    /// Directory of a container's own files.
    fn data_dir(&self, id: &ContainerId) -> PathBuf {
        self.store.paths().container(id.as_str())
    }

    /// Empty directory on which each container mounts its root, in a mount namespace of its own.
    fn rootfs(&self) -> PathBuf {
        self.settings.exec_root.join("rootfs")
    }

    /// A container's supervisor; whether it lives, each call says.
    fn client(&self, id: &ContainerId) -> supervisor::Client {
        supervisor::Client::at(&self.run_dir(id))
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Writes a record as it is now. Blocks.
    fn keep(&self, record: &Record) -> Result<()> {
        let json = serde_json::to_string(record).map_err(types::Error::internal)?;
        Ok(self.store.db().put_container(record.id.as_str(), &record.name, &json)?)
    }

    /// Tells what happened to a container: its labels, image and name, and `more`.
    fn publish<const N: usize>(&self, record: &Record, action: &str, more: [(&str, String); N]) {
        let mut attributes: BTreeMap<String, String> = record.labels().clone();
        attributes.insert("image".to_owned(), record.config.image.clone());
        attributes.insert("name".to_owned(), record.name.clone());
        attributes.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
        self.events.publish("container", action, record.id.as_str(), attributes);
    }
}

/// Sends a request to a driver and waits for its answer. A driver that is gone had its container removed.
async fn ask<T>(
    handle: &Handle,
    request: impl FnOnce(tokio::sync::oneshot::Sender<Result<T>>) -> Request,
) -> Result<T> {
    let gone = || crate::error::no_such_container(handle.id.as_str());
    let (reply, answer) = tokio::sync::oneshot::channel();
    handle.requests.send(request(reply)).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

/// A supervisor's refusal in users' words.
fn client_error(error: supervisor::ClientError, id: &ContainerId) -> types::Error {
    match error {
        supervisor::ClientError::NotRunning => crate::error::not_running(id),
        other => types::Error::internal(&other).with_source(other),
    }
}
