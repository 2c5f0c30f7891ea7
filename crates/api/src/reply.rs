//! Answers: JSON with Docker's trailing newline, errors, streams, nothing.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use serde::Serialize;
use types::{Error, ErrorKind};
use wire::ErrorBody;

/// The body of an answer. An error in it cuts the connection, which is all HTTP/1.1 leaves us to say.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;
/// An answer.
pub(crate) type Reply = Response<Body>;
/// What a handler gives.
pub(crate) type Result<T = Reply> = types::Result<T>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The HTTP status of each kind of error.
pub fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::InvalidArgument => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotModified => StatusCode::NOT_MODIFIED,
        ErrorKind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A status without a body.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let body = Empty::new().map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply
}

/// 204.
pub(crate) fn no_content() -> Result {
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Bytes of a given type.
pub(crate) fn bytes(status: StatusCode, content_type: HeaderValue, bytes: impl Into<Bytes>) -> Reply {
    let body = Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    reply
}

/// A line of JSON: Go's encoder ends each value with a newline.
pub(crate) fn line(value: &impl Serialize) -> Result<Bytes> {
    let mut text = serde_json::to_vec(value).map_err(Error::internal)?;
    text.push(b'\n');
    Ok(text.into())
}

/// JSON with a status.
pub(crate) fn json_with(status: StatusCode, value: &impl Serialize) -> Result {
    Ok(bytes(status, JSON, line(value)?))
}

/// JSON with status 200.
pub(crate) fn json(value: &impl Serialize) -> Result {
    json_with(StatusCode::OK, value)
}

/// What an error looks like: `{"message": ...}`, and nothing at all for 304.
pub(crate) fn error(error: &Error) -> Reply {
    let status = status_of(error.kind);
    if status == StatusCode::NOT_MODIFIED {
        return empty(status);
    }
    let body = ErrorBody { message: error.message.clone() };
    // A body of one string cannot fail to serialise.
    bytes(status, JSON, line(&body).unwrap_or_default())
}

/// An error as text, for those who cannot read JSON.
pub(crate) fn plain_error(status: StatusCode, message: &str) -> Reply {
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    let mut reply = bytes(status, text, format!("{message}\n"));
    reply.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

/// 301.
pub(crate) fn moved(to: &str) -> Result {
    let mut reply = empty(StatusCode::MOVED_PERMANENTLY);
    reply.headers_mut().insert(LOCATION, HeaderValue::try_from(to).map_err(Error::internal)?);
    Ok(reply)
}

/// A body that is sent as it comes; each chunk is flushed before the next is awaited.
pub(crate) fn stream(
    content_type: HeaderValue,
    chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Reply {
    let frames = chunks.map(|chunk| chunk.map(Frame::data));
    let mut reply = Response::new(BodyExt::boxed_unsync(StreamBody::new(frames)));
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    reply
}

/// One JSON value a line, sent as they come.
pub(crate) fn json_stream<T: Serialize>(values: impl Stream<Item = T> + Send + 'static) -> Reply {
    stream(JSON, values.map(|value| line(&value).map_err(io::Error::other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_status() {
        for (kind, status) in [
            (ErrorKind::NotFound, 404),
            (ErrorKind::Conflict, 409),
            (ErrorKind::InvalidArgument, 400),
            (ErrorKind::Unauthorized, 401),
            (ErrorKind::Forbidden, 403),
            (ErrorKind::NotModified, 304),
            (ErrorKind::NotImplemented, 501),
            (ErrorKind::Unavailable, 503),
            (ErrorKind::Internal, 500),
        ] {
            assert_eq!(status_of(kind), status);
        }
    }

    #[tokio::test]
    async fn an_error_is_a_message_and_a_304_is_silent() {
        let body = |reply: Reply| async { reply.into_body().collect().await.unwrap().to_bytes() };
        let reply = error(&Error::not_found("No such container: x"));
        assert_eq!(reply.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(body(reply).await, "{\"message\":\"No such container: x\"}\n");
        let reply = error(&Error::not_modified());
        assert!(!reply.headers().contains_key(CONTENT_TYPE));
        assert_eq!(body(reply).await, "");
    }
}
