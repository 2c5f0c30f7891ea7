//! `docker exec`.

use serde_json::{Value, json};
use wire::client::{Query, path_escape};

use super::run;
use crate::context::Context;
use crate::flags::Parsed;
use crate::opts::env;
use crate::stream::{self, Attachment, End};
use crate::{Failure, Outcome, term};

/// `docker exec`.
pub(crate) fn run(context: &Context, parsed: &Parsed) -> Outcome {
    let client = context.client()?;
    let (detach, tty) = (parsed.on("detach"), parsed.on("tty"));
    let stdin = !detach && parsed.on("interactive");
    let keys = run::detach_keys(context, parsed);
    let variables =
        env::read_pairs(&parsed.list("env-file"), parsed.list("env"), env::Bare::FromEnvironment)?;
    // Asked first, so that a missing container is reported before a missing terminal, and no exec is left behind.
    let path = format!("/containers/{}", path_escape(&parsed.args[0]));
    client.get(&format!("{path}/json"), &Query::new())?;
    if !detach {
        run::check_terminal(stdin, tty)?;
    }

    let mut body = json!({
        "User": parsed.text("user"),
        "Privileged": parsed.on("privileged"),
        "Tty": tty,
        "AttachStdin": stdin,
        "AttachStderr": !detach,
        "AttachStdout": !detach,
        "DetachKeys": keys,
        "Env": if variables.is_empty() { Value::Null } else { json!(variables) },
        "WorkingDir": parsed.text("workdir"),
        "Cmd": &parsed.args[1..],
    });
    if tty {
        body["ConsoleSize"] = json!(term::size());
    }
    let answer = client.post(&format!("{path}/exec"), &Query::new(), Some(&body))?;
    let id = answer["Id"].as_str().unwrap_or_default();
    if id.is_empty() {
        return Err(Failure::new("exec ID empty"));
    }
    let mut start = json!({ "Detach": detach, "Tty": tty });
    if tty {
        start["ConsoleSize"] = body["ConsoleSize"].clone();
    }
    let start_path = format!("/exec/{id}/start");
    if detach {
        client.post(&start_path, &Query::new(), Some(&start))?;
        return Ok(());
    }
    let hijacked = client.hijack(&start_path, &Query::new(), Some(&start))?;
    let attachment = Attachment { stdin, stdout: true, stderr: true, tty, detach_keys: &keys };
    let streaming = stream::start(hijacked, &attachment)?;
    if tty && term::stdin_is_terminal() {
        run::watch_size(client, &format!("/exec/{id}"));
    }
    if streaming.finish()? == End::Detached {
        return Err(Failure::new("read escape sequence"));
    }
    let result = client.get(&format!("/exec/{id}/json"), &Query::new());
    match result {
        Ok(exec) => match exec["ExitCode"].as_i64().unwrap_or(0) {
            0 => Ok(()),
            code => Err(Failure::silent(i32::try_from(code).unwrap_or(1))),
        },
        // Go's exit status -1.
        Err(error) if error.is_connect() => Err(Failure::silent(255)),
        Err(error) => Err(error.into()),
    }
}
