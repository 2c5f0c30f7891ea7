//! Manifests: which kinds are taken, and what they point to.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::digest::Digest;
use super::error::{Code, Fault};

/// The largest manifest that is taken (distribution-spec: clients may count on 4 megabytes).
pub(crate) const MANIFEST_MAX: u64 = 4 << 20;
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Of a release candidate of image-spec 1.1; registries hold some.
const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";

/// All kinds that are taken.
const KINDS: [&str; 5] = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, OCI_ARTIFACT];

/// What a manifest points to, as far as a registry has to know.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: String,
    #[serde(default)]
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) platform: Option<Platform>,
    #[serde(default)]
    pub(crate) urls: Option<Vec<String>>,
}

impl Descriptor {
    /// A layer that lies elsewhere by design (image-spec, "non-distributable").
    fn is_foreign(&self) -> bool {
        self.media_type.contains(".nondistributable.")
            || self.media_type.contains(".foreign.")
            || self.urls.as_ref().is_some_and(|urls| !urls.is_empty())
    }
}

/// For what an entry of an index is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Platform {
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) variant: String,
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

/// A manifest that passed the checks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Manifest {
    /// What it is served as: its own word, or what its shape says.
    pub(crate) media_type: &'static str,
    pub(crate) config: Option<Descriptor>,
    pub(crate) layers: Vec<Descriptor>,
    /// Entries of an index.
    pub(crate) manifests: Vec<Descriptor>,
    pub(crate) subject: Option<Digest>,
    pub(crate) artifact_type: String,
    pub(crate) annotations: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(default)]
    schema_version: Option<u64>,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    blobs: Option<Vec<Descriptor>>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    fs_layers: Option<Value>,
    #[serde(default)]
    subject: Option<Descriptor>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    annotations: Option<Map<String, Value>>,
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(Code::ManifestInvalid, message)
}

impl Manifest {
    /// Reads a stored manifest, whose kind only its content tells.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Fault> {
        Self::parse(bytes, None)
    }

    /// Checks a manifest that was pushed as `content_type`; parameters are passed over.
    pub(crate) fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, Fault> {
        let declared = content_type.map(|text| text.split(';').next().unwrap_or_default().trim());
        let declared = declared.filter(|text| !text.is_empty() && *text != "application/json");
        // serde would read a list as the fields in their order.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(invalid("manifest invalid").with_detail("it is no JSON object"));
        }
        let wire: Wire = serde_json::from_slice(bytes)
            .map_err(|error| invalid("manifest invalid").with_detail(error.to_string()))?;
        if wire.schema_version == Some(1) || wire.fs_layers.is_some() {
            return Err(invalid(
                "manifests of schema version 1 are not taken: push with a client of this decade",
            ));
        }
        let own = Some(wire.media_type.as_str()).filter(|text| !text.is_empty());
        if let (Some(own), Some(declared)) = (own, declared)
            && own != declared
        {
            let message = format!("the manifest says it is {own}, the Content-Type header says {declared}");
            return Err(invalid(message));
        }
        let shape = if wire.manifests.is_some() { OCI_INDEX } else { OCI_MANIFEST };
        let named = own.or(declared).unwrap_or(shape);
        let media_type = KINDS.into_iter().find(|kind| *kind == named);
        let media_type = media_type.ok_or_else(|| invalid(format!("unknown manifest type {named}")))?;
        // Without its own word a manifest would be served as another kind than it was pushed as.
        if own.is_none() && media_type != shape {
            return Err(invalid(format!("a manifest of type {media_type} must say so in mediaType")));
        }
        let is_index = matches!(media_type, OCI_INDEX | DOCKER_LIST);
        if is_index != wire.manifests.is_some()
            || (is_index && (wire.layers.is_some() || wire.config.is_some()))
        {
            return Err(invalid(format!("the fields are not those of {media_type}")));
        }
        if matches!(media_type, OCI_MANIFEST | DOCKER_MANIFEST) && wire.config.is_none() {
            return Err(invalid("the manifest has no config"));
        }
        let subject = wire.subject.map(|subject| digest(&subject)).transpose()?;
        let manifest = Self {
            media_type,
            artifact_type: wire.artifact_type.unwrap_or_default(),
            annotations: wire.annotations.unwrap_or_default(),
            layers: wire.layers.or(wire.blobs).unwrap_or_default(),
            manifests: wire.manifests.unwrap_or_default(),
            config: wire.config,
            subject,
        };
        for descriptor in manifest.config.iter().chain(&manifest.layers).chain(&manifest.manifests) {
            digest(descriptor)?;
        }
        Ok(manifest)
    }

    pub(crate) fn is_index(&self) -> bool {
        matches!(self.media_type, OCI_INDEX | DOCKER_LIST)
    }

    /// Blobs that must be in the repository before the manifest is taken: all but those that lie elsewhere.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = Digest> {
        let local = self.config.iter().chain(&self.layers).filter(|layer| !layer.is_foreign());
        local.filter_map(|layer| Digest::parse(&layer.digest))
    }

    /// All blobs, also those that may lie elsewhere: what collection keeps.
    pub(crate) fn all_blobs(&self) -> impl Iterator<Item = Digest> {
        self.config.iter().chain(&self.layers).filter_map(|layer| Digest::parse(&layer.digest))
    }

    /// Entries of an index.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Digest> {
        self.manifests.iter().filter_map(|entry| Digest::parse(&entry.digest))
    }

    /// What a referrers list calls it: its own artifact type, or its config's kind for an image manifest.
    pub(crate) fn referrer_type(&self) -> Option<&str> {
        let own = Some(self.artifact_type.as_str()).filter(|kind| !kind.is_empty());
        let config = self.config.as_ref().map(|config| config.media_type.as_str());
        own.or_else(|| config.filter(|kind| !kind.is_empty()))
    }

    /// The entry that a client gets who does not know indexes: distribution's choice, linux/amd64.
    pub(crate) fn plain_entry(&self) -> Option<Digest> {
        let is_plain = |entry: &&Descriptor| {
            entry.platform.as_ref().is_some_and(|at| at.os == "linux" && at.architecture == "amd64")
        };
        self.manifests.iter().find(is_plain).and_then(|entry| Digest::parse(&entry.digest))
    }
}

