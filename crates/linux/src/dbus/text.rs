//! Values as people write them (GVariant's text format), as far as properties of units need them: `true`, `5`,
//! `uint64 5`, `'text'`, `['a', 'b']`, `@as []`.

use super::Value;

/// Reads one value. The error says what is wrong.
pub fn parse_value(text: &str) -> Result<Value, String> {
    let text = text.trim();
    let (kind, rest) = keyword(text);
    if let Some(inner) = rest.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or_else(|| format!("{text:?}: a list without its end"))?;
        return list(kind, elements(inner)?);
    }
    single(kind, rest)
}

/// The type that stands before a value, by its signature, and the value.
fn keyword(text: &str) -> (&str, &str) {
    const KEYWORDS: [(&str, &str); 8] = [
        ("boolean ", "b"),
        ("byte ", "y"),
        ("int32 ", "i"),
        ("uint32 ", "u"),
        ("int64 ", "x"),
        ("uint64 ", "t"),
        ("double ", "d"),
        ("string ", "s"),
    ];
    if let Some((signature, rest)) = text.strip_prefix('@').and_then(|rest| rest.split_once(' ')) {
        return (signature, rest.trim_start());
    }
    KEYWORDS
        .iter()
        .find_map(|(word, signature)| Some((*signature, text.strip_prefix(word)?.trim_start())))
        .unwrap_or(("", text))
}

fn single(kind: &str, text: &str) -> Result<Value, String> {
    let quoted = text.starts_with(['\'', '"']);
    let number = |what: &str| format!("{text:?} is no {what}");
    match kind {
        "" | "s" if quoted => unquote(text).map(Value::String),
        "" | "b" if matches!(text, "true" | "false") => Ok(Value::Bool(text == "true")),
        "" if text.contains('.') => text.parse().map(Value::Double).map_err(|_| number("value")),
        "" | "i" => text.parse().map(Value::I32).map_err(|_| number("int32")),
        "y" => text.parse().map(Value::Byte).map_err(|_| number("byte")),
        "u" => text.parse().map(Value::U32).map_err(|_| number("uint32")),
        "x" => text.parse().map(Value::I64).map_err(|_| number("int64")),
        "t" => text.parse().map(Value::U64).map_err(|_| number("uint64")),
        "d" => text.parse().map(Value::Double).map_err(|_| number("double")),
        other => Err(format!("{text:?} is no value of type {other:?}")),
    }
}

fn list(kind: &str, parts: Vec<&str>) -> Result<Value, String> {
    let values: Vec<Value> = parts.into_iter().map(parse_value).collect::<Result<_, _>>()?;
    let wrong = || "a list of values of this type is not supported".to_owned();
    match (kind, values.first()) {
        ("" | "as", Some(Value::String(_))) | ("as", None) => {
            let text = |value: Value| match value {
                Value::String(text) => Ok(text),
                _ => Err(wrong()),
            };
            values.into_iter().map(text).collect::<Result<_, _>>().map(Value::Strings)
        }
        ("au", _) | ("", Some(Value::U32(_))) => {
            let number = |value: Value| match value {
                Value::U32(number) => Ok(number),
                Value::I32(number) => u32::try_from(number).map_err(|_| wrong()),
                _ => Err(wrong()),
            };
            values.into_iter().map(number).collect::<Result<_, _>>().map(Value::Numbers)
        }
        ("ay", _) | ("", Some(Value::Byte(_))) => {
            let byte = |value: Value| match value {
                Value::Byte(byte) => Ok(byte),
                Value::I32(number) => u8::try_from(number).map_err(|_| wrong()),
                _ => Err(wrong()),
            };
            values.into_iter().map(byte).collect::<Result<_, _>>().map(Value::Bytes)
        }
        _ => Err(wrong()),
    }
}

/// The parts of a list; commas within quotes do not part.
fn elements(text: &str) -> Result<Vec<&str>, String> {
    let (mut parts, mut start, mut quote, mut escaped) = (Vec::new(), 0, None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(mark), c) if c == mark => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, ',') => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            (None, '[') => return Err("lists of lists are not supported".into()),
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() {
        parts.push(&text[start..]);
    }
    Ok(parts)
}

fn unquote(text: &str) -> Result<String, String> {
    let mut rest = text.chars();
    let mark = rest.next();
    let mut found = String::new();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('n') => found.push('\n'),
                Some('t') => found.push('\t'),
                Some(other) => found.push(other),
                None => break,
            },
            c if Some(c) == mark => {
                return if rest.next().is_none() {
                    Ok(found)
                } else {
                    Err(format!("{text:?}: something follows the text"))
                };
            }
            c => found.push(c),
        }
    }
    Err(format!("{text:?}: a text without its end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_people_write_them() {
        let strings = |list: &[&str]| Value::Strings(list.iter().map(ToString::to_string).collect());
        for (text, expect) in [
            ("true", Value::Bool(true)),
            ("5", Value::I32(5)),
            ("-5", Value::I32(-5)),
            ("uint64 123456789000", Value::U64(123_456_789_000)),
            ("byte 3", Value::Byte(3)),
            ("1.5", Value::Double(1.5)),
            ("'inactive-or-failed'", Value::String("inactive-or-failed".into())),
            (r#""a\"b""#, Value::String("a\"b".into())),
            ("['a', 'b,c']", strings(&["a", "b,c"])),
            ("@as []", strings(&[])),
            ("@au [1, 2]", Value::Numbers(vec![1, 2])),
            ("[uint32 1, uint32 2]", Value::Numbers(vec![1, 2])),
            ("@ay [1, 255]", Value::Bytes(vec![1, 255])),
        ] {
            assert_eq!(parse_value(text).as_ref(), Ok(&expect), "{text}");
        }
        for text in
            ["", "maybe", "'open", "'a' b", "uint32 -1", "[1, 2", "[[1]]", "@as [1]", "byte 256", "[]"]
        {
            assert!(parse_value(text).is_err(), "{text}");
        }
    }
}
