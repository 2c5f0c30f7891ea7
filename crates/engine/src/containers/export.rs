//! `docker export`: the container's own tree as a tar, without what is mounted in it.

use std::io::{self, Write as _};

use types::{Error, Result};

use super::Containers;
use super::state::Status;
use crate::images::ArchiveStream;

impl Containers {
    /// Packs the whole tree. Dropping the stream ends the work.
    pub async fn export(&self, name: &str) -> Result<ArchiveStream> {
        let handle = self.find(name)?;
        let record = handle.record();
        let refused = match record.state.status() {
            Status::Dead => Some("Dead"),
            Status::Removing => Some("being removed"),
            _ => None,
        };
        if let Some(why) = refused {
            return Err(Error::conflict(format!("You cannot export container {} which is {why}", record.id)));
        }
        let (chunks, stream) = ArchiveStream::channel();
        let shared = self.0.clone();
        crate::aside("export", move || {
            let mut out = io::BufWriter::with_capacity(64 << 10, chunks.clone());
            let packed = shared
                .store
                .snapshots()
                .export(record.id.as_str(), &mut out)
                .map_err(Error::from)
                .and_then(|()| out.flush().map_err(Error::internal));
            if packed.is_ok() {
                shared.publish(&record, "export", []);
            }
            chunks.end(packed);
        })?;
        Ok(stream)
    }
}
