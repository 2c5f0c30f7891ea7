//! Limits by client: a bucket of tokens that fills at a steady rate.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Clients that are told apart; beyond, those whose buckets are full are forgotten, and then all.
const CLIENTS_MAX: usize = 50_000;

struct Bucket {
    tokens: f64,
    since: Instant,
}

/// At most `rate` a second for each client, and `burst` at once.
pub(crate) struct Limiter<K> {
    rate: f64,
    burst: f64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    pub(crate) fn new(rate: f64, burst: f64) -> Self {
        Self { rate, burst, buckets: Mutex::default() }
    }

    /// Takes one; `Err` with the time after which there is one again.
    pub(crate) fn take(&self, client: &K, now: Instant) -> Result<(), Duration> {
        self.change(client, now, 1.0)
    }

    /// Whether there is one, without taking it.
    pub(crate) fn look(&self, client: &K, now: Instant) -> Result<(), Duration> {
        self.change(client, now, 0.0)
    }

    fn change(&self, client: &K, now: Instant, cost: f64) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let filled = |bucket: &Bucket| {
            (bucket.tokens + (now - bucket.since).as_secs_f64() * self.rate).min(self.burst)
        };
        if buckets.len() >= CLIENTS_MAX && !buckets.contains_key(client) {
            buckets.retain(|_, bucket| filled(bucket) < self.burst);
            if buckets.len() >= CLIENTS_MAX {
                buckets.clear();
            }
        }
        let full = Bucket { tokens: self.burst, since: now };
        let bucket = buckets.entry(client.clone()).or_insert(full);
        bucket.tokens = filled(bucket);
        bucket.since = now;
        if bucket.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.tokens) / self.rate));
        }
        bucket.tokens -= cost;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let limiter = Limiter::new(2.0, 3.0);
        let now = Instant::now();
        let taken = (0..5).filter(|_| limiter.take(&"a", now).is_ok()).count();
        assert_eq!(taken, 3);
        assert_eq!(limiter.take(&"a", now), Err(Duration::from_millis(500)));
        assert!(limiter.take(&"b", now).is_ok());
        assert!(limiter.take(&"a", now + Duration::from_millis(500)).is_ok());
        assert!(limiter.look(&"a", now + Duration::from_millis(500)).is_err());
    }
}
