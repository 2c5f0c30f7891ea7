//! What the daemon was told about networks.

use types::{Error, Result};

use crate::settings::BridgeSettings;

/// Settings as the network crate takes them.
pub(super) fn config(
    settings: &BridgeSettings,
    subnets: [Option<ipnet::IpNet>; 2],
) -> Result<network::NetworkConfig> {
    fn net<T: std::str::FromStr>(key: &str, text: Option<&String>) -> Result<Option<T>> {
        text.map(|t| t.parse().map_err(|_| Error::invalid(format!("invalid {key}: {t:?}")))).transpose()
    }
    let [subnet, subnet6] = subnets;
    let host_ip = &settings.host_ip;
    Ok(network::NetworkConfig {
        bridge: settings.name.clone(),
        bip: net("bip", settings.bip.as_ref())?,
        fixed_cidr: net("fixed-cidr", settings.fixed_cidr.as_ref())?,
        default_gateway: net("default-gateway", settings.default_gateway.as_ref())?,
        default_gateway_v6: net("default-gateway-v6", settings.default_gateway_v6.as_ref())?,
        subnet,
        ipv6: settings.ipv6,
        bip6: net("bip6", settings.bip6.as_ref())?,
        fixed_cidr_v6: net("fixed-cidr-v6", settings.fixed_cidr_v6.as_ref())?,
        subnet6,
        address_pools: settings.address_pools.clone(),
        mtu: settings.mtu,
        icc: settings.icc,
        ip_masq: settings.ip_masq,
        ip_forward: settings.ip_forward,
        default_host_ip: host_ip.parse().map_err(|_| Error::invalid(format!("invalid ip: {host_ip:?}")))?,
        firewall: if settings.firewall { network::FirewallKind::Auto } else { network::FirewallKind::None },
        firewall_v6: settings.firewall_v6,
        direct_routing: settings.direct_routing,
        publish_policy: settings.publish_policy,
        ..network::NetworkConfig::default()
    })
}
