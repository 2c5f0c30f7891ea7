//! The addresses of uploads.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{HeaderName, Method, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;

use super::body::Body;
use super::{Answer, Call, DIGEST_HEADER, set};
use crate::server::access::Action;
use crate::server::digest::{Algorithm, Digest};
use crate::server::error::{Code, Fault};
use crate::server::uploads::{BODY_SILENCE_MAX, Chunk, Session};
use crate::server::{Server, names, upstream};

const ID_HEADER: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// The next bytes of a body; `None` at its end.
pub(super) async fn next_frame(body: &mut Incoming) -> Result<Option<Bytes>, Fault> {
    loop {
        let frame = tokio::time::timeout(BODY_SILENCE_MAX, body.frame()).await;
        let late = |_| {
            Fault::new(Code::SizeInvalid, "the body does not come").with_status(StatusCode::REQUEST_TIMEOUT)
        };
        match frame.map_err(late)? {
            None => return Ok(None),
            Some(Err(error)) => {
                return Err(Fault::new(Code::SizeInvalid, format!("the body broke off: {error}")));
            }
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

fn digest(text: &str) -> Result<Digest, Fault> {
    Digest::parse(text)
        .ok_or_else(|| Fault::new(Code::DigestInvalid, "invalid or unsupported digest").with_detail(text))
}

/// `POST`: a mount, a whole blob, or a new session.
pub(super) async fn begin(server: &Arc<Server>, call: &Call, name: &str, body: Incoming) -> Answer {
    upstream::refuse_push(server, name)?;
    if let Some(mount) = call.query.get("mount") {
        let mount = digest(mount)?;
        if let Some(response) = mounted(server, call, name, &mount).await? {
            return Ok(response);
        }
    }
    let whole = call.query.get("digest").map(digest).transpose()?;
    let algorithm = match (call.query.get("digest-algorithm"), &whole) {
        (Some(text), _) => Algorithm::parse(text).ok_or_else(|| {
            Fault::new(Code::DigestInvalid, "unsupported digest algorithm").with_detail(text)
        })?,
        (None, Some(whole)) => whole.algorithm(),
        (None, None) => Algorithm::Sha256,
    };
    let session = server.uploads.begin(name, algorithm).await?;
    let Some(whole) = whole else { return Ok(accepted(name, &session, 0)) };
    match receive(server, call, &session, body).await {
        Ok(_) => commit(server, call, name, &session, &whole).await,
        Err(fault) => {
            // Nobody knows the address of this session: it cannot be gone on with.
            server.uploads.cancel(&session).await?;
            Err(fault)
        }
    }
}

/// The answer to a mount that worked. A blob may be mounted from where the client may pull; without `from`, from
/// anywhere, where everybody may pull everything.
async fn mounted(
    server: &Server,
    call: &Call,
    name: &str,
    mount: &Digest,
) -> Result<Option<Response<Body>>, Fault> {
    let from = call.query.get("from");
    let may = match from {
        Some(from) => names::is_repository_name(from) && call.identity.is_granted(from, Action::Pull),
        None => server.access.is_open(),
    };
    if !may || server.content.mount(name, from, mount).await?.is_none() {
        return Ok(None);
    }
    server.tell("mount", call, name, Some((mount, "application/octet-stream", 0)), None);
    Ok(Some(created(name, mount)))
}

/// Everything at the address of one session.
pub(super) async fn go_on(
    server: &Arc<Server>,
    call: &Call,
    name: &str,
    id: &str,
    method: &Method,
    body: Incoming,
) -> Answer {
    let session = server.uploads.find(name, id).await?;
    match *method {
        Method::GET | Method::HEAD => {
            let mut response = accepted(name, &session, server.uploads.length(&session).await?);
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(response)
        }
        Method::PATCH => {
            let length =
                receive(server, call, &session, body).await.map_err(|fault| at(name, &session, fault))?;
            Ok(accepted(name, &session, length))
        }
        Method::PUT => {
            let missing = || Fault::new(Code::DigestInvalid, "the digest parameter is missing");
            let whole = digest(call.query.get("digest").ok_or_else(missing)?)?;
            receive(server, call, &session, body).await.map_err(|fault| at(name, &session, fault))?;
            commit(server, call, name, &session, &whole).await
        }
        Method::DELETE => {
            server.uploads.cancel(&session).await?;
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(response)
        }
        _ => Err(Fault::method_not_allowed()),
    }
}

async fn receive(server: &Server, call: &Call, session: &Session, body: Incoming) -> Result<u64, Fault> {
    let bad = || Fault::new(Code::BlobUploadInvalid, "Content-Range is not START-END");
    let chunk =
        call.header(header::CONTENT_RANGE).map(|text| Chunk::parse(text).ok_or_else(bad)).transpose()?;
    let length = call.header(header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
    if let (Some(chunk), Some(length)) = (chunk, length)
        && chunk.end - chunk.start + 1 != length
    {
        return Err(Fault::new(Code::SizeInvalid, "Content-Range and Content-Length differ"));
    }
    let length = server.uploads.append(session, chunk, body).await?;
    Ok(length)
}

async fn commit(server: &Server, call: &Call, name: &str, session: &Session, whole: &Digest) -> Answer {
    let size = server.uploads.length(session).await?;
    let file = server.uploads.verify(session, whole).await?;
    server.content.take_blob(name, whole, &file).await?;
    server.uploads.finish(session).await?;
    server.metrics.uploaded_bytes.fetch_add(size, Ordering::Relaxed);
    server.tell("push", call, name, Some((whole, "application/octet-stream", size)), None);
    Ok(created(name, whole))
}

fn location(name: &str, session: &Session) -> String {
    format!("/v2/{name}/blobs/uploads/{}", session.id)
}

/// `0-END`, inclusive. Of nothing there is no such range; distribution and its clients write `0-0`.
fn range(length: u64) -> String {
    format!("0-{}", length.saturating_sub(1))
}

fn accepted(name: &str, session: &Session, length: u64) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    set(&mut response, header::LOCATION, &location(name, session));
    set(&mut response, header::RANGE, &range(length));
    set(&mut response, ID_HEADER, &session.id);
    response
}

/// A refused chunk, with where to go on.
fn at(name: &str, session: &Session, fault: Fault) -> Fault {
    match fault.rest.detail.get("offset").and_then(serde_json::Value::as_u64) {
        Some(offset) if fault.status == StatusCode::RANGE_NOT_SATISFIABLE => fault
            .with_header(header::LOCATION, location(name, session))
            .with_header(header::RANGE, range(offset))
            .with_detail(json!({ "offset": offset })),
        _ => fault,
    }
}

fn created(name: &str, digest: &Digest) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    set(&mut response, header::LOCATION, &format!("/v2/{name}/blobs/{digest}"));
    set(&mut response, DIGEST_HEADER, digest.as_str());
    response
}
