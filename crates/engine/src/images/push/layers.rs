//! Layers on their way, each waiting for its turn among all uploads.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use registry::{Growth, Pushed};
use store::gzip::{Compressed, Gzip, Written};
use tokio::sync::watch;

use super::manifest::{Plan, Planned, is_plain};
use super::*;

/// Bytes between two lines about one blob.
const STEP: u64 = 512 << 10;

/// The layers of one image.
pub(super) struct LayerPush<'a> {
    pub(super) images: &'a Images,
    pub(super) pusher: &'a Pusher,
    pub(super) report: &'a Reporter,
}

impl LayerPush<'_> {
    /// Sends what the registry lacks. Gives what it has then, in the order of the layers.
    pub(super) async fn all(&self, plan: &Plan) -> Result<Vec<Descriptor>> {
        for layer in plan.layers.iter().rev() {
            self.report.say(Progress::step(layer.diff_id.short(), "Preparing", 0, 0)).await;
        }
        let turns = self.images.0.uploads().available_permits();
        for layer in plan.layers.iter().rev().skip(turns) {
            self.report.say(Progress::step(layer.diff_id.short(), "Waiting", 0, 0)).await;
        }
        try_join_all(plan.layers.iter().map(|layer| self.layer(layer, &plan.hold))).await
    }

    async fn layer(&self, layer: &Planned, hold: &store::Hold) -> Result<Descriptor> {
        // Never closed, so this cannot fail.
        let _slot = self.images.0.uploads().acquire_owned().await;
        let id = layer.diff_id.short();
        let (sent, status) = match self.as_named(layer).await? {
            Some(found) => found,
            None => match &layer.kept {
                Some(plain) if is_plain(plain) => (self.compressed(id, plain, hold).await?, Pushed::Uploaded),
                Some(blob) => (blob.clone(), self.blob(id, blob, layer.mount.as_deref()).await?),
                None => {
                    return Err(Error::internal(format!(
                        "layer {} is not kept: the image cannot be pushed",
                        layer.diff_id
                    )));
                }
            },
        };
        let status = match status {
            Pushed::Exists => "Layer already exists".to_owned(),
            Pushed::Mounted(from) => format!("Mounted from {from}"),
            Pushed::Uploaded => "Pushed".to_owned(),
        };
        self.report.say(Progress::step(id, &status, 0, 0)).await;
        Ok(sent)
    }

    /// The layer under the name that it has already, if it is here or there.
    async fn as_named(&self, layer: &Planned) -> Result<Option<(Descriptor, Pushed)>> {
        let Some(named) = &layer.named else { return Ok(None) };
        let digest = named.digest.clone();
        let mount = layer.mount.as_deref();
        if self.images.blocking(move |shared| Ok(shared.store.content().contains(&digest)?)).await? {
            let pushed = self.blob(layer.diff_id.short(), named, mount).await?;
            return Ok(Some((named.clone(), pushed)));
        }
        if self.pusher.has(&named.digest).await.map_err(pull::blob_error)? {
            return Ok(Some((named.clone(), Pushed::Exists)));
        }
        let Some(from) = mount else { return Ok(None) };
        let mounted = self.pusher.mount(&named.digest, from).await.map_err(pull::blob_error)?;
        Ok(mounted.then(|| (named.clone(), Pushed::Mounted(from.to_owned()))))
    }

    /// Compresses a layer and sends it meanwhile.
    async fn compressed(&self, id: &str, plain: &Descriptor, hold: &store::Hold) -> Result<Descriptor> {
        // Never closed. It goes with the work, which may outlive this push by a moment.
        let turn = self.images.0.compressing.clone().acquire_owned().await;
        let (what, total) = (plain.clone(), plain.size);
        let gzip = self.images.blocking(move |shared| Ok(Gzip::begin(&shared.store, &what)?)).await?;
        let path = gzip.path().to_owned();
        let (tell, growth) = watch::channel(Growth::default());
        // How much of the tar is in what was sent, for whoever looks on.
        let (told, seen) = watch::channel(Written::default());
        let work = self.images.blocking(move |_| {
            let _turn = turn;
            let made = gzip.run(|written| {
                told.send_replace(written);
                tell.send(Growth { length: written.compressed, whole: None }).is_ok()
            })?;
            let whole = Some(made.descriptor.clone());
            // Nobody there any more: the push has failed, and says why.
            let _ = tell.send(Growth { length: made.descriptor.size, whole });
            Ok(made)
        });
        let report = self.progress(id, total, move |sent| {
            let written = *seen.borrow();
            // What lies between is compressed as well as what was before.
            let share = u128::from(sent) * u128::from(written.plain) / u128::from(written.compressed.max(1));
            u64::try_from(share).unwrap_or(total).min(total)
        });
        let send = self.pusher.growing(growth, || File::open(&path), report);
        let (made, sent) = tokio::join!(work, send);
        let made: Compressed = match (made, sent) {
            (Ok(made), Ok(_)) => made,
            // A copy that could not be made is why it could not be sent, unless the push gave it up.
            (Err(error), _) if !is_cancelled(&error) => return Err(error),
            (_, Err(error)) => return Err(pull::blob_error(error)),
            (Err(error), Ok(_)) => return Err(error),
        };
        if self.images.0.store.snapshots().keeps_tars() {
            return Ok(made.descriptor);
        }
        hold.pin(store::Resource::Blob(made.descriptor.digest.clone()));
        self.images.blocking(move |_| Ok(made.keep()?)).await
    }

    /// The config, which has no line of its own.
    pub(super) async fn config(&self, config: &Descriptor) -> Result<()> {
        let path = self.images.0.store.content().path(&config.digest);
        let pushed = self.pusher.blob(config, None, || File::open(&path), |_| ()).await;
        pushed.map(drop).map_err(pull::blob_error)
    }

    /// A blob that is here.
    async fn blob(&self, id: &str, blob: &Descriptor, mount: Option<&str>) -> Result<Pushed> {
        let path: PathBuf = self.images.0.store.content().path(&blob.digest);
        let report = self.progress(id, blob.size, |sent| sent);
        let pushed = self.pusher.blob(blob, mount, || File::open(&path), report).await;
        pushed.map_err(pull::blob_error)
    }

    /// Lines about the bytes that are out; `shown` makes what is shown of their number.
    fn progress(
        &self,
        id: &str,
        total: u64,
        shown: impl Fn(u64) -> u64 + Send + Sync + 'static,
    ) -> impl Fn(UploadStep) + Send + Sync + 'static {
        let (report, id) = (self.report.clone(), id.to_owned());
        let told = AtomicU64::new(0);
        move |step| match step {
            // Chunks of one upload come one after another, if not from the beginning again.
            UploadStep::Bytes(sent) => {
                let (before, current) = (told.load(Ordering::Relaxed), shown(sent));
                if current == total || current < before || current >= before + STEP {
                    told.store(current, Ordering::Relaxed);
                    report.hint(Progress::step(&id, "Pushing", current, total));
                }
            }
            UploadStep::Retrying(seconds) => report.hint(Progress::retrying(&id, seconds)),
        }
    }
}

fn is_cancelled(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<store::Error>());
    matches!(source, Some(store::Error::Cancelled))
}
