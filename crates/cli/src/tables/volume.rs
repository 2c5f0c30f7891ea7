//! Flags of the `volume` commands: names, kinds, defaults and help as Docker 28 has them.

use super::{FORMAT_LIST, FORMAT_OBJECT};
use crate::flags::{Flag, Kind, flag};
use crate::opts;

/// `docker volume create`.
pub(crate) const VOLUME_CREATE: &[Flag] = &[
    flag("availability", Kind::Str, "Cluster Volume availability (\"active\", \"pause\", \"drain\")")
        .default("active"),
    flag("driver", Kind::Str, "Specify volume driver name").short('d').default("local"),
    flag("group", Kind::Str, "Cluster Volume group (cluster volumes)"),
    flag("label", Kind::List, "Set metadata for a volume").check(opts::names::check_label),
    flag("limit-bytes", Kind::Bytes, "Minimum size of the Cluster Volume in bytes"),
    flag("name", Kind::Str, "Specify volume name").hidden(),
    flag("opt", Kind::Map, "Set driver specific options").short('o').default("map[]"),
    flag("required-bytes", Kind::Bytes, "Maximum size of the Cluster Volume in bytes"),
    flag("scope", Kind::Str, "Cluster Volume access scope (\"single\", \"multi\")").default("single"),
    flag("secret", Kind::Map, "Cluster Volume secrets").default("map[]"),
    flag(
        "sharing",
        Kind::Str,
        "Cluster Volume access sharing (\"none\", \"readonly\", \"onewriter\", \"all\")",
    )
    .default("none"),
    flag("topology-preferred", Kind::List, "A topology that the Cluster Volume would be preferred in"),
    flag("topology-required", Kind::List, "A topology that the Cluster Volume must be accessible from"),
    flag("type", Kind::Str, "Cluster Volume access type (\"mount\", \"block\")").default("block"),
];

/// `docker volume inspect`.
pub(crate) const VOLUME_INSPECT: &[Flag] = &[flag("format", Kind::Str, FORMAT_OBJECT).short('f')];

/// `docker volume ls`.
pub(crate) const VOLUME_LS: &[Flag] = &[
    flag("cluster", Kind::Bool, "Display only cluster volumes, and use cluster volume list formatting"),
    flag("filter", Kind::Filter, "Provide filter values (e.g. \"dangling=true\")").short('f'),
    flag("format", Kind::Str, FORMAT_LIST),
    flag("quiet", Kind::Bool, "Only display volume names").short('q'),
];

/// `docker volume prune`.
pub(crate) const VOLUME_PRUNE: &[Flag] = &[
    flag("all", Kind::Bool, "Remove all unused volumes, not just anonymous ones").short('a'),
    flag("filter", Kind::Filter, "Provide filter values (e.g. \"label=<label>\")"),
    flag("force", Kind::Bool, "Do not prompt for confirmation").short('f'),
];

/// `docker volume rm`.
pub(crate) const VOLUME_RM: &[Flag] =
    &[flag("force", Kind::Bool, "Force the removal of one or more volumes").short('f')];

/// `docker volume update`.
pub(crate) const VOLUME_UPDATE: &[Flag] =
    &[flag("availability", Kind::Str, "Cluster Volume availability (\"active\", \"pause\", \"drain\")")
        .default("active")];

/// `wharf volume export`: not Docker's.
pub(crate) const VOLUME_EXPORT: &[Flag] =
    &[flag("output", Kind::Str, "Write to a file, instead of STDOUT").short('o')];

/// `wharf volume import` and `clone`: not Docker's.
pub(crate) const VOLUME_FILLED: &[Flag] =
    &[flag("label", Kind::List, "Set metadata for the new volume").check(opts::names::check_label)];
