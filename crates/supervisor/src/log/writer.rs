//! The supervisor's end of the log.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use types::StreamKind;

use super::aside::Aside;
use super::file::RotatingFile;
use super::options::{self, Limits};
use super::split::{Piece, Splitter};
use super::{LogDriver, LogSpec, json, local, time};

/// Takes a container's output as it comes and keeps it as entries. Writing never fails for the caller: a full disk must
/// not stop the container, so entries that cannot be written are counted and dropped.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    sink: Option<Sink>,
    stdout: Splitter,
    stderr: Splitter,
}

#[derive(Debug)]
struct Sink {
    driver: LogDriver,
    to: To,
    attrs: Vec<u8>,
    lost: u64,
}

/// Who writes the file.
#[derive(Debug)]
enum To {
    /// We, and the container waits.
    File(RotatingFile),
    /// Somebody else, as long as there is room for what waits.
    Aside(Aside),
}

impl Writer {
    /// Opens the log. Errors are in Docker's words.
    pub(crate) fn open(spec: &LogSpec) -> Result<Self, String> {
        let attrs = match spec.driver {
            LogDriver::None => return Ok(Self::default()),
            LogDriver::JsonFile => json::encode_attrs(&spec.attrs),
            LogDriver::Local => local::encode_attrs(&spec.attrs),
        };
        let open = || {
            let limits = Limits::parse(spec.driver, &spec.options)?;
            let failed = |error: std::io::Error| format!("open {}: {error}", spec.path.display());
            let file = RotatingFile::open(&spec.path, limits).map_err(failed)?;
            let to = match options::buffer_bytes(&spec.options)? {
                None => To::File(file),
                Some(limit) => To::Aside(Aside::start(&spec.path, limits, limit).map_err(failed)?),
            };
            Ok(Sink { driver: spec.driver, to, attrs, lost: 0 })
        };
        let sink = open().map_err(|why: String| format!("failed to initialize logging driver: {why}"))?;
        Ok(Self { sink: Some(sink), ..Self::default() })
    }

    /// Takes some output.
    pub(crate) fn write(&mut self, stream: StreamKind, bytes: &[u8]) {
        self.each_piece(stream, |splitter, emit| splitter.push(bytes, time::now, emit));
    }

    /// The stream has ended.
    pub(crate) fn finish(&mut self, stream: StreamKind) {
        self.each_piece(stream, |splitter, emit| splitter.finish(time::now, emit));
    }

    /// The pipe to whoever writes the file, if it is not us; and whether [`Writer::go_on`] has something to do when it
    /// becomes writable.
    pub(crate) fn pipe(&self) -> Option<(BorrowedFd<'_>, bool)> {
        match self.sink.as_ref().map(|sink| &sink.to) {
            Some(To::Aside(aside)) => Some(aside.pipe()),
            _ => None,
        }
    }

    /// Passes on entries that wait.
    pub(crate) fn go_on(&mut self) {
        if let Some(To::Aside(aside)) = self.sink.as_mut().map(|sink| &mut sink.to) {
            aside.flush();
        }
    }

    /// Nothing more comes: everything is in the file when this returns, unless that takes longer than `patience`. Gives the
    /// number of entries that are not.
    pub(crate) fn close(&mut self, patience: Duration) -> u64 {
        match self.sink.take() {
            Some(Sink { to: To::Aside(aside), lost, .. }) => {
                let dropped = aside.dropped();
                aside.finish(patience);
                lost + dropped
            }
            Some(Sink { lost, .. }) => lost,
            None => 0,
        }
    }

    /// Whether [`Writer::give_back`] would give much.
    pub(crate) fn is_swollen(&self) -> bool {
        self.sink.as_ref().is_some_and(|sink| matches!(&sink.to, To::File(file) if file.is_swollen()))
    }

    /// Gives back the memory that a burst of output needed.
    pub(crate) fn give_back(&mut self) {
        if let Some(To::File(file)) = self.sink.as_mut().map(|sink| &mut sink.to) {
            file.give_back();
        }
    }

    fn each_piece(
        &mut self,
        stream: StreamKind,
        split: impl FnOnce(&mut Splitter, &mut dyn FnMut(Piece<'_>)),
    ) {
        let Some(sink) = &mut self.sink else { return };
        let splitter = if stream == StreamKind::Stderr { &mut self.stderr } else { &mut self.stdout };
        split(splitter, &mut |piece| sink.append(stream, piece));
        match &mut sink.to {
            To::File(file) => sink.lost += u64::from(file.flush().is_err()),
            To::Aside(aside) => aside.flush(),
        }
    }
}

impl Sink {
    fn append(&mut self, stream: StreamKind, piece: Piece<'_>) {
        let encode = match self.driver {
            LogDriver::JsonFile => json::encode,
            LogDriver::Local => local::encode,
            LogDriver::None => return,
        };
        match &mut self.to {
            To::File(file) => match file.entry() {
                Ok(out) => encode(out, piece, stream, &self.attrs),
                Err(_) => self.lost += 1,
            },
            To::Aside(aside) => {
                let mut entry = Vec::with_capacity(piece.bytes.len() + 128);
                encode(&mut entry, piece, stream, &self.attrs);
                aside.push(&entry);
            }
        }
    }
}
