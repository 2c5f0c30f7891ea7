//! What a client is told when something cannot be done (distribution-spec, "Error Codes").

use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::storage::StorageError;

/// The codes of the specification; `Unknown` is distribution's for faults of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    Unauthorized,
    Denied,
    Unsupported,
    TooManyRequests,
    Unknown,
}

impl Code {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The status that goes with it unless a fault says otherwise.
    fn status(self) -> StatusCode {
        match self {
            Self::BlobUnknown | Self::BlobUploadUnknown | Self::ManifestUnknown | Self::NameUnknown => {
                StatusCode::NOT_FOUND
            }
            Self::BlobUploadInvalid
            | Self::DigestInvalid
            | Self::ManifestBlobUnknown
            | Self::ManifestInvalid
            | Self::NameInvalid
            | Self::SizeInvalid => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// A request that ends with an error.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) code: Code,
    pub(crate) message: String,
    /// What few have, kept apart so that results stay small.
    pub(crate) rest: Box<Rest>,
}

/// What only some faults have.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    pub(crate) detail: Value,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// One error for each, all with the same code and message (`MANIFEST_BLOB_UNKNOWN` names every blob).
    pub(crate) more: Vec<Value>,
}

impl Fault {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { status: code.status(), code, message: message.into(), rest: Box::default() }
    }

    /// A path that is none of ours.
    pub(crate) fn no_such_page() -> Self {
        Self::new(Code::Unsupported, "no such page").with_status(StatusCode::NOT_FOUND)
    }

    /// A method that the resource does not have.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(Code::Unsupported, "the operation is unsupported")
    }

    /// A fault of ours. The cause is for the log: it may name paths.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(Code::Unknown, "the registry failed; its log says why")
    }

    #[must_use]
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    #[must_use]
    pub(crate) fn with_detail(mut self, detail: impl Into<Value>) -> Self {
        self.rest.detail = detail.into();
        self
    }

    #[must_use]
    pub(crate) fn with_header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.rest.headers.push((name, value));
        }
        self
    }

    /// The body that the specification gives.
    pub(crate) fn body(&self) -> String {
        let one = |detail: &Value| {
            let mut error = json!({ "code": self.code.as_str(), "message": self.message });
            if !detail.is_null() {
                error["detail"] = detail.clone();
            }
            error
        };
        let errors: Vec<Value> = match self.rest.more.is_empty() {
            true => vec![one(&self.rest.detail)],
            false => self.rest.more.iter().map(one).collect(),
        };
        json!({ "errors": errors }).to_string()
    }
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        if error.is_full() {
            tracing::error!(%error, "the storage is full");
            return Self::new(Code::Unknown, "no space left on the registry's storage")
                .with_status(StatusCode::INSUFFICIENT_STORAGE);
        }
        Self::internal(error)
    }
}
