//! Layers as differences between trees.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, IoContext, Result},
    snapshot::{Applied, Usage},
};

/// How a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// `C`.
    Modified,
    /// `A`.
    Added,
    /// `D`.
    Deleted,
}

/// One line of `docker diff`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Absolute path within the tree.
    pub path: PathBuf,
    /// How it differs.
    pub kind: ChangeKind,
}

/// What becomes of a layer's whiteouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whiteouts {
    /// Device 0/0 and the opaque attribute, for overlayfs to read.
    Overlay,
    /// What they name is removed.
    Remove,
}

fn todo<T>(what: &str) -> Result<T> {
    Err(Error::Unsupported(what.to_owned()))
}
pub(crate) fn apply(_: &mut dyn Read, _: &Path, _: Whiteouts) -> Result<Applied> {
    todo("apply")
}
pub(crate) fn changes(_: &Path, _: &[PathBuf]) -> Result<Vec<Change>> {
    todo("changes")
}
pub(crate) fn tree_changes(_: &Path, _: Option<&Path>) -> Result<Vec<Change>> {
    todo("changes")
}
pub(crate) fn create(_: &Path, _: &[PathBuf], _: &mut dyn Write) -> Result<()> {
    todo("diff")
}
pub(crate) fn create_from_trees(_: &Path, _: Option<&Path>, _: &mut dyn Write) -> Result<()> {
    todo("diff")
}
pub(crate) fn export(_: &[PathBuf], _: &mut dyn Write) -> Result<()> {
    todo("export")
}
pub(crate) fn measure(_: &Path) -> Result<Usage> {
    Ok(Usage::default())
}
pub(crate) fn measure_changes(_: &Path, _: Option<&Path>) -> Result<Usage> {
    Ok(Usage::default())
}
pub(crate) fn copy_attributes(_: &Path, _: &Path) -> Result<()> {
    Ok(())
}
pub(crate) fn inherit_attributes(_: &Path, _: &[PathBuf], _: &[PathBuf]) -> Result<()> {
    Ok(())
}
pub(crate) fn copy_tree(_: &[PathBuf], _: &Path) -> Result<()> {
    todo("copy")
}
pub(crate) fn flush(tree: &Path) -> Result<()> {
    let dir = std::fs::File::open(tree).at("opening", tree)?;
    rustix::fs::syncfs(&dir).at("flushing", tree)
}
