//! What can go wrong between a client and its daemon, in the words of Docker's client.

use std::io;

/// A request that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("Cannot connect to the Docker daemon at {host}. Is the docker daemon running?")]
    Connect {
        /// The address as a URL.
        host: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The socket is there but closed to this user.
    #[error(
        "permission denied while trying to connect to the Docker daemon socket at {host}: dial: connect: {source}"
    )]
    Permission {
        /// The address as a URL.
        host: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The daemon answered with a status of 400 or more.
    #[error("Error response from daemon: {message}")]
    Api {
        /// HTTP status.
        status: u16,
        /// The daemon's words.
        message: String,
    },
    /// The connection broke.
    #[error("error during connect: {host}: {source}")]
    Io {
        /// The address as a URL.
        host: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// An answer that is not HTTP or not what the API promises.
    #[error("{0}")]
    Protocol(String),
    /// A way to connect that this client does not have.
    #[error("{0}")]
    Unsupported(String),
}

impl ClientError {
    /// HTTP status of the daemon's answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Api { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The object is not there.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// There was no daemon to answer.
    pub fn is_connect(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Permission { .. } | Self::Io { .. })
    }
}
