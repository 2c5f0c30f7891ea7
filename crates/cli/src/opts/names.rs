//! Checks of names, addresses and paths that flags take.

use std::net::IpAddr;

use crate::flags::go_quote;

/// `--attach`: one of the standard streams.
pub(crate) fn check_attach(text: &str) -> Result<String, String> {
    match text.to_lowercase() {
        stream if matches!(stream.as_str(), "stdin" | "stdout" | "stderr") => Ok(stream),
        _ => Err("valid streams are STDIN, STDOUT and STDERR".to_owned()),
    }
}

/// `--dns`: an address, in its canonical form.
pub(crate) fn check_ip(text: &str) -> Result<String, String> {
    match text.trim().parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err(format!("IP address is not correctly formatted: {text}")),
    }
}

/// `--dns-search`: a domain, or `.` for none.
pub(crate) fn check_dns_search(text: &str) -> Result<String, String> {
    let text = text.trim_matches(' ');
    if text == "." {
        return Ok(text.to_owned());
    }
    let domain = text.trim_end().trim_end_matches('.');
    let label = |label: &str| {
        label.starts_with(|c: char| c.is_ascii_alphanumeric())
            && label.ends_with(|c: char| c.is_ascii_alphanumeric())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let valid = domain.len() < 255
        && domain.contains(|c: char| c.is_ascii_alphabetic())
        && domain.split('.').all(label);
    if valid { Ok(domain.to_owned()) } else { Err(format!("{text} is not a valid domain")) }
}

/// `--label`.
pub(crate) fn check_label(text: &str) -> Result<String, String> {
    let name = text.split('=').next().unwrap_or_default().trim_start_matches([' ', '\t']);
    if name.is_empty() {
        return Err(format!("invalid label '{text}': empty name"));
    }
    if name.contains([' ', '\t']) {
        return Err(format!("label '{name}' contains whitespaces"));
    }
    Ok(text.to_owned())
}

/// `--sysctl`: what a namespace keeps apart.
pub(crate) fn check_sysctl(text: &str) -> Result<String, String> {
    const KERNEL: [&str; 8] =
        ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];
    let allowed = text.split_once('=').is_some_and(|(name, _)| {
        name.strip_prefix("kernel.").is_some_and(|rest| KERNEL.contains(&rest))
            || name.starts_with("net.")
            || name.starts_with("fs.mqueue.")
    });
    if allowed { Ok(text.to_owned()) } else { Err(format!("sysctl '{text}' is not allowed")) }
}

/// `--link`.
pub(crate) fn check_link(text: &str) -> Result<String, String> {
    match text.matches(':').count() {
        _ if text.is_empty() => Err("empty string specified for links".to_owned()),
        0 | 1 => Ok(text.to_owned()),
        _ => Err(format!("bad format for links: {text}")),
    }
}

/// `--add-host NAME:ADDRESS` or `NAME=ADDRESS`, as `NAME:ADDRESS`.
pub(crate) fn check_extra_host(text: &str) -> Result<String, String> {
    let split = text.split_once('=').or_else(|| text.split_once(':'));
    let (name, address) = match split {
        Some((name, address)) if !name.is_empty() && !name.contains(':') => (name, address),
        _ => return Err(format!("bad format for add-host: {}", go_quote(text))),
    };
    let bare =
        address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|rest| !rest.is_empty());
    let address = bare.unwrap_or(address);
    if address != "host-gateway" && check_ip(address).is_err() {
        return Err(format!("invalid IP address in add-host: {}", go_quote(address)));
    }
    Ok(format!("{name}:{address}"))
}

/// Six bytes in hexadecimal, as Go's `net.ParseMAC` reads them (also 8 and 20 bytes, and groups of two bytes).
pub(crate) fn is_mac(text: &str) -> bool {
    let groups = |separator: char, digits: usize| {
        let groups: Vec<&str> = text.split(separator).collect();
        let right =
            |group: &&str| group.len() == digits && group.bytes().all(|byte| byte.is_ascii_hexdigit());
        matches!(groups.len() * digits / 2, 6 | 8 | 20) && groups.iter().all(right)
    };
    groups(':', 2) || groups('-', 2) || groups('.', 4)
}

/// Go's `path.Clean`.
pub(crate) fn clean_path(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// Go's `filepath.Abs`; unchanged when the working directory is unknown.
pub(crate) fn absolute_path(path: &str) -> String {
    match std::env::current_dir() {
        Ok(dir) if !path.starts_with('/') => clean_path(&format!("{}/{path}", dir.display())),
        _ if path.starts_with('/') => clean_path(path),
        _ => path.to_owned(),
    }
}
