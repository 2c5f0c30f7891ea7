//! The OCI runtime specification 1.3 (config.md, config-linux.md) as plain data.

/// A container as the runtime is told to make it.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct RuntimeSpec {}
