//! Why the store refused or failed.

use std::{io, path::PathBuf};

use types::Digest;

/// Shorthand within this crate and for its callers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk, or the quota, is full.
    #[error("no space left on device: {action} {path}")]
    NoSpace {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
    },
    /// A system call failed.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The input that a caller gave us to read failed.
    #[error("{0}")]
    Input(io::Error),
    /// Whoever wanted the outcome does not any more.
    #[error("cancelled")]
    Cancelled,
    /// SQLite failed.
    #[error("database: {0}")]
    Database(rusqlite::Error),
    /// The database was made by a newer program.
    #[error("database has schema {found}, this program knows up to {known}")]
    NewerSchema {
        /// In the file.
        found: i64,
        /// In this program.
        known: i64,
    },
    /// Another process has this data root open.
    #[error("data root {0} is in use by another daemon")]
    Locked(PathBuf),
    /// No such object.
    #[error("no such {what}: {name}")]
    NotFound {
        /// `image`, `snapshot`, `blob`, ...
        what: &'static str,
        /// As it was asked for.
        name: String,
    },
    /// The name is taken.
    #[error("{what} {name} already exists")]
    Exists {
        /// `container name`, `snapshot`, `volume`, ...
        what: &'static str,
        /// The name.
        name: String,
        /// The id of the object that has it, if it has one.
        holder: Option<String>,
    },
    /// An id prefix fits several objects.
    #[error("multiple IDs found with provided prefix: {0}")]
    Ambiguous(String),
    /// Somebody needs it.
    #[error("{what} {name} is in use by {}", .holders.join(", "))]
    InUse {
        /// `image`, `snapshot`, `volume`.
        what: &'static str,
        /// Its name.
        name: String,
        /// Lease owners, or children.
        holders: Vec<String>,
    },
    /// The same ingest is being written by somebody else at this moment.
    #[error("content {0} is being written already")]
    Busy(String),
    /// The bytes are not what their name says.
    #[error("digest mismatch: want {expected}, got {got}")]
    DigestMismatch {
        /// Promised.
        expected: Digest,
        /// Computed.
        got: Digest,
    },
    /// The number of bytes is not what was promised.
    #[error("size mismatch: want {expected} bytes, got {got}")]
    SizeMismatch {
        /// Promised.
        expected: u64,
        /// Seen so far.
        got: u64,
    },
    /// A bound was crossed.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The bound.
        limit: u64,
    },
    /// A tar stream is broken or hostile.
    #[error(transparent)]
    Tar(#[from] tar::TarError),
    /// A layer or archive wants to reach outside its tree. Docker's words.
    #[error("{0}")]
    Breakout(String),
    /// A document or argument makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Not possible with this format, file system or kernel.
    #[error("not supported: {0}")]
    Unsupported(String),
}

impl Error {
    /// An input or output error on `path`; a full disk gets its own variant.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        let (path, source) = (path.into(), source.into());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { action, path },
            _ => Self::Io { action, path, source },
        }
    }

    pub(crate) fn not_found(what: &'static str, name: impl Into<String>) -> Self {
        Self::NotFound { what, name: name.into() }
    }

    /// Whether the object was not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => {
                Self::NoSpace { action: "writing", path: PathBuf::from("wharf.db") }
            }
            _ => Self::Database(error),
        }
    }
}

impl From<Error> for types::Error {
    /// A first translation for the engine; where Docker has words of its own, the engine matches before.
    fn from(error: Error) -> Self {
        use types::ErrorKind as K;
        let kind = match &error {
            Error::NotFound { .. } => K::NotFound,
            Error::Exists { .. } | Error::InUse { .. } | Error::Busy(_) => K::Conflict,
            Error::Ambiguous(_)
            | Error::DigestMismatch { .. }
            | Error::SizeMismatch { .. }
            | Error::TooLarge { .. }
            | Error::Tar(_)
            | Error::Breakout(_)
            | Error::Invalid(_) => K::InvalidArgument,
            Error::Unsupported(_) => K::NotImplemented,
            _ => K::Internal,
        };
        types::Error::new(kind, error.to_string()).with_source(error)
    }
}

/// Adds the action and path to errors of the standard library and rustix.
pub(crate) trait IoContext<T> {
    fn at(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T, E: Into<io::Error>> IoContext<T> for std::result::Result<T, E> {
    fn at(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|error| Error::io(action, path, error))
    }
}
