//! Health checks: a command run in the container now and then (moby `daemon/health.go`).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use types::config::HealthConfig;

use super::driver::Request;
use super::record::Record;
use super::view::{Health, HealthResult};
use super::{Shared, exec};
use crate::Timestamp;

/// Docker's defaults.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;
/// Results that are kept.
const LOG_MAX: usize = 5;
/// Bytes of output that are kept.
const OUTPUT_MAX: usize = 4096;

/// Starts the checks of a container that has just been started. They end when the task is aborted.
pub(crate) fn begin(
    shared: &Arc<Shared>,
    record: &Record,
    driver: mpsc::Sender<Request>,
) -> (JoinHandle<()>, Health) {
    let first = Health { status: "starting".to_owned(), ..Health::default() };
    let checks = Checks {
        shared: shared.clone(),
        record: Arc::new(record.clone()),
        config: record.config.healthcheck.clone().unwrap_or_default(),
        health: first.clone(),
        // Weak: a check must not keep the driver of a removed container alive.
        driver: driver.downgrade(),
    };
    (tokio::spawn(checks.run()), first)
}

struct Checks {
    shared: Arc<Shared>,
    record: Arc<Record>,
    config: HealthConfig,
    health: Health,
    driver: mpsc::WeakSender<Request>,
}

impl Checks {
    async fn run(mut self) {
        let began = Timestamp::now();
        loop {
            let grace = self.in_grace(began);
            let pause = if grace && self.health.status == "starting" {
                or_default(self.config.start_interval, START_INTERVAL)
            } else {
                or_default(self.config.interval, INTERVAL)
            };
            tokio::time::sleep(pause).await;
            let result = self.check().await;
            let before = self.health.status.clone();
            let retries = u32::try_from(self.config.retries).ok().filter(|n| *n > 0).unwrap_or(RETRIES);
            self.health = next(&self.health, result, self.in_grace(began), retries);
            let Some(driver) = self.driver.upgrade() else { return };
            let changed = before != self.health.status;
            if driver.send(Request::Health { health: self.health.clone(), changed }).await.is_err() {
                return;
            }
        }
    }

    fn in_grace(&self, began: Timestamp) -> bool {
        Timestamp::now().0.saturating_sub(began.0) < self.config.start_period
    }

    async fn check(&self) -> HealthResult {
        let start = Timestamp::now();
        let limit = or_default(self.config.timeout, TIMEOUT);
        let mut written = Vec::new();
        let run = exec::capture(&self.shared, &self.record, self.command(), OUTPUT_MAX, &mut written);
        let ended = tokio::time::timeout(limit, run).await;
        let text = || String::from_utf8_lossy(&written).into_owned();
        let (exit_code, output) = match ended {
            Ok(Ok(0)) => (0, text()),
            Ok(Ok(_)) => (1, text()),
            Ok(Err(error)) => (-1, error.message),
            Err(_) if written.is_empty() => (-1, format!("Health check exceeded timeout ({limit:?})")),
            Err(_) => (-1, format!("Health check exceeded timeout ({limit:?}): {}", text())),
        };
        HealthResult { start: start.rfc3339(), end: Timestamp::now().rfc3339(), exit_code, output }
    }

    fn command(&self) -> Vec<String> {
        let test = self.config.test.as_deref().unwrap_or_default();
        match test.split_first() {
            Some((kind, script)) if kind == "CMD-SHELL" => {
                let shell = self.record.config.shell.clone().filter(|shell| !shell.is_empty());
                let mut words = shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
                words.extend(script.iter().cloned());
                words
            }
            Some((_, words)) => words.to_vec(),
            None => Vec::new(),
        }
    }
}

fn or_default(nanos: i64, default: Duration) -> Duration {
    u64::try_from(nanos).ok().filter(|n| *n > 0).map_or(default, Duration::from_nanos)
}

/// What one more result makes of it. Pure.
fn next(health: &Health, result: HealthResult, grace: bool, retries: u32) -> Health {
    let mut health = health.clone();
    if result.exit_code == 0 {
        health.failing_streak = 0;
        health.status = "healthy".to_owned();
    } else if !(grace && health.status == "starting") {
        health.failing_streak += 1;
        if health.failing_streak >= retries {
            health.status = "unhealthy".to_owned();
        }
    }
    health.log.push(result);
    let over = health.log.len().saturating_sub(LOG_MAX);
    health.log.drain(..over);
    health
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_after_the_grace_period() {
        let result = |exit_code| HealthResult { exit_code, ..HealthResult::default() };
        let mut health = Health { status: "starting".to_owned(), ..Health::default() };
        for (code, grace, status, streak) in [
            (1, true, "starting", 0),
            (1, false, "starting", 1),
            (-1, false, "unhealthy", 2),
            (0, false, "healthy", 0),
            (1, true, "healthy", 1),
            (1, false, "unhealthy", 2),
            (0, false, "healthy", 0),
        ] {
            health = next(&health, result(code), grace, 2);
            assert_eq!((health.status.as_str(), health.failing_streak), (status, streak), "after {code}");
        }
        assert_eq!(health.log.len(), LOG_MAX);
    }
}
