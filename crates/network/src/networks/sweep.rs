//! Interfaces that wait for their end. The kernel takes tens of milliseconds for each (`RTM_DELLINK` waits until no
//! processor looks at it any more), and nobody should wait with it: what users can see of them is gone before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::netlink::message::Batch;
use crate::netlink::{Socket, route};

/// More than this many do not wait: then whoever comes next helps.
const WAITING_MAX: usize = 64;

/// A thread that removes them, for as long as there are some.
#[derive(Debug, Default)]
pub(super) struct Sweep(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Indexes.
    waiting: Vec<u32>,
    sweeps: bool,
}

impl Sweep {
    /// Removes an interface of the calling thread's namespace, soon. What fails is found by the next daemon.
    pub(super) fn put(&self, index: u32) {
        let mut state = lock(&self.0);
        if state.waiting.len() >= WAITING_MAX {
            drop(state);
            return remove(index);
        }
        state.waiting.push(index);
        if std::mem::replace(&mut state.sweeps, true) {
            return;
        }
        let shared = self.0.clone();
        let sweeper = thread::Builder::new().name("netsweep".to_owned()).stack_size(128 * 1024);
        if let Err(error) = sweeper.spawn(move || sweep(&shared)) {
            state.sweeps = false;
            tracing::warn!(%error, "interfaces that nobody needs stay for a while");
        }
    }
}

fn sweep(shared: &Mutex<State>) {
    loop {
        let mut state = lock(shared);
        let Some(index) = state.waiting.pop() else {
            state.sweeps = false;
            return;
        };
        drop(state);
        remove(index);
    }
}

/// Removes one, and waits for it.
pub(super) fn remove(index: u32) {
    let mut batch = Batch::new();
    route::put_delete(&mut batch, index);
    match Socket::route().and_then(|mut socket| socket.request(&mut batch)) {
        // Gone meanwhile.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => {}
        Err(error) => tracing::warn!(index, %error, "an interface that nobody needs stays"),
        Ok(()) => {}
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
