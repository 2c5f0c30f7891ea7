//! What flags and file say, merged: one JSON value for each option that was given.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use serde_json::{Map, Value};

use super::options::{Kind, Opt, by_flag, by_key};

/// Why the daemon does not start. The words are dockerd's where it has the same case.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A flag nobody knows.
    #[error("unknown flag: --{0}")]
    UnknownFlag(String),
    /// A letter nobody knows.
    #[error("unknown shorthand flag: '{0}' in -{1}")]
    UnknownLetter(char, String),
    /// A flag at the end that wants a value.
    #[error("flag needs an argument: {0}")]
    NeedsArgument(String),
    /// A value that is not what the flag takes.
    #[error("invalid argument \"{value}\" for \"{flag}\" flag: {why}")]
    BadArgument { flag: String, value: String, why: String },
    /// A word that is no flag.
    #[error("\"wharf daemon\" accepts no arguments: {0:?}")]
    Argument(String),
    /// The file cannot be used.
    #[error("unable to configure the Docker daemon with file {path}: {why}")]
    File { path: String, why: String },
    /// A key or flag of Docker's that is not built.
    #[error("{name}: {value} is not supported by this version of wharf yet{hint}")]
    Unsupported { name: String, value: String, hint: String },
    /// A value that makes no sense.
    #[error("{name}: {why}")]
    Invalid { name: String, why: String },
}

/// Options by key (by flag, for those without a key).
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Values(BTreeMap<&'static str, Value>);

impl Values {
    /// The text; `None` when not given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// The switch; `None` when not given.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.0.get(name)?.as_bool()
    }

    /// The number; `None` when not given.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.0.get(name)?.as_i64()
    }

    /// The list; empty when not given.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let list = self.0.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// The list with what is no text in it; empty when not given.
    pub(crate) fn items(&self, name: &str) -> Vec<Value> {
        self.0.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
    }

    /// The object; empty when not given.
    pub(crate) fn map(&self, name: &str) -> Map<String, Value> {
        self.0.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// Refuses what is not built, unless it asks for nothing that is not so anyway.
    pub(crate) fn check_supported(&self) -> Result<(), ConfigError> {
        for (name, value) in &self.0 {
            let Some(only) = by_key(name).or_else(|| by_flag(name)).and_then(|opt| opt.only) else {
                continue;
            };
            let text = display(value);
            if !only.contains(&text.as_str()) {
                let accepted: Vec<_> =
                    only.iter().filter(|value| !matches!(**value, "" | "[]" | "{}")).copied().collect();
                let hint = if accepted.is_empty() {
                    String::new()
                } else {
                    format!(" (only {})", accepted.join(", "))
                };
                return Err(ConfigError::Unsupported { name: (*name).to_owned(), value: text, hint });
            }
        }
        Ok(())
    }
}

/// As Docker prints a value in a message.
fn display(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn name_of(opt: &'static Opt) -> &'static str {
    if opt.key.is_empty() { opt.flag } else { opt.key }
}

/// Reads a command line.
pub(crate) fn from_flags(args: &[OsString]) -> Result<Values, ConfigError> {
    let mut values = Values::default();
    let mut words = args.iter().map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
            let (name, given) = split(long);
            let opt = by_flag(name).filter(|opt| opt.flag == name);
            let opt = opt.ok_or_else(|| ConfigError::UnknownFlag(name.to_owned()))?;
            let value = match (given, opt.kind) {
                (Some(value), _) => value.to_owned(),
                (None, Kind::Bool) => "true".to_owned(),
                (None, _) => words.next().ok_or_else(|| ConfigError::NeedsArgument(format!("--{name}")))?,
            };
            values.set(opt, &value)?;
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            set_letters(&mut values, letters, &mut words)?;
        } else {
            return Err(ConfigError::Argument(word));
        }
    }
    Ok(values)
}

fn split(word: &str) -> (&str, Option<&str>) {
    word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)))
}

