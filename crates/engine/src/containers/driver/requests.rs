//! What a driver does when it is asked, besides starting.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use supervisor::Attach;
use tokio::net::UnixStream;
use types::{Error, Result};

use super::{Driver, into_tokio, is_restarting};
use crate::blocking;
use crate::containers::request::{RemoveRequest, UpdateRequest};
use crate::containers::state::{Change, Status};
use crate::containers::table::View;
use crate::containers::{client_error, remove, signal, start, update};

/// Attachments waiting for one container's start.
const PENDING_MAX: usize = 64;
/// How long a forced removal waits for a killed container.
const KILL_WAIT: Duration = Duration::from_secs(10);

impl Driver {
    pub(super) async fn signal(&mut self, number: i32, stops: bool) -> Result<()> {
        if self.record.state.status() == Status::Restarting && stops {
            return self.stay_stopped().await;
        }
        start::must_run(&self.record)?;
        let (shared, id) = (self.shared.clone(), self.record.id.clone());
        let thaw = stops && self.record.state.status() == Status::Paused;
        blocking(move || {
            let client = shared.client(&id);
            // A frozen process takes no signal before it is thawed.
            let sent =
                client.signal(number, false).and_then(|()| if thaw { client.resume() } else { Ok(()) });
            match sent {
                // It has just ended; the driver is about to learn it.
                Err(supervisor::ClientError::NotRunning) if stops => Ok(()),
                other => other.map_err(|error| client_error(error, &id)),
            }
        })
        .await?;
        if thaw {
            self.change(&Change::Unpaused)?;
        }
        if thaw || (stops && !self.record.stopped_by_user) {
            self.record.stopped_by_user = true;
            self.keep_done("stopped").await;
        }
        self.shared.publish(&self.record, "kill", [("signal", number.to_string())]);
        Ok(())
    }

    /// Calls off a restart that is waiting.
    pub(super) async fn stay_stopped(&mut self) -> Result<()> {
        self.record.stopped_by_user = true;
        if self.record.state.status() == Status::Restarting {
            self.restart_at = None;
            self.change(&Change::RestartCancelled)?;
            self.ends += 1;
        }
        self.keep().await
    }

    pub(super) async fn pause(&mut self) -> Result<()> {
        match self.record.state.status() {
            Status::Paused => {
                return Err(Error::conflict(format!("Container {} is already paused", self.record.id)));
            }
            Status::Restarting => return Err(is_restarting(&self.record)),
            _ => start::must_run(&self.record)?,
        };
        self.freeze(true).await?;
        self.change(&Change::Paused)?;
        self.keep_done("paused").await;
        self.shared.publish(&self.record, "pause", []);
        Ok(())
    }

    pub(super) async fn unpause(&mut self) -> Result<()> {
        if self.record.state.status() != Status::Paused {
            return Err(Error::internal(format!("Container {} is not paused", self.record.id)));
        }
        self.freeze(false).await?;
        self.change(&Change::Unpaused)?;
        self.keep_done("unpaused").await;
        self.shared.publish(&self.record, "unpause", []);
        Ok(())
    }

    /// Keeps the record of what has been done to the process already. A full disk does not make that undone: the next
    /// daemon asks the supervisor.
    async fn keep_done(&mut self, what: &str) {
        if let Err(error) = self.keep().await {
            tracing::error!(id = %self.record.id, %error, "cannot record that a container was {what}");
            self.show();
        }
    }

    async fn freeze(&self, frozen: bool) -> Result<()> {
        let (shared, id) = (self.shared.clone(), self.record.id.clone());
        blocking(move || {
            let client = shared.client(&id);
            let done = if frozen { client.pause() } else { client.resume() };
            done.map_err(|error| client_error(error, &id))
        })
        .await
    }

    pub(super) async fn rename(&mut self, name: String) -> Result<()> {
        let old = std::mem::replace(&mut self.record.name, name);
        if let Err(error) = self.keep().await {
            self.record.name = old;
            return Err(error);
        }
        self.shared.table().release(&old, &self.record.id);
        self.renamed().await;
        self.shared.publish(&self.record, "rename", [("oldName", format!("/{old}"))]);
        Ok(())
    }

