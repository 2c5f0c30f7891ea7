//! The distribution protocol: the server side, `wharf registry serve`.
//!
//! ```text
//!  http/listen ── connection ──> http::answer ── route ── access ──> http/{blobs,manifests,uploads,discovery,pages}
//!                                                                        │            │          └ upstream (fetch)
//!                                                      content (links, caches, gate)  uploads (bytes without a digest)
//!                                                                        └──── storage: a folder, or a bucket
//!  beside: collect (what nobody names), notify (who wants to know), observe (metrics, access and audit log), admin
//! ```
//!
//! Invariants:
//! - Nothing is served under a digest that its bytes do not have: uploads are hashed as they come and become blobs
//!   only when the hash is right; what an upstream sends goes the same way.
//! - A manifest that was acknowledged has all its parts; collection never takes one (`content`, the gate).
//! - Killed at any instruction: what was acknowledged is there, what was half done is named by nobody.

pub mod access;
mod admin;
mod cache;
mod collect;
mod config;
mod content;
mod digest;
mod error;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
mod http;
mod layout;
mod manifest;
mod names;
mod notify;
mod observe;
mod route;
mod storage;
mod turns;
mod uploads;
mod upstream;

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ::http::{HeaderName, HeaderValue};
use serde_json::Value;
use tokio::sync::watch;

pub use admin::{Request as AdminRequest, ask};
pub use collect::Report;
pub use config::{
    AccessOptions, CollectionOptions, Config, ConfigError, EndpointOptions, ImmutableOptions, LogOptions,
    ObjectOptions, RetentionOptions, StorageOptions, TlsOptions, TokenServiceOptions, UpstreamOptions,
};

use access::Access;
use access::limiter::Limiter;
use content::Content;
use digest::Digest;
use error::Fault;
use http::Call;
use notify::{Event, Notifier};
use observe::{Audit, Lines, Metrics};
use storage::{FileStorage, ObjectStorage, Storage};
use turns::Turns;
use uploads::Uploads;
use upstream::Upstreams;

/// Wrong passwords from one address: so many at once, then one in `1 / rate` seconds.
const FAILURES_BURST: f64 = 20.0;
const FAILURES_RATE: f64 = 0.5;

/// Why a registry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process serves the same folder.
    #[error("{0} is served by another process")]
    InUse(String),
    /// The address.
    #[error("cannot listen on {0}: {1}")]
    Listen(String, std::io::Error),
    /// Anything else at the folder, the certificate, the accounts.
    #[error("{0}")]
    Other(String),
}

/// A registry: all that requests share.
pub(crate) struct Server {
    pub(crate) config: Config,
    pub(crate) content: Content,
    pub(crate) uploads: Uploads,
    pub(crate) access: Access,
    pub(crate) tls: Option<http::Tls>,
    pub(crate) limiter: Option<Limiter<Option<IpAddr>>>,
    /// Wrong passwords.
    pub(crate) failures: Limiter<Option<IpAddr>>,
    pub(crate) metrics: Metrics,
    pub(crate) lines: Lines,
    pub(crate) audit: Audit,
    pub(crate) upstreams: Upstreams,
    pub(crate) notifier: Notifier,
    pub(crate) turns: Turns,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The list of repositories, and at which change it was made.
    listed: Mutex<Option<(u64, Arc<Vec<String>>)>>,
    /// Held for as long as the process lives.
    _lock: File,
}

impl Server {
    fn open(config: Config) -> Result<Arc<Self>, StartError> {
        let other = |error: &dyn std::fmt::Display| StartError::Other(error.to_string());
        let lock = lock(&config.root)?;
        let storage: Arc<dyn Storage> = match &config.storage {
            StorageOptions::Folder => {
                Arc::new(FileStorage::open(&config.root).map_err(|error| other(&error))?)
            }
            StorageOptions::Bucket(options) => {
                let spool = config.root.join("wharf/uploads");
                Arc::new(ObjectStorage::open(options, &spool).map_err(|error| other(&error))?)
            }
        };
        let header = |(name, value): &(String, String)| {
            let bad = || StartError::Other(format!("http.headers: {name}: {value} cannot be a header"));
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            Ok((name, HeaderValue::from_str(value).map_err(|_| bad())?))
        };
        let headers = config.headers.iter().map(header).collect::<Result<_, StartError>>()?;
        let tls = config.tls.as_ref().map(http::Tls::open).transpose().map_err(StartError::Other)?;
        Ok(Arc::new(Self {
            content: Content::new(storage.clone()),
            uploads: Uploads::new(storage),
            access: Access::open(&config.access, &config.root).map_err(StartError::Other)?,
            tls,
            limiter: config.rate_limit.map(|(rate, burst)| Limiter::new(f64::from(rate), f64::from(burst))),
            failures: Limiter::new(FAILURES_RATE, FAILURES_BURST),
            metrics: Metrics::default(),
            lines: Lines::default(),
            audit: Audit::open(&config.root).map_err(StartError::Other)?,
            upstreams: Upstreams::new(&config.upstreams),
            notifier: Notifier::new(&config.notifications),
            turns: Turns::default(),
            headers,
            listed: Mutex::new(None),
            _lock: lock,
            config,
        }))
    }

