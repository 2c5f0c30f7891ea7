//! One task per container owns every change of it: requests come in one by one, so no change meets another.
//!
//! Nothing here waits long: a stop's patience, a wait, a log are outside. What blocks runs on a blocking thread, and
//! the driver waits for it.

mod networks;
mod requests;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use supervisor::{Attach, ExitRecord};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use types::config::EndpointRequest;
use types::{Error, Result};

use super::record::Record;
use super::request::{RemoveRequest, UpdateRequest};
use super::start::{End, Failed, Started, end_of};
use super::state::{Change, Exit, State, Status};
use super::table::{Handle, View};
use super::view::Health;
use super::{Shared, files, health, network, restart, start};
use crate::{Timestamp, blocking};

/// Requests waiting for one container; more wait at the sender.
const QUEUE: usize = 32;

type Reply<T> = oneshot::Sender<Result<T>>;

/// What a driver is asked.
#[derive(Debug)]
pub(crate) enum Request {
    /// By the user.
    Start {
        reply: Reply<()>,
    },
    /// By the daemon after a restart of its own.
    StartByPolicy,
    /// Send a signal; `stops` when the user wants it to end.
    Signal {
        signal: i32,
        stops: bool,
        reply: Reply<()>,
    },
    /// The user wants it to stay stopped: call off a waiting restart.
    Stop {
        reply: Reply<()>,
    },
    /// While the user restarts it, its end does not remove it.
    KeepForRestart {
        keep: bool,
        reply: Reply<()>,
    },
    Pause {
        reply: Reply<()>,
    },
    Unpause {
        reply: Reply<()>,
    },
    Rename {
        name: String,
        reply: Reply<()>,
    },
    Update {
        request: Box<UpdateRequest>,
        reply: Reply<Vec<String>>,
    },
    /// Attach: to what runs (answers the stream), or to what will run.
    Attach {
        attach: Attach,
        reply: Reply<UnixStream>,
    },
    Remove {
        request: RemoveRequest,
        reply: Reply<()>,
    },
    /// `network connect`.
    Connect {
        network: String,
        want: Box<EndpointRequest>,
        reply: Reply<()>,
    },
    /// `network disconnect`.
    Disconnect {
        network: String,
        force: bool,
        reply: Reply<()>,
    },
    /// A check has a result.
    Health {
        health: Health,
        changed: bool,
    },
}

/// Starts the driver of a recorded container whose name is reserved.
pub(crate) fn launch(shared: &Arc<Shared>, record: Record) -> Handle {
    launch_with(shared, record, None)
}

/// The same for a container that was found running, with what tells of its end.
pub(crate) fn launch_with(shared: &Arc<Shared>, record: Record, end: Option<End>) -> Handle {
    let (requests, queue) = mpsc::channel(QUEUE);
    let view = View { record: Arc::new(record.clone()), ends: 0, health: None, removed: false };
    let (publisher, view) = watch::channel(view);
    let files = Arc::new(RwLock::new(()));
    let handle = Handle { id: record.id.clone(), requests: requests.clone(), view, files: files.clone() };
    let mut driver = Driver {
        shared: shared.clone(),
        record,
        view: publisher,
        me: requests.downgrade(),
        ends: 0,
        health: None,
        checks: None,
        pending: Vec::new(),
        end: None,
        restart_at: None,
        waited: None,
        keeps: false,
        files,
    };
    if let Some(end) = end {
        driver.running(end);
        driver.show();
    }
    shared.table().insert(handle.clone());
    tokio::spawn(driver.run(queue));
    handle
}

struct Driver {
    shared: Arc<Shared>,
    record: Record,
    view: watch::Sender<View>,
    /// Weak: a driver must not keep its own queue open.
    me: mpsc::WeakSender<Request>,
    ends: u64,
    health: Option<Health>,
    /// The task that checks its health.
    checks: Option<JoinHandle<()>>,
    /// Attachments that wait for the next start: what they want, and the driver's end of their stream.
    pending: Vec<(Attach, OwnedFd)>,
    /// Gives the exit record when it has ended.
    end: Option<JoinHandle<Option<ExitRecord>>>,
    /// When the policy starts it again.
    restart_at: Option<Instant>,
    /// The last waiting time.
    waited: Option<Duration>,
    /// Its end does not remove it, whatever `--rm` says.
    keeps: bool,
    /// See [`Handle::files`].
    files: Arc<RwLock<()>>,
}

