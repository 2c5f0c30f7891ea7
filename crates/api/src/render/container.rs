//! Containers: inspect and list.

use std::collections::BTreeMap;

use engine::containers::state::Status;
use engine::containers::view::{
    ContainerDetails, ContainerListing, EndpointDetails, Health, MountPoint, NetworkState, StateDetails,
};
use wire::ApiVersion;
use wire::container as body;

/// `GET /containers/{id}/json`.
pub(crate) fn inspect(of: ContainerDetails, version: ApiVersion) -> body::ContainerInspect {
    let (driver, graph_data) = of.graph_driver;
    let mut network_settings = network_settings(of.network);
    if version.before(45) {
        add_short_id_aliases(&mut network_settings.networks, of.id.short(), &of.config.hostname);
    }
    let exec_ids: Vec<String> = of.exec_ids.into_iter().map(String::from).collect();
    body::ContainerInspect {
        id: of.id.into(),
        created: of.created,
        path: of.path,
        args: of.args,
        state: state(of.state),
        image: of.image_id.map(Into::into).unwrap_or_default(),
        resolv_conf_path: of.resolv_conf_path,
        hostname_path: of.hostname_path,
        hosts_path: of.hosts_path,
        log_path: of.log_path,
        name: format!("/{}", of.name),
        restart_count: of.restart_count.into(),
        driver: driver.clone(),
        platform: "linux".to_owned(),
        image_manifest_descriptor: None,
        mount_label: String::new(),
        process_label: String::new(),
        app_armor_profile: of.apparmor_profile,
        exec_ids: Some(exec_ids).filter(|ids| !ids.is_empty()),
        host_config: of.host_config,
        graph_driver: body::GraphDriver {
            data: Some(graph_data).filter(|data| !data.is_empty()),
            name: driver,
        },
        size_rw: of.size.map(|size| signed(size.rw_bytes)),
        size_root_fs: of.size.map(|size| signed(size.root_fs_bytes)),
        mounts: of.mounts.into_iter().map(mount).collect(),
        config: of.config,
        network_settings,
    }
}

fn state(of: StateDetails) -> body::ContainerState {
    body::ContainerState {
        status: of.status.as_str().to_owned(),
        running: matches!(of.status, Status::Running | Status::Paused | Status::Restarting),
        paused: of.status == Status::Paused,
        restarting: of.status == Status::Restarting,
        oom_killed: of.oom_killed,
        dead: of.status == Status::Dead,
        pid: of.pid.into(),
        exit_code: of.exit_code.into(),
        error: of.error,
        started_at: of.started_at,
        finished_at: of.finished_at,
        health: of.health.map(health),
    }
}

fn health(of: Health) -> body::Health {
    let result = |of: engine::containers::view::HealthResult| body::HealthResult {
        start: of.start,
        end: of.end,
        exit_code: of.exit_code.into(),
        output: of.output,
    };
    body::Health {
        status: of.status,
        failing_streak: of.failing_streak.into(),
        log: Some(of.log.into_iter().map(result).collect()),
    }
}

/// One mount.
fn mount(of: MountPoint) -> body::MountPoint {
    body::MountPoint {
        kind: of.kind,
        name: of.name,
        source: of.source,
        destination: of.destination,
        driver: of.driver,
        mode: of.mode,
        rw: of.rw,
        propagation: of.propagation,
    }
}

/// The flat fields repeat the endpoint on the network called `bridge`.
fn network_settings(of: NetworkState) -> body::NetworkSettings {
    let mut settings = body::NetworkSettings {
        sandbox_id: of.sandbox_id,
        sandbox_key: of.sandbox_key,
        ports: of.ports,
        networks: endpoints(of.endpoints),
        ..Default::default()
    };
    if let Some(bridge) = settings.networks.get("bridge") {
        settings.endpoint_id = bridge.endpoint_id.clone();
        settings.gateway = bridge.gateway.clone();
        settings.global_ipv6_address = bridge.global_ipv6_address.clone();
        settings.global_ipv6_prefix_len = bridge.global_ipv6_prefix_len;
        settings.ip_address = bridge.ip_address.clone();
        settings.ip_prefix_len = bridge.ip_prefix_len;
        settings.ipv6_gateway = bridge.ipv6_gateway.clone();
        settings.mac_address = bridge.mac_address.clone();
    }
    settings
}

