//! How much a container may write into its own layer (`--storage-opt size=`), by a project quota of the file system. Docker has
//! it on XFS alone, we wherever there are project quotas.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;

use store::Store;
use types::{Error, Result};

/// Sets it for a layer that nothing was written into yet. Blocks.
pub(super) fn limit(store: &Store, id: &str, options: &BTreeMap<String, String>) -> Result<()> {
    let Some(size) = size(options) else { return Ok(()) };
    let unsupported =
        || Error::internal("--storage-opt is supported only for overlay over xfs with 'pquota' mount option");
    let paths = store.snapshots().paths(id)?;
    // overlayfs renames between the two, which only one project allows.
    let (Some(upper), Some(work)) = (paths.upper, paths.work) else { return Err(unsupported()) };
    let open = |path: &Path| {
        File::open(path).map_err(|error| Error::internal(format!("opening {}: {error}", path.display())))
    };
    let (upper, work) = (open(&upper)?, open(&work)?);
    if !linux::quota::is_enforced(upper.as_fd()) {
        return Err(unsupported());
    }
    match types::parse_size(size, 1024).map_err(Error::internal)? {
        0 => Ok(()),
        bytes => linux::quota::limit(&[upper.as_fd(), work.as_fd()], bytes)
            .map_err(|error| Error::internal(format!("setting the quota of container {id}: {error}"))),
    }
}

/// The layer is about to be removed. Blocks.
pub(super) fn unlimit(store: &Store, id: &str, options: &BTreeMap<String, String>) {
    if size(options).is_none() {
        return;
    }
    let upper = store.snapshots().paths(id).ok().and_then(|paths| paths.upper);
    if let Some(dir) = upper.and_then(|upper| File::open(upper).ok()) {
        // Nothing depends on it: the number is the directory's, and no limit holds without a directory.
        let _kept = linux::quota::unlimit(dir.as_fd());
    }
}

fn size(options: &BTreeMap<String, String>) -> Option<&str> {
    options.iter().find(|(key, _)| key.eq_ignore_ascii_case("size")).map(|(_, size)| size.as_str())
}
