//! `--ulimit`, `--device-read-bps` and its like, `--blkio-weight-device`, `--restart`.

use types::config::{RestartPolicy, ThrottleDevice, Ulimit, WeightDevice};

use super::size::ram_in_bytes;
use crate::flags::go_quote;

const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `NAME=SOFT[:HARD]`.
pub(crate) fn parse_ulimit(text: &str) -> Result<Ulimit, String> {
    let (name, limits) = text.split_once('=').ok_or_else(|| format!("invalid ulimit argument: {text}"))?;
    if !ULIMITS.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let number = |text: &str| {
        text.parse::<i64>()
            .map_err(|_| format!("strconv.ParseInt: parsing {}: invalid syntax", go_quote(text)))
    };
    let parts: Vec<&str> = limits.split(':').collect();
    let (soft, hard) = match parts.as_slice() {
        [both] => (number(both)?, number(both)?),
        [soft, hard] => {
            let hard = number(hard)?;
            (number(soft)?, hard)
        }
        _ => {
            return Err(format!(
                "too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`"
            ));
        }
    };
    let prefix = "ulimit soft limit must be less than or equal to hard limit:";
    match hard {
        -1 => {}
        hard if soft == -1 => return Err(format!("{prefix} soft: -1 (unlimited), hard: {hard}")),
        hard if soft > hard => return Err(format!("{prefix} {soft} > {hard}")),
        _ => {}
    }
    Ok(Ulimit { name: name.to_owned(), soft, hard })
}

fn device_and_value(text: &str) -> Result<(&str, &str), String> {
    match text.split_once(':') {
        Some((path, value)) if !path.is_empty() => match path.starts_with("/dev/") {
            true => Ok((path, value)),
            false => Err(format!("bad format for device path: {text}")),
        },
        _ => Err(format!("bad format: {text}")),
    }
}

/// `DEVICE:BYTES` per second.
pub(crate) fn parse_bps(text: &str) -> Result<ThrottleDevice, String> {
    let (path, rate) = device_and_value(text)?;
    let rate = ram_in_bytes(rate).ok().and_then(|rate| u64::try_from(rate).ok()).ok_or_else(|| {
        format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. Number must be \
             a positive integer. Unit is optional and can be kb, mb, or gb"
        )
    })?;
    Ok(ThrottleDevice { path: path.to_owned(), rate })
}

/// `DEVICE:OPERATIONS` per second.
pub(crate) fn parse_iops(text: &str) -> Result<ThrottleDevice, String> {
    let (path, rate) = device_and_value(text)?;
    let rate = rate.parse().map_err(|_| {
        format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>. Number must be a \
             positive integer"
        )
    })?;
    Ok(ThrottleDevice { path: path.to_owned(), rate })
}

/// `DEVICE:WEIGHT`, 10 to 1000 or 0.
pub(crate) fn parse_weight(text: &str) -> Result<WeightDevice, String> {
    let (path, weight) = device_and_value(text)?;
    match weight.parse() {
        Ok(weight @ (0 | 10..=1000)) => Ok(WeightDevice { path: path.to_owned(), weight }),
        _ => Err(format!("invalid weight for device: {text}")),
    }
}

/// `NAME[:COUNT]`.
pub(crate) fn parse_restart_policy(text: &str) -> Result<RestartPolicy, String> {
    let (name, count) = text.split_once(':').unwrap_or((text, ""));
    if name.is_empty() && text.contains(':') {
        return Err("invalid restart policy format: no policy provided before colon".to_owned());
    }
    let count = match count {
        "" => 0,
        count => count.parse().map_err(|_| {
            "invalid restart policy format: maximum retry count must be an integer".to_owned()
        })?,
    };
    Ok(RestartPolicy { name: name.to_owned(), maximum_retry_count: count })
}
