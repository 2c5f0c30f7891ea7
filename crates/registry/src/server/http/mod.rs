//! The door: from a request to an answer.

mod blobs;
pub(crate) mod body;
pub(crate) mod conditions;
mod connection;
mod discovery;
mod listen;
mod manifests;
mod pages;
mod tls;
mod uploads;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::json;

use super::access::{Action, Identity, Scope};
use super::error::{Code, Fault};
use super::route::{Query, Reference, Route};
use super::{Server, names};
use body::{Body, Segments};

pub(crate) use listen::{bind, run};
pub(crate) use tls::Tls;

type Answer = Result<Response<Body>, Fault>;

pub(crate) const DIGEST_HEADER: HeaderName = HeaderName::from_static("docker-content-digest");
const VERSION_HEADER: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// From where a request came.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) address: Option<IpAddr>,
    pub(crate) is_tls: bool,
    /// For bodies that the kernel sends; none where it cannot.
    pub(crate) segments: Option<Segments>,
}

impl Peer {
    fn text(&self) -> String {
        self.address.map(|address| address.to_string()).unwrap_or_default()
    }
}

/// A request's parts that handlers need, beside its body.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Query,
    pub(crate) peer: Peer,
    pub(crate) identity: Identity,
}

impl Call {
    pub(crate) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// Who asks, for logs and events.
    pub(crate) fn who(&self) -> &str {
        &self.identity.name
    }
}

