//! Where credentials of registries are kept: by a helper program that `config.json` names, in that file, or, when it says
//! nothing, in our own [`vault`], encrypted.

mod helper;
mod vault;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::config::{self, Auth, ConfigFile};

pub use helper::credential_main;
use vault::Vault;

/// What a helper calls the user of an identity token.
const TOKEN_USER: &str = "<token>";
/// Credentials for one command, in the form of `config.json`. They come before all others.
pub(crate) const ENVIRONMENT: &str = "DOCKER_AUTH_CONFIG";
/// Our own helper's name in `config.json`.
const OURS: &str = "wharf";

/// A user and a secret; a user `<token>` has an identity token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(crate) user: String,
    pub(crate) secret: String,
}

impl Credential {
    /// User, password and identity token.
    pub(crate) fn parts(&self) -> (&str, &str, &str) {
        match self.user.as_str() {
            TOKEN_USER => ("", "", &self.secret),
            user => (user, &self.secret, ""),
        }
    }
}

/// Who keeps a registry's credentials.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    /// A program.
    Helper(&'a str),
    /// Our own vault, because it is named or because nothing is.
    Vault,
}

/// The keeper of one registry's credentials.
pub(crate) struct Keeper<'a> {
    config: &'a ConfigFile,
    directory: PathBuf,
    key: &'a str,
    place: Place<'a>,
}

impl<'a> Keeper<'a> {
    /// For the registry `key`: its own helper, the helper of all, or our vault in `directory`.
    pub(crate) fn new(config: &'a ConfigFile, directory: &Path, key: &'a str) -> Self {
        let own = config.cred_helpers.get(key).map(String::as_str);
        let place = match own.unwrap_or(&config.creds_store) {
            "" | OURS => Place::Vault,
            name => Place::Helper(name),
        };
        Self { config, directory: directory.to_owned(), key, place }
    }

    /// The credentials, if there are any: of a helper, or of the file that another client wrote, or of our vault.
    pub(crate) fn get(&self) -> Result<Option<Credential>, String> {
        if let Some(found) = self.in_environment() {
            return Ok(Some(found));
        }
        match self.place {
            Place::Helper(name) => helper::get(name, self.key),
            Place::Vault => match self.in_file(self.config) {
                Some(found) => Ok(Some(found)),
                None => Vault::new(&self.directory).get(self.key),
            },
        }
    }

    /// What `DOCKER_AUTH_CONFIG` says, in the form of the file.
    fn in_environment(&self) -> Option<Credential> {
        let text = std::env::var(ENVIRONMENT).ok().filter(|text| !text.is_empty())?;
        let config: ConfigFile = serde_json::from_str(&text).ok()?;
        self.in_file(&config)
    }

    fn in_file(&self, config: &ConfigFile) -> Option<Credential> {
        let auths = &config.auths;
        let same = |(key, _): &(&String, &Auth)| bare(key) == bare(self.key);
        let auth = auths.get(self.key).or_else(|| auths.iter().find(same).map(|(_, auth)| auth))?;
        if !auth.identity_token.is_empty() {
            return Some(Credential { user: TOKEN_USER.to_owned(), secret: auth.identity_token.clone() });
        }
        let text = STANDARD
            .decode(&auth.auth)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_default();
        let (user, secret) = text.split_once(':').unwrap_or((&auth.username, &auth.password));
        let found = Credential { user: user.to_owned(), secret: secret.trim_end_matches('\0').to_owned() };
        (!found.user.is_empty()).then_some(found)
    }

    /// Keeps them.
    pub(crate) fn store(&self, user: &str, password: &str, token: &str) -> Result<(), String> {
        let (user, secret) = if token.is_empty() { (user, password) } else { (TOKEN_USER, token) };
        let credential = Credential { user: user.to_owned(), secret: secret.to_owned() };
        match self.place {
            Place::Helper(name) => helper::store(name, self.key, &credential)?,
            Place::Vault => Vault::new(&self.directory).store(self.key, &credential)?,
        }
        // That there is an account, and for our vault also where, so that Docker's client finds it too.
        let tells_docker =
            self.place == Place::Vault && self.config.creds_store.is_empty() && helper_is_installed();
        self.change(|map| {
            section(map, "auths", |auths| drop(auths.insert(self.key.to_owned(), json!({}))));
            if tells_docker {
                section(map, "credHelpers", |helpers| drop(helpers.insert(self.key.to_owned(), OURS.into())));
            }
        })
    }

    /// Forgets them.
    pub(crate) fn erase(&self) -> Result<(), String> {
        let erased = match self.place {
            Place::Helper(name) => helper::erase(name, self.key),
            Place::Vault => Vault::new(&self.directory).erase(self.key).map(drop),
        };
        if self.directory.join("config.json").exists() {
            self.change(|map| {
                section(map, "auths", |auths| drop(auths.shift_remove(self.key)));
                if map.get("credHelpers").is_some_and(|helpers| helpers[self.key] == OURS) {
                    section(map, "credHelpers", |helpers| drop(helpers.shift_remove(self.key)));
                }
                if map.get("credHelpers") == Some(&json!({})) {
                    map.shift_remove("credHelpers");
                }
            })?;
        }
        erased
    }

    fn change(&self, change: impl FnOnce(&mut Map<String, Value>)) -> Result<(), String> {
        config::edit(&self.directory, change)
    }
}

/// Whether other clients can call our helper.
fn helper_is_installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join("docker-credential-wharf").is_file())
}

/// Changes an object in an object; it is made when it is not there.
fn section(map: &mut Map<String, Value>, name: &str, change: impl FnOnce(&mut Map<String, Value>)) {
    let value = map.entry(name).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    if let Value::Object(object) = value {
        change(object);
    }
}

/// A registry's name without protocol and path: older clients kept those too.
fn bare(key: &str) -> &str {
    let key = key.trim_start_matches("https://").trim_start_matches("http://");
    key.split('/').next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_keeps_what_else_it_says_and_no_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, r#"{"psFormat":"x","auths":{"other":{"auth":"dTpw"}}}"#).unwrap();
        let config = ConfigFile::load(folder.path());
        Keeper::new(&config, folder.path(), "host:5000").store("me", "secret", "").unwrap();
        let config = ConfigFile::load(folder.path());
        let keeper = Keeper::new(&config, folder.path(), "host:5000");
        let found = keeper.get().unwrap().unwrap();
        assert_eq!(found.parts(), ("me", "secret", ""));
        let other = Keeper::new(&config, folder.path(), "other").get().unwrap().unwrap();
        assert_eq!(other.parts(), ("u", "p", ""), "what another client wrote is read");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"psFormat\": \"x\"") && text.contains("\"host:5000\": {}"), "{text}");
        keeper.erase().unwrap();
        assert!(Keeper::new(&config, folder.path(), "host:5000").get().unwrap().is_none());
        keeper.store("me", "", "token").unwrap();
        assert_eq!(keeper.get().unwrap().unwrap().parts(), ("", "", "token"));
    }
}
