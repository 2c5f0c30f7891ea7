//! What callers ask for and what they get.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use linux::cgroup::{Cgroup, Unit};
use linux::seccomp::Program;
use types::spec::{self, RuntimeSpec};

use crate::channel::Channel;
use crate::create::{self, Belongings, Born};
use crate::error::Error;
use crate::gate::{self, After};

/// Where a process's standard descriptors come from.
#[derive(Debug, Clone, Copy)]
pub enum Stdio<'a> {
    /// The caller's.
    Inherit,
    /// These.
    #[allow(missing_docs)]
    Fds { stdin: BorrowedFd<'a>, stdout: BorrowedFd<'a>, stderr: BorrowedFd<'a> },
    /// A new pseudo-terminal of the container's own devpts, of this size; 0 leaves the kernel's default.
    Terminal {
        #[allow(missing_docs)]
        rows: u16,
        #[allow(missing_docs)]
        cols: u16,
        /// A line ends as the process ends it, without a carriage return (no `ONLCR`): for who shows it on a terminal that adds
        /// its own. Set before the process runs, or what it writes first would differ.
        plain_lines: bool,
    },
}

/// Which cgroup a container's processes live in.
#[derive(Debug, Clone, Copy)]
pub enum CgroupMode<'a> {
    /// The caller's.
    Inherit,
    /// A new one made at this path below each hierarchy's root, with the limits of the specification; its
    /// handle is in [`Created::cgroup`].
    Path(&'a str),
    /// One that systemd makes for this unit, likewise.
    Unit(&'a Unit),
}

/// A container to make.
#[derive(Debug, Clone, Copy)]
pub struct CreateRequest<'a> {
    /// Container id, for hooks, state and errors.
    pub id: &'a str,
    /// What to make.
    pub spec: &'a RuntimeSpec,
    /// Directory of the bundle: hooks are told, and a relative `root.path` starts there.
    pub bundle: &'a Path,
    /// Mounts that make the root file system, performed at `root.path` inside the container's mount namespace
    /// (the host never sees them). Empty: `root.path` as it is.
    pub rootfs_mounts: &'a [types::Mount],
    /// Standard descriptors.
    pub stdio: Stdio<'a>,
    /// Network namespace to join; overrides the specification's.
    pub netns: Option<BorrowedFd<'a>>,
    /// Docker's `user[:group]`, names or numbers, looked up in the container's own `/etc/passwd` and `/etc/group`;
    /// overrides `process.user`'s ids.
    pub user: Option<&'a str>,
    /// Supplementary groups, names or numbers, looked up likewise.
    pub groups: &'a [String],
    /// Compiled filter; `None` compiles `linux.seccomp`.
    pub seccomp: Option<&'a Program>,
    /// Which cgroup.
    pub cgroup: CgroupMode<'a>,
    /// Go without a cgroup if none may be made and no limits are asked for.
    pub rootless: bool,
    /// Lets another process start the container: init listens in the directory `DIR/<id>`, which must exist, and outlives
    /// the caller. `None`: only [`Created::start`] starts it, and init goes when [`Created`] is dropped.
    pub state_root: Option<&'a Path>,
    /// Use `MS_MOVE` and `chroot` instead of `pivot_root` (for an initramfs).
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// This many descriptors from 3 on are passed to the process.
    pub preserve_fds: u32,
}

impl<'a> CreateRequest<'a> {
    /// A request with the usual choices: standard descriptors inherited, no cgroup, no state written.
    pub fn new(id: &'a str, spec: &'a RuntimeSpec, bundle: &'a Path) -> Self {
        CreateRequest {
            id,
            spec,
            bundle,
            rootfs_mounts: &[],
            stdio: Stdio::Inherit,
            netns: None,
            user: None,
            groups: &[],
            seccomp: None,
            cgroup: CgroupMode::Inherit,
            rootless: !rustix::process::geteuid().is_root(),
            state_root: None,
            no_pivot: false,
            no_new_keyring: false,
            preserve_fds: 0,
        }
    }
}

