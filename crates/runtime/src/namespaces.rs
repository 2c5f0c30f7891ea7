//! Which namespaces a container gets: new ones, joined ones, and how a process gets into them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux::namespace;
use linux::process::flags;
use types::spec::{Linux, NamespaceKind};

use crate::error::{Context, Error, reason};

/// The `CLONE_NEW*` flag of a kind.
pub(crate) fn flag(kind: NamespaceKind) -> u64 {
    match kind {
        NamespaceKind::Mount => flags::NEWNS,
        NamespaceKind::Pid => flags::NEWPID,
        NamespaceKind::Network => flags::NEWNET,
        NamespaceKind::Uts => flags::NEWUTS,
        NamespaceKind::Ipc => flags::NEWIPC,
        NamespaceKind::User => flags::NEWUSER,
        NamespaceKind::Cgroup => flags::NEWCGROUP,
        NamespaceKind::Time => flags::NEWTIME,
    }
}

/// Name below `/proc/<pid>/ns`.
pub(crate) fn proc_name(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Mount => "mnt",
        NamespaceKind::Pid => "pid",
        NamespaceKind::Network => "net",
        NamespaceKind::Uts => "uts",
        NamespaceKind::Ipc => "ipc",
        NamespaceKind::User => "user",
        NamespaceKind::Cgroup => "cgroup",
        NamespaceKind::Time => "time",
    }
}

/// A namespace to join: ours, or one that the caller holds.
#[derive(Debug)]
pub(crate) enum Joined<'a> {
    Own(OwnedFd),
    Lent(BorrowedFd<'a>),
}

impl AsFd for Joined<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Joined::Own(fd) => fd.as_fd(),
            Joined::Lent(fd) => *fd,
        }
    }
}

/// The namespaces of one container.
#[derive(Debug, Default)]
pub(crate) struct Namespaces<'a> {
    /// `flags::NEW*` of the new ones.
    pub(crate) new: u64,
    /// Those to join.
    pub(crate) joins: Vec<(NamespaceKind, Joined<'a>)>,
}

impl<'a> Namespaces<'a> {
    /// From the configuration; `netns` overrides its network namespace.
    pub(crate) fn of(linux: Option<&Linux>, netns: Option<BorrowedFd<'a>>) -> Result<Self, Error> {
        let mut namespaces = Namespaces::default();
        let mut seen = 0;
        for wanted in linux.map(|linux| linux.namespaces.as_slice()).unwrap_or_default() {
            let bit = flag(wanted.kind);
            if seen & bit != 0 {
                return Err(Error::Invalid(format!("duplicate namespace: {}", proc_name(wanted.kind))));
            }
            seen |= bit;
            if wanted.kind == NamespaceKind::Network && netns.is_some() {
                continue;
            }
            if wanted.path.is_empty() {
                namespaces.new |= bit;
            } else {
                let fd = namespace::open(Path::new(&wanted.path))
                    .doing(|| format!("open {} namespace {}", proc_name(wanted.kind), wanted.path))?;
                namespaces.joins.push((wanted.kind, Joined::Own(fd)));
            }
        }
        if let Some(fd) = netns {
            namespaces.joins.push((NamespaceKind::Network, Joined::Lent(fd)));
        }
        Ok(namespaces)
    }

    pub(crate) fn is_new(&self, kind: NamespaceKind) -> bool {
        self.new & flag(kind) != 0
    }

