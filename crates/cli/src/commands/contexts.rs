//! `docker context`: create, change, list, use and move contexts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};
use wire::client::Host;

use super::inspect;
use crate::context::Context;
use crate::contexts::{self, DEFAULT, ENDPOINT, Meta, TlsFiles};
use crate::flags::{Action, Args, Command, Flag, Kind, Parsed, flag, pairs, parse_bool};
use crate::format::table::Table;
use crate::format::text::{ellipsis, natural};
use crate::tables::{FORMAT_LIST, FORMAT_OBJECT};
use crate::template::Value;
use crate::{Failure, Outcome, config, os_error, print_line, term, warn};

pub(super) static CONTEXT: Command = Command::new(
    "context",
    "",
    "Manage contexts",
    Action::Group(&[&CREATE, &EXPORT, &IMPORT, &INSPECT, &LS, &RM, &SHOW, &UPDATE, &USE]),
);
static CREATE: Command = Command::new("create", "[OPTIONS] CONTEXT", "Create a context", Action::Run(create))
    .long(CREATE_LONG)
    .flags(CREATE_FLAGS)
    .args(Args::Exactly(1));
static EXPORT: Command = Command::new(
    "export",
    "[OPTIONS] CONTEXT [FILE|-]",
    "Export a context to a tar archive FILE or a tar stream on STDOUT.",
    Action::Run(export),
)
.args(Args::Between(1, 2));
static IMPORT: Command =
    Command::new("import", "CONTEXT FILE|-", "Import a context from a tar or zip file", Action::Run(import))
        .args(Args::Exactly(2));
static INSPECT: Command = Command::new(
    "inspect",
    "[OPTIONS] [CONTEXT] [CONTEXT...]",
    "Display detailed information on one or more contexts",
    Action::Run(show_details),
)
.flags(INSPECT_FLAGS)
.args(Args::AtLeast(0));
static LS: Command = Command::new("ls", "[OPTIONS]", "List contexts", Action::Run(ls))
    .aliases("docker context ls, docker context list")
    .flags(LS_FLAGS)
    .named("ls", &["list"]);
static RM: Command =
    Command::new("rm", "CONTEXT [CONTEXT...]", "Remove one or more contexts", Action::Run(rm))
        .aliases("docker context rm, docker context remove")
        .flags(RM_FLAGS)
        .args(Args::AtLeast(1))
        .named("rm", &["remove"]);
static SHOW: Command = Command::new("show", "", "Print the name of the current context", Action::Run(show));
static UPDATE: Command = Command::new("update", "[OPTIONS] CONTEXT", "Update a context", Action::Run(update))
    .long(UPDATE_LONG)
    .flags(UPDATE_FLAGS)
    .args(Args::Exactly(1));
static USE: Command =
    Command::new("use", "CONTEXT", "Set the current docker context", Action::Run(use_context))
        .args(Args::Exactly(1));

const CREATE_FLAGS: &[Flag] = &[
    flag("description", Kind::Str, "Description of the context"),
    flag("docker", Kind::Pairs, "set the docker endpoint").default("[]"),
    flag("from", Kind::Str, "create context from a named context"),
];
const UPDATE_FLAGS: &[Flag] = &[
    flag("description", Kind::Str, "Description of the context"),
    flag("docker", Kind::Pairs, "set the docker endpoint").default("[]"),
];
const INSPECT_FLAGS: &[Flag] = &[flag("format", Kind::Str, FORMAT_OBJECT).short('f')];
const LS_FLAGS: &[Flag] = &[
    flag("format", Kind::Str, FORMAT_LIST),
    flag("quiet", Kind::Bool, "Only show context names").short('q'),
];
const RM_FLAGS: &[Flag] = &[flag("force", Kind::Bool, "Force the removal of a context in use").short('f')];

const CREATE_LONG: &str = "Create a context

Docker endpoint config:

NAME                DESCRIPTION
from                Copy named context's Docker endpoint configuration
host                Docker endpoint on which to connect
ca                  Trust certs signed only by this CA
cert                Path to TLS certificate file
key                 Path to TLS key file
skip-tls-verify     Skip TLS certificate validation

Example:

$ docker context create my-context --description \"some description\" --docker \"host=tcp://myserver:2376,ca=~/ca-file,cert=~/cert-file,key=~/key-file\"
";
const UPDATE_LONG: &str = "Update a context

Docker endpoint config:

