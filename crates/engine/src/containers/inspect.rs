//! `inspect` and `changes`.

use std::collections::BTreeMap;

use types::config::{HostConfig, PortBinding};
use types::{Error, Result};

use super::record::Record;
use super::state::Exit;
use super::table::{Handle, View};
use super::view::{Change, ContainerDetails, EndpointDetails, NetworkState, Size, StateDetails};
use super::{Containers, Shared, start};
use crate::blocking;
use crate::clock::NEVER;

impl Containers {
    /// Everything about one; `size` computes its size on disk (slow).
    pub async fn inspect(&self, name: &str, size: bool) -> Result<ContainerDetails> {
        let handle = self.find(name)?;
        let view = handle.view.borrow().clone();
        let record = view.record.clone();
        let (path, args) = record.path_and_args();
        let id = &record.id;
        let dir = self.0.data_dir(id);
        let file = |name: &str| {
            if record.was_started { dir.join(name).to_string_lossy().into_owned() } else { String::new() }
        };
        let log_path = if record.host_config.log_config.driver == "json-file" {
            file(&format!("{id}-json.log"))
        } else {
            String::new()
        };
        let shared = self.0.clone();
        let (graph_driver, size) = {
            let record = record.clone();
            blocking(move || {
                let size = if size { Some(size_of(&shared, &record)?) } else { None };
                Ok((graph_driver(&shared, &record), size))
            })
            .await?
        };
        Ok(ContainerDetails {
            id: id.clone(),
            name: record.name.clone(),
            created: record.created.rfc3339(),
            path,
            args,
            state: state_of(&view),
            image_id: record.image_id.clone(),
            resolv_conf_path: file("resolv.conf"),
            hostname_path: file("hostname"),
            hosts_path: file("hosts"),
            log_path,
            restart_count: record.restart_count,
            apparmor_profile: super::security::parse(
                record.host_config.security_opt.as_deref().unwrap_or_default(),
            )
            .map(|options| options.apparmor)
            .unwrap_or_default(),
            exec_ids: self.0.execs.of(id),
            config: record.config.clone(),
            host_config: HostConfig {
                links: super::links::shown(&self.0, &record),
                ..record.host_config.clone()
            },
            graph_driver,
            size,
            mounts: record.mounts.iter().map(|m| m.point.clone()).collect(),
            network: network_of(&self.0, &record),
        })
    }

    /// What differs from the image, by path. Docker's body is `null` when empty.
    pub async fn changes(&self, name: &str) -> Result<Vec<Change>> {
        let handle = self.find(name)?;
        let shared = self.0.clone();
        blocking(move || {
            let changes = shared.store.snapshots().changes(handle.id.as_str())?;
            let number = |kind| match kind {
                store::ChangeKind::Changed => 0,
                store::ChangeKind::Added => 1,
                store::ChangeKind::Deleted => 2,
            };
            Ok(changes
                .into_iter()
                .map(|change| Change {
                    path: change.path.to_string_lossy().into_owned(),
                    kind: number(change.kind),
                })
                .collect())
        })
        .await
    }
}

/// What readers see of its life.
pub(crate) fn state_of(view: &View) -> StateDetails {
    let state = &view.record.state;
    let none = Exit::default();
    let exit = state.exit().unwrap_or(&none);
    let (pid, started_at) = match state.run() {
        Some(run) => (run.pid, run.started.rfc3339()),
        None => (0, exit.started.map_or_else(|| NEVER.to_owned(), |at| at.rfc3339())),
    };
    StateDetails {
        status: state.status(),
        pid,
        exit_code: exit.code,
        error: exit.error.clone(),
        oom_killed: exit.oom_killed,
        started_at,
        finished_at: exit.finished.map_or_else(|| NEVER.to_owned(), |at| at.rfc3339()),
        health: view.health.clone(),
    }
}

