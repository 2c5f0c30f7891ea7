//! Connections that stop being HTTP: attach and exec (Engine API, "Attach to a container", "Hijacking").
//!
//! ```text
//! client asks `Upgrade: tcp`:  101 UPGRADED, then raw bytes both ways; each way ends by a half-close of its own
//! client does not:             200 as HTTP/1.0, the body runs until the connection closes; a request body is stdin
//! ```

use std::io;
use std::time::Duration;

use bytes::Bytes;
use engine::containers::view::{Attached, LogStream};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use http::{StatusCode, Version};
use hyper::ext::ReasonPhrase;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::call::Call;
use crate::half_close::UnixClient;
use crate::reply::{self, Reply};
use crate::request_body::RequestBody;

/// Bytes moved at once by a fast stream.
const CHUNK: usize = 64 << 10;
/// Bytes moved at once by a slow one.
const CHUNK_MIN: usize = 4 << 10;

/// How long a client that still sends may take to see that its stream has ended.
const LINGER: Duration = Duration::from_secs(2);

/// The content type of a stream, by version (`application/vnd.docker.multiplexed-stream` came with 1.42).
pub(crate) fn content_type(version: wire::ApiVersion, tty: bool) -> HeaderValue {
    HeaderValue::from_static(if version.since(42) && !tty {
        wire::MULTIPLEXED_STREAM
    } else {
        wire::RAW_STREAM
    })
}

/// What goes to the client, and perhaps comes from it.
pub(crate) enum Content {
    /// A container or exec.
    Attached(Attached),
    /// An error that was found too late for a status: text, in the form of the stream.
    Text(Bytes),
}

/// Where that comes from.
pub(crate) enum Source {
    /// It is there.
    Now(Content),
    /// What comes of work that begins once the client has the headers. Output on their heels would share a packet with
    /// them, and clients that read headers through a buffer (Docker's Python SDK) would lose it.
    Later(BoxFuture<'static, Content>),
}

impl Source {
    async fn content(self) -> Content {
        match self {
            Self::Now(content) => content,
            Self::Later(work) => work.await,
        }
    }
}

/// Gives the connection to `source`. `is_stdin` tells whether what the client sends is wanted.
pub(crate) fn hijack(call: Call, is_stdin: bool, content_type: HeaderValue, source: Source) -> Reply {
    let Call { upgrade, body, .. } = call;
    match upgrade {
        Some(upgrade) => {
            tokio::spawn(async move {
                if let Err(e) = upgraded(upgrade, is_stdin, source).await {
                    tracing::debug!("hijacked stream: {e}");
                }
            });
            let mut reply = reply::empty(StatusCode::SWITCHING_PROTOCOLS);
            reply.extensions_mut().insert(ReasonPhrase::from_static(b"UPGRADED"));
            let headers = reply.headers_mut();
            headers.insert(CONTENT_TYPE, content_type);
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("tcp"));
            reply
        }
        // Docker tells the kind of stream only to who asks for an upgrade.
        None => plain(body, is_stdin, HeaderValue::from_static(wire::RAW_STREAM), source),
    }
}

/// What an attachment is told that cannot be: text, and the end of the connection.
pub(crate) fn refused(error: &types::Error) -> Reply {
    tracing::debug!("attach: {error}");
    let text = format!("{}\r\n", error.message);
    let status = reply::status_of(error.kind);
    let mut reply = reply::bytes(status, HeaderValue::from_static(wire::RAW_STREAM), text);
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

async fn upgraded(upgrade: OnUpgrade, is_stdin: bool, source: Source) -> io::Result<()> {
    let client = upgrade.await.map_err(io::Error::other)?;
    // The bare socket costs one copy less per byte than hyper's wrapping of it.
    match client.downcast::<TokioIo<UnixClient>>() {
        Ok(parts) => serve(parts.io.into_inner().into_inner(), parts.read_buf, is_stdin, source).await,
        Err(client) => serve(TokioIo::<Upgraded>::new(client), Bytes::new(), is_stdin, source).await,
    }
}

async fn serve<C>(mut client: C, early: Bytes, is_stdin: bool, source: Source) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let attached = match source.content().await {
        Content::Text(text) => {
            client.write_all(&text).await?;
            return client.shutdown().await;
        }
        Content::Attached(attached) => attached,
    };
    if let Some(history) = attached.history {
        send_log(&mut client, history).await?;
    }
    let Some(stream) = attached.stream else { return client.shutdown().await };
    splice(client, stream, early, is_stdin).await
}

