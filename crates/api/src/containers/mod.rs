//! `/containers`: parse, call the engine, render.

mod attach_ws;
mod create;
mod files;
mod streams;

pub(crate) use attach_ws::attach_ws;
pub(crate) use create::create;
pub(crate) use files::{archive_get, archive_head, archive_put, commit, export};
pub(crate) use streams::{attach, logs, stats, wait};

use engine::containers::request::{ListRequest, RemoveRequest, StopRequest, UpdateRequest};
use http::StatusCode;
use types::{Error, ErrorKind};
use wire::container as body;

use crate::call::Call;
use crate::go_json::{ANYTHING, UPDATE};
use crate::render;
use crate::reply::{self, Result};

/// `GET /containers/json`
pub(crate) async fn list(call: Call) -> Result {
    let limit =
        call.query.number("limit")?.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
    let request = ListRequest {
        all: call.query.flag("all"),
        limit,
        size: call.query.flag("size"),
        filters: call.query.filters()?,
    };
    let listed = call.parts.containers.list(request).await?;
    let summaries = listed.into_iter().map(|of| render::summary(of, call.version));
    reply::json(&summaries.collect::<Vec<_>>())
}

/// `GET /containers/{id}/json`
pub(crate) async fn inspect(call: Call) -> Result {
    let details = call.parts.containers.inspect(&call.name, call.query.flag("size")).await?;
    reply::json(&render::inspect(details, call.version))
}

/// `GET /containers/{id}/top`
pub(crate) async fn top(call: Call) -> Result {
    let top = call.parts.containers.top(&call.name, call.query.text("ps_args")).await?;
    reply::json(&body::Top { processes: top.processes, titles: top.titles })
}

/// `GET /containers/{id}/changes`: `null` when nothing has changed.
pub(crate) async fn changes(call: Call) -> Result {
    let changes = call.parts.containers.changes(&call.name).await?;
    let changes: Vec<_> =
        changes.into_iter().map(|change| body::Change { kind: change.kind, path: change.path }).collect();
    reply::json(&Some(changes).filter(|changes| !changes.is_empty()))
}

/// `POST /containers/{id}/start`
pub(crate) async fn start(mut call: Call) -> Result {
    // A body was how Docker before 1.22 was told about the host; newer versions refuse more than `{}`.
    let given: Option<serde_json::Value> = call.json(&ANYTHING).await.unwrap_or_default();
    if given.is_some_and(|value| value.as_object().is_none_or(|map| !map.is_empty())) {
        return Err(Error::invalid(
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
        ));
    }
    call.parts.containers.start(&call.name).await?;
    reply::no_content()
}

fn stop_request(call: &Call) -> types::Result<StopRequest> {
    let signal = if call.version.since(42) { call.query.optional("signal") } else { None };
    Ok(StopRequest { signal, timeout_s: call.query.number("t")? })
}

/// `POST /containers/{id}/stop`
pub(crate) async fn stop(call: Call) -> Result {
    call.parts.containers.stop(&call.name, stop_request(&call)?).await?;
    reply::no_content()
}

/// `POST /containers/{id}/restart`
pub(crate) async fn restart(call: Call) -> Result {
    call.parts.containers.restart(&call.name, stop_request(&call)?).await?;
    reply::no_content()
}

/// `POST /containers/{id}/kill`
pub(crate) async fn kill(call: Call) -> Result {
    call.parts.containers.kill(&call.name, call.query.text("signal")).await?;
    reply::no_content()
}

/// `POST /containers/{id}/pause`
pub(crate) async fn pause(call: Call) -> Result {
    call.parts.containers.pause(&call.name).await?;
    reply::no_content()
}

/// `POST /containers/{id}/unpause`
pub(crate) async fn unpause(call: Call) -> Result {
    call.parts.containers.unpause(&call.name).await?;
    reply::no_content()
}

/// `POST /containers/{id}/rename`
pub(crate) async fn rename(call: Call) -> Result {
    call.parts.containers.rename(&call.name, call.query.text("name")).await?;
    reply::no_content()
}

/// `POST /containers/{id}/update`
pub(crate) async fn update(mut call: Call) -> Result {
    let asked: body::ContainerUpdate = call.json(&UPDATE).await?;
    let mut resources = asked.resources;
    if call.version.before(40) {
        resources.pids_limit = None;
    }
    let request = UpdateRequest { resources, restart_policy: asked.restart_policy };
    let warnings = call.parts.containers.update(&call.name, request).await?;
    reply::json(&body::ContainerUpdated { warnings: Some(warnings).filter(|warnings| !warnings.is_empty()) })
}

/// `DELETE /containers/{id}`
pub(crate) async fn remove(call: Call) -> Result {
    let query = &call.query;
    let request =
        RemoveRequest { force: query.flag("force"), volumes: query.flag("v"), link: query.flag("link") };
    call.parts.containers.remove(&call.name, request).await?;
    reply::no_content()
}

/// `POST /containers/prune`
pub(crate) async fn prune(call: Call) -> Result {
    let pruned = call.parts.containers.prune(&call.query.filters()?).await?;
    reply::json(&body::ContainersPruned {
        containers_deleted: Some(pruned.deleted).filter(|deleted| !deleted.is_empty()),
        space_reclaimed: pruned.space_bytes,
    })
}

/// `POST /containers/{id}/resize`
pub(crate) async fn resize(call: Call) -> Result {
    let (height, width) = terminal_size(&call)?;
    call.parts.containers.resize(&call.name, height, width).await?;
    Ok(reply::empty(StatusCode::OK))
}

/// The `h` and `w` of a resize.
pub(crate) fn terminal_size(call: &Call) -> types::Result<(u16, u16)> {
    let side = |name: &str, word: &str| {
        let text = call.query.text(name);
        let invalid = |why: &str| {
            Error::new(ErrorKind::InvalidArgument, format!("invalid resize {word} {text:?}: {why}"))
        };
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid("invalid syntax"));
        }
        let number: u32 = text.parse().map_err(|_| invalid("value out of range"))?;
        // The kernel's numbers have 16 bits; Docker, too, lets the others go.
        Ok((number & 0xffff) as u16)
    };
    Ok((side("h", "height")?, side("w", "width")?))
}
