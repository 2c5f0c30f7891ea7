//! What goes wrong between us and a registry, in the words Docker's users know.

use std::error::Error as _;

use serde::Deserialize;
use types::Digest;

use crate::challenge;

/// Go's words for a server that does not speak TLS.
const PLAIN_ANSWER: &str = "http: server gave HTTP response to HTTPS client";

/// The error codes of the distribution specification that change what we do; all else is `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// Access was refused, or the repository does not exist.
    Denied,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// No such tag or manifest.
    ManifestUnknown,
    /// No such repository.
    NameUnknown,
    /// No such blob.
    BlobUnknown,
    /// Slow down.
    TooManyRequests,
    /// The registry does not do this.
    Unsupported,
    /// Any other code.
    Other,
}

impl ErrorCode {
    fn parse(code: &str) -> Self {
        match code {
            "DENIED" => Self::Denied,
            "UNAUTHORIZED" => Self::Unauthorized,
            "MANIFEST_UNKNOWN" => Self::ManifestUnknown,
            "NAME_UNKNOWN" => Self::NameUnknown,
            "BLOB_UNKNOWN" => Self::BlobUnknown,
            "TOOMANYREQUESTS" => Self::TooManyRequests,
            "UNSUPPORTED" => Self::Unsupported,
            _ => Self::Other,
        }
    }

    /// The code as Docker prints it, and the message used when a registry gave none.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Denied => ("denied", "requested access to the resource is denied"),
            Self::Unauthorized => ("unauthorized", "authentication required"),
            Self::ManifestUnknown => ("manifest unknown", "manifest unknown"),
            Self::NameUnknown => ("name unknown", "repository name not known to registry"),
            Self::BlobUnknown => ("blob unknown", "blob unknown to registry"),
            Self::TooManyRequests => ("toomanyrequests", "too many requests"),
            Self::Unsupported => ("unsupported", "The operation is unsupported."),
            Self::Other => ("unknown", "unknown error"),
        }
    }
}

/// Why a registry operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It wants a name and a password, and we have none.
    #[error("no basic auth credentials")]
    NoBasicAuth,
    /// No answer: name, connection, TLS, time.
    #[error("{method} \"{url}\": {cause}")]
    Network {
        /// `Get`, `Head`, `Post`.
        method: &'static str,
        /// What was asked for.
        url: String,
        /// Why, in Go's words where Docker's users know them.
        cause: String,
        /// Whether not even a connection came about.
        connect: bool,
    },
    /// The registry said no, with a code of the specification.
    #[error("{}: {message}", code.words().0)]
    Refused {
        /// Which.
        code: ErrorCode,
        /// Its words.
        message: String,
    },
    /// A status without a readable error.
    #[error("received unexpected HTTP status: {0}")]
    Status(http::StatusCode),
    /// A 4xx whose body is not what the specification says.
    #[error("error parsing HTTP {status} response body: {cause}: {body:?}")]
    Body {
        /// The status.
        status: u16,
        /// Why not readable.
        cause: String,
        /// How it begins.
        body: String,
    },
    /// A token server that gives no token, or asks for secrets in the clear.
    #[error("authorization server {realm}: {cause}")]
    Token {
        /// Its address.
        realm: String,
        /// What is wrong.
        cause: String,
    },
    /// An image in a format of 2015.
    #[error("schema 1 manifest")]
    Schema1,
    /// A manifest of some other kind, or of two kinds at once.
    #[error("unsupported manifest format")]
    UnsupportedManifest(String),
    /// A manifest that cannot be read.
    #[error("invalid manifest {digest}: {cause}")]
    InvalidManifest {
        /// Its digest.
        digest: Digest,
        /// The parser's words.
        cause: String,
    },
    /// An index has nothing for the platform.
    #[error("no matching manifest for {0} in the manifest list entries")]
    NoMatch(types::Platform),
    /// Bytes that are not those asked for.
    #[error("filesystem layer verification failed for digest {0}")]
    LayerDigest(Digest),
    /// A manifest that is not the one asked for.
    #[error("manifest verification failed for digest {0}")]
    ManifestDigest(Digest),
    /// More or fewer bytes than the descriptor says.
    #[error("blob {digest}: expected {expected} bytes, the registry sent {got}")]
    Size {
        /// Which blob.
        digest: Digest,
        /// Bytes according to the descriptor.
        expected: u64,
        /// Bytes that came (at least).
        got: u64,
    },
    /// 416: there is nothing at the offset that was asked for.
    #[error("the registry has nothing at the requested offset")]
    Range,
    /// A document beyond what any honest registry serves.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// `manifest sha256:...`, ...
        what: String,
        /// The bound.
        limit: u64,
    },
    /// Certificates in `certs.d` that cannot be used.
    #[error("{path}: {cause}")]
    Certificate {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// Our own disk.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A thread of ours died.
    #[error("download of {0} was interrupted")]
    Interrupted(Digest),
}

