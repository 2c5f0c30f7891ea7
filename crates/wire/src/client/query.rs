//! Query strings and path segments.

use std::fmt::Write;

use serde_json::Value;

/// The part of a request after `?`.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more pair.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    /// With `name=1` when `set`.
    #[must_use]
    pub fn flag(self, name: &str, set: bool) -> Self {
        if set { self.with(name, "1") } else { self }
    }

    /// With the pair unless the value is empty.
    #[must_use]
    pub fn text(self, name: &str, value: &str) -> Self {
        if value.is_empty() { self } else { self.with(name, value) }
    }

    /// With a JSON value.
    #[must_use]
    pub fn json(self, name: &str, value: &Value) -> Self {
        self.with(name, value.to_string())
    }

    /// `?a=b&c=d`, or nothing.
    pub(super) fn suffix(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.0 {
            text.push(if text.is_empty() { '?' } else { '&' });
            escape_into(&mut text, name, b"");
            text.push('=');
            escape_into(&mut text, value, b"");
        }
        text
    }
}

/// A name as one or more path segments: everything but unreserved characters, `/`, `:` and `@` is escaped.
pub fn path_escape(segment: &str) -> String {
    let mut text = String::new();
    escape_into(&mut text, segment, b"/:@");
    text
}

fn escape_into(text: &mut String, raw: &str, also_plain: &[u8]) {
    for byte in raw.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || also_plain.contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
}
