//! A file tree in memory: what an index is written from.
//!
//! Nodes lie in one list and name each other by their place in it: trees of millions of files are dropped at once, and
//! a hard link is a second entry with the same number.

use std::collections::{BTreeMap, HashMap};

use tar::Time;

use crate::error::{Error, Result};

/// The place of a node in its tree.
pub(super) type NodeId = u32;

/// The root of every tree.
pub(super) const ROOT: NodeId = 0;
/// Files and directories of one tree. A node takes some 150 bytes with its name.
const NODES_MAX: usize = 1 << 22;
/// Levels below the root. Walking takes stack for each.
const DEPTH_MAX: u16 = crate::diff::DEPTH_MAX as u16;

/// Owner, permissions, time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributes {
    /// Permissions with set-id and sticky bits.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Time,
}

impl Attributes {
    /// Of a directory that nobody described.
    pub(super) fn implied(mtime: Time) -> Self {
        Self { mode: 0o755, uid: 0, gid: 0, mtime }
    }
}

/// Extended attributes: name and value, sorted.
pub(super) type Xattrs = Vec<(Box<[u8]>, Box<[u8]>)>;

/// 512-byte blocks on a device: where contents lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Number in the device table, from 1.
    pub(super) device: u16,
    /// First block.
    pub(super) block: u32,
}

/// Where a file's contents lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    /// Nowhere: it is empty.
    Empty,
    /// All in one piece.
    Whole(Place),
    /// In chunks of `1 << bits` bytes, some of which are holes.
    Chunks { bits: u8, places: Box<[Option<Place>]> },
}

/// A directory's names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) entries: BTreeMap<Box<[u8]>, NodeId>,
    /// Hides what the layers below have here.
    pub(super) opaque: bool,
    /// Needed by an entry, but never described: looks like the one below it.
    pub(super) implied: bool,
    pub(super) depth: u16,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Directory(Box<Directory>),
    File {
        size: u64,
        data: Data,
    },
    Symlink(Box<[u8]>),
    Char(u32, u32),
    Block(u32, u32),
    Fifo,
    /// Deletes the name in the layers below. Only in the tree of one layer.
    Whiteout,
}

/// A file, directory, link or device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) attributes: Attributes,
    pub(super) xattrs: Option<Box<Xattrs>>,
    pub(super) content: Content,
}

