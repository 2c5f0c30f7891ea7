//! From YAML and environment to settings.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::tree::{Node, set, unread};
use super::{
    AccessOptions, CollectionOptions, Config, ConfigError, EndpointOptions, ImmutableOptions, LogOptions,
    ObjectOptions, RetentionOptions, StorageOptions, TlsOptions, TokenServiceOptions, UpstreamOptions,
};
use crate::server::access::ALGORITHMS;

/// What is asked of the bytes of a configuration.
const FILE_BYTES_MAX: usize = 1 << 20;

impl Config {
    /// Reads distribution's configuration file, with `REGISTRY_...` variables over it as distribution has it.
    pub fn read(
        path: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let syntax = |why: String| ConfigError::Syntax { path: path.display().to_string(), why };
        if text.len() > FILE_BYTES_MAX {
            return Err(syntax("the file is too large".to_owned()));
        }
        let mut value: Value = serde_saphyr::from_str(&text).map_err(|error| syntax(error.to_string()))?;
        overlay(&mut value, environment)?;
        from_value(&value)
    }

    /// Settings from `REGISTRY_...` variables alone.
    pub fn from_environment(
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut value = Value::Null;
        overlay(&mut value, environment)?;
        if value.is_null() {
            return Ok(Self::default());
        }
        let mut config = from_value(&value)?;
        // Nothing was said about deletion, and no file of distribution's either.
        config.delete |= value.pointer("/storage/delete/enabled").is_none();
        Ok(config)
    }
}

/// `REGISTRY_HTTP_ADDR=x` sets `http.addr`, if that is a key that we know the first word of.
fn overlay(
    value: &mut Value,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    let tops = ["log", "storage", "auth", "http", "proxy", "notifications", "health", "wharf", "loglevel"];
    let mut variables: Vec<(String, String)> = environment.collect();
    variables.sort();
    for (name, text) in variables {
        let Some(rest) = name.strip_prefix("REGISTRY_") else { continue };
        let path: Vec<String> = rest.to_ascii_lowercase().split('_').map(str::to_owned).collect();
        if !path.first().is_some_and(|top| tops.contains(&top.as_str())) {
            continue;
        }
        let read = serde_saphyr::from_str(&text).unwrap_or(Value::String(text));
        set(value, &path, read);
    }
    Ok(())
}

fn from_value(value: &Value) -> Result<Config, ConfigError> {
    let read = RefCell::new(BTreeSet::new());
    let root = Node::root(value, &read);
    match root.get("version").text()?.as_deref() {
        None | Some("0.1") => {}
        Some(other) => return Err(root.get("version").bad(format!("version {other} is not known: 0.1 is"))),
    }
    let mut config = Config { delete: false, ..Config::default() };
    storage(&root.get("storage"), &mut config)?;
    http(&root.get("http"), &mut config)?;
    auth(&root.get("auth"), &mut config)?;
    config.log = log(&root)?;
    proxy(&root.get("proxy"), &mut config)?;
    config.notifications = notifications(&root.get("notifications"))?;
    let health = root.get("health");
    health.get("storagedriver").pass_over(&["interval", "threshold"]);
    health.get("storagedriver").get("enabled").flag()?;
    health.refuse(&["file", "http", "tcp"])?;
    ours(&root.get("wharf"), &mut config)?;
    root.pass_over(&["redis", "compatibility", "catalog", "validation", "policy", "tracing"]);
    root.refuse(&["middleware", "reporting"])?;
    match unread(value, &read.borrow()).into_iter().next() {
        Some(key) => Err(ConfigError::Unknown(key)),
        None => Ok(config),
    }
}

