//! A tree of settings that notes which keys were read, so that what nobody read is told.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value};

use super::ConfigError;

/// A place in the tree.
pub(super) struct Node<'a> {
    value: &'a Value,
    path: String,
    /// Paths that somebody asked for.
    read: &'a RefCell<BTreeSet<String>>,
}

static NULL: Value = Value::Null;

impl<'a> Node<'a> {
    pub(super) fn root(value: &'a Value, read: &'a RefCell<BTreeSet<String>>) -> Self {
        Self { value, path: String::new(), read }
    }

    /// The value of `key` below here; null if there is none.
    pub(super) fn get(&self, key: &str) -> Self {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        self.read.borrow_mut().insert(path.clone());
        Self { value: self.value.get(key).unwrap_or(&NULL), path, read: self.read }
    }

    /// Says that `keys` are known and have no effect here.
    pub(super) fn pass_over(&self, keys: &[&str]) {
        for key in keys {
            let node = self.get(key);
            if !node.is_null() {
                tracing::warn!(key = node.path, "this key has no effect in this registry");
                node.accept_all();
            }
        }
    }

    /// Keys of distribution's that would change what the registry does.
    pub(super) fn refuse(&self, keys: &[&str]) -> Result<(), ConfigError> {
        let found = keys.iter().map(|key| self.get(key)).find(|node| !node.is_null());
        found.map_or(Ok(()), |node| Err(ConfigError::NotImplemented(node.path)))
    }

    /// Marks everything below as read.
    pub(super) fn accept_all(&self) {
        if let Value::Object(map) = self.value {
            for key in map.keys() {
                self.get(key).accept_all();
            }
        }
    }

    pub(super) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    pub(super) fn bad(&self, why: impl Into<String>) -> ConfigError {
        ConfigError::Value { key: self.path.clone(), why: why.into() }
    }

    pub(super) fn text(&self) -> Result<Option<String>, ConfigError> {
        match self.value {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.clone())),
            Value::Number(number) => Ok(Some(number.to_string())),
            Value::Bool(flag) => Ok(Some(flag.to_string())),
            _ => Err(self.bad("must be a text")),
        }
    }

    pub(super) fn needed(&self) -> Result<String, ConfigError> {
        self.text()?.filter(|text| !text.is_empty()).ok_or_else(|| self.bad("must be given"))
    }

    pub(super) fn flag(&self) -> Result<Option<bool>, ConfigError> {
        match self.text()?.as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(self.bad("must be true or false")),
        }
    }

    pub(super) fn number(&self) -> Result<Option<u32>, ConfigError> {
        let parse =
            |text: String| text.parse().map_err(|_| self.bad("must be a number that is not negative"));
        self.text()?.map(parse).transpose()
    }

    /// `90s`, `1h30m`, `500ms`, as Go writes durations; `d` for days besides. A bare number is nanoseconds there.
    pub(super) fn duration(&self) -> Result<Option<Duration>, ConfigError> {
        let parse =
            |text: String| duration(&text).ok_or_else(|| self.bad("must be a duration such as 90s or 24h"));
        self.text()?.map(parse).transpose()
    }

    pub(super) fn texts(&self) -> Result<Vec<String>, ConfigError> {
        self.items()?.iter().map(Self::needed).collect()
    }

    /// The nodes of a list; one that is alone need not be in one.
    pub(super) fn items(&self) -> Result<Vec<Self>, ConfigError> {
        let node = |(at, value)| Self { value, path: format!("{}[{at}]", self.path), read: self.read };
        match self.value {
            Value::Null => Ok(Vec::new()),
            Value::Array(items) => Ok(items.iter().enumerate().map(node).collect()),
            _ => Err(self.bad("must be a list")),
        }
    }

    /// The keys here.
    pub(super) fn keys(&self) -> Vec<String> {
        self.value.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default()
    }
}

fn duration(text: &str) -> Option<Duration> {
    if let Ok(nanoseconds) = text.parse::<u64>() {
        return Some(Duration::from_nanos(nanoseconds));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

/// The paths of all keys that nobody asked for.
pub(super) fn unread(value: &Value, read: &BTreeSet<String>) -> Vec<String> {
    fn walk(value: &Value, path: &str, read: &BTreeSet<String>, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    if read.contains(&path) { walk(value, &path, read, found) } else { found.push(path) }
                }
            }
            Value::Array(items) => {
                for (at, value) in items.iter().enumerate() {
                    walk(value, &format!("{path}[{at}]"), read, found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(value, "", read, &mut found);
    found
}

/// Sets the value at a path of keys.
pub(super) fn set(value: &mut Value, path: &[String], new: Value) {
    let Some((key, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    if let Some(map) = value.as_object_mut() {
        set(map.entry(key.clone()).or_insert(Value::Null), rest, new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, want) in [
            ("90s", Some(90_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5s", Some(1_500)),
            ("500ms", Some(500)),
            ("7d", Some(604_800_000)),
            ("1000000", Some(1)),
            ("", None),
            ("5x", None),
            ("s", None),
            ("-1s", None),
        ] {
            assert_eq!(duration(text).map(|found| found.as_millis()), want, "{text}");
        }
    }
}
