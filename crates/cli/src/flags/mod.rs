//! Flags as Docker reads them: the behaviour of Go's `pflag`, one table per command.
//!
//! A [`Command`] owns a table of [`Flag`]s. The same table is parsed ([`parse`]), shown by `--help` ([`usage`]) and can
//! be walked by whatever generates documents or completions. Values are checked while they are parsed, in the order
//! in which they were given, because that decides which error a user sees first.

mod checks;
mod parse;
mod usage;

use std::fmt;

pub(crate) use checks::{go_quote, pairs, parse_bool};
pub(crate) use parse::{FlagError, Parsed, parse};
pub(crate) use usage::{help_text, use_line, wrap_width};

use crate::{Outcome, context::Context};

/// What a flag takes. The names are those that `--help` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Str,
    List,
    /// Comma-separated, may be repeated.
    Strings,
    Int,
    Uint16,
    Uint64,
    /// Size with a unit.
    Bytes,
    /// Size with a unit, or -1.
    SwapBytes,
    /// Number of CPUs.
    Decimal,
    Duration,
    Map,
    /// `name=value,name=value`, may be repeated.
    Pairs,
    Ulimit,
    Mount,
    Network,
    Gpu,
    Filter,
}

impl Kind {
    /// The word behind the flag in `--help`.
    fn word(self) -> &'static str {
        match self {
            Self::Bool => "",
            Self::Str => "string",
            Self::List => "list",
            Self::Strings => "strings",
            Self::Int => "int",
            Self::Uint16 => "uint16",
            Self::Uint64 => "uint",
            Self::Bytes | Self::SwapBytes => "bytes",
            Self::Decimal => "decimal",
            Self::Duration => "duration",
            Self::Map => "map",
            Self::Pairs => "stringToString",
            Self::Ulimit => "ulimit",
            Self::Mount => "mount",
            Self::Network => "network",
            Self::Gpu => "gpu-request",
            Self::Filter => "filter",
        }
    }
}

/// A check of one value, which may also rewrite it.
pub(crate) type Check = fn(&str) -> Result<String, String>;

/// One flag of one command.
#[derive(Clone, Copy)]
pub(crate) struct Flag {
    /// Long name, without dashes.
    pub(crate) name: &'static str,
    /// One-letter name.
    pub(crate) short: Option<char>,
    /// What it takes.
    pub(crate) kind: Kind,
    /// Its line in `--help`.
    pub(crate) usage: &'static str,
    /// Shown in `--help`; the value when the flag is not given.
    pub(crate) default: Option<&'static str>,
    /// Not in `--help`.
    pub(crate) hidden: bool,
    /// Warns when used.
    pub(crate) deprecated: Option<&'static str>,
    /// Where its value is kept: the name of another flag for a second spelling.
    pub(crate) target: &'static str,
    /// A check beyond its kind's own.
    pub(crate) check: Option<Check>,
    /// Why it is refused, if it cannot be honoured.
    pub(crate) refused: Option<&'static str>,
    /// Only a daemon on Windows knows it.
    pub(crate) windows: bool,
}

/// A flag with neither short name nor default.
pub(crate) const fn flag(name: &'static str, kind: Kind, usage: &'static str) -> Flag {
    Flag {
        name,
        short: None,
        kind,
        usage,
        default: None,
        hidden: false,
        deprecated: None,
        target: name,
        check: None,
        refused: None,
        windows: false,
    }
}

impl Flag {
    pub(crate) const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    pub(crate) const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    pub(crate) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    pub(crate) const fn deprecated(mut self, advice: &'static str) -> Self {
        self.deprecated = Some(advice);
        self.hidden = true;
        self
    }

    /// A flag for daemons on Windows.
    pub(crate) const fn windows(mut self) -> Self {
        self.hidden = true;
        self.windows = true;
        self
    }

    pub(crate) const fn same_as(mut self, target: &'static str) -> Self {
        self.target = target;
        self
    }

