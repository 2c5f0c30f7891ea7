//! `POST /containers/create`: the body, and what older clients meant by it (moby `container_routes.go`).

use engine::containers::request::CreateRequest;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use types::{Config, Error, HostConfig, Platform};
use wire::ApiVersion;
use wire::container::{ContainerCreated, NetworkingConfig};

use crate::call::Call;
use crate::go_json::CREATE;
use crate::reply::{self, Result};

/// The body: the config's own fields beside two objects. Without any of its own fields there is no config.
#[derive(Deserialize, Default)]
pub(super) struct CreateBody {
    #[serde(rename = "HostConfig", default)]
    host_config: Option<HostConfig>,
    #[serde(rename = "NetworkingConfig", default)]
    networking_config: Option<NetworkingConfig>,
    #[serde(flatten)]
    config: Map<String, Value>,
}

/// `POST /containers/create`
pub(crate) async fn create(mut call: Call) -> Result {
    let mut body: CreateBody = call.required_json(&CREATE).await?;
    let config = body.take_config()?;
    let endpoints = body.networking_config.unwrap_or_default().endpoints_config;
    let mut request = CreateRequest {
        name: call.query.text("name").to_owned(),
        platform: platform(&call)?,
        config,
        host_config: body.host_config.unwrap_or_default(),
        endpoints: endpoints
            .into_iter()
            .map(|(name, endpoint)| (name, endpoint.unwrap_or_default()))
            .collect(),
    };
    let warning = adjust(&mut request, call.version)?;
    let created = call.parts.containers.create(request).await?;
    let mut warnings = created.warnings;
    warnings.extend(warning);
    reply::json_with(StatusCode::CREATED, &ContainerCreated { id: created.id.into(), warnings })
}

impl CreateBody {
    /// The config, if a member of it is there.
    pub(super) fn take_config(&mut self) -> types::Result<Option<Config>> {
        let members = std::mem::take(&mut self.config);
        if members.is_empty() {
            return Ok(None);
        }
        let wrong = |e| Error::invalid(format!("invalid JSON: json: cannot unmarshal: {e}")).with_source(e);
        serde_json::from_value(Value::Object(members)).map(Some).map_err(wrong)
    }
}

fn platform(call: &Call) -> types::Result<Option<Platform>> {
    match call.query.text("platform") {
        "" => Ok(None),
        _ if call.version.before(41) => Ok(None),
        text => text.parse().map(Some).map_err(Error::invalid),
    }
}

/// Makes of an older client's request what its author expected; gives a warning for what is on its way out.
fn adjust(request: &mut CreateRequest, version: ApiVersion) -> types::Result<Option<String>> {
    let host = &mut request.host_config;
    if version.before(25) {
        // Up to 1.24 the client removed the container itself.
        host.auto_remove = false;
    }
    if version.before(40) {
        host.resources.kernel_memory_tcp = 0;
        host.resources.pids_limit = None;
        if host.ipc_mode.is_empty() {
            host.ipc_mode = "shareable".to_owned();
        }
    }
    if version.before(41) && host.cgroupns_mode.is_empty() {
        host.cgroupns_mode = "host".to_owned();
    }
    if version.before(43) {
        host.annotations.clear();
    }
    if host.resources.pids_limit.is_some_and(|limit| limit <= 0) {
        host.resources.pids_limit = None;
    }
    for mount in &mut host.mounts {
        let is_read_only = mount.read_only;
        let Some(bind) = &mut mount.bind_options else { continue };
        if version.before(40) {
            bind.non_recursive = false;
        }
        if version.before(42) {
            bind.create_mountpoint = false;
        }
        if version.before(44) {
            // The option came with 1.44; before, read-only was never recursive.
            bind.read_only_non_recursive = is_read_only;
            bind.read_only_force_recursive = false;
        }
    }
    if version.before(44) {
        if let Some(health) = request.config.as_mut().and_then(|config| config.healthcheck.as_mut()) {
            health.start_interval = 0;
        }
        if request.endpoints.len() > 1 {
            let mut names: Vec<_> = request.endpoints.keys().map(String::as_str).collect();
            names.sort_unstable();
            return Err(Error::invalid(format!(
                "Container cannot be created with multiple network endpoints: {}",
                names.join(", ")
            )));
        }
        request.endpoints.values_mut().for_each(|endpoint| endpoint.mac_address.clear());
    }
    move_mac_address(request, version)
}

