//! Sparse files: GNU's old headers (type `S`) and its three pax formats (0.0, 0.1, 1.0).

use super::{SPECIAL_MAX, TarError, number, pax::decimal};

/// Pieces of one file. Each takes 16 bytes here and 24 in an old header.
const SEGMENTS_MAX: usize = 1 << 17;

/// A piece of a file that is in the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it lies in the file.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// What the `GNU.sparse.` records said.
#[derive(Debug, Default)]
pub(super) struct PaxSparse {
    version: (Option<i64>, Option<i64>),
    pub(super) name: Option<Vec<u8>>,
    size: Option<i64>,
    map: Vec<Segment>,
    /// Format 0.0: an offset that waits for its length.
    offset: Option<i64>,
    seen: bool,
}

impl PaxSparse {
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        match key {
            b"major" => self.version.0 = Some(decimal(value)?),
            b"minor" => self.version.1 = Some(decimal(value)?),
            b"name" if !value.is_empty() && !value.contains(&0) && value.len() <= super::PATH_MAX => {
                self.name = Some(value.to_vec());
            }
            b"name" => return Err(TarError::Header("bad name of a sparse file")),
            b"realsize" | b"size" => self.size = Some(decimal(value)?),
            b"offset" if self.offset.is_none() => self.offset = Some(decimal(value)?),
            b"numbytes" => {
                let offset = self.offset.take().ok_or(TarError::Header("sparse map out of order"))?;
                push(&mut self.map, offset, decimal(value)?)?;
                self.seen = true;
            }
            b"offset" => return Err(TarError::Header("sparse map out of order")),
            b"map" => {
                self.seen = true;
                self.map.clear();
                let mut numbers = value.split(|b| *b == b',');
                while let Some(offset) = numbers.next().filter(|text| !text.is_empty()) {
                    let length = numbers.next().ok_or(TarError::Header("odd sparse map"))?;
                    push(&mut self.map, decimal(offset)?, decimal(length)?)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the map stands at the start of the payload.
    pub(super) fn map_in_payload(&self) -> bool {
        self.version == (Some(1), Some(0))
    }

    /// The map of formats 0.0 and 0.1 and the file's length, if the entry is sparse.
    pub(super) fn map(&mut self) -> Option<Vec<Segment>> {
        let known = matches!(self.version, (None, None) | (Some(0), Some(0 | 1)));
        (self.seen && known).then(|| std::mem::take(&mut self.map))
    }

    /// The file's length.
    pub(super) fn size(&self) -> Result<i64, TarError> {
        self.size.ok_or(TarError::Header("sparse file without length"))
    }
}

fn push(map: &mut Vec<Segment>, offset: i64, length: i64) -> Result<(), TarError> {
    if map.len() == SEGMENTS_MAX {
        return Err(TarError::TooLarge { what: "sparse map", limit: SEGMENTS_MAX as u64 });
    }
    let bad = |_| TarError::Header("negative number in a sparse map");
    map.push(Segment { offset: offset.try_into().map_err(bad)?, length: length.try_into().map_err(bad)? });
    Ok(())
}

/// Adds the pieces of one old GNU block: pairs of 12-byte numbers up to an empty one.
pub(super) fn take_gnu(map: &mut Vec<Segment>, fields: &[u8]) -> Result<(), TarError> {
    for pair in fields.chunks_exact(24) {
        if pair[0] == 0 {
            break;
        }
        push(map, number::parse(&pair[..12])?, number::parse(&pair[12..])?)?;
    }
    Ok(())
}

/// Reads a map of format 1.0: decimal numbers, one a line: the count, then offset and length of each piece. `line` gives
/// the next line without its end.
pub(super) fn read_lines(
    mut line: impl FnMut() -> Result<Vec<u8>, TarError>,
) -> Result<Vec<Segment>, TarError> {
    let count = decimal(&line()?)?;
    if count > SEGMENTS_MAX as i64 {
        return Err(TarError::TooLarge { what: "sparse map", limit: SPECIAL_MAX });
    }
    let mut map = Vec::new();
    for _ in 0..count {
        push(&mut map, decimal(&line()?)?, decimal(&line()?)?)?;
    }
    Ok(map)
}

/// A map must ascend without overlap, stay inside the file, and account for the payload exactly.
pub(super) fn check(map: &[Segment], size: u64, payload: u64) -> Result<(), TarError> {
    let mut end = 0_u64;
    let mut stored = 0_u64;
    for segment in map {
        let bad = TarError::Header("sparse map that overlaps or leaves the file");
        let next = segment.offset.checked_add(segment.length);
        match next {
            Some(next) if segment.offset >= end && next <= size => end = next,
            _ => return Err(bad),
        }
        // Cannot overflow: pieces do not overlap and end within `size`.
        stored += segment.length;
    }
    if stored == payload {
        return Ok(());
    }
    Err(TarError::Header("sparse map that does not fit the payload"))
}
