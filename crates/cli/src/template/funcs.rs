//! The functions of templates: Go's own, and Docker's `json split join title lower upper pad truncate`.

use std::cmp::Ordering;
use std::rc::Rc;

use super::print;
use super::value::Value;

/// Which meaning Docker's functions have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Functions {
    /// What they say.
    Data,
    /// For the headings of a table: they give back their first argument.
    Heading,
}

/// Why a call failed.
pub(super) enum CallError {
    /// An argument of the wrong type.
    Type { index: usize, what: String },
    /// The function's own complaint.
    Failed(String),
}

type Called = Result<Value, CallError>;

/// Name, fewest and most arguments.
const TABLE: [(&str, usize, Option<usize>); 27] = [
    ("and", 1, None),
    ("call", 1, None),
    ("eq", 1, None),
    ("ge", 2, Some(2)),
    ("gt", 2, Some(2)),
    ("html", 0, None),
    ("index", 1, None),
    ("join", 2, Some(2)),
    ("js", 0, None),
    ("json", 1, Some(1)),
    ("le", 2, Some(2)),
    ("len", 1, Some(1)),
    ("lower", 1, Some(1)),
    ("lt", 2, Some(2)),
    ("ne", 2, Some(2)),
    ("not", 1, Some(1)),
    ("or", 1, None),
    ("pad", 3, Some(3)),
    ("print", 0, None),
    ("printf", 1, None),
    ("println", 0, None),
    ("slice", 1, None),
    ("split", 2, Some(2)),
    ("title", 1, Some(1)),
    ("truncate", 2, Some(2)),
    ("upper", 1, Some(1)),
    ("urlquery", 0, None),
];

/// Whether there is such a function.
pub(super) fn exists(name: &str) -> bool {
    TABLE.iter().any(|(known, ..)| *known == name)
}

/// Fewest and most arguments.
pub(super) fn arity(name: &str) -> (usize, Option<usize>) {
    TABLE.iter().find(|(known, ..)| *known == name).map_or((0, None), |(_, least, most)| (*least, *most))
}

/// Go's name of a value's type.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil | Value::Missing => "nil",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Float(_) => "float64",
        Value::Str(_) => "string",
        Value::List(_) | Value::NilList => "[]interface {}",
        Value::Map(_) | Value::NilMap | Value::Record(_) => "map[string]interface {}",
        Value::Method(_) => "func",
    }
}

