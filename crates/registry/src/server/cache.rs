//! A bounded cache in memory of what was read from storage.
//!
//! Two generations: what is used moves to the young one; when that holds half of the budget, the old one goes. No
//! list to keep in order, so a hit costs a look-up. An entry that was read before somebody changed the truth is
//! never put in after the change: whoever reads takes an `Epoch` first.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When somebody began to read.
#[derive(Clone, Copy)]
pub(crate) struct Epoch(u64);

struct Held<V> {
    value: V,
    cost: usize,
    since: Instant,
}

struct Generations<K, V> {
    young: HashMap<K, Held<V>>,
    old: HashMap<K, Held<V>>,
    young_cost: usize,
    epoch: u64,
}

/// A cache of at most about `budget` units of cost, whose entries are believed for `lifetime`.
pub(crate) struct Cache<K, V> {
    inner: Mutex<Generations<K, V>>,
    budget: usize,
    lifetime: Duration,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    pub(crate) fn new(budget: usize, lifetime: Duration) -> Self {
        let inner = Generations { young: HashMap::new(), old: HashMap::new(), young_cost: 0, epoch: 0 };
        Self { inner: Mutex::new(inner), budget, lifetime }
    }

    fn lock(&self) -> MutexGuard<'_, Generations<K, V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.lock().epoch)
    }

    pub(crate) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut inner = self.lock();
        if let Some(held) = inner.young.get(key) {
            return (held.since.elapsed() < self.lifetime).then(|| held.value.clone());
        }
        let (key, held) = inner.old.remove_entry(key)?;
        if held.since.elapsed() >= self.lifetime {
            return None;
        }
        let value = held.value.clone();
        self.insert(&mut inner, key, held);
        Some(value)
    }

    /// Keeps what was read since `epoch`, unless something changed since.
    pub(crate) fn put(&self, epoch: Epoch, key: K, value: V, cost: usize) {
        let mut inner = self.lock();
        if inner.epoch == epoch.0 && cost <= self.budget / 4 {
            self.insert(&mut inner, key, Held { value, cost, since: Instant::now() });
        }
    }

    fn insert(&self, inner: &mut Generations<K, V>, key: K, held: Held<V>) {
        let cost = held.cost;
        let replaced = inner.young.insert(key, held).map_or(0, |before| before.cost);
        inner.young_cost = (inner.young_cost + cost).saturating_sub(replaced);
        if inner.young_cost > self.budget / 2 {
            inner.old = std::mem::take(&mut inner.young);
            inner.young_cost = 0;
        }
    }

    /// Forgets `key`, and what anybody is about to put in.
    pub(crate) fn forget(&self, key: &K) {
        let mut inner = self.lock();
        inner.epoch += 1;
        inner.old.remove(key);
        if let Some(held) = inner.young.remove(key) {
            inner.young_cost = inner.young_cost.saturating_sub(held.cost);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn the_cache_stays_within_its_budget_and_keeps_what_is_used() {
        let cache = Cache::new(100, LONG);
        let epoch = cache.epoch();
        cache.put(epoch, 0, "used", 10);
        for key in 1..1000 {
            cache.put(epoch, key, "other", 10);
            assert_eq!(cache.get(&0), Some("used"), "{key}");
        }
        let inner = cache.lock();
        let cost = inner.young.values().chain(inner.old.values()).map(|held| held.cost).sum::<usize>();
        assert!(cost <= 120, "{cost}");
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let cache = Cache::new(100, LONG);
        let before = cache.epoch();
        cache.forget(&1);
        cache.put(before, 1, "stale", 1);
        assert_eq!(cache.get(&1), None);
        cache.put(cache.epoch(), 1, "fresh", 1);
        assert_eq!(cache.get(&1), Some("fresh"));
    }

    #[test]
    fn what_is_old_or_too_large_is_not_believed() {
        let cache = Cache::new(100, Duration::ZERO);
        cache.put(cache.epoch(), 1, "old", 1);
        assert_eq!(cache.get(&1), None);
        let cache = Cache::new(100, LONG);
        cache.put(cache.epoch(), 1, "large", 26);
        assert_eq!(cache.get(&1), None);
    }
}
