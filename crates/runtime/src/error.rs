//! What can go wrong, in the words that runc's and Docker's users know.

use std::io;

/// Why a container or a process in it could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// The command line is not understood: its help is shown as well.
    #[error("{0}")]
    Usage(String),
    /// The configuration asks for something impossible.
    #[error("{0}")]
    Invalid(String),
    /// The operation does not fit the container's state, as in `container is not running`.
    #[error("{0}")]
    State(String),
    /// A step failed: what was done, to what, and why.
    #[error("{0}")]
    Failed(String),
    /// Not done by this runtime or this kernel.
    #[error("{0}")]
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

    /// One byte that names the kind, for the way from init to its creator.
    pub(crate) fn to_wire(&self) -> (u8, &str) {
        match self {
            Error::NotFound(text) => (b'n', text),
            Error::PermissionDenied(text) => (b'p', text),
            Error::NoSuchUser(text) => (b'u', text),
            Error::Invalid(text) | Error::Usage(text) => (b'i', text),
            Error::State(text) => (b's', text),
            Error::Failed(text) => (b'f', text),
            Error::NotImplemented(text) => (b'x', text),
        }
    }

    /// The opposite of [`Error::to_wire`].
    pub(crate) fn from_wire(kind: u8, text: String) -> Self {
        match kind {
            b'n' => Error::NotFound(text),
            b'p' => Error::PermissionDenied(text),
            b'u' => Error::NoSuchUser(text),
            b'i' => Error::Invalid(text),
            b's' => Error::State(text),
            b'x' => Error::NotImplemented(text),
            _ => Error::Failed(text),
        }
    }
}

impl From<linux::cgroup::Error> for Error {
    fn from(error: linux::cgroup::Error) -> Self {
        match error {
            linux::cgroup::Error::Invalid(_)
            | linux::cgroup::Error::InvalidPath(_)
            | linux::cgroup::Error::Devices(_) => Error::Invalid(error.to_string()),
            linux::cgroup::Error::Occupied(_) | linux::cgroup::Error::Frozen => {
                Error::State(error.to_string())
            }
            linux::cgroup::Error::Unsupported(_) => Error::NotImplemented(error.to_string()),
            _ => Error::Failed(error.to_string()),
        }
    }
}

/// What the kernel said, in the words that Go programs print: `no such file or directory`.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// Says what was being done when a call failed.
pub(crate) trait Context<T> {
    /// `what` names the action and its object: `mount /proc`.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|error| Error::Failed(format!("{}: {}", what(), reason(&error.into()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_like_those_of_other_runtimes() {
        for (errno, expect) in
            [(2, "no such file or directory"), (1, "operation not permitted"), (8, "exec format error")]
        {
            assert_eq!(reason(&io::Error::from_raw_os_error(errno)), expect);
        }
    }

    #[test]
    fn errors_survive_the_way_from_init() {
        for error in [
            Error::NotFound("a".into()),
            Error::PermissionDenied("b".into()),
            Error::NoSuchUser("c".into()),
            Error::Invalid("d".into()),
            Error::State("e".into()),
            Error::Failed("f".into()),
            Error::NotImplemented("g".into()),
        ] {
            let (kind, text) = error.to_wire();
            assert_eq!(Error::from_wire(kind, text.to_owned()), error);
        }
    }
}
