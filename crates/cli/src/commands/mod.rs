//! The commands: each a function that translates flags into requests and answers into text.

mod contexts;
mod cp;
mod create;
mod df;
mod dial;
mod events;
mod exec;
mod explain;
mod image_tree;
mod images;
mod inspect;
mod lifecycle;
mod logs;
mod manifest;
mod misc;
mod options;
mod prune;
mod ps;
mod pull;
mod registries;
mod run;
mod search;
mod stats;
mod transfer;
mod tree;
mod version;
mod volumes;

use std::collections::BTreeMap;

use serde_json::Value as Json;

pub(crate) use tree::ROOT;

/// Commands of Docker that are not built yet, with the part of Wharf they belong to.
const NOT_YET: [(&str, &str); 15] = [
    ("docker build", "image builds"),
    ("docker builder", "image builds"),
    ("docker buildx", "image builds"),
    ("docker checkpoint", "checkpoints"),
    ("docker compose", "compose"),
    ("docker config", "clusters"),
    ("docker image build", "image builds"),
    ("docker node", "clusters"),
    ("docker plugin", "plugins"),
    ("docker secret", "clusters"),
    ("docker service", "clusters"),
    ("docker stack", "clusters"),
    ("docker swarm", "clusters"),
    ("docker trust", "content trust"),
    ("docker scout", "plugins"),
];

/// Which part of Wharf a command waits for; none when Docker has no such command either.
pub(crate) fn not_yet(path: &str, word: &str) -> Option<&'static str> {
    let whole = format!("{path} {word}");
    NOT_YET.iter().find(|(name, _)| *name == whole).map(|(_, area)| *area)
}

/// A JSON object of texts as a map.
fn string_map(object: &Json) -> BTreeMap<String, String> {
    let entries = object.as_object().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// `a=1,b=2`.
fn labels_text(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}
