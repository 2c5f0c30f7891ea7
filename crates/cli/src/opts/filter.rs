//! `--filter NAME=VALUE`, as the API's `filters`: an object of sets.

use serde_json::{Map, Value, json};

/// Whether the value has the form of a filter.
pub(crate) fn check(text: &str) -> Result<(), String> {
    match text.is_empty() || text.contains('=') {
        true => Ok(()),
        false => Err("bad format of filter (expected name=value)".to_owned()),
    }
}

/// Filters as the API takes them: `{"name":{"value":true}}`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filters(Map<String, Value>);

impl Filters {
    /// All values of the flag.
    pub(crate) fn parse(values: &[String]) -> Self {
        let mut filters = Self::default();
        for (name, value) in values.iter().filter_map(|text| text.split_once('=')) {
            filters.add(&name.trim().to_lowercase(), value.trim());
        }
        filters
    }

    /// One more.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        let set = self.0.entry(name).or_insert_with(|| json!({}));
        set[value] = json!(true);
    }

    /// Whether a filter of that name was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The query parameter; empty without filters, so that it is left out.
    pub(crate) fn to_query(&self) -> String {
        if self.0.is_empty() { String::new() } else { Value::Object(self.0.clone()).to_string() }
    }
}
