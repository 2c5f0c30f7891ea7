//! `--change` of import and commit: Dockerfile instructions that only touch the config.

use std::collections::BTreeMap;

use types::config::HealthConfig;
use types::{Config, Error, Result};

/// A config made by these instructions alone.
pub(super) fn apply(changes: &[String]) -> Result<Config> {
    let mut config = Config::default();
    apply_to(&mut config, changes)?;
    Ok(config)
}

/// Changes a config by these instructions.
pub(crate) fn apply_to(config: &mut Config, changes: &[String]) -> Result<()> {
    let mut has_command = false;
    for line in changes.iter().flat_map(|change| change.lines()).map(str::trim) {
        if !line.is_empty() && !line.starts_with('#') {
            one(config, line)?;
            let word = line.split_whitespace().next().unwrap_or_default();
            has_command |= word.eq_ignore_ascii_case("CMD");
            // A command made for another entry point means nothing to this one.
            if word.eq_ignore_ascii_case("ENTRYPOINT") && !has_command {
                config.cmd = None;
            }
        }
    }
    Ok(())
}

fn one(config: &mut Config, line: &str) -> Result<()> {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let (word, rest) = (word.to_ascii_uppercase(), rest.trim());
    let known = [
        "CMD",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "HEALTHCHECK",
        "LABEL",
        "ONBUILD",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ];
    if !known.contains(&word.as_str()) {
        return Err(Error::invalid(format!("{word} is not a valid change command")));
    }
    if rest.is_empty() {
        return Err(Error::invalid(format!("{word} requires at least one argument")));
    }
    match word.as_str() {
        "CMD" => config.cmd = Some(command(rest)),
        "ENTRYPOINT" => config.entrypoint = Some(command(rest)),
        "ENV" => {
            let variables = config.env.get_or_insert_default();
            for (name, value) in pairs(rest, &word)? {
                variables.retain(|old| old.split('=').next() != Some(name.as_str()));
                variables.push(format!("{name}={value}"));
            }
        }
        "LABEL" => config.labels.get_or_insert_default().extend(pairs(rest, &word)?),
        "EXPOSE" => {
            for port in words(rest) {
                let port = if port.contains('/') { port } else { format!("{port}/tcp") };
                config.exposed_ports.insert(port, Default::default());
            }
        }
        "VOLUME" => {
            let paths = json_list(rest).unwrap_or_else(|| words(rest));
            let volumes: BTreeMap<_, _> = paths.into_iter().map(|path| (path, Default::default())).collect();
            config.volumes.get_or_insert_default().extend(volumes);
        }
        "HEALTHCHECK" => config.healthcheck = Some(health(rest)?),
        "ONBUILD" => config.on_build.get_or_insert_default().push(rest.to_owned()),
        "STOPSIGNAL" => config.stop_signal = rest.to_owned(),
        "USER" => config.user = rest.to_owned(),
        _ => config.working_dir = rest.to_owned(),
    }
    Ok(())
}

/// `["a", "b"]` is run as it is, all else by a shell.
fn command(rest: &str) -> Vec<String> {
    json_list(rest).unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned(), rest.to_owned()])
}

fn json_list(rest: &str) -> Option<Vec<String>> {
    serde_json::from_str(rest).ok()
}

/// `[--interval=3s ...] CMD true`, or `NONE`.
fn health(mut rest: &str) -> Result<HealthConfig> {
    let mut health = HealthConfig::default();
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        let duration = || {
            crate::clock::parse_duration_ns(value)
                .ok_or_else(|| Error::invalid(format!("time: invalid duration {value:?}")))
        };
        match name {
            "interval" => health.interval = duration()?,
            "timeout" => health.timeout = duration()?,
            "start-period" => health.start_period = duration()?,
            "start-interval" => health.start_interval = duration()?,
            "retries" => {
                let invalid =
                    || Error::invalid(format!("strconv.ParseInt: parsing {value:?}: invalid syntax"));
                health.retries = value.parse().map_err(|_| invalid())?;
            }
            _ => return Err(Error::invalid(format!("unknown flag: {name}"))),
        }
        rest = after.trim_start();
    }
    let test = match rest
        .split_once(char::is_whitespace)
        .map(|(word, rest)| (word.to_ascii_uppercase(), rest.trim()))
    {
        None if rest.eq_ignore_ascii_case("none") => vec!["NONE".to_owned()],
        Some((word, probe)) if word == "CMD" => match json_list(probe) {
            Some(list) => [vec!["CMD".to_owned()], list].concat(),
            None => vec!["CMD-SHELL".to_owned(), probe.to_owned()],
        },
        _ => return Err(Error::invalid(format!("Unknown type {rest:?} in HEALTHCHECK (try CMD)"))),
    };
    Ok(HealthConfig { test: Some(test), ..health })
}

/// `a=b c="d e"`, or the old form `a b c` that sets `a`.
fn pairs(rest: &str, word: &str) -> Result<Vec<(String, String)>> {
    let words = words(rest);
    if let Some((first, others)) = words.split_first().filter(|(first, _)| !first.contains('=')) {
        if others.is_empty() {
            return Err(Error::invalid(format!("{word} must have two arguments")));
        }
        return Ok(vec![(first.clone(), others.join(" "))]);
    }
    let split = |pair: String| match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::invalid(format!(
            "Syntax error - can't find = in {pair:?}. Must be of the form: name=value"
        ))),
    };
    words.into_iter().map(split).collect()
}

/// Words with quotes and backslashes taken away.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(changes: &[&str]) -> String {
        let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
        match apply(&changes) {
            Ok(config) => {
                let mut value = serde_json::to_value(config).unwrap();
                let empty = serde_json::to_value(Config::default()).unwrap();
                let map = value.as_object_mut().unwrap();
                map.retain(|key, value| empty.get(key) != Some(value));
                value.to_string()
            }
            Err(error) => error.message,
        }
    }

    #[test]
    fn changes_touch_the_config_as_in_a_dockerfile() {
        assert_eq!(json(&["CMD echo hi"]), r#"{"Cmd":["/bin/sh","-c","echo hi"]}"#);
        assert_eq!(json(&[r#"cmd ["a","b"]"#]), r#"{"Cmd":["a","b"]}"#);
        assert_eq!(json(&["ENV a=1 b=\"x y\"", "ENV a=2"]), r#"{"Env":["b=x y","a=2"]}"#);
        assert_eq!(json(&["ENV a one two"]), r#"{"Env":["a=one two"]}"#);
        assert_eq!(json(&["LABEL x=y"]), r#"{"Labels":{"x":"y"}}"#);
        assert_eq!(json(&["EXPOSE 80 53/udp"]), r#"{"ExposedPorts":{"53/udp":{},"80/tcp":{}}}"#);
        assert_eq!(json(&["VOLUME [\"/a\"]", "VOLUME /b"]), r#"{"Volumes":{"/a":{},"/b":{}}}"#);
        assert_eq!(json(&["WORKDIR /x", "USER me"]), r#"{"User":"me","WorkingDir":"/x"}"#);
        assert_eq!(json(&["FROM x"]), "FROM is not a valid change command");
        assert_eq!(json(&["CMD"]), "CMD requires at least one argument");
        assert_eq!(json(&["ENV a"]), "ENV must have two arguments");
    }
}
