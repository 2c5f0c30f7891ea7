//! HTTP/1.1 as much as a client of one daemon needs (RFC 9112): one request at a time on a connection, bodies by
//! `Content-Length`, chunked, or until the end of the connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::{ClientError, Payload, Stream};

/// Bytes read from the socket at once.
const READ_BUFFER: usize = 64 * 1024;
/// Bytes of one chunk of a streamed request.
const CHUNK: usize = 256 * 1024;
/// More header bytes than this are not an answer of a Docker daemon.
const HEAD_MAX: usize = 256 * 1024;

type Pool = Arc<Mutex<Option<Connection>>>;

/// The first lines of a request.
pub(super) struct Head<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) extra: &'a [(&'a str, &'a str)],
}

/// One connection, between two exchanges.
#[derive(Debug)]
pub(super) struct Connection {
    reader: BufReader<Stream>,
    http_host: String,
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    /// Bytes left of the current chunk; `None` before the first one.
    Chunked(Option<u64>),
    UntilClose,
    Done,
}

impl Connection {
    pub(super) fn new(stream: Stream, http_host: String) -> Self {
        Self { reader: BufReader::with_capacity(READ_BUFFER, stream), http_host }
    }

    /// Sends a request and reads the head of the answer. The connection returns to `pool` when the answer's body has
    /// been read to its end.
    pub(super) fn exchange(
        mut self,
        head: &Head<'_>,
        common: &[(&str, &str)],
        payload: &mut Payload<'_>,
        pool: &Pool,
    ) -> io::Result<Response> {
        let sent = self.write_request(head, common, payload);
        // A daemon that refuses a large body answers and closes while we still write: its answer says more than
        // our broken pipe.
        let response = match (sent, self.read_head()) {
            (Ok(()), head) => head?,
            (Err(_), Ok(head)) => head,
            (Err(error), Err(_)) => return Err(error),
        };
        let (status, headers) = response;
        let framing = framing(head.method, status, &headers)?;
        let reusable = framing != Framing::UntilClose
            && !header(&headers, "Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let body = Body { connection: Some(self), framing, pool: reusable.then(|| Arc::clone(pool)) };
        Ok(Response { status, headers, body })
    }

    fn write_request(
        &mut self,
        head: &Head<'_>,
        common: &[(&str, &str)],
        payload: &mut Payload<'_>,
    ) -> io::Result<()> {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", head.method, head.target, self.http_host);
        for (name, value) in common.iter().chain(head.extra) {
            if value.contains(['\r', '\n']) || name.contains(['\r', '\n', ':']) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("invalid header field {name:?}"),
                ));
            }
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let stream = self.reader.get_mut();
        match payload {
            Payload::Empty => {
                if head.method == "POST" || head.method == "PUT" {
                    text.push_str("Content-Length: 0\r\n");
                }
                text.push_str("\r\n");
                stream.write_all(text.as_bytes())
            }
            Payload::Json(value) => {
                let body = value.to_string();
                text.push_str(&format!(
                    "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                ));
                text.push_str(&body);
                stream.write_all(text.as_bytes())
            }
            Payload::Stream { content_type, source } => {
                text.push_str(&format!("Content-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"));
                stream.write_all(text.as_bytes())?;
                write_chunks(stream, *source)
            }
        }
    }

    fn read_head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        loop {
            let status_line = self.read_line()?;
            let status = status_line
                .strip_prefix("HTTP/1.")
                .and_then(|rest| rest.get(2..5))
                .and_then(|code| code.parse().ok())
                .ok_or_else(|| invalid(format!("malformed HTTP response {status_line:?}")))?;
            let mut headers = Vec::new();
            let mut size = 0;
            loop {
                let line = self.read_line()?;
                if line.is_empty() {
                    break;
                }
                size += line.len();
                if size > HEAD_MAX {
                    return Err(invalid("HTTP header is too large"));
                }
                let (name, value) = line.split_once(':').ok_or_else(|| invalid("malformed HTTP header"))?;
                headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            // 100 Continue and its like announce the real answer; 101 is one.
            if status >= 200 || status == 101 {
                return Ok((status, headers));
            }
        }
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        (&mut self.reader).take(HEAD_MAX as u64).read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "EOF"));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).map_err(|_| invalid("HTTP header is not UTF-8"))
    }
}

