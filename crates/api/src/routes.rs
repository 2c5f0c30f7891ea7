//! The table of all endpoints of the Engine API (`reference/engine-api/endpoints.tsv`): what answers each, and how much
//! of it is built. STATUS.md is made from it.

use std::pin::Pin;

use types::Error;

use crate::call::Call;
use crate::reply::Result;
use crate::{containers, events, exec, images, networks, system, volumes};

/// How much of an endpoint is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// All of it.
    Works,
    /// Something is missing or has no meaning here yet.
    Partly,
    /// Answers 501, or what a Docker outside a swarm or without plugins answers.
    NotYet,
}

type Answering = Pin<Box<dyn Future<Output = Result> + Send>>;

/// One endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// `GET`, `POST`, ...
    pub method: &'static str,
    /// Without version; at most one `{name}`, which may stand for several path segments.
    pub path: &'static str,
    /// How much is built.
    pub support: Support,
    /// What answers.
    pub(crate) handler: fn(Call) -> Answering,
    /// A change that must not stop half way because its client has gone.
    pub(crate) outlives_client: bool,
}

impl Route {
    /// The name in `path` if it is this route's; empty for a route without a name.
    pub(crate) fn matches<'p>(&self, path: &'p str) -> Option<&'p str> {
        let Some((before, rest)) = self.path.split_once('{') else {
            return (path == self.path).then_some("");
        };
        let after = rest.split_once('}').map_or("", |(_, after)| after);
        path.strip_prefix(before)?.strip_suffix(after).filter(|name| !name.is_empty())
    }
}

/// All endpoints. Fixed paths stand before named ones, longer endings before shorter, because the first match counts.
pub fn routes() -> &'static [Route] {
    &ROUTES
}

async fn not_built(call: Call) -> Result {
    let Route { method, path, .. } = call.route;
    Err(Error::not_implemented(format!("{method} {path} is not implemented by this version of wharf yet")))
}

macro_rules! ask {
    ($method:ident, $path:literal, $support:ident, $handler:path) => {
        Route {
            method: stringify!($method),
            path: $path,
            support: Support::$support,
            handler: |call| Box::pin($handler(call)),
            outlives_client: false,
        }
    };
}

macro_rules! change {
    ($method:ident, $path:literal, $support:ident, $handler:path) => {
        Route { outlives_client: true, ..ask!($method, $path, $support, $handler) }
    };
}