/// A container whose init waits at the gate. Dropped without [`Created::start`], init goes away by itself.
#[derive(Debug)]
pub struct Created {
    /// Init, as the caller sees it; the caller's child.
    pub pid: i32,
    /// Becomes readable when it exits.
    pub pidfd: OwnedFd,
    /// Master of its pseudo-terminal.
    pub terminal: Option<OwnedFd>,
    /// The cgroup made for [`CgroupMode::Path`] or [`CgroupMode::Unit`]; the caller removes it when the container is gone.
    pub cgroup: Option<Cgroup>,
    /// Directories of resctrl made for it (`intelRdt`); the caller removes them when the container is gone.
    pub class: Vec<PathBuf>,
    /// The root file system of a container without a mount namespace of its own: below it its mounts are made, which the caller
    /// removes when the container is gone.
    pub mounted: Option<PathBuf>,
    channel: Channel,
    after: After,
    /// Where init listens, if `start` may come from another process.
    gate: Option<PathBuf>,
}

impl Created {
    pub(crate) fn new(request: &CreateRequest<'_>, born: Born, belongings: Belongings) -> Self {
        Created {
            after: After::of(request, born.pid),
            gate: request.state_root.map(|root| root.join(request.id)),
            pid: born.pid,
            pidfd: born.pidfd,
            terminal: born.terminal,
            channel: born.channel,
            cgroup: belongings.cgroup,
            class: belongings.class,
            mounted: belongings.mounted,
        }
    }

    /// Opens the gate; returns when the user's process runs (after `execve`), or why it does not: then nothing is left
    /// of the container.
    pub fn start(self) -> Result<Running, Error> {
        let channel = match &self.gate {
            Some(directory) => gate::connect(directory)?,
            None => self.channel,
        };
        match gate::open(&channel, &self.after) {
            Ok(()) => {
                Ok(Running { pid: self.pid, pidfd: self.pidfd, terminal: self.terminal, cgroup: self.cgroup })
            }
            Err(error) => {
                create::end(&self.pidfd);
                Belongings { cgroup: self.cgroup, class: self.class, mounted: self.mounted }.remove();
                Err(error)
            }
        }
    }
}

/// A running process; the caller's child.
#[derive(Debug)]
pub struct Running {
    /// As the caller sees it.
    pub pid: i32,
    /// Becomes readable when it exits.
    pub pidfd: OwnedFd,
    /// Master of its pseudo-terminal.
    pub terminal: Option<OwnedFd>,
    /// As in [`Created::cgroup`]; never for an exec.
    pub cgroup: Option<Cgroup>,
}

/// A process to run in a running container.
#[derive(Debug, Clone, Copy)]
pub struct ExecRequest<'a> {
    /// Container id, for errors.
    pub id: &'a str,
    /// What to run.
    pub process: &'a spec::Process,
    /// The container's init, as a pidfd.
    pub target: BorrowedFd<'a>,
    /// The container's init, as the caller sees it.
    pub target_pid: i32,
    /// The container's configuration: execution domain, memory policy and class of cache hold for every process in it.
    pub linux: Option<&'a spec::Linux>,
    /// The container's cgroup; `None` leaves the process in the caller's.
    pub cgroup: Option<&'a Cgroup>,
    /// Standard descriptors.
    pub stdio: Stdio<'a>,
    /// As in [`CreateRequest::user`].
    pub user: Option<&'a str>,
    /// As in [`CreateRequest::groups`].
    pub groups: &'a [String],
    /// Compiled filter; `None` for none.
    pub seccomp: Option<&'a Program>,
    /// Flags to load it with (`linux::seccomp::flags`).
    pub seccomp_flags: u32,
    /// Who is notified by a filter with `SCMP_ACT_NOTIFY`.
    pub agent: Option<SeccompAgent<'a>>,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// This many descriptors from 3 on are passed to the process.
    pub preserve_fds: u32,
}

/// Who answers a seccomp filter's notifications (config-linux.md, "listenerPath").
#[derive(Debug, Clone, Copy)]
pub struct SeccompAgent<'a> {
    /// Its unix socket.
    pub path: &'a str,
    /// `listenerMetadata`.
    pub metadata: &'a str,
    /// The container.
    pub state: &'a spec::State,
}
