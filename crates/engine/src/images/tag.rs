//! New names.

use types::{Digest, Error, ImageRef, Result};

use super::{Images, Shared, names};

impl Images {
    /// Gives the image `name` the name that `repository` and `tag` of the API mean.
    pub async fn tag(&self, name: &str, repository: &str, tag: &str) -> Result<()> {
        let target = target(repository, tag)?;
        let text = name.to_owned();
        self.blocking(move |shared| {
            let record = shared.find(&text)?;
            shared.set_tag(&record.id, &target)?;
            shared.publish("tag", record.id.as_str(), &target.familiar(), &record);
            Ok(())
        })
        .await
    }
}

impl Shared {
    pub(super) fn set_tag(&self, id: &Digest, target: &ImageRef) -> Result<()> {
        self.store.images().tag(id, target)?;
        Ok(())
    }
}

/// The name to give, with `latest` by default. A digest cannot be given, only be earned by a pull.
pub(super) fn target(repository: &str, tag: &str) -> Result<ImageRef> {
    let reference = names::parse(repository)?;
    if reference.digest().is_some() {
        return Err(Error::invalid("refusing to create a tag with a digest reference"));
    }
    let reference = match tag {
        "" => reference.with_default_tag(),
        tag => reference.with_tag(tag).map_err(names::invalid)?,
    };
    Ok(reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_a_tag_and_no_digest() {
        let digest = format!("x@sha256:{}", "0".repeat(64));
        for (repository, tag, want) in [
            ("x", "", "x:latest"),
            ("x", "1", "x:1"),
            ("x:2", "", "x:2"),
            ("x:2", "3", "x:3"),
            ("BAD", "", "invalid reference format: repository name (library/BAD) must be lowercase"),
            ("x", "-", "invalid reference format"),
            (digest.as_str(), "", "refusing to create a tag with a digest reference"),
        ] {
            let got = target(repository, tag).map_or_else(|error| error.message, |name| name.familiar());
            assert_eq!(got, want, "{repository} {tag}");
        }
    }
}
