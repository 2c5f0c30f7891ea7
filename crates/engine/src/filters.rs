//! Docker's list filters: a name and one or more values, given as JSON.

use std::collections::BTreeMap;

use types::{Error, Result};

/// Filter names to their values (any of them must match, except for labels: all).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Reads the `filters` parameter: `{"name": ["a"]}` or the older `{"name": {"a": true}}`; empty is no filter.
    pub fn parse(json: &str) -> Result<Self> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Values {
            List(Vec<String>),
            Set(BTreeMap<String, bool>),
        }
        if json.is_empty() {
            return Ok(Self::default());
        }
        let read: Option<BTreeMap<String, Values>> =
            serde_json::from_str(json).map_err(|e| Error::invalid("invalid filter").with_source(e))?;
        let flatten = |values| match values {
            Values::List(list) => list,
            // The old form: that a value is there counts, not whether it says true.
            Values::Set(set) => set.into_keys().collect(),
        };
        Ok(Self(read.unwrap_or_default().into_iter().map(|(name, values)| (name, flatten(values))).collect()))
    }

    /// Filters from pairs, for callers inside the daemon.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in pairs {
            map.entry(name.to_owned()).or_default().push(value.to_owned());
        }
        Self(map)
    }

    /// Fails with Docker's words when a filter has a name that is not in `accepted`.
    pub fn accept_only(&self, accepted: &[&str]) -> Result<()> {
        match self.0.keys().find(|name| !accepted.contains(&name.as_str())) {
            Some(name) => Err(Error::invalid(format!("invalid filter '{name}'"))),
            None => Ok(()),
        }
    }

    /// The values of one filter; empty when it is not given.
    pub fn get(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether the filter is given.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether no filter is given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when the filter is not given, or one of its values is `value` exactly.
    pub fn exact(&self, name: &str, value: &str) -> bool {
        let wanted = self.get(name);
        wanted.is_empty() || wanted.iter().any(|w| w == value)
    }

    /// A boolean filter (`dangling=true`), `default` when not given.
    pub fn boolean(&self, name: &str, default: bool) -> Result<bool> {
        match self.get(name) {
            [] => Ok(default),
            [one] => match one.as_str() {
                "1" | "true" | "t" | "T" | "TRUE" | "True" => Ok(true),
                "0" | "false" | "f" | "F" | "FALSE" | "False" => Ok(false),
                _ => Err(Error::invalid(format!("invalid filter '{name}=[{one}]'"))),
            },
            many => Err(Error::invalid(format!("invalid filter '{name}=[{}]'", many.join(" ")))),
        }
    }

    /// Whether every `label` filter (`key` or `key=value`) is met, and no `label!`.
    pub fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|v| v == value),
            None => labels.contains_key(wanted),
        };
        self.get("label").iter().all(has) && !self.get("label!").iter().any(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_json_forms_are_read() {
        for json in [r#"{"label":["a=b"]}"#, r#"{"label":{"a=b":false}}"#] {
            assert_eq!(Filters::parse(json).unwrap(), Filters::from_pairs([("label", "a=b")]), "{json}");
        }
        assert!(Filters::parse("").unwrap().is_empty());
        assert!(Filters::parse("null").unwrap().is_empty());
        assert_eq!(Filters::parse("{bad").unwrap_err().message, "invalid filter");
    }

    #[test]
    fn an_unknown_name_is_refused_in_dockers_words() {
        let filters = Filters::from_pairs([("bogus", "1")]);
        assert_eq!(filters.accept_only(&["name"]).unwrap_err().message, "invalid filter 'bogus'");
    }

    #[test]
    fn labels_must_all_match() {
        let labels: BTreeMap<_, _> =
            [("a".to_owned(), "b".to_owned()), ("c".to_owned(), String::new())].into();
        for (pairs, want) in [
            (vec![("label", "a")], true),
            (vec![("label", "a=b"), ("label", "c")], true),
            (vec![("label", "a=x")], false),
            (vec![("label!", "a")], false),
            (vec![("label!", "z")], true),
        ] {
            assert_eq!(Filters::from_pairs(pairs.clone()).labels(&labels), want, "{pairs:?}");
        }
    }
}
