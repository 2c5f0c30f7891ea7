//! What happened: a broadcast with a bounded memory.
//!
//! Publishing never waits. A subscriber that falls more than [`HISTORY`] events behind loses the oldest ones.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;
use types::Result;

use crate::{Filters, Timestamp};

/// Events remembered for `since` (Docker's number).
pub const HISTORY: usize = 256;

/// One event, in Docker's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `container`, `image`, `volume`, `network`, `daemon`.
    pub kind: &'static str,
    /// `create`, `start`, `exec_create: sh -c x`, ...
    pub action: String,
    /// Id or name of what it happened to.
    pub actor_id: String,
    /// Name, image, labels, exitCode ...
    pub attributes: BTreeMap<String, String>,
    /// When.
    pub time: Timestamp,
    /// `local` or `swarm`.
    pub scope: &'static str,
}

/// A cheap handle; clones share the stream.
#[derive(Debug, Clone)]
pub struct Events(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    sender: broadcast::Sender<Arc<Event>>,
    // A std mutex: held for a push or a copy of pointers, never across an await.
    history: Mutex<VecDeque<Arc<Event>>>,
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

impl Events {
    /// An empty stream.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            sender: broadcast::Sender::new(HISTORY),
            history: Mutex::new(VecDeque::with_capacity(HISTORY)),
        }))
    }

    /// Tells everyone, now.
    pub fn publish(
        &self,
        kind: &'static str,
        action: impl Into<String>,
        actor_id: impl Into<String>,
        attributes: BTreeMap<String, String>,
    ) {
        let mut history = self.0.history.lock().unwrap_or_else(PoisonError::into_inner);
        let event = Arc::new(Event {
            kind,
            action: action.into(),
            actor_id: actor_id.into(),
            attributes,
            time: Timestamp::now(),
            scope: "local",
        });
        if history.len() == HISTORY {
            history.pop_front();
        }
        history.push_back(event.clone());
        // Sent under the lock, so that the order of history and of the live stream is one. No receiver is fine.
        let _ = self.0.sender.send(event);
    }

    /// Events from `since` (remembered ones first) until `until` (or for ever) that match Docker's `filters`:
    /// `container event image label network type volume daemon plugin scope ...`. Unknown filters are let pass, as by Docker.
    pub fn subscribe(
        &self,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        filters: Filters,
    ) -> Result<Subscription> {
        let history = self.0.history.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.0.sender.subscribe();
        // Without `since` Docker replays only when `until` is given.
        let from = since.or_else(|| until.map(|_| Timestamp(0)));
        let past = match from {
            Some(from) => history.iter().filter(|e| e.time >= from).cloned().collect(),
            None => VecDeque::new(),
        };
        // As Docker: nothing follows what is over at 1970, but nothing remembered is later either.
        let only_past = until.is_some_and(|until| until <= Timestamp::now());
        let until = until.filter(|until| until.0 > 0);
        Ok(Subscription { past, receiver, until, only_past, filters, is_slow: false })
    }

    /// How many listen, for `info`.
    pub fn listeners(&self) -> usize {
        self.0.sender.receiver_count()
    }
}

/// A running subscription; dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    past: VecDeque<Arc<Event>>,
    receiver: broadcast::Receiver<Arc<Event>>,
    until: Option<Timestamp>,
    /// Nothing but what is remembered.
    only_past: bool,
    filters: Filters,
    /// It has lost events, and that was said.
    is_slow: bool,
}