/// Docker's names for snapshotters and their places.
fn graph_driver(shared: &Shared, record: &Record) -> (String, BTreeMap<String, String>) {
    let name = driver_name(shared.store.snapshots().name());
    let mut data = BTreeMap::new();
    if let Ok(paths) = shared.store.snapshots().paths(record.id.as_str()) {
        let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let lower: Vec<String> = paths.lower.iter().map(|p| text(p)).collect();
        data.insert("ID".to_owned(), record.id.to_string());
        data.insert("LowerDir".to_owned(), lower.join(":"));
        data.insert("MergedDir".to_owned(), text(&paths.merged));
        data.insert("UpperDir".to_owned(), paths.upper.as_deref().map(text).unwrap_or_default());
        data.insert("WorkDir".to_owned(), paths.work.as_deref().map(text).unwrap_or_default());
    }
    (name.to_owned(), data)
}

/// What Docker calls a driver that does the same.
pub(crate) fn driver_name(snapshotter: &str) -> &str {
    match snapshotter {
        "overlay" | "erofs" => "overlay2",
        "copy" => "vfs",
        other => other,
    }
}

/// Bytes on disk. Blocks, for long if the container is large.
pub(crate) fn size_of(shared: &Shared, record: &Record) -> Result<Size> {
    let own = shared.store.snapshots().usage(record.id.as_str()).map_err(Error::from)?;
    let image = match &record.image_id {
        Some(id) => shared.store.images().get(id).map_err(Error::from)?,
        None => None,
    };
    let rw_bytes = own.bytes;
    Ok(Size { rw_bytes, root_fs_bytes: rw_bytes + image.map_or(0, |image| image.size) })
}

/// What readers see of its networks.
pub(crate) fn network_of(shared: &Shared, record: &Record) -> NetworkState {
    let run = record.state.run();
    let host = record.host_config.network_mode == "host";
    let mut network = NetworkState::default();
    if let Some(run) = run {
        network.sandbox_key = format!("/proc/{}/ns/net", run.pid);
        // The namespace lives as long as the run, so the run names it.
        network.sandbox_id =
            store::sha256(format!("{}{}", record.id, run.started.0).as_bytes()).hex().to_owned();
        network.ports = ports_of(record);
        if host {
            network.ports.clear();
        }
    }
    for (name, request) in &record.endpoints {
        let mut details = EndpointDetails { request: request.clone(), ..EndpointDetails::default() };
        if record.was_started
            && let Ok(known) = shared.networks.find(name)
        {
            details.network_id.clone_from(&known.id);
            details.dns_names = known.has_names().then(|| super::network::dns_names(record, name));
        }
        if let Some(endpoint) = record.attached.iter().find(|endpoint| endpoint.network == *name) {
            details.endpoint_id.clone_from(&endpoint.id);
            let text = |ip: Option<std::net::IpAddr>| ip.map(|ip| ip.to_string()).unwrap_or_default();
            if !endpoint.internal {
                details.gateway = text(endpoint.gateway.map(Into::into));
                details.ipv6_gateway = text(endpoint.gateway6.map(Into::into));
            }
            details.ip_address = text(endpoint.address.map(Into::into));
            details.ip_prefix_len = endpoint.prefix;
            details.ipv6_address = text(endpoint.address6.map(Into::into));
            details.ipv6_prefix_len = endpoint.prefix6;
            details.mac_address.clone_from(&endpoint.mac);
        }
        network.endpoints.insert(name.clone(), details);
    }
    network
}

/// Exposed ports, with the addresses where they are published.
pub(super) fn ports_of(record: &Record) -> BTreeMap<String, Option<Vec<PortBinding>>> {
    let mut ports: BTreeMap<String, Option<Vec<PortBinding>>> = BTreeMap::new();
    for port in record.config.exposed_ports.keys() {
        let Ok((number, protocol)) = network::parse_exposed(port) else { continue };
        ports.insert(format!("{number}/{protocol}"), None);
    }
    for published in record.attached.iter().flat_map(|endpoint| &endpoint.ports) {
        let key = format!("{}/{}", published.container_port, published.protocol);
        ports.entry(key).or_default().get_or_insert_with(Vec::new).push(PortBinding {
            host_ip: published.host_ip.to_string(),
            host_port: published.host_port.to_string(),
        });
    }
    ports
}

/// The cgroup of what runs. Blocks.
pub(crate) fn cgroup_of(shared: &Shared, handle: &Handle) -> Option<linux::cgroup::Cgroup> {
    let record = handle.record();
    record.state.run()?;
    linux::cgroup::Cgroup::open(&start::cgroup_path(shared, &record)).ok()
}
