//! SHA-256, streaming.

use std::io::{self, Read};

use aws_lc_rs::digest::{Context, SHA256};
use types::Digest;

/// A hash under way.
#[derive(Clone)]
pub struct Sha256(Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl std::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sha256")
    }
}

impl Sha256 {
    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes.
    pub fn finish(self) -> Digest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.finish().as_ref());
        Digest::from_sha256(&bytes)
    }
}

/// The digest of `bytes`.
pub fn sha256(bytes: &[u8]) -> Digest {
    let mut hash = Sha256::default();
    hash.update(bytes);
    hash.finish()
}

/// Hashes and counts what is read through it.
#[derive(Debug)]
pub struct HashReader<R> {
    inner: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> HashReader<R> {
    /// Hashes from here on.
    pub fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::default(), bytes: 0 }
    }

    /// The number of bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest and number of the bytes read.
    pub fn finish(self) -> (Digest, u64) {
        (self.hash.finish(), self.bytes)
    }
}

impl<R: Read> Read for HashReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hash.update(&buffer[..n]);
        self.bytes += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_abc_is_that_of_fips_180() {
        let want = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc").as_str(), want);
        let mut reader = HashReader::new(&b"abc"[..]);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(reader.finish(), (want.parse().unwrap(), 3));
    }
}
