//! From merged values to what the parts of the daemon are told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use engine::{Live, ProxySettings, Reloadable, Settings};
use serde_json::Value;
use types::config::{LogConfig, Ulimit};

use super::networks;
use super::runtimes;
use super::tls::{self, TlsFiles};
use super::values::{ConfigError, Values};

/// Where the daemon listens when nothing is said.
pub(crate) const DEFAULT_HOST: &str = "unix:///run/wharf.sock";

/// What the daemon does besides the domain.
#[derive(Debug, Clone)]
pub(crate) struct DaemonConfig {
    /// Addresses to listen on.
    pub(crate) hosts: Vec<String>,
    /// Group of the unix sockets, if the user named one.
    pub(crate) group: Option<String>,
    /// What encrypts the TCP addresses.
    pub(crate) tls: Option<TlsFiles>,
    /// Where the process id goes.
    pub(crate) pidfile: PathBuf,
    /// The domain's settings.
    pub(crate) settings: Settings,
}

/// Turns values into settings.
pub(crate) fn build(values: &Values) -> Result<DaemonConfig, ConfigError> {
    let path = |name: &str, default: &Path| {
        values.text(name).filter(|t| !t.is_empty()).map_or(default.to_owned(), PathBuf::from)
    };
    let defaults = Settings::default();
    let data_root = absolute(path("data-root", &defaults.data_root))?;
    let exec_root = absolute(path("exec-root", &defaults.exec_root))?;
    let mut hosts = values.list("hosts");
    if hosts.is_empty() {
        hosts.push(DEFAULT_HOST.to_owned());
    }
    let hosts = hosts.iter().map(|host| normal_host(host)).collect();
    let systemd_cgroup = is_systemd_cgroup(&values.list("exec-opts"))?;
    let settings = Settings {
        log: log_config(values)?,
        cgroup_parent: cgroup_parent(values, systemd_cgroup, &defaults)?,
        systemd_cgroup,
        ulimits: ulimits(values)?,
        init: values.flag("init").unwrap_or(false),
        init_path: path("init-path", &defaults.init_path),
        seccomp_profile: match values.text("seccomp-profile") {
            Some("builtin") | None => String::new(),
            Some(profile) => profile.to_owned(),
        },
        no_new_privileges: values.flag("no-new-privileges").unwrap_or(false),
        dns: values.list("dns"),
        dns_options: values.list("dns-opts"),
        dns_search: values.list("dns-search"),
        experimental: values.flag("experimental").unwrap_or(false),
        bridge: networks::build(values, &defaults.bridge)?,
        storage_driver: values.text("storage-driver").unwrap_or_default().to_owned(),
        proxies: ProxySettings {
            http: text_or(values, "http-proxy", &defaults.proxies.http),
            https: text_or(values, "https-proxy", &defaults.proxies.https),
            none: text_or(values, "no-proxy", &defaults.proxies.none),
        },
        live: Live::new(reloadable(values)?),
        data_root,
        exec_root: exec_root.clone(),
        ..defaults
    };
    Ok(DaemonConfig {
        hosts,
        group: values.text("group").map(str::to_owned),
        tls: tls::files(values),
        pidfile: path("pidfile", &exec_root.join("wharf.pid")),
        settings,
    })
}

/// What can change while the daemon runs.
pub(crate) fn reloadable(values: &Values) -> Result<Reloadable, ConfigError> {
    let defaults = Reloadable::default();
    Ok(Reloadable {
        shm_size_bytes: size(values, "default-shm-size", defaults.shm_size_bytes)?,
        cgroupns_mode: one_of(values, "default-cgroupns-mode", &["host", "private"])?,
        ipc_mode: match one_of(values, "default-ipc-mode", &["private", "shareable"])? {
            mode if mode.is_empty() => defaults.ipc_mode,
            mode => mode,
        },
        shutdown_timeout_s: u64::try_from(values.number("shutdown-timeout").unwrap_or(15))
            .unwrap_or(u64::MAX),
        // Docker kills what runs when its daemon stops, unless told otherwise. Ours is a restartable index.
        live_restore: values.flag("live-restore").unwrap_or(true),
        labels: labels(values)?,
        runtimes: runtimes::build(values)?,
        debug: values.flag("debug").unwrap_or(false),
        insecure_registries: values.list("insecure-registries"),
        registry_mirrors: values.list("registry-mirrors"),
        max_concurrent_downloads: at_least_one(
            values,
            "max-concurrent-downloads",
            defaults.max_concurrent_downloads,
        )?,
        max_concurrent_uploads: at_least_one(
            values,
            "max-concurrent-uploads",
            defaults.max_concurrent_uploads,
        )?,
        max_download_attempts: at_least_one(values, "max-download-attempts", defaults.max_download_attempts)?,
    })
}

