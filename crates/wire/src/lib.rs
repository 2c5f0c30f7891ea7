//! The Docker HTTP API as both ends see it: the bodies of Engine API 1.51, and what older versions make of them.
//!
//! | Module | Bodies of |
//! |---|---|
//! | [`version`] | [`ApiVersion`]: 1.24 to 1.51, asked for by the `/v1.xx` prefix |
//! | [`container`], [`stats`], [`exec`] | `/containers`, `/exec` |
//! | [`image`], [`progress`] | `/images`, the lines of a pull |
//! | [`network`], [`volume`] | `/networks`, `/volumes` |
//! | [`client`] | the client's end: blocking HTTP/1.1 over a unix socket or TCP, with hijacked streams |
//! | [`system`], [`event`] | `/version`, `/info`, `/system/df`, `/auth`, `/events` |
//!
//! Invariant: field order, `null`, empty and absent are those of Docker 28.5.2, because SDKs notice each of them.
//! `Option<Vec<_>>` without `skip_serializing_if` is a list that Docker sends as `null`. Reading is lenient: every
//! field has a default and `null` is taken for it, so that the client understands older and newer daemons.

pub mod client;
pub mod container;
pub mod event;
pub mod exec;
pub mod image;
pub mod network;
pub mod progress;
pub mod stats;
pub mod system;
pub mod version;
pub mod volume;

use serde::{Deserialize, Deserializer, Serialize};

pub use container::{ContainerCreate, ContainerInspect, ContainerSummary};
pub use event::EventMessage;
pub use exec::ExecInspect;
pub use image::{ImageInspect, ImageSummary};
pub use network::NetworkResource;
pub use progress::ProgressLine;
pub use stats::StatsResponse;
pub use system::{Info, Version};
pub use version::ApiVersion;
pub use volume::Volume;

/// Content type of hijacked streams that are raw bytes: of a terminal, or for clients older than 1.42.
pub const RAW_STREAM: &str = "application/vnd.docker.raw-stream";
/// Content type of hijacked streams of 8-byte frames, since 1.42.
pub const MULTIPLEXED_STREAM: &str = "application/vnd.docker.multiplexed-stream";
/// Go's zero time, which Docker sends where there is none.
pub const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// The body of every error.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What the user reads.
    pub message: String,
}

/// The body of answers that only name what was made: `{"Id": ...}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IdResponse {
    /// Full identifier.
    #[serde(rename = "Id")]
    pub id: String,
}

/// Go decodes null into the zero value; so do we.
pub(crate) fn null_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    input: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// Go's `omitempty` of a number.
pub(crate) fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}
