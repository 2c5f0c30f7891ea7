//! Ranges, conditions and negotiation of HTTP, as far as a registry has them. Pure.

/// Which part of a body is wanted (RFC 9110, section 14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// `length` bytes from `start`.
    Range { start: u64, length: u64 },
    /// None that there is: 416.
    Unsatisfiable,
}

impl Part {
    /// Reads a `Range` header for `size` bytes. What is not understood, and several ranges at once, give the whole.
    pub(crate) fn parse(header: Option<&str>, size: u64) -> Self {
        let Some(ranges) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
            return Self::Whole;
        };
        let Some((first, last)) = ranges.trim().split_once('-') else { return Self::Whole };
        let number = |text: &str| match text.trim() {
            "" => Some(None),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                // Beyond any size there is: as large as can be.
                Some(Some(digits.parse::<u64>().unwrap_or(u64::MAX)))
            }
            _ => None,
        };
        match (number(first), number(last)) {
            (Some(Some(start)), Some(end)) => {
                let end = end.unwrap_or(u64::MAX).min(size.saturating_sub(1));
                match start {
                    start if start >= size => Self::Unsatisfiable,
                    start if end < start => Self::Whole,
                    start => Self::Range { start, length: end - start + 1 },
                }
            }
            (Some(None), Some(Some(suffix))) => match suffix.min(size) {
                0 => Self::Unsatisfiable,
                length => Self::Range { start: size - length, length },
            },
            _ => Self::Whole,
        }
    }
}

/// Whether `If-None-Match` names this entity tag (RFC 9110, section 13.1.2).
pub(crate) fn names_tag(header: Option<&str>, tag: &str) -> bool {
    let plain = |text: &str| text.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    header.is_some_and(|header| header.split(',').any(|one| one.trim() == "*" || plain(one) == tag))
}

/// Whether one of the `Accept` headers takes a media type. None at all takes everything, and so do types that say
/// "any JSON", because a manifest is.
pub(crate) fn accepts<'a>(mut headers: impl Iterator<Item = &'a str>, media_type: &str) -> bool {
    let mut any = false;
    let found = headers.any(|header| {
        header.split(',').any(|one| {
            any = true;
            let name = one.split(';').next().unwrap_or_default().trim();
            name == media_type
                || matches!(name, "" | "*/*" | "application/*" | "application/json" | "text/html")
        })
    });
    found || !any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_rfc_9110() {
        let range = |start, length| Part::Range { start, length };
        for (header, size, want) in [
            (None, 10, Part::Whole),
            (Some("bytes=0-3"), 10, range(0, 4)),
            (Some("bytes=4-"), 10, range(4, 6)),
            (Some("bytes=4-99"), 10, range(4, 6)),
            (Some("bytes=-3"), 10, range(7, 3)),
            (Some("bytes=-30"), 10, range(0, 10)),
            (Some("bytes=10-"), 10, Part::Unsatisfiable),
            (Some("bytes=99999999999999999999-"), 10, Part::Unsatisfiable),
            (Some("bytes=-0"), 10, Part::Unsatisfiable),
            (Some("bytes=0-"), 0, Part::Unsatisfiable),
            (Some("bytes=5-4"), 10, Part::Whole),
            (Some("bytes=0-1,3-4"), 10, Part::Whole),
            (Some("bytes=a-b"), 10, Part::Whole),
            (Some("lines=1-2"), 10, Part::Whole),
        ] {
            assert_eq!(Part::parse(header, size), want, "{header:?}");
        }
    }

    #[test]
    fn entity_tags_match_weakly() {
        for (header, want) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("a", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
        ] {
            assert_eq!(names_tag(Some(header), "a"), want, "{header}");
        }
        assert!(!names_tag(None, "a"));
    }

    #[test]
    fn accept_headers_are_searched_for_the_type() {
        let accepts = |headers: &[&str]| accepts(headers.iter().copied(), "application/x+json");
        assert!(
            accepts(&[]) && accepts(&["*/*"]) && accepts(&["text/plain", "a/b, application/x+json;q=0.5"])
        );
        assert!(accepts(&["application/json"]));
        assert!(!accepts(&["application/y+json"]));
    }
}
