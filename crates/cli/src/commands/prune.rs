//! `docker container prune` and its like, `docker system prune`.

use std::io;

use wire::client::Query;

use crate::context::Context;
use crate::flags::Parsed;
use crate::format::units;
use crate::opts::filter::Filters;
use crate::{Failure, Outcome, print, print_line};

const CONTAINERS: &str =
    "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?";
const DANGLING: &str = "WARNING! This will remove all dangling images.\nAre you sure you want to continue?";
const IMAGES: &str = "WARNING! This will remove all images without at least one container associated to them.\nAre you sure you want to continue?";
const ANONYMOUS: &str = "WARNING! This will remove anonymous local volumes not used by at least one container.\nAre you sure you want to continue?";
const VOLUMES: &str = "WARNING! This will remove all local volumes not used by at least one container.\nAre you sure you want to continue?";
const NETWORKS: &str = "WARNING! This will remove all custom networks not used by at least one container.\nAre you sure you want to continue?";

/// What was removed, as text, and how many bytes came free.
struct Pruned {
    text: String,
    bytes: u64,
}

impl Pruned {
    fn print(&self) {
        if !self.text.is_empty() {
            print_line(&self.text);
        }
        print_line(&format!("Total reclaimed space: {}", units::human_size(self.bytes as f64)));
    }
}

fn prune(
    context: &Context,
    kind: &str,
    key: &str,
    title: &str,
    filters: &Filters,
) -> Result<Pruned, Failure> {
    let query = Query::new().text("filters", &filters.to_query());
    let report = context.client()?.post(&format!("/{kind}/prune"), &query, None)?;
    let removed = report[key].as_array().map(Vec::as_slice).unwrap_or_default();
    if removed.is_empty() {
        return Ok(Pruned { text: String::new(), bytes: 0 });
    }
    let mut text = format!("{title}:\n");
    for item in removed {
        let line = match (item.as_str(), item["Untagged"].as_str().filter(|name| !name.is_empty())) {
            (Some(name), _) => name.to_owned(),
            (None, Some(name)) => format!("untagged: {name}"),
            (None, None) => format!("deleted: {}", item["Deleted"].as_str().unwrap_or_default()),
        };
        text.push_str(&line);
        text.push('\n');
    }
    Ok(Pruned { text, bytes: report["SpaceReclaimed"].as_u64().unwrap_or(0) })
}

fn confirmed(parsed: &Parsed, question: &str) -> Outcome {
    if parsed.on("force") {
        return Ok(());
    }
    print(&format!("{question} [y/N] "));
    let mut answer = String::new();
    // No answer is no.
    let _ = io::stdin().read_line(&mut answer);
    match answer.trim().eq_ignore_ascii_case("y") {
        true => Ok(()),
        // Saying no is no failure.
        false => Err(Failure::silent(0)),
    }
}

fn filters(parsed: &Parsed) -> Filters {
    Filters::parse(&parsed.list("filter"))
}

/// `docker container prune`.
pub(crate) fn containers(context: &Context, parsed: &Parsed) -> Outcome {
    confirmed(parsed, CONTAINERS)?;
    prune(context, "containers", "ContainersDeleted", "Deleted Containers", &filters(parsed))?.print();
    Ok(())
}

/// `docker image prune`.
pub(crate) fn images(context: &Context, parsed: &Parsed) -> Outcome {
    let all = parsed.on("all");
    confirmed(parsed, if all { IMAGES } else { DANGLING })?;
    let mut filters = filters(parsed);
    filters.add("dangling", if all { "false" } else { "true" });
    prune(context, "images", "ImagesDeleted", "Deleted Images", &filters)?.print();
    Ok(())
}

/// `docker volume prune`.
pub(crate) fn volumes(context: &Context, parsed: &Parsed) -> Outcome {
    let mut filters = filters(parsed);
    let all = parsed.on("all");
    if all && filters.has("all") {
        return Err(Failure::new("conflicting options: cannot specify both --all and --filter all=1"));
    }
    if all {
        filters.add("all", "true");
    }
    confirmed(parsed, if all { VOLUMES } else { ANONYMOUS })?;
    prune(context, "volumes", "VolumesDeleted", "Deleted Volumes", &filters)?.print();
    Ok(())
}

/// `docker network prune`.
pub(crate) fn networks(context: &Context, parsed: &Parsed) -> Outcome {
    confirmed(parsed, NETWORKS)?;
    let pruned = prune(context, "networks", "NetworksDeleted", "Deleted Networks", &filters(parsed))?;
    if !pruned.text.is_empty() {
        print_line(&pruned.text);
    }
    Ok(())
}

/// `docker system prune`.
pub(crate) fn system(context: &Context, parsed: &Parsed) -> Outcome {
    let (all, with_volumes) = (parsed.on("all"), parsed.on("volumes"));
    let filters = filters(parsed);
    if with_volumes && filters.has("until") {
        return Err(Failure::new("ERROR: The \"until\" filter is not supported with \"--volumes\""));
    }
    let mut question = String::from("WARNING! This will remove:\n  - all stopped containers\n");
    question.push_str("  - all networks not used by at least one container\n");
    if with_volumes {
        question.push_str("  - all anonymous volumes not used by at least one container\n");
    }
    question.push_str(match all {
        true => "  - all images without at least one container associated to them\n",
        false => "  - all dangling images\n",
    });
    let given: Vec<String> = parsed.list("filter");
    if !given.is_empty() {
        question.push_str("\n  Items to be pruned will be filtered with:\n");
        given.iter().for_each(|filter| question.push_str(&format!("  - {filter}\n")));
    }
    question.push_str("\nAre you sure you want to continue?");
    confirmed(parsed, &question)?;
    let mut parts = vec![
        prune(context, "containers", "ContainersDeleted", "Deleted Containers", &filters)?,
        prune(context, "networks", "NetworksDeleted", "Deleted Networks", &filters)?,
    ];
    if with_volumes {
        parts.push(prune(context, "volumes", "VolumesDeleted", "Deleted Volumes", &filters)?);
    }
    let mut of_images = filters.clone();
    of_images.add("dangling", if all { "false" } else { "true" });
    parts.push(prune(context, "images", "ImagesDeleted", "Deleted Images", &of_images)?);
    let text: Vec<&str> =
        parts.iter().map(|part| part.text.as_str()).filter(|text| !text.is_empty()).collect();
    text.iter().for_each(|text| print_line(text));
    let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
    print_line(&format!("Total reclaimed space: {}", units::human_size(bytes as f64)));
    Ok(())
}