    pub(super) async fn update(&mut self, request: UpdateRequest) -> Result<Vec<String>> {
        let mut changed = self.record.clone();
        let warnings = update::apply(&mut changed, &request, &self.shared.host.validate)?;
        let (shared, record) = (self.shared.clone(), changed.clone());
        blocking(move || {
            if record.state.run().is_some() {
                update::perform(&shared, &record)?;
            }
            shared.keep(&record)
        })
        .await?;
        self.record = changed;
        self.show();
        self.shared.publish(&self.record, "update", []);
        Ok(warnings)
    }

    pub(super) async fn attach(&mut self, attach: Attach) -> Result<UnixStream> {
        match self.record.state.status() {
            Status::Removing | Status::Dead => {
                return Err(Error::conflict("container is marked for removal and cannot be attached to"));
            }
            Status::Running | Status::Paused => {
                let (shared, id) = (self.shared.clone(), self.record.id.clone());
                let wanted = attach.clone();
                let found = blocking(move || match shared.client(&id).attach(&wanted) {
                    Ok(stream) => Ok(Some(stream)),
                    // It is about to be known as ended: wait for the next start, like everybody else.
                    Err(supervisor::ClientError::NotRunning) => Ok(None),
                    Err(error) => Err(client_error(error, &id)),
                });
                if let Some(stream) = found.await? {
                    return into_tokio(stream);
                }
            }
            Status::Created | Status::Exited | Status::Restarting => {}
        }
        // Those who have hung up make room.
        self.pending.retain(|(_, end)| !hung_up(end));
        if self.pending.len() >= PENDING_MAX {
            return Err(Error::unavailable("too many attachments are waiting for this container"));
        }
        let (mine, theirs) =
            StdUnixStream::pair().map_err(|e| Error::internal(format!("socketpair: {e}")))?;
        self.pending.push((attach, mine.into()));
        into_tokio(theirs)
    }

    pub(super) async fn remove(&mut self, request: RemoveRequest) -> Result<()> {
        let record = &self.record;
        match record.state.status() {
            Status::Running | Status::Paused | Status::Restarting if !request.force => {
                let (name, state) = (&record.name, record.state.status());
                let advice = if state == Status::Paused {
                    " and must be unpaused first"
                } else {
                    ": stop the container before removing or force remove"
                };
                return Err(Error::conflict(format!(
                    "cannot remove container {name:?}: container is {state}{advice}"
                )));
            }
            Status::Restarting => self.stay_stopped().await?,
            Status::Running | Status::Paused => {
                self.signal(signal::KILL, true).await?;
                if let Some(end) = &mut self.end {
                    let exit = tokio::time::timeout(KILL_WAIT, end).await.map_err(|_| {
                        let name = &self.record.name;
                        Error::internal(format!(
                            "cannot remove container {name:?}: could not kill container: it does not end"
                        ))
                    })?;
                    self.end = None;
                    self.ended(exit.ok().flatten()).await;
                }
            }
            _ => {}
        }
        if self.view.borrow().removed || self.remove_now(request.volumes).await {
            return Ok(());
        }
        let id = &self.record.id;
        Err(Error::internal(format!("unable to remove filesystem for {id}: see the daemon's log")))
    }

    /// Removes it and all it has; whether that worked. It does not run.
    pub(super) async fn remove_now(&mut self, volumes: bool) -> bool {
        self.stop_checks();
        self.restart_at = None;
        self.pending.clear();
        if self.record.state.status() != Status::Removing && self.change(&Change::Removing).is_err() {
            return false;
        }
        let (shared, mut record) = (self.shared.clone(), self.record.clone());
        if !volumes {
            // On record, so that a removal which the next daemon finishes spares them too.
            record.mounts.iter_mut().for_each(|mount| mount.anonymous = false);
        }
        let done = blocking(move || remove::from_disk(&shared, &record)).await;
        if let Err(error) = done {
            tracing::error!(id = %self.record.id, %error, "cannot remove a container");
            let _ = self.change(&Change::RemoveFailed);
            let _ = self.keep().await;
            return false;
        }
        self.shared.execs.forget(&self.record.id);
        self.shared.table().remove(&self.record.id, &self.record.name);
        self.view.send_replace(View {
            record: std::sync::Arc::new(self.record.clone()),
            ends: self.ends,
            health: None,
            removed: true,
        });
        self.shared.publish(&self.record, "destroy", []);
        true
    }
}

/// Whether the other end is closed.
fn hung_up(end: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut fds = [PollFd::new(end, PollFlags::empty())];
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok_and(|n| n > 0) && fds[0].revents().contains(PollFlags::HUP)
}
