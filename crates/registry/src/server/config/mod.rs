//! Settings: distribution's YAML (version 0.1), its environment variables, and ours below `wharf:`.

mod read;
mod tree;

use std::path::PathBuf;
use std::time::Duration;

pub use super::storage::ObjectOptions;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not YAML.
    #[error("{path}: {why}")]
    Syntax {
        /// The file or variable.
        path: String,
        /// Where and why.
        why: String,
    },
    /// A key that nobody knows.
    #[error("{0}: unknown key")]
    Unknown(String),
    /// A key of distribution's that would change what the registry does, and that is not built.
    #[error("{0}: not implemented")]
    NotImplemented(String),
    /// A value that makes no sense.
    #[error("{key}: {why}")]
    Value {
        /// The path of the key, with dots.
        key: String,
        /// What is wrong.
        why: String,
    },
}

/// Where content lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageOptions {
    /// The root folder itself, in distribution's layout.
    Folder,
    /// A bucket; the root folder holds uploads and accounts only.
    Bucket(ObjectOptions),
}

/// Who may do what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessOptions {
    /// Everybody everything, unless accounts were made with `wharf registry user`.
    Open,
    /// Who is in the file may do everything, nobody else anything.
    Htpasswd {
        /// What the client shows when it asks for a password.
        realm: String,
        /// The file, with bcrypt hashes.
        path: PathBuf,
    },
    /// Whoever has a token of this service may do what it says.
    Tokens(TokenServiceOptions),
}

/// A token service that is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenServiceOptions {
    /// Where clients get tokens: an address.
    pub realm: String,
    /// The path on our own host that takes the place of `realm`, for a proxy before both.
    pub redirect: Option<String>,
    /// The audience of its tokens: our name.
    pub service: String,
    /// The issuer of its tokens.
    pub issuer: String,
    /// PEM: certificates that sign tokens, or that sign those that do.
    pub certificates: Option<PathBuf>,
    /// A JSON Web Key Set, with keys that sign tokens.
    pub jwks: Option<PathBuf>,
    /// What tokens may be signed with.
    pub algorithms: Vec<jsonwebtoken::Algorithm>,
}

/// Certificate and key for HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM, leaf first.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
    /// Authorities of which clients must show a certificate; none if empty.
    pub client_authorities: Vec<PathBuf>,
    /// No TLS 1.2.
    pub only_tls13: bool,
}

/// A registry whose content is fetched and kept when somebody asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamOptions {
    /// Repositories below this path; empty for all, as distribution's `proxy` does it.
    pub prefix: String,
    /// Host, with port and scheme: `https://registry-1.docker.io`.
    pub url: String,
    /// For the upstream; empty for anonymous.
    pub username: String,
    /// Its secret.
    pub password: String,
    /// For how long a tag is believed without asking the upstream.
    pub fresh: Duration,
    /// How long what was fetched is kept, from when it came; a collection then removes it. For ever, if not given.
    pub ttl: Option<Duration>,
}

/// Where events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointOptions {
    /// A name, for the log.
    pub name: String,
    /// Where the events are posted.
    pub url: String,
    /// Headers of the requests.
    pub headers: Vec<(String, String)>,
    /// For one request.
    pub timeout: Duration,
    /// Failures in a row after which it pauses.
    pub threshold: u32,
    /// The pause.
    pub backoff: Duration,
    /// Kinds of content that are passed over.
    pub ignored_media_types: Vec<String>,
    /// Actions that are passed over.
    pub ignored_actions: Vec<String>,
}

/// Tags that may be pushed once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImmutableOptions {
    /// Pattern of repositories.
    pub repositories: String,
    /// Pattern of tags.
    pub tags: String,
}

/// Which tags of a repository are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionOptions {
    /// Pattern of repositories.
    pub repositories: String,
    /// Pattern of tags that the rule is about.
    pub tags: String,
    /// The newest so many are kept.
    pub keep_last: Option<usize>,
    /// Those younger than this are kept.
    pub keep_within: Option<Duration>,
}

/// When and what is collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionOptions {
    /// By itself, so often; never if `None`.
    pub interval: Option<Duration>,
    /// What was touched within this time stays.
    pub grace: Duration,
    /// Manifests without a tag go too.
    pub untagged: bool,
    /// Uploads that nobody went on with.
    pub upload_age: Duration,
}

impl Default for CollectionOptions {
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        Self { interval: None, grace: hour, untagged: false, upload_age: 168 * hour }
    }
}

/// What is written about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// `error`, `warn`, `info` or `debug`.
    pub level: String,
    /// One JSON object a line instead of text.
    pub json: bool,
    /// One line for each request on standard output.
    pub access: bool,
}

/// All settings of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Accounts, keys, uploads, and with a folder as storage all content.
    pub root: PathBuf,
    /// Where content lies.
    pub storage: StorageOptions,
    /// `host:port`; no host is all addresses.
    pub listen: String,
    /// HTTPS instead of HTTP.
    pub tls: Option<TlsOptions>,
    /// Whether tags, manifests and blobs can be deleted.
    pub delete: bool,
    /// Whether pushes and deletes are refused.
    pub read_only: bool,
    /// Who may do what.
    pub access: AccessOptions,
    /// Registries to fetch from; the longest prefix wins.
    pub upstreams: Vec<UpstreamOptions>,
    /// Who is told of changes.
    pub notifications: Vec<EndpointOptions>,
    /// What is written about.
    pub log: LogOptions,
    /// Requests a second for one client, and how many at once.
    pub rate_limit: Option<(u32, u32)>,
    /// Tags that may be pushed once.
    pub immutable: Vec<ImmutableOptions>,
    /// Which tags are kept.
    pub retention: Vec<RetentionOptions>,
    /// When and what is collected.
    pub collection: CollectionOptions,
    /// Headers of every answer.
    pub headers: Vec<(String, String)>,
    /// For how long running requests may go on after SIGTERM.
    pub drain: Duration,
    /// Whether `/metrics` answers without an account.
    pub open_metrics: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/var/lib/registry"),
            storage: StorageOptions::Folder,
            listen: "127.0.0.1:5000".to_owned(),
            tls: None,
            delete: true,
            read_only: false,
            access: AccessOptions::Open,
            upstreams: Vec::new(),
            notifications: Vec::new(),
            log: LogOptions { level: "info".to_owned(), json: false, access: true },
            rate_limit: None,
            immutable: Vec::new(),
            retention: Vec::new(),
            collection: CollectionOptions::default(),
            headers: Vec::new(),
            drain: Duration::from_secs(30),
            open_metrics: false,
        }
    }
}