/// `-D`, `-Dl debug`, `-ldebug`, `-l=debug`.
fn set_letters(
    values: &mut Values,
    letters: &str,
    words: &mut impl Iterator<Item = String>,
) -> Result<(), ConfigError> {
    let mut rest = letters;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        let opt = by_flag(&letter.to_string()).filter(|opt| opt.short == letter);
        let opt = opt.ok_or_else(|| ConfigError::UnknownLetter(letter, letters.to_owned()))?;
        if opt.kind == Kind::Bool && !rest.starts_with('=') {
            values.set(opt, "true")?;
            continue;
        }
        let given = std::mem::take(&mut rest);
        let value = match given {
            "" => {
                words.next().ok_or_else(|| ConfigError::NeedsArgument(format!("'{letter}' in -{letters}")))?
            }
            given => given.strip_prefix('=').unwrap_or(given).to_owned(),
        };
        values.set(opt, &value)?;
    }
    Ok(())
}

impl Values {
    fn set(&mut self, opt: &'static Opt, text: &str) -> Result<(), ConfigError> {
        let bad = |why: String| {
            let short = if opt.short == ' ' { String::new() } else { format!("-{}, ", opt.short) };
            ConfigError::BadArgument { flag: format!("{short}--{}", opt.flag), value: text.to_owned(), why }
        };
        let name = name_of(opt);
        let value = match opt.kind {
            Kind::Bool => Value::Bool(match text {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
                "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
                _ => return Err(bad(format!("strconv.ParseBool: parsing {text:?}: invalid syntax"))),
            }),
            Kind::Int => {
                let number: i64 = text
                    .parse()
                    .map_err(|_| bad(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))?;
                number.into()
            }
            Kind::Text => text.into(),
            Kind::List => {
                let mut list = self.0.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
                list.push(text.into());
                list.into()
            }
            Kind::Map => {
                if opt.key == "runtimes" {
                    return self.add_runtime(text).map_err(bad);
                }
                let (key, value) = split(text);
                let value = value.ok_or_else(|| bad("want name=value".to_owned()))?;
                let mut map = self.map(name);
                // `bridge=option=value`, several for one driver: an object of objects in the file.
                let value = match (opt.key, value.split_once('=')) {
                    ("default-network-opts", Some((option, value))) => {
                        let of_driver = map.get(key).and_then(Value::as_object);
                        let mut of_driver = of_driver.cloned().unwrap_or_default();
                        of_driver.insert(option.to_owned(), value.into());
                        of_driver.into()
                    }
                    _ => value.into(),
                };
                map.insert(key.to_owned(), value);
                map.into()
            }
        };
        self.0.insert(name, value);
        Ok(())
    }
}

impl Values {
    /// `name=path` (moby `opts.RuntimeOpt`).
    fn add_runtime(&mut self, text: &str) -> Result<(), String> {
        let parts = text.split_once('=').map(|(name, path)| (name.trim().to_lowercase(), path.trim()));
        let Some((name, path)) = parts.filter(|(name, path)| !name.is_empty() && !path.is_empty()) else {
            return Err(format!("invalid runtime argument: {text}"));
        };
        let mut map = self.map("runtimes");
        if map.insert(name.clone(), path.into()).is_some() {
            return Err(format!("runtime '{name}' was already defined"));
        }
        self.0.insert("runtimes", map.into());
        Ok(())
    }
}

/// Adds what the file says. A missing file is an error only if the user named it.
pub(crate) fn add_file(values: &mut Values, path: &Path, is_named: bool) -> Result<(), ConfigError> {
    let file_error = |why: String| ConfigError::File { path: path.display().to_string(), why };
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !is_named => return Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(file_error(format!("open {}: no such file or directory", path.display())));
        }
        Err(e) => return Err(file_error(format!("read {}: {e}", path.display()))),
    };
    merge(values, &text).map_err(file_error)
}