impl Subscription {
    /// The next matching event; `None` when `until` has come or the daemon goes away. Cancel safe.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        loop {
            let event = match self.past.pop_front() {
                Some(event) => event,
                None if self.only_past => return None,
                None => self.live().await?,
            };
            if self.until.is_some_and(|until| event.time > until) {
                return None;
            }
            if matches(&self.filters, &event) {
                return Some(event);
            }
        }
    }

    async fn live(&mut self) -> Option<Arc<Event>> {
        loop {
            let received = match self.until {
                None => self.receiver.recv().await,
                Some(until) => {
                    let left = until.0.saturating_sub(Timestamp::now().0);
                    let left = std::time::Duration::from_nanos(u64::try_from(left).unwrap_or(0));
                    if left.is_zero() {
                        return None;
                    }
                    tokio::time::timeout(left, self.receiver.recv()).await.ok()?
                }
            };
            match received {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(lost)) => {
                    // Once for each client: one that sleeps would fill the log otherwise.
                    if !std::mem::replace(&mut self.is_slow, true) {
                        tracing::warn!(lost, "an events client is too slow, and misses events");
                    }
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// Docker's matching (moby `daemon/events/filter.go`).
fn matches(filters: &Filters, event: &Event) -> bool {
    let name = || event.attributes.get("name").map(String::as_str);
    let by_object = |kind: &str| {
        let wanted = filters.get(kind);
        wanted.is_empty()
            || event.kind == kind
                && wanted.iter().any(|w| {
                    event.actor_id.starts_with(w.as_str()) || name() == Some(w.trim_start_matches('/'))
                })
    };
    let by_container = || {
        let wanted = filters.get("container");
        wanted.is_empty()
            || (event.kind == "container"
                && wanted.iter().any(|w| {
                    event.actor_id == *w
                        || name() == Some(w.trim_start_matches('/'))
                        || (w.len() >= 6 && event.actor_id.starts_with(w.as_str()))
                }))
    };
    let by_image = || {
        let wanted = filters.get("image");
        let image = if event.kind == "image" {
            Some(event.actor_id.as_str())
        } else {
            event.attributes.get("image").map(String::as_str)
        };
        wanted.is_empty()
            || image.is_some_and(|image| {
                let bare = image
                    .rsplit_once(':')
                    .filter(|(_, tag)| !tag.contains('/'))
                    .map_or(image, |(name, _)| name);
                wanted.iter().any(|w| w == image || w == bare || Some(w.as_str()) == name())
            })
    };
    // `exec_create: sh` and `health_status: healthy` match by the word before the colon too.
    let action = || {
        let wanted = filters.get("event");
        let word = event.action.split(':').next().unwrap_or_default();
        wanted.is_empty() || wanted.iter().any(|w| w == &event.action || w == word)
    };
    action()
        && filters.exact("type", event.kind)
        && filters.exact("scope", event.scope)
        && filters.labels(&event.attributes)
        && by_container()
        && by_image()
        && ["daemon", "network", "node", "plugin", "secret", "service", "config", "volume"]
            .into_iter()
            .all(by_object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &'static str, action: &str) -> Event {
        let attributes = [("name", "web"), ("image", "busybox:latest"), ("team", "a")];
        Event {
            kind,
            action: action.to_owned(),
            actor_id: "ab".repeat(32),
            attributes: attributes.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            time: Timestamp(5),
            scope: "local",
        }
    }

    #[test]
    fn filters_match_as_dockers() {
        for (name, value, want) in [
            ("container", "web", true),
            ("container", "abababab", true),
            ("container", "other", false),
            ("image", "busybox", true),
            ("image", "busybox:latest", true),
            ("image", "busybox:1", false),
            ("event", "exec_create", true),
            ("event", "start", false),
            ("label", "team=a", true),
            ("label", "team=b", false),
            ("type", "container", true),
            ("type", "image", false),
            ("volume", "web", false),
        ] {
            let filters = Filters::from_pairs([(name, value)]);
            assert_eq!(matches(&filters, &event("container", "exec_create: sh")), want, "{name}={value}");
        }
    }

    #[tokio::test]
    async fn a_window_replays_the_past_and_ends() {
        let events = Events::new();
        events.publish("container", "start", "x", BTreeMap::new());
        let until = Timestamp(Timestamp::now().0 + 20_000_000);
        let mut window = events.subscribe(Some(Timestamp(1)), Some(until), Filters::default()).unwrap();
        assert_eq!(window.next().await.unwrap().action, "start");
        assert!(window.next().await.is_none());
    }

    #[tokio::test]
    async fn the_memory_is_bounded() {
        let events = Events::new();
        for n in 0..HISTORY + 10 {
            events.publish("container", n.to_string(), "x", BTreeMap::new());
        }
        let mut all =
            events.subscribe(Some(Timestamp(0)), Some(Timestamp::now()), Filters::default()).unwrap();
        assert_eq!(all.next().await.unwrap().action, "10");
    }
}
