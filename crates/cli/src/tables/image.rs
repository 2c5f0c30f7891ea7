//! Flags of the `image` commands: names, kinds, defaults and help as Docker 28 has them.

use super::{FORMAT_LIST, FORMAT_OBJECT};
use crate::flags::{Flag, Kind, flag};

/// `docker history`.
pub(crate) const HISTORY: &[Flag] = &[
    flag("format", Kind::Str, FORMAT_LIST),
    flag("human", Kind::Bool, "Print sizes and dates in human readable format").short('H').default("true"),
    flag("no-trunc", Kind::Bool, "Don't truncate output"),
    flag(
        "platform",
        Kind::Str,
        "Show history for the given platform. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
    ),
    flag("quiet", Kind::Bool, "Only show image IDs").short('q'),
];

/// `docker images`.
pub(crate) const IMAGES: &[Flag] = &[
    flag("all", Kind::Bool, "Show all images").short('a').default("hides intermediate images"),
    flag("digests", Kind::Bool, "Show digests"),
    flag("filter", Kind::Filter, "Filter output based on conditions provided").short('f'),
    flag("format", Kind::Str, FORMAT_LIST),
    flag("no-trunc", Kind::Bool, "Don't truncate output"),
    flag("quiet", Kind::Bool, "Only show image IDs").short('q'),
    flag("tree", Kind::Bool, "List multi-platform images as a tree (EXPERIMENTAL)"),
];

/// `docker image inspect`.
pub(crate) const IMAGE_INSPECT: &[Flag] = &[
    flag("format", Kind::Str, FORMAT_OBJECT).short('f'),
    flag(
        "platform",
        Kind::Str,
        "Inspect a specific platform of the multi-platform image.\nIf the image or the server is not multi-platform capable, the command will error out if the platform does not match.\n'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
    ),
];

/// `docker image prune`.
pub(crate) const IMAGE_PRUNE: &[Flag] = &[
    flag("all", Kind::Bool, "Remove all unused images, not just dangling ones").short('a'),
    flag("filter", Kind::Filter, "Provide filter values (e.g. \"until=<timestamp>\")"),
    flag("force", Kind::Bool, "Do not prompt for confirmation").short('f'),
];

/// `docker import`.
pub(crate) const IMPORT: &[Flag] = &[
    flag("change", Kind::List, "Apply Dockerfile instruction to the created image").short('c'),
    flag("message", Kind::Str, "Set commit message for imported image").short('m'),
    flag("platform", Kind::Str, "Set platform if server is multi-platform capable"),
];

/// `docker load`.
pub(crate) const LOAD: &[Flag] = &[
    flag("input", Kind::Str, "Read from tar archive file, instead of STDIN").short('i'),
    flag(
        "platform",
        Kind::Str,
        "Load only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
    ),
    flag("quiet", Kind::Bool, "Suppress the load output").short('q'),
];

/// `docker pull`.
pub(crate) const PULL: &[Flag] = &[
    flag("all-tags", Kind::Bool, "Download all tagged images in the repository").short('a'),
    flag("disable-content-trust", Kind::Bool, "Skip image verification").default("true"),
    flag("platform", Kind::Str, "Set platform if server is multi-platform capable"),
    flag("quiet", Kind::Bool, "Suppress verbose output").short('q'),
];

/// `docker rmi`.
pub(crate) const RMI: &[Flag] = &[
    flag("force", Kind::Bool, "Force removal of the image").short('f'),
    flag("no-prune", Kind::Bool, "Do not delete untagged parents"),
    flag(
        "platform",
        Kind::Strings,
        "Remove only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
    ),
];

/// `docker save`.
pub(crate) const SAVE: &[Flag] = &[
    flag("output", Kind::Str, "Write to a file, instead of STDOUT").short('o'),
    flag(
        "platform",
        Kind::Str,
        "Save only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
    ),
];