    /// All repositories in order, listed again when something has changed.
    pub(crate) async fn repositories(&self) -> Result<Arc<Vec<String>>, Fault> {
        let changes = self.content.changes();
        let known = self.listed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, list)) = known.filter(|(at, _)| *at == changes) {
            return Ok(list);
        }
        let list = Arc::new(self.content.repositories().await?);
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = Some((changes, list.clone()));
        Ok(list)
    }

    /// Tells whoever wants to know: `target` is digest, media type and size.
    pub(crate) fn tell(
        &self,
        action: &'static str,
        call: &Call,
        name: &str,
        target: Option<(&Digest, &str, u64)>,
        tag: Option<&str>,
    ) {
        if self.notifier.is_idle() {
            return;
        }
        let Some((digest, media_type, size)) = target else { return };
        let text = |name| call.header(name).unwrap_or_default().to_owned();
        let event = Event {
            action,
            repository: name.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.clone(),
            media_type: media_type.to_owned(),
            size,
            actor: call.who().to_owned(),
            address: call.peer.address.map(|address| address.to_string()).unwrap_or_default(),
            host: text(::http::header::HOST),
            method: call.method.to_string(),
            agent: text(::http::header::USER_AGENT),
        };
        self.notifier.push(&event, &self.metrics);
    }
}

/// Takes the folder for this process; the lock goes with it, however it ends.
fn lock(root: &Path) -> Result<File, StartError> {
    let folder = root.join("wharf");
    let told = |error: std::io::Error| StartError::Other(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(&folder).map_err(told)?;
    let file =
        std::fs::OpenOptions::new().create(true).append(true).open(folder.join("lock")).map_err(told)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::InUse(root.display().to_string())),
        Err(error) => Err(told(error.into())),
    }
}

/// Serves until SIGTERM or SIGINT. `ready` is called with the address once connections are accepted.
pub async fn serve(config: Config, ready: impl FnOnce(SocketAddr)) -> Result<(), StartError> {
    // The first of several in one process wins, and all are the same.
    let _present = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let listen = |error| StartError::Listen(config.listen.clone(), error);
    let listener = http::bind(&config.listen).map_err(listen)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let server = Server::open(config.clone())?;
    let (stop, stopped) = watch::channel(false);
    let mut beside = tokio::task::JoinSet::new();
    beside.spawn(server.lines.clone().run());
    beside.spawn(collect::run(server.clone()));
    beside.spawn(admin::run(server.clone()));
    beside.spawn(reload_on_hangup(server.clone()));
    let notifying = Notifier::run(server.clone());
    let signals = tokio::spawn(stop_on_signal(stop));
    ready(address);
    http::run(server.clone(), listener, stopped).await;
    signals.abort();
    server.notifier.finish(notifying).await;
    beside.shutdown().await;
    admin::clean_up(&server.config.root);
    server.lines.flush(&mut std::io::stdout());
    Ok(())
}

async fn stop_on_signal(stop: watch::Sender<bool>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be received");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    stop.send_replace(true);
}

async fn reload_on_hangup(server: Arc<Server>) {
    let Ok(mut hangup) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) else {
        return;
    };
    while hangup.recv().await.is_some() {
        if let Some(tls) = &server.tls {
            tls.reload();
        }
    }
}

/// Collects what nobody names: in the process that serves the folder, or here if none does.
pub async fn collect_garbage(config: Config, dry_run: bool, now: bool) -> Result<Report, StartError> {
    match ask(&config.root, &AdminRequest::Collect { dry_run, now }).await {
        Some(answer) => {
            let value = answer.map_err(StartError::Other)?;
            serde_json::from_value(value).map_err(|error| StartError::Other(error.to_string()))
        }
        None => {
            let _present = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let server = Server::open(config)?;
            let report = collect::collect(&server, dry_run, true).await;
            report.map_err(|fault| StartError::Other(fault.message))
        }
    }
}

/// Writes a line to the audit log of a registry, for what is changed beside it.
pub fn audit(root: &Path, action: &str, target: &str) -> Result<(), String> {
    Audit::open(root)?.write("command line", "", action, target, &Value::Null);
    Ok(())
}
