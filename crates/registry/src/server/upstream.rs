//! Pull-through: repositories below a prefix come from another registry, and are kept.
//!
//! A blob is fetched once however many ask for it: the *flight* writes it into an upload session, everybody reads the
//! growing file, and it becomes a blob when its digest is right. The last bytes are held back until then, so nobody
//! gets a wrong blob whole. A tag is asked for again when its answer is no longer fresh; an upstream that does not
//! answer is replaced by what is kept.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::sync::watch;

use super::content::{Parts, Stored};
use super::digest::{Algorithm, Digest};
use super::error::{Code, Fault};
use super::http::body::Body;
use super::http::{Call, DIGEST_HEADER};
use super::manifest::Manifest;
use super::route::Reference;
use super::storage::{StorageError, blocking};
use super::uploads::Session;
use super::{Server, UpstreamOptions};
use crate::{Client, Credentials, Error, ErrorCode, Options, Repository, Target};

/// Repositories and tags that are remembered; beyond, all are forgotten and learnt anew.
const REMEMBERED_MAX: usize = 10_000;
const READ_BYTES: usize = 256 << 10;

struct Upstream {
    options: UpstreamOptions,
    host: String,
    client: Client,
    repositories: Mutex<HashMap<String, Repository>>,
    /// When a tag was last asked for.
    checked: Mutex<HashMap<(String, String), Instant>>,
}

/// How a flight goes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Flying,
    Landed,
    Failed(String),
}

/// A blob on its way from an upstream.
#[derive(Clone)]
struct Flight {
    file: Arc<File>,
    length: Option<u64>,
    progress: watch::Receiver<u64>,
    state: watch::Receiver<State>,
}

/// All upstreams.
pub(crate) struct Upstreams {
    upstreams: Vec<Upstream>,
    flights: Mutex<HashMap<Digest, Flight>>,
}

impl Upstreams {
    pub(crate) fn new(options: &[UpstreamOptions]) -> Self {
        let mut upstreams: Vec<Upstream> = options.iter().map(Upstream::new).collect();
        // The longest prefix first.
        upstreams.sort_by_key(|upstream| std::cmp::Reverse(upstream.options.prefix.len()));
        Self { upstreams, flights: Mutex::default() }
    }

    /// How long what comes into this repository is kept; nothing for those that are our own.
    pub(crate) fn ttl(&self, name: &str) -> Option<Duration> {
        self.find(name).and_then(|(upstream, _)| upstream.options.ttl)
    }

    /// The upstream of a repository, and the repository's name there.
    fn find<'a>(&self, name: &'a str) -> Option<(&Upstream, &'a str)> {
        self.upstreams.iter().find_map(|upstream| match upstream.options.prefix.as_str() {
            "" => Some((upstream, name)),
            prefix => {
                let rest = name.strip_prefix(prefix)?.strip_prefix('/')?;
                Some((upstream, rest))
            }
        })
    }
}

impl Upstream {
    fn new(options: &UpstreamOptions) -> Self {
        let (scheme, host) = options.url.split_once("://").unwrap_or(("https", &options.url));
        // Without a dot or a port a host would be read as the first part of a path.
        let host = match (host.contains(['.', ':']), scheme) {
            (true, _) => host.to_owned(),
            (false, "http") => format!("{host}:80"),
            (false, _) => format!("{host}:443"),
        };
        let insecure = if scheme == "http" { vec![host.clone()] } else { Vec::new() };
        let client = Client::new(Options { insecure, ..Options::default() });
        let (repositories, checked) = (Mutex::default(), Mutex::default());
        Self { options: options.clone(), host, client, repositories, checked }
    }

    fn repository(&self, remote: &str) -> Result<Repository, Fault> {
        let mut known = self.repositories.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(repository) = known.get(remote) {
            return Ok(repository.clone());
        }
        let reference = format!("{}/{remote}", self.host).parse().map_err(Fault::internal)?;
        let credentials = Credentials {
            username: self.options.username.clone(),
            password: self.options.password.clone(),
            ..Credentials::default()
        };
        let repository = self.client.repository(&reference, credentials);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(remote.to_owned(), repository.clone());
        Ok(repository)
    }

    fn is_fresh(&self, name: &str, tag: &str) -> bool {
        let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let since = checked.get(&(name.to_owned(), tag.to_owned()));
        since.is_some_and(|since| since.elapsed() < self.options.fresh)
    }

