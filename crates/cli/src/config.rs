//! `config.json` of Docker's client, and the contexts beside it.

use std::collections::BTreeMap;
use std::env;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

/// What the user has set once for all commands. Unknown keys are other versions' and stay theirs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ConfigFile {
    /// Headers of every request.
    #[serde(rename = "HttpHeaders")]
    pub(crate) http_headers: BTreeMap<String, String>,
    pub(crate) ps_format: String,
    pub(crate) images_format: String,
    pub(crate) networks_format: String,
    pub(crate) volumes_format: String,
    pub(crate) stats_format: String,
    pub(crate) detach_keys: String,
    pub(crate) current_context: String,
    /// Registry to credentials.
    pub(crate) auths: BTreeMap<String, Auth>,
    /// Daemon's address, or `default`, to proxies.
    pub(crate) proxies: BTreeMap<String, BTreeMap<String, String>>,
    /// Where plugins are looked for first.
    pub(crate) cli_plugins_extra_dirs: Vec<String>,
    /// Program that keeps credentials of all registries.
    pub(crate) creds_store: String,
    /// Registry to the program that keeps its credentials.
    pub(crate) cred_helpers: BTreeMap<String, String>,
}

/// Credentials of one registry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Auth {
    /// `user:password` in base64.
    pub(crate) auth: String,
    pub(crate) username: String,
    pub(crate) password: String,
    #[serde(rename = "identitytoken")]
    pub(crate) identity_token: String,
}

/// Where the client's files are: `--config`, `DOCKER_CONFIG`, `~/.docker`.
pub(crate) fn directory(flag: &str) -> PathBuf {
    if !flag.is_empty() {
        return PathBuf::from(flag);
    }
    match env::var_os("DOCKER_CONFIG").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(&env::var_os("HOME").unwrap_or_default()).join(".docker"),
    }
}

impl ConfigFile {
    /// Reads the file of a directory. One that is not there is empty; one that cannot be read is too, with a warning,
    /// so that a broken file does not keep anybody from their containers.
    pub(crate) fn load(directory: &Path) -> Self {
        let path = directory.join("config.json");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Self::default(),
            Err(error) => {
                let why = crate::os_error(&error);
                crate::warn(&format!("WARNING: Error loading config file: open {}: {why}", path.display()));
                return Self::default();
            }
        };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            crate::warn(&format!("WARNING: Error parsing config file ({}): {error}", path.display()));
            Self::default()
        })
    }

    /// Proxy variables for a new container, except those that it sets itself (in whichever case).
    pub(crate) fn proxy_environment(&self, host: &str, own: &[String]) -> Vec<String> {
        const NAMES: [(&str, &str); 5] = [
            ("httpProxy", "HTTP_PROXY"),
            ("httpsProxy", "HTTPS_PROXY"),
            ("noProxy", "NO_PROXY"),
            ("ftpProxy", "FTP_PROXY"),
            ("allProxy", "ALL_PROXY"),
        ];
        let Some(proxies) = self.proxies.get(host).or_else(|| self.proxies.get("default")) else {
            return Vec::new();
        };
        let is_set = |name: &str| own.iter().any(|pair| pair.split('=').next() == Some(name));
        let mut pairs = Vec::new();
        for (key, name) in NAMES {
            let Some(value) = proxies.get(key).filter(|value| !value.is_empty()) else { continue };
            for name in [name.to_owned(), name.to_lowercase()] {
                if !is_set(&name) {
                    pairs.push(format!("{name}={value}"));
                }
            }
        }
        pairs
    }
}

/// Changes the file and keeps all that it says besides; whoever reads it meanwhile sees the old or the new one.
pub(crate) fn edit(
    directory: &Path,
    change: impl FnOnce(&mut serde_json::Map<String, Value>),
) -> Result<(), String> {
    let path = directory.join("config.json");
    let failed = |error: std::io::Error| format!("{}: {}", path.display(), crate::os_error(&error));
    let mut whole: Value = match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => json!({ "auths": {} }),
        Err(error) => return Err(failed(error)),
    };
    change(whole.as_object_mut().ok_or_else(|| format!("{}: no object", path.display()))?);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    // A file that is a link to another stays one, as with Docker.
    let place = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
    let text = tabbed(&whole).map_err(|error| error.to_string())?;
    crate::contexts::replace(&place, &text, 0o600)
}

/// JSON as Docker's client writes its file.
fn tabbed(value: &Value) -> serde_json::Result<Vec<u8>> {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    serde::Serialize::serialize(value, &mut serde_json::Serializer::with_formatter(&mut text, formatter))?;
    Ok(text)
}
