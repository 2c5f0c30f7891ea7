//! What a log line says about its container, by the options `labels labels-regex env env-regex tag`.

use std::collections::BTreeMap;

use regex::Regex;
use types::{Error, Result};

use super::record::Record;

/// The attributes that the options ask for.
pub(super) fn of(record: &Record, options: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    let labels = record.labels().iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let env = record.config.env.iter().flatten().filter_map(|variable| variable.split_once('='));
    let mut attrs = chosen(labels, options, ["labels", "labels-regex"])?;
    attrs.extend(chosen(env, options, ["env", "env-regex"])?);
    if let Some(tag) = options.get("tag").filter(|tag| !tag.is_empty()) {
        attrs.insert("tag".to_owned(), expand_tag(tag, record));
    }
    Ok(attrs)
}

/// The pairs whose name is in the list or matches the expression.
fn chosen<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
    options: &BTreeMap<String, String>,
    [list, expression]: [&str; 2],
) -> Result<BTreeMap<String, String>> {
    let names: Vec<&str> = options.get(list).into_iter().flat_map(|names| names.split(',')).collect();
    let expression = options.get(expression).filter(|text| !text.is_empty());
    let expression = expression.map(|text| Regex::new(text)).transpose().map_err(|error| {
        Error::internal(format!(
            "failed to create task for container: failed to initialize logging driver: error parsing regexp: {error}"
        ))
    })?;
    let wanted = |name: &str| {
        names.contains(&name) || expression.as_ref().is_some_and(|expression| expression.is_match(name))
    };
    Ok(pairs
        .filter(|(name, _)| wanted(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

/// The fields that Docker's documentation names for `tag`.
fn expand_tag(tag: &str, record: &Record) -> String {
    [
        ("{{.ID}}", record.id.short()),
        ("{{.FullID}}", record.id.as_str()),
        ("{{.Name}}", record.name.as_str()),
        ("{{.ImageID}}", record.image_id.as_ref().map_or("", types::Digest::short)),
        ("{{.ImageFullID}}", record.image_id.as_ref().map_or("", types::Digest::as_str)),
        ("{{.ImageName}}", record.config.image.as_str()),
        ("{{.DaemonName}}", "docker"),
    ]
    .into_iter()
    .fold(tag.to_owned(), |text, (field, value)| text.replace(field, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_chosen_by_list_and_by_expression() {
        let pairs = [("app", "1"), ("app.tier", "2"), ("other", "3")];
        let options = |list: &[(&str, &str)]| {
            list.iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        for (given, want) in [
            (options(&[]), vec![]),
            (options(&[("labels", "other,missing")]), vec!["other"]),
            (options(&[("labels-regex", "^app")]), vec!["app", "app.tier"]),
            (options(&[("labels", "other"), ("labels-regex", "tier$")]), vec!["app.tier", "other"]),
        ] {
            let attrs = chosen(pairs.into_iter(), &given, ["labels", "labels-regex"]).unwrap();
            assert_eq!(attrs.into_keys().collect::<Vec<_>>(), want, "{given:?}");
        }
        let bad = options(&[("labels-regex", "(")]);
        let error = chosen(pairs.into_iter(), &bad, ["labels", "labels-regex"]).unwrap_err();
        assert!(error.message.contains("error parsing regexp"), "{}", error.message);
    }
}
