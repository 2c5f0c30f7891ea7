//! Pushing: blobs that the registry has not got, then the manifest that names them (distribution-spec 1.1, "Push").
//!
//! ```text
//!  HEAD blob ── there ─────────────────────────────────────────> Exists
//!     └─ POST uploads?mount=DIGEST&from=OTHER ── 201 ──────────> Mounted
//!            └─ 202: PATCH the bytes, PUT ?digest= ────────────> Uploaded
//!                     └─ broken: GET the session, PATCH the rest; if it is gone, from the beginning
//! ```
//!
//! What is compressed only now has no digest yet, and is sent while it grows: `growing`.

mod growing;

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;
use http::{StatusCode, header};
use reqwest::{RequestBuilder, Response, Url};
use types::{Descriptor, Digest};

use crate::endpoint::Endpoint;
use crate::repository::{ERROR_BODY_MAX, Repository, read_limited, wait};
use crate::{Credentials, Error};

/// Bytes read from a blob at once.
const CHUNK: usize = 64 << 10;

/// What an upload is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadStep {
    /// So many bytes of the blob are out.
    Bytes(u64),
    /// Broken; the next attempt starts in so many seconds.
    Retrying(u64),
}

pub use growing::Growth;

type Step = Arc<dyn Fn(UploadStep) + Send + Sync>;

/// A blob on its way.
struct Job<'a> {
    blob: &'a Descriptor,
    open: &'a (dyn Fn() -> std::io::Result<File> + Sync),
    step: Step,
}

/// Attempts in vain.
struct Tries<'a> {
    repository: &'a Repository,
    failed: u32,
    step: Step,
}

impl Tries<'_> {
    /// Waits before another attempt; gives `error` back where none would help.
    async fn again(&mut self, error: Error) -> Result<(), Error> {
        self.failed += 1;
        let is_worth_it = error.is_transient() || matches!(error, Error::Range);
        if !is_worth_it || self.failed >= self.repository.shared.options.attempts {
            return Err(error);
        }
        tracing::debug!(%error, failed = self.failed, "an upload broke off");
        wait(self.repository.backoff(self.failed), |seconds| (self.step)(UploadStep::Retrying(seconds)))
            .await;
        Ok(())
    }
}

/// How a blob came to be in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    Exists,
    /// The registry had it in this other repository.
    Mounted(String),
    /// It was sent.
    Uploaded,
}

/// A repository that is pushed to: one endpoint, found at the start, for a mirror is not the truth.
#[derive(Clone)]
pub struct Pusher {
    repository: Repository,
    endpoint: Endpoint,
}

impl Repository {
    /// Finds the endpoint that answers and asks for the right to push there.
    pub async fn pusher(&self) -> Result<Pusher, Error> {
        let mut repository = self.clone();
        repository.scope = format!("repository:{}:pull,push", self.path()).into();
        let mut failure = None;
        for endpoint in self.endpoints.iter().filter(|endpoint| !endpoint.mirror) {
            let pusher = Pusher { repository: repository.clone(), endpoint: endpoint.clone() };
            let root = format!("{}/v2/", endpoint.url);
            match pusher.exchange("Get", |http| Ok(http.get(&root))).await {
                Ok(_) => return Ok(pusher),
                Err(error @ Error::Network { .. }) if self.shared.ends_here(endpoint, &error) => {
                    return Err(error);
                }
                // It is a registry, whatever it thinks of the question: the answer to the real one counts.
                Err(Error::Network { .. }) if endpoint.is_tls() && self.endpoints.len() > 1 => {}
                Err(error) if !error.is_endpoints_fault() => return Err(error),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or(Error::Status(StatusCode::SERVICE_UNAVAILABLE)))
    }
}

impl Repository {
    /// Asks the registry whether it takes these credentials: `docker login`. Gives the token that it offers to keep in
    /// place of the password, if it does.
    pub async fn check_credentials(&self) -> Result<Option<String>, Error> {
        let mut repository = self.clone();
        // No repository: the token service only looks at who we are.
        repository.scope = "".into();
        // Each login is a question of its own.
        self.shared.authority.forget("");
        let mut failure = None;
        for endpoint in self.endpoints.iter().filter(|endpoint| !endpoint.mirror) {
            let root = format!("{}/v2/", endpoint.url);
            let pusher = Pusher { repository: repository.clone(), endpoint: endpoint.clone() };
            match pusher.exchange("Get", |http| Ok(http.get(&root))).await {
                Ok(_) => return Ok(self.shared.authority.take_refresh_token(&self.credentials)),
                Err(error) if !error.is_endpoints_fault() => return Err(error),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or(Error::Status(StatusCode::SERVICE_UNAVAILABLE)))
    }
}

impl Pusher {
    /// Makes sure that the repository has a blob. `open` gives its bytes; `mount` is another repository of the same
    /// registry that may have it. What breaks off goes on where the registry has got to, if it knows.
    pub async fn blob(
        &self,
        blob: &Descriptor,
        mount: Option<&str>,
        open: impl Fn() -> std::io::Result<File> + Sync,
        step: impl Fn(UploadStep) + Send + Sync + 'static,
    ) -> Result<Pushed, Error> {
        let job = Job { blob, open: &open, step: Arc::new(step) };
        let mut tries = Tries { repository: &self.repository, failed: 0, step: job.step.clone() };
        loop {
            match self.blob_once(&job, mount, &mut tries).await {
                Ok(Some(pushed)) => return Ok(pushed),
                Ok(None) => {}
                Err(error) => tries.again(error).await?,
            }
        }
    }

