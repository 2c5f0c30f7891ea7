//! Commands that do one thing to each of several containers: `stop kill restart pause unpause rm wait rename`, `start`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use wire::client::{Client, ClientError, Payload, Query, path_escape};

use super::run;
use crate::context::Context;
use crate::flags::Parsed;
use crate::stream::{self, Attachment, End};
use crate::{Failure, Outcome, print_line, term, warn};

/// Requests under way at once.
const PARALLEL: usize = 50;

/// What became of one container.
type Done = Result<(), ClientError>;

/// Does `action` to each container, many at once, and reports in the order in which they were given: the name on
/// standard output, or the error at the end.
fn each(context: &Context, names: &[String], action: impl Fn(&Client, &str) -> Done + Sync) -> Outcome {
    each_with(context, names, action, |_| false)
}

/// The same, where errors for which `harmless` holds are told but do not count.
fn each_with(
    context: &Context,
    names: &[String],
    action: impl Fn(&Client, &str) -> Done + Sync,
    harmless: impl Fn(&ClientError) -> bool,
) -> Outcome {
    let client = context.client()?.as_ref();
    let mut errors = Vec::new();
    let mut report = |name: &str, result: Done| match result {
        Ok(()) => print_line(name),
        Err(error) if harmless(&error) => warn(&error.to_string()),
        Err(error) => errors.push(error.to_string()),
    };
    if let [name] = names {
        report(name, action(client, name));
        return Failure::join(errors);
    }
    // The version is agreed on once, not by each thread.
    if let Err(error) = client.version() {
        return Err(error.into());
    }
    let results: Vec<Mutex<Option<Done>>> = names.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..names.len().min(PARALLEL) {
            scope.spawn(|| {
                while let Some((name, slot)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    names.get(index).zip(results.get(index))
                } {
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(action(client, name));
                }
            });
        }
    });
    for (name, slot) in names.iter().zip(results) {
        if let Some(result) = slot.into_inner().unwrap_or_else(PoisonError::into_inner) {
            report(name, result);
        }
    }
    Failure::join(errors)
}

fn post(client: &Client, name: &str, verb: &str, query: &Query) -> Done {
    client.post(&format!("/containers/{}/{verb}", path_escape(name)), query, None).map(drop)
}

/// `--signal` and `--timeout` of `stop` and `restart`.
fn stop_query(parsed: &Parsed) -> Result<Query, Failure> {
    if parsed.given("time") && parsed.given("timeout") {
        return Err("conflicting options: cannot specify both --timeout and --time".into());
    }
    let query = Query::new().text("signal", parsed.text("signal"));
    Ok(if parsed.changed("timeout") { query.with("t", parsed.int("timeout").to_string()) } else { query })
}

/// `docker stop`.
pub(crate) fn stop(context: &Context, parsed: &Parsed) -> Outcome {
    let query = stop_query(parsed)?;
    each(context, &parsed.args, |client, name| post(client, name, "stop", &query))
}

/// `docker restart`.
pub(crate) fn restart(context: &Context, parsed: &Parsed) -> Outcome {
    let query = stop_query(parsed)?;
    each(context, &parsed.args, |client, name| post(client, name, "restart", &query))
}

/// `docker kill`.
pub(crate) fn kill(context: &Context, parsed: &Parsed) -> Outcome {
    let query = Query::new().text("signal", parsed.text("signal"));
    each(context, &parsed.args, |client, name| post(client, name, "kill", &query))
}

/// `docker pause`.
pub(crate) fn pause(context: &Context, parsed: &Parsed) -> Outcome {
    each(context, &parsed.args, |client, name| post(client, name, "pause", &Query::new()))
}

/// `docker unpause`.
pub(crate) fn unpause(context: &Context, parsed: &Parsed) -> Outcome {
    each(context, &parsed.args, |client, name| post(client, name, "unpause", &Query::new()))
}

/// `docker rm`.
pub(crate) fn rm(context: &Context, parsed: &Parsed) -> Outcome {
    let force = parsed.on("force");
    let query =
        Query::new().flag("v", parsed.on("volumes")).flag("link", parsed.on("link")).flag("force", force);
    each_with(
        context,
        &parsed.args,
        |client, name| match name.trim_matches('/') {
            "" => Err(ClientError::Protocol("container name cannot be empty".to_owned())),
            name => client.delete(&format!("/containers/{}", path_escape(name)), &query).map(drop),
        },
        |error| force && error.is_not_found(),
    )
}

/// `docker wait`.
pub(crate) fn wait(context: &Context, parsed: &Parsed) -> Outcome {
    let client = context.client()?;
    let mut errors = Vec::new();
    for name in &parsed.args {
        match client.post(&format!("/containers/{}/wait", path_escape(name)), &Query::new(), None) {
            Ok(answer) => print_line(&answer["StatusCode"].as_i64().unwrap_or(0).to_string()),
            Err(error) => errors.push(error.to_string()),
        }
    }
    Failure::join(errors)
}

