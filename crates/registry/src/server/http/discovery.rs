//! Lists: tags, repositories, referrers, search; and the tokens with which clients may ask.

use base64::Engine as _;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::json;

use super::body::Body;
use super::{Answer, Call, json_answer, scopes, set};
use crate::server::access::Identity;
use crate::server::digest::Digest;
use crate::server::error::{Code, Fault};
use crate::server::manifest::OCI_INDEX;
use crate::server::route::{Query, encode};
use crate::server::{Server, names};

const FILTERS_HEADER: HeaderName = HeaderName::from_static("oci-filters-applied");
/// Names in one answer, whatever was asked for.
const PAGE_MAX: usize = 10_000;
const FORM_BYTES_MAX: usize = 64 << 10;
const SEARCH_MAX: usize = 100;

/// How many entries a client asks for; all if it does not say.
fn count(query: &Query) -> Result<Option<usize>, Fault> {
    let bad = || Fault::new(Code::Unsupported, "n must be a number").with_status(StatusCode::BAD_REQUEST);
    query.get("n").map(|text| text.parse::<usize>().map_err(|_| bad())).transpose()
}

/// A page of a sorted list, and the address of the next one.
fn page(all: Vec<String>, query: &Query, path: &str) -> Result<(Vec<String>, Option<String>), Fault> {
    let wanted = count(query)?;
    let size = wanted.unwrap_or(PAGE_MAX).min(PAGE_MAX);
    let is_after = |name: &String| {
        query.get("last").is_none_or(|last| names::order(name, last) == std::cmp::Ordering::Greater)
    };
    let mut rest = all.into_iter().filter(is_after);
    let names: Vec<String> = rest.by_ref().take(size).collect();
    let next = match names.last() {
        Some(last) if rest.next().is_some() => {
            Some(format!("<{path}?n={size}&last={}>; rel=\"next\"", encode(last)))
        }
        _ => None,
    };
    Ok((names, next))
}

pub(super) async fn tags(server: &Server, call: &Call, name: &str) -> Answer {
    let tags = server.content.tags(name).await?;
    if tags.is_empty() && !server.content.has_repository(name).await? {
        return Err(Fault::new(Code::NameUnknown, "repository name not known to registry")
            .with_detail(json!({ "name": name })));
    }
    let (tags, next) = page(tags, &call.query, &format!("/v2/{name}/tags/list"))?;
    let mut response = json_answer(&json!({ "name": name, "tags": tags }));
    if let Some(next) = next {
        set(&mut response, header::LINK, &next);
    }
    Ok(response)
}

/// The repositories that the client may pull from.
async fn visible(server: &Server, call: &Call) -> Result<Vec<String>, Fault> {
    let mut all = server.repositories().await?.as_ref().clone();
    all.retain(|name| call.identity.sees(name));
    Ok(all)
}

pub(super) async fn catalog(server: &Server, call: &Call) -> Answer {
    let mut all = visible(server, call).await?;
    all.sort_by(|a, b| names::order(a, b));
    let (repositories, next) = page(all, &call.query, "/v2/_catalog")?;
    let mut response = json_answer(&json!({ "repositories": repositories }));
    if let Some(next) = next {
        set(&mut response, header::LINK, &next);
    }
    Ok(response)
}

pub(super) async fn referrers(server: &Server, call: &Call, name: &str, subject: &Digest) -> Answer {
    let kind = call.query.get("artifactType").filter(|kind| !kind.is_empty());
    let last = call.query.get("last").and_then(Digest::parse);
    let page = server.content.referrers(name, subject, kind, last.as_ref()).await?;
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": page.descriptors });
    let mut response = json_answer(&index);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(OCI_INDEX));
    if let Some(kind) = kind {
        response.headers_mut().insert(FILTERS_HEADER, HeaderValue::from_static("artifactType"));
        if let Some(next) = &page.next {
            let kind = encode(kind);
            let next =
                format!("</v2/{name}/referrers/{subject}?artifactType={kind}&last={next}>; rel=\"next\"");
            set(&mut response, header::LINK, &next);
        }
    } else if let Some(next) = &page.next {
        set(
            &mut response,
            header::LINK,
            &format!("</v2/{name}/referrers/{subject}?last={next}>; rel=\"next\""),
        );
    }
    Ok(response)
}

