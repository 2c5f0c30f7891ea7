//! `exec`: one more process in a running container.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::PathBuf;

use linux::cgroup::Cgroup;
use linux::seccomp;
use types::spec::{Capabilities, Process, Status};

use super::args::{Args, unknown};
use super::container::Container;
use super::create::{preserved, send_to, wrap, write_pid_file};
use super::{Global, Outcome, foreground};
use crate::error::{Context, Error};
use crate::request::{ExecRequest, SeccompAgent, Stdio};

#[derive(Debug, Default)]
struct Flags {
    console_socket: Option<PathBuf>,
    pidfd_socket: Option<PathBuf>,
    pid_file: Option<PathBuf>,
    process: Option<PathBuf>,
    cwd: Option<String>,
    env: Vec<String>,
    tty: Option<bool>,
    user: Option<String>,
    additional_gids: Vec<u32>,
    detach: bool,
    process_label: Option<String>,
    apparmor: Option<String>,
    no_new_privs: Option<bool>,
    caps: Vec<String>,
    preserve_fds: u32,
    /// `--cgroup` as given: `[controllers:]path`.
    cgroups: Vec<String>,
    ignore_paused: bool,
}

fn parse(args: &mut Args) -> Result<Flags, Error> {
    let mut flags = Flags::default();
    while let Some(flag) = args.flag()? {
        match flag.as_str() {
            "console-socket" => flags.console_socket = Some(args.value(&flag)?.into()),
            "pidfd-socket" => flags.pidfd_socket = Some(args.value(&flag)?.into()),
            "pid-file" => flags.pid_file = Some(args.value(&flag)?.into()),
            "process" | "p" => flags.process = Some(args.value(&flag)?.into()),
            "cwd" => flags.cwd = Some(args.value(&flag)?),
            "env" | "e" => flags.env.push(args.value(&flag)?),
            "tty" | "t" => flags.tty = Some(args.boolean()?),
            "user" | "u" => flags.user = Some(args.value(&flag)?),
            "additional-gids" | "g" => flags.additional_gids.push(args.number(&flag)?),
            "detach" | "d" => flags.detach = args.boolean()?,
            "process-label" => flags.process_label = Some(args.value(&flag)?),
            "apparmor" => flags.apparmor = Some(args.value(&flag)?),
            "no-new-privs" => flags.no_new_privs = Some(args.boolean()?),
            "cap" | "c" => flags.caps.push(args.value(&flag)?),
            "preserve-fds" => flags.preserve_fds = args.number(&flag)?,
            "cgroup" => flags.cgroups.push(args.value(&flag)?),
            "ignore-paused" => flags.ignore_paused = args.boolean()?,
            _ => return Err(unknown(&flag)),
        }
    }
    Ok(flags)
}

pub(super) fn exec(global: &Global, mut args: Args) -> Outcome {
    let flags = parse(&mut args)?;
    let id = args.id()?;
    run(global, &flags, &id, args.rest()).map_err(|error| match error {
        Error::NotFound(text) => Error::NotFound(format!("exec failed: {text}")),
        Error::PermissionDenied(text) => Error::PermissionDenied(format!("exec failed: {text}")),
        other => Error::Failed(format!("exec failed: {other}")),
    })
}

fn run(global: &Global, flags: &Flags, id: &str, mut words: Vec<String>) -> Outcome {
    if words.first().is_some_and(|word| word == "--") {
        words.remove(0);
    }
    let container = Container::open(global, id)?;
    let target =
        container.pidfd().ok_or_else(|| Error::State("cannot exec in a stopped container".into()))?;
    if container.status() == Status::Paused && !flags.ignore_paused {
        return Err(Error::State(
            "cannot exec in a paused container (use --ignore-paused to override)".into(),
        ));
    }
    let process = process(&container, flags, words)?;
    let foreground_terminal = process.terminal && flags.console_socket.is_none();
    if foreground_terminal && flags.detach {
        let text = "cannot allocate tty if runtime will detach without setting console socket";
        return Err(Error::Invalid(text.into()));
    }
    let profile = container.record.spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    let wrong = |error: seccomp::Error| Error::Invalid(format!("seccomp: {error}"));
    let program = profile.map(seccomp::compile).transpose().map_err(wrong)?;
    let cgroup = cgroup(&container, flags)?;
    let signals = if flags.detach { None } else { Some(foreground::signals()?) };
    let size = process.console_size.unwrap_or_default();
    let state = container.state();
    let agent = profile.filter(|profile| !profile.listener_path.is_empty()).map(|profile| SeccompAgent {
        path: &profile.listener_path,
        metadata: &profile.listener_metadata,
        state: &state,
    });
    let mut running = crate::exec(&ExecRequest {
        id,
        process: &process,
        target: target.as_fd(),
        target_pid: container.record.init_process_pid,
        linux: container.record.spec.linux.as_ref(),
        cgroup: cgroup.as_ref(),
        stdio: if process.terminal {
            Stdio::Terminal {
                rows: u16::try_from(size.height).unwrap_or(0),
                cols: u16::try_from(size.width).unwrap_or(0),
                plain_lines: foreground_terminal,
            }
        } else {
            Stdio::Inherit
        },
        user: None,
        groups: &[],
        seccomp: program.as_ref(),
        seccomp_flags: profile.map_or(Ok(0), seccomp::flags).map_err(wrong)?,
        agent,
        no_new_keyring: false,
        preserve_fds: preserved(0, flags.preserve_fds)?,
    })
    .map_err(wrap)?;
    if let (Some(socket), Some(master)) =
        (&flags.console_socket, running.terminal.take_if(|_| flags.console_socket.is_some()))
    {
        send_to(socket, b"/dev/ptmx", &master)?;
    }
    if let Some(socket) = &flags.pidfd_socket {
        send_to(socket, b"pidfd", &running.pidfd)?;
    }
    global.log.debug(&format!("process {} runs in container {id}: {:?}", running.pid, process.args));
    write_pid_file(flags.pid_file.as_deref(), running.pid)?;
    match signals {
        Some(signals) => foreground::wait(&running, &signals, None),
        None => Ok(0),
    }
}

