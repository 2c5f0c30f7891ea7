//! One log file as a sequence of entries, forwards, and from the back to find the last ones.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use flate2::read::MultiGzDecoder;

use super::reader::Entry;
use super::{json, local};

/// No entry of ours is longer, attributes included; what is longer is damage.
const ENTRY_BYTES_MAX: usize = 1 << 20;
const CHUNK: usize = 64 * 1024;

/// How entries lie in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Local,
}

#[derive(Debug)]
enum Input {
    Plain(File),
    Gzip(Box<MultiGzDecoder<File>>),
}

/// One log file being read.
#[derive(Debug)]
pub(super) struct Source {
    input: Input,
    format: Format,
    buffer: Vec<u8>,
    /// Where in `buffer` the next entry starts.
    start: usize,
    /// Bytes that may still be read: a log that is not followed ends where it ended when it was opened.
    limit: u64,
    /// Beyond repair: nothing more will come.
    broken: bool,
}

/// What lies at the front of the buffer.
enum Front {
    /// An entry: its bytes, and how many bytes it takes with what surrounds it.
    Whole {
        from: usize,
        to: usize,
        taken: usize,
    },
    Incomplete,
    Damaged,
}

impl Source {
    pub(super) fn plain(file: File, format: Format) -> Self {
        Self::new(Input::Plain(file), format)
    }

    pub(super) fn gzip(file: File, format: Format) -> Self {
        Self::new(Input::Gzip(Box::new(MultiGzDecoder::new(file))), format)
    }

    fn new(input: Input, format: Format) -> Self {
        Self { input, format, buffer: Vec::new(), start: 0, limit: u64::MAX, broken: false }
    }

    /// The file behind an uncompressed source.
    pub(super) fn file(&self) -> Option<&File> {
        match &self.input {
            Input::Plain(file) => Some(file),
            Input::Gzip(_) => None,
        }
    }

    /// Ends the source where the file ends now.
    pub(super) fn end_here(&mut self) -> io::Result<()> {
        if let Input::Plain(file) = &mut self.input {
            self.limit = file.metadata()?.len().saturating_sub(file.stream_position()?);
        }
        Ok(())
    }

