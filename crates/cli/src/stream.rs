//! Copying between a container's hijacked connection and this process's standard streams.
//!
//! ```text
//! stdin  --(thread: detach keys)--> connection --(this thread: frames)--> stdout, stderr
//! ```
//! Buffers are large and frames are not copied: what one `read` brought goes out with one `writev` per stream.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use types::{Frame, StreamKind};
use wire::client::{Hijacked, Stream};

use crate::{Failure, term};

/// Bytes read at once: what a unix socket's buffer holds.
const BUFFER: usize = 256 * 1024;
/// Slices of one `writev`, well under IOV_MAX.
const SLICES: usize = 256;
/// Control-P, control-Q.
const DEFAULT_DETACH_KEYS: [u8; 2] = [16, 17];

/// Which of this process's streams are connected, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attachment<'a> {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    /// The container has a terminal: output is raw, and input is watched for the detach keys.
    pub(crate) tty: bool,
    /// As the user wrote them; empty is the default.
    pub(crate) detach_keys: &'a str,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The container's output ended, or there was none to copy.
    Finished,
    /// The user typed the detach keys.
    Detached,
}

/// A running copy; [`Streaming::finish`] does the output's part of it.
pub(crate) struct Streaming {
    stream: Stream,
    early: Vec<u8>,
    detached: Arc<AtomicBool>,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

/// Puts the terminal into raw mode where it has to be, and starts to copy input.
pub(crate) fn start(hijacked: Hijacked, attachment: &Attachment<'_>) -> Result<Streaming, Failure> {
    let detached = Arc::new(AtomicBool::new(false));
    if attachment.stdin {
        let mut keys = Vec::new();
        if attachment.tty {
            term::set_raw()
                .map_err(|error| Failure::new(format!("unable to setup input stream: {error}")))?;
            keys = detach_keys(attachment.detach_keys);
        }
        let writer = hijacked.stream.try_clone().map_err(|error| Failure::new(crate::os_error(&error)))?;
        let flag = Arc::clone(&detached);
        thread::spawn(move || copy_input(writer, DetachScanner::new(keys), &flag));
    } else {
        // Nothing to send is told at once: the container's reader would wait for us otherwise.
        let _ = hijacked.close_write();
    }
    Ok(Streaming {
        stream: hijacked.stream,
        early: hijacked.buffered,
        detached,
        stdout: attachment.stdout,
        stderr: attachment.stderr,
        tty: attachment.tty,
    })
}

impl Streaming {
    /// Whether there is output to copy.
    pub(crate) fn has_output(&self) -> bool {
        self.stdout || self.stderr
    }

    /// Copies output until it ends or the user detaches.
    pub(crate) fn finish(mut self) -> Result<End, Failure> {
        let mut input = io::Cursor::new(std::mem::take(&mut self.early)).chain(&mut self.stream);
        let result = if self.tty && self.stdout {
            copy_raw(&mut input)
        } else {
            copy_frames(&mut input, self.stdout, self.stderr)
        };
        term::restore();
        if self.detached.load(Ordering::Acquire) {
            return Ok(End::Detached);
        }
        result.map(|()| End::Finished)
    }
}

/// Copies bytes as they are to standard output.
pub(crate) fn copy_raw(input: &mut dyn Read) -> Result<(), Failure> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => write_slices(rustix::stdio::stdout(), &mut [IoSlice::new(&buffer[..count])])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::new(crate::os_error(&error))),
        }
    }
}

/// Takes output apart into standard output and standard error.
pub(crate) fn copy_frames(input: &mut dyn Read, stdout: bool, stderr: bool) -> Result<(), Failure> {
    let mut buffer = vec![0; BUFFER];
    let mut filled = 0;
    // Of a frame whose payload has not come whole.
    let mut open: Option<(StreamKind, usize)> = None;
    loop {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => return Ok(()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::new(crate::os_error(&error))),
        }
        let rest = deliver(&buffer[..filled], &mut open, stdout, stderr)?;
        let start = filled - rest;
        buffer.copy_within(start..filled, 0);
        filled = rest;
    }
}

/// Writes out what `bytes` hold and returns how many at their end are an incomplete header.
fn deliver(
    bytes: &[u8],
    open: &mut Option<(StreamKind, usize)>,
    stdout: bool,
    stderr: bool,
) -> Result<usize, Failure> {
    let mut rest = bytes;
    let mut batch: Vec<IoSlice<'_>> = Vec::new();
    let mut batch_kind = StreamKind::Stdout;
    let wanted = |kind: StreamKind| match kind {
        StreamKind::Stderr => stderr,
        _ => stdout,
    };
    loop {
        let (kind, left) = match open.take() {
            Some(frame) => frame,
            None => {
                let Some((header, after)) = rest.split_first_chunk::<{ Frame::HEADER }>() else { break };
                let Some(frame) = Frame::decode(*header) else {
                    return Err(Failure::new(format!("Unrecognized input header: {}", header[0])));
                };
                rest = after;
                (frame.kind, frame.length as usize)
            }
        };
        let count = left.min(rest.len());
        let (payload, after) = rest.split_at(count);
        rest = after;
        if kind == StreamKind::SystemError {
            let text = String::from_utf8_lossy(payload);
            return Err(Failure::new(format!("error from daemon in stream: {text}")));
        }
        if (kind != batch_kind || batch.len() == SLICES) && !batch.is_empty() {
            flush(batch_kind, &mut batch)?;
        }
        batch_kind = kind;
        if wanted(kind) && !payload.is_empty() {
            batch.push(IoSlice::new(payload));
        }
        if count < left {
            *open = Some((kind, left - count));
            break;
        }
    }
    flush(batch_kind, &mut batch)?;
    Ok(rest.len())
}