async fn send_log(client: &mut (impl AsyncWrite + Unpin), mut log: LogStream) -> io::Result<()> {
    while let Some(chunk) = log.chunks.recv().await {
        client.write_all(&chunk.map_err(io::Error::other)?).await?;
    }
    Ok(())
}

/// Moves bytes both ways until the container's side ends. The client's end of input is passed on as such.
async fn splice<C>(client: C, container: UnixStream, early: Bytes, is_stdin: bool) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_container, mut to_container) = container.into_split();
    let input = async {
        if !early.is_empty() && is_stdin {
            to_container.write_all(&early).await?;
        }
        if is_stdin {
            copy(&mut from_client, &mut to_container).await?;
        } else {
            // What the client sends is not wanted, but that it hangs up is.
            tokio::io::copy(&mut from_client, &mut tokio::io::sink()).await?;
        }
        to_container.shutdown().await
    };
    let output = async {
        ended(copy(&mut from_container, &mut to_client).await)?;
        to_client.shutdown().await
    };
    {
        let (mut output, input) = (std::pin::pin!(output), std::pin::pin!(input));
        tokio::select! {
            over = output.as_mut() => over?,
            // The end of input is not the end of output; and if the client's connection broke, or the container closed its
            // stdin, output says which.
            _ = input => output.await?,
        }
    }
    // A socket that is closed with something unread in it breaks the connection, and a client that still types would see
    // that instead of the end.
    let mut nowhere = tokio::io::sink();
    let unread = tokio::io::copy(&mut from_client, &mut nowhere);
    let _gone = tokio::time::timeout(LINGER, unread).await;
    Ok(())
}

/// A container that ends with input unread breaks its connection; its output has come by then, so that is its end, too.
pub(crate) fn ended<T: Default>(result: io::Result<T>) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(T::default()),
        other => other,
    }
}

/// Copies until the end. The buffer is small until the stream turns out to be fast: idle attachments hold little.
async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_MIN];
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&chunk[..read]).await?;
        if read == chunk.len() && read < CHUNK {
            chunk.resize(CHUNK, 0);
        }
    }
}

/// A client that speaks plain HTTP: output is the body of the answer, stdin the body of the request.
fn plain(body: RequestBody, is_stdin: bool, content_type: HeaderValue, source: Source) -> Reply {
    let (chunks, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        if let Err(e) = feed(source, body, is_stdin, &chunks).await {
            tracing::debug!("attached stream: {e}");
        }
    });
    let chunks = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let chunk: Bytes = receiver.recv().await?;
        Some((Ok(chunk), receiver))
    });
    let mut reply = reply::stream(content_type, chunks);
    // Bytes as they are, until the connection closes: no chunks that a raw reader would see.
    *reply.version_mut() = Version::HTTP_10;
    reply
}

async fn feed(
    source: Source,
    mut body: RequestBody,
    is_stdin: bool,
    to: &mpsc::Sender<Bytes>,
) -> io::Result<()> {
    let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
    let attached = match source.content().await {
        Content::Text(text) => return to.send(text).await.map_err(gone),
        Content::Attached(attached) => attached,
    };
    if let Some(mut history) = attached.history {
        while let Some(chunk) = history.chunks.recv().await {
            to.send(chunk.map_err(io::Error::other)?).await.map_err(gone)?;
        }
    }
    let Some(stream) = attached.stream else { return Ok(()) };
    let (mut from_container, mut to_container) = stream.into_split();
    let input = async {
        while let Some(Ok(data)) = body.next().await {
            if is_stdin {
                to_container.write_all(&data).await?;
            }
        }
        to_container.shutdown().await
    };
    let output = async {
        loop {
            let mut chunk = Vec::with_capacity(16 << 10);
            if ended(from_container.read_buf(&mut chunk).await)? == 0 {
                return Ok(());
            }
            to.send(chunk.into()).await.map_err(gone)?;
        }
    };
    let mut output = std::pin::pin!(output);
    tokio::select! {
        ended = output.as_mut() => ended,
        () = to.closed() => Ok(()),
        _ = input => output.await,
    }
}

/// A log as the body of an answer.
pub(crate) fn log_stream(
    log: LogStream,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static {
    let chunks =
        futures_util::stream::unfold(
            log.chunks,
            |mut chunks| async move { Some((chunks.recv().await?, chunks)) },
        );
    chunks.map(|chunk| chunk.map_err(io::Error::other))
}
