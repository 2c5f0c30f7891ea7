//! `/volumes`.

use std::collections::BTreeMap;

use engine::volumes::{VolumeDetails, VolumeRequest};
use http::StatusCode;
use types::Error;
use wire::volume as body;

use crate::call::Call;
use crate::go_json::VOLUME;
use crate::images::{reader, tar_reply};
use crate::reply::{self, Result};

/// One volume as Docker shows it.
pub(crate) fn volume(of: VolumeDetails) -> body::Volume {
    body::Volume {
        created_at: of.created_at,
        driver: of.driver,
        labels: of.labels,
        mountpoint: of.mountpoint,
        name: of.name,
        options: of.options,
        scope: of.scope.to_owned(),
        status: of.status,
        usage_data: of
            .usage
            .map(|usage| body::UsageData { ref_count: usage.ref_count, size: usage.size_bytes }),
    }
}

/// `GET /volumes`
pub(crate) async fn list(call: Call) -> Result {
    let volumes = call.parts.volumes.list(&call.query.filters()?).await?;
    reply::json(&body::VolumeList { volumes: volumes.into_iter().map(volume).collect(), warnings: None })
}

/// `GET /volumes/{name}`
pub(crate) async fn inspect(call: Call) -> Result {
    reply::json(&volume(call.parts.volumes.inspect(&call.name).await?))
}

/// `POST /volumes/create`
pub(crate) async fn create(mut call: Call) -> Result {
    let asked: body::VolumeCreate = call.json(&VOLUME).await?;
    if asked.cluster_volume_spec.is_some() {
        return Err(Error::not_implemented("cluster volumes are not implemented"));
    }
    let request = VolumeRequest {
        name: asked.name,
        driver: asked.driver,
        driver_opts: asked.driver_opts,
        labels: asked.labels,
    };
    reply::json_with(StatusCode::CREATED, &volume(call.parts.volumes.create(request).await?))
}

/// `DELETE /volumes/{name}`
pub(crate) async fn remove(call: Call) -> Result {
    call.parts.volumes.remove(&call.name, call.query.flag("force")).await?;
    reply::no_content()
}

/// `GET /wharf/volumes/{name}/export`: not Docker's.
pub(crate) async fn export(call: Call) -> Result {
    tar_reply(call.parts.volumes.export(&call.name).await?).await
}

/// `POST /wharf/volumes/{name}/import`: not Docker's. The body is a tar, plain or compressed.
pub(crate) async fn import(call: Call) -> Result {
    let labels = labels(&call)?;
    let made = call.parts.volumes.import(&call.name, labels, reader(call.body)).await?;
    reply::json_with(StatusCode::CREATED, &volume(made))
}

/// `POST /wharf/volumes/{name}/clone`: not Docker's. The new volume's name is `to`.
pub(crate) async fn clone(call: Call) -> Result {
    let labels = labels(&call)?;
    let made = call.parts.volumes.copy(&call.name, call.query.text("to"), labels).await?;
    reply::json_with(StatusCode::CREATED, &volume(made))
}

/// A JSON object, as in a volume's description.
fn labels(call: &Call) -> types::Result<BTreeMap<String, String>> {
    match call.query.text("labels") {
        "" => Ok(BTreeMap::new()),
        text => {
            serde_json::from_str(text).map_err(|error| Error::invalid(format!("invalid labels: {error}")))
        }
    }
}

/// `POST /volumes/prune`
pub(crate) async fn prune(call: Call) -> Result {
    let pruned = call.parts.volumes.prune(&call.query.filters()?).await?;
    reply::json(&body::VolumesPruned {
        volumes_deleted: Some(pruned.deleted),
        space_reclaimed: pruned.space_bytes,
    })
}
