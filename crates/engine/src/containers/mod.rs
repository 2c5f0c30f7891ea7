//! Containers: from `create` to `remove`.
//!
//! A *container* is a record in the store. While it lives in this process, one *driver* task owns every change of its
//! state and takes requests from a bounded queue; readers look at a `watch` snapshot and never wait. The process itself
//! belongs to a *supervisor* (another process), which goes on when this daemon dies.

pub mod request;
pub mod state;
pub mod view;

use std::sync::Arc;

use types::{ExecId, Result};

use crate::Filters;
use crate::error::later;
use request::{
    AttachRequest, CreateRequest, ExecCreateRequest, ExecStartRequest, ListRequest, LogsRequest, RemoveRequest, StopRequest,
    UpdateRequest, WaitCondition,
};
use view::{
    Attached, Change, ContainerDetails, ContainerListing, Created, ExecDetails, LogStream, Pruned, StatsSample, Top, WaitAnswer,
};

/// All containers of this daemon. A cheap handle. Wherever a method takes `name`, Docker's rule holds: a full id, a name
/// (with or without leading slash), or an unambiguous prefix of an id.
#[derive(Debug, Clone)]
pub struct Containers(Arc<Shared>);

#[derive(Debug)]
struct Shared {}

/// A registered wait: what happens after [`Containers::wait`] returned is not missed.
#[derive(Debug)]
pub struct Waiting {}

impl Waiting {
    /// The answer, once the condition holds. Cancel safe in that dropping it ends the wait.
    pub async fn done(self) -> Result<WaitAnswer> {
        Err(later("wait"))
    }
}

/// A running series of measurements; dropping it ends it.
#[derive(Debug)]
pub struct StatsStream {}

impl StatsStream {
    /// The next measurement (about one a second); `None` when the container is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<StatsSample> {
        None
    }
}

impl Containers {
    /// Checks, fills in, prepares and records a new container. 404 `No such image` when the image is not here.
    pub async fn create(&self, _request: CreateRequest) -> Result<Created> {
        Err(later("create"))
    }
    /// Starts it; returns when the user's process has been executed. `NotModified` when it runs already.
    pub async fn start(&self, _name: &str) -> Result<()> {
        Err(later("start"))
    }
    /// Asks it to end, then kills it; returns when it has ended. `NotModified` when it does not run.
    pub async fn stop(&self, _name: &str, _request: StopRequest) -> Result<()> {
        Err(later("stop"))
    }
    /// Stops (if it runs) and starts it.
    pub async fn restart(&self, _name: &str, _request: StopRequest) -> Result<()> {
        Err(later("restart"))
    }
    /// Sends a signal by name or number; empty is KILL. For KILL, returns when it has ended.
    pub async fn kill(&self, _name: &str, _signal: &str) -> Result<()> {
        Err(later("kill"))
    }
    /// Freezes it.
    pub async fn pause(&self, _name: &str) -> Result<()> {
        Err(later("pause"))
    }
    /// Thaws it.
    pub async fn unpause(&self, _name: &str) -> Result<()> {
        Err(later("unpause"))
    }
    /// Gives it another name.
    pub async fn rename(&self, _name: &str, _new_name: &str) -> Result<()> {
        Err(later("rename"))
    }
    /// Removes it and all it has.
    pub async fn remove(&self, _name: &str, _request: RemoveRequest) -> Result<()> {
        Err(later("remove"))
    }
    /// Registers a wait at once; the answer comes from [`Waiting::done`]. A door sends its headers in between.
    pub async fn wait(&self, _name: &str, _condition: WaitCondition) -> Result<Waiting> {
        Err(later("wait"))
    }
    /// Attaches to its stdio. When it does not run, the stream is quiet until it is started.
    pub async fn attach(&self, _name: &str, _request: AttachRequest) -> Result<Attached> {
        Err(later("attach"))
    }
    /// Reads its log.
    pub async fn logs(&self, _name: &str, _request: LogsRequest) -> Result<LogStream> {
        Err(later("logs"))
    }
    /// Measures it: once (`stream` false; `one_shot` leaves out the second measurement that makes CPU usage computable)
    /// or again and again. A stopped container gives one empty sample (then, when streaming, one a second).
    pub async fn stats(&self, _name: &str, _stream: bool, _one_shot: bool) -> Result<StatsStream> {
        Err(later("stats"))
    }
    /// Its processes, in the columns of `ps` with these arguments (empty is `-ef`).
    pub async fn top(&self, _name: &str, _ps_args: &str) -> Result<Top> {
        Err(later("top"))
    }
    /// Changes limits and restart policy; answers warnings.
    pub async fn update(&self, _name: &str, _request: UpdateRequest) -> Result<Vec<String>> {
        Err(later("update"))
    }
    /// What differs from the image, by path. Docker's body is `null` when empty.
    pub async fn changes(&self, _name: &str) -> Result<Vec<Change>> {
        Err(later("changes"))
    }
    /// Sets the size of its terminal.
    pub async fn resize(&self, _name: &str, _height: u16, _width: u16) -> Result<()> {
        Err(later("resize"))
    }
    /// Those that match, newest first.
    pub async fn list(&self, _request: ListRequest) -> Result<Vec<ContainerListing>> {
        Err(later("list"))
    }
    /// Everything about one; `size` computes its size on disk (slow).
    pub async fn inspect(&self, _name: &str, _size: bool) -> Result<ContainerDetails> {
        Err(later("inspect"))
    }
    /// Removes those that do not run and match.
    pub async fn prune(&self, _filters: &Filters) -> Result<Pruned> {
        Err(later("prune"))
    }
    /// Prepares another process in a running container.
    pub async fn exec_create(&self, _name: &str, _request: ExecCreateRequest) -> Result<ExecId> {
        Err(later("exec"))
    }
    /// Starts it; returns when it has been executed. `None` when detached.
    pub async fn exec_start(&self, _exec: &str, _request: ExecStartRequest) -> Result<Option<Attached>> {
        Err(later("exec"))
    }
    /// Everything about one exec.
    pub async fn exec_inspect(&self, _exec: &str) -> Result<ExecDetails> {
        Err(later("exec"))
    }
    /// Sets the size of an exec's terminal.
    pub async fn exec_resize(&self, _exec: &str, _height: u16, _width: u16) -> Result<()> {
        Err(later("exec"))
    }
}
