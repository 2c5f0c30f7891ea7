//! Plugins that speak Docker's plugin protocol, version 1: JSON over HTTP on a socket that is found by its name.
//!
//! A plugin `NAME` is `NAME.sock` (or `NAME/NAME.sock`) in EXEC-ROOT/plugins or `/run/docker/plugins`, or `NAME.spec` (a file
//! with its address) or `NAME.json` in `/etc/docker/plugins` or `/usr/lib/docker/plugins`. It is asked what it implements when
//! it is used for the first time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use types::{Error, Result};

const MEDIA_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";
/// A plugin that is starting may refuse connections: waits between attempts.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_secs(1), Duration::from_secs(3)];
/// The longest a plugin may take for one answer. Mounting what is far away is slow.
const PATIENCE: Duration = Duration::from_secs(120);
/// An answer is a small document.
const ANSWER_MAX: usize = 8 << 20;

/// The plugins of this host. Their calls block, on any thread.
#[derive(Debug)]
pub(crate) struct Plugins {
    /// Where their sockets lie.
    sockets: Vec<PathBuf>,
    /// Where files with their addresses lie.
    specs: Vec<PathBuf>,
    runtime: Handle,
    /// Those that were used, by name.
    known: Mutex<HashMap<String, Arc<Plugin>>>,
}

/// One plugin.
#[derive(Debug)]
pub(crate) struct Plugin {
    name: String,
    client: reqwest::Client,
    base: String,
    implements: Vec<String>,
    runtime: Handle,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Activated {
    #[serde(default)]
    implements: Vec<String>,
}

/// `NAME.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct JsonSpec {
    addr: String,
    #[serde(default, rename = "TLSConfig")]
    tls: Option<serde_json::Value>,
}

/// Every answer may say what went wrong.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Failure {
    err: String,
}

impl Plugins {
    /// Must be called inside the asynchronous runtime.
    pub(crate) fn new(exec_root: &Path) -> Self {
        Self {
            sockets: vec![exec_root.join("plugins"), PathBuf::from("/run/docker/plugins")],
            specs: ["/etc/docker/plugins", "/usr/lib/docker/plugins"].map(PathBuf::from).to_vec(),
            runtime: Handle::current(),
            known: Mutex::default(),
        }
    }

    /// The plugin of this name, which implements `what`.
    pub(crate) fn find(&self, name: &str, what: &str) -> Result<Arc<Plugin>> {
        let known = self.lock().get(name).cloned();
        let plugin = match known {
            Some(plugin) => plugin,
            None => {
                let plugin = Arc::new(self.activate(name)?);
                self.lock().insert(name.to_owned(), plugin.clone());
                plugin
            }
        };
        if plugin.implements.iter().any(|one| one == what) {
            Ok(plugin)
        } else {
            Err(Error::internal(format!("plugin {name:?} does not implement {what:?}")))
        }
    }

