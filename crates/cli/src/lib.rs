//! The Docker-compatible command line.
//!
//! ```text
//! main -> flags (root table) -> commands (a tree of tables) -> one function per command
//!                                   | opts: the languages of options     | wire::client: requests
//!                                   | stream, signals, term: attach       | template, format: output
//! ```
//! | Word | Meaning |
//! |---|---|
//! | [`flags::Command`] | a node of the tree: its table of flags serves parsing, `--help` and completion |
//! | [`context::Context`] | what every command may need: configuration and client, each made on first use |
//! | [`Failure`] | what is printed and the exit code |
//!
//! Invariant: what users and scripts read (tables, messages, exit codes) is Docker's, to the letter, and the program
//! calls itself `docker` in it. A command does no more than translate: decisions about containers are the daemon's.
//!
//! Everything is blocking. A command that attaches has threads for input, for signals and for waiting; all others have
//! one thread, so that the program is up in about a millisecond.

mod commands;
mod config;
mod context;
mod contexts;
mod copy;
mod credentials;
mod flags;
mod format;
mod manifests;
mod opts;
mod plugins;
mod progress;
mod signals;
mod status;
mod stream;
mod tables;
mod template;
mod term;

pub use credentials::credential_main;
pub use status::{Support, support};

use std::ffi::OsString;
use std::io::{self, Write};

use context::Context;
use flags::{Action, Args, Command, FlagError, Parsed};
use wire::client::ClientError;

/// The version of Docker whose behaviour this command line has.
pub(crate) const DOCKER_VERSION: &str = "28.5.2";

/// What `--log-level` takes. This client says everything or fails, so that nothing depends on it.
const LOG_LEVELS: [&str; 9] = ["", "panic", "fatal", "error", "warn", "warning", "info", "debug", "trace"];

/// Why a command did not succeed: what is printed on standard error, if anything, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) code: i32,
}

/// What commands return.
pub(crate) type Outcome = Result<(), Failure>;

impl Failure {
    /// A message and exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// Nothing but an exit code.
    pub(crate) fn silent(code: i32) -> Self {
        Self { message: String::new(), code }
    }

