//! What a container takes over from its image, and Docker's defaults. Pure (moby `daemon/internal/runconfig`,
//! `adaptContainerSettings`).

use std::collections::BTreeMap;

use types::config::{Config, HealthConfig, HostConfig};
use types::{Error, Result};

use super::spec::{MASKED_PATHS, READONLY_PATHS};
use crate::Settings;

/// Completes what the user said by what the image says.
pub(crate) fn with_image(config: &mut Config, image: &Config) -> Result<()> {
    if config.user.is_empty() {
        config.user.clone_from(&image.user);
    }
    for port in image.exposed_ports.keys() {
        config.exposed_ports.entry(port.clone()).or_default();
    }
    merge_env(config, image);
    if let Some(labels) = &image.labels {
        let own = config.labels.get_or_insert_with(BTreeMap::new);
        for (key, value) in labels {
            own.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    if config.entrypoint.as_ref().is_none_or(Vec::is_empty) {
        if config.cmd.as_ref().is_none_or(Vec::is_empty) {
            config.cmd.clone_from(&image.cmd);
            config.args_escaped = image.args_escaped;
        }
        if config.entrypoint.is_none() {
            config.entrypoint.clone_from(&image.entrypoint);
        }
    }
    if let Some(check) = &image.healthcheck {
        merge_health(config.healthcheck.get_or_insert_with(HealthConfig::default), check);
    }
    if config.working_dir.is_empty() {
        config.working_dir.clone_from(&image.working_dir);
    }
    if let Some(volumes) = image.volumes.as_ref().filter(|v| !v.is_empty()) {
        config.volumes.get_or_insert_with(BTreeMap::new).extend(volumes.clone());
    }
    if config.volumes.as_ref().is_some_and(BTreeMap::is_empty) {
        config.volumes = None;
    }
    if !config.working_dir.is_empty() {
        config.working_dir = super::mounts::clean(&config.working_dir);
    }
    if config.stop_signal.is_empty() {
        config.stop_signal.clone_from(&image.stop_signal);
    }
    if config.shell.is_none() {
        config.shell.clone_from(&image.shell);
    }
    // `--entrypoint ""` clears the image's.
    if config.entrypoint.as_deref() == Some(&[String::new()]) {
        config.entrypoint = None;
    }
    let nothing = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
    if nothing(&config.entrypoint) && nothing(&config.cmd) {
        return Err(Error::invalid("no command specified"));
    }
    config.labels.get_or_insert_with(BTreeMap::new);
    Ok(())
}

/// The user's variables first, then those of the image that the user did not set.
fn merge_env(config: &mut Config, image: &Config) {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    if config.env.as_ref().is_none_or(Vec::is_empty) {
        config.env.clone_from(&image.env);
        return;
    }
    let own = config.env.get_or_insert_with(Vec::new);
    let names: Vec<String> = own.iter().map(|v| name(v)).collect();
    own.extend(image.env.iter().flatten().filter(|v| !names.contains(&name(v))).cloned());
}

fn merge_health(own: &mut HealthConfig, image: &HealthConfig) {
    if own.test.as_ref().is_none_or(Vec::is_empty) {
        own.test.clone_from(&image.test);
    }
    for (own, image) in [
        (&mut own.interval, image.interval),
        (&mut own.timeout, image.timeout),
        (&mut own.start_period, image.start_period),
        (&mut own.start_interval, image.start_interval),
        (&mut own.retries, image.retries),
    ] {
        if *own == 0 {
            *own = image;
        }
    }
}

/// Fills in what Docker fills in. The request has been validated.
pub(crate) fn with_defaults(host: &mut HostConfig, settings: &Settings, is_v2: bool) {
    if matches!(host.network_mode.as_str(), "" | "default") {
        host.network_mode = "bridge".to_owned();
    }
    if host.restart_policy.name.is_empty() {
        host.restart_policy.name = "no".to_owned();
    }
    let limits = &mut host.resources;
    if limits.memory > 0 && limits.memory_swap == 0 {
        limits.memory_swap = limits.memory.saturating_mul(2);
    }
    if !is_v2 && limits.oom_kill_disable.is_none() {
        limits.oom_kill_disable = Some(false);
    }
    if host.shm_size == 0 {
        host.shm_size = settings.live.now().shm_size_bytes;
    }
    if host.ipc_mode.is_empty() {
        host.ipc_mode.clone_from(&settings.live.now().ipc_mode);
    }
    if host.cgroupns_mode.is_empty() {
        host.cgroupns_mode = match settings.live.now().cgroupns_mode.as_str() {
            "" if is_v2 => "private",
            "" => "host",
            mode if mode == "private" && host.privileged && !is_v2 => "host",
            mode => mode,
        }
        .to_owned();
    }
    if host.runtime.is_empty() {
        host.runtime = settings.live.now().runtimes.default_name().to_owned();
    }
    // SELinux has nothing to say about what shares that much with the host.
    if host.security_opt.is_none() && (host.privileged || host.pid_mode == "host" || host.ipc_mode == "host")
    {
        host.security_opt = Some(vec!["label=disable".to_owned()]);
    }
    if !host.privileged {
        let list = |paths: &[&str]| Some(paths.iter().map(|p| (*p).to_owned()).collect());
        if host.masked_paths.is_none() {
            host.masked_paths = list(&MASKED_PATHS);
        }
        if host.readonly_paths.is_none() {
            host.readonly_paths = list(&READONLY_PATHS);
        }
    }
    let log = &mut host.log_config;
    if log.driver.is_empty() {
        log.driver.clone_from(&settings.log.driver);
    }
    let own = log.config.get_or_insert_with(BTreeMap::new);
    if log.driver == settings.log.driver {
        for (key, value) in settings.log.config.iter().flatten() {
            own.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn command_and_entry_point_are_inherited_as_dockers() {
        let image = config(r#"{"Cmd":["c"],"Entrypoint":["e"],"Env":["A=1","B=2"],"Labels":{"x":"1"}}"#);
        for (own, entrypoint, cmd) in [
            ("{}", Some("e"), Some("c")),
            (r#"{"Cmd":["d"]}"#, Some("e"), Some("d")),
            (r#"{"Entrypoint":["f"]}"#, Some("f"), None),
            (r#"{"Entrypoint":["f"],"Cmd":["d"]}"#, Some("f"), Some("d")),
            (r#"{"Entrypoint":[""],"Cmd":["d"]}"#, None, Some("d")),
        ] {
            let mut own_config = config(own);
            with_image(&mut own_config, &image).unwrap();
            assert_eq!(own_config.entrypoint.as_deref().map(|l| l.join(" ")).as_deref(), entrypoint, "{own}");
            assert_eq!(own_config.cmd.as_deref().map(|l| l.join(" ")).as_deref(), cmd, "{own}");
        }
        let mut own = config(r#"{"Env":["B=3"],"Labels":{"x":"2","y":"3"}}"#);
        with_image(&mut own, &image).unwrap();
        assert_eq!(own.env.unwrap(), ["B=3", "A=1"]);
        assert_eq!(own.labels.unwrap()["x"], "2");
        let error = with_image(&mut Config::default(), &Config::default()).unwrap_err();
        assert_eq!(error.message, "no command specified");
    }

    #[test]
    fn defaults_are_dockers() {
        let mut host: HostConfig = serde_json::from_str(r#"{"Memory":67108864}"#).unwrap();
        with_defaults(&mut host, &Settings::default(), false);
        assert_eq!((host.network_mode.as_str(), host.restart_policy.name.as_str()), ("bridge", "no"));
        assert_eq!((host.resources.memory_swap, host.shm_size), (134_217_728, 67_108_864));
        assert_eq!((host.cgroupns_mode.as_str(), host.ipc_mode.as_str()), ("host", "private"));
        assert_eq!(host.resources.oom_kill_disable, Some(false));
        assert_eq!(host.log_config.driver, "json-file");
        let mut host = HostConfig::default();
        with_defaults(&mut host, &Settings::default(), true);
        assert_eq!((host.cgroupns_mode.as_str(), host.resources.oom_kill_disable), ("private", None));
    }
}
