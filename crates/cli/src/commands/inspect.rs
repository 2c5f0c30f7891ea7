//! `docker inspect` and its like: documents as they come, or through a template.

use serde_json::Value as Json;
use wire::client::{Client, ClientError, Query, path_escape};

use super::images::platform_json;
use crate::context::Context;
use crate::flags::{Parsed, go_quote};
use crate::format::json;
use crate::template::{Functions, Template, Value};
use crate::{Failure, Outcome, print, warn};

/// What can be inspected here, in the order in which a name is looked for.
const KINDS: [&str; 4] = ["container", "image", "network", "volume"];
/// What Docker can inspect besides.
const OTHER_KINDS: [&str; 6] = ["config", "node", "plugin", "secret", "service", "task"];

type Fetched = Result<Vec<u8>, String>;

/// `docker inspect`.
pub(crate) fn any(context: &Context, parsed: &Parsed) -> Outcome {
    let kind = parsed.text("type");
    if !kind.is_empty() && !KINDS.contains(&kind) {
        if OTHER_KINDS.contains(&kind) {
            let client = context.client()?;
            return show(&parsed.args, parsed.text("format"), |name| {
                fetch(client, kind, name, false).map_err(|error| error.to_string())
            });
        }
        let mut all: Vec<&str> = KINDS.into_iter().chain(OTHER_KINDS).collect();
        all.sort_unstable();
        let all = all.join("\", \"");
        return Err(Failure::new(format!("unknown type: {}: must be one of \"{all}\"", go_quote(kind))));
    }
    let client = context.client()?;
    let size = parsed.on("size");
    show(&parsed.args, parsed.text("format"), |name| {
        for candidate in KINDS.into_iter().filter(|candidate| kind.is_empty() || *candidate == kind) {
            let result = fetch(client, candidate, name, size && candidate == "container");
            match result {
                Err(error) if kind.is_empty() && is_elsewhere(&error) => {}
                result => {
                    if result.is_ok() && size && candidate != "container" {
                        warn(&format!("WARNING: --size ignored for {candidate}"));
                    }
                    return result.map_err(|error| error.to_string());
                }
            }
        }
        Err(format!("Error: No such object: {name}"))
    })
}

/// Whether another kind of object may have that name.
fn is_elsewhere(error: &ClientError) -> bool {
    let text = error.to_string();
    error.is_not_found() || text.contains("not supported") || text.contains("invalid reference format")
}

fn fetch(client: &Client, kind: &str, name: &str, size: bool) -> Result<Vec<u8>, ClientError> {
    let name = path_escape(name);
    match kind {
        "container" => client.get_raw(&format!("/containers/{name}/json"), &Query::new().flag("size", size)),
        "image" => client.get_raw(&format!("/images/{name}/json"), &Query::new()),
        "network" => client.get_raw(&format!("/networks/{name}"), &Query::new()),
        "plugin" => client.get_raw(&format!("/plugins/{name}/json"), &Query::new()),
        kind => client.get_raw(&format!("/{kind}s/{name}"), &Query::new()),
    }
}

/// `docker container inspect`.
pub(crate) fn containers(context: &Context, parsed: &Parsed) -> Outcome {
    let client = context.client()?;
    show(&parsed.args, parsed.text("format"), |name| {
        fetch(client, "container", name, parsed.on("size")).map_err(|error| error.to_string())
    })
}

/// `docker image inspect`.
pub(crate) fn images(context: &Context, parsed: &Parsed) -> Outcome {
    let client = context.client()?;
    let mut query = Query::new();
    if !parsed.text("platform").is_empty() {
        query = query.json("platform", &platform_json(parsed.text("platform"))?);
    }
    show(&parsed.args, parsed.text("format"), |name| {
        client
            .get_raw(&format!("/images/{}/json", path_escape(name)), &query)
            .map_err(|error| error.to_string())
    })
}

/// `docker network inspect`.
pub(crate) fn networks(context: &Context, parsed: &Parsed) -> Outcome {
    let client = context.client()?;
    let query = if parsed.on("verbose") { Query::new().with("verbose", "true") } else { Query::new() };
    show(&parsed.args, parsed.text("format"), |name| {
        client.get_raw(&format!("/networks/{}", path_escape(name)), &query).map_err(|error| error.to_string())
    })
}

/// `docker volume inspect`.
pub(crate) fn volumes(context: &Context, parsed: &Parsed) -> Outcome {
    let client = context.client()?;
    show(&parsed.args, parsed.text("format"), |name| {
        fetch(client, "volume", name, false).map_err(|error| error.to_string())
    })
}

/// Shows each object in turn, then reports what went wrong.
pub(super) fn show(names: &[String], format: &str, fetch: impl Fn(&str) -> Fetched) -> Outcome {
    let template = match format {
        "" | "json" => None,
        text => Some(
            Template::parse(text)
                .map_err(|error| Failure { message: format!("template parsing error: {error}"), code: 64 })?,
        ),
    };
    let mut documents = Vec::new();
    let mut lines = String::new();
    let mut errors = Vec::new();
    for name in names {
        let result =
            fetch(name).and_then(|bytes| String::from_utf8(bytes).map_err(|error| error.to_string()));
        match (result, &template) {
            (Err(error), _) => errors.push(error),
            (Ok(text), None) => documents.push(text.trim().to_owned()),
            (Ok(text), Some(template)) => match apply(template, &text) {
                Ok(line) => lines.push_str(&format!("{line}\n")),
                Err(error) => errors.push(error),
            },
        }
    }
    match (&template, format) {
        // Docker writes a blank line when no document gave any.
        (Some(_), _) if lines.is_empty() => print("\n"),
        (Some(_), _) => print(&lines),
        (None, "json") => print(&format!("{}\n", json::compact(&format!("[{}]", documents.join(","))))),
        (None, _) => print(&format!("{}\n", json::indent(&format!("[{}]", documents.join(",")), "    "))),
    }
    Failure::join(errors)
}

fn apply(template: &Template, document: &str) -> Result<String, String> {
    let document: Json =
        serde_json::from_str(document).map_err(|error| format!("unable to read inspect data: {error}"))?;
    template
        .execute(&Value::from_json(&document), Functions::Data)
        .map_err(|error| format!("template parsing error: {error}"))
}