#[rustfmt::skip]
static ROUTES: [Route; 112] = [
    // System
    ask!(GET, "/_ping", Works, system::ping),
    ask!(HEAD, "/_ping", Works, system::ping_head),
    ask!(POST, "/auth", Partly, images::auth),
    ask!(GET, "/events", Works, events::events),
    ask!(GET, "/info", Works, system::info),
    ask!(GET, "/system/df", Partly, system::df),
    ask!(GET, "/version", Works, system::version),
    // Container
    change!(POST, "/containers/create", Works, containers::create),
    ask!(GET, "/containers/json", Works, containers::list),
    change!(POST, "/containers/prune", Works, containers::prune),
    ask!(GET, "/containers/{id}/attach/ws", Works, containers::attach_ws),
    ask!(GET, "/containers/{id}/archive", Works, containers::archive_get),
    ask!(HEAD, "/containers/{id}/archive", Works, containers::archive_head),
    ask!(PUT, "/containers/{id}/archive", Works, containers::archive_put),
    ask!(GET, "/containers/{id}/changes", Works, containers::changes),
    change!(POST, "/containers/{id}/restart", Works, containers::restart),
    change!(POST, "/containers/{id}/unpause", Works, containers::unpause),
    ask!(POST, "/containers/{id}/attach", Works, containers::attach),
    ask!(GET, "/containers/{id}/export", Works, containers::export),
    change!(POST, "/containers/{id}/rename", Works, containers::rename),
    change!(POST, "/containers/{id}/resize", Works, containers::resize),
    change!(POST, "/containers/{id}/update", Works, containers::update),
    change!(POST, "/containers/{id}/pause", Works, containers::pause),
    change!(POST, "/containers/{id}/start", Works, containers::start),
    ask!(GET, "/containers/{id}/stats", Works, containers::stats),
    ask!(GET, "/containers/{id}/json", Works, containers::inspect),
    change!(POST, "/containers/{id}/kill", Works, containers::kill),
    ask!(GET, "/containers/{id}/logs", Works, containers::logs),
    change!(POST, "/containers/{id}/stop", Works, containers::stop),
    ask!(POST, "/containers/{id}/wait", Works, containers::wait),
    ask!(GET, "/containers/{id}/top", Works, containers::top),
    change!(DELETE, "/containers/{id}", Works, containers::remove),
    // Exec
    change!(POST, "/exec/{id}/resize", Works, exec::resize),
    ask!(POST, "/exec/{id}/start", Works, exec::start),
    change!(POST, "/containers/{id}/exec", Works, exec::create),
    ask!(GET, "/exec/{id}/json", Works, exec::inspect),
    // Image
    ask!(POST, "/build", NotYet, not_built),
    ask!(POST, "/build/prune", Partly, system::build_prune),
    change!(POST, "/commit", Works, containers::commit),
    ask!(POST, "/images/create", Works, images::create),
    ask!(GET, "/images/get", Works, images::save_all),
    ask!(GET, "/images/json", Works, images::list),
    ask!(POST, "/images/load", Works, images::load),
    change!(POST, "/images/prune", Works, images::prune),
    ask!(GET, "/images/search", Works, images::search),
    ask!(GET, "/images/{name}/attestations", NotYet, not_built),
    ask!(GET, "/images/{name}/history", Works, images::history),
    ask!(GET, "/images/{name}/json", Partly, images::inspect),
    ask!(POST, "/images/{name}/push", Works, images::push),
    ask!(GET, "/images/{name}/get", Works, images::save),
    change!(POST, "/images/{name}/tag", Works, images::tag),
    change!(DELETE, "/images/{name}", Works, images::remove),
    // Network
    ask!(GET, "/networks", Works, networks::list),
    change!(POST, "/networks/create", Works, networks::create),
    change!(POST, "/networks/prune", Works, networks::prune),
    change!(POST, "/networks/{id}/disconnect", Works, networks::disconnect),
    change!(POST, "/networks/{id}/connect", Works, networks::connect),
    change!(DELETE, "/networks/{id}", Works, networks::remove),
    ask!(GET, "/networks/{id}", Works, networks::inspect),
    ask!(GET, "/wharf/networks/explain/{id}", Works, networks::explain),
    // Volume
    ask!(GET, "/volumes", Works, volumes::list),
    change!(POST, "/volumes/create", Partly, volumes::create),
    change!(POST, "/volumes/prune", Works, volumes::prune),
    change!(DELETE, "/volumes/{name}", Works, volumes::remove),
    ask!(GET, "/volumes/{name}", Works, volumes::inspect),
    ask!(PUT, "/volumes/{name}", NotYet, not_built),
    ask!(GET, "/wharf/volumes/{name}/export", Works, volumes::export),
    ask!(POST, "/wharf/volumes/{name}/import", Works, volumes::import),
    change!(POST, "/wharf/volumes/{name}/clone", Works, volumes::clone),
    // Distribution
    ask!(GET, "/distribution/{name}/json", Works, images::distribution),
    // Plugin
    ask!(GET, "/plugins", Partly, system::plugins),
    ask!(POST, "/plugins/create", NotYet, not_built),
    ask!(GET, "/plugins/privileges", NotYet, not_built),
    ask!(POST, "/plugins/pull", NotYet, not_built),
    ask!(POST, "/plugins/{name}/disable", NotYet, system::no_such_plugin),
    ask!(POST, "/plugins/{name}/upgrade", NotYet, system::no_such_plugin),
    ask!(POST, "/plugins/{name}/enable", NotYet, system::no_such_plugin),
    ask!(GET, "/plugins/{name}/json", NotYet, system::no_such_plugin),
    ask!(POST, "/plugins/{name}/push", NotYet, system::no_such_plugin),
    ask!(POST, "/plugins/{name}/set", NotYet, system::no_such_plugin),
    ask!(DELETE, "/plugins/{name}", NotYet, system::no_such_plugin),
    // Session
    ask!(POST, "/session", NotYet, not_built),
    // Swarm
    ask!(GET, "/swarm", NotYet, system::not_a_manager),
    ask!(POST, "/swarm/init", NotYet, not_built),
    ask!(POST, "/swarm/join", NotYet, not_built),
    ask!(POST, "/swarm/leave", NotYet, system::not_a_manager),
    ask!(POST, "/swarm/unlock", NotYet, system::not_a_manager),
    ask!(GET, "/swarm/unlockkey", NotYet, system::not_a_manager),
    ask!(POST, "/swarm/update", NotYet, system::not_a_manager),
    // Node
    ask!(GET, "/nodes", NotYet, system::not_a_manager),
    ask!(POST, "/nodes/{id}/update", NotYet, system::not_a_manager),
    ask!(DELETE, "/nodes/{id}", NotYet, system::not_a_manager),
    ask!(GET, "/nodes/{id}", NotYet, system::not_a_manager),
    // Service
    ask!(GET, "/services", NotYet, system::not_a_manager),
    ask!(POST, "/services/create", NotYet, system::not_a_manager),
    ask!(POST, "/services/{id}/update", NotYet, system::not_a_manager),
    ask!(GET, "/services/{id}/logs", NotYet, system::not_a_manager),
    ask!(DELETE, "/services/{id}", NotYet, system::not_a_manager),
    ask!(GET, "/services/{id}", NotYet, system::not_a_manager),
    // Task
    ask!(GET, "/tasks", NotYet, system::not_a_manager),
    ask!(GET, "/tasks/{id}/logs", NotYet, system::not_a_manager),
    ask!(GET, "/tasks/{id}", NotYet, system::not_a_manager),
    // Secret
    ask!(GET, "/secrets", NotYet, system::not_a_manager),
    ask!(POST, "/secrets/create", NotYet, system::not_a_manager),
    ask!(POST, "/secrets/{id}/update", NotYet, system::not_a_manager),
    ask!(DELETE, "/secrets/{id}", NotYet, system::not_a_manager),
    ask!(GET, "/secrets/{id}", NotYet, system::not_a_manager),
    // Config
    ask!(GET, "/configs", NotYet, system::not_a_manager),
    ask!(POST, "/configs/create", NotYet, system::not_a_manager),
    ask!(POST, "/configs/{id}/update", NotYet, system::not_a_manager),
    ask!(DELETE, "/configs/{id}", NotYet, system::not_a_manager),
    ask!(GET, "/configs/{id}", NotYet, system::not_a_manager),
];

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Every endpoint of the reference stands in the table, and nothing else but our own below `/wharf/`.
    #[test]
    fn the_table_is_the_engine_api() {
        let given = std::env::var_os("WHARF_REFERENCE").map(PathBuf::from);
        let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference");
        let Ok(text) = std::fs::read_to_string(given.unwrap_or(beside).join("engine-api/endpoints.tsv"))
        else {
            eprintln!("skipped: no reference; set WHARF_REFERENCE to the folder reference");
            return;
        };
        let mut wanted: Vec<(&str, &str)> = text
            .lines()
            .skip(1)
            .filter_map(|line| {
                let mut columns = line.split('\t');
                Some((columns.next()?, columns.next()?))
            })
            .collect();
        let mut ours: Vec<_> = routes().iter().map(|route| (route.method, route.path)).collect();
        ours.retain(|(_, path)| !path.starts_with("/wharf/"));
        wanted.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, wanted);
    }

    #[test]
    fn no_route_hides_another() {
        for (n, route) in routes().iter().enumerate() {
            let example = route.path.replace("{id}", "x").replace("{name}", "x");
            let first =
                routes().iter().position(|r| r.method == route.method && r.matches(&example).is_some());
            assert_eq!(first, Some(n), "{} {}", route.method, route.path);
        }
    }
}
