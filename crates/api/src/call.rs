//! One request as a handler sees it.

use bytes::Bytes;
use futures_util::StreamExt;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use hyper::upgrade::OnUpgrade;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use types::{Error, Result};
use wire::ApiVersion;

use crate::go_json::syntax_error;
use crate::query::Query;
use crate::request_body::RequestBody;
use crate::routes::Route;
use crate::server::Parts;

/// The most a JSON body may have. Docker has no limit; the largest real one (a create with many labels) is far below.
const JSON_MAX_BYTES: usize = 16 << 20;

/// A request that matched a route.
pub(crate) struct Call {
    /// The domain.
    pub(crate) parts: Parts,
    /// What it matched.
    pub(crate) route: &'static Route,
    /// What the client speaks.
    pub(crate) version: ApiVersion,
    /// The `{id}` or `{name}` of the path, decoded.
    pub(crate) name: String,
    /// The query.
    pub(crate) query: Query,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: RequestBody,
    /// The connection, if the client asked for it with `Upgrade`.
    pub(crate) upgrade: Option<OnUpgrade>,
    /// Turns true when the daemon stops.
    pub(crate) stop: watch::Receiver<bool>,
}

impl Call {
    /// Completes when the daemon stops: the end of streams that have none of their own.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.stop.clone();
        async move { crate::server::stopped(&mut stop).await }
    }

    /// Reads a JSON body; a missing one is `T::default()`, as in Docker's `httputils.ReadJSON`.
    pub(crate) async fn json<T: DeserializeOwned + Default>(&mut self) -> Result<T> {
        if self.body.is_empty() {
            return Ok(T::default());
        }
        self.check_json()?;
        let text = read_limited(&mut self.body, JSON_MAX_BYTES).await?;
        decode_json(&text)
    }

    /// Reads a JSON body that must be there.
    pub(crate) async fn required_json<T: DeserializeOwned>(&mut self) -> Result<T> {
        if !self.body.is_empty() {
            self.check_json()?;
        }
        let text = read_limited(&mut self.body, JSON_MAX_BYTES).await?;
        decode_json(&text)
    }

    fn check_json(&self) -> Result<()> {
        let content_type = self.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case("application/json") {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "unsupported Content-Type header ({content_type}): must be 'application/json'"
        )))
    }
}

async fn read_limited(body: &mut RequestBody, limit: usize) -> Result<Bytes> {
    let mut whole = Vec::new();
    while let Some(data) = body.next().await {
        let data = data.map_err(|e| Error::invalid("invalid request body").with_source(e))?;
        if whole.len() + data.len() > limit {
            return Err(Error::invalid(format!("request body is larger than {limit} bytes")));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}

/// Decodes one JSON value with Docker's error texts.
pub(crate) fn decode_json<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(Error::invalid("invalid JSON: got EOF while reading request body"));
    }
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<T>();
    let first = match values.next() {
        Some(Ok(value)) => value,
        Some(Err(e)) => {
            let words = syntax_error(text).unwrap_or_else(|| format!("json: cannot unmarshal: {e}"));
            return Err(Error::invalid(format!("invalid JSON: {words}")).with_source(e));
        }
        None => return Err(Error::invalid("invalid JSON: got EOF while reading request body")),
    };
    if text[values.byte_offset()..].iter().all(u8::is_ascii_whitespace) {
        Ok(first)
    } else {
        Err(Error::invalid("unexpected content after JSON"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_errors_are_dockers() {
        for (text, want) in [
            ("", "invalid JSON: got EOF while reading request body"),
            ("  ", "invalid JSON: got EOF while reading request body"),
            ("{bad", "invalid JSON: invalid character 'b' looking for beginning of object key string"),
            ("{\"id\":", "invalid JSON: unexpected EOF"),
            ("{} {}", "unexpected content after JSON"),
        ] {
            let got = decode_json::<wire::exec::ExecStart>(text.as_bytes()).unwrap_err();
            assert_eq!(got.message, want, "{text:?}");
            assert_eq!(got.kind, types::ErrorKind::InvalidArgument);
        }
        let wrong = decode_json::<wire::exec::ExecStart>(br#"{"Tty":"yes"}"#).unwrap_err();
        assert!(wrong.message.starts_with("invalid JSON: json: cannot unmarshal: "), "{wrong}");
        assert!(decode_json::<wire::exec::ExecStart>(b"{\"Tty\":true}\n").unwrap().tty);
    }
}
