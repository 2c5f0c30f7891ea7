//! A container's log: written by its supervisor, read by anybody.
//!
//! | driver | file | format |
//! |---|---|---|
//! | `json-file` | `PATH`, rotated `PATH.1`, `PATH.2` (`.gz` when compressed) | Docker's, byte for byte: one JSON object a line |
//! | `local` | the same names | Docker's `local`: length, protobuf `LogEntry`, length |
//! | `none` | - | - |

mod aside;
mod file;
mod follow;
mod json;
mod local;
mod options;
mod reader;
mod scan;
mod source;
mod split;
mod time;
mod writer;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use types::StreamKind;

pub use options::validate;
pub use reader::{Entry, Next, Reader, Select};
pub(crate) use time::now;
pub use time::{rfc3339_fixed, rfc3339_nano};
pub(crate) use writer::Writer;

/// Where a container's output is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogSpec {
    /// Which driver.
    pub driver: LogDriver,
    /// The log file (`data-root/containers/ID/ID-json.log`; `.../local-logs/container.log` for `local`); its directory
    /// must exist. Unused by `none`.
    pub path: PathBuf,
    /// `HostConfig.LogConfig.Config`, already [`validate`]d.
    pub options: BTreeMap<String, String>,
    /// What the options `labels`, `env` and `tag` select, ready to be stored with each entry.
    pub attrs: BTreeMap<String, String>,
}

/// The log drivers that are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// Docker's default.
    #[default]
    JsonFile,
    /// Compact and rotated by default.
    Local,
    /// Output is dropped.
    None,
}

impl LogDriver {
    /// By Docker's name; empty is the default. The error is Docker's.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "" | "json-file" => Ok(Self::JsonFile),
            "local" => Ok(Self::Local),
            "none" => Ok(Self::None),
            _ => Err(format!("error looking up logging plugin {name}: plugin \"{name}\" not found")),
        }
    }

    /// Docker's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonFile => "json-file",
            Self::Local => "local",
            Self::None => "none",
        }
    }
}

/// What entries call a stream.
fn stream_name(stream: StreamKind) -> &'static str {
    if stream == StreamKind::Stderr { "stderr" } else { "stdout" }
}
