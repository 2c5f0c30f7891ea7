//! What protects the blobs and layers of a pull until they have a name.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use store::Hold;
use types::Error;

use super::Shared;

/// A hold that the future and the threads of one pull share. After most failures what came is kept, because the next
/// attempt goes on from there; after one for want of space it is swept away once the last of them is done. So are, after
/// a success, compressed layers that the store keeps plain.
pub(super) struct PullHold {
    // Dropped in this order: only what nobody holds is swept.
    hold: Hold,
    sweeper: Sweeper,
}

struct Sweeper {
    shared: Arc<Shared>,
    wanted: AtomicBool,
}

impl PullHold {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let hold = shared.store.hold();
        Self { hold, sweeper: Sweeper { shared, wanted: AtomicBool::new(false) } }
    }

    /// The pull has brought its image.
    pub(super) fn succeeded(&self) {
        self.sweeper.wanted.store(true, Ordering::Relaxed);
    }

    /// The pull ends with this error.
    pub(super) fn failed(&self, error: &Error) {
        let source = error.source.as_ref().and_then(|source| source.downcast_ref::<store::Error>());
        if matches!(source, Some(store::Error::NoSpace { .. })) {
            self.sweeper.wanted.store(true, Ordering::Relaxed);
        }
    }
}

impl Deref for PullHold {
    type Target = Hold;

    fn deref(&self) -> &Hold {
        &self.hold
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        if !self.wanted.load(Ordering::Relaxed) {
            return;
        }
        let shared = self.shared.clone();
        let sweep = move || {
            if let Err(error) = shared.store.sweep() {
                tracing::warn!(%error, "could not sweep up after a pull");
            }
        };
        // The last owner may be a task, which must not block; without a runtime the daemon is going down anyway.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(sweep);
        }
    }
}
