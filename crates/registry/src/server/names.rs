//! The grammar of repository names and tags (distribution-spec, "Pulling manifests"), and patterns over them.

/// Longer names do not fit clients' limit of 255 together with any host name.
const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` and more such components after slashes. Nothing that passes can leave a
/// folder: no component is empty, begins with a dot or contains a slash.
pub(crate) fn is_repository_name(name: &str) -> bool {
    name.len() <= NAME_MAX && name.split('/').all(is_component)
}

fn is_component(component: &str) -> bool {
    let bytes = component.as_bytes();
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut at = 0;
    loop {
        let word = bytes.iter().skip(at).take_while(|byte| is_letter(**byte)).count();
        if word == 0 {
            return false;
        }
        at += word;
        let rest = bytes.get(at..).unwrap_or_default();
        at += match rest {
            [] => return true,
            [b'_', b'_', ..] => 2,
            [b'.' | b'_', ..] => 1,
            [b'-', ..] => rest.iter().take_while(|byte| **byte == b'-').count(),
            _ => return false,
        };
    }
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub(crate) fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || byte == b'.' || byte == b'-')
}

/// The order of lists: case does not count unless nothing else differs (distribution-spec, "Listing Tags").
pub(crate) fn order(a: &str, b: &str) -> std::cmp::Ordering {
    let folded = |text: &str| text.bytes().map(|byte| byte.to_ascii_lowercase()).collect::<Vec<_>>();
    folded(a).cmp(&folded(b)).then_with(|| a.cmp(b))
}

/// Whether `text` matches `pattern`: `*` is anything within a component, `**` anything at all, `?` one character.
/// `team/**` also matches `team`'s own subtree only, not `team` itself.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    // Greedy with one point of return for each kind of star, so that time is at most pattern x text squared.
    fn go(pattern: &[u8], text: &[u8], budget: &mut u32) -> bool {
        *budget = budget.saturating_sub(1);
        if *budget == 0 {
            return false;
        }
        match pattern {
            [] => text.is_empty(),
            [b'*', b'*', rest @ ..] => (0..=text.len()).any(|at| go(rest, &text[at..], budget)),
            [b'*', rest @ ..] => {
                let span = text.iter().take_while(|byte| **byte != b'/').count();
                (0..=span).any(|at| go(rest, &text[at..], budget))
            }
            [b'?', rest @ ..] => matches!(text, [byte, more @ ..] if *byte != b'/' && go(rest, more, budget)),
            [byte, rest @ ..] => {
                matches!(text, [first, more @ ..] if first == byte && go(rest, more, budget))
            }
        }
    }
    go(pattern.as_bytes(), text.as_bytes(), &mut 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar_of_the_specification() {
        for good in ["a", "a/b/c", "library/busybox", "a.b_c__d-e--f", "0/1", "conformance-x/y"] {
            assert!(is_repository_name(good), "{good}");
        }
        let long = "a".repeat(256);
        for bad in [
            "", "/", "a/", "/a", "a//b", "..", "a/../b", "A", "a..b", "a___b", "-a", "a-", "_a", "a/.b",
            "a b", "é", &long,
        ] {
            assert!(!is_repository_name(bad), "{bad}");
        }
    }

    #[test]
    fn tags_follow_the_grammar_of_the_specification() {
        let longest = "a".repeat(128);
        for good in ["latest", "_", "1.0-rc.1", "V2", &longest] {
            assert!(is_tag(good), "{good}");
        }
        let long = "a".repeat(129);
        for bad in ["", ".", "..", "-a", "a/b", "a:b", "a b", &long] {
            assert!(!is_tag(bad), "{bad}");
        }
    }

    #[test]
    fn patterns_stay_within_components_unless_doubled() {
        for (pattern, text, want) in [
            ("**", "a/b", true),
            ("*", "a", true),
            ("*", "a/b", false),
            ("team/**", "team/a/b", true),
            ("team/**", "team", false),
            ("team/*", "team/a", true),
            ("team/*", "teams/a", false),
            ("v?.*", "v1.2", true),
            ("v*", "latest", false),
            ("", "", true),
            ("a", "", false),
        ] {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        }
        assert!(!matches(&"**a".repeat(30), &"b".repeat(200)));
    }

    #[test]
    fn lists_are_in_lexical_order() {
        let mut tags = ["b", "A", "a", "B", "1.0", "_x"];
        tags.sort_by(|a, b| order(a, b));
        assert_eq!(tags, ["1.0", "_x", "A", "a", "B", "b"]);
    }
}
