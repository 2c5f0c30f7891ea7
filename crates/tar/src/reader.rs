//! Reading entries, one after the other.

use std::io::{self, Read, Seek};

use super::{
    BLOCK, ENTRIES_MAX, Entry, EntryKind, FILE_MAX, PATH_MAX, SPECIAL_MAX, TarError, Time,
    header::Header,
    pax::{self, Pax},
    sparse::{self, Segment},
};

/// A tar stream. [`next`](Self::next_entry) goes to the next entry; [`Read`] gives the payload of the current one, for a
/// sparse file only the pieces that are stored.
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
    /// Payload of the current entry that is not read yet, and zeros behind it.
    remaining: u64,
    padding: u64,
    /// Bytes of the stream that were read or passed over.
    position: u64,
    entries: u64,
    done: bool,
}

impl<R: Read> Reader<R> {
    /// Reads from the beginning of an archive.
    pub fn new(inner: R) -> Self {
        Self { inner, remaining: 0, padding: 0, position: 0, entries: 0, done: false }
    }

    /// The next entry, or none at the end of the archive. What was not read of the current payload is skipped.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        if self.done {
            return Ok(None);
        }
        let mut pax = Pax::default();
        let (mut long_name, mut long_link) = (None, None);
        let mut special = false;
        loop {
            self.skip_payload()?;
            let Some(block) = self.block()? else {
                self.done = true;
                return if special { Err(TarError::UnexpectedEof) } else { Ok(None) };
            };
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return Err(TarError::TooLarge { what: "number of entries", limit: ENTRIES_MAX });
            }
            let header = Header::parse(&block)?;
            match header.typeflag() {
                b'x' | b'X' => pax = pax::parse(&self.special(&header)?)?,
                // Go hands global headers to its caller, and Docker passes them over.
                b'g' => drop(self.special(&header)?),
                b'L' => long_name = Some(self.long(&header)?),
                b'K' => long_link = Some(self.long(&header)?),
                _ => {
                    pax.path = long_name.or(pax.path);
                    pax.link = long_link.or(pax.link);
                    return self.entry(&header, pax).map(Some);
                }
            }
            special = true;
        }
    }

    /// The stream below, standing behind the last block that was read.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// Bytes of payload that are left.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Where the stream stands, in bytes from its beginning: after [`next_entry`](Self::next_entry), where the payload
    /// begins.
    pub fn position(&self) -> u64 {
        self.position
    }

    fn entry(&mut self, header: &Header<'_>, mut pax: Pax) -> Result<Entry, TarError> {
        let mut path = pax.path.unwrap_or_else(|| header.name());
        let flag = header.typeflag();
        let kind = match flag {
            0 if path.ends_with(b"/") => EntryKind::Directory,
            b'0' | 0 | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::Char,
            b'4' => EntryKind::Block,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            other => return Err(TarError::Kind(other)),
        };
        let stated = match pax.size {
            Some(size) => size,
            None => header.size()?,
        };
        let stated = length(stated)?;
        // Only files have a payload, whatever the header says: this is where readers that differ lose their step.
        let stored = if kind == EntryKind::File { stated } else { 0 };
        self.set_payload(stored);
        let (mut size, mut map) = (stored, None);
        if kind == EntryKind::File {
            if flag == b'S' {
                (size, map) = self.gnu_sparse(header)?;
            } else if pax.sparse.map_in_payload() {
                size = length(pax.sparse.size()?)?;
                map = Some(self.sparse_map_in_payload()?);
            } else if let Some(pieces) = pax.sparse.map() {
                size = length(pax.sparse.size()?)?;
                map = Some(pieces);
            }
            if let Some(map) = &map {
                sparse::check(map, size, self.remaining)?;
                path = pax.sparse.name.take().unwrap_or(path);
            }
        }
        let link = pax.link.unwrap_or_else(|| header.link());
        for text in [&path, &link] {
            if text.len() > PATH_MAX {
                return Err(TarError::TooLarge { what: "path", limit: PATH_MAX as u64 });
            }
        }
        let device = match kind {
            EntryKind::Char | EntryKind::Block => device(header.device()?)?,
            _ => (0, 0),
        };
        let mtime = match pax.mtime {
            Some(mtime) => mtime,
            None => Time { seconds: header.mtime()?, nanoseconds: 0 },
        };
        Ok(Entry {
            path,
            link,
            kind,
            mode: (header.mode()? & 0o7777) as u32,
            uid: owner(pax.uid.map_or_else(|| header.uid(), Ok)?)?,
            gid: owner(pax.gid.map_or_else(|| header.gid(), Ok)?)?,
            size,
            mtime,
            device,
            xattrs: pax.xattrs,
            sparse: map,
        })
    }

    /// The next block that is not the end. A zero block must be followed by another, or by nothing.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0; BLOCK];
        if !self.fill(&mut block)? {
            return Ok(None);
        }
        if block.iter().any(|b| *b != 0) {
            return Ok(Some(block));
        }
        if !self.fill(&mut block)? || block.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        Err(TarError::Header("something behind a zero block"))
    }

    /// Fills `block`, or finds the stream at its end. In the middle of a block an end is an error.
    fn fill(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, TarError> {
        let mut filled = 0;
        while filled < BLOCK {
            match self.inner.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(TarError::UnexpectedEof),
                Ok(n) => {
                    filled += n;
                    self.position += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    fn set_payload(&mut self, length: u64) {
        self.remaining = length;
        self.padding = length.wrapping_neg() % BLOCK as u64;
    }

    fn skip_payload(&mut self) -> Result<(), TarError> {
        let mut left = self.remaining + self.padding;
        let mut buffer = [0; 8192];
        while left > 0 {
            let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match self.inner.read(&mut buffer[..want]) {
                Ok(0) => return Err(TarError::UnexpectedEof),
                Ok(n) => {
                    left -= n as u64;
                    self.position += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        (self.remaining, self.padding) = (0, 0);
        Ok(())
    }

    /// The whole payload of a header that is about the next one.
    fn special(&mut self, header: &Header<'_>) -> Result<Vec<u8>, TarError> {
        let size = length(header.size()?)?;
        if size > SPECIAL_MAX {
            return Err(TarError::TooLarge { what: "extended header", limit: SPECIAL_MAX });
        }
        self.set_payload(size);
        let mut bytes = Vec::new();
        self.take(size).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn long(&mut self, header: &Header<'_>) -> Result<Vec<u8>, TarError> {
        let mut name = self.special(header)?;
        name.truncate(name.iter().position(|b| *b == 0).unwrap_or(name.len()));
        Ok(name)
    }

    fn gnu_sparse(&mut self, header: &Header<'_>) -> Result<(u64, Option<Vec<Segment>>), TarError> {
        let (fields, mut more, size) = header.gnu_sparse()?;
        let mut map = Vec::new();
        sparse::take_gnu(&mut map, fields)?;
        while more {
            let mut block = [0; BLOCK];
            if !self.fill(&mut block)? {
                return Err(TarError::UnexpectedEof);
            }
            sparse::take_gnu(&mut map, &block[..504])?;
            more = block[504] != 0;
        }
        Ok((length(size)?, Some(map)))
    }

    /// Format 1.0: the payload begins with the map, padded to a block of its own.
    fn sparse_map_in_payload(&mut self) -> Result<Vec<Segment>, TarError> {
        let mut taken = 0_u64;
        let mut block = [0; BLOCK];
        let mut at = BLOCK;
        sparse::read_lines(|| {
            let mut line = Vec::new();
            loop {
                if at == BLOCK {
                    if taken >= SPECIAL_MAX {
                        return Err(TarError::TooLarge { what: "sparse map", limit: SPECIAL_MAX });
                    }
                    self.read_exact(&mut block)?;
                    taken += BLOCK as u64;
                    at = 0;
                }
                let byte = block[at];
                at += 1;
                match byte {
                    b'\n' => return Ok(line),
                    _ if line.len() > 20 => return Err(TarError::Header("malformed sparse map")),
                    byte => line.push(byte),
                }
            }
        })
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Passes over what is left of the payload without reading it. That it is there is for the caller to know: a source
    /// can seek beyond its end.
    pub fn seek_over(&mut self) -> io::Result<()> {
        let left = self.remaining + self.padding;
        self.inner.seek_relative(i64::try_from(left).unwrap_or(i64::MAX))?;
        self.position += left;
        (self.remaining, self.padding) = (0, 0);
        Ok(())
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = buffer.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        match self.inner.read(&mut buffer[..want])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.remaining -= n as u64;
                self.position += n as u64;
                Ok(n)
            }
        }
    }
}

fn length(size: i64) -> Result<u64, TarError> {
    match u64::try_from(size) {
        Ok(size) if size <= FILE_MAX => Ok(size),
        Ok(_) => Err(TarError::TooLarge { what: "file", limit: FILE_MAX }),
        Err(_) => Err(TarError::Header("negative size")),
    }
}

/// Owners are 32 bits; all ones means "do not change" to the kernel.
fn owner(id: i64) -> Result<u32, TarError> {
    match u32::try_from(id) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(TarError::Header("owner out of range")),
    }
}

/// The kernel has 12 bits for major and 20 for minor numbers.
fn device((major, minor): (i64, i64)) -> Result<(u32, u32), TarError> {
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major), Ok(minor)) if major < 1 << 12 && minor < 1 << 20 => Ok((major, minor)),
        _ => Err(TarError::Header("device number out of range")),
    }
}
