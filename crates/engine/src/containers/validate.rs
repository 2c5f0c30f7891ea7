//! Checks of a create or update request, in Docker's words and order (moby `daemon/container.go`, `daemon_unix.go`,
//! `runconfig`). Pure: facts about the host come as a value.

mod resources;

use std::net::IpAddr;

use types::config::{Config, HealthConfig, HostConfig, RestartPolicy};
use types::{Error, Result};

use super::{capabilities, mounts, signal};
use crate::runtimes::Runtimes;
pub(crate) use resources::{parse_set, resources};

/// What the checks need to know about the host.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    /// CPUs online.
    pub(crate) cpus: usize,
    /// `/sys/devices/system/cpu/online`, as numbers.
    pub(crate) cpu_set: Vec<u32>,
    /// NUMA nodes.
    pub(crate) mem_set: Vec<u32>,
    /// cgroup v2 only: no OOM kill switch, no kernel memory.
    pub(crate) is_v2: bool,
    /// The memory controller can account swap.
    pub(crate) swap: bool,
    /// Block I/O weights exist (a scheduler that has them).
    pub(crate) blkio_weight: bool,
    /// The same for single devices.
    pub(crate) blkio_weight_device: bool,
    /// Real-time scheduling has limits (cgroup v1, `CONFIG_RT_GROUP_SCHED`).
    pub(crate) cpu_realtime: bool,
}

fn bad<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::invalid(text))
}

/// Checks everything that needs no image and no other container; fills in what Docker fills in on the way. Answers
/// warnings.
pub(crate) fn create(
    config: &Config,
    host_config: &mut HostConfig,
    host: &Host,
    runtimes: &Runtimes,
) -> Result<Vec<String>> {
    conflicts(config, host_config)?;
    container(config)?;
    host_config_common(host_config)?;
    let mut warnings = resources(&mut host_config.resources, host, false)?;
    platform(host_config, runtimes, &mut warnings)?;
    Ok(warnings)
}

/// `runconfig.validateNetMode` and its neighbours.
fn conflicts(config: &Config, host: &HostConfig) -> Result<()> {
    let joins = host.network_mode.strip_prefix("container:");
    if host.network_mode == "container" || joins == Some("") {
        return bad("invalid network mode: invalid container format container:<name|id>");
    }
    if host.uts_mode == "host" && !config.hostname.is_empty() {
        return bad("conflicting options: hostname and the UTS mode");
    }
    let has = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|l| !l.is_empty());
    if host.network_mode == "host" && has(&host.links) {
        return bad(
            "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
        );
    }
    if joins.is_none() {
        return Ok(());
    }
    let publishes = host.publish_all_ports || host.port_bindings.as_ref().is_some_and(|b| !b.is_empty());
    for (wrong, what) in [
        (!config.hostname.is_empty(), "hostname and the network mode"),
        (
            has(&host.links),
            "container type network can't be used with links. This would result in undefined behavior",
        ),
        (has(&host.dns), "dns and the network mode"),
        (has(&host.extra_hosts), "custom host-to-IP mapping and the network mode"),
        (!config.mac_address.is_empty(), "mac-address and the network mode"),
        (publishes, "port publishing and the container type network mode"),
        (!config.exposed_ports.is_empty(), "port exposing and the container type network mode"),
    ] {
        if wrong {
            return bad(format!("conflicting options: {what}"));
        }
    }
    Ok(())
}

fn container(config: &Config) -> Result<()> {
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        return bad(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            config.working_dir
        ));
    }
    if !config.stop_signal.is_empty() {
        signal::parse(&config.stop_signal)?;
    }
    for variable in config.env.iter().flatten() {
        if variable.is_empty() || variable.starts_with('=') {
            return bad(format!("invalid environment variable: {variable}"));
        }
    }
    config.healthcheck.as_ref().map_or(Ok(()), health)
}

fn health(check: &HealthConfig) -> Result<()> {
    for (name, value) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ] {
        if value != 0 && value < 1_000_000 {
            return bad(format!("{name} in Healthcheck cannot be less than 1ms"));
        }
    }
    if check.retries < 0 {
        return bad("Retries in Healthcheck cannot be negative");
    }
    // A kind of test that nobody knows is no error, as with Docker: there are just no checks then.
    Ok(())
}

