//! Volumes: data that outlives containers.
//!
//! The `local` driver's are directories of the store; one with options has a file system of its own mounted on that
//! directory while it is used. Others are kept by plugins. The store knows them all by name.

mod local;
mod plugin;
mod transfer;
mod users;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hickory_resolver::TokioResolver;
use store::{Flights, LOCAL, Store, Volume};
use tokio::runtime::Handle;
use types::{Error, ErrorKind, Result};

use crate::containers::view::Pruned;
use crate::error::no_such_volume;
use crate::plugins::{Plugin, Plugins};
use crate::{Events, Filters, blocking, random};
use users::Users;

/// What is asked of a new volume.
#[derive(Debug, Clone, Default)]
pub struct VolumeRequest {
    /// Name; empty lets us choose 64 hex digits (an anonymous volume).
    pub name: String,
    /// `local`, the name of a plugin, or empty.
    pub driver: String,
    /// Options of the driver (`local`: `type`, `device`, `o`).
    pub driver_opts: BTreeMap<String, String>,
    /// Labels; Docker shows `null` when none were given.
    pub labels: Option<BTreeMap<String, String>>,
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeDetails {
    /// Name.
    pub name: String,
    /// `local`, or the name of a plugin.
    pub driver: String,
    /// Host path of its data; empty if a plugin has not mounted it.
    pub mountpoint: String,
    /// RFC 3339 in seconds.
    pub created_at: String,
    /// `None` is Docker's `null`.
    pub labels: Option<BTreeMap<String, String>>,
    /// `None` is Docker's `null`.
    pub options: Option<BTreeMap<String, String>>,
    /// `local` or `global`.
    pub scope: &'static str,
    /// What a plugin tells of it.
    pub status: Option<serde_json::Map<String, serde_json::Value>>,
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
pub struct Volumes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<Store>,
    events: Events,
    plugins: Plugins,
    users: Users,
    /// One at a time mounts, unmounts or removes a volume; other volumes do not wait for it.
    busy: Flights,
    runtime: Handle,
}

const LIST_FILTERS: &[&str] = &["dangling", "driver", "label", "label!", "name"];
const PRUNE_FILTERS: &[&str] = &["all", "label", "label!"];

impl Volumes {
    /// Must be called inside the asynchronous runtime.
    pub(crate) fn new(store: Arc<Store>, events: Events, exec_root: &Path) -> Self {
        Self(Arc::new(Inner {
            store,
            events,
            plugins: Plugins::new(exec_root),
            users: Users::default(),
            busy: Flights::default(),
            runtime: Handle::current(),
        }))
    }

    /// Makes a volume; answers the existing one when the name is taken by one of the same driver.
    pub async fn create(&self, request: VolumeRequest) -> Result<VolumeDetails> {
        let this = self.clone();
        blocking(move || this.create_now(request)).await
    }

    /// One volume; 404 `get x: no such volume`.
    pub async fn inspect(&self, name: &str) -> Result<VolumeDetails> {
        let (this, name) = (self.clone(), name.to_owned());
        blocking(move || Ok(this.describe(this.find(&name)?, true))).await
    }