    /// The next entry; `None` when there is no complete one (yet). Damaged ones are skipped.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        while let Some((from, to)) = self.next_raw()? {
            let bytes = &self.buffer[from..to];
            let entry = match self.format {
                Format::Json => json::decode(bytes),
                Format::Local => local::decode(bytes),
            };
            if entry.is_some() {
                return Ok(entry);
            }
        }
        Ok(None)
    }

    /// Whether the file has no bytes beyond those read.
    pub(super) fn at_end(&mut self) -> io::Result<bool> {
        match &mut self.input {
            Input::Plain(file) => Ok(file.stream_position()? >= file.metadata()?.len()),
            Input::Gzip(_) => Ok(true),
        }
    }

    /// Where in the buffer the next entry's bytes are.
    fn next_raw(&mut self) -> io::Result<Option<(usize, usize)>> {
        while !self.broken {
            match self.front() {
                Front::Whole { from, to, taken } => {
                    let base = self.start;
                    self.start += taken;
                    return Ok(Some((base + from, base + to)));
                }
                Front::Damaged => self.broken = true,
                Front::Incomplete if self.fill()? => {}
                Front::Incomplete => return Ok(None),
            }
        }
        Ok(None)
    }

    fn front(&self) -> Front {
        let bytes = &self.buffer[self.start..];
        match self.format {
            Format::Json => match bytes.iter().position(|b| *b == b'\n') {
                Some(at) => Front::Whole { from: 0, to: at, taken: at + 1 },
                None if bytes.len() > ENTRY_BYTES_MAX => Front::Damaged,
                None => Front::Incomplete,
            },
            Format::Local => {
                let Some(length) = bytes.first_chunk::<{ local::LENGTH }>() else { return Front::Incomplete };
                let length = u32::from_be_bytes(*length) as usize;
                let taken = length + 2 * local::LENGTH;
                if length > ENTRY_BYTES_MAX {
                    Front::Damaged
                } else if bytes.len() < taken {
                    Front::Incomplete
                } else {
                    Front::Whole { from: local::LENGTH, to: local::LENGTH + length, taken }
                }
            }
        }
    }

    /// Reads on; `false` at the end.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let before = self.buffer.len();
        let wanted = usize::try_from(self.limit).map_or(CHUNK, |limit| limit.min(CHUNK));
        self.buffer.resize(before + wanted, 0);
        let result = loop {
            let target = &mut self.buffer[before..];
            let result = match &mut self.input {
                Input::Plain(file) => file.read(target),
                Input::Gzip(decoder) => decoder.read(target),
            };
            if !result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
                break result;
            }
        };
        self.buffer.truncate(before + result.as_ref().map_or(0, |got| *got));
        let got = result?;
        self.limit -= got as u64;
        Ok(got > 0)
    }

    /// Skips to the last `wanted` entries; returns how many there are, at most `wanted`.
    pub(super) fn tail(&mut self, wanted: u64) -> io::Result<u64> {
        let (start, found) = match (&self.input, self.format) {
            (Input::Plain(file), Format::Json) => tail_json(file, wanted)?,
            (Input::Plain(file), Format::Local) => match tail_local(file, wanted)? {
                Some(place) => place,
                None => return self.tail_forwards(wanted),
            },
            (Input::Gzip(_), _) => return self.tail_forwards(wanted),
        };
        if let Input::Plain(file) = &mut self.input {
            file.seek(SeekFrom::Start(start))?;
        }
        Ok(found)
    }

    /// Where one cannot go backwards: count, then go again.
    fn tail_forwards(&mut self, wanted: u64) -> io::Result<u64> {
        let limit = self.limit;
        let mut total = 0_u64;
        while self.next_raw()?.is_some() {
            total += 1;
        }
        self.rewind()?;
        self.limit = limit;
        for _ in 0..total.saturating_sub(wanted) {
            self.next_raw()?;
        }
        Ok(total.min(wanted))
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.buffer.clear();
        self.start = 0;
        self.broken = false;
        match &mut self.input {
            Input::Plain(file) => file.rewind(),
            Input::Gzip(decoder) => {
                let mut file = decoder.get_ref().try_clone()?;
                file.rewind()?;
                **decoder = MultiGzDecoder::new(file);
                Ok(())
            }
        }
    }
}

/// Offset of the last `wanted` lines, and how many there are. Bytes after the last newline are no line yet.
fn tail_json(file: &File, wanted: u64) -> io::Result<(u64, u64)> {
    let mut end = file.metadata()?.len();
    let mut chunk = vec![0; CHUNK];
    let mut found = 0;
    while end > 0 {
        let start = end.saturating_sub(CHUNK as u64);
        let part = &mut chunk[..(end - start) as usize];
        file.read_exact_at(part, start)?;
        for at in (0..part.len()).rev().filter(|at| part[*at] == b'\n') {
            if found == wanted {
                return Ok((start + at as u64 + 1, found));
            }
            found += 1;
        }
        end = start;
    }
    Ok((0, found))
}

/// The same for the `local` format; `None` if the lengths do not fit together: an entry is half written.
fn tail_local(file: &File, wanted: u64) -> io::Result<Option<(u64, u64)>> {
    let mut end = file.metadata()?.len();
    let mut found = 0;
    let length_at = |offset| -> io::Result<u64> {
        let mut bytes = [0; local::LENGTH];
        file.read_exact_at(&mut bytes, offset)?;
        Ok(u64::from(u32::from_be_bytes(bytes)))
    };
    const AROUND: u64 = 2 * local::LENGTH as u64;
    while found < wanted && end > 0 {
        if end < AROUND {
            return Ok(None);
        }
        let length = length_at(end - local::LENGTH as u64)?;
        let Some(start) = end.checked_sub(length + AROUND) else { return Ok(None) };
        if length_at(start)? != length {
            return Ok(None);
        }
        end = start;
        found += 1;
    }
    Ok(Some((end, found)))
}