fn absolute(path: PathBuf) -> Result<PathBuf, ConfigError> {
    std::path::absolute(&path)
        .map_err(|e| ConfigError::Invalid { name: path.display().to_string(), why: e.to_string() })
}

/// `unix://` alone is the default socket; a bare address is tcp, as in dockerd.
fn normal_host(host: &str) -> String {
    match host {
        "unix://" => DEFAULT_HOST.to_owned(),
        host if host.contains("://") => host.to_owned(),
        host => format!("tcp://{host}"),
    }
}

fn text_or(values: &Values, name: &str, default: &str) -> String {
    values.text(name).filter(|text| !text.is_empty()).unwrap_or(default).to_owned()
}

fn one_of(values: &Values, name: &str, accepted: &[&str]) -> Result<String, ConfigError> {
    let text = values.text(name).unwrap_or_default();
    if text.is_empty() || accepted.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(ConfigError::Invalid {
        name: name.to_owned(),
        why: format!("{text:?} is not one of {}", accepted.join(", ")),
    })
}

/// The cgroup or, under systemd, the slice that containers lie in.
fn cgroup_parent(values: &Values, systemd: bool, defaults: &Settings) -> Result<String, ConfigError> {
    if !systemd {
        return Ok(text_or(values, "cgroup-parent", &defaults.cgroup_parent));
    }
    let slice = text_or(values, "cgroup-parent", "system.slice");
    if slice.len() > ".slice".len() && slice.ends_with(".slice") {
        return Ok(slice);
    }
    let why = "cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\"".to_owned();
    Err(ConfigError::Invalid { name: "cgroup-parent".to_owned(), why })
}

/// Whether `native.cgroupdriver` is systemd; the last one counts.
fn is_systemd_cgroup(list: &[String]) -> Result<bool, ConfigError> {
    let invalid = |why: String| Err(ConfigError::Invalid { name: "exec-opt".to_owned(), why });
    let mut systemd = false;
    for option in list {
        match option.split_once('=') {
            Some(("native.cgroupdriver", driver @ ("cgroupfs" | "systemd"))) => systemd = driver == "systemd",
            Some(("native.cgroupdriver", driver)) => {
                return invalid(format!(
                    "native.cgroupdriver option {driver} is not one of cgroupfs, systemd"
                ));
            }
            _ => return invalid(format!("invalid option {option:?}: only native.cgroupdriver is known")),
        }
    }
    Ok(systemd)
}

fn at_least_one<T: TryFrom<i64>>(values: &Values, name: &str, default: T) -> Result<T, ConfigError> {
    match values.number(name) {
        None => Ok(default),
        Some(number) => T::try_from(number).ok().filter(|_| number > 0).ok_or_else(|| ConfigError::Invalid {
            name: name.to_owned(),
            why: format!("invalid value: {number}"),
        }),
    }
}

fn log_config(values: &Values) -> Result<LogConfig, ConfigError> {
    let text = |(name, value): (String, Value)| match value {
        Value::String(value) => Ok((name, value)),
        other => Err(ConfigError::Invalid {
            name: "log-opts".to_owned(),
            why: format!("{name}: json: cannot unmarshal {other} into Go value of type string"),
        }),
    };
    let options: BTreeMap<String, String> =
        values.map("log-opts").into_iter().map(text).collect::<Result<_, _>>()?;
    let driver = text_or(values, "log-driver", "json-file");
    Ok(LogConfig { driver, config: Some(options).filter(|options| !options.is_empty()) })
}

fn labels(values: &Values) -> Result<Vec<String>, ConfigError> {
    let labels = values.list("labels");
    match labels.iter().find(|label| !label.contains('=')) {
        None => Ok(labels),
        Some(bad) => Err(ConfigError::Invalid {
            name: "label".to_owned(),
            why: format!("bad attribute format: {bad}"),
        }),
    }
}

/// `name=soft[:hard]` from flags, an object with `Name`, `Soft` and `Hard` from the file.
fn ulimits(values: &Values) -> Result<BTreeMap<String, Ulimit>, ConfigError> {
    let bad = |name: &str, why: &str| ConfigError::Invalid {
        name: "default-ulimit".to_owned(),
        why: format!("{name}: {why}"),
    };
    let mut limits = BTreeMap::new();
    for (name, value) in values.map("default-ulimits") {
        let limit = match &value {
            Value::String(text) => {
                let (soft, hard) = text.split_once(':').unwrap_or((text, text));
                let number =
                    |text: &str| text.parse::<i64>().map_err(|_| bad(&name, "invalid ulimit argument"));
                Ulimit { name: name.clone(), soft: number(soft)?, hard: number(hard)? }
            }
            object => {
                let limit: Ulimit =
                    serde_json::from_value(object.clone()).map_err(|e| bad(&name, &e.to_string()))?;
                Ulimit { name: name.clone(), ..limit }
            }
        };
        if limit.hard != -1 && (limit.soft > limit.hard || limit.soft == -1) {
            let why = format!(
                "ulimit soft limit must be less than or equal to hard limit: {} > {}",
                limit.soft, limit.hard
            );
            return Err(bad(&name, &why));
        }
        limits.insert(name, limit);
    }
    Ok(limits)
}

