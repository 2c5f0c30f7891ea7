//! Output to log entries: one a line, long lines in parts of 16 KiB (moby `daemon/logger/copier.go`).

use super::scan;

/// Longest entry in bytes, without the newline.
pub(crate) const ENTRY_MAX: usize = 16 * 1024;

/// A piece of output that becomes one log entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    /// Without the newline.
    pub(crate) bytes: &'a [u8],
    /// A newline followed.
    pub(crate) newline: bool,
    /// Part of a line that took several entries: number of this one, from 1.
    pub(crate) ordinal: Option<u32>,
    /// When the line was seen; all parts of a line have the time of the first.
    pub(crate) time: i64,
}

/// Splits one stream. Holds at most [`ENTRY_MAX`] bytes.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    pending: Vec<u8>,
    /// Parts of the current line that are out already.
    parts: u32,
    part_time: i64,
}

impl Splitter {
    /// Takes output as it came and gives the entries that are complete.
    pub(crate) fn push(&mut self, mut bytes: &[u8], now: impl Fn() -> i64, mut emit: impl FnMut(Piece<'_>)) {
        while !bytes.is_empty() {
            let room = ENTRY_MAX - self.pending.len();
            let window = &bytes[..bytes.len().min(room)];
            match scan::position(window, |byte| byte == b'\n') {
                Some(at) => {
                    self.emit(&bytes[..at], true, &now, &mut emit);
                    bytes = &bytes[at + 1..];
                }
                // A full entry without newline goes out as a part, even if the newline comes next.
                None if window.len() == room => {
                    self.emit(&bytes[..room], false, &now, &mut emit);
                    bytes = &bytes[room..];
                }
                None => {
                    self.pending.extend_from_slice(bytes);
                    return;
                }
            }
        }
    }

    /// The stream has ended: what is left is an entry without newline.
    pub(crate) fn finish(&mut self, now: impl Fn() -> i64, mut emit: impl FnMut(Piece<'_>)) {
        if !self.pending.is_empty() {
            self.emit(&[], false, &now, &mut emit);
        }
    }

    fn emit(&mut self, rest: &[u8], newline: bool, now: &impl Fn() -> i64, emit: &mut impl FnMut(Piece<'_>)) {
        if self.parts == 0 {
            self.part_time = now();
        }
        let ordinal = (self.parts > 0 || !newline).then_some(self.parts + 1);
        let time = self.part_time;
        if self.pending.is_empty() {
            emit(Piece { bytes: rest, newline, ordinal, time });
        } else {
            self.pending.extend_from_slice(rest);
            emit(Piece { bytes: &self.pending, newline, ordinal, time });
            self.pending.clear();
        }
        self.parts = if newline { 0 } else { self.parts.saturating_add(1) };
        if newline && self.pending.capacity() > 1024 {
            self.pending = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    fn split(chunks: &[&[u8]]) -> Vec<(Vec<u8>, bool, Option<u32>, i64)> {
        let mut splitter = Splitter::default();
        let clock = Cell::new(0);
        let now = || {
            clock.set(clock.get() + 1);
            clock.get()
        };
        let mut out = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, now, |p| out.push((p.bytes.to_vec(), p.newline, p.ordinal, p.time)));
        }
        splitter.finish(now, |p| out.push((p.bytes.to_vec(), p.newline, p.ordinal, p.time)));
        out
    }

    #[test]
    fn lines_become_entries_and_the_last_one_needs_no_newline() {
        let expect = vec![
            (b"a".to_vec(), true, None, 1),
            (b"".to_vec(), true, None, 2),
            (b"bc".to_vec(), true, None, 3),
            (b"d".to_vec(), false, Some(1), 4),
        ];
        assert_eq!(split(&[b"a\n\nb", b"c\nd"]), expect);
    }

    #[test]
    fn a_line_of_16_kib_and_its_newline_are_two_entries_of_one_time() {
        let mut line = vec![b'x'; ENTRY_MAX];
        line.push(b'\n');
        let expect = vec![(vec![b'x'; ENTRY_MAX], false, Some(1), 1), (b"".to_vec(), true, Some(2), 1)];
        assert_eq!(split(&[&line]), expect);
    }

    #[test]
    fn a_long_line_is_cut_every_16_kib() {
        let line = vec![b'x'; 2 * ENTRY_MAX + 5];
        let lengths: Vec<_> =
            split(&[&line, b"\n", b"y\n"]).into_iter().map(|e| (e.0.len(), e.1, e.2)).collect();
        let expect =
            [(ENTRY_MAX, false, Some(1)), (ENTRY_MAX, false, Some(2)), (5, true, Some(3)), (1, true, None)];
        assert_eq!(lengths, expect);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn chunking_does_not_matter_and_nothing_is_lost(
            lines in prop::collection::vec((0..40_000_usize, any::<bool>()), 1..6),
            cuts in prop::collection::vec(0..100_000_usize, 0..8),
        ) {
            let mut text = Vec::new();
            for (length, newline) in lines {
                text.extend(std::iter::repeat_n(b'z', length));
                if newline { text.push(b'\n'); }
            }
            let whole: Vec<_> = split(&[&text]).into_iter().map(|e| (e.0, e.1, e.2)).collect();
            let mut cuts: Vec<_> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            let parts: Vec<_> = split(&chunks).into_iter().map(|e| (e.0, e.1, e.2)).collect();
            prop_assert_eq!(&whole, &parts);
            let mut joined = Vec::new();
            for (bytes, newline, _) in whole {
                prop_assert!(bytes.len() <= ENTRY_MAX);
                joined.extend(bytes);
                if newline { joined.push(b'\n'); }
            }
            prop_assert_eq!(joined, text);
        }
    }
}
