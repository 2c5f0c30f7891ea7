//! The last steps before `execve`, the same for a container's init and for `exec`: who the process is, what it may do,
//! where it stands. The container's root is `/` by now.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use linux::capabilities::{self, SYS_ADMIN};
use linux::process::{self, SchedAttr};
use linux::seccomp::{self, Program};
use rustix::fs::Mode;
use rustix::thread::{
    set_keep_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use types::spec::{IoPriority, Process, Scheduler};

use super::label::Label;
use super::user::{self, Identity};
use super::{executable, terminal};
use crate::channel::{Channel, Tag};
use crate::error::{Context, Error, reason};
use crate::limits;

/// What to launch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Launch<'a> {
    pub(crate) process: &'a Process,
    pub(crate) user: Option<&'a str>,
    pub(crate) groups: &'a [String],
    pub(crate) seccomp: Option<&'a Program>,
    pub(crate) seccomp_flags: u32,
    pub(crate) preserve_fds: u32,
}

/// Ready to execute.
pub(crate) struct Prepared<'a> {
    launch: Launch<'a>,
    path: CString,
    argv: Vec<CString>,
    env: Vec<CString>,
    /// Effective, permitted and inheritable sets still to be lowered to these.
    lower_to: Option<(u64, u64, u64)>,
}

impl<'a> Launch<'a> {
    /// Everything that can be done, and everything that can fail, before the gate.
    pub(crate) fn prepare(self, labels: Vec<Label>) -> Result<Prepared<'a>, Error> {
        let Some(name) = self.process.args.first() else {
            return Err(Error::Invalid("args must not be empty".into()));
        };
        let mut env = without_duplicates(&self.process.env);
        let identity = self.identity(&mut env)?;
        set_scheduling(self.process)?;
        terminal::give_stdio_to(identity.uid)?;
        for mut label in labels {
            label.apply()?;
        }
        let lower_to = self.become_user(&identity)?;
        let path = CString::new(executable::find(name, &env)?.into_os_string().into_vec())
            .map_err(|_| Error::Invalid("path of the executable has a NUL byte".into()))?;
        let mask = self.process.user.umask.unwrap_or(0o022);
        rustix::process::umask(Mode::from_raw_mode(mask & 0o7777));
        Ok(Prepared { launch: self, path, argv: strings(&self.process.args)?, env: strings(&env)?, lower_to })
    }

    /// Ids of the process, and HOME if the environment has none.
    fn identity(&self, env: &mut Vec<String>) -> Result<Identity, Error> {
        let needs_home = !env.iter().any(|pair| pair.starts_with("HOME=") && pair.len() > 5);
        if self.user.is_none() && self.groups.is_empty() && !needs_home {
            return Ok(self.given_identity());
        }
        let passwd = user::read("/etc/passwd")?;
        let identity = match self.user {
            None if self.groups.is_empty() => self.given_identity(),
            name => {
                user::resolve(name.unwrap_or_default(), self.groups, &passwd, &user::read("/etc/group")?)?
            }
        };
        if needs_home {
            env.retain(|pair| !pair.starts_with("HOME="));
            env.push(format!("HOME={}", user::home(identity.uid, &passwd)));
        }
        Ok(identity)
    }

    fn given_identity(&self) -> Identity {
        let user = &self.process.user;
        Identity { uid: user.uid, gid: user.gid, groups: user.additional_gids.clone() }
    }

    /// Changes ids, capabilities and the working directory. Returns what is left to be taken away after the filter is
    /// loaded: without `no_new_privs` loading it needs `CAP_SYS_ADMIN`.
    fn become_user(&self, identity: &Identity) -> Result<Option<(u64, u64, u64)>, Error> {
        let wanted = self.process.capabilities.clone().unwrap_or_default();
        let own = capabilities::own_permitted().doing(|| "read capabilities".into())?;
        let set = |names: &[String]| {
            names.iter().filter_map(|name| capabilities::number(name)).fold(0, |set, bit| set | 1 << bit)
        };
        // What cannot be granted is left out (config.md, "capabilities").
        let bounding = set(&wanted.bounding);
        let permitted = set(&wanted.permitted) & own;
        let effective = set(&wanted.effective) & permitted;
        let inheritable =
            if linux::weakened("inheritable") { permitted } else { set(&wanted.inheritable) & own };
        let ambient = set(&wanted.ambient) & permitted & inheritable;

        capabilities::limit_bounding(bounding).doing(|| "limit capability bounding set".into())?;
        let cwd = self.enter_cwd();
        set_ids(identity)?;
        let keep =
            if self.seccomp.is_some() && !self.process.no_new_privileges { SYS_ADMIN & own } else { 0 };
        capabilities::set(effective | keep, permitted | keep, inheritable)
            .doing(|| "unable to apply caps".into())?;
        // Cleared even when none are wanted: what was ambient in the caller must not leak (CVE-2022-29162).
        capabilities::set_ambient(ambient).doing(|| "unable to apply ambient caps".into())?;
        // A directory that only the user may enter (a network file system) is tried again as the user.
        cwd.or_else(|_| self.enter_cwd())?;
        Ok((keep & !permitted != 0 || keep & !effective != 0).then_some((effective, permitted, inheritable)))
    }

    fn enter_cwd(&self) -> Result<(), Error> {
        let cwd = if self.process.cwd.is_empty() { "/" } else { self.process.cwd.as_str() };
        let refuse =
            |why: &str| Error::Failed(format!("chdir to cwd ({cwd:?}) set in config.json failed: {why}"));
        rustix::process::chdir(cwd).map_err(|error| refuse(&reason(&error.into())))?;
        // A directory reached through a leaked descriptor is not below the root (CVE-2024-21626).
        let here = rustix::process::getcwd(Vec::new()).map_err(|error| refuse(&reason(&error.into())))?;
        if here.as_bytes().first() != Some(&b'/') && !linux::weakened("cwd") {
            return Err(refuse("current working directory is outside of container mount namespace root"));
        }
        Ok(())
    }
}

