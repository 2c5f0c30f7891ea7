//! Counters in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the histogram, in seconds.
const BOUNDS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0];

#[derive(Default)]
struct Route {
    by_status: BTreeMap<(&'static str, u16), u64>,
    buckets: [u64; BOUNDS.len()],
    seconds: f64,
    count: u64,
}

/// All counters.
#[derive(Default)]
pub(crate) struct Metrics {
    routes: Mutex<BTreeMap<&'static str, Route>>,
    pub(crate) connections: AtomicI64,
    pub(crate) in_flight: AtomicI64,
    pub(crate) uploaded_bytes: AtomicU64,
    pub(crate) upstream_fetches: AtomicU64,
    pub(crate) upstream_bytes: AtomicU64,
    pub(crate) limited: AtomicU64,
    pub(crate) collected_blobs: AtomicU64,
    pub(crate) collected_bytes: AtomicU64,
    pub(crate) notifications_sent: AtomicU64,
    pub(crate) notifications_dropped: AtomicU64,
}

impl Metrics {
    /// Counts an answer; `time` is until its headers.
    pub(crate) fn answered(&self, route: &'static str, method: &'static str, status: u16, time: Duration) {
        let seconds = time.as_secs_f64();
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let route = routes.entry(route).or_default();
        *route.by_status.entry((method, status)).or_default() += 1;
        route.count += 1;
        route.seconds += seconds;
        for (bucket, bound) in route.buckets.iter_mut().zip(BOUNDS) {
            *bucket += u64::from(seconds <= bound);
        }
    }

    /// What `/metrics` answers.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _infallible = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        {
            let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
            writeln!(text, "# TYPE registry_http_requests_total counter")?;
            for (name, route) in routes.iter() {
                for ((method, status), count) in &route.by_status {
                    let labels = format!("handler=\"{name}\",method=\"{method}\",code=\"{status}\"");
                    writeln!(text, "registry_http_requests_total{{{labels}}} {count}")?;
                }
            }
            writeln!(text, "# TYPE registry_http_request_duration_seconds histogram")?;
            for (name, route) in routes.iter() {
                let metric = "registry_http_request_duration_seconds";
                for (bucket, bound) in route.buckets.iter().zip(BOUNDS) {
                    writeln!(text, "{metric}_bucket{{handler=\"{name}\",le=\"{bound}\"}} {bucket}")?;
                }
                writeln!(text, "{metric}_bucket{{handler=\"{name}\",le=\"+Inf\"}} {}", route.count)?;
                writeln!(text, "{metric}_sum{{handler=\"{name}\"}} {}", route.seconds)?;
                writeln!(text, "{metric}_count{{handler=\"{name}\"}} {}", route.count)?;
            }
        }
        for (name, gauge) in [
            ("registry_connections", &self.connections),
            ("registry_http_in_flight_requests", &self.in_flight),
        ] {
            writeln!(text, "# TYPE {name} gauge\n{name} {}", gauge.load(Ordering::Relaxed))?;
        }
        for (name, counter) in [
            ("registry_uploaded_bytes_total", &self.uploaded_bytes),
            ("registry_upstream_fetches_total", &self.upstream_fetches),
            ("registry_upstream_bytes_total", &self.upstream_bytes),
            ("registry_rate_limited_total", &self.limited),
            ("registry_collected_blobs_total", &self.collected_blobs),
            ("registry_collected_bytes_total", &self.collected_bytes),
            ("registry_notifications_sent_total", &self.notifications_sent),
            ("registry_notifications_dropped_total", &self.notifications_dropped),
        ] {
            writeln!(text, "# TYPE {name} counter\n{name} {}", counter.load(Ordering::Relaxed))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_in_the_text_format() {
        let metrics = Metrics::default();
        metrics.answered("blob", "GET", 200, Duration::from_millis(3));
        let text = metrics.text();
        for line in [
            "registry_http_requests_total{handler=\"blob\",method=\"GET\",code=\"200\"} 1",
            "registry_http_request_duration_seconds_bucket{handler=\"blob\",le=\"0.001\"} 0",
            "registry_http_request_duration_seconds_bucket{handler=\"blob\",le=\"0.005\"} 1",
            "registry_connections 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