fn digest(descriptor: &Descriptor) -> Result<Digest, Fault> {
    let bad = || invalid("invalid digest in the manifest").with_detail(descriptor.digest.as_str());
    Digest::parse(&descriptor.digest).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn check(body: &str, content_type: Option<&str>, want: Result<&str, &str>) {
        let body = body.replace("$D", D);
        match (Manifest::parse(body.as_bytes(), content_type), want) {
            (Ok(manifest), Ok(want)) => assert_eq!(manifest.media_type, want, "{body}"),
            (Err(fault), Err(want)) => assert!(fault.message.contains(want), "{body}: {}", fault.message),
            (got, want) => panic!("{body}: got {got:?}, want {want:?}"),
        }
    }

    #[test]
    fn kinds_are_told_by_their_own_word_then_by_shape() {
        let image = r#"{"schemaVersion":2,"config":{"digest":"$D"},"layers":[]}"#;
        check(image, None, Ok(OCI_MANIFEST));
        check(image, Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8"), Ok(OCI_MANIFEST));
        check(image, Some(DOCKER_MANIFEST), Err("must say so in mediaType"));
        check(image, Some(OCI_INDEX), Err("must say so"));
        check(image, Some("text/html"), Err("unknown manifest type"));
        check(r#"{"schemaVersion":2,"manifests":[]}"#, None, Ok(OCI_INDEX));
        check(r#"{"manifests":[],"layers":[]}"#, None, Err("fields"));
        let docker = format!(r#"{{"mediaType":"{DOCKER_MANIFEST}","config":{{"digest":"$D"}}}}"#);
        check(&docker, Some(DOCKER_MANIFEST), Ok(DOCKER_MANIFEST));
        check(&docker, Some(OCI_MANIFEST), Err("the Content-Type header says"));
        check(r#"{"schemaVersion":1,"fsLayers":[]}"#, None, Err("schema version 1"));
        check(r#"{"layers":[]}"#, None, Err("no config"));
        check(r#"{"config":{"digest":"sha256:../x"}}"#, None, Err("invalid digest"));
        check("[]", None, Err("manifest invalid"));
        check("", None, Err("manifest invalid"));
    }

    #[test]
    fn layers_that_lie_elsewhere_are_not_asked_for() {
        let body = r#"{"config":{"digest":"$D"},"layers":[{"digest":"$D","urls":["http://x"]},
            {"digest":"$D","mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"}]}"#;
        let manifest = Manifest::read(body.replace("$D", D).as_bytes()).unwrap();
        assert_eq!((manifest.blobs().count(), manifest.all_blobs().count()), (1, 3));
    }
}
