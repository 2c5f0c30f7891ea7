//! `docker volume` and `docker network`.

use serde_json::{Value as Json, json};
use wire::client::{Query, path_escape};

use super::{labels_text, string_map};
use crate::context::Context;
use crate::flags::Parsed;
use crate::format::table::Table;
use crate::format::text::{natural, short_id};
use crate::format::units;
use crate::opts::filter::Filters;
use crate::opts::to_map;
use crate::template::Value;
use crate::{Failure, Outcome, print_line, warn};

/// `docker volume create`.
pub(crate) fn create(context: &Context, parsed: &Parsed) -> Outcome {
    let name = match (parsed.args.first(), parsed.text("name")) {
        (Some(_), named) if !named.is_empty() => {
            let message = "conflicting options: cannot specify a volume-name through both --name and as a positional arg";
            return Err(Failure::new(message));
        }
        (Some(name), _) => name,
        (None, named) => named,
    };
    let mut body = json!({ "Driver": parsed.text("driver") });
    for (key, flag) in [("DriverOpts", "opt"), ("Labels", "label")] {
        if parsed.changed(flag) {
            body[key] = json!(to_map(&parsed.list(flag)));
        }
    }
    if !name.is_empty() {
        body["Name"] = json!(name);
    }
    let volume = context.client()?.post("/volumes/create", &Query::new(), Some(&body))?;
    print_line(volume["Name"].as_str().unwrap_or_default());
    Ok(())
}

/// `docker volume rm`.
pub(crate) fn rm(context: &Context, parsed: &Parsed) -> Outcome {
    let client = context.client()?;
    let query = Query::new().flag("force", parsed.on("force"));
    let mut errors = Vec::new();
    for name in &parsed.args {
        match client.delete(&format!("/volumes/{}", path_escape(name)), &query) {
            Ok(_) => print_line(name),
            Err(error) => errors.push(error.to_string()),
        }
    }
    Failure::join(errors)
}

/// `docker volume ls`.
pub(crate) fn ls(context: &Context, parsed: &Parsed) -> Outcome {
    let quiet = parsed.on("quiet");
    let query = Query::new().text("filters", &Filters::parse(&parsed.list("filter")).to_query());
    let answer = context.client()?.get("/volumes", &query)?;
    let mut volumes: Vec<&Json> = answer["Volumes"].as_array().into_iter().flatten().collect();
    volumes.sort_by(|a, b| natural(name_of(a), name_of(b)));
    let mine = &context.config().volumes_format;
    let format = match parsed.text("format") {
        "" if !mine.is_empty() && !quiet => mine,
        "" => "table",
        format => format,
    };
    let format = match format {
        "table" if quiet => "{{.Name}}",
        "table" => "table {{.Driver}}\t{{.Name}}",
        "raw" if quiet => "name: {{.Name}}",
        "raw" => "name: {{.Name}}\\ndriver: {{.Driver}}\\n",
        format => format,
    };
    let rows: Vec<Value> = volumes.into_iter().map(row).collect();
    Table { format, headings: headings() }.print(&rows)
}

