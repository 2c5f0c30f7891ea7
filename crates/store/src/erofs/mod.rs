//! Layers that stay the tars they came as: an index in the format of erofs says which bytes of which tar are which
//! file, and the kernel mounts the index with the tars as further devices.
//!
//! ```text
//!   layer.tar, layer.tar, ... --headers--> a tree per layer --stacked--> one tree --> index
//! ```
//! Nothing is unpacked, so a layer costs one sequential write however many files it has, and is gone with one unlink.
//! The index shows a whole chain of layers: what upper ones delete is simply not in it, and a container needs one
//! mount, not one per layer. It can be made again from the tars at any time. Why, and what else there is to say:
//! docs/decisions/erofs.md.

mod format;
mod layer;
mod mount;
#[cfg(test)]
mod tests;
mod tree;
mod write;

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use tar::{Reader, TarError};

use self::layer::{Devices, Layer};
use crate::{
    error::{Error, IoContext, Result},
    hash::sha256,
    snapshot::Usage,
};

pub(crate) use mount::mount;

/// What an index counts in, and tars are made of.
const BLOCK: u64 = 512;
/// What may follow the end of an archive: tar pads to its record size, which is rarely above a megabyte.
const TRAILER_MAX: u64 = 1 << 30;
const BUFFER: usize = 256 << 10;
/// For reading entries only: with more, files of a few kilobytes would be read as a whole.
const ENTRIES: usize = 4 << 10;

/// Layers on top of each other.
#[derive(Debug, Clone)]
pub(crate) struct Layers {
    /// Base first.
    dirs: Vec<PathBuf>,
}

/// The layer's tar in its directory.
pub(crate) fn tar_in(dir: &Path) -> PathBuf {
    dir.join("layer.tar")
}

/// What its sparse files hold, spread out as the kernel wants it; there only if it has any.
fn sparse_in(dir: &Path) -> PathBuf {
    dir.join("sparse")
}

/// Writes the tar `stream` into `dir` while it is checked. Nothing is flushed.
pub(crate) fn receive(stream: &mut dyn Read, dir: &Path) -> Result<Usage> {
    let path = tar_in(dir);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&path);
    let file = file.at("creating", &path)?;
    let tee = Tee { inner: stream, file, path: &path, buffer: vec![0; BUFFER], at: 0, end: 0 };
    let mut reader = Reader::new(tee);
    let layer = scan(&mut reader, dir, |_| Ok(())).map_err(|error| match error {
        Error::Tar(TarError::Io(error)) => stream_error(error),
        error => error,
    })?;
    let drained =
        io::copy(&mut reader.into_inner().take(TRAILER_MAX + 1), &mut io::sink()).map_err(stream_error)?;
    if drained > TRAILER_MAX {
        return Err(Error::TooLarge { what: "trailer of the archive".to_owned(), limit: TRAILER_MAX });
    }
    Ok(layer.usage)
}

/// Takes a tar that lies in the store already under another name, and checks it.
pub(crate) fn adopt(tar: &Path, dir: &Path) -> Result<Usage> {
    let path = tar_in(dir);
    std::fs::hard_link(tar, &path).at("linking", &path)?;
    let file = File::open(&path).at("opening", &path)?;
    let length = file.metadata().at("looking at", &path)?.len();
    let mut reader = Reader::new(BufReader::with_capacity(ENTRIES, file));
    Ok(scan(&mut reader, dir, |reader| seek_over(reader, length))?.usage)
}

/// Reads all entries of a layer. `next` may go over the rest of each payload quickly.
fn scan<R: Read>(
    reader: &mut Reader<R>,
    dir: &Path,
    mut next: impl FnMut(&mut Reader<R>) -> Result<()>,
) -> Result<Layer> {
    let mut layer = Layer::new(Devices { tar: 1, sparse: 2 });
    let mut sparse = None;
    while let Some(entry) = reader.next_entry()? {
        let pieces = layer.add(&entry, reader.position())?;
        if !pieces.is_empty() {
            copy_sparse(reader, &pieces, dir, &mut sparse)?;
        }
        next(reader)?;
    }
    if let Some(file) = sparse {
        file.set_len(layer.sparse_blocks * BLOCK).at("growing", sparse_in(dir))?;
    }
    Ok(layer)
}

/// Puts the payload of a sparse file where its chunks are. Holes stay holes.
fn copy_sparse<R: Read>(
    reader: &mut Reader<R>,
    pieces: &[(u64, u64)],
    dir: &Path,
    sparse: &mut Option<File>,
) -> Result<()> {
    let path = sparse_in(dir);
    let file = match sparse {
        Some(file) => file,
        None => {
            let made = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&path);
            sparse.insert(made.at("creating", &path)?)
        }
    };
    let mut buffer = vec![0; 64 << 10];
    for (mut at, length) in pieces.iter().copied() {
        let end = at + length;
        while at < end {
            let want = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
            reader.read_exact(&mut buffer[..want]).map_err(stream_error)?;
            file.write_all_at(&buffer[..want], at).at("writing", &path)?;
            at += want as u64;
        }
    }
    Ok(())
}

