//! `create`: check, complete, reserve the name, prepare what lies on disk, record.
//!
//! Order on disk, so that a crash leaves nothing that [`restore`](crate::restore) does not find: leases (owner: the id),
//! snapshot, volumes, then the record, flushed. A lease whose owner has no record is a create that did not finish.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::config::{Config, EndpointRequest, HostConfig};
use types::{ContainerId, Error, Result};

use super::mounts;
use super::record::{MountRecord, Record};
use super::request::CreateRequest;
use super::state::{Exit, State};
use super::view::Created;
use super::{Containers, Shared, driver, links, merge, name, room, security, validate};
use crate::images::ResolvedImage;
use crate::volumes::VolumeRequest;
use crate::{Timestamp, blocking, random};

/// Attempts to invent a free name.
const NAME_ATTEMPTS: u32 = 64;

impl Containers {
    /// Checks, fills in, prepares and records a new container. 404 `No such image` when the image is not here.
    pub async fn create(&self, request: CreateRequest) -> Result<Created> {
        let shared = &self.0;
        let CreateRequest { name, platform, config, mut host_config, endpoints } = request;
        let mut config =
            config.ok_or_else(|| Error::invalid("config cannot be empty in order to create a container"))?;
        let mut warnings = {
            let live = shared.settings.live.now();
            validate::create(&config, &mut host_config, &shared.host.validate, &live.runtimes)?
        };
        find_donors(shared, &mut host_config)?;
        let image = base(shared, &config.image, platform.as_ref(), &mut warnings).await?;
        let of_image = image.as_ref().and_then(|image| image.config.config.clone()).unwrap_or_default();
        merge::with_image(&mut config, &of_image)?;
        merge::with_defaults(&mut host_config, &shared.settings, shared.host.validate.is_v2);
        let log = &host_config.log_config;
        supervisor::log::validate(&log.driver, log.config.as_ref().unwrap_or(&BTreeMap::new()))
            .map_err(Error::invalid)?;
        let id = ContainerId::from_bytes(random::bytes()?);
        let name = reserve_name(shared, &name, &id)?;
        let reserved = Reserved { shared, name: name.clone(), id: id.clone(), kept: false };
        security::parse(host_config.security_opt.as_deref().unwrap_or_default())?;
        let inherited = volumes_from(shared, &host_config)?;
        links::keep(shared, &mut host_config)?;
        let mut mounts = mounts::collect(
            inherited,
            host_config.binds.as_deref().unwrap_or_default(),
            &host_config.volume_driver,
            &host_config.mounts,
            &host_config.tmpfs,
            config.volumes.iter().flatten().map(|(target, _)| target.clone()),
        )?;
        for mount in mounts.iter_mut().filter(|mount| mount.point.kind == "image" && mount.image.is_none()) {
            let image = shared.images.resolve(&mount.point.name, None).await?;
            (mount.image, mount.image_layer) = (Some(image.id), image.chain_id);
            warnings.push("Image mount is an experimental feature".to_owned());
        }
        complete_hostname(shared, &mut config, &host_config, &id);
        let endpoints = endpoint_requests(shared, &config, &mut host_config, endpoints)?;
        let record = Record {
            id: id.clone(),
            name,
            created: Timestamp::now(),
            config,
            host_config,
            image_id: image.as_ref().map(|image| image.id.clone()),
            mounts,
            endpoints,
            attached: Vec::new(),
            state: State::Created(Exit::default()),
            restart_count: 0,
            was_started: false,
            stopped_by_user: false,
        };
        let record = {
            let shared = shared.clone();
            let chain_id = image.and_then(|image| image.chain_id);
            let prepared =
                move || prepare(&shared, record, chain_id.as_ref()).inspect_err(|_| undo(&shared, &id));
            blocking(prepared).await?
        };
        let id = record.id.clone();
        reserved.keep();
        shared.publish(&record, "create", []);
        driver::launch(shared, record);
        Ok(Created { id, warnings })
    }
}

/// The image that the container is made of: none has an empty name, as of old.
async fn base(
    shared: &Arc<Shared>,
    name: &str,
    platform: Option<&types::Platform>,
    warnings: &mut Vec<String>,
) -> Result<Option<ResolvedImage>> {
    if name.is_empty() {
        return Ok(None);
    }
    let image = shared.images.resolve(name, platform).await?;
    if platform.is_none() && !image.platform.runs_on(&types::Platform::host()) {
        warnings.push(format!(
            "The requested image's platform ({}) does not match the detected host platform ({}) and no specific platform \
             was requested",
            image.platform,
            types::Platform::host()
        ));
    }
    Ok(Some(image))
}

