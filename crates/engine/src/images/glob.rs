//! Shell patterns as Go's `path.Match` reads them: `*` and `?` stop at a slash, `[a-z]`, `[^a]`, `\x`.

use types::{Error, Result};

/// Whether `pattern` fits all of `name`.
pub(super) fn matches(pattern: &str, name: &str) -> Result<bool> {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    check(&pattern)?;
    Ok(fits(&pattern, &name))
}

/// Patterns that Go refuses: an open bracket or a last backslash.
fn check(pattern: &[char]) -> Result<()> {
    let mut rest = pattern;
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            '\\' if after.is_empty() => return Err(bad()),
            '\\' => &after[1..],
            '[' => class(after, '\0').ok_or_else(bad)?.1,
            _ => after,
        };
    }
    Ok(())
}

fn bad() -> Error {
    Error::invalid("syntax error in pattern")
}

/// Greedy matching that returns to the last star: linear in memory, and no pattern makes it exponential.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (pattern, name);
    let mut retry: Option<(&[char], &[char])> = None;
    loop {
        if let Some(('*', after)) = p.split_first().map(|(c, rest)| (*c, rest)) {
            retry = Some((after, n));
            p = after;
            continue;
        }
        if let Some((c, after_name)) = n.split_first() {
            if let Some(after) = one(p, *c) {
                (p, n) = (after, after_name);
                continue;
            }
        } else if p.is_empty() {
            return true;
        }
        // Let the last star take one character more, but no slash.
        let Some((after_star, from)) = retry else { return false };
        match from.split_first() {
            Some((c, rest)) if *c != '/' => {
                retry = Some((after_star, rest));
                (p, n) = (after_star, rest);
            }
            _ => return false,
        }
    }
}

/// The pattern after the element that takes `c`.
fn one(pattern: &[char], c: char) -> Option<&[char]> {
    let (first, after) = pattern.split_first()?;
    match first {
        '?' => (c != '/').then_some(after),
        '[' => class(after, c).and_then(|(has, rest)| (has && c != '/').then_some(rest)),
        '\\' => after.split_first().and_then(|(escaped, rest)| (*escaped == c).then_some(rest)),
        literal => (*literal == c).then_some(after),
    }
}

/// Reads a class whose bracket is already taken: whether `c` is in it, and what follows it.
fn class(mut rest: &[char], c: char) -> Option<(bool, &[char])> {
    let negated = rest.first() == Some(&'^');
    if negated {
        rest = &rest[1..];
    }
    let (mut has, mut ranges) = (false, 0);
    loop {
        if rest.first()? == &']' && ranges > 0 {
            return Some((has != negated, &rest[1..]));
        }
        let (low, after) = class_char(rest)?;
        rest = after;
        let mut high = low;
        if rest.first() == Some(&'-') {
            (high, rest) = class_char(&rest[1..])?;
        }
        has |= (low..=high).contains(&c);
        ranges += 1;
    }
}

fn class_char(rest: &[char]) -> Option<(char, &[char])> {
    match rest.split_first()? {
        ('-' | ']', _) => None,
        ('\\', after) => after.split_first().map(|(c, rest)| (*c, rest)),
        (c, after) => Some((*c, after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_gos() {
        for (pattern, name, want) in [
            ("abc", "abc", Some(true)),
            ("*", "abc", Some(true)),
            ("*c", "abc", Some(true)),
            ("a*", "ab/c", Some(false)),
            ("a*/b", "abc/b", Some(true)),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
            ("parity/*", "parity/bb:1", Some(true)),
            ("busy*:l[a-c]test", "busybox:latest", Some(true)),
            ("[^b]usy", "busy", Some(false)),
            ("\\*", "*", Some(true)),
            ("ab[c", "abc", None),
            ("a[]b", "ab", None),
            ("a\\", "a", None),
            ("", "", Some(true)),
            ("", "a", Some(false)),
        ] {
            assert_eq!(matches(pattern, name).ok(), want, "{pattern} {name}");
        }
    }
}
