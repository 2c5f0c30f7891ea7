//! Where a container is in its life. A pure machine: [`State::next`] touches nothing.
//!
//! ```text
//!            start            exit, no restart
//!  Created ---------> Running ----------------> Exited --+
//!     |                |   ^ \                    ^  |    | start
//!     |          pause |   |  \ exit, restart     |  +----+--> Running
//!     |                v   |   \                  | stop
//!     |              Paused    +-> Restarting ----+
//!     |                             | start -> Running
//!     +----------- remove ----------+---------> Removing --failed--> Dead
//! ```

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A process that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its host process id.
    pub pid: i32,
    /// Since when.
    pub started: Timestamp,
}

/// A process that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Exit {
    /// 0 to 255.
    pub code: i32,
    /// The kernel killed one of its processes for memory.
    pub oom_killed: bool,
    /// Why the start failed; empty when it was started.
    pub error: String,
    /// When it had been started; `None` when never.
    pub started: Option<Timestamp>,
    /// When it ended; `None` when the start failed before there was a process.
    pub finished: Option<Timestamp>,
}

/// Where a container is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Never started successfully. A failed first start leaves its reason.
    Created(Exit),
    /// The process runs.
    Running(Run),
    /// The process is frozen.
    Paused(Run),
    /// Ended, and waiting to be started again by its policy.
    Restarting(Exit),
    /// Ended.
    Exited(Exit),
    /// Being removed.
    Removing(Exit),
    /// Removal failed half way: only removal is possible.
    Dead(Exit),
}

/// The bare word for a state, in Docker's spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    /// `created`
    Created,
    /// `running`
    Running,
    /// `paused`
    Paused,
    /// `restarting`
    Restarting,
    /// `removing`
    Removing,
    /// `exited`
    Exited,
    /// `dead`
    Dead,
}

impl Status {
    /// All of them, in the order of Docker's error text.
    pub const ALL: [Self; 7] = [
        Self::Created,
        Self::Running,
        Self::Paused,
        Self::Restarting,
        Self::Removing,
        Self::Exited,
        Self::Dead,
    ];

    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happens to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Its process runs.
    Started(Run),
    /// Its process could not be started.
    StartFailed(Exit),
    /// Frozen.
    Paused,
    /// Thawed.
    Unpaused,
    /// Its process has ended; it will be started again if `restart`.
    Ended {
        /// How.
        exit: Exit,
        /// The policy wants it started again.
        restart: bool,
    },
    /// The waiting for a restart was called off.
    RestartCancelled,
    /// Removal has begun.
    Removing,
    /// Removal has failed.
    RemoveFailed,
}

/// A change that is not possible in a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a container that is {from} cannot become {to}")]
pub struct Refusal {
    /// The state.
    pub from: Status,
    /// What was wanted.
    pub to: &'static str,
}

impl State {
    /// What `change` does to a container in this state. Touches nothing.
    pub fn next(&self, change: &Change) -> Result<Self, Refusal> {
        let refuse = |to| Err(Refusal { from: self.status(), to });
        match (self, change) {
            (Self::Created(_) | Self::Exited(_) | Self::Restarting(_), Change::Started(run)) => {
                Ok(Self::Running(run.clone()))
            }
            (Self::Created(_), Change::StartFailed(exit)) => Ok(Self::Created(exit.clone())),
            (Self::Exited(_) | Self::Restarting(_), Change::StartFailed(exit)) => {
                Ok(Self::Exited(exit.clone()))
            }
            (Self::Running(run), Change::Paused) => Ok(Self::Paused(run.clone())),
            (Self::Paused(run), Change::Unpaused) => Ok(Self::Running(run.clone())),
            (Self::Running(_) | Self::Paused(_), Change::Ended { exit, restart }) => {
                Ok(if *restart { Self::Restarting(exit.clone()) } else { Self::Exited(exit.clone()) })
            }
            (Self::Restarting(exit), Change::RestartCancelled) => Ok(Self::Exited(exit.clone())),
            (
                Self::Created(exit) | Self::Exited(exit) | Self::Dead(exit) | Self::Restarting(exit),
                Change::Removing,
            ) => Ok(Self::Removing(exit.clone())),
            (Self::Removing(exit), Change::RemoveFailed) => Ok(Self::Dead(exit.clone())),
            (_, Change::Started(_)) => refuse("running"),
            (_, Change::StartFailed(_) | Change::Ended { .. } | Change::RestartCancelled) => refuse("exited"),
            (_, Change::Paused) => refuse("paused"),
            (_, Change::Unpaused) => refuse("unpaused"),
            (_, Change::Removing) => refuse("removing"),
            (_, Change::RemoveFailed) => refuse("dead"),
        }
    }

