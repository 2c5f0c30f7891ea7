//! `docker version` and `docker info`.

use serde_json::{Value as Json, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use wire::client::{NEWEST_API_VERSION, Query};

use crate::context::Context;
use crate::flags::Parsed;
use crate::format::{tabwriter, units};
use crate::template::{Functions, Template, Value};
use crate::{DOCKER_VERSION, Failure, Outcome, print, print_line, warn};

const VERSION_MIN_WIDTH: usize = 20;
const VERSION_PADDING: usize = 1;
const VERSION_TEMPLATE: &str = r#"{{with .Client -}}
Client:{{if .Platform}} {{.Platform.Name}}{{end}}
 Version:	{{.Version}}
 API version:	{{.ApiVersion}}{{if ne .ApiVersion .DefaultAPIVersion}} (downgraded from {{.DefaultAPIVersion}}){{end}}
 Git commit:	{{.GitCommit}}
 OS/Arch:	{{.Os}}/{{.Arch}}
 Context:	{{.Context}}
{{- end}}

{{- if .Server}}{{with .Server}}

Server:{{if ne .Platform.Name ""}} {{.Platform.Name}}{{end}}
 {{- range $component := .Components}}
 {{$component.Name}}:
  {{- if eq $component.Name "Engine" }}
  Version:	{{.Version}}
  API version:	{{index .Details "ApiVersion"}} (minimum version {{index .Details "MinAPIVersion"}})
  Go version:	{{index .Details "GoVersion"}}
  Git commit:	{{index .Details "GitCommit"}}
  Built:	{{index .Details "BuildTime"}}
  OS/Arch:	{{index .Details "Os"}}/{{index .Details "Arch"}}
  Experimental:	{{index .Details "Experimental"}}
  {{- else }}
  Version:	{{$component.Version}}
  {{- range $key, $value := $component.Details}}
  {{$key}}:	{{$value}}
   {{- end}}
  {{- end}}
 {{- end}}
 {{- end}}{{- end}}"#;

fn parse_format(format: &str) -> Result<Template, Failure> {
    let text = if format == "json" { "{{json .}}" } else { format };
    Template::parse(text)
        .map_err(|error| Failure { message: format!("template parsing error: {error}"), code: 64 })
}

/// What is known of this client, by the names of Docker's JSON.
fn client_version(context: &Context, api_version: Option<&str>) -> Json {
    let mut client = json!({
        "Platform": { "Name": "Wharf" },
        "Version": DOCKER_VERSION,
        "ApiVersion": api_version.unwrap_or_default(),
        "DefaultAPIVersion": NEWEST_API_VERSION,
        "GitCommit": concat!("wharf-", env!("CARGO_PKG_VERSION")),
        "GoVersion": "",
        "Os": "linux",
        "Arch": go_arch(),
        "BuildTime": "",
        "Context": context.context_name(),
    });
    if api_version.is_none()
        && let Some(object) = client.as_object_mut()
    {
        object.remove("ApiVersion");
    }
    client
}

fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `docker version`.
pub(crate) fn version(context: &Context, parsed: &Parsed) -> Outcome {
    let format = parsed.text("format");
    let template = parse_format(if format.is_empty() { VERSION_TEMPLATE } else { format })?;
    let client = context.client()?;
    let server = client.get("/version", &Query::new());
    let mut info =
        json!({ "Client": client_version(context, Some(client.version_offline())), "Server": null });
    if let Ok(server) = &server {
        info["Server"] = with_engine(server.clone());
    }
    let shown = template.execute(&version_value(&info), Functions::Data);
    let text = shown.as_ref().map(String::as_str).unwrap_or_default();
    print(&tabwriter::align(&format!("{text}\n"), VERSION_MIN_WIDTH, VERSION_PADDING));
    server?;
    shown.map(drop).map_err(|error| Failure::new(error.to_string()))
}

/// A missing server is a nil pointer, not an empty list.
fn version_value(info: &Json) -> Value {
    let value = Value::from_json(info).typed("system.versionInfo");
    if info["Server"].is_null() { value.with_field("Server", Value::Nil) } else { value }
}

/// Old daemons list no components: the engine is one. Its build time is shown as Go's `ANSIC`.
fn with_engine(mut server: Json) -> Json {
    if server.get("Experimental").is_none() {
        server["Experimental"] = false.into();
    }
    let text = |name: &str| server[name].as_str().unwrap_or_default().to_owned();
    let engine = json!({
        "Name": "Engine",
        "Version": text("Version"),
        "Details": {
            "ApiVersion": text("ApiVersion"),
            "Arch": text("Arch"),
            "BuildTime": text("BuildTime"),
            "Experimental": server["Experimental"].as_bool().unwrap_or(false).to_string(),
            "GitCommit": text("GitCommit"),
            "GoVersion": text("GoVersion"),
            "MinAPIVersion": text("MinAPIVersion"),
            "Os": text("Os"),
        },
    });
    let is_engine = |component: &Json| component["Name"] == "Engine";
    match server["Components"].as_array_mut() {
        Some(components) if components.iter().any(is_engine) => {}
        Some(components) => components.push(engine),
        None => server["Components"] = json!([engine]),
    }
    for component in server["Components"].as_array_mut().into_iter().flatten().filter(|item| is_engine(item))
    {
        if let Some(time) = component["Details"]["BuildTime"].as_str().and_then(ansic) {
            component["Details"]["BuildTime"] = Json::from(time);
        }
    }
    server
}

/// Go's `ANSIC`: `Mon Jan  2 15:04:05 2006`.
fn ansic(text: &str) -> Option<String> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let (weekday, month) = (moment.weekday().to_string(), moment.month().to_string());
    let (hour, minute, second) = moment.to_hms();
    let day = moment.day();
    Some(format!(
        "{} {} {day:>2} {hour:02}:{minute:02}:{second:02} {}",
        &weekday[..3],
        &month[..3],
        moment.year()
    ))
}

