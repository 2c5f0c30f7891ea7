//! `/_ping`, `/version`, `/info`, `/system/df`, `/auth`, and what a daemon without swarm and plugins says.

use engine::images::ListRequest;
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, PRAGMA};
use types::Error;
use wire::system as body;

use crate::call::Call;
use crate::render;
use crate::reply::{self, Reply, Result};
use crate::volumes::volume;

/// Which builder the daemon has by default: 1 is the classic one, 2 BuildKit. With 1 `docker build` asks `/build`.
const BUILDER_VERSION: HeaderValue = HeaderValue::from_static("1");

/// What `POST /build/prune` may be asked for (moby `builder-next`).
const BUILD_CACHE_FILTERS: &[&str] = &[
    "description",
    "id",
    "inuse",
    "label",
    "label!",
    "parent",
    "private",
    "shared",
    "type",
    "unused-for",
    "until",
];

fn ping_reply(text: &'static str) -> Reply {
    let mut reply = reply::bytes(StatusCode::OK, HeaderValue::from_static("text/plain; charset=utf-8"), text);
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("builder-version"), BUILDER_VERSION);
    headers.insert(HeaderName::from_static("swarm"), HeaderValue::from_static("inactive"));
    reply
}

/// `GET /_ping`
pub(crate) async fn ping(_: Call) -> Result {
    Ok(ping_reply("OK"))
}

/// `HEAD /_ping`
pub(crate) async fn ping_head(_: Call) -> Result {
    Ok(ping_reply(""))
}

/// `GET /version`
pub(crate) async fn version(call: Call) -> Result {
    reply::json(&render::version(call.parts.system.version()))
}

/// `GET /info`
pub(crate) async fn info(call: Call) -> Result {
    let commit = call.parts.system.version().git_commit;
    reply::json(&render::info(call.parts.system.info().await?, &commit, call.version)?)
}

/// `GET /system/df`, for the asked types (since 1.42) or all.
pub(crate) async fn df(call: Call) -> Result {
    let types = if call.version.since(42) { call.query.all("type") } else { Vec::new() };
    if let Some(other) =
        types.iter().find(|kind| !matches!(**kind, "container" | "image" | "volume" | "build-cache"))
    {
        return Err(Error::invalid(format!("unknown object type: {other}")));
    }
    let asked = |kind: &str| types.is_empty() || types.contains(&kind);
    let mut answer = body::DiskUsage::default();
    if asked("image") {
        let request =
            ListRequest { all: true, shared_size: true, container_count: true, ..ListRequest::default() };
        let images = call.parts.images.list(request).await?;
        answer.layers_size = images.iter().map(|image| i64::try_from(image.size_bytes).unwrap_or(0)).sum();
        answer.images =
            Some(images.into_iter().map(|image| render::image_summary(image, call.version, true)).collect());
    }
    if asked("container") || asked("volume") {
        let usage = call.parts.system.df().await?;
        if asked("container") {
            answer.containers =
                Some(usage.containers.into_iter().map(|of| render::summary(of, call.version)).collect());
        }
        if asked("volume") {
            answer.volumes = Some(usage.volumes.into_iter().map(volume).collect());
        }
    }
    if asked("build-cache") {
        answer.build_cache = Some(Vec::new());
    }
    reply::json(&answer)
}

/// `POST /build/prune`: there is no builder yet, so there is never anything to free.
pub(crate) async fn build_prune(call: Call) -> Result {
    let prefix =
        |error: Error| Error { message: format!("failed to prune build cache: {}", error.message), ..error };
    let filters = call.query.filters()?;
    for name in ["keep-storage", "reserved-space", "max-used-space", "min-free-space"] {
        let text = call.query.text(name);
        if !text.is_empty() && text.parse::<i64>().is_err() {
            return Err(Error::invalid(format!(
                "{name} is in bytes and expects an integer, got {text}: strconv.Atoi: parsing {text:?}: invalid syntax"
            )));
        }
    }
    filters.accept_only(BUILD_CACHE_FILTERS).map_err(prefix)?;
    match filters.get("until") {
        [] => {}
        [until] => drop(engine::parse_time(until).map_err(|error| {
            let expects = "\"until\" filter expects a duration (e.g., '24h') or a timestamp";
            prefix(Error { message: format!("{expects}: {}", error.message), ..error })
        })?),
        _ => return Err(prefix(Error::invalid("filters expect only one value"))),
    }
    call.parts.events.publish("builder", "prune", "", [("reclaimed".to_owned(), "0".to_owned())].into());
    reply::json(&wire::image::BuildCachePruned::default())
}

/// `GET /plugins`: none can be installed.
pub(crate) async fn plugins(call: Call) -> Result {
    call.query.filters()?.accept_only(&["capability", "enabled"])?;
    reply::json(&[(); 0])
}

/// What Docker says about a plugin that is not installed. `docker inspect` asks this last of all.
pub(crate) async fn no_such_plugin(call: Call) -> Result {
    Err(Error::not_found(format!("plugin {:?} not found", call.name)))
}

/// What Docker says to everything about swarm on a node that is not in one.
pub(crate) async fn not_a_manager(_: Call) -> Result {
    Err(Error::unavailable(
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.",
    ))
}
