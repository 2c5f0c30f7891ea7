//! The body of a request, read to its end even when nobody wants it.
//!
//! A server that answers early and closes the connection takes the client by surprise in the middle of a write, and
//! the client reports a broken pipe instead of the answer. Go's server reads some of what is left; so do we.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::half_close::Turn;

/// What is left unread of a body is read up to here; then the connection is closed. Go's server reads 256 KiB and lingers
/// after its answer instead, which a client that writes more may still miss.
const DRAIN_MAX_BYTES: usize = 64 << 20;
/// How long a slow client is waited for.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// A body as a stream of chunks. What has not been read when it is dropped is read in a task of its own.
#[derive(Debug)]
pub(crate) struct RequestBody {
    body: Option<Incoming>,
    over: oneshot::Sender<Infallible>,
    /// It may be dropped in a thread that no runtime knows, such as one inside a container's root.
    runtime: Handle,
    turn: Turn,
}

/// Ends when a body has been read or given up.
pub(crate) struct Drained(oneshot::Receiver<Infallible>);

impl Drained {
    /// An error goes out only then, as from Go's server: a client that is still writing would not read it.
    pub(crate) async fn wait(self) {
        // Either the sender is gone with the body, or the patience is; both end the wait.
        let _over = tokio::time::timeout(DRAIN_PATIENCE, self.0).await;
    }
}

impl RequestBody {
    pub(crate) fn new(body: Incoming, turn: Turn) -> (Self, Drained) {
        let (sender, receiver) = oneshot::channel();
        (Self { body: Some(body), over: sender, runtime: Handle::current(), turn }, Drained(receiver))
    }

    /// Whether there is nothing (more) to read.
    pub(crate) fn is_empty(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }
}

impl Stream for RequestBody {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
            match std::task::ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    // Trailers carry nothing for us.
                    if let Ok(data) = frame.into_data() {
                        if self.is_empty() {
                            self.turn.received();
                        }
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Some(Err(e)) => {
                    self.body = None;
                    return Poll::Ready(Some(Err(io::Error::other(e))));
                }
                None => {
                    self.body = None;
                    self.turn.received();
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if self.is_empty() {
            return;
        }
        if let Some(body) = self.body.take() {
            let over = std::mem::replace(&mut self.over, oneshot::channel().0);
            self.runtime.spawn(async move {
                let _given_up = tokio::time::timeout(DRAIN_PATIENCE, drain(body)).await;
                drop(over);
            });
        }
    }
}

async fn drain(mut body: Incoming) {
    let mut left = DRAIN_MAX_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
        left = rest;
    }
}
