//! `exec`: one more process in a running container.

use std::os::fd::AsFd;
use std::path::PathBuf;

use linux::cgroup::Cgroup;
use linux::seccomp;
use types::spec::{Capabilities, Process, Status};

use super::args::{Args, unknown};
use super::container::Container;
use super::create::{send_to, wrap, write_pid_file};
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
    no_new_privs: bool,
    caps: Vec<String>,
    preserve_fds: u32,
    cgroup: Option<String>,
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
            "no-new-privs" => flags.no_new_privs = args.boolean()?,
            "cap" | "c" => flags.caps.push(args.value(&flag)?),
            "preserve-fds" => flags.preserve_fds = args.number(&flag)?,
            "cgroup" => flags.cgroup = Some(args.value(&flag)?),
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
        preserve_fds: flags.preserve_fds,
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
    write_pid_file(flags.pid_file.as_deref(), running.pid)?;
    match signals {
        Some(signals) => foreground::wait(&running, &signals),
        None => Ok(0),
    }
}

/// The cgroup to join: the container's, or one below it.
fn cgroup(container: &Container, flags: &Flags) -> Result<Option<Cgroup>, Error> {
    let Some(sub) = &flags.cgroup else { return Ok(container.cgroup()) };
    if sub.split('/').any(|part| part == "..") || sub.contains(':') {
        return Err(Error::Invalid(format!("invalid sub-cgroup {sub:?}")));
    }
    let below = |(name, path): (&String, &PathBuf)| (name.clone(), path.join(sub.trim_start_matches('/')));
    let cgroup = Cgroup::at(&container.record.cgroup_paths.iter().map(below).collect())?;
    Ok(Some(cgroup.of_unit(container.record.unit.clone())))
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
        return Err(Error::Invalid("process args cannot be empty".into()));
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
    process.no_new_privileges |= flags.no_new_privs;
    if let Some(user) = &flags.user {
        let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
        let number = |text: &str| {
            text.parse().map_err(|_| Error::Invalid(format!("parsing {text} as int: invalid syntax")))
        };
        (process.user.uid, process.user.gid) = (number(uid)?, number(gid)?);
    }
    process.user.additional_gids.extend(&flags.additional_gids);
    if !flags.caps.is_empty() {
        let caps = process.capabilities.get_or_insert_with(Capabilities::default);
        for set in [&mut caps.bounding, &mut caps.effective, &mut caps.permitted] {
            set.extend(flags.caps.iter().cloned());
        }
    }
    Ok(process)
}
