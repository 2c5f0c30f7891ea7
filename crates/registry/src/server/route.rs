//! Which resource a path names. Pure, and the first thing that bytes from outside meet.

use super::digest::Digest;
use super::error::{Code, Fault};
use super::names;

/// A tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    Tag(String),
    Digest(Digest),
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => f.write_str(digest.as_str()),
        }
    }
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v2/`
    Root,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/NAME/blobs/DIGEST`
    Blob { name: String, digest: Digest },
    /// `/v2/NAME/blobs/uploads/`
    Uploads { name: String },
    /// `/v2/NAME/blobs/uploads/UUID`
    Upload { name: String, id: String },
    /// `/v2/NAME/manifests/REFERENCE`
    Manifest { name: String, reference: Reference },
    /// `/v2/NAME/tags/list`
    Tags { name: String },
    /// `/v2/NAME/referrers/DIGEST`
    Referrers { name: String, subject: Digest },
    /// `/v1/search`
    Search,
    /// `/v1/_ping`, which old clients ask before they search.
    Ping,
    /// `/token`
    Token,
    /// `/health`, `/health/live`, `/health/ready`
    Health,
    /// `/metrics`
    Metrics,
    /// `/` and `/web/NAME`: pages for people.
    Page { name: Option<String> },
}

impl Route {
    /// The repository that the route is in.
    pub(crate) fn repository(&self) -> Option<&str> {
        match self {
            Self::Blob { name, .. }
            | Self::Uploads { name }
            | Self::Upload { name, .. }
            | Self::Manifest { name, .. }
            | Self::Tags { name }
            | Self::Referrers { name, .. } => Some(name),
            Self::Page { name } => name.as_deref(),
            _ => None,
        }
    }

    /// A short fixed name, for metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Catalog => "catalog",
            Self::Blob { .. } => "blob",
            Self::Uploads { .. } | Self::Upload { .. } => "upload",
            Self::Manifest { .. } => "manifest",
            Self::Tags { .. } => "tags",
            Self::Referrers { .. } => "referrers",
            Self::Search | Self::Ping => "search",
            Self::Token => "token",
            Self::Health => "health",
            Self::Metrics => "metrics",
            Self::Page { .. } => "page",
        }
    }

    /// Reads the path of a request, still percent-encoded.
    pub(crate) fn parse(path: &str) -> Result<Self, Fault> {
        let decoded = decode(path).ok_or_else(|| Fault::new(Code::NameInvalid, "the path is not text"))?;
        match decoded.as_str() {
            "/" | "/web" | "/web/" => return Ok(Self::Page { name: None }),
            "/v2" | "/v2/" => return Ok(Self::Root),
            "/v2/_catalog" => return Ok(Self::Catalog),
            "/v1/search" => return Ok(Self::Search),
            "/v1/_ping" => return Ok(Self::Ping),
            "/token" | "/v2/token" => return Ok(Self::Token),
            "/health" | "/health/live" | "/health/ready" | "/debug/health" => return Ok(Self::Health),
            "/metrics" => return Ok(Self::Metrics),
            _ => {}
        }
        if let Some(name) = decoded.strip_prefix("/web/") {
            return Ok(Self::Page { name: Some(repository(name)?) });
        }
        let rest = decoded.strip_prefix("/v2/").ok_or_else(Fault::no_such_page)?;
        Self::parse_repository(rest)
    }

    fn parse_repository(rest: &str) -> Result<Self, Fault> {
        if let Some(name) =
            rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads"))
        {
            return Ok(Self::Uploads { name: repository(name)? });
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Ok(Self::Tags { name: repository(name)? });
        }
        // From the end: a repository may itself be called `a/blobs/b`.
        let (before, last) = rest.rsplit_once('/').ok_or_else(Fault::no_such_page)?;
        let (name, kind) = before.rsplit_once('/').ok_or_else(Fault::no_such_page)?;
        match kind {
            "uploads" => {
                let name = name.strip_suffix("/blobs").ok_or_else(Fault::no_such_page)?;
                let name = repository(name)?;
                let unknown = || Fault::new(Code::BlobUploadUnknown, "no such upload");
                is_upload_id(last).then(|| Self::Upload { name, id: last.to_owned() }).ok_or_else(unknown)
            }
            "blobs" => Ok(Self::Blob { name: repository(name)?, digest: digest(last)? }),
            "manifests" => Ok(Self::Manifest { name: repository(name)?, reference: reference(last)? }),
            "referrers" => Ok(Self::Referrers { name: repository(name)?, subject: digest(last)? }),
            _ => Err(Fault::no_such_page()),
        }
    }
}

fn repository(name: &str) -> Result<String, Fault> {
    if names::is_repository_name(name) {
        return Ok(name.to_owned());
    }
    Err(Fault::new(Code::NameInvalid, "invalid repository name").with_detail(name))
}

fn digest(text: &str) -> Result<Digest, Fault> {
    Digest::parse(text)
        .ok_or_else(|| Fault::new(Code::DigestInvalid, "invalid or unsupported digest").with_detail(text))
}