    /// The bare word.
    pub fn status(&self) -> Status {
        match self {
            Self::Created(_) => Status::Created,
            Self::Running(_) => Status::Running,
            Self::Paused(_) => Status::Paused,
            Self::Restarting(_) => Status::Restarting,
            Self::Exited(_) => Status::Exited,
            Self::Removing(_) => Status::Removing,
            Self::Dead(_) => Status::Dead,
        }
    }

    /// The process, while there is one.
    pub fn run(&self) -> Option<&Run> {
        match self {
            Self::Running(run) | Self::Paused(run) => Some(run),
            _ => None,
        }
    }

    /// How it ended the last time; `None` while it runs.
    pub fn exit(&self) -> Option<&Exit> {
        match self {
            Self::Running(_) | Self::Paused(_) => None,
            Self::Created(exit)
            | Self::Restarting(exit)
            | Self::Exited(exit)
            | Self::Removing(exit)
            | Self::Dead(exit) => Some(exit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        Run { pid: 7, started: Timestamp(1) }
    }

    fn exit(code: i32) -> Exit {
        Exit { code, ..Exit::default() }
    }

    #[test]
    fn every_state_takes_the_changes_it_can() {
        let created = State::Created(exit(0));
        let running = State::Running(run());
        let paused = State::Paused(run());
        let exited = State::Exited(exit(3));
        let restarting = State::Restarting(exit(3));
        let removing = State::Removing(exit(3));
        let ended = |restart| Change::Ended { exit: exit(3), restart };
        for (from, change, to) in [
            (&created, Change::Started(run()), Some(running.clone())),
            (&created, Change::StartFailed(exit(127)), Some(State::Created(exit(127)))),
            (&created, Change::Paused, None),
            (&created, ended(false), None),
            (&created, Change::Removing, Some(State::Removing(exit(0)))),
            (&running, Change::Started(run()), None),
            (&running, Change::Paused, Some(paused.clone())),
            (&running, Change::Unpaused, None),
            (&running, Change::Removing, None),
            (&running, ended(false), Some(exited.clone())),
            (&running, ended(true), Some(restarting.clone())),
            (&paused, Change::Unpaused, Some(running.clone())),
            (&paused, Change::Paused, None),
            (&paused, ended(false), Some(exited.clone())),
            (&exited, Change::Started(run()), Some(running.clone())),
            (&exited, Change::StartFailed(exit(126)), Some(State::Exited(exit(126)))),
            (&restarting, Change::Started(run()), Some(running.clone())),
            (&restarting, Change::RestartCancelled, Some(exited.clone())),
            (&restarting, Change::Removing, Some(removing.clone())),
            (&removing, Change::RemoveFailed, Some(State::Dead(exit(3)))),
            (&removing, Change::Started(run()), None),
            (&State::Dead(exit(3)), Change::Removing, Some(removing.clone())),
            (&State::Dead(exit(3)), Change::Started(run()), None),
        ] {
            assert_eq!(from.next(&change).ok(), to, "{from:?} + {change:?}");
        }
    }
}