NAME                DESCRIPTION
from                Copy named context's Docker endpoint configuration
host                Docker endpoint on which to connect
ca                  Trust certs signed only by this CA
cert                Path to TLS certificate file
key                 Path to TLS key file
skip-tls-verify     Skip TLS certificate validation

Example:

$ docker context update my-context --description \"some description\" --docker \"host=tcp://myserver:2376,ca=~/ca-file,cert=~/cert-file,key=~/key-file\"
";
const TABLE: &str =
    "table {{.Name}}{{if .Current}} *{{end}}\\t{{.Description}}\\t{{.DockerEndpoint}}\\t{{.Error}}";
/// Columns of an error in the list.
const ERROR_WIDTH: usize = 45;
/// What the default context is for, as Docker says it.
const DEFAULT_DESCRIPTION: &str = "Current DOCKER_HOST based configuration";

/// A context with its files, by name; the default one is made of flags and environment.
fn load(context: &Context, name: &str) -> Result<(Meta, TlsFiles), String> {
    match name {
        DEFAULT => context.default_context(),
        name => {
            let store = context.contexts();
            Ok((store.get(name)?, store.tls(name)?))
        }
    }
}

fn description_of(meta: &Meta) -> &str {
    if meta.name == DEFAULT { DEFAULT_DESCRIPTION } else { meta.description() }
}

fn check_new_name(context: &Context, name: &str) -> Result<(), String> {
    contexts::check_name(name)?;
    match context
        .contexts()
        .find(name)
        .map_err(|why| format!("error while getting existing contexts: {why}"))?
    {
        Some(_) => Err(format!("context {name:?} already exists")),
        None => Ok(()),
    }
}

/// `docker context create`.
fn create(context: &Context, parsed: &Parsed) -> Outcome {
    let name = parsed.args[0].as_str();
    check_new_name(context, name)?;
    let endpoint = endpoint_flags(parsed)?;
    let from = parsed.text("from");
    let (meta, tls) = if from.is_empty() && parsed.changed("docker") {
        let (endpoint, files) = make_endpoint(context, &endpoint)
            .map_err(|why| format!("unable to create docker endpoint config: {why}"))?;
        let endpoints = Map::from_iter([(ENDPOINT.to_owned(), endpoint)]);
        let tls = files.into_iter().map(|files| (ENDPOINT.to_owned(), files)).collect();
        (Meta { name: name.to_owned(), metadata: Map::new(), endpoints }, tls)
    } else {
        if !endpoint.is_empty() {
            return Err(Failure::new("cannot use --docker flag when --from is set"));
        }
        let current = context.context_name();
        let (mut meta, tls) = load(context, if from.is_empty() { &current } else { from })?;
        let description = description_of(&meta).to_owned();
        set_description(&mut meta, &description);
        (Meta { name: name.to_owned(), ..meta }, tls)
    };
    let mut meta = meta;
    set_description(&mut meta, parsed.text("description"));
    let store = context.contexts();
    store.put(&meta)?;
    store.put_tls(name, None, &tls)?;
    print_line(name);
    warn(&format!("Successfully created context {name:?}"));
    Ok(())
}

fn set_description(meta: &mut Meta, text: &str) {
    if !text.is_empty() {
        meta.metadata.insert("Description".to_owned(), text.into());
    }
}

fn endpoint_flags(parsed: &Parsed) -> Result<BTreeMap<String, String>, String> {
    let lists: Result<Vec<_>, _> = parsed.list("docker").iter().map(|text| pairs(text)).collect();
    Ok(lists?.into_iter().flatten().collect())
}

/// An endpoint, with its files if it has any.
type Endpoint = (Json, Option<BTreeMap<String, Vec<u8>>>);

