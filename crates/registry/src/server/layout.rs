//! Where things lie: distribution's own tree, so that either registry can start on the other's folder.
//!
//! ```text
//! docker/registry/v2/blobs/sha256/ab/abcd.../data             content, once
//!                   /repositories/NAME/_layers/sha256/HEX/link              this repository has this blob
//!                                     /_manifests/revisions/sha256/HEX/link ... this manifest
//!                                     /_manifests/tags/TAG/current/link     what the tag names now
//!                                     /_manifests/tags/TAG/index/sha256/HEX/link   what it named at some time
//!                                     /_manifests/referrers/ALG/SUBJECT/ALG/HEX/link   ours: who has this subject
//!                                     /_uploads/UUID/{data,startedat}       bytes that have no digest yet
//! ```
//! A `link` holds the digest as text. `referrers` is ours; distribution passes over folders it does not know.

use super::digest::{Algorithm, Digest};

const ROOT: &str = "docker/registry/v2";

/// The folder of all repositories.
pub(crate) fn repositories() -> String {
    format!("{ROOT}/repositories")
}

/// The folder of one repository.
pub(crate) fn repository(name: &str) -> String {
    format!("{ROOT}/repositories/{name}")
}

/// The folder of all blobs of an algorithm; below are folders of two digits.
pub(crate) fn blobs(algorithm: Algorithm) -> String {
    format!("{ROOT}/blobs/{}", algorithm.as_str())
}

/// A blob's folder.
pub(crate) fn blob_folder(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("{ROOT}/blobs/{}/{}/{hex}", digest.algorithm().as_str(), hex.get(..2).unwrap_or(hex))
}

/// A blob's bytes.
pub(crate) fn blob(digest: &Digest) -> String {
    format!("{}/data", blob_folder(digest))
}

fn under(folder: &str, digest: &Digest) -> String {
    format!("{folder}/{}/{}", digest.algorithm().as_str(), digest.hex())
}

/// The folder of the links to a repository's blobs.
pub(crate) fn layers(name: &str) -> String {
    format!("{}/_layers", repository(name))
}

/// The link of a blob in a repository.
pub(crate) fn layer_link(name: &str, digest: &Digest) -> String {
    format!("{}/link", under(&layers(name), digest))
}

/// The folder of the links to a repository's manifests.
pub(crate) fn revisions(name: &str) -> String {
    format!("{}/_manifests/revisions", repository(name))
}

/// The link of a manifest in a repository.
pub(crate) fn revision_link(name: &str, digest: &Digest) -> String {
    format!("{}/link", under(&revisions(name), digest))
}

/// The folder of a repository's tags.
pub(crate) fn tags(name: &str) -> String {
    format!("{}/_manifests/tags", repository(name))
}

/// The folder of one tag.
pub(crate) fn tag(name: &str, tag: &str) -> String {
    format!("{}/{tag}", tags(name))
}

/// What a tag names now.
pub(crate) fn tag_current(name: &str, tag_name: &str) -> String {
    format!("{}/current/link", tag(name, tag_name))
}

/// That a tag named `digest` at some time; distribution wants it when it deletes.
pub(crate) fn tag_index(name: &str, tag_name: &str, digest: &Digest) -> String {
    format!("{}/link", under(&format!("{}/index", tag(name, tag_name)), digest))
}

/// The folder of the manifests whose subject is `digest`.
pub(crate) fn referrers(name: &str, subject: &Digest) -> String {
    under(&format!("{}/_manifests/referrers", repository(name)), subject)
}

/// That `digest` has the subject `subject`.
pub(crate) fn referrer_link(name: &str, subject: &Digest, digest: &Digest) -> String {
    format!("{}/link", under(&referrers(name, subject), digest))
}

/// The folder of a repository's unfinished uploads.
pub(crate) fn uploads(name: &str) -> String {
    format!("{}/_uploads", repository(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_distribution() {
        let empty = Digest::of(Algorithm::Sha256, b"");
        let hex = empty.hex();
        assert_eq!(blob(&empty), format!("docker/registry/v2/blobs/sha256/e3/{hex}/data"));
        assert_eq!(
            layer_link("a/b", &empty),
            format!("docker/registry/v2/repositories/a/b/_layers/sha256/{hex}/link")
        );
        assert_eq!(
            tag_index("a", "1", &empty),
            format!("docker/registry/v2/repositories/a/_manifests/tags/1/index/sha256/{hex}/link")
        );
    }
}
