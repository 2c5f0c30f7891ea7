//! One blob from a registry into the content store: hashed as it streams, resumed where it broke off.
//!
//! ```text
//!   HTTP body ──chunks──> bounded channel ──> a blocking thread: Ingest (hash, write, flush, rename)
//!       └─ broken? wait, ask for the rest with Range; give up after `attempts` without a single new byte
//! ```
//! Dropping the future closes the channel; the thread then keeps what it has for the next attempt.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_RANGE;
use store::{BlobInfo, Ingest, Store};
use tokio::sync::{mpsc, oneshot};
use types::{Descriptor, Digest};

use crate::Error;
use crate::repository::{Repository, wait};

/// Chunks that may wait for the disk: bounds memory, and lets network and hashing overlap.
const CHUNKS_MAX: usize = 16;

/// What a download is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownloadStep {
    /// This many bytes of the blob are there.
    Bytes(u64),
    /// All bytes are there; the digest is being checked and, if it is to stay, the file flushed.
    Verifying,
    /// Broken; the next attempt starts in this many seconds.
    Retrying(u64),
}

impl Repository {
    /// Fetches the blob that `descriptor` names into the content store of `store`, unless it is there.
    pub async fn fetch_blob(
        &self,
        store: &Arc<Store>,
        descriptor: &Descriptor,
        step: impl FnMut(DownloadStep),
    ) -> Result<(), Error> {
        self.fetch(store, descriptor, step, Ingest::commit).await
    }

    /// The same for a blob that nothing lasting will name ([`Ingest::commit_for_now`]): it is not flushed.
    pub async fn fetch_blob_for_now(
        &self,
        store: &Arc<Store>,
        descriptor: &Descriptor,
        step: impl FnMut(DownloadStep),
    ) -> Result<(), Error> {
        self.fetch(store, descriptor, step, Ingest::commit_for_now).await
    }

    async fn fetch(
        &self,
        store: &Arc<Store>,
        descriptor: &Descriptor,
        mut step: impl FnMut(DownloadStep),
        commit: Commit,
    ) -> Result<(), Error> {
        let mut resumed = true;
        loop {
            let Some(mut writer) = Writer::open(store, descriptor, commit).await? else { return Ok(()) };
            resumed &= writer.offset > 0;
            let outcome = self.fill(&mut writer, descriptor, &mut step).await;
            resumed &= !writer.restarted;
            let done = match outcome {
                Ok(()) => {
                    step(DownloadStep::Verifying);
                    writer.commit().await
                }
                Err(error) => writer.fail(error).await,
            };
            match done {
                // What an earlier daemon left may be what is wrong: once more, from the start.
                Err(Error::LayerDigest(_)) if resumed => {
                    tracing::warn!(digest = %descriptor.digest, "a partial download was corrupt");
                    resumed = false;
                }
                done => return done,
            }
        }
    }

    async fn fill(
        &self,
        writer: &mut Writer,
        descriptor: &Descriptor,
        step: &mut impl FnMut(DownloadStep),
    ) -> Result<(), Error> {
        let mut attempt = 0;
        while writer.offset < descriptor.size {
            let before = writer.offset;
            let error = match self.stream_into(writer, descriptor, step).await {
                Ok(()) if writer.offset == descriptor.size => return Ok(()),
                Ok(()) => {
                    let (digest, expected) = (descriptor.digest.clone(), descriptor.size);
                    return Err(Error::Size { digest, expected, got: writer.offset });
                }
                Err(error) => error,
            };
            // A connection that brought something was worth it: only attempts in vain are counted.
            attempt = if writer.offset > before { 1 } else { attempt + 1 };
            if !error.is_transient() || attempt >= self.shared.options.attempts {
                return Err(error);
            }
            tracing::debug!(digest = %descriptor.digest, offset = writer.offset, attempt, %error, "resuming a download");
            wait(self.backoff(attempt), |seconds| step(DownloadStep::Retrying(seconds))).await;
        }
        Ok(())
    }

    async fn stream_into(
        &self,
        writer: &mut Writer,
        descriptor: &Descriptor,
        step: &mut impl FnMut(DownloadStep),
    ) -> Result<(), Error> {
        let mut answer = match self.open_blob(&descriptor.digest, writer.offset).await {
            Err(Error::Range) if writer.offset > 0 => {
                writer.restart().await?;
                self.open_blob(&descriptor.digest, 0).await?
            }
            answer => answer?,
        };
        let continues = answer.status() == StatusCode::PARTIAL_CONTENT
            && answer
                .headers()
                .get(CONTENT_RANGE)
                .and_then(|value| value.to_str().ok())
                .is_some_and(|range| range.starts_with(&format!("bytes {}-", writer.offset)));
        if writer.offset > 0 && !continues {
            writer.restart().await?;
        }
        step(DownloadStep::Bytes(writer.offset));
        let url = answer.url().to_string();
        while let Some(chunk) = answer.chunk().await.map_err(|error| Error::network("Get", &url, &error))? {
            if writer.offset + chunk.len() as u64 > descriptor.size {
                let (digest, expected) = (descriptor.digest.clone(), descriptor.size);
                return Err(Error::Size { digest, expected, got: writer.offset + chunk.len() as u64 });
            }
            writer.append(chunk).await?;
            step(DownloadStep::Bytes(writer.offset));
        }
        Ok(())
    }
}

