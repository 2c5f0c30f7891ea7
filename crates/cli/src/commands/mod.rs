//! The tree of commands.
use crate::flags::{Action, Command};
pub(crate) static ROOT: Command = Command::new("docker", "", "", Action::Group(&[]));
pub(crate) fn not_yet(_: &str, _: &str) -> Option<&'static str> { None }
