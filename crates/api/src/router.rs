//! From a request line to a handler: the version prefix, the path, the method (moby `daemon/server/server.go`).

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use http::header::{HeaderValue, SERVER};
use http::{Method, Request};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::sync::watch;
use types::{Error, Result};
use wire::ApiVersion;

use crate::call::Call;
use crate::query::{Query, decode};
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

/// Docker's answer to a version it does not speak.
fn check_version(text: Option<&str>) -> Result<ApiVersion> {
    let Some(text) = text else { return Ok(ApiVersion::MAX) };
    let version: ApiVersion =
        text.parse().map_err(|_| Error::invalid(format!("invalid API version: {text}")))?;
    if version < ApiVersion::MIN {
        return Err(Error::invalid(format!(
            "client version {text} is too old. Minimum supported API version is {}, please upgrade your client to a newer version",
            ApiVersion::MIN
        )));
    }
    if version > ApiVersion::MAX {
        return Err(Error::invalid(format!(
            "client version {text} is too new. Maximum supported API version is {}",
            ApiVersion::MAX
        )));
    }
    Ok(version)
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
pub(crate) async fn answer(parts: Parts, stop: watch::Receiver<bool>, request: Request<Incoming>) -> Reply {
    let method = request.method().clone();
    let target = request.uri().clone();
    let mut request = request;
    let upgrade =
        request.headers().contains_key(http::header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let (head, body) = request.into_parts();
    let (body, drained) = RequestBody::new(body);
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
    let (version, rest) = split_version(&path);
    if head.method == Method::OPTIONS {
        return Ok(reply::empty(http::StatusCode::OK));
    }
    let (route, name) = find(&head.method, rest).ok_or_else(|| Error::not_found("page not found"))?;
    let version = check_version(version)?;
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
    fn versions_out_of_range_are_refused_in_dockers_words() {
        assert_eq!(check_version(None).unwrap(), ApiVersion::MAX);
        assert_eq!(check_version(Some("1.24")).unwrap(), ApiVersion::MIN);
        for (text, want) in [
            ("1.99", "client version 1.99 is too new. Maximum supported API version is 1.51"),
            (
                "1.12",
                "client version 1.12 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version",
            ),
        ] {
            assert_eq!(check_version(Some(text)).unwrap_err().message, want);
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
