//! What goes over `DIR/supervisor.sock` and over a spawn's own socket.
//!
//! ```text
//! request  u32 LE length of the JSON, u32 LE length of the blob, JSON, blob (a seccomp program, or nothing)
//! reply    u32 LE length of the JSON, JSON; after Reply::Attached and Reply::Executed the connection is the stream
//! ```
//! One request per connection. Both ends are always of the same build or one apart: a daemon is upgraded while
//! supervisors run, so members may be added (with `#[serde(default)]`) but not changed.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use types::spec::Resources;

use crate::record::ExitRecord;
use crate::spawn::{Attach, Exec, ProcessError, Spawned};

/// Longest JSON part of a request, in bytes. A default container's spec takes about 30 KB.
const JSON_MAX: usize = 4 << 20;
/// Longest seccomp program, in bytes: `BPF_MAXINSNS` (4096) instructions of 8.
const BLOB_MAX: usize = 4096 * 8;

/// Bytes before a request's JSON.
pub(crate) const REQUEST_HEADER: usize = 8;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    Status,
    Wait,
    Attach(Attach),
    /// `exec` absent: the container's own terminal.
    Resize {
        exec: Option<String>,
        rows: u16,
        cols: u16,
    },
    Signal {
        exec: Option<String>,
        signal: i32,
        all: bool,
    },
    Freeze(bool),
    Update(Box<Resources>),
    Exec(Box<Exec>),
    ExecWait(String),
    ExecStatus(String),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    Done,
    Status(Status),
    Exited(ExitRecord),
    Attached,
    Executed(Spawned),
    Exec(ExecState),
    /// A process did not start.
    NotStarted(ProcessError),
    /// No such exec, or one that is over.
    NoSuchExec,
    /// The container's init is gone already.
    NotRunning,
    Failed(String),
}

/// How a container is right now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Status {
    /// Container id.
    pub id: String,
    /// Process id of the container's init as the host sees it.
    pub pid: i32,
    /// RFC 3339 with nanoseconds, UTC.
    pub started_at: String,
    /// Frozen by [`crate::Client::pause`].
    pub paused: bool,
    /// Exec ids whose process lives.
    pub execs: Vec<String>,
    /// Number of attachments.
    pub attached: usize,
}

/// How an exec'd process is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExecState {
    /// Process id as the host sees it; stays known after its end.
    pub pid: i32,
    /// Exit code (128 + signal), once it has ended and its output was delivered.
    pub exit_code: Option<i32>,
}

/// The lengths that a request's header announces: JSON, blob.
pub(crate) fn decode_header(header: [u8; REQUEST_HEADER]) -> io::Result<(usize, usize)> {
    let [a, b, c, d, e, f, g, h] = header;
    let json = u32::from_le_bytes([a, b, c, d]) as usize;
    let blob = u32::from_le_bytes([e, f, g, h]) as usize;
    if json > JSON_MAX || blob > BLOB_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("request of {json} + {blob} bytes is too long"),
        ));
    }
    Ok((json, blob))
}

/// A whole request as bytes.
pub(crate) fn encode_request(message: &impl Serialize, blob: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; REQUEST_HEADER];
    serde_json::to_writer(&mut bytes, message)?;
    let mut header = [0; REQUEST_HEADER];
    header[..4].copy_from_slice(&length_of(bytes.len() - REQUEST_HEADER).to_le_bytes());
    header[4..].copy_from_slice(&length_of(blob.len()).to_le_bytes());
    decode_header(header)?;
    bytes[..REQUEST_HEADER].copy_from_slice(&header);
    bytes.extend_from_slice(blob);
    Ok(bytes)
}

/// What does not fit is refused by the bound that every length is checked against.
fn length_of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A whole reply as bytes.
pub(crate) fn encode_reply(reply: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    // These are plain structures with string keys: serialising them cannot fail. If it did, the client would see
    // an empty reply and say so.
    if serde_json::to_writer(&mut bytes, reply).is_err() {
        bytes.truncate(4);
    }
    let length = u32::try_from(bytes.len() - 4).unwrap_or(0);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// Reads exactly one reply and not a byte more, for a stream may follow.
pub(crate) fn read_reply<T: serde::de::DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > JSON_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("reply of {length} bytes is too long"),
        ));
    }
    let mut json = vec![0; length];
    stream.read_exact(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

/// Sends a request.
pub(crate) fn write_request(
    stream: &mut impl Write,
    message: &impl Serialize,
    blob: &[u8],
) -> io::Result<()> {
    stream.write_all(&encode_request(message, blob)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_carry_their_lengths_and_the_blob() {
        let bytes = encode_request(&Request::ExecWait("x".to_owned()), b"blob").unwrap();
        let (json, blob) = decode_header(*bytes.first_chunk().unwrap()).unwrap();
        assert_eq!(bytes.len(), REQUEST_HEADER + json + blob);
        assert_eq!(&bytes[REQUEST_HEADER + json..], b"blob");
        let request = serde_json::from_slice(&bytes[REQUEST_HEADER..REQUEST_HEADER + json]).unwrap();
        assert!(matches!(request, Request::ExecWait(id) if id == "x"));
    }

    #[test]
    fn requests_without_bound_are_refused_at_both_ends() {
        assert!(encode_request(&"x".repeat(JSON_MAX), b"").is_err());
        assert!(encode_request(&(), &[0; BLOB_MAX + 1]).is_err());
        assert!(decode_header([0xFF; REQUEST_HEADER]).is_err());
        assert!(read_reply::<Reply>(&mut [0xFF; 8].as_slice()).is_err());
    }

    #[test]
    fn a_reply_is_read_without_touching_what_follows() {
        let mut bytes = encode_reply(&Reply::Attached);
        bytes.extend_from_slice(b"stream");
        let mut rest = bytes.as_slice();
        assert!(matches!(read_reply(&mut rest).unwrap(), Reply::Attached));
        assert_eq!(rest, b"stream");
    }
}
