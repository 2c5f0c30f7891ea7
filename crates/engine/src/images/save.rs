//! `docker save`: images as one archive, streamed.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::mpsc;
use types::{Digest, Error, ErrorKind, ImageRef, Platform, Result};

use super::{Images, Shared};

/// Bytes per chunk, and chunks that may wait for a slow client.
const CHUNK: usize = 64 << 10;
const CHUNKS_MAX: usize = 4;

/// An archive on its way. Dropping it ends the work.
#[derive(Debug)]
pub struct ArchiveStream(mpsc::Receiver<Result<Bytes>>);

impl ArchiveStream {
    /// A stream and what is written to it, from a thread.
    pub(crate) fn channel() -> (Chunks, Self) {
        let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
        (Chunks(sender), Self(receiver))
    }
}

impl futures_util::Stream for ArchiveStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

impl Images {
    /// Writes the images that `wanted` names (references, ids; a repository alone means all its tags) as docker-archive
    /// and OCI layout in one. An unknown one, and one that is not for `platform`, is told before the first byte.
    pub async fn save(&self, wanted: Vec<String>, platform: Option<Platform>) -> Result<ArchiveStream> {
        let choose = move |shared: &Shared| {
            let chosen = shared.choose(&wanted)?;
            if let Some(platform) = platform {
                shared.check_platform(&chosen, &platform)?;
            }
            Ok(chosen)
        };
        let chosen = self.blocking(choose).await?;
        let (chunks, stream) = ArchiveStream::channel();
        let shared = self.0.clone();
        crate::aside("save", move || {
            let mut out = io::BufWriter::with_capacity(CHUNK, chunks.clone());
            let written = store::archive::save(&shared.store, &chosen, &mut out)
                .map_err(Error::from)
                .and_then(|()| out.flush().map_err(Error::internal));
            match written {
                Ok(()) => shared.publish_saved(&chosen),
                failed => chunks.end(failed),
            }
        })?;
        Ok(stream)
    }
}

impl Shared {
    /// Each image once, with the names under which it was asked for.
    fn choose(&self, wanted: &[String]) -> Result<Vec<(Digest, Vec<ImageRef>)>> {
        let mut chosen: Vec<(Digest, Vec<ImageRef>)> = Vec::new();
        let mut add = |id: Digest, name: Option<ImageRef>| {
            let at = chosen.iter().position(|(known, _)| *known == id).unwrap_or_else(|| {
                chosen.push((id, Vec::new()));
                chosen.len() - 1
            });
            if let Some(name) = name.filter(|name| !chosen[at].1.contains(name)) {
                chosen[at].1.push(name);
            }
        };
        for text in wanted {
            let reference = text.parse::<ImageRef>().ok();
            if let Some(repository) =
                reference.as_ref().filter(|name| name.tag().is_none() && name.digest().is_none())
            {
                let all = self.store.images().names()?;
                let tags: Vec<_> = all
                    .into_iter()
                    .filter(|(name, _)| name.tag().is_some() && name.repository() == repository.repository())
                    .collect();
                if !tags.is_empty() {
                    tags.into_iter().for_each(|(name, id)| add(id, Some(name)));
                    continue;
                }
            }
            let record = self.find(text).map_err(|error| unsavable(error, text, reference.as_ref()))?;
            // An id, or a digest, gives the archive no name.
            let name = reference.filter(|name| name.tag().is_some() && record.names.contains(name));
            add(record.id, name);
        }
        if chosen.is_empty() {
            return Err(Error::invalid("no images to save"));
        }
        Ok(chosen)
    }

    fn check_platform(&self, chosen: &[(Digest, Vec<ImageRef>)], wanted: &Platform) -> Result<()> {
        for (id, _) in chosen {
            let record =
                self.store.images().get(id)?.ok_or_else(|| crate::error::no_such_image(id.as_str()))?;
            if !record.parsed()?.platform().runs_on(wanted) {
                let words = format!("no suitable export target found for platform {wanted}");
                return Err(Error::internal(words));
            }
        }
        Ok(())
    }

    fn publish_saved(&self, chosen: &[(Digest, Vec<ImageRef>)]) {
        for (id, _) in chosen {
            if let Ok(Some(record)) = self.store.images().get(id) {
                self.publish("save", id.as_str(), id.as_str(), &record);
            }
        }
    }
}

/// Docker has words of its own here: those of the table of names, and no default tag.
fn unsavable(error: Error, text: &str, reference: Option<&ImageRef>) -> Error {
    let has_tag = reference.is_some_and(|name| name.tag().is_some() || name.digest().is_some());
    match error.kind {
        ErrorKind::NotFound if has_tag => Error::not_found("reference does not exist"),
        ErrorKind::NotFound => crate::error::no_such_image(text),
        _ => error,
    }
}

/// The writing end of an archive.
#[derive(Debug, Clone)]
pub(crate) struct Chunks(mpsc::Sender<Result<Bytes>>);

impl Chunks {
    /// The last word: an error breaks the stream. Nobody reads it if the client is gone.
    pub(crate) fn end(self, outcome: Result<()>) {
        if let Err(error) = outcome {
            drop(self.0.blocking_send(Err(error)));
        }
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = Ok(Bytes::copy_from_slice(bytes));
        self.0.blocking_send(chunk).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
