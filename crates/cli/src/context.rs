//! What commands share: configuration, client, global flags. Each part is made when first asked for.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, json};
use types::ImageRef;
use wire::client::{Client, Host};

use crate::Failure;
use crate::config::{self, ConfigFile};
use crate::contexts::{self, Meta, TlsFiles};
use crate::credentials::{Credential, Keeper};
use crate::flags::Parsed;

/// Files of a TLS identity by name: `ca.pem`, `cert.pem`, `key.pem`.
type Certificates = BTreeMap<String, Vec<u8>>;

/// Where `wharf daemon` listens unless told otherwise.
const DEFAULT_HOST: &str = "unix:///run/wharf.sock";
/// The same when TLS is asked for and no address is given: Docker's.
const DEFAULT_TLS_HOST: &str = "tcp://localhost:2376";
/// Key of Docker Hub in `auths`.
pub(crate) const HUB_AUTH_KEY: &str = "https://index.docker.io/v1/";

/// What commands share.
pub(crate) struct Context {
    globals: Parsed,
    config: OnceCell<ConfigFile>,
    client: OnceCell<Arc<Client>>,
}

impl Context {
    pub(crate) fn new(globals: Parsed) -> Self {
        Self { globals, config: OnceCell::new(), client: OnceCell::new() }
    }

    /// Where the user's configuration lies.
    pub(crate) fn directory(&self) -> PathBuf {
        config::directory(self.globals.text("config"))
    }

    /// The user's configuration.
    pub(crate) fn config(&self) -> &ConfigFile {
        self.config.get_or_init(|| ConfigFile::load(&self.directory()))
    }

    /// `-D`.
    pub(crate) fn debug(&self) -> bool {
        self.globals.on("debug")
    }

    /// Name of the context in use.
    pub(crate) fn context_name(&self) -> String {
        let flag = self.globals.text("context");
        if !flag.is_empty() {
            return flag.to_owned();
        }
        if self.globals.changed("host") || env::var("DOCKER_HOST").is_ok_and(|host| !host.is_empty()) {
            return "default".to_owned();
        }
        let named = env::var("DOCKER_CONTEXT").unwrap_or_default();
        let named = if named.is_empty() { self.config().current_context.clone() } else { named };
        if named.is_empty() { "default".to_owned() } else { named }
    }