/// What `docker search` asks (the search of Docker's first registry): repositories whose name has all words.
pub(super) async fn search(server: &Server, call: &Call) -> Answer {
    let query = call.query.get("q").unwrap_or_default();
    let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
    let mut found = visible(server, call).await?;
    found.retain(|name| words.iter().all(|word| name.contains(word.as_str())));
    let total = found.len();
    let size = count(&call.query)?.unwrap_or(25).clamp(1, SEARCH_MAX);
    let page = call.query.get("page").and_then(|text| text.parse::<usize>().ok()).unwrap_or(1).max(1);
    let results: Vec<_> = found
        .iter()
        .skip((page - 1).saturating_mul(size))
        .take(size)
        .map(|name| json!({ "name": name, "description": "", "star_count": 0, "is_official": false, "is_automated": false, "is_trusted": false }))
        .collect();
    Ok(json_answer(
        &json!({ "query": query, "num_results": total, "num_pages": total.div_ceil(size), "page": page,
        "page_size": size, "results": results }),
    ))
}

/// `GET /token`, distribution's token specification.
pub(super) fn token(server: &Server, call: &Call) -> Answer {
    let scopes = scopes(call.query.all("scope"));
    let refresh = match call.query.get("offline_token") {
        Some("true") => server.access.issue_refresh(&call.identity)?,
        _ => None,
    };
    issue(server, &call.identity, &scopes, refresh)
}

/// The answer with a bearer token, and with a token for more of them.
fn issue(server: &Server, identity: &Identity, scopes: &[super::Scope], refresh: Option<String>) -> Answer {
    let (token, seconds) = server.access.issue(identity, scopes)?;
    let mut body = json!({ "token": token, "access_token": token, "expires_in": seconds,
        "issued_at": crate::server::observe::now() });
    if let Some(refresh) = refresh {
        body["refresh_token"] = refresh.into();
    }
    let mut response = json_answer(&body);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `POST /token`, the same by OAuth 2: name and password, or a refresh token, come in a form.
pub(super) async fn token_by_form(server: &Server, call: &Call, body: Incoming) -> Answer {
    let bytes = super::manifests::read_small(body, FORM_BYTES_MAX).await?;
    let form = Query::parse(std::str::from_utf8(&bytes).ok());
    let identified = match form.get("grant_type") {
        Some("password") => {
            let [name, password] = ["username", "password"].map(|key| form.get(key).unwrap_or_default());
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
            server.access.identify(Some(&format!("Basic {pair}"))).await
        }
        Some("refresh_token") => {
            server.access.identify_refresh(form.get("refresh_token").unwrap_or_default())
        }
        _ => {
            let words = "grant_type must be password or refresh_token";
            return Err(Fault::new(Code::Unsupported, words).with_status(StatusCode::BAD_REQUEST));
        }
    };
    let identity = match identified {
        Err(fault) if fault.status == StatusCode::UNAUTHORIZED => {
            let _full = server.failures.take(&call.peer.address, std::time::Instant::now());
            return Err(fault);
        }
        other => other?,
    };
    let refresh = match (form.get("grant_type"), form.get("access_type")) {
        (Some("refresh_token"), _) => form.get("refresh_token").map(str::to_owned),
        (_, Some("offline")) => server.access.issue_refresh(&identity)?,
        _ => None,
    };
    issue(server, &identity, &scopes(form.all("scope")), refresh)
}

/// A page for people.
pub(super) fn html(text: String) -> Response<Body> {
    let mut response = Response::new(Body::bytes(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    let policy = "default-src 'none'; style-src 'self' 'sha256-STYLE'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    if let Ok(policy) = HeaderValue::from_str(&policy.replace("STYLE", super::pages::style_digest())) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_go_on_where_the_last_one_ended() {
        let all = || ["a", "B", "c"].map(str::to_owned).to_vec();
        let check = |query: &str, names: &[&str], next: Option<&str>| {
            let (got, link) = page(all(), &Query::parse(Some(query)), "/p").unwrap();
            assert_eq!(
                (got, link),
                (names.iter().map(|name| (*name).to_owned()).collect(), next.map(str::to_owned)),
                "{query}"
            );
        };
        check("", &["a", "B", "c"], None);
        check("n=2", &["a", "B"], Some("</p?n=2&last=B>; rel=\"next\""));
        check("n=2&last=B", &["c"], None);
        check("n=3", &["a", "B", "c"], None);
        check("n=0", &[], None);
        check("last=b", &["c"], None);
        check("last=bb", &["c"], None);
        check("last=z", &[], None);
        assert!(page(all(), &Query::parse(Some("n=-1")), "/p").is_err());
    }
}
