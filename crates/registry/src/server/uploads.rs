//! Uploads: bytes on their way to becoming a blob.
//!
//! A session is a folder `_uploads/UUID` with a file `data`, exactly as distribution keeps it, so a session outlives
//! the process; only the running hash is kept in memory, and computed again from the file where it is missing. The
//! next chunk is received while the one before is hashed and written on another thread.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use tokio::sync::watch;
use types::id::hex;

use super::digest::{Algorithm, Digest, Hasher};
use super::error::{Code, Fault};
use super::route::is_upload_id;
use super::storage::{Storage, StorageError, blocking};

/// Bytes handed to the writing thread at once; twice as much is in memory per upload.
const BATCH_BYTES: usize = 512 << 10;
/// Sessions whose hash is kept; those idle longest lose it first.
const SESSIONS_MAX: usize = 1000;
const READ_BYTES: usize = 256 << 10;
/// A client that said something within this time will go on.
const IN_USE: Duration = Duration::from_secs(600);
/// For how long a client may send nothing of a body that it began.
pub(crate) const BODY_SILENCE_MAX: Duration = Duration::from_secs(60);

/// An open session.
pub(crate) struct Session {
    pub(crate) id: String,
    folder: PathBuf,
    /// How many bytes are in the file, for those who read it while it grows.
    pub(crate) progress: Arc<watch::Sender<u64>>,
    /// Nobody else writes while this is held.
    sink: tokio::sync::Mutex<Option<Sink>>,
    used: Mutex<Instant>,
}

/// The file, and the hash of what is in it.
struct Sink {
    file: File,
    path: PathBuf,
    length: u64,
    hasher: Hasher,
}

impl Sink {
    /// Opens a session's file at its end, hashing what is there.
    fn open(path: &Path, algorithm: Algorithm) -> Result<Self, StorageError> {
        let io = |error| StorageError::io(path, error);
        let mut file = OpenOptions::new().read(true).append(true).open(path).map_err(io)?;
        let mut hasher = Hasher::new(algorithm);
        let length = hash_into(&mut file, &mut hasher).map_err(io)?;
        Ok(Self { file, path: path.to_owned(), length, hasher })
    }

    fn append(&mut self, batch: &[Bytes]) -> Result<(), StorageError> {
        for bytes in batch {
            if let Err(error) = self.file.write_all(bytes) {
                // What was written in part is not counted: the file goes back to what the hash knows.
                let _shorter = self.file.set_len(self.length);
                return Err(StorageError::io(&self.path, error));
            }
            self.hasher.update(bytes);
            self.length += bytes.len() as u64;
        }
        Ok(())
    }

    /// The digest of all that is there, by this algorithm.
    fn digest(&self, algorithm: Algorithm) -> Result<Digest, StorageError> {
        if self.hasher.algorithm() == algorithm {
            return Ok(self.hasher.clone().finish());
        }
        let io = |error| StorageError::io(&self.path, error);
        let mut hasher = Hasher::new(algorithm);
        hash_into(&mut File::open(&self.path).map_err(io)?, &mut hasher).map_err(io)?;
        Ok(hasher.finish())
    }
}

fn hash_into(file: &mut File, hasher: &mut Hasher) -> io::Result<u64> {
    let mut buffer = vec![0; READ_BYTES];
    let mut length = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(length);
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        length += count as u64;
    }
}

/// Which bytes a request says it brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) start: u64,
    /// Inclusive.
    pub(crate) end: u64,
}

impl Chunk {
    /// `START-END`, both inclusive; `bytes START-END/TOTAL`, as HTTP has it, is taken too.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches("bytes").trim_start_matches([' ', '=']);
        let range = text.split('/').next().unwrap_or(text);
        let (start, end) = range.split_once('-')?;
        let number = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten()
        };
        let chunk = Self { start: number(start)?, end: number(end)? };
        (chunk.end >= chunk.start && chunk.end < u64::MAX).then_some(chunk)
    }
}

