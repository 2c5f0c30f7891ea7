//! `docker search`.

use registry::Credentials;
use types::{Error, ErrorKind, Result, reference::DEFAULT_DOMAIN};

use super::Images;
use crate::Filters;

/// A repository that a registry found.
pub use registry::Found;

const FILTERS: &[&str] = &["is-automated", "is-official", "stars"];
/// How many repositories are given when nobody says.
const DEFAULT_LIMIT: i64 = 25;

impl Images {
    /// Searches a registry: Docker Hub, unless `term` begins with another one's name. A `limit` of 0 is the default.
    pub async fn search(
        &self,
        term: &str,
        limit: i64,
        filters: &Filters,
        credentials: Credentials,
    ) -> Result<Vec<Found>> {
        filters.accept_only(FILTERS)?;
        let (automated, official, stars) = wanted(filters)?;
        let limit = match limit {
            0 => DEFAULT_LIMIT,
            1..=100 => limit,
            other => return Err(Error::invalid(format!("limit {other} is outside the range of [1, 100]"))),
        };
        let (domain, term) = split(term)?;
        let limit = usize::try_from(limit).unwrap_or(0);
        let found = self.0.client().search(domain, term, limit, &credentials).await.map_err(|error| {
            let message = match &error {
                registry::Error::Status(status) => format!("Unexpected status code {}", status.as_u16()),
                other => other.to_string(),
            };
            Error::new(ErrorKind::Internal, message).with_source(error)
        })?;
        let fits = |one: &Found| {
            automated.is_none_or(|wanted| one.is_automated == wanted)
                && official.is_none_or(|wanted| one.is_official == wanted)
                && one.star_count >= stars
        };
        Ok(found.into_iter().filter(fits).collect())
    }
}

/// The registry that a term names in front of its first slash, and the rest.
fn split(term: &str) -> Result<(&str, &str)> {
    if term.contains("://") {
        return Err(Error::invalid(format!("invalid repository name ({term})")));
    }
    Ok(match term.split_once('/') {
        Some((host, rest)) if host == "localhost" || host.contains(['.', ':']) => match host {
            "docker.io" | "index.docker.io" => (DEFAULT_DOMAIN, rest),
            host => (host, rest),
        },
        // Official images are found by their own names.
        Some(("library", rest)) => (DEFAULT_DOMAIN, rest),
        _ => (DEFAULT_DOMAIN, term),
    })
}

/// `is-automated`, `is-official`, and the fewest `stars`.
fn wanted(filters: &Filters) -> Result<(Option<bool>, Option<bool>, i64)> {
    let switch = |name: &str| match filters.has(name) {
        true => filters.boolean(name, false).map(Some),
        false => Ok(None),
    };
    let mut stars = 0;
    for text in filters.get("stars") {
        let number: i64 =
            text.parse().map_err(|_| Error::invalid(format!("invalid filter 'stars={text}'")))?;
        stars = stars.max(number);
    }
    Ok((switch("is-automated")?, switch("is-official")?, stars))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_may_name_its_registry() {
        for (term, want) in [
            ("busybox", (DEFAULT_DOMAIN, "busybox")),
            ("library/busybox", (DEFAULT_DOMAIN, "busybox")),
            ("me/tool", (DEFAULT_DOMAIN, "me/tool")),
            ("localhost:5000/tool", ("localhost:5000", "tool")),
            ("r.example/a/b", ("r.example", "a/b")),
        ] {
            assert_eq!(split(term).unwrap(), want);
        }
        assert!(split("https://r.example/x").is_err());
    }
}
