//! `kill`, `delete`, `pause`, `resume`: what is done to a container that is there.

use std::os::fd::AsFd;

use types::spec::{Namespace, NamespaceKind, Status};

use super::args::{Args, unknown};
use super::container::{Container, directory};
use super::{Global, Outcome};
use crate::error::{Context, Error};
use crate::hooks;
use crate::init::rootfs;

const KILL: i32 = 9;
/// How long a killed init may take to go.
pub(super) const DEATH_MS: u64 = 10_000;

/// Number of a signal given as number or name, with or without `SIG`.
fn signal(word: &str) -> Result<i32, Error> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let unknown = || Error::Invalid(format!("unknown signal {word:?}"));
    if let Ok(number) = word.parse::<i32>() {
        return if (0..=64).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(index) = NAMES.iter().position(|known| *known == name) {
        return Ok(index as i32 + 1);
    }
    // Real-time signals: RTMIN, RTMIN+n, RTMAX-n.
    let offset = |prefix: &str| name.strip_prefix(prefix).map(|rest| rest.parse().unwrap_or(0));
    match (offset("RTMIN"), offset("RTMAX")) {
        (Some(plus @ 0..=30), _) => Ok(34 + plus),
        (_, Some(minus @ -30..=0)) => Ok(64 + minus),
        _ => Err(unknown()),
    }
}

pub(super) fn kill(global: &Global, mut args: Args) -> Outcome {
    let mut to_all = false;
    while let Some(flag) = args.flag()? {
        match flag.as_str() {
            "all" | "a" => to_all = args.boolean()?,
            _ => return Err(unknown(&flag)),
        }
    }
    let id = args.id()?;
    let number = signal(args.word().as_deref().unwrap_or("SIGTERM"))?;
    args.end()?;
    let container = Container::open(global, &id)?;
    let Some(pidfd) = container.pidfd() else {
        // Init is gone, but what shared a pid namespace with others has outlived it.
        let left =
            || container.cgroup().and_then(|cgroup| cgroup.pids().ok()).is_some_and(|pids| !pids.is_empty());
        if container.cgroup().is_some() && (to_all || (number == KILL && shares_pids(&container) && left())) {
            return signal_all(&container, number);
        }
        // What is not there any more needs no signal, if all were meant.
        return if to_all { Ok(0) } else { Err(Error::State("container not running".into())) };
    };
    if to_all || (number == KILL && shares_pids(&container) && container.cgroup().is_some()) {
        // With a pid namespace that others live in, the rest would outlive its first process.
        signal_all(&container, number)?;
    }
    if !to_all {
        linux::pidfd::send_signal(pidfd.as_fd(), number).doing(|| format!("signal container {id}"))?;
    }
    if number == KILL && container.status() == Status::Paused {
        // On cgroup v1 a frozen process dies when it is thawed.
        container.own_cgroup()?.freeze(false)?;
    }
    Ok(0)
}

/// Whether the container has no pid namespace of its own, whose end would be that of all its processes.
fn shares_pids(container: &Container) -> bool {
    let own = |namespace: &Namespace| namespace.kind == NamespaceKind::Pid && namespace.path.is_empty();
    let linux = container.record.spec.linux.as_ref();
    linux.is_none_or(|linux| !linux.namespaces.iter().any(own))
}

/// Signals every process in the container's cgroup.
fn signal_all(container: &Container, number: i32) -> Outcome {
    for pid in container.own_cgroup()?.pids()? {
        if let Ok(pidfd) = linux::pidfd::open(pid) {
            let _ = linux::pidfd::send_signal(pidfd.as_fd(), number);
        }
    }
    Ok(0)
}

pub(super) fn delete(global: &Global, mut args: Args) -> Outcome {
    let mut force = false;
    while let Some(flag) = args.flag()? {
        match flag.as_str() {
            "force" | "f" => force = args.boolean()?,
            _ => return Err(unknown(&flag)),
        }
    }
    let id = args.id()?;
    args.end()?;
    let container = match Container::open(global, &id) {
        Ok(container) => container,
        Err(Error::State(text)) => {
            // A directory without a state is what a crash during `create` leaves.
            let dir = directory(global, &id)?;
            if dir.is_dir() {
                std::fs::remove_dir_all(&dir).doing(|| format!("remove {}", dir.display()))?;
            }
            return if force { Ok(0) } else { Err(Error::State(text)) };
        }
        Err(error) => return Err(error),
    };
    let status = container.status();
    if !force && !matches!(status, Status::Stopped | Status::Created) {
        return Err(Error::State(format!("cannot delete container {id} that is not stopped: {status}")));
    }
    destroy(global, &container)?;
    Ok(0)
}

/// Kills what is left of a container and forgets it: processes, cgroup, state; then the poststop hooks, whose failures are
/// only told.
pub(super) fn destroy(global: &Global, container: &Container) -> Result<(), Error> {
    let mut state = container.state();
    if let Some(pidfd) = container.pidfd() {
        linux::pidfd::send_signal(pidfd.as_fd(), KILL).doing(|| "kill init".into())?;
        if state.status == Status::Paused {
            container.own_cgroup()?.freeze(false)?;
        }
        if !linux::pidfd::exited_within(pidfd.as_fd(), DEATH_MS).doing(|| "wait for init".into())? {
            return Err(Error::Failed("container init still running".into()));
        }
        // Ours to reap only if this process made it.
        let _ = linux::pidfd::wait(pidfd.as_fd());
    }
    match (container.cgroup(), &container.record.unit) {
        (Some(cgroup), _) => cgroup.remove()?,
        // systemd removes the cgroup of a scope that is empty, but remembers one that has failed.
        (None, Some(unit)) => drop(unit.stop()),
        (None, None) => {}
    }
    crate::domains::leave_class(&container.record.class);
    if crate::validate::mounts_on_host(&container.record.spec) {
        rootfs::unmount_shared(&container.record.rootfs);
    }
    std::fs::remove_dir_all(&container.dir).doing(|| format!("remove {}", container.dir.display()))?;
    state.status = Status::Stopped;
    state.pid = 0;
    if let Some(all) = &container.record.spec.hooks {
        for hook in &all.poststop {
            if let Err(error) = hooks::run("poststop", std::slice::from_ref(hook), &state) {
                global.log.warn(&error.to_string());
            }
        }
    }
    global.log.debug(&format!("container {} deleted", container.record.id));
    Ok(())
}

/// `pause` and `resume`.
pub(super) fn freeze(global: &Global, mut args: Args, frozen: bool) -> Outcome {
    if let Some(flag) = args.flag()? {
        return Err(unknown(&flag));
    }
    let id = args.id()?;
    args.end()?;
    let container = Container::open(global, &id)?;
    match (frozen, container.status()) {
        (true, Status::Running | Status::Created) | (false, Status::Paused) => {}
        (true, status) => {
            return Err(Error::State(format!("container not running or created: {status}")));
        }
        (false, _) => return Err(Error::State("container not paused".into())),
    }
    container.own_cgroup()?.freeze(frozen)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (word, expect) in [
            ("SIGTERM", Some(15)),
            ("kill", Some(9)),
            ("0", Some(0)),
            ("64", Some(64)),
            ("SIGSYS", Some(31)),
            ("RTMIN", Some(34)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX-1", Some(63)),
            ("RTMAX", Some(64)),
            ("65", None),
            ("SIGNONE", None),
        ] {
            assert_eq!(signal(word).ok(), expect, "{word}");
        }
    }
}
