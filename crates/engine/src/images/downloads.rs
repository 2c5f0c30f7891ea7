//! Downloads across all pulls: bounded in number, and one per blob however many ask for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use registry::{DownloadStep, Repository};
use store::Store;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, watch};
use types::{Descriptor, Digest};

/// Layers, of all pulls, that may be unpacked before the one below them is there. Each holds a thread while it waits for
/// that one, which needs a thread, too: without a bound they could hold all there are.
const AHEAD_MAX: usize = 16;

/// What is being fetched or unpacked at the moment.
#[derive(Debug)]
pub(super) struct Downloads {
    /// A std mutex: held for a clone only.
    slots: Mutex<Arc<Semaphore>>,
    /// See [`AHEAD_MAX`].
    ahead: Arc<Semaphore>,
    /// By blob digest, or by chain id for unpacking. Dead entries are dropped whenever a new one comes.
    turns: Mutex<HashMap<Digest, Weak<Turn>>>,
}

/// Whose turn it is for one digest, and how far that one is.
#[derive(Debug)]
struct Turn {
    lock: Arc<AsyncMutex<()>>,
    step: watch::Sender<DownloadStep>,
}

impl Downloads {
    pub(super) fn new(concurrent: usize) -> Self {
        let ahead = Arc::new(Semaphore::new(AHEAD_MAX));
        Self {
            slots: Mutex::new(Arc::new(Semaphore::new(concurrent.max(1)))),
            ahead,
            turns: Mutex::default(),
        }
    }

    /// Another bound, for downloads that begin from now on.
    pub(super) fn allow(&self, concurrent: usize) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        *slots = Arc::new(Semaphore::new(concurrent.max(1)));
    }

    fn slots(&self) -> Arc<Semaphore> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches a blob into the store. `report` also hears of the progress of somebody else's download of it. When that
    /// one is cancelled, the next in line goes on where it stopped. `passes` says that the blob itself is not to stay.
    pub(super) async fn fetch(
        &self,
        repository: &Repository,
        store: &Arc<Store>,
        descriptor: &Descriptor,
        passes: bool,
        mut report: impl FnMut(DownloadStep),
    ) -> Result<(), registry::Error> {
        let turn = self.turn(&descriptor.digest);
        let mut steps = turn.step.subscribe();
        let taken = turn.lock.clone().lock_owned();
        tokio::pin!(taken);
        let _mine = loop {
            tokio::select! {
                biased;
                guard = &mut taken => break guard,
                Ok(()) = steps.changed() => report(*steps.borrow_and_update()),
            }
        };
        // Never closed, so this cannot fail.
        let slots = self.slots();
        let _slot = slots.acquire().await;
        let step = |step| {
            turn.step.send_replace(step);
            report(step);
        };
        match passes {
            true => repository.fetch_blob_for_now(store, descriptor, step).await,
            false => repository.fetch_blob(store, descriptor, step).await,
        }
    }

    /// Whether a new download would have to wait.
    pub(super) fn is_full(&self) -> bool {
        self.slots().available_permits() == 0
    }

    /// The right to unpack a layer before the one below it is there.
    pub(super) async fn ahead(&self) -> Option<OwnedSemaphorePermit> {
        // Never closed, so there is one.
        self.ahead.clone().acquire_owned().await.ok()
    }

    /// The right to unpack the layer with this chain id.
    pub(super) async fn unpack_turn(&self, chain_id: &Digest) -> OwnedMutexGuard<()> {
        let turn = self.turn(chain_id);
        turn.lock.clone().lock_owned().await
    }

    fn turn(&self, digest: &Digest) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(digest).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Turn { lock: Arc::default(), step: watch::Sender::new(DownloadStep::Bytes(0)) });
        turns.insert(digest.clone(), Arc::downgrade(&turn));
        turn
    }
}
