//! HTTP by hand, towards a daemon that may refuse, break off or die in the middle.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::bed::{Bed, PATIENCE};

/// What came back, as far as it came.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// The answer did not break off.
    pub(crate) whole: bool,
}

impl Heard {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim_end().to_owned()
    }

    /// The daemon said that it is done: a good status, and no error in the lines of a stream.
    pub(crate) fn is_done(&self) -> bool {
        self.whole && (200..300).contains(&self.status) && !self.text().contains("\"errorDetail\"")
    }
}

pub(crate) fn connect(bed: &Bed) -> UnixStream {
    let stream = UnixStream::connect(bed.socket()).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("set the time-out");
    stream.set_write_timeout(Some(PATIENCE)).expect("set the time-out");
    stream
}

/// One request on a connection of its own; `None` if there is nobody, or not even the head of an answer.
pub(crate) fn send(bed: &Bed, method: &str, target: &str, body: &[u8]) -> Option<Heard> {
    let mut stream = UnixStream::connect(bed.socket()).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let kind = if body.starts_with(b"{") { "application/json" } else { "application/x-tar" };
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: {kind}\r\nX-Registry-Auth: e30=\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    // A daemon that has seen enough closes its end; what counts is what it then says.
    let _closed = stream.write_all(body);
    let mut whole = Vec::new();
    let read = stream.read_to_end(&mut whole);
    if let Err(error) = &read {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{method} {target}: no answer");
    }
    parse(&whole)
}

/// The same for what must be answered wholly.
#[track_caller]
pub(crate) fn must(bed: &Bed, method: &str, target: &str, body: &[u8]) -> Heard {
    let heard = send(bed, method, target, body);
    let heard = heard.unwrap_or_else(|| panic!("{method} {target}: no answer"));
    assert!(heard.whole, "{method} {target}: {} {}", heard.status, heard.text());
    heard
}

/// Takes an answer apart.
pub(crate) fn parse(whole: &[u8]) -> Option<Heard> {
    let at = whole.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&whole[..at]).to_ascii_lowercase();
    let rest = &whole[at + 4..];
    let status = head.get(9..12)?.parse().ok()?;
    let header = |name: &str| {
        head.lines().find_map(|line| line.strip_prefix(name).map(|value| value.trim().to_owned()))
    };
    if header("transfer-encoding:").is_some_and(|coding| coding == "chunked") {
        let (body, whole) = unchunk(rest);
        return Some(Heard { status, body, whole });
    }
    let length = header("content-length:").and_then(|length| length.parse::<usize>().ok());
    let whole = length.is_none_or(|length| rest.len() == length) || status == 204 || status == 304;
    Some(Heard { status, body: rest.to_vec(), whole })
}

/// The bytes of the chunks, and whether the last one came.
fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut whole = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).ok().and_then(|hex| usize::from_str_radix(hex, 16).ok());
        let (Some(size), after) = (size, &rest[end + 2..]) else { break };
        if size == 0 {
            return (whole, true);
        }
        if after.len() < size + 2 {
            whole.extend_from_slice(&after[..size.min(after.len())]);
            break;
        }
        whole.extend_from_slice(&after[..size]);
        rest = &after[size + 2..];
    }
    (whole, false)
}