/// Columns of volumes.
pub(super) fn headings() -> Vec<(&'static str, &'static str)> {
    vec![
        ("ID", "ID"),
        ("Name", "VOLUME NAME"),
        ("Group", "GROUP"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("Availability", "AVAILABILITY"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Size", "SIZE"),
        ("Status", "STATUS"),
    ]
}

fn name_of(object: &Json) -> &str {
    object["Name"].as_str().unwrap_or_default()
}

/// One volume as the columns of a table.
pub(super) fn row(volume: &Json) -> Value {
    let text = |name: &str| volume[name].as_str().unwrap_or_default().to_owned();
    let labels = string_map(&volume["Labels"]);
    let usage = &volume["UsageData"];
    let unknown = || "N/A".to_owned();
    let columns = vec![
        ("Name", text("Name")),
        ("Driver", text("Driver")),
        ("Scope", text("Scope")),
        ("Mountpoint", text("Mountpoint")),
        ("Labels", labels_text(&labels)),
        ("Links", usage["RefCount"].as_i64().map_or_else(unknown, |count| count.to_string())),
        ("Size", usage["Size"].as_f64().map_or_else(unknown, units::human_size)),
        ("Group", unknown()),
        ("Availability", unknown()),
        ("Status", unknown()),
    ];
    Value::row_with_labels("*formatter.volumeContext", columns, labels)
}

/// `docker volume update`. It is for volumes of clusters, which there are none of here.
pub(crate) fn update(context: &Context, parsed: &Parsed) -> Outcome {
    context.client()?.get(&format!("/volumes/{}", path_escape(&parsed.args[0])), &Query::new())?;
    Err(Failure::new("Can only update cluster volumes"))
}

/// `docker network ls`.
pub(crate) fn network_ls(context: &Context, parsed: &Parsed) -> Outcome {
    let quiet = parsed.on("quiet");
    let query = Query::new().text("filters", &Filters::parse(&parsed.list("filter")).to_query());
    let answer = context.client()?.get("/networks", &query)?;
    let mut networks: Vec<&Json> = answer.as_array().into_iter().flatten().collect();
    networks.sort_by(|a, b| natural(name_of(a), name_of(b)));
    let mine = &context.config().networks_format;
    let format = match parsed.text("format") {
        "" if !mine.is_empty() && !quiet => mine,
        "" => "table",
        format => format,
    };
    let format = match format {
        "table" if quiet => "{{.ID}}",
        "table" => "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
        "raw" if quiet => "network_id: {{.ID}}",
        "raw" => "network_id: {{.ID}}\\nname: {{.Name}}\\ndriver: {{.Driver}}\\nscope: {{.Scope}}\\n",
        format => format,
    };
    let headings = vec![
        ("ID", "NETWORK ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("IPv4", "IPV4"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("CreatedAt", "CREATED AT"),
    ];
    let trunc = !parsed.on("no-trunc");
    let rows: Vec<Value> = networks.into_iter().map(|network| network_row(network, trunc)).collect();
    Table { format, headings }.print(&rows)
}

fn network_row(network: &Json, trunc: bool) -> Value {
    let text = |name: &str| network[name].as_str().unwrap_or_default().to_owned();
    let switch = |name: &str| (network[name] == true).to_string();
    let labels = string_map(&network["Labels"]);
    let id = text("Id");
    let created = units::parse_rfc3339(&text("Created")).map(units::go_time_of).unwrap_or_default();
    let columns = vec![
        ("ID", if trunc { short_id(&id).to_owned() } else { id.clone() }),
        ("Name", text("Name")),
        ("Driver", text("Driver")),
        ("Scope", text("Scope")),
        ("IPv4", switch("EnableIPv4")),
        ("IPv6", switch("EnableIPv6")),
        ("Internal", switch("Internal")),
        ("Labels", labels_text(&labels)),
        ("CreatedAt", created),
    ];
    Value::row_with_labels("*network.networkContext", columns, labels)
}

/// `docker network rm`.
pub(crate) fn network_rm(context: &Context, parsed: &Parsed) -> Outcome {
    let client = context.client()?;
    let mut failed = false;
    for name in &parsed.args {
        match client.delete(&format!("/networks/{}", path_escape(name)), &Query::new()) {
            Ok(_) => print_line(name),
            Err(error) if parsed.on("force") && error.is_not_found() => {}
            Err(error) => {
                warn(&error.to_string());
                failed = true;
            }
        }
    }
    if failed { Err(Failure::new("exit status 1")) } else { Ok(()) }
}

/// `docker network connect`.
pub(crate) fn network_connect(context: &Context, parsed: &Parsed) -> Outcome {
    let list = |name: &str| {
        let values = parsed.list(name);
        if values.is_empty() { Json::Null } else { json!(values) }
    };
    let mut options = serde_json::Map::new();
    for option in parsed.list("driver-opt") {
        let (key, value) = option
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| Failure::new("invalid key/value pair format in driver options"))?;
        options.insert(key.to_lowercase(), json!(value));
    }
    let mut ipam = json!({});
    for (key, flag) in [("IPv4Address", "ip"), ("IPv6Address", "ip6")] {
        if !parsed.text(flag).is_empty() {
            ipam[key] = json!(parsed.text(flag));
        }
    }
    if !parsed.list("link-local-ip").is_empty() {
        ipam["LinkLocalIPs"] = list("link-local-ip");
    }
    let body = json!({
        "Container": parsed.args[1],
        "EndpointConfig": {
            "IPAMConfig": ipam,
            "Links": list("link"),
            "Aliases": list("alias"),
            "DriverOpts": options,
            "GwPriority": parsed.int("gw-priority"),
        },
    });
    let path = format!("/networks/{}/connect", path_escape(&parsed.args[0]));
    context.client()?.post(&path, &Query::new(), Some(&body))?;
    Ok(())
}

/// `docker network disconnect`.
pub(crate) fn network_disconnect(context: &Context, parsed: &Parsed) -> Outcome {
    let body = json!({ "Container": parsed.args[1], "Force": parsed.on("force") });
    let path = format!("/networks/{}/disconnect", path_escape(&parsed.args[0]));
    context.client()?.post(&path, &Query::new(), Some(&body))?;
    Ok(())
}

/// `docker network create`.
pub(crate) fn network_create(context: &Context, parsed: &Parsed) -> Outcome {
    let (subnets, ranges, gateways) =
        (parsed.list("subnet"), parsed.list("ip-range"), parsed.list("gateway"));
    if subnets.is_empty() && (!ranges.is_empty() || !gateways.is_empty()) {
        return Err(Failure::new("every ip-range or gateway must have a corresponding subnet"));
    }
    let mut pools: Vec<Json> = subnets.iter().map(|subnet| json!({ "Subnet": subnet })).collect();
    let mut assign = |key: &str, text: &str, address: &str| -> Outcome {
        let fits = |pool: &&mut Json| pool["Subnet"].as_str().is_some_and(|subnet| contains(subnet, address));
        match pools.iter_mut().find(fits) {
            Some(pool) => {
                pool[key] = json!(text);
                Ok(())
            }
            None => Err(Failure::new(format!(
                "no matching subnet for {} {text}",
                if key == "IPRange" { "range" } else { "gateway" }
            ))),
        }
    };
    for range in &ranges {
        assign("IPRange", range, range.split('/').next().unwrap_or_default())?;
    }
    for gateway in &gateways {
        assign("Gateway", gateway, gateway)?;
    }
    for pair in parsed.list("aux-address") {
        let (name, address) = pair.split_once('=').unwrap_or((&pair, ""));
        let fits = |pool: &&mut Json| pool["Subnet"].as_str().is_some_and(|subnet| contains(subnet, address));
        match pools.iter_mut().find(fits) {
            Some(pool) => pool["AuxiliaryAddresses"][name] = json!(address),
            None => return Err(Failure::new(format!("no matching subnet for aux-address {address}"))),
        }
    }
    let switch = |name: &str| if parsed.changed(name) { json!(parsed.on(name)) } else { Json::Null };
    let mut body = json!({
        "Name": parsed.args[0],
        "Driver": parsed.text("driver"),
        "Scope": parsed.text("scope"),
        "IPAM": { "Driver": parsed.text("ipam-driver"), "Options": to_map(&parsed.list("ipam-opt")), "Config": pools },
        "Internal": parsed.on("internal"),
        "Attachable": parsed.on("attachable"),
        "Ingress": parsed.on("ingress"),
        "ConfigOnly": parsed.on("config-only"),
        "Options": to_map(&parsed.list("opt")),
        "Labels": to_map(&parsed.list("label")),
    });
    for (key, flag) in [("EnableIPv4", "ipv4"), ("EnableIPv6", "ipv6")] {
        if parsed.changed(flag) {
            body[key] = switch(flag);
        }
    }
    if !parsed.text("config-from").is_empty() {
        body["ConfigFrom"] = json!({ "Network": parsed.text("config-from") });
    }
    let answer = context.client()?.post("/networks/create", &Query::new(), Some(&body))?;
    print_line(answer["Id"].as_str().unwrap_or_default());
    Ok(())
}

/// Whether an address lies in a subnet.
fn contains(subnet: &str, address: &str) -> bool {
    use std::net::IpAddr;
    let Some((network, bits)) = subnet.split_once('/') else { return false };
    let (Ok(network), Ok(address), Ok(bits)) = (network.parse(), address.parse(), bits.parse::<u32>()) else {
        return false;
    };
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) if bits <= 32 => {
            let shift = 32 - bits;
            u64::from(network.to_bits()) >> shift == u64::from(address.to_bits()) >> shift
        }
        (IpAddr::V6(network), IpAddr::V6(address)) if (1..=128).contains(&bits) => {
            network.to_bits() >> (128 - bits) == address.to_bits() >> (128 - bits)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_its_subnet() {
        assert!(contains("10.1.0.0/16", "10.1.2.3"));
        assert!(!contains("10.1.0.0/16", "10.2.2.3"));
        assert!(contains("fd00::/8", "fd12::1"));
        assert!(contains("0.0.0.0/0", "1.2.3.4"));
    }
}
