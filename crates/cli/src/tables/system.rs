//! Flags of the `system` commands: names, kinds, defaults and help as Docker 28 has them.

use super::{FORMAT_LIST, FORMAT_OBJECT};
use crate::flags::{Flag, Kind, flag};

/// `docker events`.
pub(crate) const EVENTS: &[Flag] = &[
    flag("filter", Kind::Filter, "Filter output based on conditions provided").short('f'),
    flag("format", Kind::Str, FORMAT_OBJECT),
    flag("since", Kind::Str, "Show all events created since timestamp"),
    flag("until", Kind::Str, "Stream events until this timestamp"),
];

/// `docker info`.
pub(crate) const INFO: &[Flag] = &[flag("format", Kind::Str, FORMAT_OBJECT).short('f')];

/// `docker inspect`.
pub(crate) const INSPECT: &[Flag] = &[
    flag("format", Kind::Str, FORMAT_OBJECT).short('f'),
    flag("size", Kind::Bool, "Display total file sizes if the type is container").short('s'),
    flag("type", Kind::Str, "Only inspect objects of the given type"),
];

/// `docker version`.
pub(crate) const VERSION: &[Flag] = &[flag("format", Kind::Str, FORMAT_OBJECT).short('f')];

/// `docker system df`.
pub(crate) const SYSTEM_DF: &[Flag] = &[
    flag("format", Kind::Str, FORMAT_LIST),
    flag("verbose", Kind::Bool, "Show detailed information on space usage").short('v'),
];

/// `docker system prune`.
pub(crate) const SYSTEM_PRUNE: &[Flag] = &[
    flag("all", Kind::Bool, "Remove all unused images not just dangling ones").short('a'),
    flag("filter", Kind::Filter, "Provide filter values (e.g. \"label=<key>=<value>\")"),
    flag("force", Kind::Bool, "Do not prompt for confirmation").short('f'),
    flag("volumes", Kind::Bool, "Prune anonymous volumes"),
];
