//! From the engine's values to Docker's bodies. Everything that depends on the API version stands here.

mod container;
mod image;
mod info;
mod network;
mod stats;

pub(crate) use container::{inspect, summary};
pub(crate) use image::{image_inspect, image_summary};
pub(crate) use info::{info, version};
pub(crate) use network::network;
pub(crate) use stats::stats;

use serde_json::{Map, Value};

/// Docker answers some questions by way of a Go map, whose keys come out sorted at every depth.
pub(crate) fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(sorted_map(map)),
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// The same of one map.
pub(crate) fn sorted_map(map: Map<String, Value>) -> Map<String, Value> {
    let mut entries: Vec<_> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries.into_iter().collect()
}