/// A tree with its root at number 0. Nodes that nothing names any more stay in the list; who walks does not meet them.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// An empty root that nobody described.
    pub(super) fn new() -> Self {
        let content = Content::Directory(Box::new(Directory { implied: true, ..Directory::default() }));
        let attributes = Attributes::implied(Time::default());
        Self { nodes: vec![Node { attributes, xattrs: None, content }] }
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    pub(super) fn directory(&self, id: NodeId) -> Option<&Directory> {
        match &self.node(id).content {
            Content::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    pub(super) fn directory_mut(&mut self, id: NodeId) -> Option<&mut Directory> {
        match &mut self.node_mut(id).content {
            Content::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    /// What `name` is in the directory `parent`.
    pub(super) fn child(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        self.directory(parent)?.entries.get(name).copied()
    }

    /// Puts a node under a name, in the place of what has it.
    pub(super) fn put(&mut self, parent: NodeId, name: &[u8], mut node: Node) -> Result<NodeId> {
        let depth = self.directory(parent).map_or(0, |parent| parent.depth) + 1;
        if depth > DEPTH_MAX {
            return Err(Error::TooLarge { what: "depth of a tree".to_owned(), limit: DEPTH_MAX.into() });
        }
        if let Content::Directory(directory) = &mut node.content {
            directory.depth = depth;
        }
        if self.nodes.len() >= NODES_MAX {
            let what = "number of files in a layer".to_owned();
            return Err(Error::TooLarge { what, limit: NODES_MAX as u64 });
        }
        let id = self.nodes.len() as NodeId;
        self.nodes.push(node);
        self.link(parent, name, id);
        Ok(id)
    }

    /// One more name for a node.
    pub(super) fn link(&mut self, parent: NodeId, name: &[u8], id: NodeId) {
        if let Some(directory) = self.directory_mut(parent) {
            directory.entries.insert(name.into(), id);
        }
    }

    /// Takes a name away.
    pub(super) fn unlink(&mut self, parent: NodeId, name: &[u8]) {
        if let Some(directory) = self.directory_mut(parent) {
            directory.entries.remove(name);
        }
    }
}

/// Puts the tree of a layer over this one, as overlayfs would show both: whiteouts delete, opaque directories hide,
/// directories on both sides become one. Neither marks nor deleted names are left in the result.
pub(super) fn stack(lower: &mut Tree, upper: &Tree) -> Result<()> {
    let mut moved = HashMap::new();
    merge(lower, ROOT, upper, ROOT, &mut moved)
}

/// Makes the directory `into` look like `from` lying over it. Depth is bounded by that of the trees.
fn merge(
    lower: &mut Tree,
    into: NodeId,
    upper: &Tree,
    from: NodeId,
    moved: &mut HashMap<NodeId, NodeId>,
) -> Result<()> {
    let Some(directory) = upper.directory(from) else { return Ok(()) };
    if !directory.implied {
        let (above, below) = (upper.node(from), lower.node_mut(into));
        below.attributes = above.attributes;
        below.xattrs.clone_from(&above.xattrs);
        if let Content::Directory(below) = &mut below.content {
            below.implied = false;
        }
    }
    if directory.opaque
        && let Some(below) = lower.directory_mut(into)
    {
        below.entries.clear();
    }
    for (name, child) in &directory.entries {
        let above = upper.node(*child);
        let below = lower.child(into, name).filter(|below| lower.directory(*below).is_some());
        match (&above.content, below) {
            (Content::Whiteout, _) => lower.unlink(into, name),
            (Content::Directory(_), Some(below)) => merge(lower, below, upper, *child, moved)?,
            (Content::Directory(directory), None) => {
                let empty = Directory { implied: directory.implied, ..Directory::default() };
                let content = Content::Directory(Box::new(empty));
                let (attributes, xattrs) = (above.attributes, above.xattrs.clone());
                let below = lower.put(into, name, Node { attributes, xattrs, content })?;
                merge(lower, below, upper, *child, moved)?;
            }
            // A file with several names stays one.
            _ => match moved.get(child) {
                Some(there) => lower.link(into, name, *there),
                None => {
                    let there = lower.put(into, name, above.clone())?;
                    moved.insert(*child, there);
                }
            },
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(content: Content) -> Node {
        Node { attributes: Attributes::implied(Time::default()), xattrs: None, content }
    }

    fn directory(opaque: bool, implied: bool) -> Node {
        node(Content::Directory(Box::new(Directory { opaque, implied, ..Directory::default() })))
    }

    fn file(size: u64) -> Node {
        node(Content::File { size, data: Data::Empty })
    }

    fn paths(tree: &Tree, id: NodeId, at: &str, out: &mut Vec<String>) {
        for (name, child) in &tree.directory(id).unwrap().entries {
            let path = format!("{at}/{}", String::from_utf8_lossy(name));
            match &tree.node(*child).content {
                Content::Directory(_) => {
                    out.push(format!("{path}/"));
                    paths(tree, *child, &path, out);
                }
                Content::File { size, .. } => out.push(format!("{path}={size}")),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn layers_lie_over_each_other_as_overlayfs_shows_them() {
        let mut lower = Tree::new();
        let etc = lower.put(ROOT, b"etc", directory(false, false)).unwrap();
        lower.node_mut(etc).attributes.mode = 0o700;
        lower.put(etc, b"a", file(1)).unwrap();
        lower.put(etc, b"b", file(2)).unwrap();
        let opt = lower.put(ROOT, b"opt", directory(false, false)).unwrap();
        lower.put(opt, b"gone", file(3)).unwrap();
        lower.put(ROOT, b"file", file(4)).unwrap();
        lower.put(ROOT, b"dir", directory(false, false)).unwrap();
        let mut upper = Tree::new();
        let above = upper.put(ROOT, b"etc", directory(false, true)).unwrap();
        upper.put(above, b"a", node(Content::Whiteout)).unwrap();
        let linked = upper.put(above, b"c", file(5)).unwrap();
        upper.link(above, b"d", linked);
        let above = upper.put(ROOT, b"opt", directory(true, false)).unwrap();
        upper.put(above, b"new", file(6)).unwrap();
        let above = upper.put(ROOT, b"file", directory(false, true)).unwrap();
        upper.put(above, b"x", file(7)).unwrap();
        upper.put(above, b"nothing", node(Content::Whiteout)).unwrap();
        upper.put(ROOT, b"dir", file(8)).unwrap();
        stack(&mut lower, &upper).unwrap();
        let mut got = Vec::new();
        paths(&lower, ROOT, "", &mut got);
        let want = [
            "/dir=8",
            "/etc/",
            "/etc/b=2",
            "/etc/c=5",
            "/etc/d=5",
            "/file/",
            "/file/x=7",
            "/opt/",
            "/opt/new=6",
        ];
        assert_eq!(got, want);
        assert_eq!(lower.node(etc).attributes.mode, 0o700, "implied directories look like those below");
        assert_eq!(lower.child(etc, b"c"), lower.child(etc, b"d"));
    }

    #[test]
    fn a_tree_has_a_bottom() {
        let mut tree = Tree::new();
        let mut at = ROOT;
        let error = loop {
            match tree.put(at, b"d", directory(false, false)) {
                Ok(below) => at = below,
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("depth"), "{error}");
    }
}
