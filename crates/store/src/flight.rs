//! Single flight: when two ask for the same work at once, one does it and the other waits for it.

use std::{
    collections::HashSet,
    sync::{Arc, Condvar, Mutex, PoisonError},
};

/// The names of the works under way.
#[derive(Debug, Clone, Default)]
pub struct Flights {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    names: Mutex<HashSet<String>>,
    ended: Condvar,
}

impl Flights {
    /// Waits until nobody else works under `name`, then takes it. Afterwards look whether the work is done already.
    pub fn enter(&self, name: &str) -> Flight {
        let mut names = self.shared.names.lock().unwrap_or_else(PoisonError::into_inner);
        while names.contains(name) {
            names = self.shared.ended.wait(names).unwrap_or_else(PoisonError::into_inner);
        }
        names.insert(name.to_owned());
        Flight { shared: Arc::clone(&self.shared), name: name.to_owned() }
    }
}

/// The right to work under a name, given back on drop.
#[derive(Debug)]
pub struct Flight {
    shared: Arc<Shared>,
    name: String,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.shared.names.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
        self.shared.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn only_one_at_a_time_works_under_a_name() {
        let (flights, inside) = (Flights::default(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _flight = flights.enter("x");
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        let (_a, _b) = (flights.enter("a"), flights.enter("b"));
    }
}
