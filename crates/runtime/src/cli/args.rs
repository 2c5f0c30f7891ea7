//! Flags as Go programs take them: `--name value`, `--name=value`, `-n value`; the first other word ends them, or they may
//! follow it.

use std::collections::VecDeque;

use super::help::{self, Command, Count};
use crate::error::Error;

/// The words not yet taken.
#[derive(Debug)]
pub(super) struct Args {
    /// Whose words they are.
    command: &'static Command,
    words: VecDeque<String>,
    /// The value after `=` of the flag just taken.
    attached: Option<String>,
    /// Words that were passed over in search of flags; `None` where the first ends them.
    plain: Option<VecDeque<String>>,
}

impl Args {
    /// Flags may come after other words as well, up to `--`, unless words end the flags of this command.
    pub(super) fn new(command: &'static Command, words: Vec<String>) -> Self {
        let plain = (!command.words_end_flags).then(VecDeque::new);
        Args { command, words: words.into(), attached: None, plain }
    }

    /// The next flag's name, if the next word is one. A value attached to the flag before must have been taken.
    pub(super) fn flag(&mut self) -> Result<Option<String>, Error> {
        if let Some(value) = self.attached.take() {
            return Err(Error::Invalid(format!("unexpected value {value:?}")));
        }
        let name = loop {
            let Some(word) = self.words.front() else { return Ok(None) };
            if word == "--" {
                self.words.pop_front();
                return Ok(None);
            }
            let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
            match (name.filter(|name| !name.is_empty()), &mut self.plain) {
                (Some(name), _) => break name,
                (None, None) => return Ok(None),
                (None, Some(plain)) => plain.extend(self.words.pop_front()),
            }
        };
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (name.to_owned(), None),
        };
        self.attached = value;
        self.words.pop_front();
        Ok(Some(name))
    }

    /// The value of the flag just taken.
    pub(super) fn value(&mut self, flag: &str) -> Result<String, Error> {
        self.attached
            .take()
            .or_else(|| self.words.pop_front())
            .ok_or_else(|| Error::Usage(format!("flag needs an argument: -{flag}")))
    }

    /// The number that is the value of the flag just taken.
    pub(super) fn number<T: std::str::FromStr>(&mut self, flag: &str) -> Result<T, Error> {
        let value = self.value(flag)?;
        value.parse().map_err(|_| Error::Invalid(format!("invalid value {value:?} for flag -{flag}")))
    }

    /// The same; an empty value is none.
    pub(super) fn optional_number<T: std::str::FromStr>(&mut self, flag: &str) -> Result<Option<T>, Error> {
        let value = self.value(flag)?;
        if value.is_empty() {
            return Ok(None);
        }
        value.parse().map(Some).map_err(|_| Error::Invalid(format!("invalid value for {flag}: {value:?}")))
    }

    /// A flag without value, or `=true`, `=false`.
    pub(super) fn boolean(&mut self) -> Result<bool, Error> {
        match self.attached.take().as_deref() {
            None | Some("true" | "1" | "t") => Ok(true),
            Some("false" | "0" | "f") => Ok(false),
            Some(other) => Err(Error::Invalid(format!("invalid boolean value {other:?}"))),
        }
    }

    /// The next word.
    pub(super) fn word(&mut self) -> Option<String> {
        self.plain.as_mut().and_then(VecDeque::pop_front).or_else(|| self.words.pop_front())
    }

    /// The container's id: the next word, which there must be.
    pub(super) fn id(&mut self) -> Result<String, Error> {
        match self.word() {
            None => Err(self.miscounted()),
            Some(id) if id.is_empty() => Err(Error::Invalid("container id cannot be empty".into())),
            Some(id) => Ok(id),
        }
    }

    /// Nothing may be left.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        match self.word() {
            None => Ok(()),
            Some(_) => Err(self.miscounted()),
        }
    }

    /// Too few words or too many.
    fn miscounted(&self) -> Error {
        let (program, name) = (help::program(), self.command.name);
        Error::Usage(match self.command.count {
            Count::Exactly(count) => format!("{program}: {name:?} requires exactly {count} argument(s)"),
            Count::AtLeast(count) => format!("{program}: {name:?} requires a minimum of {count} argument(s)"),
        })
    }

    /// All that is left.
    pub(super) fn rest(self) -> Vec<String> {
        self.plain.into_iter().flatten().chain(self.words).collect()
    }
}

/// A flag that the command does not know.
pub(super) fn unknown(flag: &str) -> Error {
    Error::Usage(format!("flag provided but not defined: -{flag}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_end_at_the_first_word() {
        let words = ["--bundle=/b", "-e", "A=b", "--tty", "--all=false", "id", "--flag"];
        let mut args = Args::new(help::find("exec").unwrap(), words.map(String::from).to_vec());
        assert_eq!(args.flag().unwrap().as_deref(), Some("bundle"));
        assert_eq!(args.value("bundle").unwrap(), "/b");
        assert_eq!(args.flag().unwrap().as_deref(), Some("e"));
        assert_eq!(args.value("e").unwrap(), "A=b");
        assert_eq!(args.flag().unwrap().as_deref(), Some("tty"));
        assert!(args.boolean().unwrap());
        assert_eq!(args.flag().unwrap().as_deref(), Some("all"));
        assert!(!args.boolean().unwrap());
        assert_eq!(args.flag().unwrap(), None);
        assert_eq!((args.id().unwrap().as_str(), args.rest()), ("id", vec!["--flag".to_owned()]));
    }

    #[test]
    fn flags_may_follow_other_words_where_they_do_not_end_them() {
        let words = ["id", "--force", "more", "--", "--word"].map(String::from);
        let mut args = Args::new(help::find("delete").unwrap(), words.to_vec());
        assert_eq!(args.flag().unwrap().as_deref(), Some("force"));
        assert_eq!(args.flag().unwrap(), None);
        assert_eq!((args.id().unwrap().as_str(), args.rest()), ("id", vec!["more".into(), "--word".into()]));
    }

    #[test]
    fn missing_and_unexpected_values_are_refused() {
        let mut args = Args::new(&help::GLOBAL, vec!["--root".into()]);
        args.flag().unwrap();
        assert_eq!(args.value("root").unwrap_err().to_string(), "flag needs an argument: -root");
        let mut args = Args::new(&help::GLOBAL, vec!["--x=1".into()]);
        args.flag().unwrap();
        assert!(args.flag().is_err());
        for (command, words, text) in [
            ("state", &[][..], "\"state\" requires exactly 1 argument(s)"),
            ("state", &["a", "b"], "\"state\" requires exactly 1 argument(s)"),
            ("kill", &[], "\"kill\" requires a minimum of 1 argument(s)"),
        ] {
            let words = words.iter().map(ToString::to_string).collect();
            let mut args = Args::new(help::find(command).unwrap(), words);
            let error = args.id().and_then(|_| args.end()).unwrap_err();
            assert!(error.to_string().ends_with(text), "{error}");
        }
    }
}