/// Merges a file into what the flags say; the error is what follows the file's name.
fn merge(values: &mut Values, text: &[u8]) -> Result<(), String> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    let whole: Map<String, Value> = serde_json::from_slice(text).map_err(|e| format!("invalid JSON: {e}"))?;
    let keys = flatten(whole);
    let mut unknown: Vec<&str> =
        keys.keys().map(String::as_str).filter(|key| by_key(key).is_none()).collect();
    if !unknown.is_empty() {
        unknown.sort_unstable();
        return Err(format!(
            "the following directives don't match any configuration option: {}",
            unknown.join(", ")
        ));
    }
    let mut conflicts: Vec<String> = Vec::new();
    for (key, value) in &keys {
        if let Some(flag) = values.0.get(key.as_str()) {
            conflicts.push(format!("{key}: (from flag: {}, from file: {})", go_value(flag), go_value(value)));
        }
    }
    if !conflicts.is_empty() {
        return Err(format!(
            "the following directives are specified both as a flag and in the configuration file: {}",
            conflicts.join(", ")
        ));
    }
    for (key, value) in keys {
        let Some(opt) = by_key(&key).filter(|_| !value.is_null()) else { continue };
        values.0.insert(opt.key, typed(opt, value)?);
    }
    Ok(())
}

/// `proxies` is the one object whose members are options themselves.
fn flatten(whole: Map<String, Value>) -> Map<String, Value> {
    let mut flat = Map::new();
    for (key, value) in whole {
        match value {
            Value::Object(members) if key == "proxies" => flat.extend(members),
            other => {
                flat.insert(key, other);
            }
        }
    }
    flat
}

/// As Go prints a value with `%v`.
fn go_value(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("[{}]", list.iter().map(go_value).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            format!(
                "map[{}]",
                map.iter().map(|(k, v)| format!("{k}:{}", go_value(v))).collect::<Vec<_>>().join(" ")
            )
        }
        other => display(other),
    }
}