    fn set_fresh(&self, name: &str, tag: &str) {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.len() >= REMEMBERED_MAX {
            checked.clear();
        }
        checked.insert((name.to_owned(), tag.to_owned()), Instant::now());
    }
}

/// What an upstream's failure is for our client.
fn fault(error: &Error, unknown: Code) -> Fault {
    let not_found = matches!(error, Error::Status(StatusCode::NOT_FOUND))
        || matches!(
            error,
            Error::Refused {
                code: ErrorCode::ManifestUnknown | ErrorCode::NameUnknown | ErrorCode::BlobUnknown,
                ..
            }
        );
    match not_found {
        true => Fault::new(unknown, "the upstream registry does not have it"),
        false => Fault::new(Code::Unknown, format!("the upstream registry: {error}"))
            .with_status(StatusCode::BAD_GATEWAY),
    }
}

/// Repositories of an upstream cannot be pushed to.
pub(crate) fn refuse_push(server: &Server, name: &str) -> Result<(), Fault> {
    match server.upstreams.find(name) {
        None => Ok(()),
        Some((upstream, _)) => {
            let message =
                format!("{name} is a copy of what {} has: it cannot be pushed to", upstream.options.url);
            Err(Fault::new(Code::Unsupported, message))
        }
    }
}

/// A manifest of an upstream, from there or as it is kept; `None` for a repository of our own.
pub(crate) async fn manifest(
    server: &Server,
    name: &str,
    reference: &Reference,
) -> Result<Option<Arc<Stored>>, Fault> {
    let Some((upstream, remote)) = server.upstreams.find(name) else { return Ok(None) };
    let kept = match server.content.manifest(name, reference).await {
        Ok(stored) => Some(stored),
        Err(fault) if fault.status == StatusCode::NOT_FOUND => None,
        Err(fault) => return Err(fault),
    };
    let is_good = match reference {
        Reference::Digest(_) => true,
        Reference::Tag(tag) => upstream.is_fresh(name, tag),
    };
    if is_good && kept.is_some() {
        return Ok(kept);
    }
    let target = match reference {
        Reference::Tag(tag) => Target::Tag(tag.clone()),
        Reference::Digest(digest) => {
            let unsupported = || Fault::new(Code::ManifestUnknown, "the upstream is asked for sha256 only");
            Target::Digest(digest.as_str().parse().map_err(|_| unsupported())?)
        }
    };
    match upstream.repository(remote)?.manifest(&target).await {
        Ok(fetched) => {
            server.metrics.upstream_fetches.fetch_add(1, Ordering::Relaxed);
            let stored = keep(server, name, reference, &fetched).await?;
            if let Reference::Tag(tag) = reference {
                upstream.set_fresh(name, tag);
            }
            Ok(Some(stored))
        }
        Err(error) => match (fault(&error, Code::ManifestUnknown), kept) {
            (fault, Some(kept)) if fault.status == StatusCode::BAD_GATEWAY => {
                tracing::warn!(%error, name, "the upstream does not answer: what is kept is served");
                Ok(Some(kept))
            }
            (fault, _) => Err(fault),
        },
    }
}

async fn keep(
    server: &Server,
    name: &str,
    reference: &Reference,
    fetched: &crate::Fetched,
) -> Result<Arc<Stored>, Fault> {
    let digest = Digest::of(Algorithm::Sha256, &fetched.bytes);
    let manifest = Manifest::parse(&fetched.bytes, Some(&fetched.media_type))?;
    let tags: Vec<String> = match reference {
        Reference::Tag(tag) => vec![tag.clone()],
        Reference::Digest(_) => Vec::new(),
    };
    let _turn = server.turns.take(name).await;
    let bytes = fetched.bytes.clone();
    server.content.put_manifest(name, &digest, bytes, &manifest, &tags, Parts::Upstream).await?;
    let stored = server.content.stored(&digest).await?;
    stored.ok_or_else(|| Fault::internal("a manifest was kept and is not there"))
}

