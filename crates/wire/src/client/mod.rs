//! The client end of the Docker API, for a command that lives a few milliseconds.
//!
//! Blocking, on the standard library alone: a command starts no runtime, opens one connection and reuses it for all
//! its requests. A second connection is opened only while a stream (attach, logs, wait, events) holds the first.
//!
//! | Word | Meaning |
//! |---|---|
//! | [`Host`] | where the daemon listens |
//! | [`Client`] | a host, the negotiated API version, one idle connection |
//! | [`Response`] | status, headers and a body to be read |
//! | [`Hijacked`] | a connection that has become a raw stream in both directions |

mod error;
mod host;
mod http;
mod query;
mod ssh;
mod stream;
mod tls;

use std::io::{self, Read};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::Value;

pub use error::ClientError;
pub use host::{Host, InvalidHost};
pub use http::{Hijacked, Response};
pub use query::{Query, path_escape};
pub use ssh::SshTarget;
pub use stream::{Relayed, Stream};
pub use tls::TlsOptions;

use http::{Connection, Head};

/// The newest API version this client speaks.
pub const NEWEST_API_VERSION: &str = "1.51";
/// The oldest API version this client speaks.
pub const OLDEST_API_VERSION: &str = "1.24";
/// What a daemon that does not name its version is taken to speak.
const FALLBACK_API_VERSION: &str = "1.24";

/// What `_ping` told about the daemon.
#[derive(Debug, Clone, Default)]
pub struct Ping {
    /// `Api-Version`.
    pub api_version: String,
    /// `Ostype`.
    pub os_type: String,
    /// `Docker-Experimental`.
    pub experimental: bool,
    /// `Builder-Version`.
    pub builder_version: String,
}

/// What a request carries.
pub enum Payload<'a> {
    /// Nothing.
    Empty,
    /// A JSON document.
    Json(&'a Value),
    /// Bytes of unknown number, sent in chunks as they come.
    Stream {
        /// `Content-Type`.
        content_type: &'a str,
        /// Where the bytes come from.
        source: &'a mut dyn Read,
    },
}

/// A client of one daemon.
pub struct Client {
    host: Host,
    headers: Vec<(String, String)>,
    fixed_version: Option<String>,
    negotiated: OnceLock<String>,
    ping: OnceLock<Ping>,
    idle: Arc<Mutex<Option<Connection>>>,
}

impl Client {
    /// A client that has not connected yet. `headers` go with each request; `fixed_version` (`DOCKER_API_VERSION`)
    /// switches negotiation off.
    pub fn new(host: Host, headers: Vec<(String, String)>, fixed_version: Option<String>) -> Self {
        Self {
            host,
            headers,
            fixed_version,
            negotiated: OnceLock::new(),
            ping: OnceLock::new(),
            idle: Arc::new(Mutex::new(None)),
        }
    }

    /// Where the daemon listens.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// What `_ping` says; asked once.
    pub fn ping(&self) -> Result<&Ping, ClientError> {
        if let Some(ping) = self.ping.get() {
            return Ok(ping);
        }
        let response =
            self.send_raw(Head { method: "HEAD", target: "/_ping", extra: &[] }, &mut Payload::Empty)?;
        let header = |name: &str| response.header(name).unwrap_or_default().to_owned();
        let ping = Ping {
            api_version: header("Api-Version"),
            os_type: header("Ostype"),
            experimental: header("Docker-Experimental") == "true",
            builder_version: header("Builder-Version"),
        };
        if response.status() >= 400 && ping.api_version.is_empty() {
            // An answer to HEAD has no words; the same question by GET has.
            let head = Head { method: "GET", target: "/_ping", extra: &[] };
            return Err(self.send_raw(head, &mut Payload::Empty)?.into_error());
        }
        response.discard();
        Ok(self.ping.get_or_init(|| ping))
    }

    /// The version in the paths of this client's requests: the newest that both ends speak.
    pub fn version(&self) -> Result<&str, ClientError> {
        if let Some(fixed) = &self.fixed_version {
            return Ok(fixed);
        }
        if let Some(version) = self.negotiated.get() {
            return Ok(version);
        }
        let theirs = match self.ping()?.api_version.as_str() {
            "" => FALLBACK_API_VERSION,
            other => other,
        };
        let version = if version_number(theirs) < version_number(NEWEST_API_VERSION) {
            theirs
        } else {
            NEWEST_API_VERSION
        };
        Ok(self.negotiated.get_or_init(|| version.to_owned()))
    }

