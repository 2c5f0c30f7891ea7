//! `docker run`: create, attach, wait, start, and the container's exit code as our own.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use wire::client::{Client, ClientError, Query, Response, path_escape};

use super::create;
use crate::context::Context;
use crate::flags::Parsed;
use crate::stream::{self, Attachment, End};
use crate::{Failure, Outcome, print_line, signals, term, warn};

/// A further attempt to set the terminal's size: the container may not have one yet.
const RESIZE_ATTEMPTS: u32 = 10;
const RESIZE_PAUSE: Duration = Duration::from_millis(10);
/// So many requests to end make this program end at once.
const TERMINATIONS: u32 = 3;
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

/// `docker run`.
pub(crate) fn run(context: &Context, parsed: &Parsed) -> Outcome {
    let mut request = create::request(context, parsed, "run")?;
    let config = &mut request.config;
    let detach = parsed.on("detach");
    if detach {
        if parsed.changed("attach") {
            return Err(Failure::new("conflicting options: cannot specify both --attach and --detach"));
        }
        config.attach_stdin = false;
        config.attach_stdout = false;
        config.attach_stderr = false;
        config.stdin_once = false;
    } else {
        check_terminal(config.attach_stdin, config.tty)?;
    }
    let keys = detach_keys(context, parsed);
    let attachment = Attachment {
        stdin: config.attach_stdin,
        stdout: config.attach_stdout,
        stderr: config.attach_stderr,
        tty: config.tty,
        detach_keys: &keys,
    };
    let auto_remove = request.host.auto_remove;
    let id = create::create(context, parsed, request).map_err(|failure| status_failure(&failure.message))?;
    let client = context.client()?;
    if !(attachment.stdin || attachment.stdout || attachment.stderr) {
        // Printed first, as Docker does: a script may wait for the id and not for the start.
        print_line(&id);
        return start(client, &id).map_err(|error| status_failure(&error.to_string()));
    }
    let signals = parsed.on("sig-proxy").then(|| forward_signals(client, &id));
    let streaming = stream::start(attach(client, &id, &attachment)?, &attachment)?;
    let exit = wait_for_exit(client, &id, auto_remove)?;
    // From here on a signal belongs to the container.
    if let Some(ready) = signals {
        ready.wait();
    }
    if let Err(error) = start(client, &id) {
        term::restore();
        if auto_remove {
            let _ = exit.bytes();
        }
        return Err(status_failure(&error.to_string()));
    }
    if attachment.tty && term::stdout_is_terminal() {
        watch_size(client, &format!("/containers/{id}"));
    }
    if streaming.has_output() && streaming.finish()? == End::Detached {
        return Ok(());
    }
    let status = exit_status(exit);
    term::restore();
    if status == 0 { Ok(()) } else { Err(Failure::silent(status)) }
}

/// A terminal in the container needs one here, if there is input.
pub(super) fn check_terminal(stdin: bool, tty: bool) -> Outcome {
    if stdin && tty && !term::stdin_is_terminal() {
        return Err(Failure::new("the input device is not a TTY"));
    }
    Ok(())
}

/// The flag's detach keys, or the user's.
pub(super) fn detach_keys(context: &Context, parsed: &Parsed) -> String {
    match parsed.text("detach-keys") {
        "" => context.config().detach_keys.clone(),
        keys => keys.to_owned(),
    }
}

/// Which exit code a failed start has: that of a shell where the command is missing or cannot be executed.
fn status_failure(message: &str) -> Failure {
    let any = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    let code = if any(&[
        "executable file not found",
        "no such file or directory",
        "system cannot find the file specified",
    ]) {
        127
    } else if any(&["permission denied", "is a directory"]) {
        126
    } else {
        125
    };
    create::with_help(message, "run", code)
}

/// Attaches the streams.
pub(super) fn attach(
    client: &Client,
    id: &str,
    attachment: &Attachment<'_>,
) -> Result<wire::client::Hijacked, Failure> {
    let query = Query::new()
        .with("stream", "1")
        .flag("stdin", attachment.stdin)
        .flag("stdout", attachment.stdout)
        .flag("stderr", attachment.stderr)
        .text("detachKeys", attachment.detach_keys);
    Ok(client.hijack(&format!("/containers/{}/attach", path_escape(id)), &query, None)?)
}

/// Asks for the exit code before the start, so that no exit can be missed. The daemon answers with headers at once
/// and with the body at the exit.
pub(super) fn wait_for_exit(client: &Client, id: &str, removed: bool) -> Result<Response, ClientError> {
    let condition = if removed { "removed" } else { "next-exit" };
    let query = Query::new().with("condition", condition);
    client.send("POST", &format!("/containers/{id}/wait"), &query, &[], wire::client::Payload::Empty)
}

/// Reads the answer to [`wait_for_exit`].
pub(super) fn exit_status(answer: Response) -> i32 {
    let failed = |why: &str| {
        warn(&format!("Error waiting for container: {why}"));
        125
    };
    match answer.json() {
        Ok(answer) => match answer["Error"]["Message"].as_str() {
            Some(message) if !message.is_empty() => failed(message),
            _ => answer["StatusCode"].as_i64().and_then(|code| i32::try_from(code).ok()).unwrap_or(125),
        },
        Err(error) => failed(&error.to_string()),
    }
}

/// Starts a container.
pub(super) fn start(client: &Client, id: &str) -> Result<(), ClientError> {
    client.post(&format!("/containers/{}/start", path_escape(id)), &Query::new(), None).map(drop)
}

/// Passes signals on to the container.
pub(super) fn forward_signals(client: &Arc<Client>, id: &str) -> signals::Ready {
    let (client, path) = (Arc::clone(client), format!("/containers/{}/kill", path_escape(id)));
    let mut terminations = 0;
    signals::forward_all(move |number, name| {
        if number == SIGINT || number == SIGTERM {
            terminations += 1;
            if terminations >= TERMINATIONS {
                warn("\ngot 3 SIGTERM/SIGINTs, forcefully exiting");
                term::restore();
                std::process::exit(1);
            }
        }
        // The container may have ended: then there is nobody to tell.
        let _ = client.post(&path, &Query::new().with("signal", name), None);
    })
}

/// Tells the container (or exec) the terminal's size now and whenever it changes.
pub(super) fn watch_size(client: &Arc<Client>, path: &str) {
    let resize = {
        let (client, path) = (Arc::clone(client), format!("{path}/resize"));
        move || resize_to(&client, &path, term::size())
    };
    let first = resize.clone();
    thread::spawn(move || {
        for attempt in 0..=RESIZE_ATTEMPTS {
            if first() {
                return;
            }
            thread::sleep(RESIZE_PAUSE * (attempt + 1));
        }
        warn("failed to resize tty, using default size");
    });
    let ready = signals::on_resize(move || {
        resize();
    });
    ready.wait();
}

/// Whether it worked; a size of zero is none and is not sent.
pub(super) fn resize_to(client: &Client, path: &str, [height, width]: [u32; 2]) -> bool {
    if height == 0 && width == 0 {
        return true;
    }
    let query = Query::new().with("h", height.to_string()).with("w", width.to_string());
    client.post(path, &query, None).map(|answer: Value| drop(answer)).is_ok()
}