fn host_config_common(host: &HostConfig) -> Result<()> {
    if host.auto_remove && !matches!(host.restart_policy.name.as_str(), "" | "no") {
        return bad("can't create 'AutoRemove' container with restart policy");
    }
    for mount in &host.mounts {
        mounts::parse_mount(mount)?;
    }
    for extra in host.extra_hosts.iter().flatten() {
        match extra.split_once(':') {
            None | Some(("", _)) => return bad(format!("bad format for add-host: {extra:?}")),
            Some((_, address)) if address == "host-gateway" || address.parse::<IpAddr>().is_ok() => {}
            Some((_, address)) => return bad(format!("invalid IP address in add-host: {address:?}")),
        }
    }
    network::port_requests(&Config::default(), host)?;
    restart_policy(&host.restart_policy)?;
    for (name, list) in [("CapAdd", &host.cap_add), ("CapDrop", &host.cap_drop)] {
        capabilities::normalize(list.as_deref().unwrap_or_default())
            .map_err(|e| Error::invalid(format!("invalid {name}: {e}")))?;
    }
    if !matches!(host.isolation.as_str(), "" | "default") {
        return bad(format!("invalid isolation ({}): linux only supports 'default'", host.isolation));
    }
    if host.annotations.contains_key("") {
        return bad("invalid Annotations: the empty string is not permitted as an annotation key");
    }
    Ok(())
}

