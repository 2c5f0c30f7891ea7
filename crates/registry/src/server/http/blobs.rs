//! `GET`, `HEAD` and `DELETE` of blobs.

use std::sync::Arc;

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use super::body::Body;
use super::conditions::{Part, names_tag};
use super::{Answer, Call, DIGEST_HEADER, set};
use crate::server::digest::Digest;
use crate::server::error::{Code, Fault};
use crate::server::storage::Source;
use crate::server::{Server, layout, upstream};

/// Content that its name is made of never changes.
const FOREVER: HeaderValue = HeaderValue::from_static("max-age=31536000");

pub(super) async fn get(server: &Arc<Server>, call: &Call, name: &str, digest: &Digest) -> Answer {
    let meta = match server.content.blob(name, digest).await {
        Err(fault) if fault.status == StatusCode::NOT_FOUND => {
            return upstream::blob(server, call, name, digest, fault).await;
        }
        other => other?,
    };
    let tag = digest.as_str();
    let is_known = names_tag(call.header(header::IF_NONE_MATCH), tag);
    // A range of an older thing is no use, and there is no older thing; only an odd tag means "then all of it".
    let same = call.header(header::IF_RANGE).is_none_or(|range| names_tag(Some(range), tag));
    let part = Part::parse(call.header(header::RANGE).filter(|_| same), meta.size);
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, FOREVER);
    set(&mut response, header::ETAG, &format!("\"{tag}\""));
    set(&mut response, DIGEST_HEADER, tag);
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let (start, length) = match part {
        _ if call.is_head() => (0, meta.size),
        Part::Whole => (0, meta.size),
        Part::Range { start, length } => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {start}-{}/{}", start + length - 1, meta.size);
            set(&mut response, header::CONTENT_RANGE, &range);
            (start, length)
        }
        Part::Unsatisfiable => {
            let range = format!("bytes */{}", meta.size);
            return Err(Fault::new(Code::SizeInvalid, "the range is outside of the blob")
                .with_status(StatusCode::RANGE_NOT_SATISFIABLE)
                .with_header(header::CONTENT_RANGE, range));
        }
    };
    if call.is_head() {
        set(&mut response, header::CONTENT_LENGTH, &length.to_string());
        return Ok(response);
    }
    *response.body_mut() = match server.content.storage.open(&layout::blob(digest), start, length).await? {
        Source::File(file) => Body::file(file, start, length, call.peer.segments.clone()),
        Source::Stream(stream) => Body::stream(stream, Some(length)),
    };
    server.tell("pull", call, name, Some((digest, "application/octet-stream", meta.size)), None);
    Ok(response)
}

pub(super) async fn delete(server: &Server, call: &Call, name: &str, digest: &Digest) -> Answer {
    super::manifests::check_delete(server)?;
    server.content.delete_blob(name, digest).await?;
    server.audit.write(
        call.who(),
        &call.peer.text(),
        "delete blob",
        &format!("{name}@{digest}"),
        &Value::Null,
    );
    server.tell("delete", call, name, Some((digest, "", 0)), None);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