fn storage(node: &Node<'_>, config: &mut Config) -> Result<(), ConfigError> {
    let filesystem = node.get("filesystem");
    if let Some(root) = filesystem.get("rootdirectory").text()? {
        config.root = PathBuf::from(root);
    }
    filesystem.pass_over(&["maxthreads"]);
    let s3 = node.get("s3");
    if !s3.is_null() {
        config.storage = StorageOptions::Bucket(ObjectOptions {
            bucket: s3.get("bucket").needed()?,
            region: s3.get("region").text()?.unwrap_or_default(),
            endpoint: s3.get("regionendpoint").text()?.map(|text| with_scheme(&s3, text)).transpose()?,
            access_key: s3.get("accesskey").text()?,
            secret_key: s3.get("secretkey").text()?,
            root_directory: s3.get("rootdirectory").text()?.unwrap_or_default(),
            path_style: s3.get("forcepathstyle").flag()?.unwrap_or(false),
        });
        s3.pass_over(&["v4auth", "chunksize", "multipartcopychunksize", "multipartcopymaxconcurrency"]);
        s3.pass_over(&["multipartcopythresholdsize", "loglevel", "usedualstack", "accelerate", "useragent"]);
        s3.refuse(&["encrypt", "keyid", "skipverify", "storageclass", "objectacl"])?;
    }
    node.refuse(&["azure", "gcs", "inmemory", "swift", "oss", "cos", "tag"])?;
    config.delete = node.get("delete").get("enabled").flag()?.unwrap_or(false);
    let maintenance = node.get("maintenance");
    config.read_only = maintenance.get("readonly").get("enabled").flag()?.unwrap_or(false);
    let purging = maintenance.get("uploadpurging");
    if let Some(age) = purging.get("age").duration()? {
        config.collection.upload_age = age;
    }
    purging.pass_over(&["enabled", "interval", "dryrun"]);
    node.get("redirect").get("disable").flag()?;
    node.pass_over(&["cache"]);
    Ok(())
}

/// distribution takes an endpoint with or without a scheme, and another key says which.
fn with_scheme(s3: &Node<'_>, text: String) -> Result<String, ConfigError> {
    let secure = s3.get("secure").flag()?.unwrap_or(true);
    let scheme = if secure { "https" } else { "http" };
    Ok(if text.contains("://") { text } else { format!("{scheme}://{text}") })
}

fn http(node: &Node<'_>, config: &mut Config) -> Result<(), ConfigError> {
    match node.get("net").text()?.as_deref() {
        None | Some("tcp" | "") => {}
        Some(other) => return Err(node.get("net").bad(format!("{other} is not implemented"))),
    }
    if let Some(listen) = node.get("addr").text()? {
        config.listen = listen;
    }
    let tls = node.get("tls");
    if let Some(certificate) = tls.get("certificate").text()? {
        let minimum = tls.get("minimumtls");
        let only_tls13 = match minimum.text()?.as_deref() {
            None | Some("" | "tls1.2") => false,
            Some("tls1.3") => true,
            Some(_) => return Err(minimum.bad("must be tls1.2 or tls1.3: older ones are broken")),
        };
        config.tls = Some(TlsOptions {
            certificate: certificate.into(),
            key: tls.get("key").needed()?.into(),
            client_authorities: tls.get("clientcas").texts()?.into_iter().map(PathBuf::from).collect(),
            only_tls13,
        });
    }
    tls.refuse(&["letsencrypt"])?;
    tls.pass_over(&["ciphersuites", "clientauth"]);
    let headers = node.get("headers");
    for key in headers.keys() {
        for value in headers.get(&key).texts()? {
            config.headers.push((key.clone(), value));
        }
    }
    if let Some(drain) = node.get("draintimeout").duration()? {
        config.drain = drain;
    }
    let debug = node.get("debug");
    debug.pass_over(&["addr"]);
    config.open_metrics = debug.get("prometheus").get("enabled").flag()?.unwrap_or(false);
    debug.get("prometheus").pass_over(&["path"]);
    // Sessions are folders here and addresses relative: nothing is signed, and nothing depends on the host's name.
    node.get("secret").text()?;
    node.get("relativeurls").flag()?;
    node.pass_over(&["host", "http2", "h2c"]);
    node.refuse(&["prefix"])
}