fn make_endpoint(context: &Context, options: &BTreeMap<String, String>) -> Result<Endpoint, String> {
    const KEYS: [&str; 6] = ["from", "host", "ca", "cert", "key", "skip-tls-verify"];
    let unknown: Vec<String> = options
        .keys()
        .filter(|key| !KEYS.contains(&key.as_str()))
        .map(|key| format!("unrecognized config key: {key}"))
        .collect();
    if !unknown.is_empty() {
        return Err(unknown.join("\n"));
    }
    let text = |key: &str| options.get(key).map(String::as_str).unwrap_or_default();
    if let Some(name) = options.get("from") {
        let (meta, _) = load(context, name)?;
        let endpoint = meta.endpoints.get(ENDPOINT).cloned();
        let endpoint = endpoint.ok_or_else(|| format!("unable to get endpoint from context {name:?}"))?;
        return Ok((endpoint, None));
    }
    let mut files = BTreeMap::new();
    for (key, file) in [("ca", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem")] {
        let path = text(key);
        if !path.is_empty() {
            let contents =
                std::fs::read(path).map_err(|error| format!("open {path}: {}", os_error(&error)))?;
            files.insert(file.to_owned(), contents);
        }
    }
    let skip = match options.get("skip-tls-verify") {
        None => false,
        Some(text) => {
            parse_bool(text).ok_or_else(|| format!("skip-tls-verify: parsing {text:?}: invalid syntax"))?
        }
    };
    let files = Some(files).filter(|files| !files.is_empty());
    let mut endpoint = json!({ "Host": text("host"), "SkipTLSVerify": skip });
    let invalid = |why: String| format!("invalid docker endpoint options: {why}");
    match text("host") {
        "" => drop(endpoint.as_object_mut().and_then(|map| map.shift_remove("Host"))),
        host => {
            let tls = contexts::tls_options(files.as_ref(), skip).map(Arc::new);
            let parsed = Host::parse(host, tls.as_ref())
                .map_err(|error| format!("unable to apply docker endpoint options: {error}"))?;
            if let Host::Tls { options, .. } = parsed {
                options.check().map_err(invalid)?;
            }
        }
    }
    Ok((endpoint, files))
}

/// `docker context update`.
fn update(context: &Context, parsed: &Parsed) -> Outcome {
    let name = parsed.args[0].as_str();
    contexts::check_name(name)?;
    let store = context.contexts();
    let mut meta = store.get(name)?;
    set_description(&mut meta, parsed.text("description"));
    let changed = match parsed.changed("docker") {
        false => None,
        true => {
            let (endpoint, files) = make_endpoint(context, &endpoint_flags(parsed)?)
                .map_err(|why| format!("unable to create docker endpoint config: {why}"))?;
            meta.endpoints.insert(ENDPOINT.to_owned(), endpoint);
            Some(files.into_iter().map(|files| (ENDPOINT.to_owned(), files)).collect::<TlsFiles>())
        }
    };
    store.put(&meta)?;
    if let Some(files) = changed {
        store.put_tls(name, Some(ENDPOINT), &files)?;
    }
    print_line(name);
    warn(&format!("Successfully updated context {name:?}"));
    Ok(())
}

/// `docker context ls`.
fn ls(context: &Context, parsed: &Parsed) -> Outcome {
    let current = context.context_name();
    let mut all = context.contexts().list()?;
    all.push(context.default_context()?.0);
    let mut rows: Vec<(String, Value)> = all
        .iter()
        .map(|meta| {
            let (host, error) = match meta.host() {
                Ok(host) => (host.to_owned(), String::new()),
                Err(error) => (String::new(), error),
            };
            let is_current = meta.name == current;
            (meta.name.clone(), row(&meta.name, description_of(meta), host, &error, is_current))
        })
        .collect();
    if !all.iter().any(|meta| meta.name == current) {
        let error = load(context, &current).err().unwrap_or_default();
        rows.push((current.clone(), row(&current, "", String::new(), &error, true)));
    }
    rows.sort_by(|(a, _), (b, _)| natural(a, b));
    let format = match parsed.text("format") {
        _ if parsed.on("quiet") => "{{.Name}}",
        "" | "table" => TABLE,
        format => format,
    };
    let headings = vec![
        ("Name", "NAME"),
        ("Description", "DESCRIPTION"),
        ("DockerEndpoint", "DOCKER ENDPOINT"),
        ("Error", "ERROR"),
    ];
    let rows: Vec<Value> = rows.into_iter().map(|(_, row)| row).collect();
    Table { format, headings }.print(&rows)?;
    if std::env::var_os("DOCKER_HOST").is_some_and(|host| !host.is_empty()) {
        warn(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set the \
             global --context flag, or unset DOCKER_HOST environment variable.",
        );
    }
    Ok(())
}

fn row(name: &str, description: &str, host: String, error: &str, is_current: bool) -> Value {
    let columns = vec![
        ("Current", String::new()),
        ("Description", description.to_owned()),
        ("DockerEndpoint", host),
        ("Error", ellipsis(error, ERROR_WIDTH)),
        ("Name", name.to_owned()),
    ];
    Value::row("*formatter.clientContextContext", columns).with_field("Current", Value::Bool(is_current))
}

/// `docker context inspect`.
fn show_details(context: &Context, parsed: &Parsed) -> Outcome {
    let names = match parsed.args.as_slice() {
        [] => vec![context.context_name()],
        names => names.to_vec(),
    };
    let store = context.contexts();
    inspect::show(&names, parsed.text("format"), |name| {
        let (meta, tls) = load(context, name)?;
        let listing: Map<String, Json> = tls
            .iter()
            .map(|(endpoint, files)| (endpoint.clone(), files.keys().cloned().collect::<Vec<_>>().into()))
            .collect();
        let place = |path: std::path::PathBuf| match name {
            DEFAULT => "<IN MEMORY>".to_owned(),
            _ => path.display().to_string(),
        };
        let mut document = meta.to_json();
        document["TLSMaterial"] = Json::Object(listing);
        document["Storage"] = json!({
            "MetadataPath": place(store.meta_path(name)),
            "TLSPath": place(store.tls_path(name)),
        });
        Ok(document.to_string().into_bytes())
    })
}

/// `docker context use`.
fn use_context(context: &Context, parsed: &Parsed) -> Outcome {
    let name = parsed.args[0].as_str();
    let wanted = if name == DEFAULT { "" } else { name };
    if name != DEFAULT {
        contexts::check_name(name)?;
        context.contexts().get(name)?;
    }
    if context.config().current_context != wanted {
        set_current(context, wanted)?;
    }
    print_line(name);
    warn(&format!("Current context is now {name:?}"));
    if name != DEFAULT && std::env::var_os("DOCKER_HOST").is_some_and(|host| !host.is_empty()) {
        warn(&format!(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use {name:?}, either set the global \
             --context flag, or unset DOCKER_HOST environment variable."
        ));
    }
    Ok(())
}

fn set_current(context: &Context, name: &str) -> Result<(), String> {
    config::edit(&context.directory(), |map| match name {
        "" => drop(map.shift_remove("currentContext")),
        name => drop(map.insert("currentContext".to_owned(), name.into())),
    })
}

/// `docker context rm`.
fn rm(context: &Context, parsed: &Parsed) -> Outcome {
    let current = context.context_name();
    let store = context.contexts();
    let remove = |name: &str| -> Result<(), String> {
        if name == DEFAULT {
            return Err("context \"default\" cannot be removed".to_owned());
        }
        if name == current {
            if !parsed.on("force") {
                return Err(format!("context {name:?} is in use, set -f flag to force remove"));
            }
            set_current(context, "")?;
        }
        if !parsed.on("force") && !store.meta_path(name).exists() {
            return Err(format!("context {name:?} does not exist"));
        }
        store.remove(name)
    };
    let mut errors = Vec::new();
    for name in &parsed.args {
        match remove(name) {
            Ok(()) => print_line(name),
            Err(error) => errors.push(error),
        }
    }
    Failure::join(errors)
}

/// `docker context show`.
fn show(context: &Context, _: &Parsed) -> Outcome {
    print_line(&context.context_name());
    Ok(())
}

/// `docker context export`.
fn export(context: &Context, parsed: &Parsed) -> Outcome {
    let name = parsed.args[0].as_str();
    if name != DEFAULT {
        contexts::check_name(name)?;
    }
    let default = format!("{name}.dockercontext");
    let place = parsed.args.get(1).map_or(default.as_str(), String::as_str);
    if place == "-" && term::stdout_is_terminal() {
        return Err(Failure::new("cowardly refusing to export to a terminal, specify a file path"));
    }
    let (meta, tls) = load(context, name)?;
    let archive = contexts::export(&meta, &tls).map_err(|error| Failure::new(os_error(&error)))?;
    if place == "-" {
        return crate::stream::copy_raw(&mut archive.as_slice());
    }
    let failed = |error: io::Error| Failure::new(format!("open {place}: {}", os_error(&error)));
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(place).map_err(failed)?;
    file.write_all(&archive).map_err(failed)?;
    warn(&format!("Written file {place:?}"));
    Ok(())
}

/// `docker context import`.
fn import(context: &Context, parsed: &Parsed) -> Outcome {
    let (name, place) = (parsed.args[0].as_str(), parsed.args[1].as_str());
    check_new_name(context, name)?;
    let input: Box<dyn Read> = match place {
        "-" => Box::new(io::stdin().lock()),
        path => {
            let opened = File::open(path);
            Box::new(opened.map_err(|error| Failure::new(format!("open {path}: {}", os_error(&error))))?)
        }
    };
    let (meta, tls) = contexts::import(name, input)?;
    let store = context.contexts();
    store.put(&meta)?;
    store.put_tls(name, None, &tls)?;
    print_line(name);
    warn(&format!("Successfully imported context {name:?}"));
    Ok(())
}
