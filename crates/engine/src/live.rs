//! Settings that change while the daemon runs (moby `daemon.Reload`).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::runtimes::Runtimes;

/// What `SIGHUP` takes over from the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloadable {
    /// Default `/dev/shm` size in bytes (`default-shm-size`).
    pub shm_size_bytes: i64,
    /// Default cgroup namespace mode; empty: `private` on cgroup v2, `host` on v1.
    pub cgroupns_mode: String,
    /// Default IPC mode.
    pub ipc_mode: String,
    /// Seconds until containers are killed at shutdown (`shutdown-timeout`).
    pub shutdown_timeout_s: u64,
    /// Leave containers running at shutdown. Ours always survive a crash; this is about an orderly stop.
    pub live_restore: bool,
    /// Labels of the daemon.
    pub labels: Vec<String>,
    /// OCI runtimes beside ours, and the default (`runtimes`, `default-runtime`).
    pub runtimes: Runtimes,
    /// Debug mode, for `info`.
    pub debug: bool,
    /// Registries reached without TLS or with any certificate.
    pub insecure_registries: Vec<String>,
    /// Mirrors of Docker Hub.
    pub registry_mirrors: Vec<String>,
    /// Layers, of all pulls, that are fetched at once.
    pub max_concurrent_downloads: usize,
    /// Blobs, of all pushes, that are sent at once.
    pub max_concurrent_uploads: usize,
    /// Attempts to fetch one layer.
    pub max_download_attempts: u32,
}

impl Default for Reloadable {
    fn default() -> Self {
        Self {
            shm_size_bytes: 64 << 20,
            cgroupns_mode: String::new(),
            ipc_mode: "private".to_owned(),
            shutdown_timeout_s: 15,
            live_restore: false,
            labels: Vec::new(),
            runtimes: Runtimes::default(),
            debug: false,
            insecure_registries: Vec::new(),
            registry_mirrors: Vec::new(),
            max_concurrent_downloads: 3,
            max_concurrent_uploads: 5,
            max_download_attempts: 5,
        }
    }
}

impl Reloadable {
    /// As the `reload` event tells them.
    pub(crate) fn attributes(&self) -> BTreeMap<String, String> {
        // A list of texts cannot fail to serialise.
        let list = |list: &[String]| serde_json::to_string(list).unwrap_or_default();
        [
            ("debug", self.debug.to_string()),
            ("default-cgroupns-mode", self.cgroupns_mode.clone()),
            ("default-ipc-mode", self.ipc_mode.clone()),
            ("default-runtime", self.runtimes.default_name().to_owned()),
            ("default-shm-size", self.shm_size_bytes.to_string()),
            ("insecure-registries", list(&self.insecure_registries)),
            ("labels", list(&self.labels)),
            ("live-restore", self.live_restore.to_string()),
            ("max-concurrent-downloads", self.max_concurrent_downloads.to_string()),
            ("max-concurrent-uploads", self.max_concurrent_uploads.to_string()),
            ("max-download-attempts", self.max_download_attempts.to_string()),
            ("runtimes", self.runtimes.text()),
            ("registry-mirrors", list(&self.registry_mirrors)),
            ("shutdown-timeout", self.shutdown_timeout_s.to_string()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }
}

/// They as they are now. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Live(Arc<RwLock<Arc<Reloadable>>>);

impl Live {
    /// These.
    pub fn new(first: Reloadable) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(first))))
    }

    /// A consistent view: what comes later does not change it.
    pub fn now(&self) -> Arc<Reloadable> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn replace(&self, next: Reloadable) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_stays_as_it_was_and_clones_see_what_is_new() {
        let live = Live::default();
        let (before, clone) = (live.now(), live.clone());
        live.replace(Reloadable { labels: vec!["a=b".to_owned()], ..Reloadable::default() });
        assert!(before.labels.is_empty());
        assert_eq!(clone.now().attributes()["labels"], r#"["a=b"]"#);
    }
}
