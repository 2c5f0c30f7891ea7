//! The nouns of Wharf: plain data that crosses crates. No I/O, no async, no globals.
//!
//! | Module | Words |
//! |---|---|
//! | [`id`] | *container id*, *exec id*: 64 hex digits, parsed once at the door |
//! | [`digest`], [`reference`] | what a user types (*reference*) and what it stands for (*digest*) |
//! | [`image`] | *descriptor*, *index*, *manifest*, image *config* |
//! | [`config`] | `Config`, `HostConfig`: the language in which users describe a container |
//! | [`spec`] | the OCI runtime specification, 1.3 |
//! | [`mount`] | [`Mount`](mount::Mount): where storage and execution meet |
//! | [`frame`] | Docker's 8-byte stream header |
//! | [`go_json`] | Go's words for a text that is not JSON |
//! | [`error`] | the error kinds that the doors translate |

pub mod config;
pub mod digest;
pub mod error;
pub mod frame;
pub mod go_json;
pub mod id;
pub mod image;
pub mod mount;
pub mod platform;
pub mod reference;
pub mod size;
pub mod spec;

pub use config::{Config, HostConfig};
pub use digest::Digest;
pub use error::{Error, ErrorKind, Result};
pub use frame::{Frame, StreamKind};
pub use id::{ContainerId, ExecId};
pub use image::{Descriptor, ImageConfig, Index, Manifest};
pub use mount::Mount;
pub use platform::Platform;
pub use reference::ImageRef;
pub use size::parse_size;
pub use spec::RuntimeSpec;
