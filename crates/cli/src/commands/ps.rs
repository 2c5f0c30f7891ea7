//! `docker ps`.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use types::ImageRef;
use wire::client::Query;

use super::labels_text;
use crate::context::Context;
use crate::flags::{Parsed, go_quote};
use crate::format::table::Table;
use crate::format::text::{ellipsis, short_id};
use crate::format::units;
use crate::opts::filter::Filters;
use crate::template::{Functions, Template, Value};
use crate::{Failure, Outcome, warn};

const ROW: &str = "*formatter.ContainerContext";
const COMMAND_WIDTH: usize = 20;
const MOUNT_WIDTH: usize = 15;
const TABLE: &str =
    "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";
/// A line for each column.
pub(super) const RAW: &str = "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\n\
state: {{- pad .State 1 0}}\nstatus: {{- pad .Status 1 0}}\nnames: {{.Names}}\nlabels: {{- pad .Labels 1 0}}\n\
ports: {{- pad .Ports 1 0}}\n";

/// `docker ps`.
pub(crate) fn run(context: &Context, parsed: &Parsed) -> Outcome {
    let quiet = parsed.on("quiet");
    let mut format = parsed.text("format").to_owned();
    if format.is_empty() {
        format.clone_from(&context.config().ps_format);
    } else if quiet {
        warn("WARNING: Ignoring custom format, because both --format and --quiet are set.");
    }
    let mut size = parsed.on("size");
    if !format.is_empty() {
        size |= check_format(&format)? && !quiet && !parsed.changed("size");
    }
    let last = if parsed.changed("last") { parsed.int("last") } else { -1 };
    let limit = if parsed.on("latest") && last == -1 { 1 } else { last };
    let mut query = Query::new().flag("all", parsed.on("all"));
    if limit > 0 {
        query = query.with("limit", limit.to_string());
    }
    let query = query.flag("size", size).text("filters", &Filters::parse(&parsed.list("filter")).to_query());
    let containers = context.client()?.get("/containers/json", &query)?;
    let trunc = !parsed.on("no-trunc");
    let rows: Vec<Value> = containers.as_array().into_iter().flatten().map(|item| row(item, trunc)).collect();
    let format = match format.as_str() {
        _ if quiet && format != "raw" => "{{.ID}}".to_owned(),
        "raw" if quiet => "container_id: {{.ID}}".to_owned(),
        "raw" => format!("{RAW}{}", if size { "size: {{.Size}}\\n" } else { "" }),
        "" | "table" => format!("{TABLE}{}", if size { "\\t{{.Size}}" } else { "" }),
        other => other.to_owned(),
    };
    Table { format: &format, headings: headings() }.print(&rows)
}

/// Fails on what cannot be a format, before anything is asked; true when it shows the size.
fn check_format(format: &str) -> Result<bool, Failure> {
    let template = Template::parse(format)
        .map_err(|error| Failure::new(format!("failed to parse template: {error}")))?;
    template
        .execute(&row(&Json::Null, true), Functions::Data)
        .map_err(|error| Failure::new(format!("failed to execute template: {error}")))?;
    Ok(template.uses_field("Size") || template.is_whole())
}