    pub(crate) const fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }

    pub(crate) const fn refused(mut self, why: &'static str) -> Self {
        self.refused = Some(why);
        self
    }
}

impl fmt::Debug for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{} {:?}", self.name, self.kind)
    }
}

/// How many arguments a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Args {
    /// Exactly so many.
    Exactly(usize),
    /// So many or more.
    AtLeast(usize),
    /// So many or fewer.
    AtMost(usize),
    /// Between two numbers.
    Between(usize, usize),
}

/// What a command does.
#[derive(Clone, Copy)]
pub(crate) enum Action {
    /// Runs.
    Run(fn(&Context, &Parsed) -> Outcome),
    /// Holds other commands.
    Group(&'static [&'static Command]),
}

/// One command.
#[derive(Clone, Copy)]
pub(crate) struct Command {
    /// The last word of its path.
    pub(crate) name: &'static str,
    /// Other last words that mean the same.
    pub(crate) other_names: &'static [&'static str],
    /// Usage line after the path: `[OPTIONS] CONTAINER`.
    pub(crate) usage: &'static str,
    /// What it is for.
    pub(crate) about: &'static str,
    /// More words for `--help`, in place of `about`.
    pub(crate) long: &'static str,
    /// All its paths, as `--help` shows them.
    pub(crate) aliases: &'static str,
    /// Flags.
    pub(crate) flags: &'static [Flag],
    /// Flags that it does not share with others of the same table.
    pub(crate) own_flags: &'static [Flag],
    /// Arguments.
    pub(crate) args: Args,
    /// Whether flags may follow arguments.
    pub(crate) interspersed: bool,
    /// Place among the common commands of the root, from 1; 0 is none.
    pub(crate) rank: u8,
    /// Not in `--help`.
    pub(crate) hidden: bool,
    /// `--help` warns that it may change.
    pub(crate) experimental: bool,
    /// What it does.
    pub(crate) action: Action,
}

impl Command {
    /// A command that takes flags anywhere.
    pub(crate) const fn new(
        name: &'static str,
        usage: &'static str,
        about: &'static str,
        action: Action,
    ) -> Self {
        Self {
            name,
            other_names: &[],
            usage,
            about,
            long: "",
            aliases: "",
            flags: &[],
            own_flags: &[],
            args: Args::Exactly(0),
            interspersed: true,
            rank: 0,
            hidden: false,
            experimental: false,
            action,
        }
    }

    pub(crate) const fn named(mut self, name: &'static str, other_names: &'static [&'static str]) -> Self {
        self.name = name;
        self.other_names = other_names;
        self
    }

    pub(crate) const fn aliases(mut self, aliases: &'static str) -> Self {
        self.aliases = aliases;
        self
    }

    pub(crate) const fn flags(mut self, flags: &'static [Flag]) -> Self {
        self.flags = flags;
        self
    }

    pub(crate) const fn own_flags(mut self, flags: &'static [Flag]) -> Self {
        self.own_flags = flags;
        self
    }

    pub(crate) const fn args(mut self, args: Args) -> Self {
        self.args = args;
        self
    }

    pub(crate) const fn long(mut self, long: &'static str) -> Self {
        self.long = long;
        self
    }

    pub(crate) const fn flags_first(mut self) -> Self {
        self.interspersed = false;
        self
    }

    pub(crate) const fn rank(mut self, rank: u8) -> Self {
        self.rank = rank;
        self
    }

    pub(crate) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    pub(crate) const fn experimental(mut self) -> Self {
        self.experimental = true;
        self
    }

    /// Whether `word` names it.
    pub(crate) fn answers_to(&self, word: &str) -> bool {
        self.name == word || self.other_names.contains(&word)
    }

    /// Every flag.
    pub(crate) fn all_flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.flags.iter().chain(self.own_flags)
    }

    /// The commands below it.
    pub(crate) fn children(&self) -> &'static [&'static Command] {
        match self.action {
            Action::Run(_) => &[],
            Action::Group(children) => children,
        }
    }
}

#[cfg(test)]
mod tests;
