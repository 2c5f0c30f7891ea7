//! Progress of pull, load and import: a bounded stream that cancels its work when it is dropped.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use types::{Error, Result};

/// Lines that may wait for a slow client; then the work waits, or leaves out what is out of date anyway.
const PENDING_MAX: usize = 128;

/// One step of progress, in Docker's words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// The layer (12 digits), or the tag in the first line.
    pub id: String,
    /// `Downloading`, `Pull complete`, `Digest: sha256:...`, ...
    pub status: String,
    /// `Some` where Docker sends `progressDetail`; both numbers 0 is `{}`.
    pub detail: Option<Detail>,
    /// Text for `stream` lines (load); then all else is empty.
    pub stream: String,
    /// What a push made; then all else is empty.
    pub aux: Option<Aux>,
}

/// The outcome of a push, for programs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Aux {
    /// Which tag.
    pub tag: String,
    /// Digest of its manifest.
    pub digest: String,
    /// Bytes of its manifest.
    pub size: u64,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Detail {
    /// Bytes done.
    pub current: u64,
    /// Bytes in all; 0 if unknown.
    pub total: u64,
}

impl Progress {
    /// A line about the whole.
    pub(crate) fn message(id: impl Into<String>, status: impl Into<String>) -> Self {
        Self { id: id.into(), status: status.into(), ..Self::default() }
    }

    /// A line about one layer.
    pub(crate) fn step(id: &str, status: &str, current: u64, total: u64) -> Self {
        let detail = Some(Detail { current, total });
        Self { id: id.to_owned(), status: status.to_owned(), detail, ..Self::default() }
    }

    /// A line about a layer whose connection broke.
    pub(crate) fn retrying(id: &str, seconds: u64) -> Self {
        let unit = if seconds == 1 { "second" } else { "seconds" };
        Self::step(id, &format!("Retrying in {seconds} {unit}"), 0, 0)
    }

    /// The outcome of a push.
    pub(crate) fn aux(aux: Aux) -> Self {
        Self { detail: Some(Detail::default()), aux: Some(aux), ..Self::default() }
    }

    /// Text.
    pub(crate) fn stream(text: impl Into<String>) -> Self {
        Self { stream: text.into(), ..Self::default() }
    }
}

/// The events of one operation, ended by `None` or one error. Dropping it cancels the operation.
///
/// An error before the first event is one that Docker answers with a status instead of a stream.
#[derive(Debug)]
pub struct ProgressStream {
    events: mpsc::Receiver<Progress>,
    work: Option<JoinHandle<Result<()>>>,
}

/// The other end. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Reporter(mpsc::Sender<Progress>);

impl ProgressStream {
    /// Runs `work` in a task of its own.
    pub(crate) fn spawn<W, F>(work: W) -> Self
    where
        W: FnOnce(Reporter) -> F,
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (sender, events) = mpsc::channel(PENDING_MAX);
        Self { events, work: Some(tokio::spawn(work(Reporter(sender)))) }
    }

    /// The next event. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<Progress>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Waits for the end and forgets the events.
    pub async fn finish(mut self) -> Result<()> {
        while let Some(event) = self.next().await {
            event?;
        }
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Progress>>> {
        if let Some(event) = std::task::ready!(self.events.poll_recv(cx)) {
            return Poll::Ready(Some(Ok(event)));
        }
        let Some(work) = self.work.as_mut() else { return Poll::Ready(None) };
        let ended = std::task::ready!(Pin::new(work).poll(cx));
        self.work = None;
        Poll::Ready(match ended {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Err(error)),
            Err(died) => Some(Err(Error::internal(format!("the operation was interrupted: {died}")))),
        })
    }
}

impl futures_util::Stream for ProgressStream {
    type Item = Result<Progress>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl Drop for ProgressStream {
    fn drop(&mut self) {
        if let Some(work) = &self.work {
            work.abort();
        }
    }
}

impl Reporter {
    /// Tells the client; waits while it is behind.
    pub(crate) async fn say(&self, event: Progress) {
        // A client that went away is noticed by the drop of the stream, which ends the work.
        let _ = self.0.send(event).await;
    }

    /// Tells the client unless it is behind: for numbers that the next event makes obsolete.
    pub(crate) fn hint(&self, event: Progress) {
        let _ = self.0.try_send(event);
    }

    /// For blocking threads. False when nobody listens any more: the work should end.
    pub(crate) fn say_blocking(&self, event: Progress) -> bool {
        self.0.blocking_send(event).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn events_come_in_order_and_an_error_ends_them() {
        let mut stream = ProgressStream::spawn(|report| async move {
            report.say(Progress::message("a", "one")).await;
            report.say(Progress::step("b", "two", 1, 2)).await;
            Err(Error::internal("broken"))
        });
        assert_eq!(stream.next().await.unwrap().unwrap().status, "one");
        assert_eq!(stream.next().await.unwrap().unwrap().detail, Some(Detail { current: 1, total: 2 }));
        assert_eq!(stream.next().await.unwrap().unwrap_err().message, "broken");
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn dropping_the_stream_cancels_the_work() {
        let (alive, mut gone) = mpsc::channel::<()>(1);
        let stream = ProgressStream::spawn(|_| async move {
            let _alive = alive;
            std::future::pending().await
        });
        drop(stream);
        assert!(gone.recv().await.is_none());
    }
}
