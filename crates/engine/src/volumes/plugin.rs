//! Volumes that a plugin keeps (Docker's volume plugin protocol, version 1).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::json;
use types::{Error, Result};

use crate::plugins::Plugin;

/// What a plugin must implement to keep volumes.
pub(super) const IMPLEMENTS: &str = "VolumeDriver";

/// A volume as its plugin describes it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct PluginVolume {
    pub(super) name: String,
    /// Host path; empty while it is not mounted.
    pub(super) mountpoint: String,
    /// RFC 3339, if the plugin says.
    pub(super) created_at: String,
    /// Anything.
    pub(super) status: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct One {
    volume: Option<PluginVolume>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Many {
    volumes: Option<Vec<Option<PluginVolume>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Mounted {
    mountpoint: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Capable {
    capabilities: Capabilities,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Capabilities {
    scope: String,
}

type Nothing = serde::de::IgnoredAny;

pub(super) fn create(plugin: &Plugin, name: &str, options: &BTreeMap<String, String>) -> Result<()> {
    let options = if options.is_empty() { json!(null) } else { json!(options) };
    plugin.call::<Nothing>("VolumeDriver.Create", &json!({"Name": name, "Opts": options})).map(drop)
}

pub(super) fn remove(plugin: &Plugin, name: &str) -> Result<()> {
    plugin.call::<Nothing>("VolumeDriver.Remove", &json!({"Name": name})).map(drop)
}

/// The host path of its data, there until `user` unmounts it.
pub(super) fn mount(plugin: &Plugin, name: &str, user: &str) -> Result<PathBuf> {
    let mounted: Mounted = plugin.call("VolumeDriver.Mount", &json!({"Name": name, "ID": user}))?;
    if mounted.mountpoint.starts_with('/') {
        return Ok(PathBuf::from(mounted.mountpoint));
    }
    let (plugin, path) = (plugin.name(), mounted.mountpoint);
    Err(Error::internal(format!("VolumeDriver.Mount: plugin {plugin:?} mounted {name:?} at {path:?}")))
}

pub(super) fn unmount(plugin: &Plugin, name: &str, user: &str) -> Result<()> {
    plugin.call::<Nothing>("VolumeDriver.Unmount", &json!({"Name": name, "ID": user})).map(drop)
}

/// What it says about one of its volumes; an error if it knows none of that name.
pub(super) fn get(plugin: &Plugin, name: &str) -> Result<PluginVolume> {
    let found: One = plugin.call("VolumeDriver.Get", &json!({"Name": name}))?;
    found.volume.ok_or_else(|| Error::not_found("no such volume"))
}

/// All that it keeps, those of others included.
pub(super) fn list(plugin: &Plugin) -> Result<Vec<PluginVolume>> {
    let found: Many = plugin.call("VolumeDriver.List", &json!({}))?;
    Ok(found.volumes.into_iter().flatten().flatten().collect())
}

/// `local` or `global`. A plugin of before 2016 does not say.
pub(super) fn scope(plugin: &Plugin) -> &'static str {
    match plugin.call::<Capable>("VolumeDriver.Capabilities", &json!({})) {
        Ok(found) if found.capabilities.scope.eq_ignore_ascii_case("global") => "global",
        _ => "local",
    }
}