/// `Config.MacAddress` belongs to the endpoint of the container's own network since 1.44.
fn move_mac_address(request: &mut CreateRequest, version: ApiVersion) -> types::Result<Option<String>> {
    let Some(config) = request.config.as_mut().filter(|config| !config.mac_address.is_empty()) else {
        return Ok(None);
    };
    let mac_address = std::mem::take(&mut config.mac_address);
    let network = match request.host_config.network_mode.as_str() {
        "" | "default" => "bridge",
        "none" | "host" => {
            return Err(Error::invalid("conflicting options: mac-address and the network mode"));
        }
        mode if mode.starts_with("container:") => {
            return Err(Error::invalid("conflicting options: mac-address and the network mode"));
        }
        mode => mode,
    };
    let endpoint = request.endpoints.entry(network.to_owned()).or_default();
    if !endpoint.mac_address.is_empty() && endpoint.mac_address != mac_address {
        return Err(Error::invalid(
            "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty",
        ));
    }
    endpoint.mac_address = mac_address;
    let warning = "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.";
    Ok(version.since(44).then(|| warning.to_owned()))
}

#[cfg(test)]
mod tests {
    use types::config::EndpointRequest;

    use super::*;

    fn adjusted(
        version: u16,
        change: impl FnOnce(&mut CreateRequest),
    ) -> (CreateRequest, types::Result<Option<String>>) {
        let mut request = CreateRequest { config: Some(Config::default()), ..CreateRequest::default() };
        change(&mut request);
        let warning = adjust(&mut request, ApiVersion::new(version));
        (request, warning)
    }

    #[test]
    fn old_clients_get_what_they_expect() {
        let (request, _) = adjusted(39, |request| request.host_config.auto_remove = true);
        assert_eq!(request.host_config.ipc_mode, "shareable");
        assert_eq!(request.host_config.cgroupns_mode, "host");
        assert!(request.host_config.auto_remove);
        assert!(!adjusted(24, |request| request.host_config.auto_remove = true).0.host_config.auto_remove);
        let (request, _) = adjusted(51, |request| request.host_config.resources.pids_limit = Some(-1));
        assert_eq!(request.host_config.ipc_mode, "");
        assert_eq!(request.host_config.resources.pids_limit, None);
    }

    #[test]
    fn several_endpoints_need_1_44() {
        let two = |request: &mut CreateRequest| {
            for name in ["b", "a"] {
                request.endpoints.insert(name.to_owned(), EndpointRequest::default());
            }
        };
        assert!(adjusted(44, two).1.is_ok());
        let error = adjusted(43, two).1.unwrap_err();
        assert_eq!(error.message, "Container cannot be created with multiple network endpoints: a, b");
    }

    #[test]
    fn the_containers_mac_address_moves_to_its_endpoint() {
        let set = |request: &mut CreateRequest| {
            request.config.as_mut().unwrap().mac_address = "02:42:ac:11:00:09".to_owned();
        };
        let (request, warning) = adjusted(51, set);
        assert_eq!(request.endpoints["bridge"].mac_address, "02:42:ac:11:00:09");
        assert!(warning.unwrap().is_some());
        assert_eq!(adjusted(43, set).1.unwrap(), None);
    }

    #[test]
    fn a_body_without_a_config_has_none() {
        for (text, has_config) in
            [(r#"{"HostConfig":{"Memory":5}}"#, false), (r#"{"hostconfig":{"MEMORY":5},"image":"x"}"#, true)]
        {
            let mut body: CreateBody = crate::call::decode_json(text.as_bytes(), &CREATE).unwrap();
            assert_eq!(body.take_config().unwrap().is_some(), has_config, "{text}");
            assert_eq!(body.host_config.unwrap().resources.memory, 5, "{text}");
        }
    }
}