impl Prepared<'_> {
    /// Becomes the program. Returns only if that fails.
    pub(crate) fn execute(&self) -> Error {
        let path = Path::new(std::ffi::OsStr::from_bytes(self.path.as_bytes()));
        executable::refused(path, &process::execve(None, &self.path, &self.argv, &self.env))
    }

    /// The environment of the process, with what was added to the configuration's.
    pub(crate) fn environment(&self) -> Vec<String> {
        self.env.iter().map(|pair| pair.to_string_lossy().into_owned()).collect()
    }

    /// Sets limits, loads the filter, drops what is left.
    pub(crate) fn confine(&self, channel: &Channel) -> Result<(), Error> {
        limits::set(self.launch.process)?;
        if !linux::weakened("descriptors") {
            process::cloexec_from(3 + self.launch.preserve_fds).doing(|| "close descriptors".into())?;
        }
        if self.launch.process.no_new_privileges && !linux::weakened("no-new-privs") {
            set_no_new_privs(true).doing(|| "set no_new_privs".into())?;
        }
        if let Some(program) = self.launch.seccomp {
            let listener: Option<OwnedFd> = seccomp::load(program, self.launch.seccomp_flags)
                .map_err(|error| Error::Failed(format!("load seccomp filter: {error}")))?;
            if let Some(listener) = listener {
                channel.send(Tag::Listener, "", &[listener.as_fd()])?;
            }
        }
        if let Some((effective, permitted, inheritable)) = self.lower_to {
            capabilities::set(effective, permitted, inheritable).doing(|| "unable to apply caps".into())?;
        }
        Ok(())
    }
}

/// Groups first, user last: each needs the privilege that the last gives up. Capabilities are kept across it.
fn set_ids(identity: &Identity) -> Result<(), Error> {
    set_keep_capabilities(true).doing(|| "keep capabilities".into())?;
    let groups: Vec<_> = identity.groups.iter().map(|gid| rustix::process::Gid::from_raw(*gid)).collect();
    match set_thread_groups(&groups) {
        // A user namespace made by an unprivileged user forbids setgroups.
        Err(rustix::io::Errno::PERM) if groups.is_empty() => {}
        other => other.doing(|| "set supplementary groups".into())?,
    }
    let (uid, gid) =
        (rustix::process::Uid::from_raw(identity.uid), rustix::process::Gid::from_raw(identity.gid));
    set_thread_res_gid(gid, gid, gid).doing(|| format!("set gid {}", identity.gid))?;
    set_thread_res_uid(uid, uid, uid).doing(|| format!("set uid {}", identity.uid))?;
    set_keep_capabilities(false).doing(|| "keep capabilities".into())
}

/// Of variables that occur twice the last counts, as a shell would have it.
fn without_duplicates(env: &[String]) -> Vec<String> {
    let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
    let mut last = std::collections::HashMap::with_capacity(env.len());
    for (index, pair) in env.iter().enumerate() {
        last.insert(name(pair), index);
    }
    let kept = env.iter().enumerate().filter(|(index, pair)| last.get(&name(pair)) == Some(index));
    kept.map(|(_, pair)| pair.clone()).collect()
}

