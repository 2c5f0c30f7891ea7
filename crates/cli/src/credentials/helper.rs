//! The protocol of credential helpers (docker-credential-helpers): a verb as argument, a server or JSON on standard input,
//! JSON or an error's words on standard output. Both sides: programs that we call, and `docker-credential-wharf`, which
//! other clients call.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::Credential;
use super::vault::Vault;
use crate::{config, os_error};

/// What every helper says when it has no credentials for a server.
const NOT_FOUND: &str = "credentials not found in native keychain";
const USAGE: &str = "Usage: docker-credential-wharf <store|get|erase|list|version>";
/// A server's name and a secret are shorter.
const INPUT_MAX: u64 = 1 << 20;

/// Asks a helper for the credentials of a server.
pub(super) fn get(helper: &str, server: &str) -> Result<Option<Credential>, String> {
    match run(helper, "get", server.as_bytes()) {
        Err(said) if said.trim() == NOT_FOUND => Ok(None),
        Err(said) => Err(format!("error getting credentials - err: {said}")),
        Ok(answer) => {
            let answer: Value = serde_json::from_slice(&answer)
                .map_err(|error| format!("error getting credentials - err: {error}"))?;
            let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
            Ok(Some(Credential { user: text("Username"), secret: text("Secret") }))
        }
    }
}

/// Gives a helper credentials to keep.
pub(super) fn store(helper: &str, server: &str, credential: &Credential) -> Result<(), String> {
    let body = json!({ "ServerURL": server, "Username": credential.user, "Secret": credential.secret });
    run(helper, "store", body.to_string().as_bytes())
        .map(drop)
        .map_err(|said| format!("error storing credentials - err: {said}"))
}

/// Has a helper forget a server.
pub(super) fn erase(helper: &str, server: &str) -> Result<(), String> {
    run(helper, "erase", server.as_bytes())
        .map(drop)
        .map_err(|said| format!("error erasing credentials - err: {said}"))
}

/// The error is what the helper said, as Docker shows it.
fn run(helper: &str, verb: &str, input: &[u8]) -> Result<Vec<u8>, String> {
    let program = format!("docker-credential-{helper}");
    let mut command = Command::new(&program);
    command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            format!("exec: \"{program}\": executable file not found in $PATH, out: ``")
        }
        _ => format!("exec: \"{program}\": {}, out: ``", os_error(&error)),
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read says so by its status.
        let _unread = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(|error| os_error(&error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if said == NOT_FOUND {
        return Err(said);
    }
    Err(format!("exit status {}, out: `{said}`", output.status.code().unwrap_or(-1)))
}

/// `docker-credential-wharf VERB`, or `wharf credential VERB`; returns the exit code.
pub fn credential_main(arguments: &[std::ffi::OsString]) -> i32 {
    let vault = Vault::new(&config::directory(""));
    let verb = match arguments {
        [verb] => verb.to_string_lossy().into_owned(),
        _ => {
            crate::print_line(USAGE);
            return 1;
        }
    };
    match answer(&vault, &verb, &mut io::stdin().lock()) {
        Ok(text) => {
            crate::print(&text);
            0
        }
        Err(message) => {
            crate::print_line(&message);
            1
        }
    }
}

/// What a verb prints.
fn answer(vault: &Vault, verb: &str, input: &mut dyn io::Read) -> Result<String, String> {
    let mut read = || {
        let mut text = String::new();
        input.take(INPUT_MAX).read_to_string(&mut text).map_err(|error| os_error(&error))?;
        Ok::<String, String>(text.trim().to_owned())
    };
    let needs = |value: &str, what: &str| match value {
        "" => Err(format!("no credentials {what}")),
        value => Ok(value.to_owned()),
    };
    match verb {
        "store" => {
            let body: Value = serde_json::from_str(&read()?).map_err(|error| error.to_string())?;
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            let server = needs(&text("ServerURL"), "server URL")?;
            let user = needs(&text("Username"), "username")?;
            vault.store(&server, &Credential { user, secret: text("Secret") })?;
            Ok(String::new())
        }
        "get" => {
            let server = needs(&read()?, "server URL")?;
            let found = vault.get(&server)?.ok_or_else(|| NOT_FOUND.to_owned())?;
            let body = json!({ "ServerURL": server, "Username": found.user, "Secret": found.secret });
            Ok(format!("{body}\n"))
        }
        "erase" => {
            let server = needs(&read()?, "server URL")?;
            match vault.erase(&server)? {
                true => Ok(String::new()),
                false => Err(NOT_FOUND.to_owned()),
            }
        }
        "list" => {
            let all: BTreeMap<String, String> = vault.list()?;
            Ok(format!("{}\n", json!(all)))
        }
        "version" => Ok(format!("docker-credential-wharf v{}\n", env!("CARGO_PKG_VERSION"))),
        "--help" | "-h" => Ok(format!("{USAGE}\n")),
        other => Err(format!("docker-credential-wharf: unknown action: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_helper_answers_as_dockers_do() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::new(folder.path());
        let body = r#"{"ServerURL":"https://x/v1/","Username":"me","Secret":"s3"}"#;
        for (verb, input, want) in [
            ("get", "https://x/v1/\n", Err(NOT_FOUND)),
            ("store", body, Ok("")),
            (
                "get",
                "https://x/v1/\n",
                Ok("{\"ServerURL\":\"https://x/v1/\",\"Username\":\"me\",\"Secret\":\"s3\"}\n"),
            ),
            ("list", "", Ok("{\"https://x/v1/\":\"me\"}\n")),
            ("erase", "https://x/v1/", Ok("")),
            ("erase", "https://x/v1/", Err(NOT_FOUND)),
            ("get", "", Err("no credentials server URL")),
            ("store", r#"{"ServerURL":"x"}"#, Err("no credentials username")),
            ("nosuch", "", Err("docker-credential-wharf: unknown action: nosuch")),
        ] {
            let got = answer(&vault, verb, &mut input.as_bytes());
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{verb} {input}");
        }
    }
}
