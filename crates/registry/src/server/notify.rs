//! Webhooks: events in distribution's format, one queue for each endpoint, sent in order and again until they arrive.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use types::id::hex;

use super::digest::Digest;
use super::observe::Metrics;
use super::{EndpointOptions, Server};

/// Events that wait for one endpoint; beyond, the oldest goes.
const QUEUE_MAX: usize = 10_000;
/// Attempts for one event, with pauses between them.
const ATTEMPTS_MAX: u32 = 20;
/// What may still be sent when the registry stops.
const FINISH_MAX: Duration = Duration::from_secs(5);
const MEDIA_TYPE: &str = "application/vnd.docker.distribution.events.v2+json";

/// Something that happened.
pub(crate) struct Event {
    pub(crate) action: &'static str,
    pub(crate) repository: String,
    pub(crate) tag: Option<String>,
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) size: u64,
    pub(crate) actor: String,
    pub(crate) address: String,
    pub(crate) host: String,
    pub(crate) method: String,
    pub(crate) agent: String,
}

impl Event {
    fn json(&self) -> Value {
        let kind = if self.media_type.contains("manifest") || self.media_type.contains("index") {
            "manifests"
        } else {
            "blobs"
        };
        let mut target = json!({ "digest": self.digest.as_str(), "repository": self.repository });
        if self.size > 0 {
            target["mediaType"] = json!(self.media_type);
            target["size"] = json!(self.size);
            target["length"] = json!(self.size);
        }
        if self.action != "delete" {
            target["url"] =
                json!(format!("http://{}/v2/{}/{kind}/{}", self.host, self.repository, self.digest));
        }
        if let Some(tag) = &self.tag {
            target["tag"] = json!(tag);
        }
        let mut id = [0; 16];
        // Without random numbers the id is no worse than none.
        let _zeroes = aws_lc_rs::rand::fill(&mut id);
        json!({
            "id": hex(&id), "timestamp": super::observe::now(), "action": self.action, "target": target,
            "request": { "id": hex(&id), "addr": self.address, "host": self.host, "method": self.method, "useragent": self.agent },
            "actor": { "name": self.actor }, "source": { "addr": self.host, "instanceID": "wharf" },
        })
    }
}

struct Queue {
    options: EndpointOptions,
    waiting: Mutex<VecDeque<Value>>,
    news: Notify,
}

/// All endpoints.
pub(crate) struct Notifier {
    queues: Vec<Arc<Queue>>,
}

impl Notifier {
    pub(crate) fn new(endpoints: &[EndpointOptions]) -> Self {
        let queue = |options: &EndpointOptions| {
            Arc::new(Queue { options: options.clone(), waiting: Mutex::default(), news: Notify::new() })
        };
        Self { queues: endpoints.iter().map(queue).collect() }
    }

    /// Whether nobody wants to know anything.
    pub(crate) fn is_idle(&self) -> bool {
        self.queues.is_empty()
    }

    /// Queues an event for every endpoint that wants it.
    pub(crate) fn push(&self, event: &Event, metrics: &Metrics) {
        let body = event.json();
        for queue in &self.queues {
            let options = &queue.options;
            if options.ignored_actions.iter().any(|action| action == event.action)
                || options.ignored_media_types.contains(&event.media_type)
            {
                continue;
            }
            let mut waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= QUEUE_MAX {
                waiting.pop_front();
                metrics.notifications_dropped.fetch_add(1, Ordering::Relaxed);
            }
            waiting.push_back(body.clone());
            queue.news.notify_one();
        }
    }

    /// Starts sending.
    pub(crate) fn run(server: Arc<Server>) -> JoinSet<()> {
        let mut sending = JoinSet::new();
        for queue in &server.notifier.queues {
            sending.spawn(send_all(server.clone(), queue.clone()));
        }
        sending
    }

    /// Gives what waits a last chance.
    pub(crate) async fn finish(&self, sending: JoinSet<()>) {
        let is_done = || {
            self.queues
                .iter()
                .all(|queue| queue.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty())
        };
        let waited = tokio::time::timeout(FINISH_MAX, async {
            while !is_done() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        if waited.await.is_err() {
            tracing::warn!("some notifications were not sent before the end");
        }
        drop(sending);
    }
}

async fn send_all(server: Arc<Server>, queue: Arc<Queue>) {
    let options = &queue.options;
    let client = reqwest::Client::builder().timeout(options.timeout.max(Duration::from_millis(1))).build();
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, endpoint = options.name, "notifications cannot be sent");
            return;
        }
    };
    let mut failures = 0;
    loop {
        let event = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner).front().cloned();
        let Some(event) = event else {
            queue.news.notified().await;
            continue;
        };
        let sent = send(&client, options, &event).await;
        match &sent {
            Ok(()) => {
                failures = 0;
                server.metrics.notifications_sent.fetch_add(1, Ordering::Relaxed);
            }
            Err(why) => {
                failures += 1;
                tracing::warn!(endpoint = options.name, why, failures, "a notification was not taken");
                let pause = if failures >= options.threshold { options.backoff } else { options.backoff / 4 };
                tokio::time::sleep(pause.max(Duration::from_millis(10))).await;
            }
        }
        let gives_up = failures >= ATTEMPTS_MAX;
        if gives_up {
            failures = 0;
            server.metrics.notifications_dropped.fetch_add(1, Ordering::Relaxed);
        }
        if sent.is_ok() || gives_up {
            let mut waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            // Only if it is still the first: a full queue may have dropped it.
            if waiting.front().is_some_and(|first| first["id"] == event["id"]) {
                waiting.pop_front();
            }
        }
    }
}

async fn send(client: &reqwest::Client, options: &EndpointOptions, event: &Value) -> Result<(), String> {
    let mut request = client.post(&options.url).header("content-type", MEDIA_TYPE);
    for (name, value) in &options.headers {
        request = request.header(name, value);
    }
    let body = json!({ "events": [event] }).to_string();
    let answer = request.body(body).send().await.map_err(|error| error.to_string())?;
    if answer.status().is_success() { Ok(()) } else { Err(answer.status().to_string()) }
}
