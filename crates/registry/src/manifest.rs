//! Manifests and indexes as a registry serves them: told apart safely, and the right one chosen for a platform.

use serde::Deserialize;
use types::image::media_type;
use types::{Descriptor, Digest, Index, Manifest, Platform};

use crate::Error;

/// What we can read, in the order in which Docker offers it.
pub(crate) const ACCEPT: &str = concat!(
    "application/vnd.docker.distribution.manifest.v2+json, ",
    "application/vnd.docker.distribution.manifest.list.v2+json, ",
    "application/vnd.oci.image.index.v1+json, ",
    "application/vnd.oci.image.manifest.v1+json, ",
    "application/vnd.docker.distribution.manifest.v1+prettyjws, ",
    "application/json"
);

/// A manifest as it came: the digest is that of `bytes`.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// From `Content-Type`; empty if the registry gave none.
    pub media_type: String,
    /// Digest of the bytes, verified.
    pub digest: Digest,
    /// The document.
    pub bytes: bytes::Bytes,
}

/// The two kinds of manifest we pull.
#[derive(Debug, Clone)]
pub enum Manifests {
    /// One image.
    Image(Box<Manifest>),
    /// One image for several platforms.
    Index(Index),
}

/// Reads a manifest. A document that could be taken for both kinds is refused (CVE-2021-41190).
pub fn parse(fetched: &Fetched) -> Result<Manifests, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        #[serde(default)]
        schema_version: u32,
        #[serde(default)]
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
        config: Option<serde::de::IgnoredAny>,
        layers: Option<serde::de::IgnoredAny>,
    }
    let invalid = |cause: serde_json::Error| Error::InvalidManifest {
        digest: fetched.digest.clone(),
        cause: cause.to_string(),
    };
    let shape: Shape = serde_json::from_slice(&fetched.bytes).map_err(invalid)?;
    let served = fetched.media_type.split(';').next().unwrap_or_default().trim();
    if shape.schema_version == 1 || served.starts_with("application/vnd.docker.distribution.manifest.v1+") {
        return Err(Error::Schema1);
    }
    let inner = shape.media_type.as_deref().unwrap_or_default();
    let is_generic = matches!(served, "" | "application/json" | "application/octet-stream" | "text/plain");
    let is_index_shape = shape.manifests.is_some();
    let media = match (is_generic, inner) {
        (true, "") if is_index_shape => media_type::OCI_INDEX,
        (true, "") => media_type::OCI_MANIFEST,
        (true, inner) => inner,
        (false, inner) if inner.is_empty() || inner == served => served,
        (false, _) => return Err(Error::UnsupportedManifest(format!("{served} which says {inner}"))),
    };
    match media {
        media_type::OCI_INDEX | media_type::DOCKER_LIST => {
            if shape.config.is_some() || shape.layers.is_some() {
                return Err(Error::UnsupportedManifest("an index with layers".to_owned()));
            }
            serde_json::from_slice(&fetched.bytes).map(Manifests::Index).map_err(invalid)
        }
        media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => {
            if is_index_shape {
                return Err(Error::UnsupportedManifest("a manifest with manifests".to_owned()));
            }
            serde_json::from_slice(&fetched.bytes)
                .map(|manifest| Manifests::Image(Box::new(manifest)))
                .map_err(invalid)
        }
        other => Err(Error::UnsupportedManifest(other.to_owned())),
    }
}

/// The entry of `index` that suits `wanted` best; the first of equals.
pub fn choose<'a>(index: &'a Index, wanted: &Platform) -> Result<&'a Descriptor, Error> {
    let candidates = index.manifests.iter().filter_map(|entry| Some((rank(entry, wanted)?, entry)));
    candidates
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, entry)| entry)
        .ok_or_else(|| Error::NoMatch(wanted.clone()))
}