fn auth(node: &Node<'_>, config: &mut Config) -> Result<(), ConfigError> {
    let htpasswd = node.get("htpasswd");
    if !htpasswd.is_null() {
        config.access = AccessOptions::Htpasswd {
            realm: htpasswd.get("realm").text()?.unwrap_or_else(|| "registry".to_owned()),
            path: htpasswd.get("path").needed()?.into(),
        };
    }
    let token = node.get("token");
    if !token.is_null() {
        config.access = AccessOptions::Tokens(token_service(&token)?);
    }
    node.refuse(&["silly"])?;
    if node.get("none").is_null() { Ok(()) } else { Err(ConfigError::NotImplemented("auth.none".to_owned())) }
}

fn token_service(node: &Node<'_>) -> Result<TokenServiceOptions, ConfigError> {
    let path = node.get("autoredirectpath").text()?.unwrap_or_else(|| "/auth/token".to_owned());
    let redirect = node.get("autoredirect").flag()?.unwrap_or(false).then_some(path);
    let realm = node.get("realm");
    let realm = if redirect.is_some() { realm.text()?.unwrap_or_default() } else { realm.needed()? };
    let file = |key: &str| Ok::<_, ConfigError>(node.get(key).text()?.map(PathBuf::from));
    let (certificates, jwks) = (file("rootcertbundle")?, file("jwks")?);
    if certificates.is_none() && jwks.is_none() {
        return Err(node.bad("must have rootcertbundle or jwks"));
    }
    let mut algorithms = Vec::new();
    let named = node.get("signingalgorithms");
    for name in named.texts()? {
        let known = name.parse().ok().filter(|known| ALGORITHMS.contains(known));
        algorithms.push(known.ok_or_else(|| named.bad(format!("{name} is not implemented")))?);
    }
    if algorithms.is_empty() {
        algorithms = ALGORITHMS.to_vec();
    }
    let (service, issuer) = (node.get("service").needed()?, node.get("issuer").needed()?);
    Ok(TokenServiceOptions { realm, redirect, service, issuer, certificates, jwks, algorithms })
}

fn log(root: &Node<'_>) -> Result<LogOptions, ConfigError> {
    let log = root.get("log");
    let level =
        log.get("level").text()?.or(root.get("loglevel").text()?).unwrap_or_else(|| "info".to_owned());
    if !["error", "warn", "info", "debug"].contains(&level.as_str()) {
        return Err(log.get("level").bad("must be error, warn, info or debug"));
    }
    let json = match log.get("formatter").text()?.as_deref() {
        None | Some("text") => false,
        Some("json") => true,
        Some(other) => return Err(log.get("formatter").bad(format!("{other} is not implemented"))),
    };
    let access = !log.get("accesslog").get("disabled").flag()?.unwrap_or(false);
    log.pass_over(&["fields", "reportcaller", "hooks"]);
    Ok(LogOptions { level, json, access })
}

fn proxy(node: &Node<'_>, config: &mut Config) -> Result<(), ConfigError> {
    if let Some(url) = node.get("remoteurl").text()?.filter(|url| !url.is_empty()) {
        config.upstreams.push(upstream(node, String::new(), url)?);
    }
    node.get("username").text()?;
    node.get("password").text()?;
    node.get("ttl").duration()?;
    node.pass_over(&["exec"]);
    Ok(())
}

fn upstream(node: &Node<'_>, prefix: String, url: String) -> Result<UpstreamOptions, ConfigError> {
    let url = url.trim_end_matches('/').to_owned();
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if !host.is_some_and(|host| !host.is_empty() && !host.contains('/')) {
        return Err(node.bad("the address of an upstream is http:// or https:// and a host, without a path"));
    }
    Ok(UpstreamOptions {
        prefix,
        username: node.get("username").text()?.unwrap_or_default(),
        password: node.get("password").text()?.unwrap_or_default(),
        fresh: node.get("fresh").duration()?.unwrap_or(Duration::from_secs(60)),
        // distribution's 0 means for ever.
        ttl: node.get("ttl").duration()?.filter(|ttl| !ttl.is_zero()),
        url,
    })
}

