//! One repository at its registry: manifests and blobs, over whichever endpoint answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header;
use http::{Method, StatusCode};
use types::Digest;

use crate::client::Shared;
use crate::endpoint::Endpoint;
use crate::manifest::{ACCEPT, Fetched};
use crate::{Credentials, Error};

/// No honest manifest is larger (distribution's own limit).
const MANIFEST_MAX: u64 = 4 << 20;
/// A registry that pages for ever is left after so many.
const TAG_PAGES_MAX: usize = 1000;
/// No honest image config is larger.
const CONFIG_MAX: u64 = 8 << 20;
pub(crate) const ERROR_BODY_MAX: u64 = 64 << 10;
/// The longest that a `Retry-After` makes us wait.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// What a manifest is asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A name that may move.
    Tag(String),
    /// The content itself.
    Digest(Digest),
}

impl Target {
    fn as_str(&self) -> &str {
        match self {
            Self::Tag(tag) => tag,
            Self::Digest(digest) => digest.as_str(),
        }
    }
}

/// A repository as one user sees it.
#[derive(Clone)]
pub struct Repository {
    pub(crate) shared: Arc<Shared>,
    pub(crate) endpoints: Arc<[Endpoint]>,
    /// Index of the endpoint that answered last: the next question goes there first.
    /// One more than the index of the endpoint that answered last; 0 before any did.
    current: Arc<AtomicUsize>,
    /// Seconds that the registry asked us to wait (`Retry-After`), until somebody does.
    pause_s: Arc<AtomicU64>,
    path: Arc<str>,
    pub(crate) scope: Arc<str>,
    pub(crate) credentials: Arc<Credentials>,
}

impl Repository {
    pub(crate) fn new(
        shared: Arc<Shared>,
        endpoints: Vec<Endpoint>,
        path: String,
        credentials: Credentials,
    ) -> Self {
        Self {
            shared,
            endpoints: endpoints.into(),
            current: Arc::default(),
            pause_s: Arc::default(),
            scope: format!("repository:{path}:pull").into(),
            path: path.into(),
            credentials: Arc::new(credentials),
        }
    }

