//! Bodies of answers. A blob's file is not read here: on a plain connection the kernel sends it.
//!
//! hyper takes bytes from a body and writes them to the connection. For a file the body gives it *markers*: slices of
//! a static region that nobody reads. The connection recognises a marker by its address and has the kernel send as
//! many bytes of the file instead. Markers and files go through a queue in the order in which they are sent, so an
//! answer that waits behind another one cannot be confused with it. Where markers cannot be used (TLS, HTTP/2) the
//! body reads the file.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs::File;
use std::future::Future;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http_body::{Frame, SizeHint};

use crate::server::storage::{Result as StorageResult, StorageError};

/// The largest marker: what is asked of the kernel at once.
const MARKER_BYTES: usize = 1 << 20;
/// What is read at once where the file is read.
const READ_BYTES: usize = 128 << 10;

/// The region of markers. Zero pages that are never touched, so it takes no memory.
fn region() -> &'static [u8] {
    static REGION: OnceLock<&'static [u8]> = OnceLock::new();
    REGION.get_or_init(|| Box::leak(vec![0; MARKER_BYTES].into_boxed_slice()))
}

/// Whether these bytes stand for bytes of a file.
pub(super) fn is_marker(bytes: &[u8]) -> bool {
    let region = region().as_ptr_range();
    !bytes.is_empty() && region.contains(&bytes.as_ptr())
}

/// A stretch of a file that has been announced by a marker and not yet been sent.
pub(super) struct Segment {
    pub(super) file: Arc<File>,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// The segments of one connection, in the order of their markers.
#[derive(Clone, Default)]
pub(crate) struct Segments(Arc<Mutex<VecDeque<Segment>>>);

impl Segments {
    pub(super) fn with<T>(&self, use_them: impl FnOnce(&mut VecDeque<Segment>) -> T) -> T {
        use_them(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Why a body could not be sent to its end: the connection is closed, and the client sees that bytes are missing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// From storage.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The file is shorter than it was.
    #[error("the stored blob ends before its length")]
    Short,
}

impl From<Infallible> for BodyError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

type Reading = Pin<Box<dyn Future<Output = StorageResult<Bytes>> + Send>>;

enum Kind {
    Empty,
    Bytes(Bytes),
    Sent { file: Arc<File>, offset: u64, segments: Segments },
    Read { file: Arc<File>, offset: u64, reading: Option<Reading> },
    Stream(BoxStream<'static, StorageResult<Bytes>>),
}

/// The body of an answer.
pub(crate) struct Body {
    kind: Kind,
    /// What is still to come, if known.
    left: Option<u64>,
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self { kind: Kind::Empty, left: Some(0) }
    }

    pub(crate) fn bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { left: Some(bytes.len() as u64), kind: Kind::Bytes(bytes) }
    }

    /// `length` bytes of a file from `offset`; by the kernel where the connection can.
    pub(crate) fn file(file: Arc<File>, offset: u64, length: u64, segments: Option<Segments>) -> Self {
        let kind = match segments {
            Some(segments) => Kind::Sent { file, offset, segments },
            None => Kind::Read { file, offset, reading: None },
        };
        Self { kind, left: Some(length) }
    }

    /// What a stream brings, `length` bytes if that is known.
    pub(crate) fn stream(stream: BoxStream<'static, StorageResult<Bytes>>, length: Option<u64>) -> Self {
        Self { kind: Kind::Stream(stream), left: length }
    }
}

fn read_at(file: &File, offset: u64, length: usize) -> StorageResult<Bytes> {
    let mut buffer = vec![0; length];
    let count = file.read_at(&mut buffer, offset);
    let count = count.map_err(|error| StorageError::io(std::path::Path::new("blob"), error))?;
    buffer.truncate(count);
    Ok(buffer.into())
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.left == Some(0) {
            return Poll::Ready(None);
        }
        let left = self.left;
        let wanted = |most: usize| left.map_or(most, |left| most.min(usize::try_from(left).unwrap_or(most)));
        let bytes = match &mut self.kind {
            Kind::Empty => return Poll::Ready(None),
            Kind::Bytes(bytes) => std::mem::take(bytes),
            Kind::Sent { file, offset, segments } => {
                let length = wanted(MARKER_BYTES);
                let segment = Segment { file: file.clone(), offset: *offset, length: length as u64 };
                segments.with(|queue| queue.push_back(segment));
                *offset += length as u64;
                Bytes::from_static(region().get(..length).unwrap_or_default())
            }
            Kind::Read { file, offset, reading } => {
                let future = reading.get_or_insert_with(|| {
                    let (file, offset, length) = (file.clone(), *offset, wanted(READ_BYTES));
                    Box::pin(crate::server::storage::blocking(move || read_at(&file, offset, length)))
                });
                let read = ready!(future.as_mut().poll(context));
                *reading = None;
                let bytes = read?;
                *offset += bytes.len() as u64;
                bytes
            }
            Kind::Stream(stream) => match ready!(stream.poll_next_unpin(context)) {
                None if left.is_none() => return Poll::Ready(None),
                None => return Poll::Ready(Some(Err(BodyError::Short))),
                Some(bytes) => bytes?,
            },
        };
        if bytes.is_empty() && !matches!(self.kind, Kind::Stream(_)) {
            return Poll::Ready(Some(Err(BodyError::Short)));
        }
        self.left = left.map(|left| left.saturating_sub(bytes.len() as u64));
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
