//! The little languages of Docker's options: `-p`, `--mount`, `--network`, sizes, limits, times.
//!
//! Each parser returns what goes over the wire (`types::config`), or Docker's own words for what is wrong.

pub(crate) mod csv;
pub(crate) mod device;
pub(crate) mod env;
pub(crate) mod filter;
pub(crate) mod limits;
pub(crate) mod mount;
pub(crate) mod names;
pub(crate) mod network;
pub(crate) mod port;
pub(crate) mod size;
pub(crate) mod time;
pub(crate) mod volume;

#[cfg(test)]
mod tests;

/// `key=value` pairs as a map; a key alone has an empty value.
pub(crate) fn to_map(pairs: &[String]) -> std::collections::BTreeMap<String, String> {
    pairs
        .iter()
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key.to_owned(), value.to_owned())
        })
        .collect()
}