/// Calls a function; the number of arguments has been checked.
pub(super) fn call(name: &str, args: &[Value], functions: Functions) -> Called {
    let heading = functions == Functions::Heading;
    match name {
        "json" | "split" | "join" | "title" | "lower" | "upper" | "truncate" if heading => {
            Ok(args[0].clone())
        }
        "json" => Ok(print::json(&args[0]).into()),
        "split" => {
            let (text, separator) = (text(args, 0)?, text(args, 1)?);
            let parts: Vec<Value> = match separator {
                "" => text.chars().map(|c| c.to_string().into()).collect(),
                separator => text.split(separator).map(Value::from).collect(),
            };
            Ok(Value::List(Rc::new(parts)))
        }
        "join" => join(args),
        "title" => Ok(title(text(args, 0)?).into()),
        "lower" => Ok(text(args, 0)?.to_lowercase().into()),
        "upper" => Ok(text(args, 0)?.to_uppercase().into()),
        "pad" => {
            let text = text(args, 0)?;
            let blanks =
                |index| integer(args, index).map(|count| " ".repeat(usize::try_from(count).unwrap_or(0)));
            Ok(if text.is_empty() { "".into() } else { format!("{}{text}{}", blanks(1)?, blanks(2)?).into() })
        }
        "truncate" => {
            let text = text(args, 0)?;
            let length = usize::try_from(integer(args, 1)?).unwrap_or(0);
            let cut = text.as_bytes().get(..length.min(text.len())).unwrap_or_default();
            Ok(String::from_utf8_lossy(cut).into_owned().into())
        }
        "not" => Ok(Value::Bool(!args[0].is_true())),
        "len" => length(&args[0]),
        "index" => index(args),
        "slice" => slice(args),
        "print" => Ok(sprint(args).into()),
        "println" => Ok(format!("{}\n", args.iter().map(print::plain).collect::<Vec<_>>().join(" ")).into()),
        "printf" => Ok(sprintf(text(args, 0)?, &args[1..]).into()),
        "html" => Ok(html(&sprint(args)).into()),
        "js" => Ok(js(&sprint(args)).into()),
        "urlquery" => Ok(url_query(&sprint(args)).into()),
        "eq" => {
            let first = &args[0];
            if args.len() < 2 {
                return failed("missing argument for comparison");
            }
            for other in &args[1..] {
                if compare(first, other)? == Some(Ordering::Equal) {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        "ne" => Ok(Value::Bool(compare(&args[0], &args[1])? != Some(Ordering::Equal))),
        "lt" => ordered(args, |order| order == Ordering::Less),
        "le" => ordered(args, |order| order != Ordering::Greater),
        "gt" => ordered(args, |order| order == Ordering::Greater),
        "ge" => ordered(args, |order| order != Ordering::Less),
        "call" => match &args[0] {
            Value::Method(method) => method(&args[1..]).map_err(CallError::Failed),
            other => failed(format!("non-function of type {}", type_name(other))),
        },
        _ => failed("not a function"),
    }
}

fn failed(why: impl Into<String>) -> Called {
    Err(CallError::Failed(why.into()))
}

fn text(args: &[Value], index: usize) -> Result<&str, CallError> {
    match &args[index] {
        Value::Str(text) => Ok(text),
        Value::Missing => Ok(""),
        other => Err(wrong_type(index, "string", other)),
    }
}

fn integer(args: &[Value], index: usize) -> Result<i128, CallError> {
    match &args[index] {
        Value::Int(value) => Ok(*value),
        other => Err(wrong_type(index, "int", other)),
    }
}

fn wrong_type(index: usize, wanted: &str, got: &Value) -> CallError {
    let what = match got {
        Value::Nil => format!("cannot assign nil to {wanted}"),
        other => format!("wrong type for value; expected {wanted}; got {}", type_name(other)),
    };
    CallError::Type { index, what }
}

fn join(args: &[Value]) -> Called {
    let separator = text(args, 1)?;
    match &args[0] {
        Value::List(items) => {
            let mut parts = Vec::with_capacity(items.len());
            for item in items.iter() {
                match item {
                    Value::Str(text) => parts.push(&**text),
                    _ => return Err(wrong_type(0, "[]string", &args[0])),
                }
            }
            Ok(parts.join(separator).into())
        }
        Value::NilList | Value::Missing => Ok("".into()),
        other => Err(wrong_type(0, "[]string", other)),
    }
}

/// Go's `strings.Title`: the first letter of each word in upper case.
fn title(text: &str) -> String {
    let mut before = ' ';
    text.chars()
        .map(|c| {
            let starts = !(before.is_alphanumeric() || before == '_');
            before = c;
            if starts { c.to_uppercase().next().unwrap_or(c) } else { c }
        })
        .collect()
}

fn length(value: &Value) -> Called {
    let count = match value {
        Value::Str(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(entries) => entries.len(),
        Value::Record(record) => record.fields.iter().filter(|field| !field.omitted).count(),
        Value::NilList | Value::NilMap => 0,
        Value::Nil | Value::Missing => return failed("len of nil pointer"),
        other => return failed(format!("len of type {}", type_name(other))),
    };
    Ok(Value::Int(count as i128))
}

fn index(args: &[Value]) -> Called {
    let mut value = args[0].clone();
    for key in &args[1..] {
        value = match (&value, key) {
            (Value::Missing | Value::Nil, _) => return failed("index of untyped nil"),
            (Value::List(items), Value::Int(at)) => {
                match usize::try_from(*at).ok().and_then(|at| items.get(at)) {
                    Some(item) => item.clone(),
                    None => return failed(format!("index out of range: {at}")),
                }
            }
            (Value::NilList, Value::Int(at)) => return failed(format!("index out of range: {at}")),
            (Value::Str(text), Value::Int(at)) => {
                match usize::try_from(*at).ok().and_then(|at| text.as_bytes().get(at)) {
                    Some(byte) => Value::Int((*byte).into()),
                    None => return failed(format!("index out of range: {at}")),
                }
            }
            (Value::List(_) | Value::NilList | Value::Str(_), other) => {
                return failed(format!("cannot index slice/array with type {}", type_name(other)));
            }
            (Value::Map(entries), Value::Str(name)) => {
                match entries.iter().find(|(key, _)| **key == **name) {
                    Some((_, value)) => value.clone(),
                    None => zero_like(entries.first().map(|(_, value)| value)),
                }
            }
            (Value::NilMap, Value::Str(_)) => zero_like(None),
            (Value::Record(record), Value::Str(name)) => {
                match record.fields.iter().find(|field| *field.name == **name) {
                    Some(field) => field.value.clone(),
                    None => Value::Missing,
                }
            }
            (Value::Map(_) | Value::NilMap | Value::Record(_), other) => {
                return failed(format!("value has type {}; should be string", type_name(other)));
            }
            (other, _) => return failed(format!("can't index item of type {}", type_name(other))),
        };
    }
    Ok(value)
}

/// Go gives a missing key the zero value of the map's type, which here shows in its other values.
fn zero_like(sibling: Option<&Value>) -> Value {
    match sibling {
        Some(Value::List(_) | Value::NilList) => Value::NilList,
        Some(Value::Record(_) | Value::Nil) => Value::Nil,
        Some(Value::Int(_)) => Value::Int(0),
        _ => "".into(),
    }
}

fn slice(args: &[Value]) -> Called {
    let length = match &args[0] {
        Value::Str(text) => text.len(),
        Value::List(items) => items.len(),
        Value::NilList => 0,
        Value::Missing | Value::Nil => return failed("slice of untyped nil"),
        other => return failed(format!("can't slice item of type {}", type_name(other))),
    };
    let mut bounds = [0, length];
    for (bound, index) in bounds.iter_mut().zip(1..args.len()) {
        let at = integer(args, index)?;
        match usize::try_from(at) {
            Ok(at) if at <= length => *bound = at,
            _ => return failed(format!("index out of range: {at}")),
        }
    }
    let [start, end] = bounds;
    if start > end {
        return failed(format!("invalid slice index: {start} > {end}"));
    }
    Ok(match &args[0] {
        Value::Str(text) => String::from_utf8_lossy(&text.as_bytes()[start..end]).into_owned().into(),
        Value::List(items) => Value::List(Rc::new(items[start..end].to_vec())),
        _ => Value::NilList,
    })
}

fn compare(a: &Value, b: &Value) -> Result<Option<Ordering>, CallError> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(Some(a.cmp(b))),
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Str(a), Value::Str(b)) => Ok(Some(a.cmp(b))),
        (Value::Nil | Value::Missing, Value::Nil | Value::Missing) => Ok(Some(Ordering::Equal)),
        (Value::Nil | Value::Missing, _) | (_, Value::Nil | Value::Missing) => Ok(None),
        _ => Err(CallError::Failed("incompatible types for comparison".to_owned())),
    }
}

fn ordered(args: &[Value], test: fn(Ordering) -> bool) -> Called {
    if let (Value::Bool(_) | Value::Nil | Value::Missing, _)
    | (_, Value::Bool(_) | Value::Nil | Value::Missing) = (&args[0], &args[1])
    {
        return failed("invalid type for comparison");
    }
    Ok(Value::Bool(compare(&args[0], &args[1])?.is_some_and(test)))
}

/// Go's `fmt.Sprint`: a blank between two values of which neither is text.
fn sprint(args: &[Value]) -> String {
    let mut out = String::new();
    for (index, value) in args.iter().enumerate() {
        let both_plain =
            index > 0 && !matches!(args[index - 1], Value::Str(_)) && !matches!(value, Value::Str(_));
        if both_plain {
            out.push(' ');
        }
        out.push_str(&print::plain(value));
    }
    out
}

/// Go's `fmt.Sprintf` for the verbs that make sense here.
fn sprintf(format: &str, args: &[Value]) -> String {
    let mut out = String::new();
    let mut args = args.iter();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let flags_end = rest.find(|c: char| !"+-# 0".contains(c)).unwrap_or(rest.len());
        let (flags, after) = rest.split_at(flags_end);
        let width_end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (width, mut after) = after.split_at(width_end);
        let mut precision = None;
        if let Some(digits) = after.strip_prefix('.') {
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            precision = Some(digits[..end].parse().unwrap_or(0));
            after = &digits[end..];
        }
        let Some(verb) = after.chars().next() else {
            out.push_str("%!(NOVERB)");
            rest = "";
            break;
        };
        rest = &after[verb.len_utf8()..];
        if verb == '%' {
            out.push('%');
            continue;
        }
        match args.next() {
            Some(value) => {
                let text = verb_text(verb, value, flags, precision);
                pad(&mut out, &text, flags, width.parse().unwrap_or(0), value);
            }
            None => out.push_str(&format!("%!{verb}(MISSING)")),
        }
    }
    out.push_str(rest);
    let extra: Vec<String> =
        args.map(|value| format!("{}={}", type_name(value), print::plain(value))).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

fn pad(out: &mut String, text: &str, flags: &str, width: usize, value: &Value) {
    let missing = width.saturating_sub(text.chars().count());
    let numeric = matches!(value, Value::Int(_) | Value::Float(_));
    if flags.contains('-') {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else if flags.contains('0') && numeric {
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) => (&text[..1], digits),
            None => ("", text),
        };
        out.push_str(sign);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(digits);
    } else {
        out.extend(std::iter::repeat_n(' ', missing));
        out.push_str(text);
    }
}