fn notifications(node: &Node<'_>) -> Result<Vec<EndpointOptions>, ConfigError> {
    node.get("events").pass_over(&["includereferences"]);
    let mut endpoints = Vec::new();
    for endpoint in node.get("endpoints").items()? {
        endpoint.get("name").text()?;
        if endpoint.get("disabled").flag()?.unwrap_or(false) {
            endpoint.accept_all();
            continue;
        }
        let headers = endpoint.get("headers");
        let mut pairs = Vec::new();
        for key in headers.keys() {
            for value in headers.get(&key).texts()? {
                pairs.push((key.clone(), value));
            }
        }
        let ignore = endpoint.get("ignore");
        let second = Duration::from_secs(1);
        endpoints.push(EndpointOptions {
            name: endpoint.get("name").text()?.unwrap_or_default(),
            url: endpoint.get("url").needed()?,
            headers: pairs,
            timeout: endpoint.get("timeout").duration()?.unwrap_or(second),
            threshold: endpoint.get("threshold").number()?.unwrap_or(10),
            backoff: endpoint.get("backoff").duration()?.unwrap_or(second),
            ignored_media_types: [
                endpoint.get("ignoredmediatypes").texts()?,
                ignore.get("mediatypes").texts()?,
            ]
            .concat(),
            ignored_actions: ignore.get("actions").texts()?,
        });
    }
    Ok(endpoints)
}

