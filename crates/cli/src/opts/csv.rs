//! One record of comma-separated values as Go's `encoding/csv` reads it: a field may be quoted, `""` is a quote.

/// The fields, or what is wrong with the record.
pub(crate) fn fields(text: &str) -> Result<Vec<String>, String> {
    if text.is_empty() {
        return Err("EOF".to_owned());
    }
    let error = |column: usize, what: &str| Err(format!("parse error on line 1, column {column}: {what}"));
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let column = text.len() - rest.len() + 1;
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut field = String::new();
            let mut after = quoted;
            loop {
                let Some(end) = after.find('"') else {
                    return error(text.len() + 1, "extraneous or missing \" in quoted-field");
                };
                field.push_str(&after[..end]);
                after = &after[end + 1..];
                match after.strip_prefix('"') {
                    Some(more) => {
                        field.push('"');
                        after = more;
                    }
                    None => break,
                }
            }
            fields.push(field);
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None if after.is_empty() => return Ok(fields),
                None => return error(text.len() - after.len(), "extraneous or missing \" in quoted-field"),
            }
        } else {
            let (field, next) = match rest.split_once(',') {
                Some((field, next)) => (field, Some(next)),
                None => (rest, None),
            };
            if let Some(position) = field.find('"') {
                return error(column + position, "bare \" in non-quoted-field");
            }
            fields.push(field.to_owned());
            match next {
                Some(next) => rest = next,
                None => return Ok(fields),
            }
        }
    }
}
