//! Networks.

use engine::networks::NetworkDetails;
use wire::network as body;

/// One network.
pub(crate) fn network(of: NetworkDetails) -> body::NetworkResource {
    let pool = |of: engine::networks::IpamPool| body::IpamConfig {
        subnet: of.subnet,
        ip_range: of.ip_range,
        gateway: of.gateway,
        auxiliary_addresses: of.aux_addresses,
    };
    let member = |of: engine::networks::NetworkMember| body::NetworkContainer {
        name: of.name,
        endpoint_id: of.endpoint_id,
        mac_address: of.mac_address,
        ipv4_address: of.ipv4_address,
        ipv6_address: of.ipv6_address,
    };
    body::NetworkResource {
        name: of.name,
        id: of.id,
        created: of.created,
        scope: of.scope,
        driver: of.driver,
        enable_ipv4: of.enable_ipv4,
        enable_ipv6: of.enable_ipv6,
        ipam: body::Ipam {
            driver: "default".to_owned(),
            options: of.ipam_options,
            config: of.ipam.map(|pools| pools.into_iter().map(pool).collect()),
        },
        internal: of.internal,
        attachable: of.attachable,
        ingress: of.ingress,
        config_from: body::ConfigReference { network: of.config_from },
        config_only: of.config_only,
        containers: of.containers.into_iter().map(|(id, of)| (id, member(of))).collect(),
        options: Some(of.options),
        labels: Some(of.labels),
    }
}
