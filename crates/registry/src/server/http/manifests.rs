//! `GET`, `HEAD`, `PUT` and `DELETE` of manifests and tags.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;

use super::body::Body;
use super::conditions::{accepts, names_tag};
use super::{Answer, Call, DIGEST_HEADER, check_immutable, set, tag_of};
use crate::server::content::{Parts, Stored};
use crate::server::digest::{Algorithm, Digest};
use crate::server::error::{Code, Fault};
use crate::server::manifest::{DOCKER_MANIFEST, MANIFEST_MAX, Manifest, OCI_MANIFEST};
use crate::server::route::Reference;
use crate::server::{Server, names, upstream};

const SUBJECT_HEADER: HeaderName = HeaderName::from_static("oci-subject");
const TAG_HEADER: HeaderName = HeaderName::from_static("oci-tag");
/// What is read of a manifest that is too large, and thrown away.
const DRAIN_MAX: u64 = 4 * MANIFEST_MAX;
/// Tags that may come with one push (the specification asks for ten).
const TAGS_MAX: usize = 100;

pub(super) async fn get(server: &Arc<Server>, call: &Call, name: &str, reference: &Reference) -> Answer {
    let stored = match upstream::manifest(server, name, reference).await? {
        Some(stored) => stored,
        None => server.content.manifest(name, reference).await?,
    };
    let stored = negotiate(server, call, name, reference, stored).await?;
    let mut response = Response::new(Body::empty());
    set(&mut response, header::CONTENT_TYPE, &stored.media_type);
    set(&mut response, DIGEST_HEADER, stored.digest.as_str());
    set(&mut response, header::ETAG, &format!("\"{}\"", stored.digest));
    if names_tag(call.header(header::IF_NONE_MATCH), stored.digest.as_str()) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    if call.is_head() {
        set(&mut response, header::CONTENT_LENGTH, &stored.bytes.len().to_string());
        return Ok(response);
    }
    *response.body_mut() = Body::bytes(stored.bytes.clone());
    let target = (&stored.digest, stored.media_type.as_str(), stored.bytes.len() as u64);
    server.tell("pull", call, name, Some(target), tag_of(reference));
    Ok(response)
}

/// What the client can read. Asked for by digest, it gets that. Asked for by tag, a client that does not know indexes
/// gets the image for linux/amd64, as from distribution; one that does not know the kind at all gets nothing.
async fn negotiate(
    server: &Server,
    call: &Call,
    name: &str,
    reference: &Reference,
    stored: Arc<Stored>,
) -> Result<Arc<Stored>, Fault> {
    let accepted = |kind: &str| {
        let values = call.headers.get_all(header::ACCEPT).iter();
        accepts(values.filter_map(|value| value.to_str().ok()), kind)
    };
    if tag_of(reference).is_none() || accepted(&stored.media_type) {
        return Ok(stored);
    }
    let refuse = || {
        let message = format!("the manifest is {}, which the Accept header does not name", stored.media_type);
        Fault::new(Code::ManifestUnknown, message).with_detail(json!({ "name": name }))
    };
    let manifest = stored.manifest.as_ref().filter(|manifest| manifest.is_index()).ok_or_else(refuse)?;
    if !accepted(OCI_MANIFEST) && !accepted(DOCKER_MANIFEST) {
        return Err(refuse());
    }
    let entry = manifest.plain_entry().ok_or_else(refuse)?;
    server.content.manifest(name, &Reference::Digest(entry)).await
}

pub(super) async fn put(
    server: &Arc<Server>,
    call: &Call,
    name: &str,
    reference: &Reference,
    body: Incoming,
) -> Answer {
    upstream::refuse_push(server, name)?;
    let bytes = read(call, body).await?;
    let manifest = Manifest::parse(&bytes, call.header(header::CONTENT_TYPE))?;
    let (digest, tags) = target(call, reference, &bytes)?;
    let what = (&digest, manifest.media_type, bytes.len() as u64);
    if let Some(expected) = call.header(header::IF_MATCH) {
        check_match(server, name, reference, expected).await?;
    }
    // One at a time for each repository: what is looked up about its tags holds until they are written.
    let _turn = server.turns.take(name).await;
    for tag in &tags {
        match server.content.tag(name, tag).await? {
            Some(current) if current != digest => check_immutable(server, name, tag)?,
            _ => {}
        }
    }
    server.content.put_manifest(name, &digest, bytes.clone(), &manifest, &tags, Parts::Here).await?;
    let first = tags.first().map(String::as_str);
    let detail = json!({ "tags": tags, "mediaType": manifest.media_type });
    server.audit.write(call.who(), &call.peer.text(), "push", &format!("{name}@{digest}"), &detail);
    server.tell("push", call, name, Some(what), first);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    set(&mut response, header::LOCATION, &format!("/v2/{name}/manifests/{digest}"));
    set(&mut response, DIGEST_HEADER, digest.as_str());
    if let Some(subject) = &manifest.subject {
        set(&mut response, SUBJECT_HEADER, subject.as_str());
    }
    if matches!(reference, Reference::Digest(_)) {
        for tag in &tags {
            if let Ok(value) = HeaderValue::from_str(tag) {
                response.headers_mut().append(TAG_HEADER, value);
            }
        }
    }
    Ok(response)
}