/// A blob that is not here: from the upstream, if the repository has one; `unknown` otherwise.
pub(crate) async fn blob(
    server: &Arc<Server>,
    call: &Call,
    name: &str,
    digest: &Digest,
    unknown: Fault,
) -> Result<Response<Body>, Fault> {
    let Some((upstream, remote)) = server.upstreams.find(name) else { return Err(unknown) };
    let Ok(wanted) = digest.as_str().parse::<types::Digest>() else { return Err(unknown) };
    let repository = upstream.repository(remote)?;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Ok(value) = HeaderValue::from_str(digest.as_str()) {
        headers.insert(DIGEST_HEADER, value);
    }
    if call.is_head() {
        let found =
            repository.open_blob(&wanted, 0).await.map_err(|error| fault(&error, Code::BlobUnknown))?;
        if let Some(length) = found.content_length() {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        return Ok(response);
    }
    let flight = board(server, name, digest, &wanted, &repository).await?;
    *response.body_mut() = Body::stream(read_along(flight.clone()).boxed(), flight.length);
    Ok(response)
}

/// The flight that brings a blob: the one under way, or a new one.
async fn board(
    server: &Arc<Server>,
    name: &str,
    digest: &Digest,
    wanted: &types::Digest,
    repository: &Repository,
) -> Result<Flight, Fault> {
    // Whoever comes first asks the upstream; the others wait for its headers.
    let _turn = server.turns.take(&format!("{name}@{digest}")).await;
    let known = server.upstreams.flights.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
    if let Some(flight) = known {
        return Ok(flight);
    }
    let answer = repository.open_blob(wanted, 0).await.map_err(|error| fault(&error, Code::BlobUnknown))?;
    server.metrics.upstream_fetches.fetch_add(1, Ordering::Relaxed);
    let session = server.uploads.begin(name, digest.algorithm()).await?;
    let (landing, state) = watch::channel(State::Flying);
    let flight = Flight {
        file: Arc::new(server.uploads.file(&session)?),
        length: answer.content_length(),
        progress: session.progress.subscribe(),
        state,
    };
    let mut flights = server.upstreams.flights.lock().unwrap_or_else(PoisonError::into_inner);
    flights.insert(digest.clone(), flight.clone());
    drop(flights);
    let (server, name, digest) = (server.clone(), name.to_owned(), digest.clone());
    tokio::spawn(async move {
        let landed = fly(&server, &name, &digest, &session, answer).await;
        server.upstreams.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest);
        landing.send_replace(match landed {
            Ok(()) => State::Landed,
            Err(fault) => {
                tracing::warn!(why = fault.message, name, %digest, "a blob did not come from the upstream");
                State::Failed(fault.message)
            }
        });
    });
    Ok(flight)
}

async fn fly(
    server: &Server,
    name: &str,
    digest: &Digest,
    session: &Arc<Session>,
    answer: reqwest::Response,
) -> Result<(), Fault> {
    let received = {
        let frames = answer.bytes_stream().map_ok(Frame::data);
        server.uploads.append(session, None, StreamBody::new(frames)).await
    };
    let length = match received {
        Ok(length) => length,
        Err(fault) => {
            server.uploads.cancel(session).await?;
            return Err(fault);
        }
    };
    server.metrics.upstream_bytes.fetch_add(length, Ordering::Relaxed);
    let file = server.uploads.verify(session, digest).await?;
    server.content.take_blob(name, digest, &file).await?;
    server.uploads.finish(session).await
}

/// The bytes of a file that grows, until its flight has landed.
fn read_along(flight: Flight) -> impl futures_util::Stream<Item = Result<Bytes, StorageError>> + Send {
    futures_util::stream::try_unfold((flight, 0_u64), |(mut flight, offset)| async move {
        loop {
            let state = flight.state.borrow_and_update().clone();
            let there = *flight.progress.borrow_and_update();
            if let State::Failed(why) = state {
                let source = std::io::Error::other(why);
                return Err(StorageError::Io { path: "upstream".into(), source });
            }
            let is_landed = state == State::Landed;
            // The last byte only when the digest is known to be right.
            let readable = if is_landed { there } else { there.saturating_sub(1) };
            if offset < readable {
                let length =
                    usize::try_from(readable - offset).map_or(READ_BYTES, |left| left.min(READ_BYTES));
                let file = flight.file.clone();
                let bytes = blocking(move || {
                    let mut buffer = vec![0; length];
                    let read = file.read_exact_at(&mut buffer, offset);
                    read.map_err(|error| StorageError::io(std::path::Path::new("upload"), error))?;
                    Ok(Bytes::from(buffer))
                })
                .await?;
                let after = offset + bytes.len() as u64;
                return Ok(Some((bytes, (flight, after))));
            }
            if is_landed {
                return Ok(None);
            }
            // A sender that is gone has said its last word before.
            let _news = tokio::select! {
                changed = flight.state.changed() => changed.is_ok(),
                changed = flight.progress.changed() => changed.is_ok(),
            };
        }
    })
}
