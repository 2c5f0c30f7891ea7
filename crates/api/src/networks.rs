//! `/networks`.

use engine::networks::{IpamPool, NetworkRequest};
use http::StatusCode;
use wire::network as body;

use crate::call::Call;
use crate::go_json::{CONNECT, DISCONNECT, NETWORK};
use crate::render;
use crate::reply::{self, Result};

/// `GET /networks`. Up to 1.27 a list names the containers of each network.
pub(crate) async fn list(call: Call) -> Result {
    let mut networks = call.parts.networks.list(&call.query.filters()?).await?;
    if call.version.before(28) {
        for network in &mut networks {
            *network = call.parts.networks.inspect(&network.id).await?;
        }
    }
    reply::json(&networks.into_iter().map(render::network).collect::<Vec<_>>())
}

/// `GET /networks/{id}`
pub(crate) async fn inspect(call: Call) -> Result {
    reply::json(&render::network(call.parts.networks.inspect(&call.name).await?))
}

/// `DELETE /networks/{id}`
pub(crate) async fn remove(call: Call) -> Result {
    call.parts.networks.remove(&call.name).await?;
    reply::no_content()
}

/// `POST /networks/create`
pub(crate) async fn create(mut call: Call) -> Result {
    let asked: body::NetworkCreate = call.required_json(&NETWORK).await?;
    let ipam = asked.ipam.unwrap_or_default();
    let pool = |of: body::IpamConfig| IpamPool {
        subnet: of.subnet,
        ip_range: of.ip_range,
        gateway: of.gateway,
        aux_addresses: of.auxiliary_addresses,
    };
    let request = NetworkRequest {
        name: asked.name,
        driver: asked.driver,
        scope: asked.scope,
        // Before 1.48 nobody could turn it off.
        enable_ipv4: asked.enable_ipv4.filter(|_| !call.version.before(48)),
        enable_ipv6: asked.enable_ipv6,
        ipam_driver: ipam.driver,
        ipam_options: ipam.options,
        pools: ipam.config.unwrap_or_default().into_iter().map(pool).collect(),
        internal: asked.internal,
        attachable: asked.attachable,
        ingress: asked.ingress,
        config_only: asked.config_only,
        config_from: asked.config_from.unwrap_or_default().network,
        options: asked.options.unwrap_or_default(),
        labels: asked.labels.unwrap_or_default(),
    };
    let id = call.parts.networks.create(request).await?;
    reply::json_with(StatusCode::CREATED, &body::NetworkCreated { id, warning: String::new() })
}

/// `POST /networks/{id}/connect`
pub(crate) async fn connect(mut call: Call) -> Result {
    let asked: body::NetworkConnect = call.required_json(&CONNECT).await?;
    let want = asked.endpoint_config.unwrap_or_default();
    call.parts.containers.connect(&asked.container, &call.name, want).await?;
    Ok(reply::empty(StatusCode::OK))
}

/// `POST /networks/{id}/disconnect`
pub(crate) async fn disconnect(mut call: Call) -> Result {
    let asked: body::NetworkDisconnect = call.required_json(&DISCONNECT).await?;
    call.parts.containers.disconnect(&asked.container, &call.name, asked.force).await?;
    Ok(reply::empty(StatusCode::OK))
}

/// `GET /wharf/networks/explain/{id}`, where the name is `PORT[/PROTOCOL]`.
pub(crate) async fn explain(call: Call) -> Result {
    let found = call.parts.networks.explain(&call.name).await?;
    let publications = found.into_iter().map(|of| body::Publication {
        container: of.container,
        network: of.network,
        host_ip: of.port.host_ip.to_string(),
        host_port: of.port.host_port,
        container_port: of.port.container_port,
        protocol: of.port.protocol.to_string(),
        reach: of
            .reach
            .into_iter()
            .map(|r| body::Reach { from: r.from.to_owned(), answer: r.answer.to_owned(), why: r.why })
            .collect(),
    });
    reply::json(&body::PortExplained {
        policy: call.parts.networks.publish_policy().to_owned(),
        publications: publications.collect(),
    })
}

/// `POST /networks/prune`
pub(crate) async fn prune(call: Call) -> Result {
    let pruned = call.parts.networks.prune(&call.query.filters()?).await?;
    let networks_deleted = Some(pruned).filter(|names| !names.is_empty());
    reply::json(&body::NetworksPruned { networks_deleted })
}
