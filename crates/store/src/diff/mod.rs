//! Layers as differences between trees: unpacking them, finding them, packing them.
//!
//! A layer is a tar in which `.wh.NAME` deletes `NAME` of the layers below and `.wh..wh..opq` hides all they have in a
//! directory (OCI image-spec, layer.md, "Whiteouts"). Trees belong to strangers: whoever reads or writes them here goes
//! from directory to directory by file descriptor and never follows a symbolic link out of the tree, even while a
//! container is changing it.

mod apply;
mod attributes;
mod changes;
mod create;
pub(crate) mod dir;
pub(crate) mod place;
mod remove;
mod stack;
pub mod subtree;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub(crate) use apply::{META, OPAQUE_NAME, PREFIX, apply};
pub(crate) use attributes::{copy_attributes, inherit_attributes, measure, measure_changes};
pub(crate) use changes::{changes, tree_changes};
pub(crate) use create::{copy_out, copy_tree, create, create_from_trees, export};
pub(crate) use remove::remove_tree;

use crate::error::{IoContext, Result};

/// Deeper trees are refused: walking takes stack and an open file for each level.
pub(crate) const DEPTH_MAX: usize = 512;
/// What marks a directory that hides those below it, in overlayfs.
const OPAQUE: &str = "trusted.overlay.opaque";

/// How a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// `C`.
    Changed,
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

/// What becomes of names that begin with `.wh.`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whiteouts {
    /// Device 0/0 and the opaque attribute, for overlayfs to read.
    Overlay,
    /// What they name is removed.
    Remove,
    /// They are names like others: the tar is no layer.
    Literal,
}

/// Writes everything under `tree` to disk: one flush for all its files.
pub(crate) fn flush(tree: &Path) -> Result<()> {
    let dir = std::fs::File::open(tree).at("opening", tree)?;
    rustix::fs::syncfs(&dir).at("flushing", tree)
}