    /// Those that match (`dangling driver label name`), by name.
    pub async fn list(&self, filters: &Filters) -> Result<Vec<VolumeDetails>> {
        filters.accept_only(LIST_FILTERS)?;
        let dangling = if filters.has("dangling") { Some(filters.boolean("dangling", false)?) } else { None };
        let (this, filters) = (self.clone(), filters.clone());
        blocking(move || {
            let mut found = Vec::new();
            for volume in this.all()? {
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
                    found.push(this.describe(volume, false));
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

    /// Removes anonymous volumes (with filter `all=true`: also named ones) that no container uses. Docker spares those of
    /// plugins and those with options, whose data may be anywhere.
    pub async fn prune(&self, filters: &Filters) -> Result<Pruned> {
        filters.accept_only(PRUNE_FILTERS)?;
        let all = filters.boolean("all", false)?;
        let (this, filters) = (self.clone(), filters.clone());
        blocking(move || {
            let mut pruned = Pruned::default();
            for volume in this.plain()? {
                if !(all || volume.anonymous)
                    || !filters.labels(&volume.labels)
                    || !this.holders(&volume.name)?.is_empty()
                {
                    continue;
                }
                let bytes = this.0.store.volumes().usage(&volume.name).unwrap_or_default();
                // A container may have taken it since: then it stays.
                if this.remove_now(&volume.name).is_ok() {
                    pruned.space_bytes += bytes;
                    pruned.deleted.push(volume.name);
                }
            }
            let freed = BTreeMap::from([("reclaimed".to_owned(), pruned.space_bytes.to_string())]);
            this.0.events.publish("volume", "prune", "", freed);
            Ok(pruned)
        })
        .await
    }

    /// Plain directories with what they take, for `system df`, as Docker counts them.
    pub(crate) async fn usage(&self) -> Result<Vec<VolumeDetails>> {
        let this = self.clone();
        blocking(move || {
            let mut found = Vec::new();
            for volume in this.plain()? {
                let size_bytes = this
                    .0
                    .store
                    .volumes()
                    .usage(&volume.name)
                    .map_or(-1, |n| i64::try_from(n).unwrap_or(i64::MAX));
                let ref_count = i64::try_from(this.holders(&volume.name)?.len()).unwrap_or(i64::MAX);
                found.push(VolumeDetails {
                    usage: Some(VolumeUsage { ref_count, size_bytes }),
                    ..this.describe(volume, false)
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
        let failed = |error: Error| Error { message: format!("create {name}: {}", error.message), ..error };
        let driver = if request.driver.is_empty() { LOCAL } else { request.driver.as_str() };
        let plugin = if driver == LOCAL {
            None
        } else {
            let look = self.0.plugins.find(driver, plugin::IMPLEMENTS);
            Some(look.map_err(|error| {
                let why = format!("error looking up volume plugin {driver}: {}", error.message);
                failed(Error { message: why, ..error })
            })?)
        };
        if let Some(known) = self.0.store.volumes().get(&name)? {
            if !request.driver.is_empty() && known.driver != request.driver {
                return Err(failed(Error::conflict("volume name must be unique")));
            }
            return Ok(self.describe(known, false));
        }
        let labels = request.labels.unwrap_or_default();
        let options = request.driver_opts;
        let (volume, new) = match plugin {
            None => {
                let made = self.0.store.volumes().create(&name, &labels, &options, anonymous);
                made.map_err(|error| failed(error.into()))?
            }
            Some(plugin) => {
                let _busy = self.0.busy.enter(&name);
                // One that the plugin has already is taken over, as Docker does.
                if plugin::get(&plugin, &name).is_err() {
                    plugin::create(&plugin, &name, &options).map_err(failed)?;
                }
                (self.0.store.volumes().note(driver, &name, &labels, &options, anonymous)?, true)
            }
        };
        if new {
            self.publish("create", (&volume.name, &volume.driver), []);
        }
        Ok(self.describe(volume, false))
    }

    /// The blocking part of [`Volumes::remove`].
    pub(crate) fn remove_now(&self, name: &str) -> Result<()> {
        let volume = self.find(name)?;
        let _busy = self.0.busy.enter(name);
        let in_use = |holders: Vec<String>| {
            Error::conflict(format!("remove {name}: volume is in use - [{}]", holders.join(", ")))
        };
        let failed = |error: Error| Error { message: format!("remove {name}: {}", error.message), ..error };
        let holders = self.holders(name)?;
        if !holders.is_empty() {
            return Err(in_use(holders));
        }
        if !volume.is_local() {
            plugin::remove(&*self.plugin_of(&volume)?, name).map_err(failed)?;
        } else if volume.is_mounted_on_use() && !self.0.users.is_used(name) {
            // A daemon that was killed may have left it.
            local::unmount(&volume.mountpoint).map_err(failed)?;
        }
        match self.0.store.volumes().remove(name) {
            Ok(()) => {}
            Err(store::Error::InUse { holders, .. }) => return Err(in_use(holders)),
            // A plugin's own, which was never noted here.
            Err(error) if error.is_not_found() && !volume.is_local() => {}
            Err(error) if error.is_not_found() => return Err(no_such_volume(name)),
            Err(error) => return Err(error.into()),
        }
        self.publish("destroy", (&volume.name, &volume.driver), []);
        Ok(())
    }

    /// Makes a volume's data reachable for `user` (a container's id) until it lets go, and says where it lies. Blocks.
    pub(crate) fn attach(&self, name: &str, user: &str) -> Result<PathBuf> {
        let volume = self.find(name)?;
        if volume.is_local() && !volume.is_mounted_on_use() {
            return Ok(volume.mountpoint);
        }
        let _busy = self.0.busy.enter(name);
        self.0.users.add(name, user);
        let mounted = if volume.is_local() {
            local::mount(&volume, |host| self.resolve(host)).map(|()| volume.mountpoint.clone())
        } else {
            self.plugin_of(&volume).and_then(|plugin| plugin::mount(&plugin, name, user)).map_err(|error| {
                let why = format!("error while mounting volume '': {}", error.message);
                Error { message: why, ..error }
            })
        };
        if mounted.is_err() {
            self.0.users.remove(name, user);
        }
        mounted
    }

    /// `user` needs none of its volumes any more. Blocks.
    pub(crate) fn detach_all(&self, user: &str) {
        for name in self.0.users.volumes_of(user) {
            let _busy = self.0.busy.enter(&name);
            let Some(last) = self.0.users.remove(&name, user) else { continue };
            let done = self.find(&name).and_then(|volume| match (volume.is_local(), last) {
                (false, _) => {
                    self.plugin_of(&volume).and_then(|plugin| plugin::unmount(&plugin, &name, user))
                }
                (true, true) => local::unmount(&volume.mountpoint),
                (true, false) => Ok(()),
            });
            if let Err(error) = done {
                tracing::warn!(volume = name, %error, "cannot unmount a volume");
            }
        }
    }

    /// After a restart: these (volume, user) are in use. What is mounted besides is unmounted. Blocks.
    pub(crate) fn restore<'a>(&self, used: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let known = self.0.store.volumes().list().unwrap_or_else(|error| {
            tracing::error!(%error, "cannot tell which volumes are mounted");
            Vec::new()
        });
        let special = |name: &str| {
            known
                .iter()
                .any(|volume| volume.name == name && (!volume.is_local() || volume.is_mounted_on_use()))
        };
        for (name, user) in used.into_iter().filter(|(name, _)| special(name)) {
            self.0.users.add(name, user);
        }
        for volume in &known {
            if volume.is_mounted_on_use()
                && !self.0.users.is_used(&volume.name)
                && let Err(error) = local::unmount(&volume.mountpoint)
            {
                tracing::warn!(volume = volume.name, %error, "cannot unmount a volume");
            }
        }
    }

    /// Names of the drivers in use.
    pub(crate) fn drivers(&self) -> Vec<String> {
        let plugins = self.0.plugins.active(plugin::IMPLEMENTS);
        let mut names = vec![LOCAL.to_owned()];
        names.extend(plugins.iter().map(|plugin| plugin.name().to_owned()));
        names
    }

    /// The volume, also one that only a plugin knows.
    pub(crate) fn find(&self, name: &str) -> Result<Volume> {
        if let Some(known) = self.0.store.volumes().get(name)? {
            return Ok(known);
        }
        let plugins = self.0.plugins.active(plugin::IMPLEMENTS);
        let found = plugins.iter().find_map(|plugin| Some((plugin, plugin::get(plugin, name).ok()?)));
        found.map(|(plugin, volume)| foreign(plugin, volume)).ok_or_else(|| no_such_volume(name))
    }

    /// Those of the store, and those that only plugins know.
    fn all(&self) -> Result<Vec<Volume>> {
        let mut all = self.0.store.volumes().list()?;
        for plugin in self.0.plugins.active(plugin::IMPLEMENTS) {
            match plugin::list(&plugin) {
                Ok(more) => {
                    for volume in more {
                        if all.iter().all(|known| known.name != volume.name) {
                            all.push(foreign(&plugin, volume));
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(plugin = plugin.name(), %error, "cannot list a plugin's volumes")
                }
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Local ones whose data lies in their directory.
    fn plain(&self) -> Result<Vec<Volume>> {
        let mut all = self.0.store.volumes().list()?;
        all.retain(|volume| volume.is_local() && !volume.is_mounted_on_use());
        Ok(all)
    }

    fn plugin_of(&self, volume: &Volume) -> Result<Arc<Plugin>> {
        self.0.plugins.find(&volume.driver, plugin::IMPLEMENTS)
    }

    /// `closely`: also what a plugin says about it, which needs asking.
    fn describe(&self, volume: Volume, closely: bool) -> VolumeDetails {
        let plugin = if volume.is_local() { None } else { self.plugin_of(&volume).ok() };
        let told =
            plugin.as_ref().filter(|_| closely).and_then(|plugin| plugin::get(plugin, &volume.name).ok());
        let scope = plugin.as_ref().map_or("local", |plugin| plugin::scope(plugin));
        let mut details = details(volume, scope);
        if let Some(told) = told {
            details.mountpoint = told.mountpoint;
            details.status = told.status;
            if !told.created_at.is_empty() {
                details.created_at = told.created_at;
            }
        }
        details
    }

    /// The address of a host, for the kernel.
    fn resolve(&self, host: &str) -> Result<String> {
        let failed = |error: String| Error::internal(format!("lookup {host}: {error}"));
        let resolver = TokioResolver::builder_tokio()
            .and_then(hickory_resolver::ResolverBuilder::build)
            .map_err(|error| failed(error.to_string()))?;
        let found = self.0.runtime.block_on(resolver.lookup_ip(host));
        let found = found.map_err(|error| {
            let is_unknown = error.is_no_records_found() || error.is_nx_domain();
            failed(if is_unknown { "no such host".to_owned() } else { error.to_string() })
        })?;
        found
            .iter()
            .next()
            .map(|address| address.to_string())
            .ok_or_else(|| failed("no such host".to_owned()))
    }

    fn holders(&self, name: &str) -> Result<Vec<String>> {
        Ok(self.0.store.leases().holders(&store::Resource::Volume(name.to_owned()))?)
    }

    /// Tells what happened to a volume of a driver, with `more` about it.
    pub(crate) fn publish<'a>(
        &self,
        action: &str,
        (name, driver): (&str, &str),
        more: impl IntoIterator<Item = (&'a str, String)>,
    ) {
        let mut attributes = BTreeMap::from([("driver".to_owned(), driver.to_owned())]);
        attributes.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
        self.0.events.publish("volume", action, name, attributes);
    }
}

/// One that a plugin has without our doing.
fn foreign(plugin: &Plugin, volume: plugin::PluginVolume) -> Volume {
    Volume {
        name: volume.name,
        driver: plugin.name().to_owned(),
        labels: BTreeMap::new(),
        options: BTreeMap::new(),
        created_at: volume.created_at,
        anonymous: false,
        mountpoint: PathBuf::from(volume.mountpoint),
    }
}

fn details(volume: Volume, scope: &'static str) -> VolumeDetails {
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
        scope,
        status: None,
        usage: None,
    }
}
