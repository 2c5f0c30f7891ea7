//! The access log: lines collected in memory and written together, so that a request never waits for a terminal.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// Unwritten lines beyond this are dropped and counted.
const BUFFER_MAX: usize = 4 << 20;
const FLUSH_EVERY: Duration = Duration::from_millis(250);

#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    dropped: u64,
}

/// Where lines go on their way out.
#[derive(Clone, Default)]
pub(crate) struct Lines {
    buffer: Arc<Mutex<Buffer>>,
    news: Arc<Notify>,
}

impl Lines {
    /// Adds a line.
    pub(crate) fn push(&self, line: &str) {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.bytes.len() + line.len() > BUFFER_MAX {
            buffer.dropped += 1;
            return;
        }
        let was_empty = buffer.bytes.is_empty();
        buffer.bytes.extend_from_slice(line.as_bytes());
        buffer.bytes.push(b'\n');
        if was_empty {
            self.news.notify_one();
        }
    }

    /// Writes what is there.
    pub(crate) fn flush(&self, out: &mut dyn Write) {
        let (bytes, dropped) = {
            let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
            (std::mem::take(&mut buffer.bytes), std::mem::take(&mut buffer.dropped))
        };
        // Nobody listens: the registry goes on.
        let _nobody = out.write_all(&bytes).and_then(|()| out.flush());
        if dropped > 0 {
            tracing::warn!(dropped, "lines of the access log were dropped: its reader is too slow");
        }
    }

    /// Writes whenever there is something, for as long as the process lives.
    pub(crate) async fn run(self) {
        loop {
            self.news.notified().await;
            tokio::time::sleep(FLUSH_EVERY).await;
            let lines = self.clone();
            let written = tokio::task::spawn_blocking(move || lines.flush(&mut std::io::stdout())).await;
            if written.is_err() {
                return;
            }
        }
    }
}