    /// Those in use that implement `what`, by name.
    pub(crate) fn active(&self, what: &str) -> Vec<Arc<Plugin>> {
        let mut found: Vec<_> = self
            .lock()
            .values()
            .filter(|plugin| plugin.implements.iter().any(|one| one == what))
            .cloned()
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    fn activate(&self, name: &str) -> Result<Plugin> {
        let not_found = || Error::not_found(format!("plugin {name:?} not found"));
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(not_found());
        }
        let address = self.address_of(name).ok_or_else(not_found)??;
        let (builder, base) = match address.split_once("://") {
            Some(("unix", path)) => {
                (reqwest::Client::builder().unix_socket(PathBuf::from(path)), "http://plugin".to_owned())
            }
            Some(("tcp" | "http", at)) => (reqwest::Client::builder(), format!("http://{at}")),
            _ => {
                return Err(Error::not_implemented(format!(
                    "plugin {name:?}: the address {address:?} is not implemented"
                )));
            }
        };
        let client = builder
            .tls_backend_preconfigured(no_authorities()?)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| Error::internal(format!("plugin {name:?}: {error}")))?;
        let mut plugin = Plugin {
            name: name.to_owned(),
            client,
            base,
            implements: Vec::new(),
            runtime: self.runtime.clone(),
        };
        plugin.implements = plugin.call::<Activated>("Plugin.Activate", &serde_json::json!({}))?.implements;
        Ok(plugin)
    }

    /// Where it listens.
    fn address_of(&self, name: &str) -> Option<Result<String>> {
        for dir in &self.sockets {
            for path in [dir.join(format!("{name}.sock")), dir.join(name).join(format!("{name}.sock"))] {
                if path.exists() {
                    return Some(Ok(format!("unix://{}", path.display())));
                }
            }
        }
        for dir in &self.specs {
            for dir in [dir.clone(), dir.join(name)] {
                if let Ok(text) = std::fs::read_to_string(dir.join(format!("{name}.spec"))) {
                    return Some(Ok(text.trim().to_owned()));
                }
                if let Ok(text) = std::fs::read_to_string(dir.join(format!("{name}.json"))) {
                    return Some(address_in(name, &text));
                }
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Plugin>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// There is no TLS to plugins; the client wants to be told whom it would believe.
fn no_authorities() -> Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(Error::internal)?;
    Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

fn address_in(name: &str, text: &str) -> Result<String> {
    let spec: JsonSpec =
        serde_json::from_str(text).map_err(|error| Error::internal(format!("plugin {name:?}: {error}")))?;
    if spec.tls.is_some_and(|tls| !tls.is_null()) {
        return Err(Error::not_implemented(format!("plugin {name:?}: TLS to plugins is not implemented")));
    }
    Ok(spec.addr)
}

impl Plugin {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Asks it. What it answers in `Err` is an error, in its own words behind the name of the call.
    pub(crate) fn call<A: DeserializeOwned>(&self, method: &str, body: &serde_json::Value) -> Result<A> {
        let failed = |why: String| Error::internal(format!("{method}: {why}"));
        let bytes = self.runtime.block_on(self.exchange(method, body)).map_err(failed)?;
        let failure: Failure = serde_json::from_slice(&bytes).unwrap_or_default();
        if !failure.err.is_empty() {
            return Err(failed(failure.err));
        }
        serde_json::from_slice(&bytes).map_err(|error| failed(format!("unusable answer: {error}")))
    }

    async fn exchange(&self, method: &str, body: &serde_json::Value) -> std::result::Result<Vec<u8>, String> {
        let mut pauses = PAUSES.iter();
        loop {
            let request = self
                .client
                .post(format!("{}/{method}", self.base))
                .header("Accept", MEDIA_TYPE)
                .header("Content-Type", MEDIA_TYPE)
                .timeout(PATIENCE)
                .body(body.to_string());
            let mut answer = match request.send().await {
                Ok(answer) => answer,
                Err(error) => match pauses.next() {
                    Some(pause) if error.is_connect() => {
                        tokio::time::sleep(*pause).await;
                        continue;
                    }
                    _ => return Err(in_full(&error)),
                },
            };
            let mut bytes = Vec::new();
            while let Some(chunk) = answer.chunk().await.map_err(|error| in_full(&error))? {
                if bytes.len() + chunk.len() > ANSWER_MAX {
                    return Err(format!("the answer is longer than {ANSWER_MAX} bytes"));
                }
                bytes.extend_from_slice(&chunk);
            }
            let status = answer.status();
            let failure: Failure = serde_json::from_slice(&bytes).unwrap_or_default();
            if !status.is_success() && failure.err.is_empty() {
                return Err(String::from_utf8_lossy(&bytes).trim().to_owned());
            }
            return Ok(bytes);
        }
    }
}

/// The error and its causes: the last says what the kernel said.
fn in_full(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(one) = cause {
        text = format!("{text}: {one}");
        cause = one.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::os::unix::net::UnixListener;

    /// Answers `count` requests, each with what `answer` makes of its path and body.
    fn serve(
        path: &Path,
        count: usize,
        answer: fn(&str, &str) -> (u16, String),
    ) -> std::thread::JoinHandle<()> {
        let listener = UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            for _ in 0..count {
                let mut stream = BufReader::new(listener.accept().unwrap().0);
                let (mut line, mut length) = (String::new(), 0);
                stream.read_line(&mut line).unwrap();
                let target = line.split(' ').nth(1).unwrap().to_owned();
                loop {
                    let mut header = String::new();
                    stream.read_line(&mut header).unwrap();
                    if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if header.trim().is_empty() {
                        break;
                    }
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                let (status, text) = answer(&target, &String::from_utf8(body).unwrap());
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    text.len()
                );
                stream.get_mut().write_all((head + &text).as_bytes()).unwrap();
            }
        })
    }

    fn plugins(dir: &Path, runtime: &tokio::runtime::Runtime) -> Plugins {
        Plugins {
            sockets: vec![dir.to_owned()],
            specs: vec![dir.join("specs")],
            runtime: runtime.handle().clone(),
            known: Mutex::default(),
        }
    }

    #[test]
    fn a_plugin_is_found_asked_once_what_it_is_and_its_errors_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let serving = serve(&dir.path().join("p.sock"), 4, |path, body| match (path, body) {
            ("/Plugin.Activate", _) => (200, r#"{"Implements":["VolumeDriver"]}"#.to_owned()),
            ("/VolumeDriver.Get", r#"{"Name":"a"}"#) => (200, r#"{"Volume":{"Name":"a"}}"#.to_owned()),
            ("/VolumeDriver.Get", _) => (500, r#"{"Err":"no such thing"}"#.to_owned()),
            _ => (404, "what?\n".to_owned()),
        });
        let plugins = plugins(dir.path(), &runtime);
        let plugin = plugins.find("p", "VolumeDriver").unwrap();
        assert!(plugins.find("p", "NetworkDriver").is_err());
        let got: serde_json::Value =
            plugin.call("VolumeDriver.Get", &serde_json::json!({"Name": "a"})).unwrap();
        assert_eq!(got["Volume"]["Name"], "a");
        let error = plugin
            .call::<serde_json::Value>("VolumeDriver.Get", &serde_json::json!({"Name": "b"}))
            .unwrap_err();
        assert_eq!(error.message, "VolumeDriver.Get: no such thing");
        let error = plugin.call::<serde_json::Value>("Nonsense", &serde_json::json!({})).unwrap_err();
        assert_eq!(error.message, "Nonsense: what?");
        assert_eq!(plugins.active("VolumeDriver").len(), 1);
        serving.join().unwrap();
    }

    #[test]
    fn addresses_are_read_from_spec_files_and_names_stay_in_their_directory() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let specs = dir.path().join("specs");
        std::fs::create_dir(&specs).unwrap();
        let plugins = plugins(dir.path(), &runtime);
        for (file, text, want) in [
            ("a.spec", "unix:///x/a.sock\n", Ok("unix:///x/a.sock")),
            ("b.json", r#"{"Name":"b","Addr":"tcp://localhost:8080"}"#, Ok("tcp://localhost:8080")),
            (
                "c.json",
                r#"{"Addr":"https://h:1","TLSConfig":{"CAFile":"/f"}}"#,
                Err("plugin \"c\": TLS to plugins is not implemented"),
            ),
        ] {
            std::fs::write(specs.join(file), text).unwrap();
            let got = plugins.address_of(&file[..1]).unwrap().map_err(|error| error.message);
            assert_eq!(got, want.map(str::to_owned).map_err(str::to_owned), "{file}");
        }
        for name in ["", "nosuch", "../p", ".p"] {
            assert_eq!(
                plugins.find(name, "VolumeDriver").unwrap_err().message,
                format!("plugin {name:?} not found")
            );
        }
    }
}
