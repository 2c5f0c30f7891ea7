//! Volumes: data that outlives containers.

use std::collections::BTreeMap;
use std::sync::Arc;

use store::Store;
use types::{Error, ErrorKind, Result};

use crate::containers::view::Pruned;
use crate::error::no_such_volume;
use crate::{Events, Filters, blocking, random};

/// What is asked of a new volume.
#[derive(Debug, Clone, Default)]
pub struct VolumeRequest {
    /// Name; empty lets us choose 64 hex digits (an anonymous volume).
    pub name: String,
    /// `local` or empty.
    pub driver: String,
    /// Options of the driver (`type`, `device`, `o`).
    pub driver_opts: BTreeMap<String, String>,
    /// Labels; Docker shows `null` when none were given.
    pub labels: Option<BTreeMap<String, String>>,
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeDetails {
    /// Name.
    pub name: String,
    /// `local`.
    pub driver: String,
    /// Host path of its data.
    pub mountpoint: String,
    /// RFC 3339 in seconds.
    pub created_at: String,
    /// `None` is Docker's `null`.
    pub labels: Option<BTreeMap<String, String>>,
    /// `None` is Docker's `null`.
    pub options: Option<BTreeMap<String, String>>,
    /// `local`.
    pub scope: &'static str,
    /// How many containers use it; only from [`System::df`](crate::System::df).
    pub usage: Option<VolumeUsage>,
}

/// What a volume takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeUsage {
    /// Containers that use it.
    pub ref_count: i64,
    /// Bytes.
    pub size_bytes: i64,
}

/// All volumes of this daemon. A cheap handle.
#[derive(Debug, Clone)]
pub struct Volumes {
    store: Arc<Store>,
    events: Events,
}

const LIST_FILTERS: &[&str] = &["dangling", "driver", "label", "label!", "name"];
const PRUNE_FILTERS: &[&str] = &["all", "label", "label!"];

impl Volumes {
    pub(crate) fn new(store: Arc<Store>, events: Events) -> Self {
        Self { store, events }
    }

    /// Makes a volume; answers the existing one when the name is taken by one of the same driver.
    pub async fn create(&self, request: VolumeRequest) -> Result<VolumeDetails> {
        let this = self.clone();
        blocking(move || this.create_now(request)).await
    }

    /// One volume; 404 `get x: no such volume`.
    pub async fn inspect(&self, name: &str) -> Result<VolumeDetails> {
        let (this, name) = (self.clone(), name.to_owned());
        blocking(move || Ok(details(this.get(&name)?))).await
    }

    /// Those that match (`dangling driver label name`), by name.
    pub async fn list(&self, filters: &Filters) -> Result<Vec<VolumeDetails>> {
        filters.accept_only(LIST_FILTERS)?;
        let dangling = if filters.has("dangling") { Some(filters.boolean("dangling", false)?) } else { None };
        let (this, filters) = (self.clone(), filters.clone());
        blocking(move || {
            let mut found = Vec::new();
            for volume in this.store.volumes().list()? {
                let names = filters.get("name");
                let matches = (names.is_empty()
                    || names.iter().any(|part| volume.name.contains(part.as_str())))
                    && filters.exact("driver", &volume.driver)
                    && filters.labels(&volume.labels)
                    && match dangling {
                        Some(wanted) => this.holders(&volume.name)?.is_empty() == wanted,
                        None => true,
                    };
                if matches {
                    found.push(details(volume));
                }
            }
            Ok(found)
        })
        .await
    }

    /// Removes one that no container uses; `force` ignores one that does not exist.
    pub async fn remove(&self, name: &str, force: bool) -> Result<()> {
        let (this, name) = (self.clone(), name.to_owned());
        blocking(move || match this.remove_now(&name) {
            Err(error) if force && error.kind == ErrorKind::NotFound => Ok(()),
            other => other,
        })
        .await
    }

    /// Removes anonymous volumes (with filter `all=true`: also named ones) that no container uses.
    pub async fn prune(&self, filters: &Filters) -> Result<Pruned> {
        filters.accept_only(PRUNE_FILTERS)?;
        let all = filters.boolean("all", false)?;
        let (this, filters) = (self.clone(), filters.clone());
        blocking(move || {
            let mut pruned = Pruned::default();
            for volume in this.store.volumes().list()? {
                if !(all || volume.anonymous)
                    || !filters.labels(&volume.labels)
                    || !this.holders(&volume.name)?.is_empty()
                {
                    continue;
                }
                let bytes = this.store.volumes().usage(&volume.name).unwrap_or_default();
                // A container may have taken it since: then it stays.
                if this.remove_now(&volume.name).is_ok() {
                    pruned.space_bytes += bytes;
                    pruned.deleted.push(volume.name);
                }
            }
            let freed = BTreeMap::from([("reclaimed".to_owned(), pruned.space_bytes.to_string())]);
            this.events.publish("volume", "prune", "", freed);
            Ok(pruned)
        })
        .await
    }

