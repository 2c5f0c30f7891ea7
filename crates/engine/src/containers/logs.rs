//! `logs`: from the log file to Docker's stream.

use std::os::fd::{AsFd, OwnedFd};

use bytes::{Bytes, BytesMut};
use supervisor::log::{Entry, Next, Reader, Select};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};
use types::{Error, ErrorKind, Frame, Result, StreamKind};

use super::request::LogsRequest;
use super::table::{Handle, View};
use super::view::LogStream;
use super::{Containers, start};
use crate::blocking;

/// Bytes of one chunk, about.
const CHUNK: usize = 64 << 10;
/// Chunks under way to a slow client.
const CHUNKS: usize = 4;

impl Containers {
    /// Reads its log.
    pub async fn logs(&self, name: &str, request: LogsRequest) -> Result<LogStream> {
        if !request.stdout && !request.stderr {
            return Err(Error::invalid("Bad parameters: you must choose at least one stream"));
        }
        self.read_logs(&self.find(name)?, &request)
    }

    /// Starts the reader; what it meets later comes with the chunks.
    pub(crate) fn read_logs(&self, handle: &Handle, request: &LogsRequest) -> Result<LogStream> {
        let record = handle.record();
        let tty = record.config.tty;
        let driver = record.host_config.log_config.driver.as_str();
        if driver == "none" {
            return Err(Error::not_implemented("configured logging driver does not support reading"));
        }
        let view = handle.view.clone();
        let select = Select {
            // A container that does not run writes nothing more.
            follow: request.follow && record.state.run().is_some(),
            tail: request.tail,
            since: request.since.map(|at| at.0),
            until: request.until.map(|at| at.0),
            stdout: request.stdout,
            stderr: request.stderr,
        };
        let (sender, chunks) = mpsc::channel(CHUNKS);
        if !record.was_started {
            return Ok(LogStream { tty, chunks });
        }
        let shared = self.0.clone();
        let format = Format { tty, timestamps: request.timestamps, details: request.details };
        tokio::spawn(async move {
            let opened = blocking(move || {
                let spec = start::log_spec(&shared, &record)?;
                Reader::open(&spec, select).map_err(|e| failure(&e))
            });
            let done = match opened.await {
                Ok(reader) => pump(reader, select.follow, format, view, &sender).await,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                let _ = sender.send(Err(error)).await;
            }
        });
        Ok(LogStream { tty, chunks })
    }
}

fn failure(error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::Unsupported => Error::new(ErrorKind::NotImplemented, error.to_string()),
        _ => Error::internal(format!("cannot read the log: {error}")),
    }
}

/// How entries are written.
#[derive(Debug, Clone, Copy)]
struct Format {
    tty: bool,
    timestamps: bool,
    details: bool,
}

/// Reads until the end of the log, of the container, or of the client's interest.
async fn pump(
    mut reader: Reader,
    follow: bool,
    format: Format,
    mut view: watch::Receiver<View>,
    sender: &mpsc::Sender<Result<Bytes>>,
) -> Result<()> {
    let ends = view.borrow().ends;
    let over = |view: &View| view.removed || view.ends != ends || view.record.state.run().is_none();
    let watch = if follow {
        let fd: OwnedFd = reader.as_fd().try_clone_to_owned().map_err(|e| failure(&e))?;
        Some(pollable(fd).map_err(|e| failure(&e))?)
    } else {
        None
    };
    let mut finished = false;
    loop {
        let (chunk, next);
        (reader, chunk, next) = blocking(move || read_chunk(reader, format)).await?;
        if !chunk.is_empty() && sender.send(Ok(chunk)).await.is_err() {
            return Ok(());
        }
        match next {
            Progress::More => {}
            Progress::End => return Ok(()),
            Progress::Wait => {
                let Some(watch) = watch.as_ref().filter(|_| !finished) else { return Ok(()) };
                tokio::select! {
                    ready = watch.readable() => ready.map_err(|e| failure(&e))?.clear_ready(),
                    _ = view.wait_for(over) => {
                        // All output is in the log before an end is announced.
                        reader.finish();
                        finished = true;
                    }
                    () = sender.closed() => return Ok(()),
                }
            }
        }
    }
}

#[expect(
    deprecated,
    reason = "its successor wants a promise that an OwnedFd keeps by nature, and wants it in unsafe code, which is for `linux`"
)]
fn pollable(fd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(fd)
}

enum Progress {
    More,
    Wait,
    End,
}

/// Reads about one chunk. Blocks on the disk.
fn read_chunk(mut reader: Reader, format: Format) -> Result<(Reader, Bytes, Progress)> {
    let mut chunk = BytesMut::new();
    while chunk.len() < CHUNK {
        match reader.next().map_err(|e| failure(&e))? {
            Next::Entry(entry) => write_entry(&mut chunk, &entry, format),
            Next::Pending => return Ok((reader, chunk.freeze(), Progress::Wait)),
            Next::End => return Ok((reader, chunk.freeze(), Progress::End)),
        }
    }
    Ok((reader, chunk.freeze(), Progress::More))
}

fn write_entry(chunk: &mut BytesMut, entry: &Entry, format: Format) {
    let mut head = String::new();
    if format.timestamps {
        head.push_str(&fixed_nanoseconds(entry.time));
        head.push(' ');
    }
    if format.details {
        let mut attrs: Vec<String> =
            entry.attrs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        attrs.sort();
        head.push_str(&attrs.join(","));
        head.push(' ');
    }
    if !format.tty {
        let length = u32::try_from(head.len() + entry.line.len()).unwrap_or(u32::MAX);
        chunk.extend_from_slice(&Frame { kind: entry.stream, length }.encode());
    }
    chunk.extend_from_slice(head.as_bytes());
    chunk.extend_from_slice(&entry.line);
}

/// RFC 3339 with all nine digits, as Docker writes times before log lines.
fn fixed_nanoseconds(nanos: i64) -> String {
    let seconds = crate::Timestamp(nanos.div_euclid(1_000_000_000) * 1_000_000_000).rfc3339();
    format!("{}.{:09}Z", seconds.trim_end_matches('Z'), nanos.rem_euclid(1_000_000_000))
}

/// One text as the only output, for errors that Docker writes into the stream.
pub(crate) fn only(text: &str, tty: bool) -> LogStream {
    let (sender, chunks) = mpsc::channel(1);
    let mut chunk = BytesMut::new();
    if !tty {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        chunk.extend_from_slice(&Frame { kind: StreamKind::Stdout, length }.encode());
    }
    chunk.extend_from_slice(text.as_bytes());
    // The channel is new and has room.
    let _ = sender.try_send(Ok(chunk.freeze()));
    LogStream { tty, chunks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_framed_unless_there_is_a_terminal() {
        let entry = Entry {
            stream: StreamKind::Stderr,
            time: 1_500_000_000,
            line: b"x\n".to_vec(),
            attrs: vec![("b".into(), "2".into()), ("a".into(), "1".into())],
        };
        for (tty, timestamps, details, want) in [
            (true, false, false, &b"x\n"[..]),
            (false, false, false, b"\x02\0\0\0\0\0\0\x02x\n"),
            (true, true, false, b"1970-01-01T00:00:01.500000000Z x\n"),
            (true, false, true, b"a=1,b=2 x\n"),
        ] {
            let mut chunk = BytesMut::new();
            write_entry(&mut chunk, &entry, Format { tty, timestamps, details });
            assert_eq!(&chunk[..], want);
        }
    }
}