    /// `None`: what was begun cannot be gone on with.
    async fn blob_once(
        &self,
        job: &Job<'_>,
        mount: Option<&str>,
        tries: &mut Tries<'_>,
    ) -> Result<Option<Pushed>, Error> {
        let digest = &job.blob.digest;
        if self.has(digest).await? {
            return Ok(Some(Pushed::Exists));
        }
        let uploads = format!("{}/blobs/uploads/", self.base());
        let mut begun = None;
        if let Some(from) = mount {
            let query = [("mount", digest.as_str()), ("from", from)];
            match self.exchange("Post", |http| Ok(with_query(http, &uploads, &query))).await {
                Ok(answer) if answer.status() == StatusCode::CREATED => {
                    return Ok(Some(Pushed::Mounted(from.to_owned())));
                }
                Ok(answer) => begun = Some(answer),
                // No right to read there is no reason not to push here.
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => tracing::debug!(%error, from, "a blob cannot be mounted"),
            }
        }
        let begun = match begun {
            Some(answer) => answer,
            None => self.exchange("Post", |http| Ok(http.post(&uploads))).await?,
        };
        let place = self.send_all(job, location(&begun)?, 0, tries).await?;
        let Some(place) = place else { return Ok(None) };
        self.end(place, digest).await?;
        Ok(Some(Pushed::Uploaded))
    }

    /// Says that a session has all its bytes, and what they are.
    async fn end(&self, mut place: Url, digest: &Digest) -> Result<(), Error> {
        place.query_pairs_mut().append_pair("digest", digest.as_str());
        self.exchange("Put", |http| Ok(http.put(place.clone()).header(header::CONTENT_LENGTH, 0))).await?;
        Ok(())
    }

    /// Sends the bytes from `offset` on to a session, in as many requests as it takes. Gives where to finish it, or
    /// `None` if the registry has lost it.
    async fn send_all(
        &self,
        job: &Job<'_>,
        start: Url,
        offset: u64,
        tries: &mut Tries<'_>,
    ) -> Result<Option<Url>, Error> {
        let (mut place, mut offset) = (start, offset);
        loop {
            match self.send_from(job, &place, offset).await {
                Ok(place) => return Ok(Some(place)),
                Err(error) => tries.again(error).await?,
            }
            let Some((next, length)) = self.reached_at_last(&place, job.blob.size, tries).await? else {
                return Ok(None);
            };
            if length > offset {
                // A connection that brought something was worth it: only attempts in vain are counted.
                tries.failed = 1;
            }
            (place, offset) = (next, length);
        }
    }