/// How a blob comes into its place.
type Commit = fn(Ingest) -> Result<BlobInfo, store::Error>;

enum Message {
    Bytes(Bytes),
    Restart,
    Commit(oneshot::Sender<Result<(), Error>>),
    /// The content is wrong: nothing is kept.
    Abandon,
}

/// The async end of an ingest that lives on a blocking thread.
struct Writer {
    digest: Digest,
    messages: mpsc::Sender<Message>,
    /// `None` once its end was seen.
    thread: Option<tokio::task::JoinHandle<Result<(), Error>>>,
    offset: u64,
    restarted: bool,
}

/// How long the thread of a download that was given up may take to let go of its file.
const LET_GO_MAX: Duration = Duration::from_secs(5);

/// Opens the ingest of a blob. The thread of a pull whose client has just gone may still hold it: it ends by itself, and
/// nobody else writes a blob at the same time.
fn take_over(store: &Store, key: &Digest, size: u64) -> Result<Ingest, store::Error> {
    let deadline = Instant::now() + LET_GO_MAX;
    loop {
        match store.content().ingest(Some(key), Some(size)) {
            Err(store::Error::Busy(_)) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            taken => return taken,
        }
    }
}

impl Writer {
    /// `None` if the blob is there already.
    async fn open(
        store: &Arc<Store>,
        descriptor: &Descriptor,
        commit: Commit,
    ) -> Result<Option<Self>, Error> {
        let digest = descriptor.digest.clone();
        let (messages, inbox) = mpsc::channel(CHUNKS_MAX);
        let (opened, is_open) = oneshot::channel();
        let (store, key, size) = (store.clone(), digest.clone(), descriptor.size);
        let thread = tokio::task::spawn_blocking(move || {
            if store.content().contains(&key)? {
                let _ = opened.send(None);
                return Ok(());
            }
            let ingest = take_over(&store, &key, size)?;
            let _ = opened.send(Some(ingest.offset()));
            write(ingest, inbox, commit)
        });
        match is_open.await {
            Ok(Some(offset)) => {
                Ok(Some(Self { digest, messages, thread: Some(thread), offset, restarted: false }))
            }
            Ok(None) => Ok(None),
            // The thread ended before it was open: it says why.
            Err(_) => thread.await.map_err(|_| Error::Interrupted(digest))?.map(|()| None),
        }
    }

    async fn append(&mut self, chunk: Bytes) -> Result<(), Error> {
        let length = chunk.len() as u64;
        self.send(Message::Bytes(chunk)).await?;
        self.offset += length;
        Ok(())
    }

    async fn restart(&mut self) -> Result<(), Error> {
        self.send(Message::Restart).await?;
        (self.offset, self.restarted) = (0, true);
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Result<(), Error> {
        match self.messages.send(message).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.gave_up().await),
        }
    }

    /// Why the thread gave up: its own error is better than "channel closed".
    async fn gave_up(&mut self) -> Error {
        let ended = match self.thread.take() {
            Some(thread) => thread.await.ok(),
            None => None,
        };
        match ended {
            Some(Err(error)) => error,
            _ => Error::Interrupted(self.digest.clone()),
        }
    }

    async fn commit(mut self) -> Result<(), Error> {
        let (reply, outcome) = oneshot::channel();
        self.send(Message::Commit(reply)).await?;
        match outcome.await {
            Ok(outcome) => outcome,
            // A small blob is all under way before the disk says that it is full.
            Err(_) => Err(self.gave_up().await),
        }
    }

    /// Ends with `error`. What came so far is kept unless the registry lied.
    async fn fail(mut self, error: Error) -> Result<(), Error> {
        if matches!(error, Error::Size { .. }) {
            let _ = self.send(Message::Abandon).await;
        }
        drop(self.messages);
        if let Some(thread) = self.thread.take() {
            // Only for the file to be closed when the caller hears of the failure.
            let _ = thread.await;
        }
        Err(error)
    }
}

fn write(mut ingest: Ingest, mut inbox: mpsc::Receiver<Message>, commit: Commit) -> Result<(), Error> {
    while let Some(message) = inbox.blocking_recv() {
        match message {
            Message::Bytes(bytes) => match ingest.append(&bytes) {
                // Half a blob on a full disk helps nobody.
                Err(error @ store::Error::NoSpace { .. }) => {
                    ingest.abandon();
                    return Err(error.into());
                }
                outcome => outcome?,
            },
            Message::Restart => ingest.restart()?,
            Message::Abandon => {
                ingest.abandon();
                break;
            }
            Message::Commit(reply) => {
                let outcome = commit(ingest).map(drop).map_err(|error| match error {
                    store::Error::DigestMismatch { expected, .. } => Error::LayerDigest(expected),
                    error => Error::Store(error),
                });
                let _ = reply.send(outcome);
                break;
            }
        }
    }
    Ok(())
}