/// Checks a value of the file against what its option takes, in the words of Go's decoder.
fn typed(opt: &'static Opt, value: Value) -> Result<Value, String> {
    let (fits, wanted) = match opt.kind {
        Kind::Bool => (value.is_boolean(), "bool"),
        Kind::Text => (value.is_string() || (opt.key == "default-shm-size" && value.is_i64()), "string"),
        Kind::Int => (value.is_i64(), "int"),
        // Address pools are objects; everything else is text.
        Kind::List => (
            value.as_array().is_some_and(|list| list.iter().all(|v| v.is_string() || v.is_object())),
            "[]string",
        ),
        Kind::Map => (value.is_object(), "map"),
    };
    if fits {
        return Ok(if value.is_i64() && opt.kind == Kind::Text { display(&value).into() } else { value });
    }
    let found = match value {
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        _ => "object",
    };
    Err(format!("json: cannot unmarshal {found} into Go struct field Config.{} of type {wanted}", opt.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(line: &str) -> Result<Values, String> {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        from_flags(&args).map_err(|e| e.to_string())
    }

    #[test]
    fn flags_are_read_as_pflag_does() {
        let values =
            flags("-D -H unix:///a --host=tcp://b --icc=false --mtu 1400 -lwarn --log-opt max-size=1m")
                .unwrap();
        assert_eq!(values.flag("debug"), Some(true));
        assert_eq!(values.list("hosts"), ["unix:///a", "tcp://b"]);
        assert_eq!(values.flag("icc"), Some(false));
        assert_eq!(values.number("mtu"), Some(1400));
        assert_eq!(values.text("log-level"), Some("warn"));
        assert_eq!(values.map("log-opts")["max-size"], "1m");
        for (line, want) in [
            ("--nosuch", "unknown flag: --nosuch"),
            ("-Dx", "unknown shorthand flag: 'x' in -Dx"),
            ("--host", "flag needs an argument: --host"),
            ("-H", "flag needs an argument: 'H' in -H"),
            (
                "--debug=maybe",
                r#"invalid argument "maybe" for "-D, --debug" flag: strconv.ParseBool: parsing "maybe": invalid syntax"#,
            ),
            (
                "--mtu x",
                r#"invalid argument "x" for "--mtu" flag: strconv.ParseInt: parsing "x": invalid syntax"#,
            ),
            ("start", r#""wharf daemon" accepts no arguments: "start""#),
        ] {
            assert_eq!(flags(line).unwrap_err(), want, "{line}");
        }
    }

    #[test]
    fn the_file_is_checked_in_dockerds_words() {
        let merged = |line: &str, file: &str| {
            let mut values = flags(line).unwrap();
            merge(&mut values, file.as_bytes()).map(|()| values)
        };
        for (line, file, want) in [
            (
                "",
                r#"{"zzz":1,"aaa":2}"#,
                "the following directives don't match any configuration option: aaa, zzz",
            ),
            (
                "-D --dns 1.1.1.1",
                r#"{"debug":false}"#,
                "the following directives are specified both as a flag and in the configuration file: debug: (from flag: true, from file: false)",
            ),
            (
                "-H unix:///a",
                r#"{"hosts":["unix:///b","tcp://c"]}"#,
                "the following directives are specified both as a flag and in the configuration file: hosts: (from flag: [unix:///a], from file: [unix:///b tcp://c])",
            ),
            (
                "",
                r#"{"debug":"yes"}"#,
                "json: cannot unmarshal string into Go struct field Config.debug of type bool",
            ),
        ] {
            assert_eq!(merged(line, file).unwrap_err(), want, "{file}");
        }
        let values =
            merged("-D", r#"{"mtu":1400,"proxies":{"http-proxy":""},"labels":["a=b"],"hosts":null}"#)
                .unwrap();
        assert_eq!(values.number("mtu"), Some(1400));
        assert_eq!(values.list("labels"), ["a=b"]);
        assert_eq!(merged("", " \n").unwrap(), Values::default());
        assert!(merged("", "{").unwrap_err().starts_with("invalid JSON: "));
    }

    #[test]
    fn what_is_not_built_is_refused_unless_it_asks_for_nothing() {
        let check = |file: &str| {
            let mut values = Values::default();
            merge(&mut values, file.as_bytes()).unwrap();
            values.check_supported().map_err(|e| e.to_string())
        };
        for good in [
            r#"{"userns-remap":"","tls":false,"ipv6":false,"features":{},"authorization-plugins":[]}"#,
            r#"{"storage-driver":"overlay2","default-runtime":"runc","max-concurrent-downloads":3}"#,
        ] {
            check(good).unwrap();
        }
        for (bad, want) in [
            (
                r#"{"userns-remap":"default"}"#,
                "userns-remap: default is not supported by this version of wharf yet",
            ),
            (
                r#"{"storage-driver":"zfs"}"#,
                "storage-driver: zfs is not supported by this version of wharf yet (only erofs, overlay2, overlay, overlayfs, vfs, copy)",
            ),
            (
                r#"{"selinux-enabled":true}"#,
                "selinux-enabled: true is not supported by this version of wharf yet (only false)",
            ),
        ] {
            assert_eq!(check(bad).unwrap_err(), want);
        }
    }

    #[test]
    fn every_key_of_dockers_reference_is_known() {
        let given = std::env::var_os("WHARF_REFERENCE").map(std::path::PathBuf::from);
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference");
        let Ok(text) = std::fs::read_to_string(given.unwrap_or(beside).join("daemon-config-keys.tsv")) else {
            eprintln!("skipped: no reference; set WHARF_REFERENCE to the folder reference");
            return;
        };
        let keys = text.lines().skip(1).filter_map(|line| line.split('\t').next());
        for key in keys.filter(|key| !key.contains('.') && *key != "proxies") {
            assert!(by_key(key).is_some(), "{key}");
        }
    }
}