pub(super) fn headings() -> Vec<(&'static str, &'static str)> {
    vec![
        ("ID", "CONTAINER ID"),
        ("Names", "NAMES"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("CreatedAt", "CREATED AT"),
        ("RunningFor", "CREATED"),
        ("Ports", "PORTS"),
        ("State", "STATE"),
        ("Status", "STATUS"),
        ("Size", "SIZE"),
        ("Labels", "LABELS"),
        ("Mounts", "MOUNTS"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Networks", "NETWORKS"),
        ("Platform", "PLATFORM"),
    ]
}

/// One container as the columns of a table.
pub(super) fn row(container: &Json, trunc: bool) -> Value {
    let text = |name: &str| container[name].as_str().unwrap_or_default().to_owned();
    let id = text("Id");
    let created = container["Created"].as_i64().unwrap_or(0);
    let command = if trunc { ellipsis(&text("Command"), COMMAND_WIDTH) } else { text("Command") };
    let mounts = container["Mounts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mount_names: Vec<String> = mounts
        .iter()
        .map(|mount| {
            let name = mount["Name"].as_str().filter(|name| !name.is_empty()).or(mount["Source"].as_str());
            let name = name.unwrap_or_default();
            if trunc { ellipsis(name, MOUNT_WIDTH) } else { name.to_owned() }
        })
        .collect();
    let local = mounts.iter().filter(|mount| mount["Driver"] == "local").count();
    let networks = container["NetworkSettings"]["Networks"].as_object();
    let networks: Vec<&str> = networks.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let labels: BTreeMap<String, String> = super::string_map(&container["Labels"]);
    let columns = vec![
        ("ID", if trunc { short_id(&id).to_owned() } else { id.clone() }),
        ("Names", names(container, trunc)),
        ("Image", image(&text("Image"), &text("ImageID"), trunc)),
        ("Command", go_quote(&command)),
        ("CreatedAt", units::go_time(created)),
        ("RunningFor", units::age(created)),
        ("Ports", ports(&container["Ports"])),
        ("State", text("State")),
        ("Status", text("Status")),
        ("Size", size(container)),
        ("Labels", labels_text(&labels)),
        ("Mounts", mount_names.join(",")),
        ("LocalVolumes", local.to_string()),
        ("Networks", networks.join(",")),
        ("Platform", platform(container)),
    ];
    let row = Value::row_with_labels(ROW, columns, labels);
    // Go's nil pointer, not an empty text.
    if platform(container).is_empty() { row.with_field("Platform", Value::Nil) } else { row }
}

fn platform(container: &Json) -> String {
    let platform = &container["ImageManifestDescriptor"]["platform"];
    match (platform["os"].as_str(), platform["architecture"].as_str(), platform["variant"].as_str()) {
        (Some(os), Some(architecture), Some(variant)) => format!("{os}/{architecture}/{variant}"),
        (Some(os), Some(architecture), None) => format!("{os}/{architecture}"),
        _ => String::new(),
    }
}

fn names(container: &Json, trunc: bool) -> String {
    let all: Vec<&str> = container["Names"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .map(|name| name.strip_prefix('/').unwrap_or(name))
        .collect();
    // Names with a slash are those of links.
    match all.iter().find(|name| !name.contains('/')) {
        Some(own) if trunc => (*own).to_owned(),
        _ => all.join(","),
    }
}

fn image(name: &str, id: &str, trunc: bool) -> String {
    if name.is_empty() {
        return "<no image>".to_owned();
    }
    if !trunc {
        return name.to_owned();
    }
    if short_id(id) == short_id(name) {
        return short_id(id).to_owned();
    }
    match name.parse::<ImageRef>() {
        Ok(reference) => match reference.tag() {
            Some(tag) => format!("{}:{tag}", reference.familiar_repository()),
            None => reference.familiar_repository(),
        },
        Err(_) => name.to_owned(),
    }
}

fn size(container: &Json) -> String {
    let bytes = |name: &str| container[name].as_f64().unwrap_or(0.0);
    let written = units::human_size_with(bytes("SizeRw"), 3);
    match bytes("SizeRootFs") {
        total if total > 0.0 => format!("{written} (virtual {})", units::human_size_with(total, 3)),
        _ => written,
    }
}

/// `0.0.0.0:8080->80/tcp, 90-92/udp`: runs of ports together, those on another host port one by one at the end.
fn ports(ports: &Json) -> String {
    struct Port<'a> {
        address: &'a str,
        private: u64,
        public: u64,
        protocol: &'a str,
    }
    let mut all: Vec<Port<'_>> = ports
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| Port {
            address: port["IP"].as_str().unwrap_or_default(),
            private: port["PrivatePort"].as_u64().unwrap_or(0),
            public: port["PublicPort"].as_u64().unwrap_or(0),
            protocol: port["Type"].as_str().unwrap_or_default(),
        })
        .collect();
    all.sort_by_key(|port| (port.private, port.address.to_owned(), port.public, port.protocol.to_owned()));
    let mut groups: Vec<(&str, &str, u64, u64)> = Vec::new();
    let mut shown = Vec::new();
    let mut mapped = Vec::new();
    for port in &all {
        if !port.address.is_empty() && port.public != port.private {
            let host = host_port(port.address, &port.public.to_string());
            mapped.push(format!("{host}->{}/{}", port.private, port.protocol));
            continue;
        }
        match groups
            .iter_mut()
            .find(|(address, protocol, ..)| *address == port.address && *protocol == port.protocol)
        {
            None => groups.push((port.address, port.protocol, port.private, port.private)),
            Some((.., last)) if port.private == *last + 1 => *last = port.private,
            Some(group) => {
                shown.push(port_group(group));
                (group.2, group.3) = (port.private, port.private);
            }
        }
    }
    shown.extend(groups.iter().map(port_group));
    shown.extend(mapped);
    shown.join(", ")
}

fn port_group(&(address, protocol, first, last): &(&str, &str, u64, u64)) -> String {
    let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
    match address {
        "" => format!("{range}/{protocol}"),
        address => format!("{}->{range}/{protocol}", host_port(address, &range)),
    }
}

/// Go's `net.JoinHostPort`.
pub(super) fn host_port(address: &str, port: &str) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ports_are_grouped_as_docker_groups_them() {
        let port = |ip: &str, private: u16, public: u16| json!({"IP":ip,"PrivatePort":private,"PublicPort":public,"Type":"tcp"});
        let exposed = |private: u16| json!({"PrivatePort":private,"Type":"tcp"});
        for (input, expect) in [
            (json!([exposed(80), exposed(81), exposed(90)]), "80-81/tcp, 90/tcp"),
            (
                json!([port("0.0.0.0", 80, 8080), port("::", 80, 8080)]),
                "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
            ),
            (json!([port("0.0.0.0", 80, 80), port("0.0.0.0", 81, 81)]), "0.0.0.0:80-81->80-81/tcp"),
            (json!([]), ""),
        ] {
            assert_eq!(ports(&input), expect);
        }
    }

    #[test]
    fn images_are_shown_without_digest_and_registry_default() {
        assert_eq!(image("docker.io/library/busybox:1", "sha256:aa", true), "busybox:1");
        assert_eq!(image("sha256:0123456789abcdef", "sha256:0123456789abcdef", true), "0123456789ab");
        assert_eq!(image("", "", true), "<no image>");
    }
}
