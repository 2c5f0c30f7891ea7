//! `wait`: for an end, or for a removal.

use tokio::sync::watch;
use types::Result;

use super::Containers;
use super::request::WaitCondition;
use super::state::Status;
use super::table::View;
use super::view::WaitAnswer;

/// A registered wait: what happens after [`Containers::wait`] returned is not missed.
#[derive(Debug)]
pub struct Waiting {
    view: watch::Receiver<View>,
    condition: WaitCondition,
    /// Ends seen when the wait was registered.
    ends: u64,
    /// It does not run, and that is what was waited for.
    here: bool,
}

impl Waiting {
    /// The answer, once the condition holds. Dropping it ends the wait.
    pub async fn done(mut self) -> Result<WaitAnswer> {
        let (condition, ends) = (self.condition, self.ends);
        let holds = |view: &View| match condition {
            WaitCondition::Removed => view.removed,
            WaitCondition::NotRunning | WaitCondition::NextExit => view.removed || view.ends > ends,
        };
        let view = if self.here {
            self.view.borrow().clone()
        } else {
            // An error means that the driver is gone, and with it the container; what it showed last holds.
            drop(self.view.wait_for(holds).await);
            self.view.borrow().clone()
        };
        let exit = view.record.state.exit();
        // Docker forgets why a start failed when it removes the container.
        let error = exit.map(|exit| exit.error.clone()).filter(|why| !why.is_empty() && !view.removed);
        Ok(WaitAnswer { exit_code: exit.map_or(0, |exit| i64::from(exit.code)), error })
    }
}

impl Containers {
    /// Registers a wait at once; the answer comes from [`Waiting::done`]. A door sends its headers in between.
    pub async fn wait(&self, name: &str, condition: WaitCondition) -> Result<Waiting> {
        let handle = self.find(name)?;
        let view = handle.view.clone();
        let (ends, status) = {
            let now = view.borrow();
            (now.ends, now.record.state.status())
        };
        let runs = matches!(status, Status::Running | Status::Paused | Status::Restarting);
        let here = condition == WaitCondition::NotRunning && !runs;
        Ok(Waiting { view, condition, ends, here })
    }
}
