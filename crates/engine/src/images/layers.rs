//! The layers of a pull: fetched side by side, unpacked as soon as each is there, stacked in order.
//!
//! ```text
//!   layer 0   fetch ──> stage ──────────────> commit ─┐ parent is there
//!   layer 1   fetch ────────────> stage ──> wait ─────┴──> commit ─┐
//!   layer 2   (waits for a slot) fetch ──────────> stage ──> wait ─┴──> commit
//! ```

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use registry::{DownloadStep, Repository};
use store::{LayerRecord, Resource, Store, layer};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use types::{Descriptor, Digest, Error, Result};

use super::hold::PullHold;
use super::progress::{Progress, Reporter};
use super::{Shared, pull};

/// How often a client hears numbers.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// What all layers of one pull share.
struct Pull {
    shared: Arc<Shared>,
    repository: Repository,
    hold: Arc<PullHold>,
    report: Reporter,
    /// Set when the pull ends early: threads that unpack look at it with every read.
    cancelled: Arc<AtomicBool>,
}

/// One layer with its place in the stack.
#[derive(Clone)]
struct Place {
    descriptor: Descriptor,
    diff_id: Digest,
    chain_id: Digest,
    parent: Option<Digest>,
}

impl Place {
    /// How Docker calls the layer in its progress.
    fn id(&self) -> &str {
        self.descriptor.digest.short()
    }
}

/// Sets the flag when the pull's future is dropped.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Brings all layers into the store; base first, as in the manifest.
pub(super) async fn fetch_all(
    shared: Arc<Shared>,
    repository: Repository,
    hold: Arc<PullHold>,
    report: Reporter,
    descriptors: &[Descriptor],
    diff_ids: &[Digest],
) -> Result<Vec<LayerRecord>> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let _guard = CancelOnDrop(cancelled.clone());
    let pull = Arc::new(Pull { shared, repository, hold, report, cancelled });
    let chain_ids = store::snapshot::chain_ids(diff_ids);
    let parents = std::iter::once(None).chain(chain_ids.iter().cloned().map(Some));
    let places: Vec<Place> = descriptors
        .iter()
        .zip(diff_ids)
        .zip(&chain_ids)
        .zip(parents)
        .map(|(((descriptor, diff_id), chain_id), parent)| Place {
            descriptor: descriptor.clone(),
            diff_id: diff_id.clone(),
            chain_id: chain_id.clone(),
            parent,
        })
        .collect();

    let mut tasks = JoinSet::new();
    let (ready, mut parent_ready) = oneshot::channel();
    let _ = ready.send(());
    for (at, place) in places.into_iter().enumerate() {
        let exists = pull.existing(&place).await?;
        let status = if exists.is_some() { "Already exists" } else { "Pulling fs layer" };
        pull.report.say(Progress::step(place.id(), status, 0, 0)).await;
        let (ready, next_ready) = oneshot::channel();
        let pull = pull.clone();
        let parent = std::mem::replace(&mut parent_ready, next_ready);
        tasks.spawn(async move {
            let record = match exists {
                Some(record) => record,
                None => pull.bring(place, parent).await?,
            };
            // Nobody waits for the last one.
            let _ = ready.send(());
            Ok::<_, Failure>((at, record))
        });
    }
    let mut records = Vec::new();
    let mut is_broken = false;
    // The first error of its own ends the loop; dropping the set cancels the others.
    while let Some(done) = tasks.join_next().await {
        match done.map_err(|died| Error::internal(format!("a layer was interrupted: {died}")))? {
            Ok(record) => records.push(record),
            Err(Failure::Own(error)) => return Err(error),
            Err(Failure::Below) => is_broken = true,
        }
    }
    if is_broken {
        return Err(Error::internal("a layer could not be unpacked"));
    }
    records.sort_by_key(|(at, _)| *at);
    Ok(records.into_iter().map(|(_, record)| record).collect())
}

/// Why a layer is not there.
enum Failure {
    /// Because of itself.
    Own(Error),
    /// Because the one below is not: that one has the error worth telling.
    Below,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::Own(error.into())
    }
}

