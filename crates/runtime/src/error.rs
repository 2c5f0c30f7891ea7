//! What can go wrong, in the words that runc's and Docker's users know.

/// Why a container or a process in it could not be made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The executable does not exist: exit code 127. The whole text, as in
    /// `exec: "x": executable file not found in $PATH`.
    #[error("{0}")]
    NotFound(String),
    /// The executable cannot be run: exit code 126. The whole text, as in `exec: "/etc/passwd": permission denied`.
    #[error("{0}")]
    PermissionDenied(String),
    /// The user does not exist in the container, as in
    /// `unable to find user x: no matching entries in passwd file`.
    #[error("{0}")]
    NoSuchUser(String),
    /// The configuration asks for something impossible.
    #[error("{0}")]
    Invalid(String),
    /// The operation does not fit the container's state, as in `container is not running`.
    #[error("{0}")]
    State(String),
    /// A step failed: what was done, to what, and why.
    #[error("{0}")]
    Failed(String),
    /// Not done yet in this runtime.
    #[error("{0}: not implemented")]
    NotImplemented(String),
}

impl Error {
    /// Exit code of the command that wanted the process.
    pub fn exit_code(&self) -> i32 {
        match self {
            Error::NotFound(_) => 127,
            Error::PermissionDenied(_) => 126,
            _ => 1,
        }
    }
}