/// Checks a restart policy.
pub(crate) fn restart_policy(policy: &RestartPolicy) -> Result<()> {
    let count = policy.maximum_retry_count;
    match policy.name.as_str() {
        "always" | "unless-stopped" | "no" | "" if count != 0 => {
            let tail = if count < 0 { " and cannot be negative" } else { "" };
            bad(format!(
                "invalid restart policy: maximum retry count can only be used with 'on-failure'{tail}"
            ))
        }
        "on-failure" if count < 0 => bad("invalid restart policy: maximum retry count cannot be negative"),
        "" | "no" | "always" | "unless-stopped" | "on-failure" => Ok(()),
        other => bad(format!(
            "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )),
    }
}

fn platform(host: &mut HostConfig, runtimes: &Runtimes, warnings: &mut Vec<String>) -> Result<()> {
    let joins = |mode: &str| mode.strip_prefix("container:").is_some_and(|name| !name.is_empty());
    if host.ipc_mode == "container:" {
        return bad("failed to join IPC namespace: invalid name or ID supplied: \"\"");
    }
    if !matches!(host.ipc_mode.as_str(), "" | "none" | "private" | "shareable" | "host")
        && !joins(&host.ipc_mode)
    {
        return bad(format!("invalid IPC mode: {}", host.ipc_mode));
    }
    if !matches!(host.pid_mode.as_str(), "" | "host") && !joins(&host.pid_mode) {
        return bad(format!("invalid PID mode: {}", host.pid_mode));
    }
    if !matches!(host.uts_mode.as_str(), "" | "host") {
        return bad(format!("invalid UTS mode: {}", host.uts_mode));
    }
    if host.shm_size < 0 {
        return bad("SHM size can not be less than 0");
    }
    if !matches!(host.cgroupns_mode.as_str(), "" | "private" | "host") {
        return bad(format!("invalid cgroup namespace mode: {}", host.cgroupns_mode));
    }
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return bad(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host.oom_score_adj
        ));
    }
    if host.network_mode == "host" && host.port_bindings.as_ref().is_some_and(|b| !b.is_empty()) {
        warnings.push("Published ports are discarded when using host network mode".to_owned());
    }
    runtimes.find(&host.runtime)?;
    for target in host.tmpfs.keys() {
        mounts::check_tmpfs_target(target)?;
    }
    // A 500 in Docker, where the storage driver says it.
    if let Some(option) = host.storage_opt.keys().find(|option| !option.eq_ignore_ascii_case("size")) {
        return Err(Error::internal(format!("Unknown option {option}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use types::config::Resources;

    use super::*;

    fn host(is_v2: bool) -> Host {
        Host {
            cpus: 2,
            cpu_set: vec![0, 1],
            mem_set: vec![0],
            is_v2,
            swap: true,
            blkio_weight: true,
            blkio_weight_device: true,
            cpu_realtime: false,
        }
    }

    fn check(config: &str, host_config: &str) -> String {
        let config: Config = serde_json::from_str(config).unwrap();
        let mut host_config: HostConfig = serde_json::from_str(host_config).unwrap();
        match create(&config, &mut host_config, &host(false), &Runtimes::default()) {
            Ok(warnings) => warnings.join("\n"),
            Err(error) => error.message,
        }
    }

    #[test]
    fn requests_are_refused_in_dockers_words() {
        for (config, host_config, want) in [
            ("{}", "{}", ""),
            ("{}", r#"{"Memory":1024}"#, "Minimum memory limit allowed is 6MB"),
            (
                "{}",
                r#"{"MemorySwap":9000000}"#,
                "You should always set the Memory limit when using Memoryswap limit, see usage",
            ),
            (
                "{}",
                r#"{"Memory":9000000,"MemorySwap":8000000}"#,
                "Minimum memoryswap limit should be larger than memory limit, see usage",
            ),
            (
                "{}",
                r#"{"NanoCpus":3000000000}"#,
                "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
            ),
            (
                "{}",
                r#"{"CpusetCpus":"0-5"}"#,
                "Requested CPUs are not available - requested 0-5, available: 0-1",
            ),
            ("{}", r#"{"CpusetCpus":"x"}"#, "Invalid value x for cpuset cpus: invalid format: x"),
            ("{}", r#"{"CapAdd":["NOSUCH"]}"#, r#"invalid CapAdd: unknown capability: "CAP_NOSUCH""#),
            (
                "{}",
                r#"{"RestartPolicy":{"Name":"bogus"}}"#,
                "invalid restart policy: unknown policy 'bogus'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
            ),
            (
                "{}",
                r#"{"AutoRemove":true,"RestartPolicy":{"Name":"always"}}"#,
                "can't create 'AutoRemove' container with restart policy",
            ),
            (
                r#"{"Hostname":"x"}"#,
                r#"{"UTSMode":"host"}"#,
                "conflicting options: hostname and the UTS mode",
            ),
            (
                r#"{"Hostname":"x"}"#,
                r#"{"NetworkMode":"container:y"}"#,
                "conflicting options: hostname and the network mode",
            ),
            (
                "{}",
                r#"{"NetworkMode":"container:"}"#,
                "invalid network mode: invalid container format container:<name|id>",
            ),
            (
                r#"{"WorkingDir":"x"}"#,
                "{}",
                "the working directory 'x' is invalid, it needs to be an absolute path",
            ),
            (r#"{"StopSignal":"X"}"#, "{}", "invalid signal: X"),
            (r#"{"Env":["=x"]}"#, "{}", "invalid environment variable: =x"),
            (r#"{"Healthcheck":{"Interval":5}}"#, "{}", "Interval in Healthcheck cannot be less than 1ms"),
            ("{}", r#"{"PidMode":"x"}"#, "invalid PID mode: x"),
            (
                "{}",
                r#"{"IpcMode":"container:"}"#,
                "failed to join IPC namespace: invalid name or ID supplied: \"\"",
            ),
            ("{}", r#"{"OomScoreAdj":2000}"#, "Invalid value 2000, range for oom score adj is [-1000, 1000]"),
            ("{}", r#"{"ExtraHosts":["x"]}"#, r#"bad format for add-host: "x""#),
            ("{}", r#"{"Runtime":"x"}"#, "unknown or invalid runtime name: x"),
        ] {
            assert_eq!(check(config, host_config), want, "{config} {host_config}");
        }
    }

    #[test]
    fn cgroup_v2_has_no_oom_switch() {
        let mut want = Resources { oom_kill_disable: Some(false), ..Resources::default() };
        assert!(resources(&mut want, &host(true), false).unwrap().is_empty());
        assert_eq!(want.oom_kill_disable, None);
    }
}