/// Bytes with an optional unit in powers of 1024 (`64M`, `1g`, `512kb`, go-units `RAMInBytes`).
fn size(values: &Values, name: &str, default: i64) -> Result<i64, ConfigError> {
    let Some(text) = values.text(name).filter(|text| !text.is_empty()) else { return Ok(default) };
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim();
    let shift = match lower[digits.len()..].trim() {
        "" | "b" => Some(0),
        "k" | "kb" | "kib" => Some(10),
        "m" | "mb" | "mib" => Some(20),
        "g" | "gb" | "gib" => Some(30),
        "t" | "tb" | "tib" => Some(40),
        _ => None,
    };
    let bytes = shift
        .and_then(|shift| digits.parse::<i64>().ok()?.checked_mul(1 << shift))
        .filter(|bytes| *bytes > 0);
    bytes
        .ok_or_else(|| ConfigError::Invalid { name: name.to_owned(), why: format!("invalid size: '{text}'") })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::values::from_flags;
    use super::*;

    fn built(line: &str) -> Result<DaemonConfig, String> {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        build(&from_flags(&args).unwrap()).map_err(|e| e.to_string())
    }

    #[test]
    fn without_options_the_defaults_hold() {
        let config = built("").unwrap();
        assert_eq!(config.hosts, [DEFAULT_HOST]);
        assert_eq!(config.pidfile, Path::new("/run/wharf/wharf.pid"));
        assert_eq!(config.settings.data_root, Path::new("/var/lib/wharf"));
        assert_eq!(config.settings.log.driver, "json-file");
        assert!(config.settings.live.now().live_restore && config.settings.bridge.icc);
    }

    #[test]
    fn options_reach_the_settings() {
        let config = built(
            "-H unix:// -H 127.0.0.1:99 --exec-root /x --default-shm-size 128M --default-ulimit nofile=5:6 --icc=false \
             --http-proxy http://p:1 --max-concurrent-uploads 2 --bip 10.1.0.1/24 --log-opt max-size=1m --live-restore=false --exec-opt native.cgroupdriver=cgroupfs",
        )
        .unwrap();
        assert_eq!(config.hosts, [DEFAULT_HOST, "tcp://127.0.0.1:99"]);
        assert_eq!(config.pidfile, Path::new("/x/wharf.pid"));
        assert_eq!(config.settings.live.now().shm_size_bytes, 128 << 20);
        assert_eq!(config.settings.ulimits["nofile"].hard, 6);
        assert!(!config.settings.bridge.icc && !config.settings.live.now().live_restore);
        assert_eq!(
            (config.settings.proxies.http.as_str(), config.settings.live.now().max_concurrent_uploads),
            ("http://p:1", 2)
        );
        assert_eq!(config.settings.log.config.unwrap()["max-size"], "1m");
    }

    #[test]
    fn under_systemd_containers_lie_in_a_slice() {
        let parent = |line: &str| built(line).map(|config| config.settings.cgroup_parent);
        assert_eq!(parent("--exec-opt native.cgroupdriver=systemd").as_deref(), Ok("system.slice"));
        assert_eq!(
            parent("--exec-opt native.cgroupdriver=systemd --cgroup-parent a-b.slice").as_deref(),
            Ok("a-b.slice")
        );
        assert_eq!(parent("").as_deref(), Ok("/docker"));
        assert_eq!(
            parent("--exec-opt native.cgroupdriver=systemd --cgroup-parent /x").unwrap_err(),
            "cgroup-parent: cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\""
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for (line, want) in [
            ("--default-shm-size 5x", "default-shm-size: invalid size: '5x'"),
            ("--default-ipc-mode no", "default-ipc-mode: \"no\" is not one of private, shareable"),
            ("--label x", "label: bad attribute format: x"),
            ("--mtu -1", "mtu: invalid default MTU: -1"),
            (
                "--default-ulimit nofile=9:5",
                "default-ulimit: nofile: ulimit soft limit must be less than or equal to hard limit: 9 > 5",
            ),
            (
                "--exec-opt native.cgroupdriver=other",
                "exec-opt: native.cgroupdriver option other is not one of cgroupfs, systemd",
            ),
            (
                "-b br0 --bip 10.0.0.1/8",
                "bridge: you specified -b & --bip, mutually exclusive options. Please specify only one",
            ),
        ] {
            assert_eq!(built(line).unwrap_err(), want, "{line}");
        }
    }
}
