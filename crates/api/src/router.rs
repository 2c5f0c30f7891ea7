//! From a request line to a handler: the version prefix, the path, the method (moby `daemon/server/server.go`).

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use http::header::{HeaderValue, SERVER};
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::sync::watch;
use types::Error;
use wire::ApiVersion;

use crate::call::Call;
use crate::half_close::Turn;
use crate::query::{Query, decode, encode};
use crate::reply::{self, Reply};
use crate::request_body::RequestBody;
use crate::routes::{Route, routes};
use crate::server::Parts;

/// What `/v1.xx/rest` splits into.
fn split_version(path: &str) -> (Option<&str>, &str) {
    let versioned = || {
        let rest = path.strip_prefix("/v")?;
        let (version, rest) = rest.split_at(rest.find('/')?);
        let is_version = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        is_version.then_some((version, rest))
    };
    versioned().map_or((None, path), |(version, rest)| (Some(version), rest))
}

/// A version that is not spoken.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    /// Told as text: a client that old knows no JSON errors.
    TooOld(String),
    /// Told as JSON.
    TooNew(String),
}

/// The version that a prefix asks for. Docker compares numbers from the left, as many as there are: `1.050` and `1.50.7`
/// are fine, `1` is too old.
fn check_version(text: Option<&str>) -> Result<ApiVersion, Refused> {
    let Some(text) = text else { return Ok(ApiVersion::MAX) };
    let (min, max) = (ApiVersion::MIN, ApiVersion::MAX);
    let mut numbers: Vec<u64> = text.split('.').map(|part| part.parse().unwrap_or(0)).collect();
    while numbers.len() > 1 && numbers.last() == Some(&0) {
        numbers.pop();
    }
    let limit = |version: ApiVersion| vec![1, u64::from(version.minor())];
    if numbers < limit(min) {
        return Err(Refused::TooOld(format!(
            "client version {text} is too old. Minimum supported API version is {min}, please upgrade your client to a newer version"
        )));
    }
    let minor = numbers.get(1).and_then(|minor| u16::try_from(*minor).ok());
    match minor {
        Some(minor) if numbers <= limit(max) => Ok(ApiVersion::new(minor)),
        _ => Err(Refused::TooNew(format!(
            "client version {text} is too new. Maximum supported API version is {max}"
        ))),
    }
}

/// The path without empty segments, `.` and `..`; a slash at the end stays. Docker redirects to it.
fn clean(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    let end = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

/// The route of a method and a path without version, and the name in the path.
fn find<'p>(method: &Method, path: &'p str) -> Option<(&'static Route, &'p str)> {
    // The one path that Docker knows with a slash at its end, too.
    let path = if path == "/networks/" { "/networks" } else { path };
    routes()
        .iter()
        .filter(|route| method == route.method)
        .find_map(|route| Some((route, route.matches(path)?)))
}

/// Answers one request. Never fails and never panics: a handler that does is a 500.
pub(crate) async fn answer(
    parts: Parts,
    stop: watch::Receiver<bool>,
    turn: Turn,
    request: Request<Incoming>,
) -> Reply {
    let method = request.method().clone();
    let target = request.uri().clone();
    let mut request = request;
    let upgrade =
        request.headers().contains_key(http::header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let (head, body) = request.into_parts();
    let (body, drained) = RequestBody::new(body, turn);
    let outcome = AssertUnwindSafe(dispatch(parts, stop, head, body, upgrade)).catch_unwind().await;
    let mut answer = match outcome {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            log(&method, &target, &error);
            reply::error(&error)
        }
        Err(_) => {
            tracing::error!(%method, path = target.path(), "a handler panicked");
            reply::error(&Error::internal("internal error: a handler panicked, see the daemon's log"))
        }
    };
    if answer.status().is_client_error() || answer.status().is_server_error() {
        drained.wait().await;
    }
    let headers = answer.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("Wharf/0.1 (linux)"));
    headers.insert("Api-Version", HeaderValue::from_static("1.51"));
    headers.insert("Docker-Experimental", HeaderValue::from_static("false"));
    headers.insert("Ostype", HeaderValue::from_static("linux"));
    answer
}

/// Errors are logged once, here: what a client did wrong only for those who look.
fn log(method: &Method, target: &http::Uri, error: &Error) {
    let (path, source) = (target.path(), error.source.as_deref().map(tracing::field::display));
    if error.kind == types::ErrorKind::Internal {
        tracing::error!(%method, path, source, "{error}");
    } else {
        tracing::debug!(%method, path, source, "{error}");
    }
}