fn endpoints(of: BTreeMap<String, EndpointDetails>) -> BTreeMap<String, body::EndpointSettings> {
    of.into_iter().map(|(name, details)| (name, endpoint(details))).collect()
}

/// One endpoint.
fn endpoint(of: EndpointDetails) -> body::EndpointSettings {
    body::EndpointSettings {
        ipam_config: of.request.ipam_config,
        links: of.request.links,
        aliases: of.request.aliases,
        mac_address: of.mac_address,
        driver_opts: of.request.driver_opts,
        gw_priority: of.request.gw_priority,
        network_id: of.network_id,
        endpoint_id: of.endpoint_id,
        gateway: of.gateway,
        ip_address: of.ip_address,
        ip_prefix_len: of.ip_prefix_len.into(),
        ipv6_gateway: of.ipv6_gateway,
        global_ipv6_address: of.ipv6_address,
        global_ipv6_prefix_len: of.ipv6_prefix_len.into(),
        dns_names: of.dns_names,
    }
}

/// Up to 1.44 the aliases on user-defined networks had the short id and the host name in them.
fn add_short_id_aliases(
    networks: &mut BTreeMap<String, body::EndpointSettings>,
    short_id: &str,
    hostname: &str,
) {
    let predefined = |name: &str| matches!(name, "bridge" | "host" | "none" | "default");
    for (_, endpoint) in networks.iter_mut().filter(|(name, _)| !predefined(name)) {
        let aliases = endpoint.aliases.get_or_insert_default();
        for alias in [short_id, hostname] {
            if !alias.is_empty() && !aliases.iter().any(|a| a == alias) {
                aliases.push(alias.to_owned());
            }
        }
    }
}

/// One line of `GET /containers/json`. Annotations came with 1.46.
pub(crate) fn summary(of: ContainerListing, version: ApiVersion) -> body::ContainerSummary {
    let annotations = if version.since(46) { of.annotations } else { BTreeMap::new() };
    let ports = of.ports.into_iter().map(|port| body::PortSummary {
        ip: port.ip,
        private_port: port.private_port,
        public_port: port.public_port,
        kind: port.protocol,
    });
    body::ContainerSummary {
        id: of.id.into(),
        names: vec![format!("/{}", of.name)],
        image: of.image,
        image_id: of.image_id.map(Into::into).unwrap_or_default(),
        image_manifest_descriptor: None,
        command: of.command,
        created: of.created_s,
        ports: ports.collect(),
        size_rw: of.size.map_or(0, |size| signed(size.rw_bytes)),
        size_root_fs: of.size.map_or(0, |size| signed(size.root_fs_bytes)),
        labels: of.labels,
        state: of.state.as_str().to_owned(),
        status: of.status_text,
        host_config: body::SummaryHostConfig { network_mode: of.network_mode, annotations },
        network_settings: body::SummaryNetworks { networks: endpoints(of.endpoints) },
        mounts: of.mounts.into_iter().map(mount).collect(),
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_overlap_as_dockers() {
        for (status, running, paused, restarting) in [
            (Status::Created, false, false, false),
            (Status::Running, true, false, false),
            (Status::Paused, true, true, false),
            (Status::Restarting, true, false, true),
            (Status::Exited, false, false, false),
        ] {
            let details = StateDetails {
                status,
                pid: 0,
                exit_code: 0,
                error: String::new(),
                oom_killed: false,
                started_at: String::new(),
                finished_at: String::new(),
                health: None,
            };
            let got = state(details);
            assert_eq!((got.running, got.paused, got.restarting), (running, paused, restarting), "{status}");
        }
    }

    #[test]
    fn old_clients_see_the_short_id_as_alias_of_user_defined_networks_only() {
        let mut networks: BTreeMap<_, _> =
            ["bridge", "mine"].map(|name| (name.to_owned(), body::EndpointSettings::default())).into();
        add_short_id_aliases(&mut networks, "0123456789ab", "0123456789ab");
        assert_eq!(networks["bridge"].aliases, None);
        assert_eq!(networks["mine"].aliases, Some(vec!["0123456789ab".to_owned()]));
    }
}
