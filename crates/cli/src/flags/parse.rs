//! Go's `pflag` grammar: `--name value`, `--name=value`, `-abc`, `-p80:80`, `-p=80:80`, `--` ends the flags.

use super::{Command, Flag, Kind, checks, go_quote};

/// What was given on a command line: the values of its flags and its arguments.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    values: Vec<(&'static str, String)>,
    /// Names by which flags were given, their second spellings too.
    names: Vec<&'static str>,
    defaults: Vec<(&'static str, &'static str)>,
    /// Words that are not flags.
    pub(crate) args: Vec<String>,
    /// `--help` was given.
    pub(crate) help: bool,
    /// What to tell about deprecated flags that were used.
    pub(crate) warnings: Vec<String>,
}

/// A command line that does not follow the command's table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FlagError {
    #[error("unknown flag: --{0}")]
    Unknown(String),
    #[error("unknown shorthand flag: {0:?} in -{1}")]
    UnknownShort(char, String),
    #[error("flag needs an argument: --{0}")]
    NeedsArgument(String),
    #[error("flag needs an argument: {0:?} in -{1}")]
    ShortNeedsArgument(char, String),
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    #[error("invalid argument {value} for {flag} flag: {why}", value = go_quote(value), flag = go_quote(flag))]
    Invalid { value: String, flag: String, why: String },
    #[error("--{0}: {1}")]
    Refused(&'static str, &'static str),
}

impl Parsed {
    /// Nothing but arguments.
    pub(crate) fn of_args(args: &[String]) -> Self {
        Self { args: args.to_vec(), ..Self::default() }
    }

    /// Whether the flag was given.
    pub(crate) fn changed(&self, name: &str) -> bool {
        self.values.iter().any(|(key, _)| *key == name)
    }

    /// Whether the flag was given by this very name.
    pub(crate) fn given(&self, name: &str) -> bool {
        self.names.contains(&name)
    }

    /// The last value of a flag, or its default, or nothing.
    pub(crate) fn text(&self, name: &str) -> &str {
        let given = self.values.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
        given
            .or_else(|| self.defaults.iter().find(|(key, _)| *key == name).map(|(_, value)| *value))
            .unwrap_or_default()
    }

    /// A switch.
    pub(crate) fn on(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    /// A number; 0 when neither given nor defaulted.
    pub(crate) fn int(&self, name: &str) -> i64 {
        checks::parse_int(self.text(name)).unwrap_or_default()
    }

    /// All values of a flag, in order.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        self.values.iter().filter(|(key, _)| *key == name).map(|(_, value)| value.clone()).collect()
    }
}

/// Parses the words after a command's path.
pub(crate) fn parse(command: &Command, words: &[String]) -> Result<Parsed, FlagError> {
    let mut parsed = Parsed {
        defaults: command.all_flags().filter_map(|flag| Some((flag.target, flag.default?))).collect(),
        ..Parsed::default()
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            parsed.args.extend(words.cloned());
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            long_flag(command, &mut parsed, word, long, &mut words)?;
        } else if word.len() > 1 && word.starts_with('-') {
            short_flags(command, &mut parsed, &word[1..], &mut words)?;
        } else {
            parsed.args.push(word.clone());
            if !command.interspersed {
                parsed.args.extend(words.cloned());
                break;
            }
        }
    }
    Ok(parsed)
}

type Words<'a> = std::slice::Iter<'a, String>;

fn long_flag(
    command: &Command,
    parsed: &mut Parsed,
    word: &str,
    long: &str,
    words: &mut Words<'_>,
) -> Result<(), FlagError> {
    if long.is_empty() || long.starts_with(['-', '=']) {
        return Err(FlagError::Syntax(word.to_owned()));
    }
    let (name, value) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (long, None),
    };
    let Some(flag) = command.all_flags().find(|flag| flag.name == name) else {
        if name == "help" {
            parsed.help = value.is_none_or(|value| checks::parse_bool(value).unwrap_or(true));
            return Ok(());
        }
        return Err(FlagError::Unknown(name.to_owned()));
    };
    match value {
        Some(value) => set(parsed, flag, value),
        None if flag.kind == Kind::Bool => set(parsed, flag, "true"),
        None => match words.next() {
            Some(value) => set(parsed, flag, value),
            None => Err(FlagError::NeedsArgument(name.to_owned())),
        },
    }
}

fn short_flags(
    command: &Command,
    parsed: &mut Parsed,
    cluster: &str,
    words: &mut Words<'_>,
) -> Result<(), FlagError> {
    let mut rest = cluster;
    while let Some(letter) = rest.chars().next() {
        let here = rest;
        rest = &rest[letter.len_utf8()..];
        let Some(flag) = command.all_flags().find(|flag| flag.short == Some(letter)) else {
            if letter == 'h' {
                parsed.warnings.push("Flag shorthand -h has been deprecated, use --help".to_owned());
                parsed.help = true;
                continue;
            }
            return Err(FlagError::UnknownShort(letter, here.to_owned()));
        };
        if let Some(value) = rest.strip_prefix('=')
            && !value.is_empty()
        {
            return set(parsed, flag, value);
        }
        if flag.kind == Kind::Bool {
            set(parsed, flag, "true")?;
            continue;
        }
        if !rest.is_empty() {
            return set(parsed, flag, rest);
        }
        return match words.next() {
            Some(value) => set(parsed, flag, value),
            None => Err(FlagError::ShortNeedsArgument(letter, here.to_owned())),
        };
    }
    Ok(())
}

fn set(parsed: &mut Parsed, flag: &Flag, value: &str) -> Result<(), FlagError> {
    let kept = checks::check(flag, value).map_err(|why| FlagError::Invalid {
        value: value.to_owned(),
        flag: match flag.short {
            Some(short) => format!("-{short}, --{}", flag.name),
            None => format!("--{}", flag.name),
        },
        why,
    })?;
    if let Some(why) = flag.refused {
        return Err(FlagError::Refused(flag.name, why));
    }
    if let Some(advice) = flag.deprecated {
        parsed.warnings.push(format!("Flag --{} has been deprecated, {advice}", flag.name));
    }
    if flag.name == "help" {
        parsed.help = kept == "true";
    }
    parsed.names.push(flag.name);
    match flag.kind {
        Kind::Strings => parsed.values.extend(kept.split(',').map(|part| (flag.target, part.to_owned()))),
        _ => parsed.values.push((flag.target, kept)),
    }
    Ok(())
}