/// All sessions of a registry.
pub(crate) struct Uploads {
    storage: Arc<dyn Storage>,
    sessions: Mutex<HashMap<String, Arc<Session>>>,
}

fn unknown() -> Fault {
    Fault::new(Code::BlobUploadUnknown, "blob upload unknown to registry")
}

impl Uploads {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, sessions: Mutex::default() }
    }

    /// Begins a session in a repository.
    pub(crate) async fn begin(&self, name: &str, algorithm: Algorithm) -> Result<Arc<Session>, Fault> {
        let id = new_id().ok_or_else(|| Fault::internal("no random numbers"))?;
        let folder = self.storage.upload_folder(name).join(&id);
        let made = folder.clone();
        // Known before it is there, so that nobody takes it for abandoned.
        let session = self.keep(id, folder);
        let sink = blocking(move || {
            let io = |error| StorageError::io(&made, error);
            fs::create_dir_all(&made).map_err(io)?;
            let started = time::OffsetDateTime::now_utc();
            let started = started.format(&time::format_description::well_known::Rfc3339).unwrap_or_default();
            fs::write(made.join("startedat"), started).map_err(io)?;
            File::create(made.join("data")).map_err(io)?;
            Sink::open(&made.join("data"), algorithm)
        })
        .await?;
        *session.sink.lock().await = Some(sink);
        Ok(session)
    }

    fn keep(&self, id: String, folder: PathBuf) -> Arc<Session> {
        let used = Mutex::new(Instant::now());
        let progress = Arc::new(watch::Sender::new(0));
        let sink = tokio::sync::Mutex::new(None);
        let session = Arc::new(Session { id: id.clone(), folder, progress, sink, used });
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= SESSIONS_MAX {
            let used = |session: &Arc<Session>| *session.used.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = sessions.values().filter(|session| Arc::strong_count(session) == 1);
            if let Some(oldest) = idle.min_by_key(|session| used(session)).map(|session| session.id.clone()) {
                sessions.remove(&oldest);
            }
        }
        sessions.entry(id).or_insert(session).clone()
    }

    /// The session of this id, from memory or from an earlier run.
    pub(crate) async fn find(&self, name: &str, id: &str) -> Result<Arc<Session>, Fault> {
        let folder = self.storage.upload_folder(name).join(id);
        let known = self.sessions.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some(session) = known {
            *session.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            return if session.folder == folder { Ok(session) } else { Err(unknown()) };
        }
        if !is_upload_id(id) {
            return Err(unknown());
        }
        let data = folder.join("data");
        let found =
            blocking(move || fs::metadata(&data).map_err(|error| StorageError::io(&data, error))).await;
        match found {
            Err(error) if error.is_absent() => Err(unknown()),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(self.keep(id.to_owned(), folder)),
        }
    }

    /// Ends a session without a blob.
    pub(crate) async fn cancel(&self, session: &Session) -> Result<(), Fault> {
        // Only the owner of the sink may remove its file.
        let mut sink = session.sink.lock().await;
        *sink = None;
        self.discard(session).await
    }

    async fn discard(&self, session: &Session) -> Result<(), Fault> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(&session.id);
        let folder = session.folder.clone();
        blocking(move || match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StorageError::io(&folder, error)),
            _ => Ok(()),
        })
        .await?;
        Ok(())
    }

    /// How many bytes are there.
    pub(crate) async fn length(&self, session: &Session) -> Result<u64, Fault> {
        if let Ok(guard) = session.sink.try_lock()
            && let Some(sink) = guard.as_ref()
        {
            return Ok(sink.length);
        }
        let data = session.folder.join("data");
        let found =
            blocking(move || fs::metadata(&data).map_err(|error| StorageError::io(&data, error))).await;
        match found {
            Ok(meta) => Ok(meta.len()),
            Err(error) if error.is_absent() => Err(unknown()),
            Err(error) => Err(error.into()),
        }
    }

    /// The file of a session, for reading while it grows.
    pub(crate) fn file(&self, session: &Session) -> Result<File, Fault> {
        let path = session.folder.join("data");
        File::open(&path).map_err(|error| StorageError::io(&path, error).into())
    }

    /// Appends a request's body; returns the new length. A body that breaks off leaves what came.
    pub(crate) async fn append<B>(
        &self,
        session: &Session,
        chunk: Option<Chunk>,
        body: B,
    ) -> Result<u64, Fault>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let Ok(mut guard) = session.sink.try_lock() else {
            let message = "another request writes to this upload";
            return Err(Fault::new(Code::BlobUploadInvalid, message).with_status(http::StatusCode::CONFLICT));
        };
        let sink = match guard.take() {
            Some(sink) => sink,
            None => {
                let path = session.folder.join("data");
                blocking(move || Sink::open(&path, Algorithm::Sha256)).await.map_err(gone)?
            }
        };
        let before = sink.length;
        if let Some(chunk) = chunk
            && chunk.start != before
        {
            *guard = Some(sink);
            return Err(Fault::new(
                Code::BlobUploadInvalid,
                "the chunk does not begin where the last one ended",
            )
            .with_status(http::StatusCode::RANGE_NOT_SATISFIABLE)
            .with_detail(serde_json::json!({ "offset": before })));
        }
        let (sink, received) = receive(sink, chunk, body, &session.progress).await;
        let length = sink.as_ref().map_or(before, |sink| sink.length);
        *guard = sink;
        received?;
        if let Some(chunk) = chunk
            && length - before != chunk.end - chunk.start + 1
        {
            return Err(Fault::new(Code::SizeInvalid, "the body is not as long as Content-Range says"));
        }
        Ok(length)
    }

    /// Checks the digest of what was uploaded, and returns the file if it is right. A wrong digest ends the session.
    pub(crate) async fn verify(&self, session: &Session, digest: &Digest) -> Result<PathBuf, Fault> {
        let mut guard = session.sink.lock().await;
        let path = session.folder.join("data");
        let sink = match guard.take() {
            Some(sink) => sink,
            None => {
                let (path, algorithm) = (path.clone(), digest.algorithm());
                blocking(move || Sink::open(&path, algorithm)).await.map_err(gone)?
            }
        };
        let algorithm = digest.algorithm();
        let found = blocking(move || sink.digest(algorithm)).await?;
        if found == *digest {
            return Ok(path);
        }
        self.discard(session).await?;
        let detail = serde_json::json!({ "provided": digest.as_str(), "content": found.as_str() });
        Err(Fault::new(Code::DigestInvalid, "provided digest did not match uploaded content")
            .with_detail(detail))
    }

    /// Ends a session whose file has become a blob.
    pub(crate) async fn finish(&self, session: &Session) -> Result<(), Fault> {
        self.discard(session).await
    }

    /// Removes sessions that nobody wrote to for `age`, and that this process did not see in use lately; returns their
    /// number and bytes.
    pub(crate) async fn expire(&self, age: Duration, dry_run: bool) -> Result<(u64, u64), Fault> {
        // Younger ones may be in use, whoever asks: one that begins, or is being taken over, is in no list.
        let age = age.max(IN_USE);
        let active: Vec<String> = {
            let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            let used = |session: &Session| *session.used.lock().unwrap_or_else(PoisonError::into_inner);
            let busy =
                |session: &&Arc<Session>| Arc::strong_count(session) > 1 || used(session).elapsed() < age;
            sessions.values().filter(busy).map(|session| session.id.clone()).collect()
        };
        let roots = self.storage.upload_roots();
        let expired = blocking(move || {
            let mut expired = (0, 0);
            for root in roots {
                expire_below(&root, age, &active, dry_run, &mut expired)?;
            }
            Ok(expired)
        })
        .await?;
        Ok(expired)
    }
}

