//! `/volumes`.

use engine::volumes::{VolumeDetails, VolumeRequest};
use http::StatusCode;
use types::Error;
use wire::volume as body;

use crate::call::Call;
use crate::go_json::VOLUME;
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

/// `POST /volumes/prune`
pub(crate) async fn prune(call: Call) -> Result {
    let pruned = call.parts.volumes.prune(&call.query.filters()?).await?;
    reply::json(&body::VolumesPruned {
        volumes_deleted: Some(pruned.deleted).filter(|deleted| !deleted.is_empty()),
        space_reclaimed: pruned.space_bytes,
    })
}
