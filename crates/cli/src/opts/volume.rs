//! `-v`: `[SOURCE:]TARGET[:OPTIONS]`.

use super::names;

/// What a value of `-v` asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Volume {
    /// A container path that gets an anonymous volume.
    Anonymous(String),
    /// A bind mount or a named volume, as the daemon reads it.
    Bind(String),
}

/// One value of the flag.
pub(crate) fn parse(spec: &str) -> Result<Volume, String> {
    let wrong = |why: &str| Err(format!("invalid spec: {spec}: {why}"));
    if spec.is_empty() {
        return Err("invalid empty volume spec".to_owned());
    }
    if spec.len() <= 2 {
        return Ok(Volume::Anonymous(spec.to_owned()));
    }
    // One letter before a colon is taken for a drive of Windows, here as in Docker.
    let drive = spec.as_bytes()[0].is_ascii_alphabetic() && spec.as_bytes()[1] == b':';
    let mut parts: Vec<&str> = spec[if drive { 2 } else { 0 }..].split(':').collect();
    if drive {
        parts[0] = &spec[..parts[0].len() + 2];
    }
    if parts.iter().any(|part| part.is_empty()) {
        return wrong("empty section between colons");
    }
    match parts.as_slice() {
        [target] => Ok(Volume::Anonymous((*target).to_owned())),
        [source, rest @ ..] if rest.len() <= 2 => {
            let source = match source.starts_with('.') {
                true => names::absolute_path(source),
                false => (*source).to_owned(),
            };
            Ok(Volume::Bind(format!("{source}:{}", rest.join(":"))))
        }
        _ => wrong("too many colons"),
    }
}
