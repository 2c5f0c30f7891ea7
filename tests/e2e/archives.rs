//! Tars and image archives, honest and otherwise, byte by byte.

use aws_lc_rs::digest::{SHA256, digest as hash};
use serde_json::json;

pub(crate) const BLOCK: usize = 512;

/// `sha256:...` of the bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex: String = hash(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A tar that is being written. What it is told it writes, whether or not that makes sense.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    /// An entry: `0` file, `1` hard link, `2` symbolic link, `3` `4` devices, `5` directory, `x` `g` `L` `K` special.
    pub(crate) fn entry(self, kind: u8, path: &[u8], link: &[u8], body: &[u8]) -> Self {
        let size = format!("{:011o}\0", body.len());
        self.sized(kind, path, link, size.as_bytes(), body)
    }

    /// The same with a size field of its own, which need not be the body's.
    pub(crate) fn sized(self, kind: u8, path: &[u8], link: &[u8], size: &[u8], body: &[u8]) -> Self {
        if path.len() > 100 && !matches!(kind, b'L' | b'K' | b'x' | b'g') {
            return self.entry(b'L', b"././@LongLink", b"", path).sized(kind, &path[..100], link, size, body);
        }
        if link.len() > 100 {
            return self.entry(b'K', b"././@LongLink", b"", link).sized(kind, path, &link[..100], size, body);
        }
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, path);
        put(100, if kind == b'5' { b"0000755\0" } else { b"0000644\0" });
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, size);
        put(136, b"14000000000\0");
        put(156, &[kind]);
        put(157, link);
        put(257, b"ustar\x0000");
        if matches!(kind, b'3' | b'4') {
            put(329, b"0000001\0");
            put(337, b"0000003\0");
        }
        self.block(block).raw(body)
    }

    /// A header whose checksum is made right.
    pub(crate) fn block(mut self, mut block: [u8; BLOCK]) -> Self {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
        self
    }

    /// Bytes, padded to a block.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    pub(crate) fn file(self, path: &str, body: &[u8]) -> Self {
        self.entry(b'0', path.as_bytes(), b"", body)
    }

    pub(crate) fn directory(self, path: &str) -> Self {
        self.entry(b'5', path.as_bytes(), b"", b"")
    }

    pub(crate) fn symlink(self, path: &str, to: &str) -> Self {
        self.entry(b'2', path.as_bytes(), to.as_bytes(), b"")
    }

    pub(crate) fn hard_link(self, path: &str, to: &str) -> Self {
        self.entry(b'1', path.as_bytes(), to.as_bytes(), b"")
    }

    /// A pax header for the next entry.
    pub(crate) fn pax(self, key: &str, value: &str) -> Self {
        // The length counts itself.
        let rest = key.len() + value.len() + 3;
        let length = (1..).find(|n: &usize| rest + n.to_string().len() == *n).unwrap_or_default();
        self.entry(b'x', b"pax", b"", format!("{length} {key}={value}\n").as_bytes())
    }

    /// With the two blocks at the end.
    pub(crate) fn done(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 2 * BLOCK]);
        self.0
    }

    /// As it stands.
    pub(crate) fn cut(self) -> Vec<u8> {
        self.0
    }
}

/// A layer of one file that is like no other's of another `text`.
pub(crate) fn layer(text: &str) -> Vec<u8> {
    Tar::default().directory("etc/").file(&format!("etc/{text}"), text.repeat(100).as_bytes()).done()
}

/// The config of an image of these (uncompressed) layers.
pub(crate) fn config(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux", "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    config.to_string().into_bytes()
}

/// An archive as `docker save` wrote it for years.
pub(crate) fn docker_archive(name: &str, config: &[u8], layers: &[Vec<u8>]) -> Vec<u8> {
    let names: Vec<String> = (0..layers.len()).map(|n| format!("{n}/layer.tar")).collect();
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": names}]).to_string();
    let mut tar = Tar::default().file("config.json", config);
    for (name, layer) in names.iter().zip(layers) {
        tar = tar.file(name, layer);
    }
    tar.file("manifest.json", manifest.as_bytes()).done()
}

/// An archive of an honest image of these layers.
pub(crate) fn image(name: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    docker_archive(name, &config(layers), layers)
}
