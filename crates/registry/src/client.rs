//! The client: settings, one HTTP client per host, and what all repositories share.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use types::ImageRef;

use crate::auth::Authority;
use crate::endpoint::{Endpoint, endpoints};
use crate::repository::Repository;
use crate::{Credentials, Error, tls};

/// HTTP clients kept for reuse; beyond that many hosts all are dropped and made anew when asked for.
const HOSTS_MAX: usize = 64;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Silence after which a connection counts as broken.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
const REDIRECTS_MAX: usize = 10;

/// How to reach registries; the daemon fills it from `daemon.json`.
#[derive(Debug, Clone)]
pub struct Options {
    /// `registry-mirrors`: base URLs tried before Docker Hub.
    pub mirrors: Vec<String>,
    /// `insecure-registries`: `host[:port]` or CIDR.
    pub insecure: Vec<String>,
    /// Folder of per-host certificates, Docker's `/etc/docker/certs.d`.
    pub certs_dir: Option<PathBuf>,
    /// When insecure hosts are asked over plain HTTP.
    pub plain_http: PlainHttp,
    /// `proxies`; without them the environment decides.
    pub proxies: Option<Proxies>,
    /// `max-download-attempts`.
    pub attempts: u32,
    /// Wait before the second attempt; doubles with each further one.
    pub backoff: Duration,
    /// `User-Agent`.
    pub user_agent: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mirrors: Vec::new(),
            insecure: Vec::new(),
            certs_dir: Some(PathBuf::from("/etc/docker/certs.d")),
            plain_http: PlainHttp::AfterAnyError,
            proxies: None,
            attempts: 5,
            backoff: Duration::from_millis(250),
            user_agent: concat!("wharf/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// When an insecure host that fails over HTTPS is asked over plain HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainHttp {
    /// Whatever failed: Docker's daemon.
    AfterAnyError,
    /// When it answered in plain HTTP: Docker's client, where it pushes.
    AfterPlainAnswer,
    /// Not at all: Docker's client, where it reads and was not told that the registry is insecure.
    Never,
}

/// Proxies by scheme of the target, as in `daemon.json`.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// For plain HTTP.
    pub http: Option<String>,
    /// For HTTPS.
    pub https: Option<String>,
    /// Hosts reached directly, comma separated.
    pub no_proxy: String,
}

/// What is at a URL.
pub struct Remote {
    /// The server's answer: its bytes are what was asked for only if this is a success.
    pub status: http::StatusCode,
    /// Bytes in all, if the server says so.
    pub length: Option<u64>,
    /// The bytes.
    pub chunks: BoxStream<'static, std::io::Result<bytes::Bytes>>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Remote")
            .field("status", &self.status)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// Talks to registries. Cheap to clone; all clones share connections and tokens.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) options: Options,
    hosts: Mutex<HashMap<(String, bool), reqwest::Client>>,
    pub(crate) authority: Authority,
}

impl Client {
    /// A client; nothing is opened yet.
    pub fn new(options: Options) -> Self {
        let authority = Authority::default();
        Self(Arc::new(Shared { options, hosts: Mutex::default(), authority }))
    }

    /// The repository of `reference`, seen by whoever has `credentials`.
    pub fn repository(&self, reference: &ImageRef, credentials: Credentials) -> Repository {
        let endpoints = endpoints(&self.0.options, reference.domain());
        Repository::new(self.0.clone(), endpoints, reference.path().to_owned(), credentials)
    }

    /// Begins to fetch what is at an `http` or `https` URL, with the settings for its host. No archive is unzipped on the way.
    pub async fn fetch(&self, url: &str) -> Result<Remote, Error> {
        let broken = |error: reqwest::Error| Error::network("Get", url, &error);
        let endpoint = Endpoint { url: url.to_owned(), mirror: false, insecure: false };
        let answer = self.http(&endpoint)?.get(url).send().await.map_err(broken)?;
        let status = answer.status();
        let length = answer.content_length();
        let shown = url.to_owned();
        let chunks = answer.bytes_stream().map(move |chunk| {
            chunk.map_err(|error| std::io::Error::other(Error::network("Get", &shown, &error)))
        });
        Ok(Remote { status, length, chunks: chunks.boxed() })
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    /// The HTTP client for an endpoint.
    pub(crate) fn http(&self, endpoint: &Endpoint) -> Result<reqwest::Client, Error> {
        self.0.http(endpoint)
    }
}

impl Shared {
    /// The HTTP client for `endpoint`'s host.
    pub(crate) fn http(&self, endpoint: &Endpoint) -> Result<reqwest::Client, Error> {
        let key = (endpoint.host().to_owned(), endpoint.insecure);
        if let Some(known) = self.hosts.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(known.clone());
        }
        // Reading certificates takes milliseconds: not under the lock. Two may do it at once, which is harmless.
        let made = self.make_http(endpoint)?;
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= HOSTS_MAX {
            hosts.clear();
        }
        Ok(hosts.entry(key).or_insert(made).clone())
    }

    /// Whether no other endpoint is asked after one over HTTPS failed with `error`.
    pub(crate) fn ends_here(&self, endpoint: &Endpoint, error: &Error) -> bool {
        self.options.plain_http != PlainHttp::AfterAnyError && endpoint.is_tls() && !error.speaks_plain()
    }

    fn make_http(&self, endpoint: &Endpoint) -> Result<reqwest::Client, Error> {
        let tls = tls::config(endpoint.host(), endpoint.insecure, self.options.certs_dir.as_deref())?;
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            // Layers come in parallel over connections of their own; one HTTP/2 window would slow them down.
            .http1_only()
            // A transparently unzipped body would not have the digest that was asked for.
            .no_gzip()
            .user_agent(&self.options.user_agent)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(redirect_policy());
        let broken = |error: reqwest::Error| Error::network("Get", &endpoint.url, &error);
        self.with_proxies(builder, endpoint).map_err(broken)?.build().map_err(broken)
    }

    fn with_proxies(
        &self,
        mut builder: reqwest::ClientBuilder,
        endpoint: &Endpoint,
    ) -> Result<reqwest::ClientBuilder, reqwest::Error> {
        // Go, and so Docker, never sends loopback traffic through a proxy of the environment.
        let host = endpoint.host();
        if host.starts_with("localhost") || host.starts_with("127.") || host.starts_with("[::1]") {
            return Ok(builder.no_proxy());
        }
        let Some(proxies) = &self.options.proxies else { return Ok(builder) };
        let direct = reqwest::NoProxy::from_string(&proxies.no_proxy);
        builder = builder.no_proxy();
        if let Some(url) = &proxies.http {
            builder = builder.proxy(reqwest::Proxy::http(url)?.no_proxy(direct.clone()));
        }
        if let Some(url) = &proxies.https {
            builder = builder.proxy(reqwest::Proxy::https(url)?.no_proxy(direct));
        }
        Ok(builder)
    }
}

/// At most ten, and never from TLS to plain HTTP. reqwest drops credentials when the host changes.
fn redirect_policy() -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(|attempt| {
        if attempt.previous().len() > REDIRECTS_MAX {
            return attempt.error(format!("stopped after {REDIRECTS_MAX} redirects"));
        }
        let was_tls = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
        if was_tls && attempt.url().scheme() != "https" {
            return attempt.error("refused a redirect from HTTPS to plain HTTP");
        }
        attempt.follow()
    })
}