/// A name taken for a create under way; given back unless kept.
struct Reserved<'a> {
    shared: &'a Arc<Shared>,
    name: String,
    id: ContainerId,
    kept: bool,
}

impl Reserved<'_> {
    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.shared.table().release(&self.name, &self.id);
        }
    }
}

fn reserve_name(shared: &Arc<Shared>, wanted: &str, id: &ContainerId) -> Result<String> {
    if !wanted.is_empty() {
        let bare = name::check(wanted)?;
        shared.table().reserve(bare, id)?;
        return Ok(bare.to_owned());
    }
    for attempt in 0..NAME_ATTEMPTS {
        let invented = name::invent(random::bytes()?, attempt);
        let mut table = shared.table();
        if !table.is_taken(&invented) {
            table.reserve(&invented, id)?;
            return Ok(invented);
        }
    }
    // A thousand containers may have used up the words; an id never collides.
    shared.table().reserve(id.short(), id)?;
    Ok(id.short().to_owned())
}

/// Names the containers whose namespaces are to be shared by their ids. 400, not 404: a client would take 404 for a missing
/// image. One whose network is to be shared may be made until the start.
fn find_donors(shared: &Shared, host: &mut HostConfig) -> Result<()> {
    for (mode, must_be_there) in
        [(&mut host.pid_mode, true), (&mut host.ipc_mode, true), (&mut host.network_mode, false)]
    {
        let Some(name) = mode.strip_prefix("container:") else { continue };
        match shared.table().find(name) {
            Ok(donor) => *mode = format!("container:{}", donor.id),
            Err(error) if must_be_there => return Err(Error::invalid(error.message)),
            Err(_) => {}
        }
    }
    Ok(())
}

/// `--volumes-from x[:ro]`.
fn volumes_from(shared: &Arc<Shared>, host: &HostConfig) -> Result<Vec<MountRecord>> {
    let mut all = Vec::new();
    for spec in host.volumes_from.iter().flatten() {
        let (name, mode) = spec.split_once(':').unwrap_or((spec, "rw"));
        if spec.is_empty() {
            return Err(Error::invalid("volumes-from specification cannot be an empty string"));
        }
        if !mode.split(',').all(|word| matches!(word, "rw" | "ro" | "z" | "Z" | "nocopy")) {
            return Err(Error::invalid(format!("invalid mode: {mode}")));
        }
        // 400, not 404: a client would take 404 for a missing image, and pull it.
        let other = shared.table().find(name).map_err(|error| Error::invalid(error.message))?.record();
        for mount in other.mounts.iter().filter(|m| m.point.kind != "tmpfs") {
            let mut mount = mount.clone();
            mount.point.rw &= !mode.split(',').any(|word| word == "ro");
            // It belongs to the other container.
            mount.anonymous = false;
            all.push(mount);
        }
    }
    Ok(all)
}

/// Who shares another's network has its name too, in a UTS namespace of its own.
fn complete_hostname(shared: &Shared, config: &mut Config, host: &HostConfig, id: &ContainerId) {
    if let Some(donor) = host.network_mode.strip_prefix("container:")
        && let Ok(donor) = shared.table().find(donor)
    {
        config.hostname.clone_from(&donor.record().config.hostname);
    }
    if config.hostname.is_empty() {
        config.hostname =
            if host.network_mode == "host" { shared.host.hostname.clone() } else { id.short().to_owned() };
    }
}

/// One endpoint for each network; the mode's own is always among them.
fn endpoint_requests(
    shared: &Shared,
    config: &Config,
    host: &mut HostConfig,
    mut asked: BTreeMap<String, EndpointRequest>,
) -> Result<BTreeMap<String, EndpointRequest>> {
    if host.network_mode.starts_with("container:") {
        return Ok(BTreeMap::new());
    }
    if let Some(default) = asked.remove("default") {
        asked.insert(host.network_mode.clone(), default);
    }
    let own = asked.entry(host.network_mode.clone()).or_default();
    if own.mac_address.is_empty() {
        own.mac_address.clone_from(&config.mac_address);
    }
    let mut by_name = BTreeMap::new();
    for (network, want) in asked {
        // One that is not there fails the start; it may be made until then.
        let name = shared.networks.find(&network).map_or(network, |known| known.name.clone());
        shared.networks.check_endpoint(&name, &want)?;
        by_name.insert(name, want);
    }
    Ok(by_name)
}

