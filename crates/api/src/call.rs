//! One request as a handler sees it.

use bytes::Bytes;
use futures_util::StreamExt;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use hyper::upgrade::OnUpgrade;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use types::go_json::syntax_error;
use types::{Error, Result};
use wire::ApiVersion;

use crate::go_json::{Body, conform};
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
    pub(crate) async fn json<T: DeserializeOwned + Default>(&mut self, body: &Body) -> Result<T> {
        if self.body.is_empty() {
            return Ok(T::default());
        }
        self.required_json(body).await
    }

    /// Reads a JSON body that must be there.
    pub(crate) async fn required_json<T: DeserializeOwned + Default>(&mut self, body: &Body) -> Result<T> {
        if !self.body.is_empty() {
            self.check_json()?;
        }
        let text = read_limited(&mut self.body, JSON_MAX_BYTES).await?;
        decode_json(&text, body)
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

/// Decodes one JSON value as Go would, with Docker's error texts. `null` is Go's zero value.
pub(crate) fn decode_json<T: DeserializeOwned + Default>(text: &[u8], body: &Body) -> Result<T> {
    let invalid = |words: String| Error::invalid(format!("invalid JSON: {words}"));
    let nothing = || invalid("got EOF while reading request body".to_owned());
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    let mut first = match values.next() {
        Some(Ok(value)) => value,
        Some(Err(e)) => {
            let words = syntax_error(text).unwrap_or_else(|| e.to_string());
            return Err(invalid(words).with_source(e));
        }
        None => return Err(nothing()),
    };
    if first.is_null() {
        return Ok(T::default());
    }
    conform(&mut first, &body.go, body.name).map_err(invalid)?;
    if !text[values.byte_offset()..].iter().all(u8::is_ascii_whitespace) {
        return Err(Error::invalid("unexpected content after JSON"));
    }
    serde_json::from_value(first).map_err(|e| invalid(format!("json: cannot unmarshal: {e}")).with_source(e))
}

#[cfg(test)]
mod tests {
    use wire::exec::ExecStart;

    use super::*;
    use crate::go_json::EXEC_START;

    fn decode(text: &str) -> Result<ExecStart> {
        decode_json(text.as_bytes(), &EXEC_START)
    }

    #[test]
    fn json_errors_are_dockers() {
        for (text, want) in [
            ("", "invalid JSON: got EOF while reading request body"),
            ("  ", "invalid JSON: got EOF while reading request body"),
            ("{bad", "invalid JSON: invalid character 'b' looking for beginning of object key string"),
            ("{\"id\":", "invalid JSON: unexpected EOF"),
            ("{} {}", "unexpected content after JSON"),
            (
                r#"{"Tty":"yes"}"#,
                "invalid JSON: json: cannot unmarshal string into Go struct field ExecStartOptions.Tty of type bool",
            ),
            (
                "[]",
                "invalid JSON: json: cannot unmarshal array into Go value of type container.ExecStartOptions",
            ),
        ] {
            let got = decode(text).unwrap_err();
            assert_eq!(got.message, want, "{text:?}");
            assert_eq!(got.kind, types::ErrorKind::InvalidArgument);
        }
    }

    #[test]
    fn names_need_no_case_and_null_is_nothing() {
        for text in ["{\"Tty\":true}\n", r#"{"tty":true}"#, r#"{"Tty":false,"TTY":true,"Nosuch":5}"#] {
            assert!(decode(text).unwrap().tty, "{text}");
        }
        for text in ["null", "{}", r#"{"Tty":null,"ConsoleSize":null}"#] {
            assert_eq!(decode(text).unwrap(), ExecStart::default(), "{text}");
        }
        assert_eq!(decode(r#"{"ConsoleSize":[5]}"#).unwrap().console_size, Some([5, 0]));
    }
}