impl Error {
    /// Whether asking the same endpoint again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Network { .. } => true,
            Self::Status(status) => status.is_server_error(),
            Self::Refused { code, .. } => *code == ErrorCode::TooManyRequests,
            _ => false,
        }
    }

    /// Whether another endpoint of the same registry may do better.
    pub(crate) fn is_endpoints_fault(&self) -> bool {
        !matches!(self, Self::Store(_) | Self::Interrupted(_) | Self::Schema1)
    }

    /// Whether whoever was asked over HTTPS answered in plain HTTP.
    pub fn speaks_plain(&self) -> bool {
        matches!(self, Self::Network { cause, .. } if cause == PLAIN_ANSWER)
    }

    pub(crate) fn refused(code: ErrorCode, message: &str) -> Self {
        let message = if message.is_empty() { code.words().1 } else { message };
        Self::Refused { code, message: message.to_owned() }
    }

    pub(crate) fn network(method: &'static str, url: &str, error: &reqwest::Error) -> Self {
        Self::Network {
            method,
            url: url.to_owned(),
            cause: network_cause(url, error),
            connect: error.is_connect(),
        }
    }

    /// The error in an answer that is not a success.
    pub(crate) fn from_answer(status: http::StatusCode, authenticate: &str, body: &[u8]) -> Self {
        if status == http::StatusCode::RANGE_NOT_SATISFIABLE {
            return Self::Range;
        }
        if !status.is_client_error() {
            return Self::Status(status);
        }
        for challenge in challenge::parse(authenticate).iter().filter(|c| c.scheme == "bearer") {
            let code = match challenge.parameter("error") {
                "invalid_token" => ErrorCode::Unauthorized,
                "insufficient_scope" => ErrorCode::Denied,
                _ => continue,
            };
            return Self::refused(code, challenge.parameter("error_description"));
        }
        Self::from_body(status, body)
    }

    fn from_body(status: http::StatusCode, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Entry {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: Option<String>,
        }
        #[derive(Deserialize)]
        struct Document {
            #[serde(default)]
            errors: Vec<Entry>,
            #[serde(default)]
            details: String,
        }
        let unreadable = |cause: String| match status.as_u16() {
            401 => Self::refused(ErrorCode::Unauthorized, ""),
            429 => Self::refused(ErrorCode::TooManyRequests, ""),
            status => {
                let body: String = String::from_utf8_lossy(body).chars().take(256).collect();
                Self::Body { status, cause, body }
            }
        };
        let document: Document = match serde_json::from_slice(body) {
            Ok(document) => document,
            Err(error) => return unreadable(error.to_string()),
        };
        match document.errors.first() {
            Some(entry) => {
                Self::refused(ErrorCode::parse(&entry.code), entry.message.as_deref().unwrap_or_default())
            }
            None if status == 401 => Self::refused(ErrorCode::Unauthorized, &document.details),
            None if status == 429 => Self::refused(ErrorCode::TooManyRequests, &document.details),
            None => unreadable("no error details found in HTTP response body".to_owned()),
        }
    }
}