    async fn send_from(&self, job: &Job<'_>, place: &Url, offset: u64) -> Result<Url, Error> {
        let size = job.blob.size;
        if offset > 0 && offset == size {
            return Ok(place.clone());
        }
        let sent = self.exchange("Patch", |http| {
            let body = body((job.open)()?, offset, size, job.step.clone())?;
            let mut request = http.patch(place.clone());
            if offset > 0 {
                // Without it, Docker's own clients send the whole: some registries know no other form of that.
                request = request.header(header::CONTENT_RANGE, format!("{offset}-{}", size - 1));
            }
            let typed = request.header(header::CONTENT_TYPE, "application/octet-stream");
            Ok(typed.header(header::CONTENT_LENGTH, size - offset).body(body))
        });
        location(&sent.await?)
    }

    /// The same as [`reached`](Self::reached), asked until there is an answer.
    async fn reached_at_last(
        &self,
        place: &Url,
        size: u64,
        tries: &mut Tries<'_>,
    ) -> Result<Option<(Url, u64)>, Error> {
        loop {
            match self.reached(place, size).await {
                Ok(reached) => return Ok(reached),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    /// Where a session goes on, and how many bytes it has. `None` if the registry does not know.
    async fn reached(&self, place: &Url, size: u64) -> Result<Option<(Url, u64)>, Error> {
        let answer = match self.exchange("Get", |http| Ok(http.get(place.clone()))).await {
            Ok(answer) => answer,
            Err(error) if error.is_transient() => return Err(error),
            Err(_) => return Ok(None),
        };
        let range = answer.headers().get(header::RANGE).and_then(|value| value.to_str().ok());
        let length = range.and_then(received).filter(|length| *length <= size);
        Ok(length.map(|length| (location(&answer).unwrap_or_else(|_| place.clone()), length)))
    }

    /// Gives the repository a blob that another one of the same registry has. Whether it could be done.
    pub async fn mount(&self, digest: &Digest, from: &str) -> Result<bool, Error> {
        let query = [("mount", digest.as_str()), ("from", from)];
        let uploads = format!("{}/blobs/uploads/", self.base());
        match self.exchange("Post", |http| Ok(with_query(http, &uploads, &query))).await {
            Ok(answer) if answer.status() == StatusCode::CREATED => Ok(true),
            Ok(answer) => {
                // An upload has begun instead. Registries forget those that nobody goes on with, too.
                let place = location(&answer)?;
                let _forgotten = self.exchange("Delete", |http| Ok(http.delete(place.clone()))).await;
                Ok(false)
            }
            Err(error) if error.is_transient() => Err(error),
            Err(error) => {
                tracing::debug!(%error, from, "a blob cannot be mounted");
                Ok(false)
            }
        }
    }

    /// Whether the repository has the blob, as far as it tells us.
    pub async fn has(&self, digest: &Digest) -> Result<bool, Error> {
        let url = format!("{}/blobs/{digest}", self.base());
        match self.exchange("Head", |http| Ok(http.head(&url))).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_transient() => Err(error),
            // Whoever may not look is told so when the upload begins.
            Err(_) => Ok(false),
        }
    }

    /// Puts a manifest under a tag or its digest. Gives the digest under which the registry says that it keeps it.
    pub async fn manifest(
        &self,
        target: &str,
        media_type: &str,
        bytes: &Bytes,
    ) -> Result<Option<Digest>, Error> {
        let url = format!("{}/manifests/{target}", self.base());
        let mut attempt = 0;
        loop {
            attempt += 1;
            let put = self.exchange("Put", |http| {
                Ok(http.put(&url).header(header::CONTENT_TYPE, media_type).body(bytes.clone()))
            });
            match put.await {
                Ok(answer) => {
                    let digest = answer.headers().get("docker-content-digest");
                    return Ok(digest.and_then(|value| value.to_str().ok()?.parse().ok()));
                }
                Err(error) if attempt < self.repository.shared.options.attempts && error.is_transient() => {
                    tokio::time::sleep(self.repository.backoff(attempt)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn base(&self) -> String {
        format!("{}/v2/{}", self.endpoint.url, self.repository.path())
    }

    /// One question and its successful answer; a challenge is met once.
    async fn exchange(
        &self,
        method: &'static str,
        make: impl Fn(&reqwest::Client) -> std::io::Result<RequestBuilder>,
    ) -> Result<Response, Error> {
        let Repository { shared, scope, credentials, .. } = &self.repository;
        let credentials: &Credentials = credentials;
        let http = shared.http(&self.endpoint)?;
        let mut challenged = false;
        loop {
            let mut request = make(&http).map_err(store::Error::Input)?;
            if let Some(value) = shared.authorization(&self.endpoint, scope, credentials).await? {
                request = request.header(header::AUTHORIZATION, value);
            }
            let root = format!("{}/v2/", self.endpoint.url);
            let answer = request.send().await.map_err(|error| Error::network(method, &root, &error))?;
            let status = answer.status();
            if status.is_success() {
                return Ok(answer);
            }
            let values = answer.headers().get_all(header::WWW_AUTHENTICATE);
            let texts: Vec<&str> = values.iter().filter_map(|value| value.to_str().ok()).collect();
            let authenticate = texts.join(", ");
            if status == StatusCode::UNAUTHORIZED
                && !challenged
                && shared.authority.learn(&self.endpoint, &authenticate, credentials)
            {
                challenged = true;
                shared.authority.forget(scope);
                continue;
            }
            let wants_basic = crate::challenge::parse(&authenticate).iter().any(|c| c.scheme == "basic");
            if status == StatusCode::UNAUTHORIZED && wants_basic && credentials.is_anonymous() {
                return Err(Error::NoBasicAuth);
            }
            let body =
                read_limited(answer, method, ERROR_BODY_MAX, || "error".to_owned()).await.unwrap_or_default();
            return Err(Error::from_answer(status, &authenticate, &body));
        }
    }
}

fn with_query(http: &reqwest::Client, url: &str, query: &[(&str, &str)]) -> RequestBuilder {
    let mut words = Vec::new();
    for (key, value) in query {
        let escape = |b: u8| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => (b as char).to_string(),
            other => format!("%{other:02X}"),
        };
        words.push(format!("{key}={}", value.bytes().map(escape).collect::<String>()));
    }
    http.post(format!("{url}?{}", words.join("&")))
}

/// Where an upload goes on: absolute, or relative to what was asked.
fn location(answer: &Response) -> Result<Url, Error> {
    let text = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    text.and_then(|text| answer.url().join(text).ok()).ok_or_else(|| Error::Body {
        status: answer.status().as_u16(),
        cause: "an upload without a Location".to_owned(),
        body: String::new(),
    })
}

/// The number of bytes in `0-END`. `0-0` is what registries write for nothing, too: then nobody knows.
fn received(range: &str) -> Option<u64> {
    let end: u64 = range.strip_prefix("bytes=").unwrap_or(range).strip_prefix("0-")?.parse().ok()?;
    end.checked_add(1).filter(|_| end > 0)
}

/// A file from an offset as a body, read as the connection takes it.
fn body(mut file: File, offset: u64, size: u64, step: Step) -> std::io::Result<reqwest::Body> {
    file.seek(SeekFrom::Start(offset))?;
    let state = (file, offset, step);
    let stream = futures_util::stream::try_unfold(state, move |(mut file, sent, step)| async move {
        // Blobs lie in the page cache or on a local disk: as short as a write.
        let read = tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; CHUNK];
            let n = file.read(&mut chunk)?;
            chunk.truncate(n);
            Ok::<_, std::io::Error>((file, chunk))
        });
        let (file, chunk) = read.await.map_err(std::io::Error::other)??;
        if chunk.is_empty() || sent >= size {
            return Ok::<_, std::io::Error>(None);
        }
        let sent = sent + chunk.len() as u64;
        step(UploadStep::Bytes(sent));
        Ok(Some((Bytes::from(chunk), (file, sent, step))))
    });
    Ok(reqwest::Body::wrap_stream(stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_tells_how_far_an_upload_is() {
        let cases = [("0-9", Some(10)), ("bytes=0-9", Some(10)), ("0-0", None), ("1-9", None), ("0-", None)];
        for (range, expect) in cases {
            assert_eq!(received(range), expect, "{range}");
        }
        assert_eq!(received(&format!("0-{}", u64::MAX)), None);
    }
}
