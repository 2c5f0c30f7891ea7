//! How a layer or archive is compressed, found out by its first bytes: media types lie, and archives have none.

use std::io::{self, BufReader, Chain, Cursor, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::{bufread::XzDecoder, stream::Stream};
use types::image::media_type;

use crate::error::{Error, Result};

/// Longest magic number below.
const MAGIC_MAX: usize = 6;
const BUFFER: usize = 64 << 10;
/// What unpacking xz may take: its highest level needs 65 MiB.
const XZ_MEMORY_MAX: u64 = 96 << 20;

/// A compression this program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// None.
    Plain,
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
    /// Any number of streams.
    Bzip2,
    /// Any number of streams.
    Xz,
}

impl Compression {
    /// The compression of a stream that starts so.
    pub fn detect(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame, which zstd:chunked may begin with.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::Plain,
        }
    }

    /// The media type of a layer compressed so; the others have no name in the specification.
    pub fn layer_media_type(self) -> Option<&'static str> {
        match self {
            Self::Plain => Some(media_type::OCI_LAYER),
            Self::Gzip => Some(media_type::OCI_LAYER_GZIP),
            Self::Zstd => Some(media_type::OCI_LAYER_ZSTD),
            Self::Bzip2 | Self::Xz => None,
        }
    }
}

/// Looks at the first bytes of `stream`; what is given back begins with them again.
pub(crate) fn peek(stream: &mut dyn Read) -> Result<(Compression, Peeked<'_>)> {
    let mut start = vec![0; MAGIC_MAX];
    let mut filled = 0;
    while filled < MAGIC_MAX {
        match stream.read(&mut start[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Input(error)),
        }
    }
    start.truncate(filled);
    Ok((Compression::detect(&start), Cursor::new(start).chain(stream)))
}

/// A stream from its beginning.
pub(crate) type Peeked<'a> = Chain<Cursor<Vec<u8>>, &'a mut dyn Read>;

type Source<'a> = BufReader<Peeked<'a>>;

/// Reads what is in a stream, however it is compressed. Memory is bounded by zstd's default window, 128 MiB.
pub struct Decompressor<'a> {
    inner: Inner<'a>,
    compression: Compression,
}

enum Inner<'a> {
    Plain(Source<'a>),
    Gzip(Box<MultiGzDecoder<Source<'a>>>),
    Zstd(zstd::stream::read::Decoder<'static, Source<'a>>),
    Bzip2(Box<MultiBzDecoder<Source<'a>>>),
    Xz(Box<XzDecoder<Source<'a>>>),
}

impl<'a> Decompressor<'a> {
    /// Looks at the first bytes of `stream`.
    pub fn new(stream: &'a mut dyn Read) -> Result<Self> {
        let (compression, stream) = peek(stream)?;
        Self::over(compression, stream)
    }

    /// The same for a stream that was looked at.
    pub(crate) fn over(compression: Compression, stream: Peeked<'a>) -> Result<Self> {
        let source = BufReader::with_capacity(BUFFER, stream);
        let inner = match compression {
            Compression::Plain => Inner::Plain(source),
            Compression::Gzip => Inner::Gzip(Box::new(MultiGzDecoder::new(source))),
            Compression::Zstd => {
                Inner::Zstd(zstd::stream::read::Decoder::with_buffer(source).map_err(Error::Input)?)
            }
            Compression::Bzip2 => Inner::Bzip2(Box::new(MultiBzDecoder::new(source))),
            Compression::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY_MAX, liblzma::stream::CONCATENATED);
                let stream = stream.map_err(|error| Error::Input(error.into()))?;
                Inner::Xz(Box::new(XzDecoder::new_stream(source, stream)))
            }
        };
        Ok(Self { inner, compression })
    }

    /// What was found.
    pub fn compression(&self) -> Compression {
        self.compression
    }
}

impl std::fmt::Debug for Decompressor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompressor").field("compression", &self.compression).finish_non_exhaustive()
    }
}

impl Read for Decompressor<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.inner {
            Inner::Plain(source) => source.read(buffer),
            Inner::Gzip(decoder) => decoder.read(buffer),
            Inner::Zstd(decoder) => decoder.read(buffer),
            Inner::Bzip2(decoder) => decoder.read(buffer),
            Inner::Xz(decoder) => decoder.read(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ::bzip2::write::BzEncoder::new(Vec::new(), ::bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(mut bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Decompressor::new(&mut bytes).map_err(io::Error::other)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn streams_are_told_apart_by_their_first_bytes() {
        let text = b"hello".repeat(1000);
        let twice = text.repeat(2);
        assert_eq!(read(&text).unwrap(), text);
        assert_eq!(read(b"").unwrap(), b"");
        assert_eq!(read(b"\x1f").unwrap(), b"\x1f");
        assert_eq!(read(&gzip(&text)).unwrap(), text);
        assert_eq!(read(&gzip(&text).repeat(2)).unwrap(), twice, "several members");
        let frame = zstd::encode_all(&text[..], 1).unwrap();
        assert_eq!(read(&frame).unwrap(), text);
        assert_eq!(read(&frame.repeat(2)).unwrap(), twice, "several frames");
        assert_eq!(read(&bzip2(&text)).unwrap(), text);
        assert_eq!(read(&bzip2(&text).repeat(2)).unwrap(), twice, "several streams");
        assert_eq!(read(&xz(&text)).unwrap(), text);
        assert_eq!(read(&xz(&text).repeat(2)).unwrap(), twice, "several streams");
    }

    #[test]
    fn cut_streams_are_errors() {
        let text: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        for whole in [gzip(&text), zstd::encode_all(&text[..], 1).unwrap(), bzip2(&text), xz(&text)] {
            assert!(read(&whole[..whole.len() / 2]).is_err());
        }
    }
}