    /// All volumes with what they take, for `system df`.
    pub(crate) async fn usage(&self) -> Result<Vec<VolumeDetails>> {
        let this = self.clone();
        blocking(move || {
            let mut found = Vec::new();
            for volume in this.store.volumes().list()? {
                let size_bytes = this
                    .store
                    .volumes()
                    .usage(&volume.name)
                    .map_or(-1, |n| i64::try_from(n).unwrap_or(i64::MAX));
                let ref_count = i64::try_from(this.holders(&volume.name)?.len()).unwrap_or(i64::MAX);
                found.push(VolumeDetails {
                    usage: Some(VolumeUsage { ref_count, size_bytes }),
                    ..details(volume)
                });
            }
            Ok(found)
        })
        .await
    }

    /// The blocking part of [`Volumes::create`], for callers on a blocking thread.
    pub(crate) fn create_now(&self, request: VolumeRequest) -> Result<VolumeDetails> {
        self.create_leased(request, |_| Ok(()))
    }

    /// The same for a container, which leases the name before there is a volume: a crash in between must not leave one
    /// that nobody knows.
    pub(crate) fn create_leased(
        &self,
        request: VolumeRequest,
        lease: impl FnOnce(&str) -> Result<()>,
    ) -> Result<VolumeDetails> {
        let anonymous = request.name.is_empty();
        let name = if anonymous { types::id::hex(&random::bytes::<32>()?) } else { request.name };
        lease(&name)?;
        if !matches!(request.driver.as_str(), "" | "local") {
            let driver = request.driver;
            return Err(Error::not_found(format!(
                "create {name}: error looking up volume plugin {driver}: plugin {driver:?} not found"
            )));
        }
        let labels = request.labels.unwrap_or_default();
        let (volume, new) =
            self.store.volumes().create(&name, &labels, &request.driver_opts, anonymous).map_err(
                |error| {
                    let error = Error::from(error);
                    Error { message: format!("create {name}: {}", error.message), ..error }
                },
            )?;
        if new {
            self.publish("create", &name, []);
        }
        Ok(details(volume))
    }

    /// The blocking part of [`Volumes::remove`].
    pub(crate) fn remove_now(&self, name: &str) -> Result<()> {
        match self.store.volumes().remove(name) {
            Ok(()) => {
                self.publish("destroy", name, []);
                Ok(())
            }
            Err(store::Error::InUse { holders, .. }) => {
                Err(Error::conflict(format!("remove {name}: volume is in use - [{}]", holders.join(", "))))
            }
            Err(error) if error.is_not_found() => Err(no_such_volume(name)),
            Err(error) => Err(error.into()),
        }
    }

    /// The volume with its mount.
    pub(crate) fn get(&self, name: &str) -> Result<store::Volume> {
        self.store.volumes().get(name)?.ok_or_else(|| no_such_volume(name))
    }

    fn holders(&self, name: &str) -> Result<Vec<String>> {
        Ok(self.store.leases().holders(&store::Resource::Volume(name.to_owned()))?)
    }

    /// Tells what happened to a volume, with `more` about it.
    pub(crate) fn publish<'a>(
        &self,
        action: &str,
        name: &str,
        more: impl IntoIterator<Item = (&'a str, String)>,
    ) {
        let mut attributes = BTreeMap::from([("driver".to_owned(), "local".to_owned())]);
        attributes.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
        self.events.publish("volume", action, name, attributes);
    }
}

fn details(volume: store::Volume) -> VolumeDetails {
    let mut labels = volume.labels;
    if volume.anonymous {
        // Docker marks them so that `volume prune` knows.
        labels.insert("com.docker.volume.anonymous".to_owned(), String::new());
    }
    VolumeDetails {
        mountpoint: volume.mountpoint.to_string_lossy().into_owned(),
        name: volume.name,
        driver: volume.driver,
        created_at: volume.created_at,
        labels: (!labels.is_empty()).then_some(labels),
        options: (!volume.options.is_empty()).then_some(volume.options),
        scope: "local",
        usage: None,
    }
}
