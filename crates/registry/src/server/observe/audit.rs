//! The audit log: `wharf/audit.log` below the root, one JSON object for each change and each refusal.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// An open log.
pub(crate) struct Audit(Mutex<File>);

impl Audit {
    /// Appends to the log below a root.
    pub(crate) fn open(root: &Path) -> Result<Self, String> {
        let path = root.join("wharf/audit.log");
        let told = |error: std::io::Error| format!("{}: {error}", path.display());
        std::fs::create_dir_all(root.join("wharf")).map_err(told)?;
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(told)?;
        Ok(Self(Mutex::new(file)))
    }

    /// Writes one line: who did (or was refused) what to what.
    pub(crate) fn write(&self, who: &str, from: &str, action: &str, target: &str, more: &Value) {
        let mut line = json!({ "time": super::now(), "actor": who, "address": from, "action": action, "target": target });
        if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object()) {
            line.extend(more.clone());
        }
        let text = format!("{line}\n");
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // In one write, so that lines stay whole.
        if let Err(error) = file.write_all(text.as_bytes()) {
            tracing::error!(%error, "the audit log cannot be written");
        }
    }
}