enum Event {
    Asked(Request),
    Ended(Option<ExitRecord>),
    RestartDue,
    Closed,
}

impl Driver {
    async fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        loop {
            match self.next_event(&mut queue).await {
                Event::Asked(request) => self.answer(request).await,
                Event::Ended(exit) => self.ended(exit).await,
                Event::RestartDue => self.restart().await,
                Event::Closed => return,
            }
            if self.view.borrow().removed {
                return;
            }
        }
    }

    async fn next_event(&mut self, queue: &mut mpsc::Receiver<Request>) -> Event {
        let due = self.restart_at;
        tokio::select! {
            biased;
            exit = wait_for(&mut self.end), if self.end.is_some() => {
                self.end = None;
                Event::Ended(exit)
            }
            request = queue.recv() => request.map_or(Event::Closed, Event::Asked),
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                self.restart_at = None;
                Event::RestartDue
            }
        }
    }

    // A caller that has gone away does not want its answer: sends are not checked.
    async fn answer(&mut self, request: Request) {
        match request {
            Request::Start { reply } => drop(reply.send(self.start_by_user().await)),
            Request::StartByPolicy => self.restart().await,
            Request::Signal { signal, stops, reply } => drop(reply.send(self.signal(signal, stops).await)),
            Request::Stop { reply } => drop(reply.send(self.stay_stopped().await)),
            Request::KeepForRestart { keep, reply } => {
                self.keeps = keep;
                drop(reply.send(Ok(())));
            }
            Request::Pause { reply } => drop(reply.send(self.pause().await)),
            Request::Unpause { reply } => drop(reply.send(self.unpause().await)),
            Request::Rename { name, reply } => drop(reply.send(self.rename(name).await)),
            Request::Update { request, reply } => drop(reply.send(self.update(*request).await)),
            Request::Attach { attach, reply } => drop(reply.send(self.attach(attach).await)),
            Request::Remove { request, reply } => drop(reply.send(self.remove(request).await)),
            Request::Connect { network, want, reply } => {
                drop(reply.send(self.connect(network, *want).await));
            }
            Request::Disconnect { network, force, reply } => {
                drop(reply.send(self.disconnect(network, force).await));
            }
            Request::Health { health, changed } => self.set_health(health, changed),
        }
    }

    /// Shows readers what is so now.
    fn show(&self) {
        self.view.send_replace(View {
            record: Arc::new(self.record.clone()),
            ends: self.ends,
            health: self.health.clone(),
            removed: false,
        });
    }

    /// Keeps the record on disk, then shows it.
    async fn keep(&mut self) -> Result<()> {
        let (shared, record) = (self.shared.clone(), self.record.clone());
        blocking(move || shared.keep(&record)).await?;
        self.show();
        Ok(())
    }

    fn change(&mut self, change: &Change) -> Result<()> {
        self.record.state =
            self.record.state.next(change).map_err(|refusal| Error::conflict(refusal.to_string()))?;
        Ok(())
    }

    async fn start_by_user(&mut self) -> Result<()> {
        match self.record.state.status() {
            Status::Running => return Err(Error::not_modified()),
            Status::Paused => {
                return Err(Error::conflict("cannot start a paused container, try unpause instead"));
            }
            Status::Removing | Status::Dead => {
                return Err(Error::conflict("container is marked for removal and cannot be started"));
            }
            Status::Created | Status::Exited | Status::Restarting => {}
        }
        self.restart_at = None;
        self.waited = None;
        self.record.restart_count = 0;
        self.record.stopped_by_user = false;
        let started = self.start().await;
        if started.is_err() && self.record.host_config.auto_remove && !self.keeps {
            self.remove_now(true).await;
        }
        started
    }

    async fn start(&mut self) -> Result<()> {
        let attach = std::mem::take(&mut self.pending);
        let (shared, mut record, files) = (self.shared.clone(), self.record.clone(), self.files.clone());
        let done = blocking(move || {
            // Nothing but `()` is behind the lock, so one that is poisoned is as good.
            let _alone = files.write().unwrap_or_else(PoisonError::into_inner);
            let before = match &record.state {
                State::Created(exit) | State::Exited(exit) | State::Restarting(exit) => exit.clone(),
                _ => Exit::default(),
            };
            record.was_started = true;
            match start::start(&shared, &record, attach) {
                Ok(Started { run, attached, end }) => {
                    record.state = record
                        .state
                        .next(&Change::Started(run))
                        .map_err(|e| Error::conflict(e.to_string()))?;
                    record.attached = attached;
                    if let Err(error) = shared.keep(&record) {
                        // What is not on record must not run: the user is told that it did not start.
                        start::undo(&shared, &record, end);
                        return Err(error);
                    }
                    Ok((record, Ok(end)))
                }
                Err(Failed { code, error }) => {
                    let exit = Exit { code, error: error.message.clone(), ..before };
                    if let Ok(state) = record.state.next(&Change::StartFailed(exit)) {
                        record.state = state;
                    }
                    if let Err(unkept) = shared.keep(&record) {
                        tracing::warn!(id = %record.id, error = %unkept, "cannot record why a container did not start");
                    }
                    Ok((record, Err(error)))
                }
            }
        })
        .await;
        let (record, outcome) = done?;
        self.record = record;
        let outcome = outcome.map(|end| self.running(end));
        self.show();
        if outcome.is_ok() {
            self.tell_volumes("mount");
            self.tell_networks("connect", &self.record.attached);
            self.shared.publish(&self.record, "start", []);
        }
        outcome
    }

    /// Everybody who must know that it runs.
    fn running(&mut self, end: End) {
        self.shared.images.set_running(&self.record.id, self.record.image_id.as_ref());
        self.shared.networks.set_members(&self.record.id, network::members_of(&self.record));
        self.watch_end(end);
        self.begin_checks();
    }

    fn watch_end(&mut self, end: End) {
        let (shared, id) = (self.shared.clone(), self.record.id.clone());
        self.end = Some(tokio::spawn(async move {
            match end {
                End::Here(record) => Some(record),
                End::Ahead(stream) => match read_end(&shared, &id, stream).await {
                    Some(record) => Some(record),
                    // The supervisor died: ask what it left, once.
                    None => match blocking(move || Ok(end_of(&shared, &id))).await {
                        Ok(End::Here(record)) => Some(record),
                        _ => None,
                    },
                },
            }
        }));
    }

    fn begin_checks(&mut self) {
        self.stop_checks();
        if self.record.has_health_check()
            && let Some(me) = self.me.upgrade()
        {
            let (task, first) = health::begin(&self.shared, &self.record, me);
            self.health = Some(first);
            self.checks = Some(task);
        }
    }

    fn stop_checks(&mut self) {
        if let Some(task) = self.checks.take() {
            task.abort();
        }
    }

    fn set_health(&mut self, health: Health, changed: bool) {
        if self.record.state.run().is_none() {
            return;
        }
        let status = health.status.clone();
        self.health = Some(health);
        self.show();
        if changed {
            self.shared.publish(&self.record, &format!("health_status: {status}"), []);
        }
    }

    /// Its process has ended.
    async fn ended(&mut self, exit: Option<ExitRecord>) {
        let Some(run) = self.record.state.run().cloned() else { return };
        self.stop_checks();
        let exit = exit.unwrap_or(ExitRecord { exit_code: 255, ..ExitRecord::default() });
        let finished = Timestamp::from_rfc3339(&exit.finished_at).unwrap_or_else(Timestamp::now);
        let ran = Duration::from_nanos(u64::try_from(finished.0 - run.started.0).unwrap_or(0));
        let wait = restart::next_start(
            &self.record.host_config.restart_policy,
            restart::Ended {
                code: exit.exit_code,
                restarts: self.record.restart_count,
                stopped_by_user: self.record.stopped_by_user || self.shared.is_closing(),
                ran,
                waited: self.waited,
            },
        );
        let exit = Exit {
            code: exit.exit_code,
            oom_killed: exit.oom_killed,
            error: String::new(),
            started: Some(run.started),
            finished: Some(finished),
        };
        let oom = exit.oom_killed;
        if let Err(error) = self.change(&Change::Ended { exit: exit.clone(), restart: wait.is_some() }) {
            tracing::error!(id = %self.record.id, %error, "an end that cannot be");
            return;
        }
        let attached = std::mem::take(&mut self.record.attached);
        // What has ended is not healthy; its last checks can still be read.
        if let Some(health) = &mut self.health {
            "unhealthy".clone_into(&mut health.status);
        }
        if let Some(wait) = wait {
            self.record.restart_count += 1;
            self.restart_at = Some(Instant::now() + wait);
            self.waited = Some(wait);
        }
        self.ends += 1;
        let kept = self.keep().await;
        if let Err(error) = &kept {
            // The disk may be full. The end is true all the same; exit.json says so after a restart.
            tracing::error!(id = %self.record.id, %error, "cannot record how a container ended");
            self.show();
        }
        self.shared.images.set_running(&self.record.id, None);
        self.shared.networks.set_members(&self.record.id, Vec::new());
        self.shared.execs.container_ended(&self.record.id);
        if oom {
            self.shared.publish(&self.record, "oom", []);
        }
        // In Docker's order.
        self.tell_networks("disconnect", &attached);
        self.tell_volumes("unmount");
        let seconds = ran.as_secs().to_string();
        self.shared.publish(
            &self.record,
            "die",
            [("execDuration", seconds), ("exitCode", exit.code.to_string())],
        );
        self.let_go(attached, kept.is_ok()).await;
        if self.record.host_config.auto_remove && self.restart_at.is_none() && !self.keeps {
            self.remove_now(true).await;
        }
    }

    /// Gives back what only a running container has. Off the path of those who wait for the end.
    async fn let_go(&self, attached: Vec<::network::Endpoint>, kept: bool) {
        let (shared, id) = (self.shared.clone(), self.record.id.clone());
        let done = blocking(move || {
            network::leave(&shared, &id, &attached);
            shared.volumes.detach_all(id.as_str());
            // Only exit.json knows of an end that is not on record.
            if kept { files::remove_dir(&shared.run_dir(&id)) } else { Ok(()) }
        });
        if let Err(error) = done.await {
            tracing::warn!(id = %self.record.id, %error, "cannot tidy up behind a container");
        }
    }

    async fn restart(&mut self) {
        if self.shared.is_closing() || self.record.state.run().is_some() {
            return;
        }
        if let Err(error) = self.start().await {
            tracing::warn!(id = %self.record.id, %error, "cannot restart a container");
        }
    }
}

/// Docker's words for an operation that needs a container that is not about to restart.
pub(crate) fn is_restarting(record: &Record) -> Error {
    Error::conflict(format!("Container {} is restarting, wait until the container is running", record.id))
}

async fn wait_for(end: &mut Option<JoinHandle<Option<ExitRecord>>>) -> Option<ExitRecord> {
    match end {
        Some(task) => task.await.ok().flatten(),
        None => std::future::pending().await,
    }
}

/// Reads a supervisor's answer to the question for the end; `None` when it was cut off.
async fn read_end(shared: &Shared, id: &types::ContainerId, stream: StdUnixStream) -> Option<ExitRecord> {
    let mut stream = into_tokio(stream).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.ok()?;
    supervisor::Waiting::parse(&shared.run_dir(id), &bytes).ok()
}

/// For splicing.
pub(crate) fn into_tokio(stream: StdUnixStream) -> Result<UnixStream> {
    let nonblocking = || -> std::io::Result<UnixStream> {
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    };
    nonblocking().map_err(|e| Error::internal(format!("stream of a container: {e}")))
}
