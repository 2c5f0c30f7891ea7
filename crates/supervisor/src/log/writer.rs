//! The supervisor's end of the log.

use types::StreamKind;

use super::file::RotatingFile;
use super::options::Limits;
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
    file: RotatingFile,
    attrs: Vec<u8>,
    lost: u64,
}

impl Writer {
    /// Opens the log. Errors are in Docker's words.
    pub(crate) fn open(spec: &LogSpec) -> Result<Self, String> {
        let attrs = match spec.driver {
            LogDriver::None => return Ok(Self::default()),
            LogDriver::JsonFile => json::encode_attrs(&spec.attrs),
            LogDriver::Local => local::encode_attrs(&spec.attrs),
        };
        let sink = Limits::parse(spec.driver, &spec.options).and_then(|limits| {
            let file = RotatingFile::open(&spec.path, limits)
                .map_err(|error| format!("open {}: {error}", spec.path.display()))?;
            Ok(Sink { driver: spec.driver, file, attrs, lost: 0 })
        });
        let sink = sink.map_err(|why| format!("failed to initialize logging driver: {why}"))?;
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

    /// Entries that could not be written.
    pub(crate) fn lost(&self) -> u64 {
        self.sink.as_ref().map_or(0, |sink| sink.lost)
    }

    /// Whether [`Writer::give_back`] would give much.
    pub(crate) fn is_swollen(&self) -> bool {
        self.sink.as_ref().is_some_and(|sink| sink.file.is_swollen())
    }

    /// Gives back the memory that a burst of output needed.
    pub(crate) fn give_back(&mut self) {
        if let Some(sink) = &mut self.sink {
            sink.file.give_back();
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
        if sink.file.flush().is_err() {
            sink.lost += 1;
        }
    }
}

impl Sink {
    fn append(&mut self, stream: StreamKind, piece: Piece<'_>) {
        let Ok(out) = self.file.entry() else {
            self.lost += 1;
            return;
        };
        match self.driver {
            LogDriver::JsonFile => json::encode(out, piece, stream, &self.attrs),
            LogDriver::Local => local::encode(out, piece, stream, &self.attrs),
            LogDriver::None => {}
        }
    }
}