fn flush(kind: StreamKind, batch: &mut Vec<IoSlice<'_>>) -> Result<(), Failure> {
    let fd = match kind {
        StreamKind::Stderr => rustix::stdio::stderr(),
        _ => rustix::stdio::stdout(),
    };
    write_slices(fd, batch)?;
    batch.clear();
    Ok(())
}

/// Writes everything, waiting where the other end is slow and non-blocking.
fn write_slices(fd: BorrowedFd<'_>, mut slices: &mut [IoSlice<'_>]) -> Result<(), Failure> {
    while !slices.is_empty() {
        match rustix::io::writev(fd, slices) {
            Ok(count) => IoSlice::advance_slices(&mut slices, count),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                let mut waiting = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
                let _ = poll(&mut waiting, None);
            }
            Err(rustix::io::Errno::PIPE) => {
                term::restore();
                return Err(Failure::silent(141));
            }
            Err(error) => return Err(Failure::new(crate::os_error(&error.into()))),
        }
    }
    Ok(())
}

/// Copies standard input until its end or the detach keys. An error here is one of the connection, and the output's
/// side meets it too.
fn copy_input(mut writer: Stream, mut scanner: DetachScanner, detached: &AtomicBool) {
    let mut buffer = vec![0; BUFFER];
    let mut kept = Vec::new();
    loop {
        let count = match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => continue,
            Err(rustix::io::Errno::AGAIN) => {
                let stdin = rustix::stdio::stdin();
                let mut waiting = [PollFd::from_borrowed_fd(stdin, PollFlags::IN)];
                let _ = poll(&mut waiting, None);
                continue;
            }
            Err(_) => break,
        };
        if scanner.keys.is_empty() {
            if writer.write_all(&buffer[..count]).is_err() {
                return;
            }
            continue;
        }
        kept.clear();
        let found = scanner.scan(&buffer[..count], &mut kept);
        if writer.write_all(&kept).is_err() {
            return;
        }
        if found {
            detached.store(true, Ordering::Release);
            term::restore();
            let _ = writer.shutdown(Shutdown::Both);
            return;
        }
    }
    let _ = writer.shutdown(Shutdown::Write);
}

/// Reads `ctrl-p,ctrl-q`; the default when it is empty or wrong, with a warning when wrong.
fn detach_keys(text: &str) -> Vec<u8> {
    if text.is_empty() {
        return DEFAULT_DETACH_KEYS.to_vec();
    }
    let keys: Result<Vec<u8>, String> = text.split(',').map(detach_key).collect();
    keys.unwrap_or_else(|error| {
        crate::warn(&format!("invalid detach escape keys, using default: {error}"));
        DEFAULT_DETACH_KEYS.to_vec()
    })
}

fn detach_key(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [key] => Ok(*key),
        [b'c', b't', b'r', b'l', b'-', key @ (b'@' | b'a'..=b'z' | b'['..=b'_')] => Ok(key & 0x1f),
        b"DEL" => Ok(127),
        _ => Err(format!("Unknown character: '{text}'")),
    }
}

/// Finds the detach keys in input that comes in pieces. A part of them is held back until it is clear what it is.
struct DetachScanner {
    keys: Vec<u8>,
    matched: usize,
}

impl DetachScanner {
    fn new(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    /// Appends to `out` what is to be sent on; true when the keys are complete.
    fn scan(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
        for byte in input {
            if *byte != self.keys[self.matched] {
                out.extend_from_slice(&self.keys[..self.matched]);
                self.matched = 0;
                if *byte != self.keys[0] {
                    out.push(*byte);
                    continue;
                }
            }
            self.matched += 1;
            if self.matched == self.keys.len() {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detach_keys_are_found_across_reads_and_parts_of_them_are_sent_on() {
        let check = |pieces: &[&[u8]], sent: &[u8], found: bool| {
            let mut scanner = DetachScanner::new(vec![16, 17]);
            let mut out = Vec::new();
            let hit = pieces.iter().any(|piece| scanner.scan(piece, &mut out));
            assert_eq!((out.as_slice(), hit), (sent, found), "{pieces:?}");
        };
        check(&[b"ab"], b"ab", false);
        check(&[b"a\x10\x11b"], b"a", true);
        check(&[b"a\x10", b"\x11"], b"a", true);
        check(&[b"a\x10", b"b"], b"a\x10b", false);
        check(&[b"\x10\x10\x11"], b"\x10", true);
    }

    #[test]
    fn detach_keys_are_read_as_docker_reads_them() {
        assert_eq!(detach_key("ctrl-p"), Ok(16));
        assert_eq!(detach_key("ctrl-@"), Ok(0));
        assert_eq!(detach_key("ctrl-\\"), Ok(28));
        assert_eq!(detach_key("x"), Ok(b'x'));
        assert_eq!(detach_key("DEL"), Ok(127));
        assert_eq!(detach_key("ctrl-P"), Err("Unknown character: 'ctrl-P'".to_owned()));
        assert_eq!(detach_keys("bad-one"), DEFAULT_DETACH_KEYS);
    }
}
