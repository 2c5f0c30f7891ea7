//! Lists that are being made: a folder for each, a file for each manifest in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use types::ImageRef;

use super::ImageManifest;
use crate::os_error;

/// The lists of one user.
pub(crate) struct Lists(PathBuf);

/// Why a list or a manifest could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// There is none.
    #[error("No such manifest: {0}")]
    Missing(ImageRef),
    /// The file system, or what lies in it.
    #[error("{0}")]
    Unusable(String),
}

impl Lists {
    /// In the folder of the client's configuration.
    pub(crate) fn new(configuration: &Path) -> Self {
        Self(configuration.join("manifests"))
    }

    fn folder(&self, list: &ImageRef) -> PathBuf {
        self.0.join(file_name(list))
    }

    /// One manifest of a list.
    pub(crate) fn get(&self, list: &ImageRef, manifest: &ImageRef) -> Result<ImageManifest, StoreError> {
        read(manifest, &self.folder(list).join(file_name(manifest)))
    }

    /// All of a list, in the order of their file names.
    pub(crate) fn list(&self, list: &ImageRef) -> Result<Vec<ImageManifest>, StoreError> {
        let folder = self.folder(list);
        let names = fs::read_dir(&folder)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>());
        let mut names = match names {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Missing(list.clone()));
            }
            Err(error) => return Err(unusable("open", &folder, &error)),
        };
        names.sort();
        names.iter().map(|name| read(list, &folder.join(name))).collect()
    }

    /// Adds a manifest to a list, or puts it in the place of the one of that name.
    pub(crate) fn save(
        &self,
        list: &ImageRef,
        name: &ImageRef,
        manifest: &ImageManifest,
    ) -> Result<(), StoreError> {
        let folder = self.folder(list);
        fs::create_dir_all(&folder).map_err(|error| unusable("mkdir", &folder, &error))?;
        let text = manifest.to_json();
        crate::contexts::replace(&folder.join(file_name(name)), text.as_bytes(), 0o644)
            .map_err(StoreError::Unusable)
    }

    /// Forgets a list.
    pub(crate) fn remove(&self, list: &ImageRef) -> Result<(), StoreError> {
        let folder = self.folder(list);
        fs::remove_dir_all(&folder).map_err(|error| unusable("remove", &folder, &error))
    }
}

fn unusable(verb: &str, path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unusable(format!("{verb} {}: {}", path.display(), os_error(error)))
}

/// A reference as a file's name. It holds no separator, and never is `..`.
fn file_name(reference: &ImageRef) -> String {
    reference.to_string().replace(':', "-").replace('/', "_")
}

fn read(reference: &ImageRef, path: &Path) -> Result<ImageManifest, StoreError> {
    match fs::read(path) {
        Ok(text) => ImageManifest::from_json(&text).map_err(StoreError::Unusable),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::Missing(reference.clone())),
        Err(error) => Err(unusable("open", path, &error)),
    }
}
