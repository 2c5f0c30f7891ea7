//! Command line plugins: programs `docker-NAME` that bring commands of their own (`compose`, `buildx`).
//!
//! A plugin is called with this program's whole command line. What it is, it says as JSON when it is called with
//! `docker-cli-plugin-metadata`.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::context::Context;
use crate::{Failure, Outcome, os_error};

const PREFIX: &str = "docker-";
const METADATA: &str = "docker-cli-plugin-metadata";
/// Tells a plugin how it can call us back.
const ORIGINAL: &str = "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND";
/// Where distributions install them; Docker's list.
const SYSTEM: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// A plugin that can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) metadata: Metadata,
}

/// What a plugin says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Metadata {
    pub(crate) schema_version: String,
    pub(crate) vendor: String,
    pub(crate) version: String,
    pub(crate) short_description: String,
    pub(crate) hidden: bool,
}

/// The plugin of that name; nothing when there is none that works.
pub(crate) fn find(context: &Context, name: &str) -> Option<Plugin> {
    let path = directories(context)
        .into_iter()
        .map(|directory| directory.join(format!("{PREFIX}{name}")))
        .find(|path| path.exists())?;
    load(name, path)
}

/// All plugins that work, by name.
pub(crate) fn list(context: &Context) -> Vec<Plugin> {
    let mut names = std::collections::BTreeMap::new();
    for directory in directories(context) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            if let Some(name) = file.strip_prefix(PREFIX) {
                // The first directory that has it wins.
                names.entry(name.to_owned()).or_insert_with(|| entry.path());
            }
        }
    }
    names.into_iter().filter_map(|(name, path)| load(&name, path)).collect()
}

fn directories(context: &Context) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = context.config().cli_plugins_extra_dirs.iter().map(PathBuf::from).collect();
    found.push(context.directory().join("cli-plugins"));
    found.extend(SYSTEM.map(PathBuf::from));
    found
}

fn load(name: &str, path: PathBuf) -> Option<Plugin> {
    let is_name = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_taken = crate::commands::ROOT.children().iter().any(|command| command.answers_to(name));
    if !is_name || is_taken {
        return None;
    }
    let said = Command::new(&path)
        .arg(METADATA)
        .env(ORIGINAL, original())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let metadata: Metadata = serde_json::from_slice(&said.stdout).ok()?;
    let major = metadata.schema_version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    (major.is_some_and(|major| major <= 1) && !metadata.vendor.is_empty()).then(|| Plugin {
        name: name.to_owned(),
        path,
        metadata,
    })
}

/// What we were called as.
fn original() -> std::ffi::OsString {
    std::env::args_os().next().unwrap_or_default()
}

/// Becomes the plugin, with this program's arguments.
pub(crate) fn run(context: &Context, plugin: &Plugin, words: &[String]) -> Outcome {
    let mut command = Command::new(&plugin.path);
    command.args(words).env(ORIGINAL, original());
    // Plugins look for a daemon where Docker's is. When nothing says where ours is, they are told.
    if let Some(host) = context.unsaid_host() {
        command.env("DOCKER_HOST", host);
    }
    let error = command.exec();
    Err(Failure::new(format!("fork/exec {}: {}", shown(&plugin.path), os_error(&error))))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
