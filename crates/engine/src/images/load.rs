//! Images from files: `docker load` and `docker import`.

use std::sync::Arc;

use store::archive::{self, ImportOptions, LoadOptions};
use tokio::io::AsyncRead;
use tokio_util::io::SyncIoBridge;
use types::{Error, ImageRef, Platform, Result};

use super::progress::{Progress, ProgressStream, Reporter};
use super::{Images, Shared, changes};

/// What `POST /images/create?fromSrc=` asks for.
#[derive(Debug, Clone, Default)]
pub struct ImportRequest {
    /// Name to give (`repo` and `tag`); none if `None`.
    pub reference: Option<ImageRef>,
    /// Dockerfile instructions applied to the config (`CMD`, `ENV`, ...).
    pub changes: Vec<String>,
    /// Comment of its history entry.
    pub message: String,
    /// Platform of its config; the host's if none.
    pub platform: Option<Platform>,
}

impl ImportRequest {
    /// The name that `repo` and `tag` of the API mean; none without a `repo`.
    pub fn name(repository: &str, tag: &str) -> Result<Option<ImageRef>> {
        match repository {
            "" => Ok(None),
            repository => super::tag::target(repository, tag).map(Some),
        }
    }
}

impl Images {
    /// Loads a docker-archive or OCI archive (plain, gzip, zstd). With `quiet` only the `Loaded image` lines come.
    pub fn load<R>(&self, archive: R, platform: Option<Platform>, quiet: bool) -> ProgressStream
    where
        R: AsyncRead + Send + Unpin + 'static,
    {
        let shared = self.0.clone();
        // The bridge must be made inside the runtime; it is used outside.
        let archive = SyncIoBridge::new(archive);
        ProgressStream::spawn(move |report| async move {
            reading(move || load(&shared, archive, platform, quiet, &report)).await
        })
    }

    /// Makes an image of one layer from a root file system archive. The last event's status is the image id.
    pub fn import<R>(&self, archive: R, request: ImportRequest) -> ProgressStream
    where
        R: AsyncRead + Send + Unpin + 'static,
    {
        let shared = self.0.clone();
        let archive = SyncIoBridge::new(archive);
        ProgressStream::spawn(move |report| import(shared, archive, request, report))
    }
}

/// Makes the image of what can be read.
pub(super) async fn import(
    shared: Arc<Shared>,
    mut archive: impl std::io::Read + Send + 'static,
    request: ImportRequest,
    report: Reporter,
) -> Result<()> {
    let config = changes::apply(&request.changes)?;
    let ImportRequest { reference, message, platform, .. } = request;
    let options = ImportOptions { name: reference, config: Some(config), message, platform };
    reading(move || {
        let id = archive::import(&shared.store, &mut archive, &options)?;
        if let Some(record) = shared.store.images().get(&id)? {
            shared.publish("import", id.as_str(), id.as_str(), &record);
        }
        report.say_blocking(Progress::message("", id.to_string()));
        Ok(())
    })
    .await
}

/// Runs `work`, which reads what a client sends.
async fn reading(work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    crate::aside("load", move || {
        // Nobody waits any more when the client has gone.
        let _unread = sender.send(work());
    })?;
    receiver.await.unwrap_or_else(|_| Err(Error::internal("the operation was interrupted")))
}

fn load(
    shared: &Arc<Shared>,
    mut input: impl std::io::Read,
    platform: Option<Platform>,
    quiet: bool,
    report: &Reporter,
) -> Result<()> {
    let mut sizes = std::collections::HashMap::new();
    let mut tell = |progress: archive::Progress| {
        if quiet {
            return;
        }
        match progress {
            archive::Progress::Unpacking { diff_id, size } => {
                report.say_blocking(Progress::step(diff_id.short(), "Loading layer", 0, size));
                sizes.insert(diff_id, size);
            }
            archive::Progress::Unpacked { diff_id } => {
                let size = sizes.remove(&diff_id).unwrap_or_default();
                report.say_blocking(Progress::step(diff_id.short(), "Loading layer", size, size));
            }
            archive::Progress::Reading { .. } => {}
        }
    };
    let loaded = archive::load(&shared.store, &mut input, &LoadOptions { platform }, &mut tell)?;
    for image in loaded {
        if let Some(record) = shared.store.images().get(&image.id)? {
            shared.publish("load", image.id.as_str(), image.id.as_str(), &record);
        }
        for name in &image.names {
            report.say_blocking(Progress::stream(format!("Loaded image: {}\n", name.familiar())));
        }
        if image.names.is_empty() {
            report.say_blocking(Progress::stream(format!("Loaded image ID: {}\n", image.id)));
        }
    }
    Ok(())
}
