//! `/networks`.

use crate::call::Call;
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
