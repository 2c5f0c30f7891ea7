//! Writing entries: plain ustar headers, with a pax header before those that need one.

use std::io::{self, Read, Write};

use super::{BLOCK, Entry, EntryKind, Time, number, pax};

/// Writes a tar stream. The same entries give the same bytes.
#[derive(Debug)]
pub struct Writer<W> {
    inner: W,
}

impl<W: Write> Writer<W> {
    /// Writes from the beginning of an archive.
    pub fn new(inner: W) -> Self {
        Self { inner }
    }

    /// An entry without payload, or an empty file.
    pub fn append(&mut self, entry: &Entry) -> io::Result<()> {
        self.append_file(entry, &mut io::empty())
    }

    /// A file with `entry.size` bytes of `payload`. A source with fewer bytes is an error, more are not read; sparse
    /// files are written in full.
    pub fn append_file(&mut self, entry: &Entry, payload: &mut dyn Read) -> io::Result<()> {
        let size = if entry.kind == EntryKind::File { entry.size } else { 0 };
        let (block, records) = header(entry, size);
        if !records.is_empty() {
            let mut name = b"PaxHeaders.0/".to_vec();
            let base = entry.path.rsplit(|b| *b == b'/').find(|part| !part.is_empty()).unwrap_or(b"x");
            name.extend_from_slice(&base[..base.len().min(100 - name.len())]);
            let extended = Entry { size: records.len() as u64, ..Entry::new(EntryKind::File, name, 0o644) };
            let (mut block, _) = header(&extended, extended.size);
            block[156] = b'x';
            seal(&mut block);
            self.inner.write_all(&block)?;
            self.inner.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        self.inner.write_all(&block)?;
        let copied = io::copy(&mut payload.take(size), &mut self.inner)?;
        if copied != size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "file shrank while it was read"));
        }
        self.pad(size)
    }

    /// Writes the end of the archive.
    pub fn finish(mut self) -> io::Result<W> {
        self.inner.write_all(&[0; 2 * BLOCK])?;
        self.inner.flush()?;
        Ok(self.inner)
    }

    fn pad(&mut self, length: u64) -> io::Result<()> {
        let padding = (length.wrapping_neg() % BLOCK as u64) as usize;
        self.inner.write_all(&[0; BLOCK][..padding])
    }
}

/// The header block, and the pax records for what does not fit into it.
fn header(entry: &Entry, size: u64) -> ([u8; BLOCK], Vec<u8>) {
    let mut block = [0; BLOCK];
    let mut records = Vec::new();
    text(&mut block[..100], &entry.path, b"path", &mut records);
    text(&mut block[157..257], &entry.link, b"linkpath", &mut records);
    number(&mut block[100..108], u64::from(entry.mode & 0o7777), b"", &mut records);
    number(&mut block[108..116], u64::from(entry.uid), b"uid", &mut records);
    number(&mut block[116..124], u64::from(entry.gid), b"gid", &mut records);
    number(&mut block[124..136], size, b"size", &mut records);
    let Time { seconds, nanoseconds } = entry.mtime;
    let fits = u64::try_from(seconds).is_ok_and(|s| number::write_octal(&mut block[136..148], s));
    if !fits || nanoseconds != 0 {
        if !fits {
            number::write_octal(&mut block[136..148], 0);
        }
        pax::write_record(&mut records, b"mtime", time_text(entry.mtime).as_bytes());
    }
    block[156] = match entry.kind {
        EntryKind::File => b'0',
        EntryKind::HardLink => b'1',
        EntryKind::Symlink => b'2',
        EntryKind::Char => b'3',
        EntryKind::Block => b'4',
        EntryKind::Directory => b'5',
        EntryKind::Fifo => b'6',
    };
    block[257..265].copy_from_slice(b"ustar\x0000");
    if matches!(entry.kind, EntryKind::Char | EntryKind::Block) {
        number::write_octal(&mut block[329..337], u64::from(entry.device.0));
        number::write_octal(&mut block[337..345], u64::from(entry.device.1));
    }
    let mut xattrs: Vec<_> = entry.xattrs.iter().collect();
    xattrs.sort();
    for (name, value) in xattrs {
        pax::write_record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    seal(&mut block);
    (block, records)
}

/// Pax wants UTF-8 in its records and ASCII outside; bytes that are neither pass through both unchanged.
fn text(field: &mut [u8], value: &[u8], key: &[u8], records: &mut Vec<u8>) {
    let fits = value.len() <= field.len();
    let cut = &value[..value.len().min(field.len())];
    field[..cut.len()].copy_from_slice(cut);
    if !fits || !value.is_ascii() {
        pax::write_record(records, key, value);
    }
}

fn number(field: &mut [u8], value: u64, key: &[u8], records: &mut Vec<u8>) {
    if !number::write_octal(field, value) {
        number::write_octal(field, 0);
        pax::write_record(records, key, value.to_string().as_bytes());
    }
}

fn time_text(time: Time) -> String {
    // Before 1970 the fraction counts away from the second, in the text towards it.
    let (sign, seconds, nanos) = match (time.seconds < 0, time.nanoseconds) {
        (false, n) => ("", time.seconds.unsigned_abs(), n),
        (true, 0) => ("-", time.seconds.unsigned_abs(), 0),
        (true, n) => ("-", (time.seconds + 1).unsigned_abs(), 1_000_000_000 - n),
    };
    if nanos == 0 {
        return format!("{sign}{seconds}");
    }
    format!("{sign}{seconds}.{nanos:09}").trim_end_matches('0').to_owned()
}

/// Fills in the checksum.
fn seal(block: &mut [u8; BLOCK]) {
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
    // Six digits, NUL, space: as every program writes it.
    number::write_octal(&mut block[148..155], sum);
}