    /// Our default address, when neither flags nor environment nor a context say another.
    pub(crate) fn unsaid_host(&self) -> Option<&'static str> {
        let is_said = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_default = self.context_name() == contexts::DEFAULT && !self.globals.changed("host");
        (is_default && !is_said("DOCKER_HOST")).then_some(DEFAULT_HOST)
    }

    /// The contexts of this user.
    pub(crate) fn contexts(&self) -> contexts::Store {
        contexts::Store::new(&self.directory())
    }

    /// The context that is made of flags and environment, with its certificates and keys.
    pub(crate) fn default_context(&self) -> Result<(Meta, TlsFiles), String> {
        let tls = self.tls_flags()?;
        let given = match self.globals.list("host").into_iter().next() {
            Some(host) => host,
            None => env::var("DOCKER_HOST").unwrap_or_default(),
        };
        let host = match (given.trim(), &tls) {
            ("", None) => DEFAULT_HOST,
            ("", Some(_)) => DEFAULT_TLS_HOST,
            (given, _) => given,
        };
        let skip = tls.as_ref().is_some_and(|(_, skip)| *skip);
        let endpoint = json!({ "Host": host, "SkipTLSVerify": skip });
        let meta = Meta {
            name: contexts::DEFAULT.to_owned(),
            metadata: Map::new(),
            endpoints: Map::from_iter([(contexts::ENDPOINT.to_owned(), endpoint)]),
        };
        let files = tls.map(|(files, _)| (contexts::ENDPOINT.to_owned(), files));
        Ok((meta, files.into_iter().collect()))
    }

    /// Certificates and keys of `--tls` and its like, and whether everybody is believed; nothing when TLS is off.
    fn tls_flags(&self) -> Result<Option<(Certificates, bool)>, String> {
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let flag = |name: &str, variable: &str| match self.globals.changed(name) {
            true => self.globals.on(name),
            false => is_set(variable),
        };
        let verify = flag("tlsverify", "DOCKER_TLS_VERIFY");
        // Whoever says anything about verifying wants TLS.
        if !(flag("tls", "DOCKER_TLS") || verify || self.globals.changed("tlsverify")) {
            return Ok(None);
        }
        let directory = match env::var_os("DOCKER_CERT_PATH").filter(|path| !path.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => config::directory(""),
        };
        let mut files = BTreeMap::new();
        for (name, file) in [("tlscacert", "ca.pem"), ("tlscert", "cert.pem"), ("tlskey", "key.pem")] {
            let given = self.globals.text(name);
            let given = ['"', '\''].iter().fold(given, |text, quote| {
                text.strip_prefix(*quote).and_then(|text| text.strip_suffix(*quote)).unwrap_or(text)
            });
            let path = if given.is_empty() { directory.join(file) } else { PathBuf::from(given) };
            match std::fs::read(&path) {
                Ok(contents) => drop(files.insert(file.to_owned(), contents)),
                // A client without a certificate of its own is one that the daemon does not ask for it.
                Err(error)
                    if error.kind() == std::io::ErrorKind::NotFound
                        && !self.globals.changed(name)
                        && name != "tlscacert" => {}
                Err(error) => return Err(format!("open {}: {}", path.display(), crate::os_error(&error))),
            }
        }
        Ok(Some((files, !verify)))
    }

    fn host(&self) -> Result<Host, Failure> {
        let failed = |why: String| {
            Failure::new(format!("Failed to initialize: unable to resolve docker endpoint: {why}"))
        };
        if self.globals.changed("host") && !self.globals.text("context").is_empty() {
            return Err(Failure::new("conflicting options: cannot specify both --host and --context"));
        }
        let (meta, files) = match self.context_name().as_str() {
            contexts::DEFAULT => self.default_context().map_err(failed)?,
            name => {
                let store = self.contexts();
                (store.get(name).map_err(failed)?, store.tls(name).map_err(failed)?)
            }
        };
        let text = meta.host().map_err(failed)?;
        let text = if text.is_empty() { DEFAULT_HOST } else { text };
        let tls =
            contexts::tls_options(files.get(contexts::ENDPOINT), meta.skips_verification()).map(Arc::new);
        Host::parse(text, tls.as_ref()).map_err(|error| failed(error.to_string()))
    }

    /// The client. It connects with its first request.
    pub(crate) fn client(&self) -> Result<&Arc<Client>, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let host = self.host()?;
        let mut headers =
            vec![("User-Agent".to_owned(), format!("Docker-Client/{} (linux)", crate::DOCKER_VERSION))];
        let own = |name: &String| !name.eq_ignore_ascii_case("User-Agent");
        headers.extend(
            self.config()
                .http_headers
                .iter()
                .filter(|(name, _)| own(name))
                .map(|(k, v)| (k.clone(), v.clone())),
        );
        let fixed = env::var("DOCKER_API_VERSION").ok().filter(|version| !version.is_empty());
        let fixed = fixed.map(|version| version.trim_start_matches('v').to_owned());
        Ok(self.client.get_or_init(|| Arc::new(Client::new(host, headers, fixed))))
    }

    /// The daemon's address as text, for what depends on it.
    pub(crate) fn host_text(&self) -> Result<String, Failure> {
        Ok(self.client()?.host().to_string())
    }

    /// What is kept for an image's registry, and its key in `config.json`.
    pub(crate) fn credential<'a>(
        &self,
        image: &'a ImageRef,
    ) -> Result<(&'a str, Option<Credential>), Failure> {
        let domain = image.domain();
        let key = if domain == types::reference::DEFAULT_DOMAIN { HUB_AUTH_KEY } else { domain };
        let keeper = Keeper::new(self.config(), &self.directory(), key);
        Ok((key, keeper.get().map_err(Failure::new)?))
    }

    /// `X-Registry-Auth` for an image: its registry's credentials, or `{}`, in base64.
    pub(crate) fn registry_auth(&self, image: &ImageRef) -> Result<String, Failure> {
        let mut body = json!({});
        let (key, known) = self.credential(image)?;
        if let Some(known) = known {
            let (user, password, token) = known.parts();
            body["serveraddress"] = json!(key);
            for (name, value) in [("username", user), ("password", password), ("identitytoken", token)] {
                if !value.is_empty() {
                    body[name] = json!(value);
                }
            }
        }
        Ok(base64_url(body.to_string().as_bytes()))
    }
}

fn base64_url(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE.encode(bytes)
}