fn strings(list: &[String]) -> Result<Vec<CString>, Error> {
    let one = |text: &String| {
        CString::new(text.as_str()).map_err(|_| Error::Invalid(format!("{text:?} has a NUL byte")))
    };
    list.iter().map(one).collect()
}

fn set_scheduling(process: &Process) -> Result<(), Error> {
    if let Some(scheduler) = &process.scheduler {
        process::sched_setattr(sched_attr(scheduler)?).doing(|| "set scheduler".into())?;
    }
    if let Some(priority) = &process.io_priority {
        let (class, level) = io_priority(priority)?;
        process::set_io_priority(class, level).doing(|| "set I/O priority".into())?;
    }
    Ok(())
}

fn sched_attr(scheduler: &Scheduler) -> Result<SchedAttr, Error> {
    let policy = match scheduler.policy.as_str() {
        "SCHED_OTHER" => 0,
        "SCHED_FIFO" => 1,
        "SCHED_RR" => 2,
        "SCHED_BATCH" => 3,
        "SCHED_ISO" => 4,
        "SCHED_IDLE" => 5,
        "SCHED_DEADLINE" => 6,
        other => return Err(Error::Invalid(format!("invalid scheduler policy {other:?}"))),
    };
    let mut flags = 0;
    for name in &scheduler.flags {
        flags |= match name.as_str() {
            "SCHED_FLAG_RESET_ON_FORK" => 0x01,
            "SCHED_FLAG_RECLAIM" => 0x02,
            "SCHED_FLAG_DL_OVERRUN" => 0x04,
            "SCHED_FLAG_KEEP_POLICY" => 0x08,
            "SCHED_FLAG_KEEP_PARAMS" => 0x10,
            "SCHED_FLAG_UTIL_CLAMP_MIN" => 0x20,
            "SCHED_FLAG_UTIL_CLAMP_MAX" => 0x40,
            other => return Err(Error::Invalid(format!("invalid scheduler flag {other:?}"))),
        };
    }
    let priority = u32::try_from(scheduler.priority.unwrap_or(0))
        .map_err(|_| Error::Invalid("scheduler priority must not be negative".into()))?;
    Ok(SchedAttr {
        policy,
        flags,
        nice: scheduler.nice.unwrap_or(0),
        priority,
        runtime: scheduler.runtime.unwrap_or(0),
        deadline: scheduler.deadline.unwrap_or(0),
        period: scheduler.period.unwrap_or(0),
        ..SchedAttr::default()
    })
}

fn io_priority(priority: &IoPriority) -> Result<(u32, u32), Error> {
    let class = match priority.class.as_str() {
        "IOPRIO_CLASS_RT" => 1,
        "IOPRIO_CLASS_BE" => 2,
        "IOPRIO_CLASS_IDLE" => 3,
        other => return Err(Error::Invalid(format!("invalid I/O priority class {other:?}"))),
    };
    match u32::try_from(priority.priority.unwrap_or(0)) {
        Ok(level) if level < 8 => Ok((class, level)),
        _ => Err(Error::Invalid("I/O priority must be 0 to 7".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_equal_variables_counts() {
        let env: Vec<String> = ["A=1", "B=2", "A=3", "C"].map(String::from).to_vec();
        assert_eq!(without_duplicates(&env), ["B=2", "A=3", "C"]);
    }

    #[test]
    fn scheduling_words_are_checked() {
        let scheduler = |policy: &str, flag: &str| Scheduler {
            policy: policy.into(),
            flags: vec![flag.into()],
            ..Scheduler::default()
        };
        let attr = sched_attr(&scheduler("SCHED_BATCH", "SCHED_FLAG_RESET_ON_FORK")).unwrap();
        assert_eq!((attr.policy, attr.flags), (3, 1));
        assert!(sched_attr(&scheduler("SCHED_NONE", "SCHED_FLAG_RESET_ON_FORK")).is_err());
        assert!(sched_attr(&scheduler("SCHED_RR", "x")).is_err());
        let io = |class: &str, level| io_priority(&IoPriority { class: class.into(), priority: Some(level) });
        assert_eq!(io("IOPRIO_CLASS_BE", 4).unwrap(), (2, 4));
        assert!(io("IOPRIO_CLASS_BE", 8).is_err() && io("BE", 1).is_err());
    }
}