/// Answers one request. Never fails: what goes wrong is an answer too.
pub(crate) async fn answer(server: Arc<Server>, request: Request<Incoming>, peer: Peer) -> Response<Body> {
    let began = Instant::now();
    server.metrics.in_flight.fetch_add(1, Ordering::Relaxed);
    let (parts, incoming) = request.into_parts();
    let route = Route::parse(parts.uri.path());
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let agent = parts.headers.get(header::USER_AGENT).cloned();
    let is_api = path.starts_with("/v2");
    let label = route.as_ref().map_or("none", Route::label);
    let mut who = String::new();
    let outcome = handle(&server, route, parts, incoming, &peer, &mut who).await;
    let mut response = outcome.unwrap_or_else(|fault| refuse(&fault));
    let headers = response.headers_mut();
    if is_api {
        headers.insert(VERSION_HEADER, HeaderValue::from_static("registry/2.0"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in &server.headers {
        headers.insert(name, value.clone());
    }
    let status = response.status();
    let took = began.elapsed();
    server.metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
    server.metrics.answered(label, known_method(&method), status.as_u16(), took);
    if server.config.log.access {
        let bytes = http_body::Body::size_hint(response.body()).exact().unwrap_or(0);
        let agent = agent.as_ref().and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        let line = json!({ "time": super::observe::now(), "address": peer.text(), "user": who, "method": method.as_str(),
            "path": path, "status": status.as_u16(), "bytes": bytes, "us": took.as_micros() as u64, "agent": agent });
        server.lines.push(&line.to_string());
    }
    response
}

/// A method as a label: a client must not be able to make up new ones.
fn known_method(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"];
    known.into_iter().find(|known| method == known).unwrap_or("other")
}

fn refuse(fault: &Fault) -> Response<Body> {
    let mut response = Response::new(Body::bytes(fault.body()));
    *response.status_mut() = fault.status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in &fault.rest.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

async fn handle(
    server: &Arc<Server>,
    route: Result<Route, Fault>,
    parts: http::request::Parts,
    incoming: Incoming,
    peer: &Peer,
    who: &mut String,
) -> Answer {
    if let Some(limiter) = &server.limiter {
        limit(limiter.take(&peer.address, Instant::now()), server)?;
    }
    // Some clients push tags that cannot be any: that is a bad request, where a pull only finds nothing.
    let route = route.map_err(|fault| match (&parts.method, fault.code) {
        (&Method::PUT, Code::ManifestUnknown) => {
            Fault { code: Code::ManifestInvalid, ..fault }.with_status(StatusCode::BAD_REQUEST)
        }
        _ => fault,
    })?;
    match route {
        Route::Health => return health(server, parts.uri.path()).await,
        Route::Ping => return Ok(Response::new(Body::bytes("true"))),
        _ => {}
    }
    limit(server.failures.look(&peer.address, Instant::now()), server)?;
    let origin = origin(&parts.headers, peer);
    let authorization = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    // OAuth clients say who they are in the body.
    let is_form = route == Route::Token && parts.method == Method::POST;
    let identity = match server.access.identify(authorization.filter(|_| !is_form)).await {
        Ok(identity) => identity,
        Err(fault) if fault.status == StatusCode::UNAUTHORIZED => {
            // Not taking the answer: the next request is the one that may be refused.
            let _full = server.failures.take(&peer.address, Instant::now());
            server.audit.write(
                "",
                &peer.text(),
                "refused",
                parts.uri.path(),
                &json!({ "why": fault.message }),
            );
            let challenge = server.access.challenge(&origin, None, Some("invalid_token"));
            return Err(fault.with_header(header::WWW_AUTHENTICATE, challenge));
        }
        Err(fault) => return Err(fault),
    };
    who.clone_from(&identity.name);
    let call = Call {
        query: Query::parse(parts.uri.query()),
        method: parts.method,
        headers: parts.headers,
        peer: peer.clone(),
        identity,
    };
    permit(server, &call, &route, &origin)?;
    dispatch(server, call, route, incoming).await
}

fn limit(taken: Result<(), std::time::Duration>, server: &Server) -> Result<(), Fault> {
    taken.map_err(|wait| {
        server.metrics.limited.fetch_add(1, Ordering::Relaxed);
        let seconds = wait.as_secs() + 1;
        Fault::new(Code::TooManyRequests, "too many requests")
            .with_header(header::RETRY_AFTER, seconds.to_string())
    })
}

/// Our address as the client sees it: behind a proxy that ends TLS, the proxy says so.
fn origin(headers: &HeaderMap, peer: &Peer) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_tls = peer.is_tls || text("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let is_host =
        |host: &&str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte));
    let host = text("host").filter(is_host).unwrap_or("localhost");
    format!("{}://{host}", if is_tls { "https" } else { "http" })
}

/// What a request needs.
fn wanted(method: &Method, route: &Route) -> Option<Action> {
    match route {
        Route::Uploads { .. } | Route::Upload { .. } => Some(Action::Push),
        Route::Blob { .. } | Route::Manifest { .. } => Some(match *method {
            Method::GET | Method::HEAD => Action::Pull,
            Method::DELETE => Action::Delete,
            _ => Action::Push,
        }),
        Route::Tags { .. } | Route::Referrers { .. } | Route::Page { name: Some(_) } => Some(Action::Pull),
        _ => None,
    }
}

/// Refuses what is not allowed: 401 with what a token would have to cover, or 403 where more would not help.
fn permit(server: &Server, call: &Call, route: &Route, origin: &str) -> Result<(), Fault> {
    let needs_name = match route {
        // `docker login` asks here whether name and password are right.
        Route::Root => true,
        Route::Metrics => !server.config.open_metrics,
        _ => false,
    };
    let is_open = server.access.is_open();
    if needs_name && !is_open && call.who().is_empty() {
        let bearer = call.header(header::AUTHORIZATION).is_some();
        // Anonymous with a token has been where it had to go.
        if !(bearer && *route == Route::Root) {
            let challenge = server.access.challenge(origin, None, None);
            return Err(Fault::new(Code::Unauthorized, "authentication required")
                .with_header(header::WWW_AUTHENTICATE, challenge));
        }
    }
    let (Some(action), Some(name)) = (wanted(&call.method, route), route.repository()) else { return Ok(()) };
    if call.identity.may(name, action) {
        let changes = action != Action::Pull;
        if changes && server.config.read_only {
            return Err(Fault::new(Code::Unsupported, "the registry is read-only"));
        }
        return Ok(());
    }
    server.audit.write(call.who(), &call.peer.text(), "refused", name, &json!({ "wanted": action.as_str() }));
    if call.identity.is_denied(name, action) {
        let detail = json!([{ "Type": "repository", "Name": name, "Action": action.as_str() }]);
        return Err(
            Fault::new(Code::Denied, "requested access to the resource is denied").with_detail(detail)
        );
    }
    let scope = match action {
        Action::Push => format!("repository:{name}:pull,push"),
        other => format!("repository:{name}:{}", other.as_str()),
    };
    let error = call.header(header::AUTHORIZATION).map(|_| "insufficient_scope");
    let challenge = server.access.challenge(origin, Some(&scope), error);
    Err(Fault::new(Code::Unauthorized, "authentication required")
        .with_header(header::WWW_AUTHENTICATE, challenge))
}

async fn dispatch(server: &Arc<Server>, call: Call, route: Route, incoming: Incoming) -> Answer {
    let reads = matches!(call.method, Method::GET | Method::HEAD);
    match (route, call.method.clone()) {
        (Route::Root, _) if reads => Ok(json_answer(&json!({}))),
        (Route::Token, _) if !server.access.issues_tokens() => {
            Err(Fault::new(Code::NameUnknown, "tokens come from another service"))
        }
        (Route::Token, Method::GET) => discovery::token(server, &call),
        (Route::Token, Method::POST) => discovery::token_by_form(server, &call, incoming).await,
        (Route::Catalog, _) if reads => discovery::catalog(server, &call).await,
        (Route::Search, _) if reads => discovery::search(server, &call).await,
        (Route::Metrics, _) if reads => Ok(metrics(server)),
        (Route::Page { name: None }, _) if reads => pages::front(server, &call).await,
        (Route::Page { name: Some(name) }, _) if reads => pages::repository(server, &call, &name).await,
        (Route::Tags { name }, _) if reads => discovery::tags(server, &call, &name).await,
        (Route::Referrers { name, subject }, _) if reads => {
            discovery::referrers(server, &call, &name, &subject).await
        }
        (Route::Blob { name, digest }, _) if reads => blobs::get(server, &call, &name, &digest).await,
        (Route::Blob { name, digest }, Method::DELETE) => blobs::delete(server, &call, &name, &digest).await,
        (Route::Manifest { name, reference }, _) if reads => {
            manifests::get(server, &call, &name, &reference).await
        }
        (Route::Manifest { name, reference }, Method::PUT) => {
            manifests::put(server, &call, &name, &reference, incoming).await
        }
        (Route::Manifest { name, reference }, Method::DELETE) => {
            manifests::delete(server, &call, &name, &reference).await
        }
        (Route::Uploads { name }, Method::POST) => uploads::begin(server, &call, &name, incoming).await,
        (Route::Upload { name, id }, method) => {
            uploads::go_on(server, &call, &name, &id, &method, incoming).await
        }
        _ => Err(Fault::method_not_allowed()),
    }
}

fn json_answer(value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::bytes(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn metrics(server: &Server) -> Response<Body> {
    let mut response = Response::new(Body::bytes(server.metrics.text()));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// `live`: the process answers. All others: the storage does too.
async fn health(server: &Server, path: &str) -> Answer {
    if path != "/health/live"
        && let Err(error) = server.content.storage.check().await
    {
        tracing::error!(%error, "the storage is not well");
        let mut response = json_answer(&json!({ "storage": "unavailable" }));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return Ok(response);
    }
    Ok(json_answer(&json!({})))
}

/// Sets a header whose value may come from outside.
fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Refuses to move a tag that must not move.
fn check_immutable(server: &Server, name: &str, tag: &str) -> Result<(), Fault> {
    let applies = |rule: &&super::ImmutableOptions| {
        names::matches(&rule.repositories, name) && names::matches(&rule.tags, tag)
    };
    match server.config.immutable.iter().find(applies) {
        None => Ok(()),
        Some(rule) => {
            let message = format!("tag {tag} is immutable here ({}:{})", rule.repositories, rule.tags);
            Err(Fault::new(Code::Denied, message).with_detail(json!({ "name": name, "tag": tag })))
        }
    }
}

/// The scopes of a token request.
fn scopes<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<Scope> {
    texts.flat_map(str::split_whitespace).filter_map(Scope::parse).collect()
}

/// The tag, where a reference is one.
fn tag_of(reference: &Reference) -> Option<&str> {
    match reference {
        Reference::Tag(tag) => Some(tag),
        Reference::Digest(_) => None,
    }
}
