//! One more process in a running container: one `clone3`, one `setns` with the container's pidfd.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use linux::cgroup::{Cgroup, Entrance};
use linux::namespace;
use linux::process::{self, Fork, flags};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{CpuSet, sched_setaffinity};
use types::spec::NamespaceKind;

use crate::channel::{Channel, Tag};
use crate::create::end;
use crate::error::{Context, Error};
use crate::init::launch::Launch;
use crate::init::{
    become_root, detach_from_caller, enter_cgroup, join_keyring, label, rootfs, terminal, use_all_processors,
};
use crate::namespaces::{ChildrenIn, flag, proc_name};
use crate::request::{ExecRequest, Running, Stdio};
use crate::{domains, gate, limits, validate};

/// Namespaces that an exec joins, beside those of users, pids and time.
const JOINED: [NamespaceKind; 5] = [
    NamespaceKind::Mount,
    NamespaceKind::Uts,
    NamespaceKind::Ipc,
    NamespaceKind::Network,
    NamespaceKind::Cgroup,
];

/// Runs one more process in a running container. Returns when it runs (after `execve`), or why it does not.
pub fn exec(request: &ExecRequest<'_>) -> Result<Running, Error> {
    validate::process(request.process)?;
    let target = request.target_pid.to_string();
    let differs = |name: &str| {
        namespace::same("self", &target, name).map(|same| !same).doing(|| format!("look at process {target}"))
    };
    // Entering one's own user namespace again is an error; a kernel without time namespaces knows no such flag.
    let mut kinds = JOINED.into_iter().fold(0, |kinds, kind| kinds | flag(kind));
    let in_user_namespace = differs("user")?;
    if in_user_namespace {
        kinds |= flags::NEWUSER;
    }
    if differs("time")? {
        kinds |= flags::NEWTIME;
    }
    // A container without a mount namespace of its own has but another root, which joining that namespace would not enter.
    let root = if differs("mnt")? {
        None
    } else {
        let path = format!("/proc/{target}/root");
        Some(linux::fs::open_root(Path::new(&path)).doing(|| format!("open {path}"))?)
    };
    let attached = request.cgroup.filter(|cgroup| cgroup.wants_attach());
    let entered = request.cgroup.filter(|_| attached.is_none());
    let entrance = entered.map(Cgroup::entrance).transpose()?;
    let in_class = request.linux.filter(|linux| linux.intel_rdt.is_some());
    let awaits_go = limits::need_creator(request.process) || attached.is_some() || in_class.is_some();

    let (outside, inside) = Channel::pair()?;
    let mut child = Child { request, kinds, in_user_namespace, root, entrance, awaits_go, channel: inside };
    let (pid, pidfd, outside) = match ChildrenIn::join(request.target) {
        Ok(pid_namespace) => child.spawn(pid_namespace, outside)?,
        // An ordinary user has the privilege for it in the container's user namespace only.
        Err(_) if in_user_namespace => {
            // Nor may such a user enter a namespace that the container shares with the host, in which it is already.
            for kind in JOINED {
                if !differs(proc_name(kind))? {
                    child.kinds &= !flag(kind);
                }
            }
            child.spawn_staged(outside)?
        }
        Err(error) => return Err(error),
    };
    let raise = || -> Result<Option<OwnedFd>, Error> {
        if let Some(cgroup) = attached {
            cgroup.attach(pid)?;
        }
        if let Some(linux) = in_class {
            domains::join_class(request.id, linux, pid)?;
        }
        limits::prepare(pid, request.process)?;
        // A child that gave up already has said why: that is received next.
        let _sent = if awaits_go { outside.send(Tag::Go, "", &[]) } else { Ok(()) };
        let mut terminal = None;
        while let Some(packet) = outside.recv()? {
            match (packet.tag, packet.fds.into_iter().next()) {
                (Tag::Ready, master) => terminal = master,
                (Tag::Listener, Some(listener)) => {
                    let agent = request.agent.ok_or_else(|| {
                        Error::Invalid("seccomp filter notifies, but listenerPath is not set".into())
                    })?;
                    gate::send_listener(&listener, &agent.into(), pid)?;
                }
                (tag, _) => return Err(Error::Failed(format!("unexpected {tag:?} from exec"))),
            }
        }
        Ok(terminal)
    };
    match raise() {
        Ok(terminal) => Ok(Running { pid, pidfd, terminal, cgroup: None }),
        Err(error) => {
            end(&pidfd);
            Err(error)
        }
    }
}

/// Forks into the container's cgroup. One that has cgroups of its own below and gives them controllers takes no processes
/// itself on v2 (EBUSY): then into init's.
fn clone_into(entrance: &mut Option<Entrance>, init: i32, flags: u64) -> std::io::Result<Fork> {
    const EBUSY: i32 = 16;
    match process::clone3(flags, entrance.as_ref().and_then(Entrance::clone_fd)) {
        Err(error) if error.raw_os_error() == Some(EBUSY) => {
            let of_init = Cgroup::of_process(init).and_then(|cgroup| cgroup.entrance());
            *entrance = Some(of_init.map_err(std::io::Error::other)?);
            process::clone3(flags, entrance.as_ref().and_then(Entrance::clone_fd))
        }
        other => other,
    }
}

struct Child<'a> {
    request: &'a ExecRequest<'a>,
    kinds: u64,
    in_user_namespace: bool,
    /// To change to.
    root: Option<OwnedFd>,
    entrance: Option<Entrance>,
    awaits_go: bool,
    channel: Channel,
}