/// The file of a session that was ended by another request.
fn gone(error: StorageError) -> Fault {
    if error.is_absent() { unknown() } else { error.into() }
}

/// Receives a body into a sink. The sink comes back unless its thread died, whatever else happened.
async fn receive<B>(
    sink: Sink,
    chunk: Option<Chunk>,
    mut body: B,
    progress: &Arc<watch::Sender<u64>>,
) -> (Option<Sink>, Result<(), Fault>)
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let limit = chunk.map(|chunk| chunk.end - chunk.start + 1);
    let mut received: u64 = 0;
    let mut outcome = Ok(());
    let mut idle = Some(sink);
    let mut busy: Option<tokio::task::JoinHandle<(Sink, Result<(), StorageError>)>> = None;
    let mut batch = Batch::default();
    loop {
        let frame = tokio::time::timeout(BODY_SILENCE_MAX, body.frame()).await;
        let is_end = !matches!(frame, Ok(Some(Ok(_))));
        match frame {
            Err(_) => {
                outcome = Err(Fault::new(Code::BlobUploadInvalid, "the body does not come")
                    .with_status(http::StatusCode::REQUEST_TIMEOUT));
            }
            Ok(Some(Ok(frame))) => {
                if let Ok(bytes) = frame.into_data() {
                    received += bytes.len() as u64;
                    batch.push(bytes);
                }
            }
            Ok(Some(Err(error))) => {
                outcome = Err(Fault::new(Code::BlobUploadInvalid, format!("the body broke off: {error}")));
            }
            Ok(None) => {}
        }
        if limit.is_some_and(|limit| received > limit) {
            outcome = Err(Fault::new(Code::SizeInvalid, "the body is longer than Content-Range says"));
            batch = Batch::default();
        }
        let is_over = is_end || outcome.is_err();
        if batch.bytes < BATCH_BYTES && !is_over {
            continue;
        }
        if let Some(task) = busy.take() {
            match task.await {
                Ok((sink, Ok(()))) => idle = Some(sink),
                Ok((sink, Err(error))) => return (Some(sink), Err(error.into())),
                Err(error) => return (None, Err(Fault::internal(error))),
            }
        }
        if let Some(mut sink) = idle.take() {
            let full = std::mem::take(&mut batch).parts;
            let progress = progress.clone();
            busy = Some(tokio::task::spawn_blocking(move || {
                let written = sink.append(&full);
                progress.send_replace(sink.length);
                (sink, written)
            }));
        }
        if is_over {
            break;
        }
    }
    match busy {
        None => (idle, outcome),
        Some(task) => match task.await {
            Ok((sink, written)) => (Some(sink), outcome.and(written.map_err(Fault::from))),
            Err(error) => (None, Err(Fault::internal(error))),
        },
    }
}