/// Goes over the payload without reading it. A tar that ends before is cut short.
fn seek_over<R: Read + io::Seek>(reader: &mut Reader<R>, length: u64) -> Result<()> {
    if (reader.position() + reader.remaining()).next_multiple_of(BLOCK) > length {
        return Err(TarError::UnexpectedEof.into());
    }
    reader.seek_over().map_err(|error| TarError::from(error).into())
}

/// What the file system said of the tar that is being written, or the tar reader of the stream.
fn stream_error(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => TarError::from(error).into(),
    }
}

/// Hands on what it reads, and writes it to a file by the way.
struct Tee<'a> {
    inner: &'a mut dyn Read,
    file: File,
    path: &'a Path,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
}

impl Read for Tee<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.end {
            self.at = 0;
            self.end = self.inner.read(&mut self.buffer)?;
            let written = self.file.write_all(&self.buffer[..self.end]);
            written.at("writing", self.path).map_err(io::Error::other)?;
        }
        let n = out.len().min(self.end - self.at);
        out[..n].copy_from_slice(&self.buffer[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

impl Layers {
    /// Layers in these directories, base first.
    pub(crate) fn new(dirs: Vec<PathBuf>) -> Self {
        Self { dirs }
    }

    /// What an index of the layers points into, in the order of its device table.
    pub(crate) fn devices(&self) -> Vec<PathBuf> {
        self.dirs.iter().flat_map(|dir| files_in(dir)).collect()
    }

    /// Makes the index of all layers together at `path`, where it appears complete and flushed or not at all. `name` is
    /// what the file system's id is made from.
    pub(crate) fn index(&self, path: &Path, name: &str) -> Result<()> {
        let mut whole = tree::Tree::new();
        let mut blocks = Vec::new();
        for dir in &self.dirs {
            let device = blocks.len() as u16 + 1;
            let layer = read(dir, Devices { tar: device, sparse: device + 1 }, &mut blocks)?;
            tree::stack(&mut whole, &layer.tree)?;
        }
        // 32 of 64 hexadecimal digits are 16 bytes.
        let uuid = u128::from_str_radix(&sha256(name.as_bytes()).hex()[..32], 16).unwrap_or_default();
        let unfinished = path.with_extension("new");
        let made = Self::write(&whole, &blocks, uuid.to_be_bytes(), &unfinished)
            .and_then(|()| std::fs::rename(&unfinished, path).at("putting in place", path));
        if made.is_err() {
            // On a full disk it would be in the way. The first error is the one to tell.
            let _ = std::fs::remove_file(&unfinished);
        }
        made
    }

    fn write(tree: &tree::Tree, blocks: &[u32], uuid: [u8; 16], path: &Path) -> Result<()> {
        let file = File::create(path).at("creating", path)?;
        let mut out = BufWriter::with_capacity(BUFFER, &file);
        write::write(tree, blocks, uuid, &mut out).and_then(|()| out.flush()).at("writing", path)?;
        drop(out);
        file.sync_data().at("flushing", path)
    }
}

/// What the layer in `dir` takes.
pub(crate) fn usage(dir: &Path) -> Result<Usage> {
    Ok(read(dir, Devices { tar: 1, sparse: 2 }, &mut Vec::new())?.usage)
}

/// Flushes the files of a layer.
pub(crate) fn flush(dir: &Path) -> Result<()> {
    for path in files_in(dir) {
        File::open(&path).and_then(|file| file.sync_data()).at("flushing", path)?;
    }
    File::open(dir).and_then(|dir| dir.sync_all()).at("flushing", dir)
}

/// A layer that was checked before; the lengths of its devices come to `blocks`.
fn read(dir: &Path, devices: Devices, blocks: &mut Vec<u32>) -> Result<Layer> {
    let path = tar_in(dir);
    let file = File::open(&path).at("opening", &path)?;
    let length = file.metadata().at("looking at", &path)?.len();
    let mut reader = Reader::new(BufReader::with_capacity(ENTRIES, file));
    let mut layer = Layer::new(devices);
    while let Some(entry) = reader.next_entry()? {
        layer.add(&entry, reader.position())?;
        seek_over(&mut reader, length)?;
    }
    for file in files_in(dir) {
        let length = std::fs::metadata(&file).at("looking at", &file)?.len();
        blocks.push(u32::try_from(length.div_ceil(BLOCK)).unwrap_or(u32::MAX));
    }
    Ok(layer)
}

/// What the files of a layer point into.
fn files_in(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let sparse = sparse_in(dir);
    std::iter::once(tar_in(dir)).chain(sparse.exists().then_some(sparse))
}
