//! Flags of the `network` commands: names, kinds, defaults and help as Docker 28 has them.

use super::{FORMAT_LIST, FORMAT_OBJECT};
use crate::flags::{Flag, Kind, flag};
use crate::opts;

/// `docker network connect`.
pub(crate) const NETWORK_CONNECT: &[Flag] = &[
    flag("alias", Kind::Strings, "Add network-scoped alias for the container"),
    flag("driver-opt", Kind::Strings, "driver options for the network"),
    flag(
        "gw-priority",
        Kind::Int,
        "Highest gw-priority provides the default gateway. Accepts positive and negative values.",
    ),
    flag("ip", Kind::Str, "IPv4 address (e.g., \"172.30.100.104\")"),
    flag("ip6", Kind::Str, "IPv6 address (e.g., \"2001:db8::33\")"),
    flag("link", Kind::List, "Add link to another container").check(opts::names::check_link),
    flag("link-local-ip", Kind::Strings, "Add a link-local address for the container"),
];

/// `docker network create`.
pub(crate) const NETWORK_CREATE: &[Flag] = &[
    flag("attachable", Kind::Bool, "Enable manual container attachment"),
    flag("aux-address", Kind::Map, "Auxiliary IPv4 or IPv6 addresses used by Network driver")
        .default("map[]"),
    flag("config-from", Kind::Str, "The network from which to copy the configuration"),
    flag("config-only", Kind::Bool, "Create a configuration only network"),
    flag("driver", Kind::Str, "Driver to manage the Network").short('d').default("bridge"),
    flag("gateway", Kind::Strings, "IPv4 or IPv6 Gateway for the master subnet"),
    flag("ingress", Kind::Bool, "Create swarm routing-mesh network"),
    flag("internal", Kind::Bool, "Restrict external access to the network"),
    flag("ip-range", Kind::Strings, "Allocate container ip from a sub-range"),
    flag("ipam-driver", Kind::Str, "IP Address Management Driver").default("default"),
    flag("ipam-opt", Kind::Map, "Set IPAM driver specific options").default("map[]"),
    flag("ipv4", Kind::Bool, "Enable or disable IPv4 address assignment").default("true"),
    flag("ipv6", Kind::Bool, "Enable or disable IPv6 address assignment"),
    flag("label", Kind::List, "Set metadata on a network").check(opts::names::check_label),
    flag("opt", Kind::Map, "Set driver specific options").short('o').default("map[]"),
    flag("scope", Kind::Str, "Control the network's scope"),
    flag("subnet", Kind::Strings, "Subnet in CIDR format that represents a network segment"),
];

/// `docker network disconnect`.
pub(crate) const NETWORK_DISCONNECT: &[Flag] =
    &[flag("force", Kind::Bool, "Force the container to disconnect from a network").short('f')];

/// `docker network inspect`.
pub(crate) const NETWORK_INSPECT: &[Flag] = &[
    flag("format", Kind::Str, FORMAT_OBJECT).short('f'),
    flag("verbose", Kind::Bool, "Verbose output for diagnostics").short('v'),
];

/// `docker network ls`.
pub(crate) const NETWORK_LS: &[Flag] = &[
    flag("filter", Kind::Filter, "Provide filter values (e.g. \"driver=bridge\")").short('f'),
    flag("format", Kind::Str, FORMAT_LIST),
    flag("no-trunc", Kind::Bool, "Do not truncate the output"),
    flag("quiet", Kind::Bool, "Only display network IDs").short('q'),
];

/// `docker network prune`.
pub(crate) const NETWORK_PRUNE: &[Flag] = &[
    flag("filter", Kind::Filter, "Provide filter values (e.g. \"until=<timestamp>\")"),
    flag("force", Kind::Bool, "Do not prompt for confirmation").short('f'),
];

/// `docker network rm`.
pub(crate) const NETWORK_RM: &[Flag] =
    &[flag("force", Kind::Bool, "Do not error if the network does not exist").short('f')];
