//! Manifests that lists are made of: as they come from a registry, lie in `~/.docker/manifests` and are shown. Docker's
//! client reads and writes the same files.

mod remote;
mod store;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use types::image::media_type;
use types::{Digest, ImageRef};

use crate::format::json;

pub(crate) use remote::{Found, Remote};
pub(crate) use store::{Lists, StoreError};

/// What a manifest is for, in the order of Go's structs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Target {
    pub(crate) architecture: String,
    pub(crate) os: String,
    #[serde(rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub(crate) os_version: String,
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub(crate) os_features: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) variant: String,
}

/// A manifest's descriptor as the OCI's Go structs write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Target>,
}

/// The two kinds of manifest that Docker's client reads; it keeps each under another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    Docker,
    Oci,
}

impl Schema {
    fn key(self) -> &'static str {
        match self {
            Self::Docker => "SchemaV2Manifest",
            Self::Oci => "OCIManifest",
        }
    }

    /// Under which media type it is put.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Docker => media_type::DOCKER_MANIFEST,
            Self::Oci => media_type::OCI_MANIFEST,
        }
    }
}

/// One image of a list.
#[derive(Debug, Clone)]
pub(crate) struct ImageManifest {
    /// Where it came from.
    pub(crate) reference: ImageRef,
    pub(crate) entry: Entry,
    /// The document, to the byte.
    pub(crate) raw: Vec<u8>,
    pub(crate) schema: Schema,
}

impl ImageManifest {
    /// The document as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    /// As a file of the store, and as `inspect -v` shows it before it is indented.
    pub(crate) fn to_json(&self) -> String {
        let reference = Json::String(self.reference.to_string());
        let entry = serde_json::to_string(&self.entry).unwrap_or_default();
        let (key, document) = (self.schema.key(), json::compact(&self.text()));
        let raw = STANDARD.encode(&self.raw);
        json::html_escaped(&format!(
            r#"{{"Ref":{reference},"Descriptor":{entry},"Raw":"{raw}","{key}":{document}}}"#
        ))
    }

    /// Reads what `to_json`, or Docker's client, wrote.
    fn from_json(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct File {
            #[serde(rename = "Ref")]
            reference: ImageRef,
            descriptor: Entry,
            #[serde(default)]
            raw: String,
            schema_v2_manifest: Option<Json>,
            #[serde(rename = "OCIManifest")]
            oci_manifest: Option<Json>,
        }
        let file: File = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let (schema, document) = match (file.schema_v2_manifest, file.oci_manifest) {
            (Some(document), _) => (Schema::Docker, document),
            (None, Some(document)) => (Schema::Oci, document),
            (None, None) => return Err(format!("{} has no payload", file.reference)),
        };
        // Clients before 2022 kept no bytes; then the manifest can be shown but not pushed elsewhere.
        let raw = match file.raw.as_str() {
            "" => document.to_string().into_bytes(),
            raw => STANDARD.decode(raw).map_err(|error| error.to_string())?,
        };
        Ok(Self { reference: file.reference, entry: file.descriptor, raw, schema })
    }

    /// Digests of all that it names: the config, then the layers.
    pub(crate) fn blobs(&self) -> Vec<Digest> {
        let Ok(manifest) = serde_json::from_slice::<types::Manifest>(&self.raw) else { return Vec::new() };
        std::iter::once(&manifest.config).chain(&manifest.layers).map(|blob| blob.digest.clone()).collect()
    }
}

/// A list of manifests as a registry keeps it, and its media type.
pub(crate) fn list_document(
    list: &ImageRef,
    manifests: &[ImageManifest],
) -> Result<(&'static str, String), String> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Row<'a> {
        media_type: &'a str,
        size: u64,
        digest: &'a Digest,
        platform: Target,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Document<'a> {
        schema_version: u32,
        media_type: &'a str,
        manifests: Vec<Row<'a>>,
    }
    let row = |one: &ImageManifest| match (one.reference.domain(), list.domain()) {
        (theirs, ours) if theirs != ours => Err(format!(
            "cannot use source images from a different registry than the target image: {theirs} != {ours}"
        )),
        _ => Ok(()),
    };
    manifests.iter().try_for_each(row)?;
    let rows = manifests.iter().map(|one| Row {
        media_type: &one.entry.media_type,
        size: one.entry.size,
        digest: &one.entry.digest,
        platform: one.entry.platform.clone().unwrap_or_default(),
    });
    // Docker's client looks at the first one only.
    let media_type = match manifests.first().map(|one| one.entry.media_type.as_str()) {
        Some(media_type::OCI_MANIFEST) => media_type::OCI_INDEX,
        _ => media_type::DOCKER_LIST,
    };
    let document = Document { schema_version: 2, media_type, manifests: rows.collect() };
    let text = serde_json::to_string(&document).map_err(|error| error.to_string())?;
    Ok((media_type, json::indent(&json::html_escaped(&text), "   ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that Docker's client wrote, shortened.
    const FILE: &str = r#"{"Ref":"127.0.0.1:5000/a:1","Descriptor":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":9,"platform":{"architecture":"amd64","os":"linux"}},"Raw":"eyAiYSI6ICI8IiB9","OCIManifest":{"a":"\u003c"}}"#;

    #[test]
    fn a_file_of_dockers_client_is_read_and_written_alike() {
        let read = ImageManifest::from_json(FILE.as_bytes()).unwrap();
        assert_eq!(read.text(), r#"{ "a": "<" }"#);
        assert_eq!(read.to_json(), FILE);
        assert!(ImageManifest::from_json(b"{}").is_err());
    }

    #[test]
    fn a_list_takes_the_kind_of_its_first_manifest_and_stays_within_one_registry() {
        let one = ImageManifest::from_json(FILE.as_bytes()).unwrap();
        let list: ImageRef = "127.0.0.1:5000/b".parse().unwrap();
        let (media_type, text) = list_document(&list, std::slice::from_ref(&one)).unwrap();
        assert_eq!(media_type, media_type::OCI_INDEX);
        assert!(text.starts_with("{\n   \"schemaVersion\": 2,\n   \"mediaType\": "), "{text}");
        let elsewhere: ImageRef = "other.example/b".parse().unwrap();
        assert!(list_document(&elsewhere, &[one]).unwrap_err().ends_with("127.0.0.1:5000 != other.example"));
    }
}
