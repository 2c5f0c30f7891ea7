//! `stop`, `restart`: ask, wait, kill.

use std::time::Duration;

use types::{Error, Result};

use super::request::StopRequest;
use super::state::Status;
use super::table::Handle;
use super::{Containers, Request, ask, signal};

/// Docker's patience, in seconds.
const PATIENCE_S: i64 = 10;
/// How long a killed process may take to be gone.
const KILL_WAIT: Duration = Duration::from_secs(10);

impl Containers {
    /// Asks it to end, then kills it; returns when it has ended. `NotModified` when it does not run.
    pub async fn stop(&self, name: &str, request: StopRequest) -> Result<()> {
        let handle = self.find(name)?;
        self.stop_handle(&handle, &request, name).await
    }

    /// Stops (if it runs) and starts it.
    pub async fn restart(&self, name: &str, request: StopRequest) -> Result<()> {
        let handle = self.find(name)?;
        let prefix = |error: Error| match error.kind {
            types::ErrorKind::NotModified => error,
            _ => Error { message: format!("Cannot restart container {name}: {}", error.message), ..error },
        };
        // A container that removes itself when it ends must survive its restart.
        let again = ask(&handle, |reply| Request::KeepForRestart { keep: true, reply }).await;
        again.map_err(prefix)?;
        let stopped = self.stop_handle(&handle, &request, name).await;
        let started = match stopped {
            Err(error) if error.kind != types::ErrorKind::NotModified => Err(error),
            _ => ask(&handle, |reply| Request::Start { reply }).await,
        };
        let _ = ask(&handle, |reply| Request::KeepForRestart { keep: false, reply }).await;
        started.map_err(prefix)?;
        self.0.publish(&handle.record(), "restart", []);
        Ok(())
    }

    /// For a daemon that goes down: like a stop, but the policy may start it again next time.
    pub(crate) async fn stop_for_shutdown(&self, handle: &Handle) {
        let record = handle.record();
        let number = stop_signal(&record.config.stop_signal);
        let _ = ask(handle, |reply| Request::Signal { signal: number, stops: false, reply }).await;
        let patience =
            Duration::from_secs(u64::try_from(record.config.stop_timeout.unwrap_or(PATIENCE_S)).unwrap_or(0));
        if !ended_within(handle, Some(patience)).await {
            let _ = ask(handle, |reply| Request::Signal { signal: signal::KILL, stops: false, reply }).await;
            ended_within(handle, Some(KILL_WAIT)).await;
        }
    }

    async fn stop_handle(&self, handle: &Handle, request: &StopRequest, name: &str) -> Result<()> {
        let record = handle.record();
        match record.state.status() {
            Status::Running | Status::Paused => {}
            Status::Restarting => {
                ask(handle, |reply| Request::Stop { reply }).await?;
                self.0.publish(&handle.record(), "stop", []);
                return Ok(());
            }
            _ => return Err(Error::not_modified()),
        }
        let number = match request.signal.as_deref() {
            Some(text) if !text.is_empty() => signal::parse(text)?,
            _ => stop_signal(&record.config.stop_signal),
        };
        let seconds = request.timeout_s.or(record.config.stop_timeout).unwrap_or(PATIENCE_S);
        let patience = u64::try_from(seconds).ok().map(Duration::from_secs);
        let sent = ask(handle, |reply| Request::Signal { signal: number, stops: true, reply }).await;
        let ended = match sent {
            Ok(()) => ended_within(handle, patience).await,
            // It ended by itself just now.
            Err(_) if handle.record().state.run().is_none() => true,
            Err(_) => false,
        };
        if !ended {
            match ask(handle, |reply| Request::Signal { signal: signal::KILL, stops: true, reply }).await {
                Err(error) if handle.record().state.run().is_some() => return Err(error),
                _ => {}
            }
            if !ended_within(handle, Some(KILL_WAIT)).await {
                return Err(Error::internal(format!(
                    "cannot stop container: {name}: tried to kill container, but did not receive an exit event"
                )));
            }
        }
        self.0.publish(&handle.record(), "stop", []);
        Ok(())
    }
}

fn stop_signal(text: &str) -> i32 {
    if text.is_empty() { signal::TERM } else { signal::parse(text).unwrap_or(signal::TERM) }
}

/// Waits until it does not run; `None` waits for ever. Whether it ended.
pub(crate) async fn ended_within(handle: &Handle, patience: Option<Duration>) -> bool {
    let mut view = handle.view.clone();
    // A driver that is gone had its container removed.
    let end = async { drop(view.wait_for(|view| view.removed || view.record.state.run().is_none()).await) };
    match patience {
        None => {
            end.await;
            true
        }
        Some(patience) => tokio::time::timeout(patience, end).await.is_ok(),
    }
}