/// Bytes that wait for the writing thread.
#[derive(Default)]
struct Batch {
    parts: Vec<Bytes>,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, bytes: Bytes) {
        self.bytes += bytes.remaining();
        self.parts.push(bytes);
    }
}

/// A random UUID (RFC 9562, version 4).
fn new_id() -> Option<String> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes);
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    Some([part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-"))
}

/// Walks a tree of repositories for `_uploads` folders.
fn expire_below(
    folder: &Path,
    age: Duration,
    active: &[String],
    dry_run: bool,
    expired: &mut (u64, u64),
) -> Result<(), StorageError> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = entry.path();
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) || name == "_layers" || name == "_manifests" {
            continue;
        }
        let is_session = folder.file_name().is_some_and(|parent| parent == "_uploads") && is_upload_id(&name);
        if !is_session {
            expire_below(&path, age, active, dry_run, expired)?;
            continue;
        }
        let data = fs::metadata(path.join("data")).or_else(|_| fs::metadata(&path));
        let Ok(meta) = data else { continue };
        let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let is_old = SystemTime::now().duration_since(modified).is_ok_and(|idle| idle >= age);
        if is_old && !active.contains(&name) {
            *expired = (expired.0 + 1, expired.1 + if meta.is_file() { meta.len() } else { 0 });
            if !dry_run {
                match fs::remove_dir_all(&path) {
                    // Somebody has ended it meanwhile.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    done => done.map_err(|error| StorageError::io(&path, error))?,
                }
            }
        }
    }
    Ok(())
}