/// What distribution does not have.
fn ours(node: &Node<'_>, config: &mut Config) -> Result<(), ConfigError> {
    for item in node.get("upstreams").items()? {
        let prefix = item.get("prefix").needed()?.trim_matches('/').to_owned();
        let url = item.get("url").needed()?;
        config.upstreams.push(upstream(&item, prefix, url)?);
    }
    for item in node.get("immutable").items()? {
        let all = || "**".to_owned();
        config.immutable.push(ImmutableOptions {
            repositories: item.get("repositories").text()?.unwrap_or_else(all),
            tags: item.get("tags").text()?.unwrap_or_else(all),
        });
    }
    for item in node.get("retention").items()? {
        let all = || "**".to_owned();
        let rule = RetentionOptions {
            repositories: item.get("repositories").text()?.unwrap_or_else(all),
            tags: item.get("tags").text()?.unwrap_or_else(all),
            keep_last: item.get("keeplast").number()?.map(|count| count as usize),
            keep_within: item.get("keepwithin").duration()?,
        };
        if rule.keep_last.is_none() && rule.keep_within.is_none() {
            return Err(item.bad("must have keeplast or keepwithin: a rule that keeps nothing is refused"));
        }
        config.retention.push(rule);
    }
    let limit = node.get("ratelimit");
    if let Some(rate) = limit.get("requests").number()? {
        let burst = limit.get("burst").number()?.unwrap_or(rate.saturating_mul(2));
        if rate == 0 || burst == 0 {
            return Err(limit.bad("must be more than nothing"));
        }
        config.rate_limit = Some((rate, burst));
    }
    let gc = node.get("gc");
    let defaults = CollectionOptions::default();
    config.collection = CollectionOptions {
        interval: gc.get("interval").duration()?.filter(|interval| !interval.is_zero()),
        grace: gc.get("grace").duration()?.unwrap_or(defaults.grace),
        untagged: gc.get("untagged").flag()?.unwrap_or(false),
        upload_age: gc.get("uploadage").duration()?.unwrap_or(config.collection.upload_age),
    };
    if let Some(open) = node.get("openmetrics").flag()? {
        config.open_metrics = open;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let variables = variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Config::read(file.path(), variables)
    }

    #[test]
    fn debians_own_configuration_is_read() {
        let config = read(
            "version: 0.1\nlog:\n  fields:\n    service: registry\nstorage:\n  cache:\n    blobdescriptor: inmemory\n  \
             filesystem:\n    rootdirectory: /var/lib/docker-registry\n  delete:\n    enabled: true\nhttp:\n  addr: :5000\n  \
             headers:\n    X-Content-Type-Options: [nosniff]\nauth:\n  htpasswd:\n    realm: basic-realm\n    path: /etc/docker/registry\n\
             health:\n  storagedriver:\n    enabled: true\n    interval: 10s\n    threshold: 3\n",
            &[("REGISTRY_HTTP_ADDR", "127.0.0.1:1"), ("REGISTRY_OTHER", "x"), ("PATH", "/bin")],
        )
        .unwrap();
        assert_eq!(
            (config.root.to_str(), config.listen.as_str()),
            (Some("/var/lib/docker-registry"), "127.0.0.1:1")
        );
        assert!(config.delete && matches!(config.access, AccessOptions::Htpasswd { .. }));
        assert_eq!(config.headers, [("X-Content-Type-Options".to_owned(), "nosniff".to_owned())]);
    }

    #[test]
    fn our_own_keys_are_read() {
        let config = read(
            "version: 0.1\nproxy: {remoteurl: 'https://a.example', ttl: 168h}\nwharf:\n  upstreams: [{prefix: hub/, url: 'http://b.example:1/', fresh: 5m}]\n  \
             immutable: [{tags: 'v*'}]\n  retention: [{repositories: 'ci/**', keeplast: 3, keepwithin: 7d}]\n  \
             ratelimit: {requests: 100}\n  gc: {interval: 24h, untagged: true}\n",
            &[],
        )
        .unwrap();
        let prefixes: Vec<&str> = config.upstreams.iter().map(|upstream| upstream.prefix.as_str()).collect();
        assert_eq!(prefixes, ["", "hub"]);
        let ttls: Vec<_> = config.upstreams.iter().map(|upstream| upstream.ttl).collect();
        assert_eq!(ttls, [Some(Duration::from_secs(168 * 3600)), None]);
        assert_eq!(config.rate_limit, Some((100, 200)));
        assert_eq!(config.retention.first().and_then(|rule| rule.keep_last), Some(3));
        assert!(config.collection.untagged && !config.delete);
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for (text, want) in [
            ("version: 0.2", "version: version 0.2 is not known: 0.1 is"),
            ("version: 0.1\nhttp: {adr: x}", "http.adr: unknown key"),
            ("storage: {azure: {}}", "storage.azure: not implemented"),
            ("auth: {token: {realm: x}}", "auth.token: must have rootcertbundle or jwks"),
            ("auth: {token: {realm: x, jwks: y, signingalgorithms: [HS256]}}", "HS256 is not implemented"),
            ("auth: {token: {realm: x, jwks: y, service: z}}", "auth.token.issuer: must be given"),
            ("http: {tls: {letsencrypt: {email: x}}}", "http.tls.letsencrypt: not implemented"),
            ("http: {tls: {certificate: a}}", "http.tls.key: must be given"),
            ("storage: {delete: {enabled: perhaps}}", "storage.delete.enabled: must be true or false"),
            ("wharf: {upstreams: [{prefix: a, url: 'ftp://x'}]}", "the address of an upstream is"),
            (
                "wharf: {upstreams: [{prefix: a, url: 'http://x', typo: 1}]}",
                "wharf.upstreams[0].typo: unknown key",
            ),
            ("wharf: {retention: [{tags: x}]}", "must have keeplast or keepwithin"),
            ("a: [", "registry"),
        ] {
            let error = read(text, &[]).unwrap_err().to_string();
            assert!(error.contains(want) || want == "registry", "{text}: {error}");
        }
    }
}