impl Child<'_> {
    /// Forks where children are born in the container's pid namespace. Gives pid, pidfd and the creator's end of the channel.
    fn spawn(mut self, born_in: ChildrenIn, outside: Channel) -> Result<(i32, OwnedFd, Channel), Error> {
        let fork = clone_into(&mut self.entrance, self.request.target_pid, 0).doing(|| "clone3".into());
        if let Ok(Fork::Child) = fork {
            drop(outside);
            self.main();
        }
        born_in.leave()?;
        match fork? {
            Fork::Parent { pid, pidfd } => Ok((pid, pidfd, outside)),
            Fork::Child => Err(Error::Failed("clone3: two children".into())),
        }
    }

    /// A process in between enters the user namespace, then the pid namespace, and makes the child as its sibling.
    fn spawn_staged(self, outside: Channel) -> Result<(i32, OwnedFd, Channel), Error> {
        let (stage_outside, stage_inside) = Channel::pair()?;
        let stage = match process::clone3(0, None).doing(|| "clone3".into())? {
            Fork::Parent { pidfd, .. } => pidfd,
            Fork::Child => {
                drop(stage_outside);
                if let Err(error) = self.stage(outside, &stage_inside) {
                    stage_inside.send_error(&error);
                    process::exit_now(1)
                }
                process::exit_now(0)
            }
        };
        drop((stage_inside, self));
        let spawned = stage_outside.expect(Tag::Spawned);
        let _ = linux::pidfd::wait(stage.as_fd());
        let (pid, pidfd) = spawned?.spawned()?;
        Ok((pid, pidfd, outside))
    }

    fn stage(mut self, outside: Channel, report: &Channel) -> Result<(), Error> {
        let request = self.request;
        let join = |kinds, what: &str| {
            namespace::join_process(request.target, kinds).doing(|| format!("join {what} namespace"))
        };
        // Seen from the container from here on.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).doing(|| "become undumpable".into())?;
        join(flags::NEWUSER, "user")?;
        join(flags::NEWPID, "pid")?;
        self.kinds &= !flags::NEWUSER;
        match clone_into(&mut self.entrance, request.target_pid, flags::PARENT).doing(|| "clone3".into())? {
            Fork::Child => {
                drop(outside);
                self.main()
            }
            Fork::Parent { pid, pidfd } => report.send(Tag::Spawned, &pid.to_string(), &[pidfd.as_fd()]),
        }
    }

    fn main(self) -> ! {
        let Err(error) = self.run();
        self.channel.send_error(&error);
        process::exit_now(1)
    }

    fn run(&self) -> Result<Infallible, Error> {
        let request = self.request;
        // Once in the container's pid namespace, its processes see this one: its memory, descriptors and executable are
        // none of their business (CVE-2016-9962).
        set_dumpable_behavior(DumpableBehavior::NotDumpable).doing(|| "become undumpable".into())?;
        detach_from_caller()?;
        let labels = label::open(request.process)?;
        let affinity = request.process.exec_cpu_affinity.clone().unwrap_or_default();
        set_affinity(&affinity.initial)?;
        enter_cgroup(self.entrance.as_ref())?;
        if affinity.initial.is_empty() {
            use_all_processors();
        }
        if self.awaits_go {
            self.channel.expect(Tag::Go)?;
        }
        namespace::join_process(request.target, self.kinds)
            .doing(|| "join namespaces of the container".into())?;
        if let Some(root) = &self.root {
            rootfs::chroot_to(root.as_fd())?;
        }
        if self.in_user_namespace {
            become_root()?;
        }
        if !request.no_new_keyring {
            join_keyring(request.id)?;
        }
        set_affinity(&affinity.last)?;
        request.linux.map_or(Ok(()), domains::enter)?;
        self.open_terminal()?;
        let launch = Launch {
            process: request.process,
            user: request.user,
            groups: request.groups,
            seccomp: request.seccomp,
            seccomp_flags: request.seccomp_flags,
            preserve_fds: request.preserve_fds,
        };
        let prepared = launch.prepare(labels)?;
        prepared.confine(&self.channel)?;
        Err(prepared.execute())
    }

    fn open_terminal(&self) -> Result<(), Error> {
        let Stdio::Terminal { rows, cols, plain_lines } = self.request.stdio else {
            return terminal::wire_stdio(&self.request.stdio);
        };
        let root = linux::fs::open_root(Path::new("/")).doing(|| "open /".into())?;
        let pty = terminal::open(root.as_fd(), (rows, cols), plain_lines)?;
        terminal::take(&pty.slave)?;
        self.channel.send(Tag::Ready, "", &[pty.master.as_fd()])
    }
}

/// Keeps the caller on the processors of a list like `0-3,7`; an empty list changes nothing.
fn set_affinity(list: &str) -> Result<(), Error> {
    if list.is_empty() {
        return Ok(());
    }
    let set =
        parse_cpus(list).ok_or_else(|| Error::Invalid(format!("execCPUAffinity: invalid list {list:?}")))?;
    sched_setaffinity(None, &set).doing(|| format!("set CPU affinity {list}"))
}

fn parse_cpus(list: &str) -> Option<CpuSet> {
    let mut set = CpuSet::new();
    domains::numbers(list, CpuSet::MAX_CPU)?.into_iter().for_each(|cpu| set.set(cpu));
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read() {
        for (list, count) in
            [("0", Some(1)), ("0-3,7", Some(5)), ("1-1", Some(1)), ("3-1", None), ("x", None), ("0,", None)]
        {
            assert_eq!(parse_cpus(list).map(|set| set.count()), count, "{list}");
        }
    }
}