/// How far an entry is from what is wanted: 0 is exact, `None` cannot run.
fn rank(entry: &Descriptor, wanted: &Platform) -> Option<u32> {
    // Entries without a platform come last, as with Docker.
    let Some(platform) = &entry.platform else { return Some(u32::MAX) };
    if platform.os != wanted.os {
        return None;
    }
    let version = |p: &Platform| p.variant.trim_start_matches('v').parse::<u32>().ok();
    match (wanted.architecture.as_str(), platform.architecture.as_str()) {
        ("arm64", "arm64") => {
            let of = |p| version(p).unwrap_or(8);
            of(wanted).checked_sub(of(platform))
        }
        ("arm64", "arm") => Some(100 + 8u32.saturating_sub(version(platform).unwrap_or(7))),
        ("arm", "arm") => {
            let of = |p| version(p).unwrap_or(7);
            of(wanted).checked_sub(of(platform))
        }
        ("amd64", "amd64") => {
            let of = |p| version(p).unwrap_or(1);
            of(wanted).checked_sub(of(platform))
        }
        ("amd64", "386") => Some(100),
        (wanted_arch, arch) => (wanted_arch == arch
            && (wanted.variant.is_empty() || wanted.variant == platform.variant))
            .then_some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetched(media_type: &str, body: &str) -> Fetched {
        Fetched {
            media_type: media_type.to_owned(),
            digest: Digest::from_sha256(&[0; 32]),
            bytes: bytes::Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    fn kind(media_type: &str, body: &str) -> String {
        match parse(&fetched(media_type, body)) {
            Ok(Manifests::Image(_)) => "image".to_owned(),
            Ok(Manifests::Index(_)) => "index".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_manifest_is_told_by_its_type_and_never_taken_for_another() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let descriptor = format!(r#"{{"mediaType":"m","digest":"{digest}","size":1}}"#);
        let image = format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[]}}"#);
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        let both = format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[],"manifests":[]}}"#);
        assert_eq!(kind(media_type::OCI_MANIFEST, &image), "image");
        assert_eq!(kind("application/vnd.oci.image.manifest.v1+json; charset=utf-8", &image), "image");
        assert_eq!(kind("", &image), "image");
        assert_eq!(kind("application/json", index), "index");
        assert_eq!(kind(media_type::DOCKER_LIST, index), "index");
        let unsupported = "unsupported manifest format";
        assert_eq!(kind(media_type::OCI_MANIFEST, &both), unsupported);
        assert_eq!(kind(media_type::OCI_INDEX, &both), unsupported);
        assert_eq!(kind("application/x-what", &image), unsupported);
        let lying =
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
        assert_eq!(kind(media_type::OCI_MANIFEST, lying), unsupported);
        assert_eq!(kind("", r#"{"schemaVersion":1}"#), "schema 1 manifest");
        assert_eq!(
            kind("application/vnd.docker.distribution.manifest.v1+prettyjws", "{}"),
            "schema 1 manifest"
        );
        assert!(kind("", "{").starts_with("invalid manifest sha256:000"));
    }

    fn choice(wanted: &str, entries: &[&str]) -> String {
        let manifests = entries
            .iter()
            .enumerate()
            .map(|(at, text)| {
                let parts: Vec<&str> = text.split('/').collect();
                let part = |n: usize| parts.get(n).copied().unwrap_or_default().to_owned();
                Descriptor {
                    media_type: media_type::OCI_MANIFEST.to_owned(),
                    digest: Digest::from_sha256(&[at as u8; 32]),
                    size: 1,
                    urls: Vec::new(),
                    annotations: Default::default(),
                    platform: (*text != "none").then(|| Platform {
                        os: part(0),
                        architecture: part(1),
                        variant: part(2),
                        os_version: String::new(),
                    }),
                    artifact_type: None,
                }
            })
            .collect();
        let index = Index { schema_version: 2, media_type: None, manifests, annotations: Default::default() };
        match choose(&index, &wanted.parse().expect("a platform")) {
            Ok(entry) => {
                let at = index.manifests.iter().position(|e| e == entry).expect("one of them");
                entries[at].to_owned()
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_nearest_platform_is_chosen() {
        let common =
            ["linux/386", "linux/arm/v5", "linux/arm/v7", "linux/arm64/v8", "linux/amd64", "unknown/unknown"];
        assert_eq!(choice("linux/amd64", &common), "linux/amd64");
        assert_eq!(choice("linux/arm64", &common), "linux/arm64/v8");
        assert_eq!(choice("linux/arm64/v8", &["linux/arm64"]), "linux/arm64");
        assert_eq!(choice("linux/arm/v7", &common), "linux/arm/v7");
        assert_eq!(choice("linux/arm/v6", &common), "linux/arm/v5");
        assert_eq!(choice("linux/amd64", &["linux/386"]), "linux/386");
        assert_eq!(choice("linux/amd64", &["linux/amd64/v3", "linux/amd64"]), "linux/amd64");
        assert_eq!(choice("linux/amd64", &["none", "linux/amd64"]), "linux/amd64");
        assert_eq!(choice("linux/amd64", &["none"]), "none");
        assert_eq!(
            choice("linux/s390x", &common),
            "no matching manifest for linux/s390x in the manifest list entries"
        );
        assert_eq!(
            choice("linux/amd64", &["windows/amd64"]),
            "no matching manifest for linux/amd64 in the manifest list entries"
        );
    }
}
