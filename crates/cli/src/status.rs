//! What of Docker's command line is built, as the tables of this crate say: STATUS.md is made from it.

use crate::commands::{self, ROOT};
use crate::flags::Command;

/// How much of a command is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Support {
    /// All of it.
    Works,
    /// It is there, and refuses these flags.
    Refuses(Vec<&'static str>),
    /// It answers that it is not implemented; with the part of Wharf that it waits for.
    NotYet(&'static str),
    /// No such command.
    Unknown,
}

/// How much of the command with this path (`docker container ls`) is built.
pub fn support(path: &str) -> Support {
    let words: Vec<&str> = path.split(' ').collect();
    let mut at: &Command = &ROOT;
    let mut walked = "docker".to_owned();
    for word in words.iter().skip(1) {
        if let Some(area) = commands::not_yet(&walked, word) {
            return Support::NotYet(area);
        }
        match at.children().iter().find(|child| child.answers_to(word)) {
            Some(child) => at = child,
            None => return Support::Unknown,
        }
        walked = format!("{walked} {word}");
    }
    let refused: Vec<&str> =
        at.all_flags().filter(|flag| flag.refused.is_some()).map(|flag| flag.name).collect();
    if refused.is_empty() { Support::Works } else { Support::Refuses(refused) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_say_what_is_built() {
        for (path, expect) in
            [("docker run", false), ("docker container ls", false), ("docker buildx bake", true)]
        {
            assert_eq!(matches!(support(path), Support::NotYet(_)), expect, "{path}");
        }
        assert_eq!(support("docker nosuch"), Support::Unknown);
    }
}
