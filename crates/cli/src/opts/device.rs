//! `--device`, `--device-cgroup-rule`, `--gpus`.

use std::collections::BTreeMap;

use types::config::{DeviceMapping, DeviceRequest};

use super::{csv, names, to_map};
use crate::flags::go_quote;

/// `HOST[:CONTAINER][:PERMISSIONS]`.
pub(crate) fn parse_device(text: &str) -> Result<DeviceMapping, String> {
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 3 || parts[0].is_empty() {
        return Err(format!("bad format for path: {text}"));
    }
    let (target, permissions) = match parts.as_slice() {
        [source] => (*source, "rwm"),
        [source, mode] if is_mode(mode) => (*source, *mode),
        [_, target] => (*target, "rwm"),
        [_, target, mode] if is_mode(mode) => (*target, *mode),
        [_, _, mode] => return Err(format!("bad mode specified: {mode}")),
        _ => return Err(format!("bad format for path: {text}")),
    };
    if !target.starts_with('/') {
        return Err(format!("{target} is not an absolute path"));
    }
    let alone = target == parts[0];
    let clean = names::clean_path(target);
    Ok(DeviceMapping {
        path_on_host: if alone { clean.clone() } else { parts[0].to_owned() },
        path_in_container: clean,
        cgroup_permissions: permissions.to_owned(),
    })
}

fn is_mode(text: &str) -> bool {
    let once = |letter: char| text.matches(letter).count() <= 1;
    !text.is_empty() && text.chars().all(|c| "rwm".contains(c)) && "rwm".chars().all(once)
}

/// Whether it names a device of the Container Device Interface: `VENDOR/CLASS=NAME`.
pub(crate) fn is_cdi_name(text: &str) -> bool {
    let plain = |word: &str, more: &str| {
        word.starts_with(|c: char| c.is_ascii_alphanumeric())
            && word.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    let Some((kind, name)) = text.split_once('=') else { return false };
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    plain(vendor, "_-.") && plain(class, "_-") && plain(name, "_-.:")
}

/// `TYPE MAJOR:MINOR MODE`.
pub(crate) fn check_cgroup_rule(text: &str) -> Result<String, String> {
    let number =
        |text: &str| text == "*" || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let valid = match text.split(' ').collect::<Vec<_>>().as_slice() {
        ["a" | "c" | "b", numbers, mode] => {
            numbers.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor))
                && (1..=3).contains(&mode.len())
                && mode.chars().all(|c| "rwm".contains(c))
        }
        _ => false,
    };
    if valid { Ok(text.to_owned()) } else { Err(format!("invalid device cgroup format '{text}'")) }
}

/// `all`, a count, or `driver=,count=,device=,capabilities=,options=`.
pub(crate) fn parse_gpus(text: &str) -> Result<DeviceRequest, String> {
    let mut request = DeviceRequest::default();
    let mut seen = Vec::new();
    let mut options = BTreeMap::new();
    for field in csv::fields(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field.as_str(), None),
        };
        if seen.contains(&key.to_owned()) {
            return Err(format!("gpu request key '{key}' can be specified only once"));
        }
        seen.push(key.to_owned());
        let list = |value: &str| value.split(',').map(str::to_owned).collect::<Vec<_>>();
        match (key, value) {
            (count, None) => {
                seen.push("count".to_owned());
                request.count = parse_count(count)?;
            }
            ("driver", Some(value)) => request.driver = value.to_owned(),
            ("count", Some(value)) => request.count = parse_count(value)?,
            ("device", Some(value)) => request.device_ids = Some(list(value)),
            ("capabilities", Some(value)) => {
                let mut all = list(value);
                all.push("gpu".to_owned());
                request.capabilities = Some(vec![all]);
            }
            ("options", Some(value)) => {
                let fields =
                    csv::fields(value).map_err(|error| format!("failed to read gpu options: {error}"))?;
                options = to_map(&fields);
            }
            (key, Some(_)) => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    if !seen.contains(&"count".to_owned()) && request.device_ids.is_none() {
        request.count = 1;
    }
    request.options = Some(options);
    request.capabilities.get_or_insert_with(|| vec![vec!["gpu".to_owned()]]);
    Ok(request)
}

fn parse_count(text: &str) -> Result<i64, String> {
    match text {
        "all" => Ok(-1),
        _ => text.parse().map_err(|_| {
            format!("invalid count ({text}): value must be either \"all\" or an integer: invalid syntax")
        }),
    }
}

/// `KEY=VALUE` of `--security-opt`, quoted in an error.
pub(crate) fn invalid_security_option(text: &str) -> String {
    format!("Invalid --security-opt: {}", go_quote(text))
}