impl Pull {
    /// The layer, if its snapshot is there. It is protected first, so that it stays there.
    async fn existing(&self, place: &Place) -> Result<Option<LayerRecord>> {
        let (store, hold, place) = (self.shared.store.clone(), self.hold.clone(), place.clone());
        blocking(move || {
            hold.pin(Resource::Snapshot(place.chain_id.to_string()));
            hold.pin(Resource::Blob(place.descriptor.digest.clone()));
            hold.pin(Resource::Blob(place.diff_id.clone()));
            match store.snapshots().usage(place.chain_id.as_str()) {
                Ok(usage) => Ok(Some(record(&store, place, usage.bytes)?)),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    async fn bring(&self, place: Place, mut parent: oneshot::Receiver<()>) -> Result<LayerRecord, Failure> {
        self.download(&place).await?;
        let _turn = self.shared.downloads.unpack_turn(&place.chain_id).await;
        // Another pull may have brought it while this one waited.
        if let Some(record) = self.existing(&place).await? {
            self.report.say(Progress::step(place.id(), "Pull complete", 0, 0)).await;
            return Ok(record);
        }
        let id = place.id().to_owned();
        let waits = if self.shared.store.snapshots().independent_layers() {
            tokio::select! {
                biased;
                below = &mut parent => stacked(below).map(|()| None)?,
                permit = self.shared.downloads.ahead() => Some((parent, permit)),
            }
        } else {
            stacked(parent.await)?;
            None
        };
        let (store, hold, report) = (self.shared.store.clone(), self.hold.clone(), self.report.clone());
        let cancelled = self.cancelled.clone();
        let record = blocking(move || {
            let file = store.content().open_blob(&place.descriptor.digest)?;
            let (label, total) = (place.id().to_owned(), place.descriptor.size);
            let mut reader = Watched { inner: file, read: 0, total, label, report, cancelled, told: None };
            let base = if waits.is_some() { None } else { place.parent.as_ref() };
            let staged = layer::stage(&store, &hold, &mut reader, base)?;
            if let Some((parent, _ahead)) = waits {
                stacked(parent.blocking_recv())?;
            }
            let unpacked = staged.commit(place.parent.as_ref(), Some(&place.diff_id))?;
            Ok::<_, Failure>(record(&store, place, unpacked.bytes)?)
        })
        .await?;
        self.report.say(Progress::step(&id, "Pull complete", 0, 0)).await;
        Ok(record)
    }

    async fn download(&self, place: &Place) -> Result<()> {
        let (id, total) = (place.id(), place.descriptor.size);
        if self.shared.downloads.is_full() {
            self.report.say(Progress::step(id, "Waiting", 0, 0)).await;
        }
        let mut told: Option<Instant> = None;
        let store = &self.shared.store;
        // A layer that comes as the tar which is kept goes by the name that it keeps.
        let passes = store.snapshots().keeps_tars() && place.descriptor.digest != place.diff_id;
        let fetched = self
            .shared
            .downloads
            .fetch(&self.repository, store, &place.descriptor, passes, |step| match step {
                DownloadStep::Bytes(current) if current > 0 && is_due(&mut told) => {
                    self.report.hint(Progress::step(id, "Downloading", current, total));
                }
                DownloadStep::Bytes(_) => {}
                DownloadStep::Verifying => {
                    self.report.hint(Progress::step(id, "Verifying Checksum", 0, 0));
                }
                DownloadStep::Retrying(seconds) => self.report.hint(Progress::retrying(id, seconds)),
            })
            .await;
        fetched.map_err(pull::blob_error)?;
        self.report.say(Progress::step(id, "Download complete", 0, 0)).await;
        Ok(())
    }
}

fn record(store: &Store, place: Place, bytes: u64) -> Result<LayerRecord> {
    let Place { descriptor, diff_id, chain_id, .. } = place;
    let blob = match layer::plain(store, &chain_id, &diff_id)? {
        // The snapshot keeps it anyway; what was fetched is swept away in the end.
        Some(plain) => Some(plain),
        None => store.content().contains(&descriptor.digest)?.then_some(descriptor),
    };
    Ok(LayerRecord { diff_id, chain_id, blob, bytes })
}

/// The layer below is in place, or will never be.
fn stacked(parent: std::result::Result<(), oneshot::error::RecvError>) -> Result<(), Failure> {
    parent.map_err(|_| Failure::Below)
}

fn is_due(told: &mut Option<Instant>) -> bool {
    let due = told.is_none_or(|at| at.elapsed() >= PROGRESS_EVERY);
    if due {
        *told = Some(Instant::now());
    }
    due
}

async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(died) => Err(Error::internal(format!("unpacking was interrupted: {died}")).into()),
    }
}

/// Tells how much of a blob was read, and breaks off when nobody wants it any more.
struct Watched<R> {
    inner: R,
    read: u64,
    total: u64,
    label: String,
    report: Reporter,
    cancelled: Arc<AtomicBool>,
    told: Option<Instant>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(io::Error::other("context canceled"));
        }
        let n = self.inner.read(buffer)?;
        self.read += n as u64;
        if is_due(&mut self.told) || self.read == self.total && n > 0 {
            self.report.hint(Progress::step(&self.label, "Extracting", self.read, self.total));
        }
        Ok(n)
    }
}