/// `docker rename`.
pub(crate) fn rename(context: &Context, parsed: &Parsed) -> Outcome {
    let [old, new] = [parsed.args[0].trim(), parsed.args[1].trim()];
    if old.is_empty() || new.is_empty() {
        return Err(Failure::new("Error: Neither old nor new names may be empty"));
    }
    let query = Query::new().with("name", new);
    post(context.client()?, old, "rename", &query).map_err(|error| {
        warn(&error.to_string());
        Failure::new(format!("Error: failed to rename container named {old}"))
    })
}

/// `docker start`.
pub(crate) fn start(context: &Context, parsed: &Parsed) -> Outcome {
    if parsed.on("attach") || parsed.on("interactive") {
        return start_attached(context, parsed);
    }
    let client = context.client()?;
    let mut failed = Vec::new();
    for name in &parsed.args {
        match run::start(client, name) {
            Ok(()) => print_line(name),
            Err(error) => {
                warn(&error.to_string());
                failed.push(name.as_str());
            }
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(format!("Error: failed to start containers: {}", failed.join(", ")))),
    }
}

fn start_attached(context: &Context, parsed: &Parsed) -> Outcome {
    let [name] = parsed.args.as_slice() else {
        return Err(Failure::new("you cannot start and attach multiple containers at once"));
    };
    let client = context.client()?;
    let container = client.get(&format!("/containers/{}/json", path_escape(name)), &Query::new())?;
    let id = container["Id"].as_str().unwrap_or(name).to_owned();
    let tty = container["Config"]["Tty"] == true;
    let signals = (!tty).then(|| run::forward_signals(client, &id));
    let keys = run::detach_keys(context, parsed);
    let attachment = Attachment {
        stdin: parsed.on("interactive") && container["Config"]["OpenStdin"] == true,
        stdout: true,
        stderr: true,
        tty,
        detach_keys: &keys,
    };
    let auto_remove = container["HostConfig"]["AutoRemove"] == true;
    let streaming = stream::start(run::attach(client, &id, &attachment)?, &attachment)?;
    let exit = run::wait_for_exit(client, &id, auto_remove)?;
    if let Some(ready) = signals {
        ready.wait();
    }
    if let Err(error) = run::start(client, &id) {
        term::restore();
        if auto_remove {
            let _ = exit.bytes();
        }
        return Err(error.into());
    }
    if tty && term::stdout_is_terminal() {
        run::watch_size(client, &format!("/containers/{id}"));
    }
    if streaming.finish()? == End::Detached {
        return Ok(());
    }
    match run::exit_status(exit) {
        0 => Ok(()),
        code => Err(Failure::silent(code)),
    }
}

/// `docker attach`.
pub(crate) fn attach(context: &Context, parsed: &Parsed) -> Outcome {
    let client = context.client()?;
    let name = &parsed.args[0];
    let path = format!("/containers/{}", path_escape(name));
    let exit = client.send("POST", &format!("{path}/wait"), &Query::new(), &[], Payload::Empty);
    let container = attachable(client, &path)?;
    let tty = container["Config"]["Tty"] == true;
    run::check_terminal(!parsed.on("no-stdin"), tty)?;
    if parsed.on("sig-proxy") && !tty {
        run::forward_signals(client, name).wait();
    }
    let keys = run::detach_keys(context, parsed);
    let attachment = Attachment {
        stdin: !parsed.on("no-stdin") && container["Config"]["OpenStdin"] == true,
        stdout: true,
        stderr: true,
        tty,
        detach_keys: &keys,
    };
    let hijacked = run::attach(client, name, &attachment)?;
    // It may have ended in the meantime, and then nothing would ever come.
    attachable(client, &path)?;
    if tty && term::stdout_is_terminal() {
        // A shell shows its prompt again only when the size changes.
        let [height, width] = term::size();
        run::resize_to(client, &format!("{path}/resize"), [height + 1, width + 1]);
        run::watch_size(client, &path);
    }
    if stream::start(hijacked, &attachment)?.finish()? == End::Detached {
        return Err(Failure::new("read escape sequence"));
    }
    let answer = exit?.json()?;
    match (answer["Error"]["Message"].as_str(), answer["StatusCode"].as_i64().unwrap_or(0)) {
        (Some(message), _) if !message.is_empty() => Err(Failure::new(message)),
        (_, 0) => Ok(()),
        (_, code) => Err(Failure::silent(i32::try_from(code).unwrap_or(1))),
    }
}

fn attachable(client: &Client, path: &str) -> Result<serde_json::Value, Failure> {
    let container = client.get(&format!("{path}/json"), &Query::new())?;
    let state = &container["State"];
    let refused = |what: &str| Err(Failure::new(format!("You cannot attach to a {what}")));
    if state["Running"] != true {
        return refused("stopped container, start it first");
    }
    if state["Paused"] == true {
        return refused("paused container, unpause it first");
    }
    if state["Restarting"] == true {
        return refused("restarting container, wait until it is running");
    }
    Ok(container)
}