fn reference(text: &str) -> Result<Reference, Fault> {
    if text.contains(':') {
        return digest(text).map(Reference::Digest);
    }
    // distribution and others answer 404: what cannot be a tag does not exist. A push answers 400.
    let unknown = || Fault::new(Code::ManifestUnknown, "invalid tag").with_detail(text);
    names::is_tag(text).then(|| Reference::Tag(text.to_owned())).ok_or_else(unknown)
}

/// `8-4-4-4-12` hex digits: what we gave out, and what distribution did.
pub(crate) fn is_upload_id(id: &str) -> bool {
    id.len() == 36
        && id.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
}

/// Percent-decodes; `None` if the result is not text or has a NUL.
pub(crate) fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(more.get(..2)?).ok()?;
            if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok().filter(|byte| *byte != 0)?);
            rest = more.get(2..)?;
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    String::from_utf8(bytes).ok()
}

/// The parameters behind the question mark, decoded, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Parameters beyond so many are left out: nobody honest sends them.
    const MAX: usize = 128;

    pub(crate) fn parse(query: Option<&str>) -> Self {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).take(Self::MAX);
        let decoded = pairs.filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(&key.replace('+', " "))?, decode(&value.replace('+', " "))?))
        });
        Self(decoded.collect())
    }

    /// The first value of `key`.
    pub(crate) fn get<'a>(&'a self, key: &'a str) -> Option<&'a str> {
        self.all(key).next()
    }

    /// All values of `key`.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// Percent-encodes everything but unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const ID: &str = "01234567-89ab-cdef-0123-456789abcdef";

    fn show(path: &str) -> String {
        match Route::parse(path) {
            Ok(route) => format!("{} {}", route.label(), route.repository().unwrap_or("-")),
            Err(fault) => format!("{} {}", fault.status.as_u16(), fault.code.as_str()),
        }
    }

    #[test]
    fn paths_are_read_from_their_end() {
        for (path, want) in [
            ("/v2/".to_owned(), "root -"),
            ("/v2/_catalog".to_owned(), "catalog -"),
            (format!("/v2/a/blobs/{EMPTY}"), "blob a"),
            (format!("/v2/a/blobs/{}", EMPTY.replace(':', "%3A")), "blob a"),
            (format!("/v2/a/blobs/b/blobs/{EMPTY}"), "blob a/blobs/b"),
            ("/v2/a/b/blobs/uploads/".to_owned(), "upload a/b"),
            (format!("/v2/a/blobs/uploads/{ID}"), "upload a"),
            ("/v2/manifests/manifests/latest".to_owned(), "manifest manifests"),
            ("/v2/a/tags/list".to_owned(), "tags a"),
            (format!("/v2/a/referrers/{EMPTY}"), "referrers a"),
            ("/v1/search".to_owned(), "search -"),
            ("/web/a/b".to_owned(), "page a/b"),
        ] {
            assert_eq!(show(&path), want, "{path}");
        }
    }

    #[test]
    fn what_could_leave_its_folder_is_refused() {
        for (path, want) in [
            ("/v2/../blobs/uploads/", "400 NAME_INVALID"),
            ("/v2/%2e%2e/blobs/uploads/", "400 NAME_INVALID"),
            ("/v2/a%2f..%2fb/tags/list", "400 NAME_INVALID"),
            ("/v2/a/blobs/sha256:..", "400 DIGEST_INVALID"),
            ("/v2/a/blobs/uploads/..", "404 BLOB_UPLOAD_UNKNOWN"),
            ("/v2/a/blobs/uploads/%2e%2e%2fx", "404 UNSUPPORTED"),
            ("/v2/a/manifests/..", "404 MANIFEST_UNKNOWN"),
            ("/v2/a/manifests/sha256:x", "400 DIGEST_INVALID"),
            ("/v2/A/tags/list", "400 NAME_INVALID"),
            ("/v2/%00/tags/list", "400 NAME_INVALID"),
            ("/v2/%/tags/list", "400 NAME_INVALID"),
            ("/v2/a", "404 UNSUPPORTED"),
            ("/etc/passwd", "404 UNSUPPORTED"),
            ("", "404 UNSUPPORTED"),
        ] {
            assert_eq!(show(path), want, "{path}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse(Some("n=2&last=a%2Bb&tag=1&tag=2&flag&x=%zz&q=a+b"));
        assert_eq!(query.get("n"), Some("2"));
        assert_eq!(query.get("last"), Some("a+b"));
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((query.get("flag"), query.get("x"), query.get("q")), (Some(""), None, Some("a b")));
        assert_eq!(encode("a/b c+é"), "a%2Fb%20c%2B%C3%A9");
    }

    proptest::proptest! {
        #[test]
        fn no_path_makes_the_parser_panic_or_names_a_parent(path in "/(v2/)?[a-z0-9._/%:-]{0,80}") {
            if let Ok(route) = Route::parse(&path) {
                let name = route.repository().unwrap_or("a");
                proptest::prop_assert!(name.split('/').all(|part| !part.is_empty() && !part.starts_with('.')));
            }
        }
    }
}
