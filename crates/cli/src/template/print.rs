//! Values as text: Go's `%v`, and Go's JSON.

use super::value::{Record, Value};
use crate::format::json::html_escaped;
use crate::format::units::not_finite;

/// What an action writes.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Missing => "<no value>".to_owned(),
        other => plain(other),
    }
}

/// Go's `%v`.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Nil | Value::Missing => "<nil>".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => float(*value),
        Value::Str(text) => text.to_string(),
        Value::NilList => "[]".to_owned(),
        Value::NilMap => "map[]".to_owned(),
        Value::List(items) => format!("[{}]", joined(items.iter().map(plain))),
        Value::Map(_) => {
            let entries = sorted(value).into_iter().map(|(key, value)| format!("{key}:{}", plain(value)));
            format!("map[{}]", joined(entries))
        }
        Value::Record(record) => {
            let values = record.fields.iter().map(|field| &field.value);
            format!("{{{}}}", joined(values.filter(|value| !matches!(value, Value::Method(_))).map(plain)))
        }
        Value::Method(_) => "<func>".to_owned(),
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(" ")
}

/// Entries of a map, or fields of a struct, by name.
pub(super) fn sorted(value: &Value) -> Vec<(&str, &Value)> {
    let mut entries: Vec<(&str, &Value)> = match value {
        Value::Map(entries) => entries.iter().map(|(key, value)| (key.as_str(), value)).collect(),
        Value::Record(record) => {
            record.fields.iter().map(|field| (field.name.as_str(), &field.value)).collect()
        }
        _ => Vec::new(),
    };
    entries.sort_by(|a, b| a.0.cmp(b.0));
    entries
}

/// Go's `%v` of a float: the shortest text that reads back, with an exponent where it has more than six digits.
pub(super) fn float(value: f64) -> String {
    shortest(value, -4..6)
}

/// The shortest text that reads back, with an exponent outside of `plain`.
fn shortest(value: f64, plain: std::ops::Range<i32>) -> String {
    if let Some(word) = not_finite(value) {
        return word.to_owned();
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if plain.contains(&exponent) {
        return value.to_string();
    }
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// Go's `json.Marshal`, without escaping HTML except in rows of tables.
pub(super) fn json(value: &Value) -> String {
    match value {
        Value::Nil | Value::Missing | Value::NilList | Value::NilMap | Value::Method(_) => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => shortest(*value, -6..21),
        Value::Str(text) => serde_json::Value::from(&**text).to_string(),
        Value::List(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(",")),
        Value::Map(_) => object(sorted(value).into_iter()),
        Value::Record(record) => json_of_record(record),
    }
}

fn json_of_record(record: &Record) -> String {
    let fields = record.fields.iter().filter(|field| !field.omitted);
    let mut entries: Vec<(&str, &Value)> = fields.map(|field| (field.name.as_str(), &field.value)).collect();
    if record.is_row {
        entries.sort_by(|a, b| a.0.cmp(b.0));
        return html_escaped(&object(entries.into_iter()));
    }
    object(entries.into_iter())
}

fn object<'a>(entries: impl Iterator<Item = (&'a str, &'a Value)>) -> String {
    let parts: Vec<String> =
        entries.map(|(key, value)| format!("{}:{}", serde_json::Value::from(key), json(value))).collect();
    format!("{{{}}}", parts.join(","))
}
