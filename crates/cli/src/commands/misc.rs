//! `docker top`, `diff`, `port`, `update`, `export`, `commit`.

use serde_json::{Value as Json, json};
use types::ImageRef;
use wire::client::{Query, path_escape};

use super::images::save_answer;
use super::ps::host_port;
use crate::context::Context;
use crate::flags::Parsed;
use crate::format::tabwriter;
use crate::format::text::natural;
use crate::opts::{limits, size};
use crate::{Failure, Outcome, print, print_line};

const TOP_MIN_WIDTH: usize = 20;
const TOP_PADDING: usize = 3;

/// `docker top`.
pub(crate) fn top(context: &Context, parsed: &Parsed) -> Outcome {
    let (name, options) = (&parsed.args[0], &parsed.args[1..]);
    let query = Query::new().text("ps_args", &options.join(" "));
    let list = context.client()?.get(&format!("/containers/{}/top", path_escape(name)), &query)?;
    let line = |cells: &Json| {
        let cells: Vec<&str> = cells.as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        format!("{}\n", cells.join("\t"))
    };
    let mut text = line(&list["Titles"]);
    list["Processes"].as_array().into_iter().flatten().for_each(|process| text.push_str(&line(process)));
    print(&tabwriter::align(&text, TOP_MIN_WIDTH, TOP_PADDING));
    Ok(())
}

/// `docker diff`.
pub(crate) fn diff(context: &Context, parsed: &Parsed) -> Outcome {
    let path = format!("/containers/{}/changes", path_escape(&parsed.args[0]));
    let changes = context.client()?.get(&path, &Query::new())?;
    let mut text = String::new();
    for change in changes.as_array().into_iter().flatten() {
        let kind = match change["Kind"].as_i64() {
            Some(0) => "C",
            Some(1) => "A",
            Some(2) => "D",
            _ => "",
        };
        text.push_str(&format!("{kind} {}\n", change["Path"].as_str().unwrap_or_default()));
    }
    print(&text);
    Ok(())
}

/// `docker port`.
pub(crate) fn port(context: &Context, parsed: &Parsed) -> Outcome {
    let name = &parsed.args[0];
    let container =
        context.client()?.get(&format!("/containers/{}/json", path_escape(name)), &Query::new())?;
    let ports = &container["NetworkSettings"]["Ports"];
    let frontends = |bindings: &Json| -> Vec<String> {
        let text = |binding: &Json, key: &str| binding[key].as_str().unwrap_or_default().to_owned();
        let bindings = bindings.as_array().into_iter().flatten();
        bindings.map(|binding| host_port(&text(binding, "HostIp"), &text(binding, "HostPort"))).collect()
    };
    let mut lines: Vec<String> = Vec::new();
    if let Some(wanted) = parsed.args.get(1) {
        let (number, protocol) = wanted.split_once('/').unwrap_or((wanted, ""));
        let protocol = if protocol.is_empty() { "tcp" } else { protocol };
        if number.parse::<u16>().is_err() {
            let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            let why = if digits { "value out of range" } else { "invalid syntax" };
            let quoted = crate::flags::go_quote(number);
            let message =
                format!("Error: invalid port ({number}): strconv.ParseUint: parsing {quoted}: {why}");
            return Err(Failure::new(message));
        }
        lines = frontends(&ports[format!("{number}/{protocol}")]);
        if lines.is_empty() {
            return Err(Failure::new(format!("Error: No public port '{wanted}' published for {name}")));
        }
    } else {
        for (from, bindings) in ports.as_object().into_iter().flatten() {
            lines.extend(frontends(bindings).into_iter().map(|to| format!("{from} -> {to}")));
        }
    }
    lines.sort_by(|a, b| natural(a, b));
    if !lines.is_empty() {
        print_line(&lines.join("\n"));
    }
    Ok(())
}

