//! JSON as Go writes it.

/// Go's `json.Indent`, `unit` for each level, on text that is JSON: numbers and escapes stay as they came.
pub(crate) fn indent(text: &str, unit: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let mut characters = text.trim().chars().peekable();
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n(unit, depth));
    };
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => {}
            '"' => copy_string(&mut characters, &mut out),
            '{' | '[' => {
                out.push(character);
                while characters.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                if let Some(close) = characters.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    newline(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                newline(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                newline(&mut out, depth);
            }
            ':' => out.push_str(": "),
            other => out.push(other),
        }
    }
    out
}

/// Go's `json.Compact`.
pub(crate) fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.trim().chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => {}
            '"' => copy_string(&mut characters, &mut out),
            other => out.push(other),
        }
    }
    out
}

/// Copies the rest of a string whose opening quote has been read.
fn copy_string(characters: &mut impl Iterator<Item = char>, out: &mut String) {
    out.push('"');
    while let Some(character) = characters.next() {
        out.push(character);
        match character {
            '"' => return,
            '\\' => out.extend(characters.next()),
            _ => {}
        }
    }
}

/// Go's `encoding/json` escapes what is special in HTML, and two line separators, unless told not to.
pub(crate) fn html_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indents_as_go_does() {
        let expect = "[\n    {\n        \"a\": [],\n        \"b\": {},\n        \"c\": \"x:{,\\\"\",\n        \"d\": [\n            1,\n            2\n        ]\n    }\n]";
        assert_eq!(indent(r#"[{"a":[ ],"b":{},"c":"x:{,\"","d":[1,2]}]"#, "    "), expect);
        assert_eq!(indent("[]", "\t"), "[]");
        assert_eq!(compact(" { \"a b\" : 1 } "), r#"{"a b":1}"#);
    }

    #[test]
    fn html_is_escaped() {
        assert_eq!(html_escaped("a<b>&c"), "a\\u003cb\\u003e\\u0026c");
    }
}
