//! `docker commit`: a container becomes an image.

use types::{Config, Digest, Error, ImageRef, Result};

use super::state::{State, Status};
use super::{Containers, Request, ask, files, merge};
use crate::images::{Commit, apply_to};

/// `POST /commit`.
#[derive(Debug, Clone, Default)]
pub struct CommitRequest {
    /// Which container.
    pub container: String,
    /// Name of the image.
    pub reference: Option<ImageRef>,
    /// Freeze it meanwhile.
    pub pause: bool,
    /// Who says so.
    pub author: String,
    /// Why.
    pub comment: String,
    /// Dockerfile instructions for the config.
    pub changes: Vec<String>,
    /// Config instead of the container's; what it leaves out is the container's.
    pub config: Option<Config>,
}

impl Containers {
    /// Makes an image of what the container is now; gives its id.
    pub async fn commit(&self, request: CommitRequest) -> Result<Digest> {
        let handle = self.find(&request.container)?;
        let record = handle.record();
        match record.state.status() {
            Status::Dead => {
                return Err(Error::conflict(format!(
                    "You cannot commit container {} which is Dead",
                    record.id
                )));
            }
            Status::Removing => {
                return Err(Error::conflict(format!(
                    "You cannot commit container {} which is being removed",
                    record.id
                )));
            }
            _ => {}
        }
        let is_given = request.config.is_some();
        let mut config = request.config.unwrap_or_else(|| record.config.clone());
        apply_to(&mut config, &request.changes)?;
        // Only complains about a missing command, which an image need not have.
        if is_given {
            let _ = merge::with_image(&mut config, &record.config);
        }
        let commit = Commit {
            container: record.id.clone(),
            parent: record.image_id.clone(),
            config,
            created_by: record.config.cmd.clone().unwrap_or_default().join(" "),
            author: request.author,
            comment: request.comment.clone(),
            reference: request.reference.clone(),
        };
        let is_running = matches!(record.state, State::Running(_));
        let run_dir = self.0.run_dir(&record.id);
        if request.pause && is_running {
            files::mark_thaw(&run_dir, true)?;
            if let Err(error) = ask(&handle, |reply| Request::Pause { reply }).await {
                // The first error is the one to tell.
                let _ = files::mark_thaw(&run_dir, false);
                return Err(error);
            }
        }
        let made = self.0.images.commit(commit).await;
        if request.pause && is_running {
            let thawed = ask(&handle, |reply| Request::Unpause { reply }).await;
            let thawed = thawed.and_then(|()| files::mark_thaw(&run_dir, false));
            if let (Ok(_), Err(error)) = (&made, thawed) {
                tracing::warn!(container = %record.id, %error, "cannot thaw a container after its commit");
            }
        }
        let id = made?;
        let name = request.reference.map(|name| name.with_default_tag().familiar()).unwrap_or_default();
        self.0.publish(
            &record,
            "commit",
            [("comment", request.comment), ("imageID", id.to_string()), ("imageRef", name)],
        );
        Ok(id)
    }
}
