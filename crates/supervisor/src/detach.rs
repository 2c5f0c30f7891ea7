//! Finding the detach keys in what a user types.

/// Looks for a sequence of keys in a stream that comes in pieces. What may still become the sequence is held back.
#[derive(Debug)]
pub(crate) struct Scanner {
    keys: Vec<u8>,
    /// So many of `keys` are matched, and held back.
    held: usize,
}

impl Scanner {
    /// `None` if there is nothing to look for.
    pub(crate) fn new(keys: &[u8]) -> Option<Self> {
        (!keys.is_empty()).then(|| Self { keys: keys.to_vec(), held: 0 })
    }

    /// Appends to `out` what is certainly not the sequence. `true`: the sequence was typed; what follows it is dropped.
    pub(crate) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
        for byte in input.iter().copied() {
            while self.held > 0 && self.keys[self.held] != byte {
                let shorter = self.shorter_match();
                out.extend_from_slice(&self.keys[..self.held - shorter]);
                self.held = shorter;
            }
            if self.keys[self.held] != byte {
                out.push(byte);
                continue;
            }
            self.held += 1;
            if self.held == self.keys.len() {
                self.held = 0;
                return true;
            }
        }
        false
    }

    /// What is held back, when nothing follows any more.
    pub(crate) fn finish(&mut self) -> &[u8] {
        &self.keys[..std::mem::take(&mut self.held)]
    }

    /// The longest beginning of the keys that ends what is matched, shorter than it.
    fn shorter_match(&self) -> usize {
        let matched = &self.keys[..self.held];
        (0..self.held).rev().find(|length| matched.ends_with(&self.keys[..*length])).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scan(keys: &[u8], pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut scanner = Scanner::new(keys).unwrap();
        let mut out = Vec::new();
        for piece in pieces {
            if scanner.feed(piece, &mut out) {
                return (out, true);
            }
        }
        out.extend_from_slice(scanner.finish());
        (out, false)
    }

    #[test]
    fn the_sequence_is_found_and_not_passed_on() {
        let check = |keys: &[u8], pieces: &[&[u8]], out: &[u8], found| {
            assert_eq!(scan(keys, pieces), (out.to_vec(), found), "{pieces:?}");
        };
        check(b"\x10\x11", &[b"ls\n\x10\x11exit"], b"ls\n", true);
        check(b"\x10\x11", &[b"a\x10", b"\x11"], b"a", true);
        check(b"\x10\x11", &[b"a\x10", b"b\x11"], b"a\x10b\x11", false);
        check(b"\x10\x11", &[b"\x10\x10\x11"], b"\x10", true);
        check(b"aab", &[b"aaab"], b"a", true);
        check(b"x", &[b"", b"abc", b"x"], b"abc", true);
        check(b"\x10\x11", &[b"\x10"], b"\x10", false);
        assert!(Scanner::new(b"").is_none());
    }

    proptest! {
        #[test]
        fn finds_what_a_plain_search_finds(
            keys in prop::collection::vec(0..3_u8, 1..4), input in prop::collection::vec(0..3_u8, 0..40), cut in 0..40_usize,
        ) {
            let (one, two) = input.split_at(cut.min(input.len()));
            let expect = match input.windows(keys.len()).position(|window| window == keys) {
                Some(at) => (input[..at].to_vec(), true),
                None => (input.clone(), false),
            };
            prop_assert_eq!(scan(&keys, &[one, two]), expect);
        }
    }
}
