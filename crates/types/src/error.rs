//! One error for everything above the lower crates: a kind for machines, a message for users, a source for logs.

use std::fmt;

/// What went wrong, as far as a door has to know. `api` maps each kind to one HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ErrorKind {
    /// 404: no such object.
    NotFound,
    /// 409: the object is in a state, or has users, that forbid this.
    Conflict,
    /// 400: the request itself is wrong.
    InvalidArgument,
    /// 401: credentials are missing or wrong.
    Unauthorized,
    /// 403: never allowed for this object.
    Forbidden,
    /// 304: already so. Has no text on the wire.
    NotModified,
    /// 501: not built, or not possible on this kernel.
    NotImplemented,
    /// 503: a dependency is not there at the moment.
    Unavailable,
    /// 500: everything else.
    Internal,
}

/// An error that reaches a user. `message` is written in Docker's words and is a compatibility surface.
#[derive(Debug)]
pub struct Error {
    /// What a door needs to know.
    pub kind: ErrorKind,
    /// What the user reads.
    pub message: String,
    /// What the log gets besides.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Shorthand used from `engine` upwards.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without a source.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same error with its cause kept for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// 409.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// 400.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// 304.
    pub fn not_modified() -> Self {
        Self::new(ErrorKind::NotModified, "")
    }

    /// 403.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, message)
    }

    /// 501.
    pub fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotImplemented, message)
    }

    /// 503.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// 500, with the text of `cause` as the message.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Internal, cause.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
