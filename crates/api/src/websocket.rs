//! WebSockets (RFC 6455), as far as an attachment needs them: bytes both ways, without extensions and subprotocols.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use types::{Error, Result};

/// What is added to a client's key (section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Longest payload of a control frame (section 5.5).
const CONTROL_MAX: usize = 125;
/// Bytes of a payload read at once.
const CHUNK: usize = 16 << 10;

/// The kinds of frames (section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    Text = 1,
    Binary = 2,
    Close = 8,
    Pong = 10,
}

/// Checks a client's handshake (section 4.2.1); gives the headers of the answer.
pub(crate) fn handshake(headers: &HeaderMap) -> Result<HeaderMap> {
    let text =
        |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let has =
        |name, word: &str| text(name).split(',').any(|part: &str| part.trim().eq_ignore_ascii_case(word));
    if !has(UPGRADE, "websocket") || !has(CONNECTION, "upgrade") {
        return Err(Error::invalid("not websocket protocol"));
    }
    if text(SEC_WEBSOCKET_VERSION) != "13" {
        return Err(Error::invalid("missing or bad WebSocket Version"));
    }
    let key = text(SEC_WEBSOCKET_KEY);
    if key.is_empty() {
        return Err(Error::invalid("mismatch challenge/response"));
    }
    let mut answer = HeaderMap::new();
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let accept = HeaderValue::try_from(accept_of(key)).map_err(Error::internal)?;
    answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(answer)
}

fn accept_of(key: &str) -> String {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes()))
}

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Part of a message; where messages begin and end means nothing here.
    Data(Vec<u8>),
    /// To be answered with the same bytes.
    Ping(Vec<u8>),
    /// The client is done.
    Close,
}

/// Reads a client's frames.
pub(crate) struct Reader<R> {
    from: R,
    /// Bytes of the current data frame that are still to come.
    left: u64,
    mask: [u8; 4],
    /// How far the mask has been used.
    at: usize,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from, left: 0, mask: [0; 4], at: 0 }
    }

    /// The next piece. A client that hangs up is [`Received::Close`]; one that breaks the protocol is an error. Not cancel
    /// safe.
    pub(crate) async fn next(&mut self) -> io::Result<Received> {
        while self.left == 0 {
            match self.frame().await {
                Ok(None) => {}
                Ok(Some(control)) => return Ok(control),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Received::Close),
                Err(error) => return Err(error),
            }
        }
        let mut chunk = vec![0; usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK)];
        let got = self.from.read(&mut chunk).await?;
        if got == 0 {
            return Ok(Received::Close);
        }
        chunk.truncate(got);
        self.unmask(&mut chunk);
        self.left -= got as u64;
        Ok(Received::Data(chunk))
    }

    /// Reads a frame's head (section 5.2), and all of a control frame.
    async fn frame(&mut self) -> io::Result<Option<Received>> {
        let broken = |why| io::Error::new(io::ErrorKind::InvalidData, why);
        let mut head = [0; 2];
        self.from.read_exact(&mut head).await?;
        let (opcode, length) = (head[0] & 0xf, head[1] & 0x7f);
        if head[0] & 0x70 != 0 || head[1] & 0x80 == 0 {
            return Err(broken("a frame with reserved bits, or without mask"));
        }
        let length = match length {
            126 => u64::from(self.from.read_u16().await?),
            127 => self.from.read_u64().await?,
            short => u64::from(short),
        };
        self.from.read_exact(&mut self.mask).await?;
        self.at = 0;
        match opcode {
            0..=2 => {
                self.left = length;
                return Ok(None);
            }
            8..=10 if length <= CONTROL_MAX as u64 => {}
            _ => return Err(broken("a frame of an unknown kind or length")),
        }
        let mut payload = vec![0; length as usize];
        self.from.read_exact(&mut payload).await?;
        self.unmask(&mut payload);
        Ok(match opcode {
            8 => Some(Received::Close),
            9 => Some(Received::Ping(payload)),
            _ => None,
        })
    }

    fn unmask(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte ^= self.mask[self.at % 4];
            self.at += 1;
        }
    }
}

/// Sends one frame, whole and without mask, as servers do.
pub(crate) async fn send(
    to: &mut (impl AsyncWrite + Unpin),
    opcode: Opcode,
    payload: &[u8],
) -> io::Result<()> {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    frame.push(0x80 | opcode as u8);
    match payload.len() {
        length @ 0..126 => frame.push(length as u8),
        length if length <= usize::from(u16::MAX) => {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    to.write_all(&frame).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's frame, masked.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        frame
    }

    #[test]
    fn the_key_of_the_rfc_is_answered() {
        assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_a_whole_handshake_is_taken() {
        let good = [
            ("upgrade", "websocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "x"),
        ];
        let headers = |leave_out: Option<usize>| -> HeaderMap {
            let kept = good.iter().enumerate().filter(|(n, _)| Some(*n) != leave_out);
            kept.map(|(_, (name, value))| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
        };
        assert!(handshake(&headers(None)).unwrap().contains_key("sec-websocket-accept"));
        for n in 0..good.len() {
            assert!(handshake(&headers(Some(n))).is_err(), "{n}");
        }
    }

    #[tokio::test]
    async fn frames_are_read_as_a_stream() {
        let long = vec![7; 300];
        let bytes = [
            masked(0x82, b"hello"),
            masked(0x89, b"p"),
            masked(0x02, &long),
            masked(0x80, b""),
            masked(0x8a, b"old"),
            masked(0x81, b"x"),
            masked(0x88, b""),
        ]
        .concat();
        let mut reader = Reader::new(bytes.as_slice());
        for want in [
            Received::Data(b"hello".to_vec()),
            Received::Ping(b"p".to_vec()),
            Received::Data(long),
            Received::Data(b"x".to_vec()),
            Received::Close,
            Received::Close,
        ] {
            assert_eq!(reader.next().await.unwrap(), want);
        }
    }

    #[tokio::test]
    async fn what_breaks_the_protocol_is_an_error() {
        for bytes in [vec![0x82, 0x01, b'x'], masked(0xc2, b"x"), masked(0x83, b"x"), masked(0x89, &[0; 126])]
        {
            assert!(Reader::new(bytes.as_slice()).next().await.is_err(), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn frames_are_written_with_the_shortest_length() {
        for (length, head) in [(5, vec![0x82, 5]), (300, vec![0x82, 126, 1, 44]), (70_000, vec![0x82, 127])] {
            let mut out = Vec::new();
            send(&mut out, Opcode::Binary, &vec![0; length]).await.unwrap();
            assert!(out.starts_with(&head) && out.ends_with(&[0; 5]), "{length}");
        }
    }
}