    /// Nothing when there are no messages, else all of them.
    pub(crate) fn join(messages: Vec<String>) -> Outcome {
        if messages.is_empty() { Ok(()) } else { Err(Self::new(messages.join("\n"))) }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

/// An error of the operating system in Go's words: `no such file or directory`.
pub(crate) fn os_error(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// Writes to standard output. A reader that is gone ends the program like a tool in a pipe.
pub(crate) fn print(text: &str) {
    if let Err(error) = io::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        let code = if error.kind() == io::ErrorKind::BrokenPipe { 141 } else { 1 };
        std::process::exit(code);
    }
}

/// Writes a line to standard output.
pub(crate) fn print_line(text: &str) {
    print(&format!("{text}\n"));
}

/// Writes a line to standard error; there is nowhere to report that this failed.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Runs a whole command line, `args[0]` being the program's name, and returns the exit code.
pub fn main(args: Vec<OsString>) -> i32 {
    let words: Vec<String> =
        args.into_iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    match run(&words) {
        Ok(()) => 0,
        Err(failure) => {
            if !failure.message.is_empty() {
                warn(&failure.message);
            }
            failure.code
        }
    }
}

fn run(words: &[String]) -> Outcome {
    let root = &commands::ROOT;
    let globals = parse_flags("docker", root, words)?;
    if let [_, second, ..] = globals.list("host").as_slice() {
        let error = FlagError::Invalid {
            value: second.clone(),
            flag: "-H, --host".to_owned(),
            why: "specify only one -H".to_owned(),
        };
        return Err(flag_failure("docker", root, &error));
    }
    if globals.on("version") {
        print_line(&format!("Docker version {DOCKER_VERSION}, build wharf-{}", env!("CARGO_PKG_VERSION")));
        return Ok(());
    }
    let level = globals.text("log-level");
    if !LOG_LEVELS.contains(&level.to_lowercase().as_str()) {
        return Err(Failure::new(format!("Unable to parse logging level: {level}")));
    }
    let (all, wants_help) = (globals.args.clone(), globals.help);
    let context = Context::new(globals);
    let mut rest: &[String] = &all;
    if rest.first().is_some_and(|word| word == "help") && !wants_help {
        return help_about(&context, words, &rest[1..]);
    }
    let mut command: &Command = root;
    let mut path = String::from("docker");
    // Flags of a management command may only be --help, so words are taken until a command that runs is found.
    while let Action::Group(children) = command.action {
        let Some(word) = rest.first() else { break };
        let Some(child) = children.iter().find(|child| child.answers_to(word)) else { break };
        command = child;
        path = format!("{path} {}", child.name);
        rest = &rest[1..];
    }
    if path == "docker"
        && let Some(plugin) = rest.first().and_then(|word| plugins::find(&context, word))
    {
        return plugins::run(&context, &plugin, words);
    }
    if wants_help {
        print(&help(&context, &path, command));
        return Ok(());
    }
    let parsed = if path == "docker" { Parsed::of_args(rest) } else { parse_flags(&path, command, rest)? };
    if parsed.help {
        print(&help(&context, &path, command));
        return Ok(());
    }
    let foreign = command.all_flags().filter(|flag| flag.windows && parsed.changed(flag.name)).map(|flag| {
        format!(
            "\"--{}\" is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux",
            flag.name
        )
    });
    Failure::join(foreign.collect())?;
    match command.action {
        Action::Run(action) => {
            check_args(&path, command, &parsed.args)?;
            action(&context, &parsed)
        }
        Action::Group(_) => unknown_command(&context, &path, command, &parsed.args),
    }
}

fn parse_flags(path: &str, command: &Command, words: &[String]) -> Result<Parsed, Failure> {
    let parsed = flags::parse(command, words).map_err(|error| flag_failure(path, command, &error))?;
    for warning in &parsed.warnings {
        warn(warning);
    }
    Ok(parsed)
}

fn use_line(path: &str, command: &Command) -> String {
    flags::use_line(path, command)
}

fn flag_failure(path: &str, command: &Command, error: &FlagError) -> Failure {
    let usage = use_line(path, command);
    let message = format!("{error}\n\nUsage:  {usage}\n\nRun '{path} --help' for more information");
    Failure { message, code: 125 }
}

/// `PATH --help`. The root's names the plugins too.
fn help(context: &Context, path: &str, command: &Command) -> String {
    let plugins = if path == "docker" { plugins::list(context) } else { Vec::new() };
    let shown = plugins.into_iter().filter(|plugin| !plugin.metadata.hidden);
    let rows: Vec<_> = shown.map(|plugin| (plugin.name, plugin.metadata.short_description)).collect();
    flags::help_text(path, command, flags::wrap_width(), &rows)
}

fn help_about(context: &Context, words: &[String], about: &[String]) -> Outcome {
    let mut command: &Command = &commands::ROOT;
    let mut path = String::from("docker");
    if let Some(plugin) = about.first().and_then(|word| plugins::find(context, word)) {
        return plugins::run(context, &plugin, words);
    }
    for word in about {
        let Some(child) = command.children().iter().find(|child| child.answers_to(word)) else {
            return Err(Failure::new(format!("unknown help topic: {}", about.join(" "))));
        };
        command = child;
        path = format!("{path} {}", child.name);
    }
    print(&help(context, &path, command));
    Ok(())
}

/// A management command without a command below it: help, or a complaint about the word.
fn unknown_command(context: &Context, path: &str, command: &Command, args: &[String]) -> Outcome {
    let wants_help = path == "docker" && args.iter().any(|word| word == "--help");
    let Some(word) = args.first().filter(|_| !wants_help) else {
        // Experimental ones leave a line free first.
        let before = if command.experimental { "\n" } else { "" };
        let text = format!("{before}{}", help(context, path, command));
        let _ = io::stderr().lock().write_all(text.as_bytes());
        return Ok(());
    };
    if let Some(area) = commands::not_yet(path, word) {
        return Err(Failure::new(format!("docker: '{path} {word}' is not implemented: {area}")));
    }
    let hint = format!("Run '{path} --help' for more information");
    Err(Failure::new(match path {
        "docker" => format!("docker: unknown command: docker {word}\n\n{hint}"),
        _ => {
            format!("docker: unknown command: {path} {word}\n\nUsage:  {}\n\n{hint}", use_line(path, command))
        }
    }))
}

fn check_args(path: &str, command: &Command, args: &[String]) -> Outcome {
    let plural = |count: usize| if count == 1 { "argument" } else { "arguments" };
    let count = args.len();
    let (wrong, see) = match command.args {
        Args::Exactly(0) if count > 0 => ("accepts no arguments".to_owned(), "Run"),
        Args::Exactly(wanted) if count != wanted => (format!("requires {wanted} {}", plural(wanted)), "Run"),
        Args::AtLeast(least) if count < least => {
            (format!("requires at least {least} {}", plural(least)), "See")
        }
        Args::AtMost(most) if count > most => (format!("requires at most {most} {}", plural(most)), "SRun"),
        Args::Between(least, most) if !(least..=most).contains(&count) => {
            (format!("requires at least {least} and at most {most} {}", plural(most)), "Run")
        }
        _ => return Ok(()),
    };
    let usage = use_line(path, command);
    Err(Failure::new(format!(
        "docker: '{path}' {wrong}\n\nUsage:  {usage}\n\n{see} '{path} --help' for more information"
    )))
}
