//! Environment variables and labels: from flags, from files, from this process's environment.

use std::env;

/// `--env NAME` takes the value from the environment, if it is there.
pub(crate) fn check_env(text: &str) -> Result<String, String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    if name.is_empty() {
        return Err(format!("invalid environment variable: {text}"));
    }
    Ok(match (value, env::var(name)) {
        (None, Ok(value)) => format!("{name}={value}"),
        _ => text.to_owned(),
    })
}

/// Whether a name without a value means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bare {
    /// Taken from the environment, or left out.
    FromEnvironment,
    /// Left out.
    Dropped,
}

/// The lines of the files, then the values of the flags.
pub(crate) fn read_pairs(files: &[String], values: Vec<String>, bare: Bare) -> Result<Vec<String>, String> {
    let mut pairs = Vec::new();
    for file in files {
        let bytes =
            std::fs::read(file).map_err(|error| format!("open {file}: {}", crate::os_error(&error)))?;
        parse_file(&bytes, bare, &mut pairs).map_err(|why| format!("invalid env file ({file}): {why}"))?;
    }
    pairs.extend(values);
    Ok(pairs)
}

fn parse_file(bytes: &[u8], bare: Bare, pairs: &mut Vec<String>) -> Result<(), String> {
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = std::str::from_utf8(line).map_err(|_| {
            let bytes: Vec<String> = line.iter().map(u8::to_string).collect();
            format!("invalid utf8 bytes at line {}: [{}]", index + 1, bytes.join(" "))
        })?;
        let text = if index == 0 { text.trim_start_matches('\u{feff}') } else { text };
        let text = text.trim_start();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        if name.is_empty() {
            return Err(format!("no variable name on line '{text}'"));
        }
        if name.contains([' ', '\t']) {
            return Err(format!("variable '{name}' contains whitespaces"));
        }
        match (value, bare) {
            (Some(_), _) => pairs.push(text.to_owned()),
            (None, Bare::FromEnvironment) => {
                pairs.extend(env::var(name).map(|value| format!("{name}={value}")))
            }
            (None, Bare::Dropped) => {}
        }
    }
    Ok(())
}
