//! A connection: plain, where the kernel sends files by itself, or TLS. One that takes no bytes for a minute ends.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;

use super::body::{Segments, is_marker};

/// For how long a client may take nothing of what is written to it.
const STALL_MAX: Duration = Duration::from_secs(60);

/// The stream below.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What hyper writes to.
pub(super) struct Connection {
    stream: Stream,
    /// Files that were announced on this connection.
    segments: Segments,
    stall: Option<Pin<Box<Sleep>>>,
    progress: Instant,
}

impl Connection {
    pub(super) fn new(stream: Stream, segments: Segments) -> Self {
        Self { stream, segments, stall: None, progress: Instant::now() }
    }

    /// Notes what a write came to, and fails one that has waited for too long.
    fn watch(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.progress = Instant::now();
            return written;
        }
        let deadline = self.progress + STALL_MAX;
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if ready!(stall.as_mut().poll_once(context)) {
            // The timer was set before the last progress: it is set anew instead of at every write.
            if deadline > Instant::now() {
                stall.as_mut().reset(deadline);
                ready!(stall.as_mut().poll_once(context));
            }
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")));
        }
        Poll::Pending
    }

    /// Has the kernel send up to `length` bytes of the file that is first in the queue.
    fn poll_send(&mut self, context: &mut Context<'_>, length: usize) -> Poll<io::Result<usize>> {
        let Stream::Plain(stream) = &self.stream else {
            return Poll::Ready(Err(io::Error::other(
                "a file was announced where the kernel cannot send it",
            )));
        };
        loop {
            ready!(stream.poll_write_ready(context))?;
            let sent = self.segments.with(|queue| {
                let segment = queue.front_mut().ok_or_else(|| io::Error::other("no file was announced"))?;
                let count = length.min(usize::try_from(segment.length).unwrap_or(length));
                let mut offset = segment.offset;
                let sent = stream.try_io(Interest::WRITABLE, || {
                    Ok(rustix::fs::sendfile(stream, &*segment.file, Some(&mut offset), count)?)
                })?;
                if sent == 0 {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the blob's file is too short"));
                }
                segment.offset += sent as u64;
                segment.length -= sent as u64;
                if segment.length == 0 {
                    queue.pop_front();
                }
                Ok(sent)
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other),
            }
        }
    }
}

/// Polls a timer; `Ready(true)` when it has fired.
trait PollOnce {
    fn poll_once(self, context: &mut Context<'_>) -> Poll<bool>;
}

impl PollOnce for Pin<&mut Sleep> {
    fn poll_once(self, context: &mut Context<'_>) -> Poll<bool> {
        std::future::Future::poll(self, context).map(|()| true)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.as_mut().poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let empty = slices.iter().take_while(|slice| slice.is_empty()).count();
        let slices = slices.get(empty..).unwrap_or_default();
        let written = match slices.first() {
            Some(first) if is_marker(first) => self.poll_send(context, first.len()),
            _ => {
                let plain = slices.iter().take_while(|slice| !is_marker(slice)).count();
                let slices = slices.get(..plain).unwrap_or_default();
                match &mut self.stream {
                    Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
                    Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
                }
            }
        };
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
