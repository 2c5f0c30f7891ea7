//! Where credentials of registries are kept: in `config.json`, or by a helper program.
//!
//! A helper is `docker-credential-NAME get|store|erase`, with the registry (or JSON) on its standard input and JSON on
//! its output.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::config::{self, ConfigFile};
use crate::warn;

/// What a helper calls the user of an identity token.
const TOKEN_USER: &str = "<token>";

/// The keeper of one registry's credentials.
pub(crate) struct Keeper<'a> {
    config: &'a ConfigFile,
    path: PathBuf,
    key: &'a str,
    helper: Option<&'a str>,
}

impl<'a> Keeper<'a> {
    /// For the registry `key`: its own helper, the helper of all, or the file in `directory`.
    pub(crate) fn new(config: &'a ConfigFile, directory: &Path, key: &'a str) -> Self {
        let own = config.cred_helpers.get(key).map(String::as_str);
        let helper = own.or(Some(config.creds_store.as_str())).filter(|name| !name.is_empty());
        Self { config, path: directory.join("config.json"), key, helper }
    }

    /// Whether a program keeps them.
    pub(crate) fn has_helper(&self) -> bool {
        self.helper.is_some()
    }

    /// User and secret. A user `<token>` has an identity token.
    pub(crate) fn get(&self) -> Option<(String, String)> {
        let Some(helper) = self.helper else {
            let auth = &self.config.auths.get(self.key)?.auth;
            let text = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
            let (user, secret) = text.split_once(':')?;
            return Some((user.to_owned(), secret.to_owned()));
        };
        let answer = run(helper, "get", self.key.as_bytes()).ok()?;
        let answer: Value = serde_json::from_slice(&answer).ok()?;
        Some((answer["Username"].as_str()?.to_owned(), answer["Secret"].as_str()?.to_owned()))
    }

    /// Keeps them.
    pub(crate) fn store(&self, user: &str, password: &str, token: &str) -> Result<(), String> {
        if let Some(helper) = self.helper {
            let (user, secret) = if token.is_empty() { (user, password) } else { (TOKEN_USER, token) };
            let body = json!({ "ServerURL": self.key, "Username": user, "Secret": secret });
            return run(helper, "store", body.to_string().as_bytes()).map(drop);
        }
        self.change(|auths| {
            let password = if token.is_empty() { password } else { "" };
            let mut entry = json!({ "auth": STANDARD.encode(format!("{user}:{password}")) });
            if !token.is_empty() {
                entry["identitytoken"] = json!(token);
            }
            auths.insert(self.key.to_owned(), entry);
        })?;
        warn(&format!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential helper to remove this \
             warning. See\nhttps://docs.docker.com/go/credential-store/\n",
            self.path.display()
        ));
        Ok(())
    }

    /// Forgets them.
    pub(crate) fn erase(&self) -> Result<(), String> {
        if let Some(helper) = self.helper {
            return run(helper, "erase", self.key.as_bytes()).map(drop);
        }
        if !self.path.exists() {
            return Ok(());
        }
        self.change(|auths| {
            auths.shift_remove(self.key);
        })
    }

    fn change(&self, change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Result<(), String> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        config::edit(directory, |map| {
            let auths = map.entry("auths").or_insert_with(|| json!({}));
            if !auths.is_object() {
                *auths = json!({});
            }
            if let Some(auths) = auths.as_object_mut() {
                change(auths);
            }
        })
    }
}

fn run(helper: &str, verb: &str, input: &[u8]) -> Result<Vec<u8>, String> {
    let program = format!("docker-credential-{helper}");
    let failed = |why: String| format!("error getting credentials - err: {why}");
    let mut command = Command::new(&program);
    command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command
        .spawn()
        .map_err(|error| failed(format!("exec: \"{program}\": {}", crate::os_error(&error))))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read says so by its status.
        let _unread = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(|error| failed(crate::os_error(&error)))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Err(failed(format!("exit status {}, out: `{said}`", output.status.code().unwrap_or(-1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_keeps_what_else_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, r#"{"psFormat":"x","auths":{"other":{"auth":"b"}}}"#).unwrap();
        let config = ConfigFile::load(folder.path());
        Keeper::new(&config, folder.path(), "host:5000").store("me", "secret", "").unwrap();
        let config = ConfigFile::load(folder.path());
        let keeper = Keeper::new(&config, folder.path(), "host:5000");
        assert_eq!(keeper.get(), Some(("me".to_owned(), "secret".to_owned())));
        keeper.erase().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "{\n\t\"psFormat\": \"x\",\n\t\"auths\": {\n\t\t\"other\": {\n\t\t\t\"auth\": \"b\"\n\t\t}\n\t}\n}"
        );
    }
}
