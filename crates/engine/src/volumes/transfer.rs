//! `volume export`, `import` and `clone`: not Docker's. A volume's files as a tar, out and in, with owners, modes, times,
//! hard links and extended attributes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::thread;

use store::Volume;
use store::subtree;
use tokio::io::AsyncRead;
use tokio_util::io::SyncIoBridge;
use types::{Error, Result};

use super::{VolumeDetails, Volumes};
use crate::images::ArchiveStream;
use crate::{blocking, random};

const BUFFER_BYTES: usize = 64 << 10;

impl Volumes {
    /// All that is in a volume, as a tar. It may be in use; then files are packed as they are when their turn comes.
    /// Dropping the stream ends the work.
    pub async fn export(&self, name: &str) -> Result<ArchiveStream> {
        let (this, name) = (self.clone(), name.to_owned());
        let (chunks, stream) = ArchiveStream::channel();
        let volume = blocking({
            let (this, name) = (this.clone(), name.clone());
            move || this.find(&name)
        })
        .await?;
        crate::aside("export", move || {
            let mut out = io::BufWriter::with_capacity(BUFFER_BYTES, chunks.clone());
            let packed = this.with_data(&volume, |data| pack(data, &mut out));
            let packed = packed.and_then(|()| out.flush().map_err(Error::internal));
            if packed.is_ok() {
                this.publish("export", (&volume.name, &volume.driver), []);
            }
            chunks.end(packed);
        })?;
        Ok(stream)
    }

    /// Makes a local volume of a tar (plain or compressed). Nobody sees it before it is whole.
    pub async fn import<R>(
        &self,
        name: &str,
        labels: BTreeMap<String, String>,
        archive: R,
    ) -> Result<VolumeDetails>
    where
        R: AsyncRead + Send + Unpin + 'static,
    {
        let (this, name) = (self.clone(), name.to_owned());
        // The bridge must be made inside the runtime; it is used outside.
        let mut archive = SyncIoBridge::new(archive);
        blocking(move || this.make_filled(&name, &labels, |data| unpack(data, &mut archive))).await
    }

    /// Makes a local volume with all that is in another one.
    pub async fn copy(
        &self,
        from: &str,
        name: &str,
        labels: BTreeMap<String, String>,
    ) -> Result<VolumeDetails> {
        let (this, from, name) = (self.clone(), from.to_owned(), name.to_owned());
        blocking(move || {
            let source = this.find(&from)?;
            this.make_filled(&name, &labels, |data| {
                this.with_data(&source, |source| {
                    let (mut reader, writer) = io::pipe().map_err(Error::internal)?;
                    thread::scope(|scope| {
                        let packing = scope.spawn(move || {
                            let mut out = io::BufWriter::with_capacity(BUFFER_BYTES, writer);
                            pack(source, &mut out).and_then(|()| out.flush().map_err(Error::internal))
                        });
                        let unpacked = unpack(data, &mut reader);
                        // Whoever still writes learns that nobody reads any more.
                        drop(reader);
                        let packed = packing.join();
                        let packed =
                            packed.unwrap_or_else(|_| Err(Error::internal("packing a volume failed")));
                        // A tar that ends too early is a consequence, not the cause.
                        if unpacked.is_ok() { packed } else { packed.and(unpacked) }
                    })
                })
            })
        })
        .await
    }

    fn make_filled(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<VolumeDetails> {
        let taken = || Error::conflict(format!("volume {name} already exists"));
        if self.0.store.volumes().get(name)?.is_some() {
            return Err(taken());
        }
        let mut why = None;
        let made = self.0.store.volumes().create_filled(name, labels, |data| {
            fill(data).map_err(|error| {
                let text = error.message.clone();
                why = Some(error);
                store::Error::Invalid(text)
            })
        });
        let volume = match (made, why) {
            (Ok(volume), _) => volume,
            (Err(_), Some(error)) => return Err(error),
            (Err(store::Error::Exists { .. }), None) => return Err(taken()),
            (Err(error), None) => return Err(error.into()),
        };
        self.publish("create", (&volume.name, &volume.driver), []);
        Ok(self.describe(volume, false))
    }

    /// Does something with a volume's directory, which stays there meanwhile.
    fn with_data<T>(&self, volume: &Volume, act: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
        if volume.is_local() && !volume.is_mounted_on_use() {
            // Only a removal enters too, and waits.
            let _busy = self.0.busy.enter(&volume.name);
            self.find(&volume.name)?;
            return act(&volume.mountpoint);
        }
        let user = types::id::hex(&random::bytes::<32>()?);
        let data = self.attach(&volume.name, &user)?;
        let done = act(&data);
        self.detach_all(&user);
        done
    }
}

fn pack(data: &Path, out: &mut dyn io::Write) -> Result<()> {
    let dir = open(data)?;
    // All of what is mounted there counts: it is what containers see.
    Ok(subtree::pack_directory(dir, Path::new("."), data, &[], out)?)
}

fn unpack(data: &Path, archive: &mut dyn Read) -> Result<()> {
    let dir = open(data)?;
    Ok(subtree::unpack_all(dir.as_fd(), archive)?)
}

fn open(data: &Path) -> Result<OwnedFd> {
    let opened = File::open(data);
    opened.map(OwnedFd::from).map_err(|error| Error::internal(format!("opening {}: {error}", data.display())))
}
