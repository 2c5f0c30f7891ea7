//! Words cut to size.

use unicode_width::UnicodeWidthChar;

/// The first twelve digits of an id, without `sha256:`.
pub(crate) fn short_id(id: &str) -> &str {
    let id = id.split_once(':').map_or(id, |(_, digits)| digits);
    id.get(..12).unwrap_or(id)
}

/// At most `width` columns, the last one `…` when something was cut off.
pub(crate) fn ellipsis(text: &str, width: usize) -> String {
    match width {
        0 => return String::new(),
        1 => return text.chars().take(1).collect(),
        _ => {}
    }
    let columns = |c: char| c.width().unwrap_or(1).max(1);
    if text.chars().map(columns).sum::<usize>() <= width {
        return text.to_owned();
    }
    let mut used = 0;
    let mut cut: String = text
        .chars()
        .take_while(|c| {
            used += columns(*c);
            used < width
        })
        .collect();
    cut.push('…');
    cut
}

/// Order in which numbers inside names count as numbers: `net2` before `net10`.
pub(crate) fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let number = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        match (a.chars().next(), b.chars().next()) {
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let ((left, rest_a), (right, rest_b)) = (a.split_at(number(a)), b.split_at(number(b)));
                let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
                let order = left.len().cmp(&right.len()).then_with(|| left.cmp(right));
                if order.is_ne() {
                    return order;
                }
                (a, b) = (rest_a, rest_b);
            }
            (Some(x), Some(y)) if x == y => (a, b) = (&a[x.len_utf8()..], &b[y.len_utf8()..]),
            (x, y) => return x.cmp(&y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_end_in_an_ellipsis() {
        assert_eq!(ellipsis("sh -c 'echo started; sleep 300'", 20), "sh -c 'echo started…");
        assert_eq!(ellipsis("short", 20), "short");
        assert_eq!(ellipsis("日本語テキスト", 6), "日本…");
    }

    #[test]
    fn ids_are_shown_by_twelve_digits() {
        assert_eq!(short_id("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short_id("abc"), "abc");
    }

    #[test]
    fn names_sort_by_the_numbers_in_them() {
        let mut names = ["net10", "net2", "bridge", "net", "net02x"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["bridge", "net", "net2", "net02x", "net10"]);
    }
}