async fn dispatch(
    parts: Parts,
    stop: watch::Receiver<bool>,
    head: http::request::Parts,
    body: RequestBody,
    upgrade: Option<OnUpgrade>,
) -> reply::Result {
    let path = decode(head.uri.path(), false).into_owned();
    let cleaned = clean(&path);
    if cleaned != path {
        let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        return reply::moved(&format!("{}{query}", encode(&cleaned)));
    }
    let (version, rest) = split_version(&path);
    if head.method == Method::OPTIONS {
        return Ok(reply::empty(StatusCode::OK));
    }
    let (route, name) = find(&head.method, rest).ok_or_else(|| Error::not_found("page not found"))?;
    let version = match check_version(version) {
        Ok(version) => version,
        Err(Refused::TooOld(why)) => return Ok(reply::plain_error(StatusCode::BAD_REQUEST, &why)),
        Err(Refused::TooNew(why)) => return Err(Error::invalid(why)),
    };
    tracing::debug!(method = %head.method, path, "request");
    let call = Call {
        parts,
        route,
        version,
        name: name.to_owned(),
        query: Query::parse(head.uri.query().unwrap_or_default()),
        headers: head.headers,
        body,
        upgrade,
        stop,
    };
    if !route.outlives_client {
        return (route.handler)(call).await;
    }
    // A client that goes away must not leave a change half done, so the change has a task of its own.
    match tokio::spawn((route.handler)(call)).await {
        Ok(answer) => answer,
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        Err(_) => Err(Error::unavailable("the daemon is shutting down")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_prefix_is_split_off() {
        for (path, want) in [
            ("/v1.41/_ping", (Some("1.41"), "/_ping")),
            ("/_ping", (None, "/_ping")),
            ("/volumes", (None, "/volumes")),
            ("/v/volumes", (None, "/v/volumes")),
            ("/v1.41", (None, "/v1.41")),
            ("/v1.41/images/v1.2/json", (Some("1.41"), "/images/v1.2/json")),
        ] {
            assert_eq!(split_version(path), want, "{path}");
        }
    }

    #[test]
    fn versions_are_read_and_refused_as_by_docker() {
        for (text, minor) in
            [(None, 51), (Some("1.24"), 24), (Some("1.051"), 51), (Some("1.50.7"), 50), (Some("1.24.9"), 24)]
        {
            assert_eq!(check_version(text), Ok(ApiVersion::new(minor)), "{text:?}");
        }
        let old = "is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version";
        for text in ["1", "1.", "0.5", "1.23", "1.12"] {
            let want = Refused::TooOld(format!("client version {text} {old}"));
            assert_eq!(check_version(Some(text)), Err(want));
        }
        for text in ["2", "1.52", "1.51.1", "1.99999999", "7.1"] {
            let want = format!("client version {text} is too new. Maximum supported API version is 1.51");
            assert_eq!(check_version(Some(text)), Err(Refused::TooNew(want)));
        }
    }

    #[test]
    fn paths_are_cleaned_as_gos() {
        for (path, want) in [
            ("/info", "/info"),
            ("//info", "/info"),
            ("/containers//json", "/containers/json"),
            ("/containers/../info", "/info"),
            ("/networks/", "/networks/"),
            ("/a/./b//", "/a/b/"),
            ("/", "/"),
            ("/..", "/"),
        ] {
            assert_eq!(clean(path), want, "{path}");
        }
    }

    #[test]
    fn names_may_have_slashes_and_fixed_words_win() {
        for (method, path, want) in [
            ("GET", "/images/json", Some(("/images/json", ""))),
            ("GET", "/images/a/b:1/json", Some(("/images/{name}/json", "a/b:1"))),
            ("GET", "/images/json/json", Some(("/images/{name}/json", "json"))),
            ("DELETE", "/images/reg:5000/a/b", Some(("/images/{name}", "reg:5000/a/b"))),
            ("GET", "/containers/json", Some(("/containers/json", ""))),
            ("GET", "/containers/x/json", Some(("/containers/{id}/json", "x"))),
            ("GET", "/networks/", Some(("/networks", ""))),
            ("GET", "/volumes/", None),
            ("GET", "/networks/x", Some(("/networks/{id}", "x"))),
            ("POST", "/containers/prune", Some(("/containers/prune", ""))),
            ("GET", "/nosuch", None),
            ("PUT", "/containers/json", None),
            ("GET", "/containers//json", None),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(find(&method, path).map(|(route, name)| (route.path, name)), want, "{method} {path}");
        }
    }
}