/// `docker info`.
pub(crate) fn info(context: &Context, parsed: &Parsed) -> Outcome {
    let format = parsed.text("format");
    let client = context.client()?;
    let mut client_info = json!({ "Debug": context.debug() });
    let api = format.is_empty().then(|| client.version_offline());
    for (key, value) in client_version(context, api).as_object().into_iter().flatten() {
        client_info[key] = value.clone();
    }
    client_info["Plugins"] = json!([]);
    client_info["Warnings"] = Json::Null;
    if !format.is_empty() {
        let template = parse_format(format)?;
        // Only what the format asks for needs a daemon.
        let fetched = match needs_server(&template) {
            true => client.get("/info", &Query::new()).map(Some),
            false => Ok(None),
        };
        let mut all = match &fetched {
            Ok(Some(server)) => server.clone(),
            _ => json!({}),
        };
        if let Err(error) = &fetched {
            all["ServerErrors"] = json!([error.to_string()]);
        }
        all["ClientInfo"] = client_info;
        let shown = template.execute(&Value::from_json(&all).typed("system.dockerInfo"), Functions::Data);
        print_line(shown.as_ref().map(String::as_str).unwrap_or_default());
        fetched?;
        return shown.map(drop).map_err(|error| Failure::new(error.to_string()));
    }
    let fetched = client.get("/info", &Query::new());
    let mut text = format!(
        "Client: {}\n Version:    {DOCKER_VERSION}\n Context:    {}\n Debug Mode: {}\n\nServer:\n",
        client_info["Platform"]["Name"].as_str().unwrap_or_default(),
        context.context_name(),
        context.debug(),
    );
    let server = match fetched {
        Ok(server) => server,
        Err(error) => {
            print(&text);
            return Err(error.into());
        }
    };
    server_info(&mut text, &server, context);
    print(&text);
    for warning in server["Warnings"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        warn(warning);
    }
    Ok(())
}

/// Whether a format shows more than this client's own facts.
fn needs_server(template: &Template) -> bool {
    let client_only = Value::from_json(
        &json!({ "ClientInfo": { "Debug": false, "Context": "", "Plugins": [], "Warnings": [] } }),
    );
    template.execute(&client_only, Functions::Data).is_err() || template.is_whole()
}