    /// The version as far as known without asking the daemon.
    pub fn version_offline(&self) -> &str {
        self.fixed_version
            .as_deref()
            .or(self.negotiated.get().map(String::as_str))
            .unwrap_or(NEWEST_API_VERSION)
    }

    /// Whether the negotiated version is at least `wanted`.
    pub fn speaks(&self, wanted: &str) -> Result<bool, ClientError> {
        Ok(version_number(self.version()?) >= version_number(wanted))
    }

    /// One request; an answer with a status of 400 or more is an error with the daemon's message.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        query: &Query,
        headers: &[(&str, &str)],
        mut payload: Payload<'_>,
    ) -> Result<Response, ClientError> {
        check_names(path)?;
        let target = format!("/v{}{path}{}", self.version()?, query.suffix());
        let response = self.send_raw(Head { method, target: &target, extra: headers }, &mut payload)?;
        if response.status() >= 400 { Err(response.into_error()) } else { Ok(response) }
    }

    /// `GET` of a JSON document.
    pub fn get(&self, path: &str, query: &Query) -> Result<Value, ClientError> {
        self.send("GET", path, query, &[], Payload::Empty)?.json()
    }

    /// `GET` of a JSON document, with the bytes as they came.
    pub fn get_raw(&self, path: &str, query: &Query) -> Result<Vec<u8>, ClientError> {
        self.send("GET", path, query, &[], Payload::Empty)?.bytes()
    }

    /// `POST`, with the answer's JSON document (`null` when it has no body).
    pub fn post(&self, path: &str, query: &Query, body: Option<&Value>) -> Result<Value, ClientError> {
        let payload = body.map_or(Payload::Empty, Payload::Json);
        self.send("POST", path, query, &[], payload)?.json()
    }

    /// `DELETE`, with the answer's JSON document (`null` when it has no body).
    pub fn delete(&self, path: &str, query: &Query) -> Result<Value, ClientError> {
        self.send("DELETE", path, query, &[], Payload::Empty)?.json()
    }

    /// `POST` that turns the connection into a raw stream (attach, exec).
    pub fn hijack(&self, path: &str, query: &Query, body: Option<&Value>) -> Result<Hijacked, ClientError> {
        check_names(path)?;
        let target = format!("/v{}{path}{}", self.version()?, query.suffix());
        let extra = [("Connection", "Upgrade"), ("Upgrade", "tcp")];
        let head = Head { method: "POST", target: &target, extra: &extra };
        let response = self.send_raw(head, &mut body.map_or(Payload::Empty, Payload::Json))?;
        match response.status() {
            101 | 200 => response.into_hijacked(),
            // Docker's client does not read what is wrong with the request.
            400 => Err(ClientError::Protocol("unable to upgrade to tcp, received 400".to_owned())),
            status if status >= 400 => Err(response.into_error()),
            status => Err(ClientError::Protocol(format!("unable to upgrade to tcp, received {status}"))),
        }
    }

    /// Sends over the idle connection if there is one. A kept connection may have been closed by the daemon in the
    /// meantime: then, and only when nothing of an answer has come, the request is sent again over a new one.
    fn send_raw(&self, head: Head<'_>, payload: &mut Payload<'_>) -> Result<Response, ClientError> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let repeatable = !matches!(payload, Payload::Stream { .. });
        if let Some(connection) = kept.filter(|_| repeatable)
            && let Ok(response) = connection.exchange(&head, &self.all_headers(), payload, &self.idle)
        {
            return Ok(response);
        }
        let stream = self.host.connect()?;
        let connection = Connection::new(stream, self.host.http_host());
        connection
            .exchange(&head, &self.all_headers(), payload, &self.idle)
            .map_err(|error| self.explain(error))
    }

    fn all_headers(&self) -> Vec<(&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    fn explain(&self, error: io::Error) -> ClientError {
        match error.kind() {
            io::ErrorKind::InvalidData => ClientError::Protocol(error.to_string()),
            _ => ClientError::Io { host: self.host.to_string(), source: error },
        }
    }
}

/// An empty name would make another path of it: `/networks/` lists all of them.
fn check_names(path: &str) -> Result<(), ClientError> {
    for (prefix, what) in [("/containers/", "container"), ("/networks/", "network"), ("/volumes/", "volume")]
    {
        if path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Err(ClientError::Protocol(format!("invalid {what} name or ID: value is empty")));
        }
    }
    Ok(())
}

/// `1.51` as a number that sorts.
fn version_number(version: &str) -> (u32, u32) {
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    (major.parse().unwrap_or(0), minor.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests;
