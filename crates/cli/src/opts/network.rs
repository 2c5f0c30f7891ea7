//! `--network`: a name, or `name=...,alias=...,ip=...`.

use std::collections::BTreeMap;

use super::csv;

/// One attachment as the user asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Attachment {
    pub(crate) target: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) driver_options: BTreeMap<String, String>,
    pub(crate) links: Vec<String>,
    pub(crate) ipv4_address: String,
    pub(crate) ipv6_address: String,
    pub(crate) link_local_ips: Vec<String>,
    pub(crate) mac_address: String,
    pub(crate) gateway_priority: i64,
}

impl Attachment {
    /// An attachment that says nothing but the network.
    pub(crate) fn to(target: &str) -> Self {
        Self { target: target.to_owned(), ..Self::default() }
    }
}

/// `bridge`, `host`, `none`, `default` and `container:ID` have no options of their own.
pub(crate) fn is_user_defined(mode: &str) -> bool {
    !matches!(mode, "default" | "bridge" | "host" | "none" | "nat")
        && !mode.starts_with("container:")
        && mode != "container"
}

/// Whether the text is in the long form: somewhere `WORD=WORD`.
fn is_long_form(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices('=')
        .any(|(at, _)| text[..at].ends_with(is_word) && text[at + 1..].starts_with(is_word))
}

/// One value of the flag.
pub(crate) fn parse(text: &str) -> Result<Attachment, String> {
    if !is_long_form(text) {
        return Ok(Attachment::to(text));
    }
    let mut attachment = Attachment::default();
    for field in csv::fields(text)? {
        let lower = field.to_lowercase();
        let (key, value) = match lower.split_once('=') {
            Some((key, value)) if !key.is_empty() => (key.trim(), value.trim().to_owned()),
            _ => return Err(format!("invalid field {field}")),
        };
        match key {
            "name" => attachment.target = value,
            "alias" => attachment.aliases.push(value),
            "ip" => attachment.ipv4_address = value,
            "ip6" => attachment.ipv6_address = value,
            "mac-address" => attachment.mac_address = value,
            "link-local-ip" => attachment.link_local_ips.push(value),
            "driver-opt" => {
                let (name, option) = match value.split_once('=') {
                    Some((name, option)) if !name.is_empty() => (name.trim(), option.trim()),
                    _ => return Err("invalid key value pair format in driver options".to_owned()),
                };
                attachment.driver_options.insert(name.to_owned(), option.to_owned());
            }
            "gw-priority" => {
                attachment.gateway_priority =
                    value.parse().map_err(|_| format!("invalid gw-priority ({value}): invalid syntax"))?;
            }
            _ => return Err(format!("invalid field key {key}")),
        }
    }
    if attachment.target.is_empty() {
        return Err("network name/id is not specified".to_owned());
    }
    Ok(attachment)
}