/// A conditional push: only onto what the client has seen.
async fn check_match(
    server: &Server,
    name: &str,
    reference: &Reference,
    expected: &str,
) -> Result<(), Fault> {
    let current = match server.content.resolve(name, reference).await {
        Err(fault) if fault.status == StatusCode::NOT_FOUND => None,
        other => Some(other?),
    };
    match current {
        Some(current) if names_tag(Some(expected), current.as_str()) => Ok(()),
        _ => Err(Fault::new(Code::Denied, "the tag has changed since it was read")
            .with_status(StatusCode::PRECONDITION_FAILED)),
    }
}

/// The digest of what was pushed, checked against the address, and the tags that it gets.
fn target(call: &Call, reference: &Reference, bytes: &[u8]) -> Result<(Digest, Vec<String>), Fault> {
    let mut tags = Vec::new();
    let digest = match reference {
        Reference::Tag(tag) => {
            tags.push(tag.clone());
            // The client may say by which algorithm a tagged manifest is known.
            let wanted = call.query.get("digest").map(|text| Digest::parse(text).ok_or_else(bad_digest));
            let wanted = wanted.transpose()?;
            let algorithm = wanted.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
            let found = Digest::of(algorithm, bytes);
            if wanted.is_some_and(|wanted| wanted != found) {
                return Err(bad_digest());
            }
            found
        }
        Reference::Digest(wanted) => {
            if Digest::of(wanted.algorithm(), bytes) != *wanted {
                return Err(bad_digest());
            }
            tags.extend(call.query.all("tag").map(str::to_owned));
            wanted.clone()
        }
    };
    if tags.len() > TAGS_MAX {
        return Err(Fault::new(Code::ManifestInvalid, "too many tags").with_status(StatusCode::URI_TOO_LONG));
    }
    match tags.iter().find(|tag| !names::is_tag(tag)) {
        Some(bad) => Err(Fault::new(Code::ManifestInvalid, "invalid tag").with_detail(bad.as_str())),
        None => Ok((digest, tags)),
    }
}

fn bad_digest() -> Fault {
    Fault::new(Code::DigestInvalid, "provided digest did not match uploaded content")
}

async fn read(call: &Call, mut body: Incoming) -> Result<Bytes, Fault> {
    let too_large = || {
        Fault::new(Code::ManifestInvalid, format!("the manifest is larger than {MANIFEST_MAX} bytes"))
            .with_status(StatusCode::PAYLOAD_TOO_LARGE)
    };
    let length = call.header(header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
    let mut is_too_large = length.is_some_and(|length| length > MANIFEST_MAX);
    let (mut bytes, mut received) = (BytesMut::new(), 0);
    while let Some(frame) = super::uploads::next_frame(&mut body).await? {
        received += frame.len() as u64;
        is_too_large |= received > MANIFEST_MAX;
        // A client reads its answer when it has said its piece; one that never ends gets none.
        if received > DRAIN_MAX {
            break;
        }
        if !is_too_large {
            bytes.extend_from_slice(&frame);
        }
    }
    if is_too_large { Err(too_large()) } else { Ok(bytes.freeze()) }
}

pub(super) fn check_delete(server: &Server) -> Result<(), Fault> {
    match server.config.delete {
        true => Ok(()),
        false => Err(Fault::new(Code::Unsupported, "deletion is disabled (storage.delete.enabled)")),
    }
}

pub(super) async fn delete(server: &Server, call: &Call, name: &str, reference: &Reference) -> Answer {
    check_delete(server)?;
    let _turn = server.turns.take(name).await;
    let target = format!("{name}:{reference}");
    let digest = match reference {
        Reference::Tag(tag) => {
            check_immutable(server, name, tag)?;
            server.content.delete_tag(name, tag).await?
        }
        Reference::Digest(digest) => {
            for tag in server.content.tags(name).await? {
                if server.content.tag(name, &tag).await?.as_ref() == Some(digest) {
                    check_immutable(server, name, &tag)?;
                }
            }
            server.content.delete_manifest(name, digest).await?;
            digest.clone()
        }
    };
    server.audit.write(
        call.who(),
        &call.peer.text(),
        "delete",
        &target,
        &json!({ "digest": digest.as_str() }),
    );
    server.tell("delete", call, name, Some((&digest, "", 0)), tag_of(reference));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// Reads a small body whole.
pub(super) async fn read_small(body: Incoming, limit: usize) -> Result<Bytes, Fault> {
    let limited = http_body_util::Limited::new(body, limit);
    let collected = limited.collect().await;
    let collected = collected.map_err(|error| {
        Fault::new(Code::Unsupported, error.to_string()).with_status(StatusCode::BAD_REQUEST)
    })?;
    Ok(collected.to_bytes())
}
