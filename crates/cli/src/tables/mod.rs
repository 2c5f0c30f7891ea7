//! One table of flags per command.

pub(crate) mod container;
pub(crate) mod image;
pub(crate) mod network;
pub(crate) mod run;
pub(crate) mod system;
pub(crate) mod volume;

/// Help of `--format` where a list is shown.
pub(crate) const FORMAT_LIST: &str = "Format output using a custom template:
'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates";

/// Help of `--format` where an object is shown.
pub(crate) const FORMAT_OBJECT: &str = "Format output using a custom template:
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates";