fn server_info(text: &mut String, server: &Json, context: &Context) {
    let mut line = |indent: usize, label: &str, value: &str| {
        text.push_str(&format!("{}{label}: {value}\n", " ".repeat(indent)));
    };
    let plain = |value: &Json| match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    };
    let words = |list: &Json| {
        list.as_array().into_iter().flatten().filter_map(Json::as_str).collect::<Vec<_>>().join(" ")
    };
    for (indent, label, key) in [
        (1, "Containers", "Containers"),
        (2, "Running", "ContainersRunning"),
        (2, "Paused", "ContainersPaused"),
        (2, "Stopped", "ContainersStopped"),
        (1, "Images", "Images"),
    ] {
        line(indent, label, &plain(&server[key]));
    }
    for (label, key) in [("Server Version", "ServerVersion"), ("Storage Driver", "Driver")] {
        line(1, label, &plain(&server[key]));
    }
    for pair in server["DriverStatus"].as_array().into_iter().flatten() {
        line(2, &plain(&pair[0]), &plain(&pair[1]));
    }
    for (label, key) in [
        ("Logging Driver", "LoggingDriver"),
        ("Cgroup Driver", "CgroupDriver"),
        ("Cgroup Version", "CgroupVersion"),
    ] {
        line(1, label, &plain(&server[key]));
    }
    line(1, "Plugins", "\u{1}");
    for (label, key) in [("Volume", "Volume"), ("Network", "Network"), ("Log", "Log")] {
        line(2, label, &words(&server["Plugins"][key]));
    }
    if let Some(dirs) = server["CDISpecDirs"].as_array().filter(|dirs| !dirs.is_empty()) {
        line(1, "CDI spec directories", "\u{1}");
        dirs.iter().for_each(|dir| line(2, &plain(dir), "\u{0}"));
    }
    line(1, "Swarm", &plain(&server["Swarm"]["LocalNodeState"]));
    if let Some(runtimes) = server["Runtimes"].as_object().filter(|runtimes| !runtimes.is_empty()) {
        line(1, "Runtimes", &runtimes.keys().cloned().collect::<Vec<_>>().join(" "));
        line(1, "Default Runtime", &plain(&server["DefaultRuntime"]));
    }
    line(1, "Init Binary", &plain(&server["InitBinary"]));
    for (label, key) in [
        ("containerd version", "ContainerdCommit"),
        ("runc version", "RuncCommit"),
        ("init version", "InitCommit"),
    ] {
        line(1, label, &plain(&server[key]["ID"]));
    }
    if let Some(options) = server["SecurityOptions"].as_array().filter(|options| !options.is_empty()) {
        line(1, "Security Options", "\u{1}");
        for option in options.iter().filter_map(Json::as_str) {
            let pair =
                |key: &str| option.split(',').find_map(|part| part.strip_prefix(key)?.strip_prefix('='));
            line(2, pair("name").unwrap_or(option), "\u{0}");
            if let Some(profile) = pair("profile") {
                line(3, "Profile", profile);
            }
        }
    }
    for (label, key) in [
        ("Kernel Version", "KernelVersion"),
        ("Operating System", "OperatingSystem"),
        ("OSType", "OSType"),
        ("Architecture", "Architecture"),
        ("CPUs", "NCPU"),
    ] {
        line(1, label, &plain(&server[key]));
    }
    line(1, "Total Memory", &units::bytes_size(server["MemTotal"].as_f64().unwrap_or(0.0)));
    for (label, key) in
        [("Name", "Name"), ("ID", "ID"), ("Docker Root Dir", "DockerRootDir"), ("Debug Mode", "Debug")]
    {
        line(1, label, &plain(&server[key]));
    }
    if server["Debug"] == true || context.debug() {
        for (label, key) in [
            ("File Descriptors", "NFd"),
            ("Goroutines", "NGoroutines"),
            ("System Time", "SystemTime"),
            ("EventsListeners", "NEventsListener"),
        ] {
            line(2, label, &plain(&server[key]));
        }
    }
    for (label, key) in [("HTTP Proxy", "HttpProxy"), ("HTTPS Proxy", "HttpsProxy"), ("No Proxy", "NoProxy")]
    {
        if !plain(&server[key]).is_empty() {
            line(1, label, &plain(&server[key]));
        }
    }
    if let Some(labels) = server["Labels"].as_array().filter(|labels| !labels.is_empty()) {
        line(1, "Labels", "\u{1}");
        labels.iter().for_each(|label| line(2, &plain(label), "\u{0}"));
    }
    line(1, "Experimental", &plain(&server["ExperimentalBuild"]));
    let registries = &server["RegistryConfig"];
    let cidrs: Vec<String> =
        registries["InsecureRegistryCIDRs"].as_array().into_iter().flatten().map(plain).collect();
    let insecure = registries["IndexConfigs"].as_object().into_iter().flatten();
    let insecure: Vec<String> =
        insecure.filter(|(_, index)| index["Secure"] == false).map(|(name, _)| name.clone()).collect();
    if !cidrs.is_empty() || registries["IndexConfigs"].as_object().is_some_and(|all| !all.is_empty()) {
        line(1, "Insecure Registries", "\u{1}");
        insecure.iter().chain(&cidrs).for_each(|name| line(2, name, "\u{0}"));
    }
    if let Some(mirrors) = registries["Mirrors"].as_array().filter(|mirrors| !mirrors.is_empty()) {
        line(1, "Registry Mirrors", "\u{1}");
        mirrors.iter().for_each(|mirror| line(2, &plain(mirror), "\u{0}"));
    }
    line(1, "Live Restore Enabled", &plain(&server["LiveRestoreEnabled"]));
    if let Some(license) = server["ProductLicense"].as_str().filter(|license| !license.is_empty()) {
        line(1, "Product License", license);
    }
    if let Some(pools) = server["DefaultAddressPools"].as_array().filter(|pools| !pools.is_empty()) {
        line(1, "Default Address Pools", "\u{1}");
        for pool in pools {
            line(3, "Base", &format!("{}, Size: {}", plain(&pool["Base"]), pool["Size"]));
        }
    }
    // Lines that are no pairs were marked: of some the colon goes again, of others the blank after it.
    *text = text.replace(": \u{0}\n", "\n").replace(": \u{1}\n", ":\n");
    text.push('\n');
}
