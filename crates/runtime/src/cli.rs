//! The command line: `wharf runtime ...`, with the verbs, flags, files and words of runc, so that containerd, Podman and
//! Docker can use it in runc's place.
//!
//! `--root/<id>/state.json` holds what is known of a container (its configuration too: the bundle may change), and
//! `start.sock` exists as long as it waits for `start`.

mod args;
mod container;
mod create;
mod criu;
mod exec;
mod foreground;
mod help;
mod inspect;
mod log;
mod manage;
mod notify;
mod ps;
mod spec;
mod stats;
mod update;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use args::Args;
use help::Command;
use log::Log;

use crate::error::{Context, Error};

/// What holds for every command.
#[derive(Debug)]
struct Global {
    /// Directory of the containers' states.
    root: PathBuf,
    /// By the caller: then it must be there.
    root_is_given: bool,
    /// Cgroups are units of systemd's.
    systemd: bool,
    /// Cgroups that may not be made are gone without, if no limits are asked for.
    rootless: bool,
    log: Log,
}

/// How a command ended.
type Outcome = Result<i32, Error>;

/// The command line without the words that lead here; returns the exit code.
pub fn main(args: Vec<OsString>) -> i32 {
    let words: Result<Vec<String>, OsString> = args.into_iter().map(OsString::into_string).collect();
    let Ok(words) = words else {
        eprintln!("wharf runtime: arguments must be UTF-8");
        return 1;
    };
    let mut args = Args::new(&help::GLOBAL, words);
    let (global, command) = match global(&mut args) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return 0,
        Err(error) => {
            if matches!(error, Error::Usage(_)) {
                let _ = say(&format!("Incorrect Usage.\n\n{}", help::GLOBAL.help()));
            }
            eprintln!("{error}");
            return 1;
        }
    };
    let Some(command) = help::find(&command) else { return other(&global, &command, args) };
    match dispatch(&global, command, args.rest()) {
        Ok(code) => code,
        Err(error) => {
            let usage = matches!(error, Error::Usage(_));
            if usage {
                let _ = say(&format!("Incorrect Usage.\n\n{}", command.help()));
            }
            global.log.error(&error.to_string());
            // As runc: 255 cannot be the exit code of most programs.
            if command.name == "exec" && !usage { 255 } else { 1 }
        }
    }
}

/// `help`, and what is no command.
fn other(global: &Global, word: &str, mut args: Args) -> i32 {
    let topic = match word {
        "help" | "h" => args.word(),
        _ => Some(word.to_owned()),
    };
    let command = match &topic {
        None => Some(&help::GLOBAL),
        Some(topic) => help::find(topic),
    };
    if let Some(command) = command {
        let _ = say(&command.help());
        return 0;
    }
    global.log.error(&format!("No help topic for '{}'", topic.unwrap_or_default()));
    3
}

/// Flags before the command; `None` when there was nothing else to do.
fn global(args: &mut Args) -> Result<Option<(Global, String)>, Error> {
    let mut root = None;
    let (mut log_file, mut json, mut debug) = (None, false, false);
    let (mut rootless, mut systemd) = (None, false);
    while let Some(flag) = args.flag()? {
        match flag.as_str() {
            "root" => root = Some(PathBuf::from(args.value(&flag)?)),
            "log" => log_file = Some(PathBuf::from(args.value(&flag)?)),
            "log-format" => {
                json = match args.value(&flag)?.as_str() {
                    "json" => true,
                    "text" => false,
                    other => return Err(Error::Invalid(format!("invalid log-format: {other}"))),
                }
            }
            "debug" => debug = args.boolean()?,
            "rootless" => match args.value(&flag)?.as_str() {
                "true" => rootless = Some(true),
                "false" => rootless = Some(false),
                "auto" => rootless = None,
                other => return Err(Error::Invalid(format!("invalid value {other:?} for flag -rootless"))),
            },
            // As in runc since 1.1: criu is looked for in $PATH.
            "criu" => {
                args.value(&flag)?;
                eprintln!("--criu ignored (criu binary from $PATH is used)");
            }
            "systemd-cgroup" => systemd = args.boolean()?,
            "version" | "v" => {
                say(&inspect::version())?;
                return Ok(None);
            }
            "help" | "h" => {
                say(&help::GLOBAL.help())?;
                return Ok(None);
            }
            _ => return Err(args::unknown(&flag)),
        }
    }
    let Some(command) = args.word() else {
        say(&help::GLOBAL.help())?;
        return Ok(None);
    };
    let log = Log::open(log_file.as_deref(), json, debug)?;
    let rootless = rootless.unwrap_or_else(is_rootless);
    let root_is_given = root.is_some();
    Ok(Some((
        Global { root_is_given, root: root.unwrap_or_else(default_root), systemd, rootless, log },
        command,
    )))
}

/// Writes to standard output; nobody there to read it is an error, not a panic.
fn say(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).doing(|| "write to standard output".into())
}

/// An ordinary user, or root of a user namespace that does not map all ids.
fn is_rootless() -> bool {
    let whole = |map: String| map.split_whitespace().eq(["0", "0", "4294967295"]);
    !rustix::process::geteuid().is_root() || !std::fs::read_to_string("/proc/self/uid_map").is_ok_and(whole)
}

/// `/run/wharf-runtime`, or the user's own runtime directory.
fn default_root() -> PathBuf {
    let name = "wharf-runtime";
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(dir) if !rustix::process::geteuid().is_root() => PathBuf::from(dir).join(name),
        _ => PathBuf::from("/run").join(name),
    }
}

fn dispatch(global: &Global, command: &'static Command, words: Vec<String>) -> Outcome {
    if command.help_is_wanted(&words) {
        say(&command.help())?;
        return Ok(0);
    }
    if matches!(command.name, "create" | "run" | "exec") {
        // These enter containers: nobody there may reach the file this runs from.
        linux::sealed::ensure().map_err(|error| {
            Error::Failed(format!("seal own executable: {}", crate::error::reason(&error)))
        })?;
    }
    execute(global, command, Args::new(command, words))
}

fn execute(global: &Global, command: &Command, args: Args) -> Outcome {
    match command.name {
        "create" => create::create(global, args),
        "run" => create::run(global, args),
        "start" => create::start(global, args),
        "exec" => exec::exec(global, args),
        "state" => inspect::state(global, args),
        "list" => inspect::list(global, args),
        "features" => inspect::features(args),
        "ps" => ps::ps(global, args),
        "events" => stats::events(global, args),
        "kill" => manage::kill(global, args),
        "delete" => manage::delete(global, args),
        "pause" => manage::freeze(global, args, true),
        "resume" => manage::freeze(global, args, false),
        "update" => update::update(global, args),
        "spec" => spec::spec(args),
        "checkpoint" => criu::checkpoint(global, args),
        "restore" => criu::restore(global, args),
        other => Err(Error::Invalid(format!("no such command: {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With one word too many or none, each stops before it does anything.
    #[test]
    fn every_flag_of_the_help_is_one_that_its_command_takes() {
        let root = PathBuf::from("/nonexistent");
        let log = Log::open(None, false, false).unwrap();
        let global = Global { root, root_is_given: true, systemd: false, rootless: false, log };
        for command in &help::COMMANDS {
            for words in command.every_flag() {
                let static_command = help::find(command.name).unwrap();
                let error = execute(&global, command, Args::new(static_command, words.clone())).unwrap_err();
                assert!(!error.to_string().contains("not defined"), "{} {words:?}: {error}", command.name);
            }
        }
    }
}
