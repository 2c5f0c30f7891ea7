//! `-p` and `--expose`: go-connections' `nat`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use types::config::{Empty, PortBinding};

/// What a set of `-p` and `--expose` comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    /// `PORT/PROTOCOL` of the container.
    pub(crate) exposed: BTreeMap<String, Empty>,
    /// The same to addresses of the host.
    pub(crate) bindings: BTreeMap<String, Option<Vec<PortBinding>>>,
}

/// All `-p` and `--expose` values.
pub(crate) fn parse(publish: &[String], expose: &[String]) -> Result<Ports, String> {
    let mut ports = Ports::default();
    for spec in publish {
        for (port, binding) in parse_spec(&standard_notation(spec)?)? {
            ports.exposed.insert(port.clone(), Empty {});
            ports.bindings.entry(port).or_default().get_or_insert_default().push(binding);
        }
    }
    for spec in expose {
        if spec.contains(':') {
            return Err(format!("invalid port format for --expose: {spec}"));
        }
        let (protocol, range) = split_protocol(spec);
        let (start, end) = parse_range(range)
            .map_err(|error| format!("invalid range format for --expose: {spec}, error: {error}"))?;
        for port in start..=end {
            ports.exposed.insert(format!("{port}/{protocol}"), Empty {});
        }
    }
    Ok(ports)
}

/// `published=8080,target=80,protocol=tcp` as `8080:80/tcp`.
fn standard_notation(spec: &str) -> Result<String, String> {
    if !spec.contains('=') {
        return Ok(spec.to_owned());
    }
    let (mut published, mut target, mut protocol) = ("", "", "tcp");
    for part in spec.split(',') {
        match part.split_once('=') {
            Some((key, value)) if !key.is_empty() => match key {
                "published" => published = value,
                "target" => target = value,
                "protocol" => protocol = value,
                _ => {}
            },
            _ => return Err(format!("invalid publish opts format (should be name=value but got '{part}')")),
        }
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

fn split_protocol(text: &str) -> (&str, &str) {
    let (port, protocol) = text.split_once('/').unwrap_or((text, ""));
    match (port, protocol) {
        ("", _) => ("", ""),
        (port, "") => ("tcp", port),
        (port, protocol) => (protocol, port),
    }
}

fn parse_number(text: &str) -> Result<u64, String> {
    match text.parse::<u16>() {
        Ok(number) if !text.starts_with('+') => Ok(u64::from(number)),
        _ => {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let why = if digits { "value out of range" } else { "invalid syntax" };
            Err(format!("strconv.ParseUint: parsing \"{text}\": {why}"))
        }
    }
}

/// `80` or `80-90`.
fn parse_range(text: &str) -> Result<(u64, u64), String> {
    if text.is_empty() {
        return Err("empty string specified for ports".to_owned());
    }
    let Some((start, rest)) = text.split_once('-') else {
        let port = parse_number(text)?;
        return Ok((port, port));
    };
    let start = parse_number(start)?;
    let end = parse_number(rest.split('-').next().unwrap_or_default())?;
    if end < start {
        return Err(format!("invalid range specified for port: {text}"));
    }
    Ok((start, end))
}

/// `[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]`, where ports may be ranges.
fn parse_spec(spec: &str) -> Result<Vec<(String, PortBinding)>, String> {
    let parts: Vec<&str> = spec.split(':').collect();
    let (address, host, container) = match parts.as_slice() {
        [container] => (String::new(), "", *container),
        [host, container] => (String::new(), *host, *container),
        [address @ .., host, container] => (address.join(":"), *host, *container),
        [] => (String::new(), "", ""),
    };
    let (protocol, container) = split_protocol(container);
    let protocol = protocol.to_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}"));
    }
    let bare = match address.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(|| {
            format!("invalid IP address {address}: address {address}:: missing ']' in address")
        })?,
        None => address.as_str(),
    };
    if !bare.is_empty() && bare.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address: {bare}"));
    }
    let (start, end) = parse_range(container).map_err(|_| format!("invalid containerPort: {container}"))?;
    let host_range = match host {
        "" => None,
        host => Some(parse_range(host).map_err(|_| format!("invalid hostPort: {host}"))?),
    };
    if let Some((host_start, host_end)) = host_range
        && end - start != host_end - host_start
        && end != start
    {
        return Err(format!("invalid ranges specified for container and host Ports: {container} and {host}"));
    }
    Ok((start..=end)
        .map(|port| {
            let host_port = match host_range {
                None => String::new(),
                // One container port and several host ports: any free one of them.
                Some((first, last)) if start == end && first != last => format!("{first}-{last}"),
                Some((first, _)) => (first + port - start).to_string(),
            };
            (format!("{port}/{protocol}"), PortBinding { host_ip: bare.to_owned(), host_port })
        })
        .collect())
}
