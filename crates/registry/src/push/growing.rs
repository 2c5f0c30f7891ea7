//! Sending a blob while it is still being made.
//!
//! ```text
//!  POST uploads ─ 202 ─> PATCH, in chunks, as far as it has grown ... the end ─> PUT ?digest=
//!                           └─ broken: wait for the end; GET the session, PATCH the rest (as for any blob)
//! ```

use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use http::{StatusCode, header};
use reqwest::Url;
use tokio::sync::watch;
use types::Descriptor;

use super::{CHUNK, Job, Pushed, Pusher, Step, Tries, UploadStep, location};
use crate::Error;

/// How far a blob that is being made has got.
#[derive(Debug, Clone, Default)]
pub struct Growth {
    /// Bytes that can be read.
    pub length: u64,
    /// What it is, when it is whole.
    pub whole: Option<Descriptor>,
}

impl Pusher {
    /// Gives the repository a blob that `open` can read as far as `growth` tells; the sender of `growth` gone before it
    /// is whole ends the push. What breaks off goes on where the registry has got to, when the blob is whole.
    pub async fn growing(
        &self,
        growth: watch::Receiver<Growth>,
        open: impl Fn() -> std::io::Result<File> + Sync,
        step: impl Fn(UploadStep) + Send + Sync + 'static,
    ) -> Result<Pushed, Error> {
        let step: Step = Arc::new(step);
        let mut tries = Tries { repository: &self.repository, failed: 0, step: step.clone() };
        let uploads = format!("{}/blobs/uploads/", self.base());
        let begun = loop {
            match self.exchange("Post", |http| Ok(http.post(&uploads))).await {
                Ok(begun) => break begun,
                Err(error) => tries.again(error).await?,
            }
        };
        let start = location(&begun)?;
        let sent = match self.send_growing(&start, &growth, &open, &step).await {
            Ok(place) => Some(place),
            Err(error) => {
                tries.again(error).await?;
                None
            }
        };
        let whole = whole(growth).await?;
        let job = Job { blob: &whole, open: &open, step: step.clone() };
        let place = match sent {
            Some(place) => Some(place),
            None => match self.reached_at_last(&start, whole.size, &mut tries).await? {
                Some((place, offset)) => self.send_all(&job, place, offset, &mut tries).await?,
                None => None,
            },
        };
        let ended = match place {
            Some(place) => self.end(place, &whole.digest).await,
            None => Err(Error::Status(StatusCode::NOT_FOUND)),
        };
        match ended {
            Ok(()) => Ok(Pushed::Uploaded),
            // The session is gone, or the registry has read something else: now it is a blob like any other.
            Err(error) => {
                tracing::debug!(%error, digest = %whole.digest, "a blob that was sent while it grew did not arrive");
                self.blob(&whole, None, open, move |what| step(what)).await
            }
        }
    }

    async fn send_growing(
        &self,
        place: &Url,
        growth: &watch::Receiver<Growth>,
        open: &(dyn Fn() -> std::io::Result<File> + Sync),
        step: &Step,
    ) -> Result<Url, Error> {
        let sent = self.exchange("Patch", |http| {
            let body = body(open()?, growth.clone(), step.clone());
            let request = http.patch(place.clone());
            Ok(request.header(header::CONTENT_TYPE, "application/octet-stream").body(body))
        });
        location(&sent.await?)
    }
}

/// What the blob has become.
async fn whole(mut growth: watch::Receiver<Growth>) -> Result<Descriptor, Error> {
    let ended = growth.wait_for(|growth| growth.whole.is_some()).await;
    let whole = ended.ok().and_then(|growth| growth.whole.clone());
    whole.ok_or_else(|| store::Error::Input(given_up()).into())
}

fn given_up() -> std::io::Error {
    std::io::Error::other("what was to be sent was given up")
}

/// The bytes as they come.
fn body(file: File, growth: watch::Receiver<Growth>, step: Step) -> reqwest::Body {
    let state = (file, 0, growth, step);
    let stream = futures_util::stream::try_unfold(state, |(mut file, sent, mut growth, step)| async move {
        let length = {
            let more = growth.wait_for(|growth| growth.length > sent || growth.whole.is_some()).await;
            more.map_err(|_| given_up())?.length
        };
        let next = length.saturating_sub(sent).min(CHUNK as u64);
        if next == 0 {
            return Ok::<_, std::io::Error>(None);
        }
        let read = tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; next as usize];
            file.read_exact(&mut chunk)?;
            Ok::<_, std::io::Error>((file, chunk))
        });
        let (file, chunk) = read.await.map_err(std::io::Error::other)??;
        let sent = sent + next;
        step(UploadStep::Bytes(sent));
        Ok(Some((Bytes::from(chunk), (file, sent, growth, step))))
    });
    reqwest::Body::wrap_stream(stream)
}