    pub(crate) fn joined(&self, kind: NamespaceKind) -> Option<BorrowedFd<'_>> {
        self.joins.iter().find(|(joined, _)| *joined == kind).map(|(_, fd)| fd.as_fd())
    }

    /// Whether a process in between has to join before the new namespaces can be made: those that belong to another
    /// user namespace than the container's own can only be joined from outside it, and those made anew must belong to
    /// the joined user namespace.
    pub(crate) fn needs_stage(&self) -> bool {
        let others = self.joins.iter().any(|(kind, _)| *kind != NamespaceKind::User);
        self.joined(NamespaceKind::User).is_some() || (self.is_new(NamespaceKind::User) && others)
    }

    /// What `clone3` makes. Cgroup and time namespaces are made by init itself: the first once it is in its cgroup
    /// (which becomes the root it sees), the second before it is entered (its offsets must be written first).
    pub(crate) fn clone_flags(&self) -> u64 {
        self.new & !(flags::NEWCGROUP | flags::NEWTIME)
    }

    /// Joins all but the pid namespace, which only children enter. Before the user namespace is joined, those that
    /// refuse are left for afterwards: they belong to it.
    pub(crate) fn join_all(&self) -> Result<(), Error> {
        let mut late = Vec::new();
        for (kind, fd) in &self.joins {
            if matches!(kind, NamespaceKind::User | NamespaceKind::Pid) {
                continue;
            }
            match namespace::join(fd.as_fd(), flag(*kind)) {
                Ok(()) => {}
                Err(error) if self.joined(NamespaceKind::User).is_none() => {
                    return Err(failed(*kind, &error));
                }
                Err(_) => late.push((*kind, fd)),
            }
        }
        if let Some(user) = self.joined(NamespaceKind::User) {
            namespace::join(user, flags::NEWUSER).map_err(|error| failed(NamespaceKind::User, &error))?;
        }
        for (kind, fd) in late {
            namespace::join(fd.as_fd(), flag(kind)).map_err(|error| failed(kind, &error))?;
        }
        Ok(())
    }
}

fn failed(kind: NamespaceKind, error: &std::io::Error) -> Error {
    Error::Failed(format!("join {} namespace: {}", proc_name(kind), reason(error)))
}

/// The pid namespace of the caller's next children; joined for as long as this lives.
///
/// `setns` with a pid namespace changes only where children are born, so that the creator can put a child into another
/// pid namespace without a process in between, and go back.
#[derive(Debug)]
pub(crate) struct ChildrenIn {
    own: OwnedFd,
}

impl ChildrenIn {
    /// `target` is a namespace file or, with `is_pidfd`, a process.
    pub(crate) fn join(target: BorrowedFd<'_>) -> Result<Self, Error> {
        let own =
            namespace::open(Path::new("/proc/self/ns/pid")).doing(|| "open own pid namespace".into())?;
        namespace::join(target, flags::NEWPID).doing(|| "join pid namespace".into())?;
        Ok(ChildrenIn { own })
    }

    /// Children are born in the caller's own namespace again.
    pub(crate) fn leave(self) -> Result<(), Error> {
        namespace::join(self.own.as_fd(), flags::NEWPID).doing(|| "return to own pid namespace".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::spec::Namespace;

    fn namespaces(kinds: &[(NamespaceKind, &str)]) -> Result<Namespaces<'static>, Error> {
        let list = kinds.iter().map(|(kind, path)| Namespace { kind: *kind, path: (*path).into() }).collect();
        Namespaces::of(Some(&Linux { namespaces: list, ..Linux::default() }), None)
    }

    #[test]
    fn new_and_joined_namespaces_are_told_apart() {
        use NamespaceKind::{Cgroup, Mount, Network, Pid, User};
        let both =
            namespaces(&[(Mount, ""), (Pid, ""), (Cgroup, ""), (Network, "/proc/self/ns/net")]).unwrap();
        assert_eq!(both.clone_flags(), flags::NEWNS | flags::NEWPID);
        assert!(both.is_new(Cgroup) && both.joined(Network).is_some() && !both.needs_stage());
        assert!(namespaces(&[(User, ""), (Network, "/proc/self/ns/net")]).unwrap().needs_stage());
        assert!(namespaces(&[(User, "/proc/self/ns/user")]).unwrap().needs_stage());
        assert!(!namespaces(&[(User, ""), (Network, "")]).unwrap().needs_stage());
    }

    #[test]
    fn duplicates_and_missing_files_are_refused() {
        use NamespaceKind::Pid;
        assert_eq!(namespaces(&[(Pid, ""), (Pid, "")]).unwrap_err().to_string(), "duplicate namespace: pid");
        assert_eq!(
            namespaces(&[(Pid, "/nonexistent")]).unwrap_err().to_string(),
            "open pid namespace /nonexistent: no such file or directory"
        );
    }
}