/// `docker update`.
pub(crate) fn update(context: &Context, parsed: &Parsed) -> Outcome {
    const FLAGS: [&str; 15] = [
        "blkio-weight",
        "cpu-period",
        "cpu-quota",
        "cpu-rt-period",
        "cpu-rt-runtime",
        "cpu-shares",
        "cpus",
        "cpuset-cpus",
        "cpuset-mems",
        "kernel-memory",
        "memory",
        "memory-reservation",
        "memory-swap",
        "pids-limit",
        "restart",
    ];
    if !FLAGS.iter().any(|flag| parsed.changed(flag)) {
        return Err(Failure::new("you must provide one or more flags when using this command"));
    }
    let policy = match parsed.text("restart") {
        "" => types::config::RestartPolicy::default(),
        text => limits::parse_restart_policy(text)?,
    };
    let bytes = |flag: &str| match parsed.text(flag) {
        "" => Ok(0),
        "-1" => Ok(-1),
        text => size::ram_in_bytes(text),
    };
    let resources = types::config::Resources {
        blkio_weight: u16::try_from(parsed.int("blkio-weight")).unwrap_or(0),
        cpuset_cpus: parsed.text("cpuset-cpus").to_owned(),
        cpuset_mems: parsed.text("cpuset-mems").to_owned(),
        cpu_shares: parsed.int("cpu-shares"),
        memory: bytes("memory")?,
        memory_reservation: bytes("memory-reservation")?,
        memory_swap: bytes("memory-swap")?,
        kernel_memory: bytes("kernel-memory")?,
        cpu_period: parsed.int("cpu-period"),
        cpu_quota: parsed.int("cpu-quota"),
        cpu_realtime_period: parsed.int("cpu-rt-period"),
        cpu_realtime_runtime: parsed.int("cpu-rt-runtime"),
        nano_cpus: if parsed.changed("cpus") { size::nano_cpus(parsed.text("cpus"))? } else { 0 },
        pids_limit: Some(parsed.int("pids-limit")).filter(|limit| *limit != 0),
        ..types::config::Resources::default()
    };
    let mut body = serde_json::to_value(&resources).unwrap_or_else(|_| json!({}));
    body["RestartPolicy"] = serde_json::to_value(&policy).unwrap_or_default();
    let client = context.client()?;
    let (mut warnings, mut errors) = (Vec::new(), Vec::new());
    for name in &parsed.args {
        match client.post(&format!("/containers/{}/update", path_escape(name)), &Query::new(), Some(&body)) {
            Ok(answer) => {
                print_line(name);
                let texts = answer["Warnings"].as_array().into_iter().flatten().filter_map(Json::as_str);
                warnings.extend(texts.map(str::to_owned));
            }
            Err(error) => errors.push(error.to_string()),
        }
    }
    if !warnings.is_empty() {
        print_line(&warnings.join("\n"));
    }
    Failure::join(errors)
}

/// `docker export`.
pub(crate) fn export(context: &Context, parsed: &Parsed) -> Outcome {
    let path = format!("/containers/{}/export", path_escape(&parsed.args[0]));
    save_answer(context, parsed, &path, &Query::new(), "export container")
}

/// `docker commit`.
pub(crate) fn commit(context: &Context, parsed: &Parsed) -> Outcome {
    let reference = parsed.args.get(1).map(String::as_str).unwrap_or_default();
    let (repository, tag) = match reference {
        "" => (String::new(), String::new()),
        text => {
            let parsed: ImageRef = text
                .parse()
                .map_err(|error: types::reference::InvalidReference| Failure::new(error.to_string()))?;
            if parsed.digest().is_some() {
                return Err(Failure::new("refusing to create a tag with a digest reference"));
            }
            let tagged = parsed.with_default_tag();
            (tagged.repository(), tagged.tag().unwrap_or_default().to_owned())
        }
    };
    let mut query = Query::new()
        .with("container", parsed.args[0].as_str())
        .text("repo", &repository)
        .text("tag", &tag)
        .text("comment", parsed.text("message"))
        .text("author", parsed.text("author"));
    for change in parsed.list("change") {
        query = query.with("changes", change);
    }
    if parsed.text("pause") == "false" {
        query = query.with("pause", "0");
    }
    let answer = context.client()?.post("/commit", &query, None)?;
    print_line(answer["Id"].as_str().unwrap_or_default());
    Ok(())
}
