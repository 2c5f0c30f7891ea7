//! Looking through output quickly: most of it is neither the end of a line nor to be escaped.

/// Bytes looked at together; the compiler makes vector instructions of it.
const LANES: usize = 32;

/// Where the first byte is that `wanted` asks for.
pub(super) fn position(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> Option<usize> {
    let mut at = 0;
    while let Some(lanes) = bytes[at..].first_chunk::<LANES>() {
        // No early exit, or there would be no vectors.
        if lanes.iter().fold(false, |found, byte| found | wanted(*byte)) {
            break;
        }
        at += LANES;
    }
    bytes[at..].iter().position(|byte| wanted(*byte)).map(|found| at + found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_plain_search_finds(bytes in prop::collection::vec(0..4_u8, 0..200), wanted in 0..5_u8) {
            let plain = bytes.iter().position(|byte| *byte == wanted);
            prop_assert_eq!(position(&bytes, |byte| byte == wanted), plain);
        }

        #[test]
        fn finds_the_only_one(length in 0..100_usize, at in 0..100_usize) {
            let mut bytes = vec![b'x'; length];
            if let Some(byte) = bytes.get_mut(at) {
                *byte = b'y';
            }
            prop_assert_eq!(position(&bytes, |byte| byte == b'y'), (at < length).then_some(at));
        }
    }
}