fn write_chunks(stream: &mut Stream, source: &mut dyn Read) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = match source.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                // The daemon must not wait for the rest, nor we for its answer.
                let _ = stream.shutdown(Shutdown::Both);
                return Err(error);
            }
        };
        if count == 0 {
            return stream.write_all(b"0\r\n\r\n");
        }
        stream.write_all(format!("{count:x}\r\n").as_bytes())?;
        stream.write_all(&buffer[..count])?;
        stream.write_all(b"\r\n")?;
    }
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// RFC 9112, section 6.3.
fn framing(method: &str, status: u16, headers: &[(String, String)]) -> io::Result<Framing> {
    if method == "HEAD" || status == 204 || status == 304 {
        return Ok(Framing::Done);
    }
    if status == 101 {
        return Ok(Framing::UntilClose);
    }
    if header(headers, "Transfer-Encoding")
        .is_some_and(|value| value.to_ascii_lowercase().ends_with("chunked"))
    {
        return Ok(Framing::Chunked(None));
    }
    match header(headers, "Content-Length") {
        Some(length) => length.parse().map(Framing::Length).map_err(|_| invalid("malformed Content-Length")),
        None => Ok(Framing::UntilClose),
    }
}

/// The daemon's answer; reading it reads the body.
#[derive(Debug)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

#[derive(Debug)]
struct Body {
    connection: Option<Connection>,
    framing: Framing,
    pool: Option<Pool>,
}

impl Response {
    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The whole body.
    pub fn bytes(mut self) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).map_err(|error| ClientError::Protocol(error.to_string()))?;
        Ok(bytes)
    }

    /// The body as JSON; `null` when there is none.
    pub fn json(self) -> Result<Value, ClientError> {
        let bytes = self.bytes()?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| ClientError::Protocol(format!("invalid JSON: {error}")))
    }

    /// Reads what is left, so that the connection can be used again.
    pub fn discard(mut self) {
        // What fails here fails again, with a message, in the request that uses the connection.
        let _ = io::copy(&mut self, &mut io::sink());
    }

    /// An error with the daemon's message.
    pub(super) fn into_error(self) -> ClientError {
        let status = self.status;
        let bytes = self.bytes().unwrap_or_default();
        let message = serde_json::from_slice::<Value>(&bytes)
            .ok()
            .and_then(|body| body.get("message")?.as_str().map(str::to_owned))
            .unwrap_or_else(|| String::from_utf8_lossy(&bytes).trim().to_owned());
        let message = match message.is_empty() {
            true => format!("request returned {status} with no message"),
            false => message.trim().to_owned(),
        };
        ClientError::Api { status, message }
    }

    /// The connection itself, after an upgrade.
    pub(super) fn into_hijacked(self) -> Result<Hijacked, ClientError> {
        let multiplexed = self.header("Content-Type") != Some(crate::RAW_STREAM);
        let Some(connection) = self.body.connection else {
            return Err(ClientError::Protocol(
                "the daemon closed the connection instead of upgrading it".to_owned(),
            ));
        };
        let buffered = connection.reader.buffer().to_vec();
        Ok(Hijacked { stream: connection.reader.into_inner(), buffered, multiplexed })
    }
}

impl Read for Response {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer)
    }
}

impl Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.read_framed(buffer)?;
        if self.framing == Framing::Done
            && let Some(connection) = self.connection.take()
            && let Some(pool) = self.pool.take()
        {
            *pool.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        }
        Ok(count)
    }

    fn read_framed(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(connection) = &mut self.connection else { return Ok(0) };
        if let Framing::Chunked(left @ (None | Some(0))) = self.framing {
            if left.is_some() {
                connection.read_line()?;
            }
            let line = connection.read_line()?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(digits, 16).map_err(|_| invalid("malformed chunk"))?;
            if size == 0 {
                while !connection.read_line()?.is_empty() {}
                self.framing = Framing::Done;
            } else {
                self.framing = Framing::Chunked(Some(size));
            }
        }
        let limit = match self.framing {
            Framing::Done => return Ok(0),
            Framing::Length(left) | Framing::Chunked(Some(left)) => left,
            Framing::Chunked(None) | Framing::UntilClose => u64::MAX,
        };
        let wanted = usize::try_from(limit).map_or(buffer.len(), |limit| limit.min(buffer.len()));
        let count = if wanted == 0 { 0 } else { connection.reader.read(&mut buffer[..wanted])? };
        let left = limit.saturating_sub(count as u64);
        self.framing = match self.framing {
            Framing::Length(_) if left == 0 => Framing::Done,
            Framing::Length(_) | Framing::Chunked(_) if count == 0 => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "unexpected EOF"));
            }
            Framing::Length(_) => Framing::Length(left),
            Framing::Chunked(_) => Framing::Chunked(Some(left)),
            Framing::UntilClose if count == 0 => Framing::Done,
            other => other,
        };
        Ok(count)
    }
}

/// A connection that carries a raw stream in both directions.
#[derive(Debug)]
pub struct Hijacked {
    /// The connection.
    pub stream: Stream,
    /// What came after the head of the answer, before anything read from `stream`.
    pub buffered: Vec<u8>,
    /// Whether output comes in 8-byte frames ([`types::Frame`]), as far as the daemon says.
    pub multiplexed: bool,
}

impl Hijacked {
    /// Tells the daemon that no more input comes.
    pub fn close_write(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }
}