fn verb_text(verb: char, value: &Value, flags: &str, precision: Option<usize>) -> String {
    let sign =
        |text: String| if flags.contains('+') && !text.starts_with('-') { format!("+{text}") } else { text };
    match (verb, value) {
        ('s' | 'd' | 'q' | 'x' | 'X', Value::List(items)) => {
            let parts: Vec<String> =
                items.iter().map(|item| verb_text(verb, item, flags, precision)).collect();
            format!("[{}]", parts.join(" "))
        }
        ('T', value) => type_name(value).to_owned(),
        ('q', Value::Str(text)) => crate::flags::go_quote(text),
        ('q', Value::Int(value)) => {
            let character = u32::try_from(*value).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
            format!("'{character}'")
        }
        ('s' | 'v', Value::Str(text)) => match precision {
            Some(most) => text.chars().take(most).collect(),
            None => text.to_string(),
        },
        ('x', Value::Str(text)) => types::id::hex(text.as_bytes()),
        ('X', Value::Str(text)) => types::id::hex(text.as_bytes()).to_uppercase(),
        ('d' | 'v', Value::Int(value)) => sign(value.to_string()),
        ('x', Value::Int(value)) => format!("{}{value:x}", if flags.contains('#') { "0x" } else { "" }),
        ('X', Value::Int(value)) => format!("{}{value:X}", if flags.contains('#') { "0X" } else { "" }),
        ('o', Value::Int(value)) => format!("{value:o}"),
        ('b', Value::Int(value)) => format!("{value:b}"),
        ('c', Value::Int(value)) => {
            u32::try_from(*value).ok().and_then(char::from_u32).unwrap_or('\u{fffd}').to_string()
        }
        ('t' | 'v', Value::Bool(value)) => value.to_string(),
        ('f' | 'F', Value::Float(value)) => sign(format!("{value:.*}", precision.unwrap_or(6))),
        ('e', Value::Float(value)) => sign(scientific(*value, precision.unwrap_or(6))),
        ('U', Value::Int(value)) => format!("U+{value:04X}"),
        ('g' | 'v', Value::Float(value)) => match precision {
            Some(digits) => sign(crate::format::units::general(*value, digits)),
            None => sign(print::float(*value)),
        },
        ('v', value) => print::plain(value),
        ('s' | 'd', Value::Map(_) | Value::Record(_) | Value::NilList | Value::NilMap) => print::plain(value),
        ('s' | 'd' | 'q' | 't' | 'x' | 'f', Value::Nil | Value::Missing) => format!("%!{verb}(<nil>)"),
        (verb, value) => format!("%!{verb}({}={})", type_name(value), print::plain(value)),
    }
}

/// C's `%e`: at least two digits of exponent, with its sign.
fn scientific(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('\'', "&#39;")
        .replace('"', "&#34;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn js(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", character as u32)),
            other if (other as u32) < 0x20 => out.push_str(&format!("\\u{:04X}", other as u32)),
            other => out.push(other),
        }
    }
    out
}

fn url_query(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
