//! Clients that have said all they have to say and close their sending side (`nc -N`): they want their answer.
//!
//! To hyper the end of what comes is the end of the connection. So it is told of that end only when nothing is being
//! answered, or when the client is gone altogether. A unix socket tells the two apart, TCP does not: there a client that
//! closes its sending side counts as gone.

use std::io;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::{Instant, Sleep};

/// How long after the end of what comes a request's body may still be read: that end may have been seen before the body's.
const BODY_PATIENCE: Duration = Duration::from_secs(1);

const IDLE: u8 = 0;
const RECEIVING: u8 = 1;
const ANSWERING: u8 = 2;

/// What a connection is doing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn(Arc<AtomicU8>);

impl Turn {
    /// A request has come; its body, if it has one, has not.
    pub(crate) fn begin(&self, has_body: bool) {
        self.0.store(if has_body { RECEIVING } else { ANSWERING }, Ordering::Release);
    }

    /// Its body has come, too.
    pub(crate) fn received(&self) {
        // Not after the answer: a body may be read to its end behind it.
        let _over = self.0.compare_exchange(RECEIVING, ANSWERING, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The answer's body, whose end is that of the turn.
    pub(crate) fn until_sent<B>(self, body: B) -> Answer<B> {
        Answer { body, turn: self }
    }

    fn now(&self) -> u8 {
        self.0.load(Ordering::Acquire)
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct Answer<B> {
    body: B,
    turn: Turn,
}

impl<B> Drop for Answer<B> {
    fn drop(&mut self) {
        self.turn.0.store(IDLE, Ordering::Release);
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A client on a unix socket.
#[derive(Debug)]
pub(crate) struct UnixClient {
    stream: UnixStream,
    turn: Turn,
    ended: Option<Ended>,
}

/// Nothing more comes.
#[derive(Debug)]
struct Ended {
    body_patience: Pin<Box<Sleep>>,
    /// The same socket once more, with a readiness of its own.
    watch: UnixStream,
}

impl UnixClient {
    pub(crate) fn new(stream: UnixStream, turn: Turn) -> Self {
        Self { stream, turn, ended: None }
    }

    /// Without the care: for a connection that is no HTTP any more, where each side ends by itself.
    pub(crate) fn into_inner(self) -> UnixStream {
        self.stream
    }
}

impl Ended {
    fn new(stream: &UnixStream) -> io::Result<Self> {
        let copy = std::os::unix::net::UnixStream::from(stream.as_fd().try_clone_to_owned()?);
        Ok(Self {
            body_patience: Box::pin(tokio::time::sleep_until(Instant::now() + BODY_PATIENCE)),
            watch: UnixStream::from_std(copy)?,
        })
    }

    /// Completes when hyper should know.
    fn poll_over(&mut self, turn: &Turn, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match turn.now() {
            IDLE => return Poll::Ready(Ok(())),
            RECEIVING if self.body_patience.as_mut().poll(cx).is_ready() => return Poll::Ready(Ok(())),
            _ => {}
        }
        loop {
            // That a socket can be written to does not interest here, but the end of that is told in the same way.
            ready!(self.watch.poll_write_ready(cx))?;
            let gone = self.watch.try_io(Interest::WRITABLE, || match hung_up(&self.watch)? {
                true => Ok(()),
                false => Err(io::ErrorKind::WouldBlock.into()),
            });
            match gone {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                gone => return Poll::Ready(gone),
            }
        }
    }
}

/// Whether the other side has closed both directions.
fn hung_up(stream: &UnixStream) -> io::Result<bool> {
    let mut fds = [PollFd::new(stream, PollFlags::empty())];
    rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR))
}

impl AsyncRead for UnixClient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ended.is_none() {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
            if buffer.filled().len() > before || buffer.remaining() == 0 || this.turn.now() == IDLE {
                return Poll::Ready(Ok(()));
            }
            this.ended = Some(Ended::new(&this.stream)?);
        }
        this.ended.as_mut().map_or(Poll::Ready(Ok(())), |ended| ended.poll_over(&this.turn, cx))
    }
}

impl AsyncWrite for UnixClient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// That nothing is told in a moment.
    async fn is_silent(client: &mut UnixClient) -> bool {
        tokio::time::timeout(Duration::from_millis(20), client.read(&mut [0])).await.is_err()
    }

    #[tokio::test]
    async fn an_end_is_told_between_requests_and_when_the_client_is_gone() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let turn = Turn::default();
        let mut client = UnixClient::new(ours, turn.clone());
        turn.begin(false);
        theirs.shutdown().await.unwrap();
        assert!(is_silent(&mut client).await, "it waits for its answer");
        drop(turn.clone().until_sent(()));
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "nothing is being answered");
        turn.begin(false);
        assert!(is_silent(&mut client).await);
        drop(theirs);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "nobody is there");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_not_waited_for_for_ever() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let turn = Turn::default();
        let mut client = UnixClient::new(ours, turn.clone());
        theirs.shutdown().await.unwrap();
        turn.begin(true);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        turn.begin(true);
        turn.received();
        assert!(is_silent(&mut client).await, "the body was there in time");
    }
}