/// The cgroup to join: the container's, or ones below it.
fn cgroup(container: &Container, flags: &Flags) -> Result<Option<Cgroup>, Error> {
    let below = sub_cgroups(&flags.cgroups)?;
    if below.is_empty() {
        return Ok(container.cgroup());
    }
    let join = |(name, path): (&String, &PathBuf)| {
        let controllers = || name.split(',').filter_map(|controller| below.get(controller));
        let sub = below.get("").or(below.get(name.as_str())).or(controllers().next());
        (name.clone(), sub.map_or(path.clone(), |sub| path.join(sub.trim_matches('/'))))
    };
    let cgroup = Cgroup::at(&container.record.cgroup_paths.iter().map(join).collect())?;
    Ok(Some(cgroup.of_unit(container.record.unit.clone())))
}

/// Paths by controller from `--cgroup [CONTROLLERS:]PATH`; without a controller, for all.
fn sub_cgroups(list: &[String]) -> Result<BTreeMap<&str, &str>, Error> {
    let invalid =
        |word: &str, why: &str| Err(Error::Invalid(format!("invalid --cgroup argument: {word} ({why})")));
    let mut found = BTreeMap::new();
    for word in list {
        let (controllers, path) = match word.split_once(':') {
            Some((controllers, path)) => (controllers, path),
            None if list.len() == 1 => ("", word.as_str()),
            None => return invalid(word, "missing <controller>: prefix"),
        };
        if path.split('/').any(|part| part == "..") {
            return Err(Error::Invalid(format!("bad sub cgroup path: {path}")));
        }
        if controllers.is_empty() {
            if word.contains(':') {
                return invalid(word, "empty <controller> prefix");
            }
            found.insert("", path);
            continue;
        }
        for controller in controllers.split(',') {
            if controller.is_empty() {
                return invalid(word, "empty <controller> prefix");
            }
            if found.insert(controller, path).is_some() {
                return invalid(word, &format!("controller {controller} specified multiple times"));
            }
        }
    }
    Ok(found)
}

/// The process: from a file, or the container's own with what the flags change.
fn process(container: &Container, flags: &Flags, words: Vec<String>) -> Result<Process, Error> {
    if let Some(path) = &flags.process {
        let text = std::fs::read(path).doing(|| format!("read {}", path.display()))?;
        return serde_json::from_slice(&text)
            .map_err(|error| Error::Invalid(format!("{}: {error}", path.display())));
    }
    let mut process = container.record.spec.process.clone().unwrap_or_default();
    if words.is_empty() {
        return Err(Error::Invalid("exec args cannot be empty".into()));
    }
    process.args = words;
    process.terminal = flags.tty.unwrap_or(false);
    process.env.extend(flags.env.iter().cloned());
    if let Some(cwd) = &flags.cwd {
        process.cwd.clone_from(cwd);
    }
    if let Some(label) = &flags.process_label {
        process.selinux_label.clone_from(label);
    }
    if let Some(profile) = &flags.apparmor {
        process.apparmor_profile.clone_from(profile);
    }
    if let Some(wanted) = flags.no_new_privs {
        process.no_new_privileges = wanted;
    }
    if let Some(user) = &flags.user {
        let number = |what: &str, text: &str| {
            text.parse().map_err(|_| Error::Invalid(format!("bad {what}: parsing {text:?}: invalid syntax")))
        };
        let (uid, gid) = user.split_once(':').map_or((user.as_str(), None), |(uid, gid)| (uid, Some(gid)));
        if let Some(gid) = gid {
            process.user.gid = number("gid", gid)?;
        }
        process.user.uid = number("uid", uid)?;
    }
    process.user.additional_gids.extend(&flags.additional_gids);
    if !flags.caps.is_empty() {
        let caps = process.capabilities.get_or_insert_with(Capabilities::default);
        for set in [&mut caps.bounding, &mut caps.effective, &mut caps.permitted] {
            set.extend(flags.caps.iter().cloned());
        }
        // Without inheritable capabilities there are no ambient ones.
        if !caps.inheritable.is_empty() {
            caps.ambient.extend(flags.caps.iter().cloned());
        }
    }
    Ok(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_cgroups_are_those_of_controllers_or_of_all() {
        let check = |list: &[&str]| {
            let list: Vec<String> = list.iter().map(ToString::to_string).collect();
            sub_cgroups(&list).map(|found| format!("{found:?}")).map_err(|error| error.to_string())
        };
        assert_eq!(check(&["a/b"]).unwrap(), r#"{"": "a/b"}"#);
        assert_eq!(
            check(&["cpu,memory:x", "pids:/y"]).unwrap(),
            r#"{"cpu": "x", "memory": "x", "pids": "/y"}"#
        );
        for wrong in [&["../x"][..], &[":x"], &["cpu,:x"], &["a", "b"], &["cpu:a", "cpu:b"]] {
            assert!(check(wrong).is_err(), "{wrong:?}");
        }
    }
}