    /// The repository's path: `library/busybox`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Fetches a manifest, verified: by digest against it, by tag against `Docker-Content-Digest` if given.
    pub async fn manifest(&self, target: &Target) -> Result<Fetched, Error> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.manifest_anywhere(target).await {
                Err(error) if attempt < self.shared.options.attempts.min(3) && worth_a_retry(&error) => {
                    tracing::debug!(%error, attempt, "asking for a manifest again");
                    tokio::time::sleep(self.backoff(attempt)).await;
                }
                other => return other,
            }
        }
    }

    async fn manifest_anywhere(&self, target: &Target) -> Result<Fetched, Error> {
        let path = format!("manifests/{}", target.as_str());
        let answer = self.ask(Method::GET, &path, &[(header::ACCEPT, ACCEPT.to_owned())]).await?;
        let text = |name: &str| {
            answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let media_type = text("content-type");
        let promised = text("docker-content-digest").parse::<Digest>().ok();
        let what = || format!("manifest {}", target.as_str());
        let bytes = read_limited(answer, "Get", MANIFEST_MAX, what).await?;
        let digest = store::sha256(&bytes);
        let wanted = match target {
            Target::Digest(wanted) => Some(wanted),
            Target::Tag(_) => promised.as_ref(),
        };
        match wanted {
            Some(wanted) if *wanted != digest => Err(Error::ManifestDigest(wanted.clone())),
            _ => Ok(Fetched { media_type, digest, bytes }),
        }
    }

    /// A small blob (an image config) whole, verified.
    pub async fn blob_bytes(&self, blob: &types::Descriptor) -> Result<Bytes, Error> {
        let answer = self.open_blob(&blob.digest, 0).await?;
        let bytes = read_limited(answer, "Get", CONFIG_MAX, || format!("blob {}", blob.digest)).await?;
        match store::sha256(&bytes) {
            got if got == blob.digest => Ok(bytes),
            got => Err(store::Error::DigestMismatch { expected: blob.digest.clone(), got }.into()),
        }
    }

    /// The API root of the registry itself, for messages.
    pub fn address(&self) -> String {
        let own = self.endpoints.iter().rev().find(|endpoint| !endpoint.mirror);
        own.map(|endpoint| format!("{}/v2/", endpoint.url)).unwrap_or_default()
    }

    /// All tags, following the pages.
    pub async fn tags(&self) -> Result<Vec<String>, Error> {
        #[derive(serde::Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let mut tags = Vec::new();
        let mut path = "tags/list".to_owned();
        for _ in 0..TAG_PAGES_MAX {
            let answer = self.ask(Method::GET, &path, &[]).await?;
            let next =
                answer.headers().get(header::LINK).and_then(|value| value.to_str().ok()).and_then(next_query);
            let body = read_limited(answer, "Get", MANIFEST_MAX, || "tag list".to_owned()).await?;
            let page: Page = serde_json::from_slice(&body).map_err(|error| Error::Body {
                status: 200,
                cause: error.to_string(),
                body: String::from_utf8_lossy(&body).chars().take(256).collect(),
            })?;
            tags.extend(page.tags.unwrap_or_default());
            match next {
                Some(query) => path = format!("tags/list?{query}"),
                None => break,
            }
        }
        Ok(tags)
    }

    /// Opens a blob at `offset`. The answer is 200 (from the start) or 206 (from `offset`).
    pub(crate) async fn open_blob(&self, digest: &Digest, offset: u64) -> Result<reqwest::Response, Error> {
        let mut headers = vec![(header::ACCEPT, "*/*".to_owned())];
        if offset > 0 {
            headers.push((header::RANGE, format!("bytes={offset}-")));
        }
        self.ask(Method::GET, &format!("blobs/{digest}"), &headers).await
    }

    /// How long to wait before the next attempt: what the registry asked for, or twice as long each time.
    pub(crate) fn backoff(&self, attempt: u32) -> Duration {
        let asked = Duration::from_secs(self.pause_s.swap(0, Ordering::Relaxed));
        let ours = self.shared.options.backoff.saturating_mul(1 << (attempt.saturating_sub(1)).min(7));
        ours.max(asked.min(RETRY_AFTER_MAX))
    }

    /// Asks the endpoint that worked last, then the others in order. The error of the first real registry counts.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(header::HeaderName, String)],
    ) -> Result<reqwest::Response, Error> {
        let worked = self.current.load(Ordering::Relaxed);
        let first = worked.saturating_sub(1);
        let rest = (0..self.endpoints.len()).filter(|at| *at != first);
        let mut failure: Option<Error> = None;
        for at in std::iter::once(first).chain(rest) {
            let Some(endpoint) = self.endpoints.get(at) else { continue };
            match self.ask_endpoint(endpoint, method.clone(), path, headers).await {
                Ok(answer) => {
                    self.current.store(at + 1, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) => {
                    tracing::debug!(url = endpoint.url, %error, "an endpoint failed");
                    let spoke = !matches!(error, Error::Network { .. });
                    let is_last_word = spoke && !endpoint.mirror;
                    if is_last_word || self.shared.ends_here(endpoint, &error) || !error.is_endpoints_fault()
                    {
                        return Err(error);
                    }
                    // Of several that cannot be reached Docker reports the last; HTTPS spoken to a plain
                    // server is only worth telling if nothing else was tried. One that has answered before is the one
                    // to tell of.
                    if worked == 0 || failure.is_none() {
                        failure = Some(error);
                    }
                }
            }
        }
        Err(failure.unwrap_or(Error::Status(StatusCode::SERVICE_UNAVAILABLE)))
    }

    async fn ask_endpoint(
        &self,
        endpoint: &Endpoint,
        method: Method,
        path: &str,
        headers: &[(header::HeaderName, String)],
    ) -> Result<reqwest::Response, Error> {
        let url = format!("{}/v2/{}/{path}", endpoint.url, self.path);
        let http = self.shared.http(endpoint)?;
        let mut challenged = false;
        loop {
            let mut request = http.request(method.clone(), &url);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let authorization = self.shared.authorization(endpoint, &self.scope, &self.credentials).await?;
            if let Some(value) = authorization {
                request = request.header(header::AUTHORIZATION, value);
            }
            // Docker's users know the address of the API root from such errors, not the manifest's.
            let root = format!("{}/v2/", endpoint.url);
            let answer = request.send().await.map_err(|error| Error::network("Get", &root, &error))?;
            let status = answer.status();
            if status.is_success() {
                return Ok(answer);
            }
            let header_text = |name: header::HeaderName| {
                let values = answer.headers().get_all(name);
                let texts: Vec<&str> = values.iter().filter_map(|value| value.to_str().ok()).collect();
                texts.join(", ")
            };
            let authenticate = header_text(header::WWW_AUTHENTICATE);
            if let Ok(seconds) = header_text(header::RETRY_AFTER).parse() {
                self.pause_s.store(seconds, Ordering::Relaxed);
            }
            let authority = &self.shared.authority;
            if status == StatusCode::UNAUTHORIZED
                && !challenged
                && authority.learn(endpoint, &authenticate, &self.credentials)
            {
                challenged = true;
                authority.forget(&self.scope);
                continue;
            }
            let body =
                read_limited(answer, "Get", ERROR_BODY_MAX, || "error".to_owned()).await.unwrap_or_default();
            return Err(Error::from_answer(status, &authenticate, &body));
        }
    }
}

/// The query of the next page in `</v2/x/tags/list?last=b&n=2>; rel="next"` (RFC 8288).
pub(crate) fn next_query(link: &str) -> Option<String> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let (_, query) = target.split_once('?')?;
    (parameters.contains("rel=\"next\"") || parameters.contains("rel=next")).then(|| query.to_owned())
}

/// A manifest is asked for again when the registry was there but not well. Without even a connection Docker
/// does not retry either: people wait for the answer.
fn worth_a_retry(error: &Error) -> bool {
    error.is_transient() && !matches!(error, Error::Network { connect: true, .. })
}

/// Waits, and tells how many seconds are left, each second anew, as Docker does.
pub(crate) async fn wait(wait: Duration, mut tell: impl FnMut(u64)) {
    let end = tokio::time::Instant::now() + wait;
    loop {
        let left = end.saturating_duration_since(tokio::time::Instant::now());
        if left.is_zero() {
            return;
        }
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        tell(seconds);
        tokio::time::sleep(left.min(Duration::from_secs(1))).await;
    }
}

/// A whole body, refused beyond `limit` whatever length was promised.
pub(crate) async fn read_limited(
    mut answer: reqwest::Response,
    method: &'static str,
    limit: u64,
    what: impl Fn() -> String,
) -> Result<Bytes, Error> {
    let too_large = || Error::TooLarge { what: what(), limit };
    if answer.content_length().is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let url = answer.url().to_string();
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| Error::network(method, &url, &error))? {
        if (body.len() + chunk.len()) as u64 > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