/// Everything on disk. Blocks.
fn prepare(shared: &Arc<Shared>, mut record: Record, chain_id: Option<&types::Digest>) -> Result<Record> {
    let store = &shared.store;
    let id = record.id.clone();
    let mounted = record.mounts.iter().filter_map(|mount| mount.image.as_ref());
    let images = record.image_id.iter().chain(mounted).cloned().map(store::Resource::Image);
    let layers = record.mounts.iter().filter_map(|mount| mount.image_layer.as_ref()).map(ToString::to_string);
    let snapshots = layers.chain([id.to_string()]).map(store::Resource::Snapshot);
    let resources: Vec<_> = images.chain(snapshots).collect();
    store.leases().add_all(id.as_str(), &resources)?;
    store.snapshots().prepare(id.as_str(), chain_id.map(types::Digest::as_str))?;
    room::limit(store, id.as_str(), &record.host_config.storage_opt)?;
    let requests = record.host_config.mounts.clone();
    for mount in record.mounts.iter_mut().filter(|m| m.point.kind == "volume") {
        let options = requests
            .iter()
            .find(|r| mounts::clean(&r.target) == mount.point.destination)
            .and_then(|r| r.volume_options.clone())
            .unwrap_or_default();
        let driver_config = options.driver_config.unwrap_or_default();
        let request = VolumeRequest {
            name: mount.point.name.clone(),
            // Nobody has chosen what is only the default: a volume of that name may be kept by another driver.
            driver: if mount.point.driver == store::LOCAL {
                String::new()
            } else {
                mount.point.driver.clone()
            },
            driver_opts: driver_config.options.unwrap_or_default(),
            labels: options.labels,
        };
        let volume = shared.volumes.create_leased(request, |name| {
            Ok(store.leases().add(id.as_str(), &store::Resource::Volume(name.to_owned()))?)
        })?;
        mount.point.name = volume.name;
        mount.point.driver = volume.driver;
        mount.point.source = volume.mountpoint;
        if !mount.no_copy && mount.subpath.is_empty() {
            fill(shared, &id, mount)?;
        }
    }
    let json = serde_json::to_string(&record).map_err(Error::internal)?;
    store.db().create_container(id.as_str(), &record.name, &json)?;
    Ok(record)
}

/// A volume that is empty gets what the image has at its place.
fn fill(shared: &Shared, id: &ContainerId, mount: &MountRecord) -> Result<()> {
    let volume = shared.volumes.attach(&mount.point.name, id.as_str())?;
    let copy = || -> Result<()> {
        if std::fs::read_dir(&volume).map_err(Error::internal)?.next().is_none() {
            let inside = std::path::Path::new(&mount.point.destination);
            shared.store.snapshots().copy_out(id.as_str(), inside, &volume)?;
        }
        Ok(())
    };
    let copied = copy().map_err(|error| Error::internal(format!("failed to populate volume: {error}")));
    shared.volumes.detach_all(id.as_str());
    copied
}

/// What a failed create leaves. Blocks. Errors go to the log: the user gets the first one.
pub(crate) fn undo(shared: &Arc<Shared>, id: &ContainerId) {
    let leases = shared.store.leases();
    let volumes: Vec<String> = leases
        .list()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(owner, resource)| match resource {
            store::Resource::Volume(name) if owner == id.as_str() => Some(name),
            _ => None,
        })
        .collect();
    if let Err(error) = leases.remove(id.as_str()) {
        tracing::warn!(%id, %error, "cannot give back the leases of a container that was not created");
    }
    for name in volumes {
        // Anonymous volumes were made for this container; one that is in use is somebody else's.
        if shared.volumes.find(&name).is_ok_and(|volume| volume.anonymous) {
            let _ = shared.volumes.remove_now(&name);
        }
    }
    match shared.store.snapshots().remove(id.as_str()) {
        Ok(()) => {}
        Err(error) if error.is_not_found() => {}
        Err(error) => {
            tracing::warn!(%id, %error, "cannot remove the snapshot of a container that was not created")
        }
    }
}
