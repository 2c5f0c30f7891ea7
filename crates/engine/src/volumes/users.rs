//! Who uses which volume now: a volume is mounted for the first user and unmounted after the last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// In memory only: after a restart it is made anew from what runs.
#[derive(Debug, Default)]
pub(super) struct Users {
    by_volume: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

impl Users {
    /// Whether the volume had no other user.
    pub(super) fn add(&self, volume: &str, user: &str) -> bool {
        let mut all = self.lock();
        let users = all.entry(volume.to_owned()).or_default();
        users.insert(user.to_owned());
        users.len() == 1
    }

    /// Whether it was the last user; `None` if it was none.
    pub(super) fn remove(&self, volume: &str, user: &str) -> Option<bool> {
        let mut all = self.lock();
        let users = all.get_mut(volume)?;
        if !users.remove(user) {
            return None;
        }
        let last = users.is_empty();
        if last {
            all.remove(volume);
        }
        Some(last)
    }

    /// What somebody uses.
    pub(super) fn volumes_of(&self, user: &str) -> Vec<String> {
        self.lock().iter().filter(|(_, users)| users.contains(user)).map(|(name, _)| name.clone()).collect()
    }

    /// Whether somebody uses it.
    pub(super) fn is_used(&self, volume: &str) -> bool {
        self.lock().contains_key(volume)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeSet<String>>> {
        self.by_volume.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_user_are_told_apart() {
        let users = Users::default();
        assert!(users.add("v", "a"));
        assert!(!users.add("v", "b"));
        assert!(users.add("w", "a"));
        assert_eq!(users.volumes_of("a"), ["v", "w"]);
        assert_eq!(users.remove("v", "c"), None);
        assert_eq!(users.remove("v", "a"), Some(false));
        assert!(users.is_used("v"));
        assert_eq!(users.remove("v", "b"), Some(true));
        assert_eq!(users.remove("v", "b"), None);
        assert!(!users.is_used("v"));
    }
}
