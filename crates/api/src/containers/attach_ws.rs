//! `GET /containers/{id}/attach/ws`: an attachment over a WebSocket.
//!
//! Output comes as it is, without the frames of the other attachment: one stream, in binary messages (text before 1.28).

use std::io;

use engine::containers::request::AttachRequest;
use engine::containers::view::Attached;
use http::{HeaderValue, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use types::{Error, Frame};

use crate::call::Call;
use crate::hijack;
use crate::reply::{self, Result};
use crate::websocket::{self, Opcode, Reader, Received};

/// Bytes moved at once.
const CHUNK: usize = 16 << 10;
/// Pings that wait for their answer; a client that sends more waits itself.
const PINGS: usize = 4;

/// `GET /containers/{id}/attach/ws`
pub(crate) async fn attach_ws(mut call: Call) -> Result {
    if let Some(keys) = call.query.optional("detachKeys") {
        engine::containers::check_detach_keys(&keys)?;
    }
    call.parts.containers.must_exist(&call.name)?;
    let headers = match websocket::handshake(&call.headers) {
        Ok(headers) => headers,
        // Docker's library for it knows no JSON.
        Err(error) => {
            let plain = HeaderValue::from_static("text/plain; charset=utf-8");
            return Ok(reply::bytes(reply::status_of(error.kind), plain, error.message));
        }
    };
    let upgrade = call.upgrade.take().ok_or_else(|| Error::invalid("not websocket protocol"))?;
    let query = &call.query;
    // Before 1.42 the streams could not be chosen.
    let wants = |name| call.version.before(42) || query.flag(name);
    let request = AttachRequest {
        logs: query.flag("logs"),
        stream: query.flag("stream"),
        stdin: wants("stdin"),
        stdout: wants("stdout"),
        stderr: wants("stderr"),
        detach_keys: query.optional("detachKeys"),
    };
    let is_stdin = request.stdin;
    let opcode = if call.version.since(28) { Opcode::Binary } else { Opcode::Text };
    let attached = call.parts.containers.attach(&call.name, request).await?;
    tokio::spawn(async move {
        if let Err(error) = serve(upgrade, attached, is_stdin, opcode).await {
            tracing::debug!("attached websocket: {error}");
        }
    });
    let mut reply = reply::empty(StatusCode::SWITCHING_PROTOCOLS);
    reply.headers_mut().extend(headers);
    Ok(reply)
}

async fn serve(upgrade: OnUpgrade, attached: Attached, is_stdin: bool, opcode: Opcode) -> io::Result<()> {
    let client = TokioIo::<Upgraded>::new(upgrade.await.map_err(io::Error::other)?);
    let (from_client, mut to_client) = tokio::io::split(client);
    let mut plain = Plain::new(attached.tty);
    if let Some(mut history) = attached.history {
        while let Some(chunk) = history.chunks.recv().await {
            let text = plain.feed(&chunk.map_err(io::Error::other)?);
            websocket::send(&mut to_client, opcode, &text).await?;
        }
    }
    if let Some(stream) = attached.stream {
        let (from_container, to_container) = stream.into_split();
        let (pings, pinged) = mpsc::channel(PINGS);
        // Either end ends it: a WebSocket has no half-close.
        tokio::select! {
            ended = input(from_client, to_container, is_stdin, pings) => ended?,
            ended = output(from_container, &mut to_client, &mut plain, opcode, pinged) => ended?,
        }
    }
    websocket::send(&mut to_client, Opcode::Close, &1000_u16.to_be_bytes()).await?;
    to_client.shutdown().await
}

/// From the client, until it is done.
async fn input(
    client: impl AsyncRead + Unpin,
    mut container: impl AsyncWrite + Unpin,
    is_stdin: bool,
    pings: mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    let mut reader = Reader::new(client);
    // A container that reads no more still writes.
    let mut is_open = is_stdin;
    loop {
        match reader.next().await? {
            Received::Data(bytes) if is_open => is_open = container.write_all(&bytes).await.is_ok(),
            Received::Data(_) => {}
            Received::Ping(bytes) => {
                if pings.send(bytes).await.is_err() {
                    return Ok(());
                }
            }
            Received::Close => return Ok(()),
        }
    }
}

/// To the client, until the container ends.
async fn output(
    mut container: impl AsyncRead + Unpin,
    client: &mut (impl AsyncWrite + Unpin),
    plain: &mut Plain,
    opcode: Opcode,
    mut pings: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        tokio::select! {
            got = container.read(&mut chunk) => match hijack::ended(got)? {
                0 => return Ok(()),
                got => {
                    let text = plain.feed(&chunk[..got]);
                    if !text.is_empty() {
                        websocket::send(client, opcode, &text).await?;
                    }
                }
            },
            Some(ping) = pings.recv() => websocket::send(client, Opcode::Pong, &ping).await?,
        }
    }
}

/// Takes the 8-byte frames of a container's output away.
struct Plain {
    is_framed: bool,
    header: Vec<u8>,
    /// Bytes of the current frame that are still to come.
    left: usize,
}

impl Plain {
    fn new(tty: bool) -> Self {
        Self { is_framed: !tty, header: Vec::new(), left: 0 }
    }

    fn feed(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        if !self.is_framed {
            return bytes.to_vec();
        }
        let mut out = Vec::with_capacity(bytes.len());
        while !bytes.is_empty() {
            if self.left > 0 {
                let (part, rest) = bytes.split_at(self.left.min(bytes.len()));
                out.extend_from_slice(part);
                self.left -= part.len();
                bytes = rest;
                continue;
            }
            let (part, rest) = bytes.split_at((Frame::HEADER - self.header.len()).min(bytes.len()));
            self.header.extend_from_slice(part);
            bytes = rest;
            if let Some(header) = self.header.first_chunk::<{ Frame::HEADER }>() {
                self.left = Frame::decode(*header).map_or(0, |frame| frame.length as usize);
                self.header.clear();
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_away_wherever_chunks_end() {
        let framed = b"\x01\0\0\0\0\0\0\x03one\x02\0\0\0\0\0\0\x04two\n";
        for size in 1..framed.len() {
            let mut plain = Plain::new(false);
            let whole: Vec<u8> = framed.chunks(size).flat_map(|chunk| plain.feed(chunk)).collect();
            assert_eq!(whole, b"onetwo\n", "{size}");
        }
        assert_eq!(Plain::new(true).feed(b"\x01\0\0\0\0\0\0\x03one"), b"\x01\0\0\0\0\0\0\x03one");
    }
}
