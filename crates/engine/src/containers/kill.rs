//! `kill`, `pause`, `unpause`, `rename`: one request to the driver each.

use types::{Error, Result};

use super::state::Status;
use super::stop::ended_within;
use super::{Containers, Request, ask, name, signal};

impl Containers {
    /// Sends a signal by name or number; empty is KILL. For KILL, returns when it has ended.
    pub async fn kill(&self, name: &str, text: &str) -> Result<()> {
        let prefix = |error: Error| Error {
            message: format!("cannot kill container: {name}: {}", error.message),
            ..error
        };
        let number = if text.is_empty() { signal::KILL } else { signal::parse(text).map_err(prefix)? };
        let handle = self.find(name).map_err(prefix)?;
        let record = handle.record();
        if record.state.run().is_none() {
            return Err(prefix(crate::error::not_running(&record.id)));
        }
        let own = &record.config.stop_signal;
        let own = if own.is_empty() { signal::TERM } else { signal::parse(own).unwrap_or(signal::TERM) };
        let stops = number == signal::KILL || number == own;
        ask(&handle, |reply| Request::Signal { signal: number, stops, reply }).await.map_err(prefix)?;
        let thaws = record.config.stop_signal.is_empty() || number == own;
        if record.state.status() == Status::Paused && thaws && number != signal::KILL {
            // Docker lets it go on, so that it hears the signal. It may have ended or been thawed meanwhile.
            let _done = ask(&handle, |reply| Request::Unpause { reply }).await;
        }
        if number == signal::KILL {
            ended_within(&handle, Some(std::time::Duration::from_secs(10))).await;
        }
        Ok(())
    }

    /// Freezes it.
    pub async fn pause(&self, name: &str) -> Result<()> {
        ask(&self.find(name)?, |reply| Request::Pause { reply }).await
    }

    /// Thaws it.
    pub async fn unpause(&self, name: &str) -> Result<()> {
        ask(&self.find(name)?, |reply| Request::Unpause { reply }).await
    }

    /// Gives it another name.
    pub async fn rename(&self, old: &str, new: &str) -> Result<()> {
        if old.is_empty() || new.is_empty() {
            return Err(Error::invalid("Neither old nor new names may be empty"));
        }
        let handle = self.find(old)?;
        let prefix = |error: Error| Error {
            message: format!("Error when allocating new name: {}", error.message),
            ..error
        };
        let slash = if new.starts_with('/') { "" } else { "/" };
        let bare = name::check(new)
            .map_err(|error| match error.message.split_once(&format!("({new})")) {
                Some((before, after)) => Error { message: format!("{before}({slash}{new}){after}"), ..error },
                None => error,
            })
            .map_err(prefix)?;
        if handle.record().name == bare {
            return Err(Error::invalid("Renaming a container with the same name as its current name"));
        }
        self.0.table().reserve(bare, &handle.id).map_err(prefix)?;
        let renamed = ask(&handle, |reply| Request::Rename { name: bare.to_owned(), reply }).await;
        if renamed.is_err() {
            self.0.table().release(bare, &handle.id);
        }
        renamed
    }
}