/// Go's words for the usual failures; the chain of causes for all others.
fn network_cause(url: &str, error: &reqwest::Error) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    let mut deepest = String::new();
    let mut cause = error.source();
    while let Some(current) = cause {
        deepest = current.to_string();
        if let Some(io) = current.downcast_ref::<std::io::Error>() {
            match io.kind() {
                std::io::ErrorKind::ConnectionRefused => {
                    return format!("dial tcp {host}: connect: connection refused");
                }
                std::io::ErrorKind::ConnectionReset => {
                    return format!("read tcp {host}: connection reset by peer");
                }
                std::io::ErrorKind::UnexpectedEof => return "unexpected EOF".to_owned(),
                std::io::ErrorKind::HostUnreachable => {
                    return format!("dial tcp {host}: connect: no route to host");
                }
                std::io::ErrorKind::NetworkUnreachable => {
                    return format!("dial tcp {host}: connect: network is unreachable");
                }
                _ => {}
            }
            if let Some(tls) = tls_inside(io) {
                return tls_cause(tls);
            }
        }
        if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            return tls_cause(tls);
        }
        cause = current.source();
    }
    if error.is_timeout() {
        return format!("dial tcp {host}: i/o timeout");
    }
    if error.is_redirect() {
        return deepest;
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if deepest.contains("no records found") || deepest.contains("no record found") {
        return format!("dial tcp: lookup {name}: no such host");
    }
    if deepest.is_empty() { error.to_string() } else { deepest }
}

/// rustls travels inside an `io::Error`, or two, and these leave what they hold out of the chain of sources.
fn tls_inside(error: &std::io::Error) -> Option<&rustls::Error> {
    let inner = error.get_ref()?;
    inner.downcast_ref::<rustls::Error>().or_else(|| tls_inside(inner.downcast_ref::<std::io::Error>()?))
}

fn tls_cause(error: &rustls::Error) -> String {
    use rustls::{CertificateError, Error as Tls};
    match error {
        Tls::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned()
        }
        Tls::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "tls: failed to verify certificate: x509: certificate has expired or is not yet valid".to_owned()
        }
        Tls::InvalidCertificate(other) => format!("tls: failed to verify certificate: x509: {other}"),
        Tls::InvalidMessage(_) => PLAIN_ANSWER.to_owned(),
        other => format!("tls: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, authenticate: &str, body: &str, expect: &str) {
        let status = http::StatusCode::from_u16(status).expect("a status");
        assert_eq!(Error::from_answer(status, authenticate, body.as_bytes()).to_string(), expect);
    }

    #[test]
    fn refusals_are_told_in_dockers_words() {
        check(
            404,
            "",
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"y"}}]}"#,
            "manifest unknown: manifest unknown",
        );
        check(
            401,
            r#"Bearer realm="https://a/t",error="insufficient_scope""#,
            r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#,
            "denied: requested access to the resource is denied",
        );
        check(401, "", "", "unauthorized: authentication required");
        check(
            401,
            "",
            r#"{"details":"incorrect username or password"}"#,
            "unauthorized: incorrect username or password",
        );
        check(
            429,
            "",
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"rate limit"}]}"#,
            "toomanyrequests: rate limit",
        );
        check(403, "", r#"{"errors":[{"code":"SOMETHING","message":null}]}"#, "unknown: unknown error");
        check(500, "", "oops", "received unexpected HTTP status: 500 Internal Server Error");
        check(
            404,
            "",
            "<html>",
            r#"error parsing HTTP 404 response body: expected value at line 1 column 1: "<html>""#,
        );
        check(
            404,
            "",
            "{}",
            r#"error parsing HTTP 404 response body: no error details found in HTTP response body: "{}""#,
        );
    }
}
