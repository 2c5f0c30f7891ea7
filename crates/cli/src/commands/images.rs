//! `docker images`, `history`, `rmi`, `tag`, `load`, `save`, `import`.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value as Json;
use types::ImageRef;
use wire::client::{Payload, Query, path_escape};

use super::image_tree;
use crate::context::Context;
use crate::flags::{Parsed, go_quote};
use crate::format::table::{Table, is_table};
use crate::format::text::{ellipsis, short_id};
use crate::format::units;
use crate::opts::filter::Filters;
use crate::progress::{self, Target};
use crate::template::Value;
use crate::{Failure, Outcome, os_error, print, print_line, term, warn};

const ROW: &str = "*formatter.imageContext";
const TABLE: &str = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}\t{{.Size}}";
const TABLE_DIGESTS: &str = "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}\t{{.Size}}";
const RAW_FIRST: &str = "repository: {{ .Repository }}\ntag: {{.Tag}}\n";
const RAW_LAST: &str = "image_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n";
const NONE: &str = "<none>";
const HISTORY_WIDTH: usize = 45;
/// Images without a date of their own carry one before this: 2000-01-01.
const OLDEST_HISTORY: i64 = 946_684_800;
/// Subcommands of `docker image` that users type after `docker images`.
const SUBCOMMANDS: [&str; 13] = [
    "build", "history", "import", "inspect", "list", "load", "ls", "prune", "pull", "push", "rm", "save",
    "tag",
];

/// `docker images`.
pub(crate) fn images(context: &Context, parsed: &Parsed) -> Outcome {
    list(context, parsed, true)
}

/// `docker image ls`.
pub(crate) fn image_ls(context: &Context, parsed: &Parsed) -> Outcome {
    list(context, parsed, false)
}

fn list(context: &Context, parsed: &Parsed, legacy: bool) -> Outcome {
    let tree = parsed.on("tree");
    if tree {
        for flag in ["quiet", "no-trunc", "digests", "format"] {
            if parsed.changed(flag) {
                let flag = if flag == "digests" { "show-digest" } else { flag };
                return Err(Failure::new(format!("--{flag} is not yet supported with --tree")));
            }
        }
    }
    let (quiet, digests, trunc) = (parsed.on("quiet"), parsed.on("digests"), !parsed.on("no-trunc"));
    let mut filters = Filters::parse(&parsed.list("filter"));
    let wanted = parsed.args.first().map(String::as_str).unwrap_or_default();
    if !wanted.is_empty() {
        filters.add("reference", wanted);
    }
    let all = parsed.on("all");
    let query = Query::new().text("filters", &filters.to_query()).flag("all", all).flag("manifests", tree);
    let images = context.client()?.get("/images/json", &query)?;
    let images = images.as_array().map(Vec::as_slice).unwrap_or_default();
    if tree {
        let width = term::stdout_is_terminal().then(|| term::size()[1] as usize);
        print(&image_tree::tree(images, all, width));
        return Ok(());
    }
    let format = list_format(context, parsed, quiet, digests);
    let with_digests = digests || format.contains("{{.Digest}}");
    let rows: Vec<Value> =
        images.iter().flat_map(|image| rows(image, trunc, with_digests, digests)).collect();
    Table { format: &format, headings: headings() }.print(&rows)?;
    if legacy && images.is_empty() && SUBCOMMANDS.contains(&wanted) {
        let quoted = go_quote(wanted);
        warn(&format!("\nNo images found matching {quoted}: did you mean \"docker image {wanted}\"?"));
    }
    Ok(())
}

fn list_format(context: &Context, parsed: &Parsed, quiet: bool, digests: bool) -> String {
    let mine = &context.config().images_format;
    let format = match parsed.text("format") {
        "" if !mine.is_empty() && !quiet => mine,
        "" => "table",
        format => format,
    };
    match format {
        "table" if quiet => "{{.ID}}".to_owned(),
        "table" => if digests { TABLE_DIGESTS } else { TABLE }.to_owned(),
        "raw" if quiet => "image_id: {{.ID}}".to_owned(),
        "raw" => raw_format(digests),
        format if is_table(format) && digests && !format.contains("{{.Digest}}") => {
            format!("{format}\t{{{{.Digest}}}}")
        }
        format => format.to_owned(),
    }
}

/// A line for each column.
pub(super) fn raw_format(digests: bool) -> String {
    format!("{RAW_FIRST}{}{RAW_LAST}", if digests { "digest: {{.Digest}}\n" } else { "" })
}

pub(super) fn headings() -> Vec<(&'static str, &'static str)> {
    vec![
        ("ID", "IMAGE ID"),
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("Digest", "DIGEST"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("Size", "SIZE"),
        ("Containers", "CONTAINERS"),
        ("VirtualSize", "SIZE"),
        ("SharedSize", "SHARED SIZE"),
        ("UniqueSize", "UNIQUE SIZE"),
    ]
}

/// One row per tag, and per digest without a tag.
fn rows(image: &Json, trunc: bool, with_digests: bool, all_digests: bool) -> Vec<Value> {
    let references = |name: &str| -> Vec<ImageRef> {
        let texts = image[name].as_array().into_iter().flatten().filter_map(Json::as_str);
        texts.filter(|text| !text.starts_with(NONE)).filter_map(|text| text.parse().ok()).collect()
    };
    let (tags, digests) = (references("RepoTags"), references("RepoDigests"));
    if tags.is_empty() && digests.is_empty() {
        return vec![row(image, NONE, NONE, NONE, trunc)];
    }
    let mut rows = Vec::new();
    for reference in &tags {
        let repository = reference.familiar_repository();
        let tag = reference.tag().unwrap_or(NONE);
        let of_it = digests.iter().filter(|digest| digest.familiar_repository() == repository);
        let of_it: Vec<String> = of_it.filter_map(|digest| Some(digest.digest()?.to_string())).collect();
        if of_it.is_empty() || !with_digests {
            rows.push(row(image, &repository, tag, NONE, trunc));
        } else {
            rows.extend(of_it.iter().map(|digest| row(image, &repository, tag, digest, trunc)));
        }
    }
    let mut shown = Vec::new();
    for reference in &digests {
        let repository = reference.familiar_repository();
        if tags.iter().any(|tag| tag.familiar_repository() == repository) {
            continue;
        }
        if all_digests {
            let digest = reference.digest().map(ToString::to_string).unwrap_or_default();
            rows.push(row(image, &repository, NONE, &digest, trunc));
        } else if !shown.contains(&repository) {
            rows.push(row(image, &repository, NONE, "", trunc));
            shown.push(repository);
        }
    }
    rows
}

pub(super) fn row(image: &Json, repository: &str, tag: &str, digest: &str, trunc: bool) -> Value {
    let id = image["Id"].as_str().unwrap_or_default();
    let number = |name: &str| image[name].as_i64().unwrap_or(-1);
    let created = image["Created"].as_i64().unwrap_or(0);
    let size = image["Size"].as_i64().unwrap_or(0);
    let shared = number("SharedSize");
    let bytes = |count: i64| units::human_size(count as f64);
    let unknown = || "N/A".to_owned();
    Value::row(
        ROW,
        vec![
            ("ID", if trunc { short_id(id).to_owned() } else { id.to_owned() }),
            ("Repository", repository.to_owned()),
            ("Tag", tag.to_owned()),
            ("Digest", digest.to_owned()),
            ("CreatedSince", units::age(created)),
            ("CreatedAt", units::go_time(created)),
            ("Size", units::human_size_with(size as f64, 3)),
            (
                "Containers",
                if number("Containers") == -1 { unknown() } else { number("Containers").to_string() },
            ),
            ("VirtualSize", bytes(size)),
            ("SharedSize", if shared == -1 { unknown() } else { bytes(shared) }),
            ("UniqueSize", if shared == -1 || size == -1 { unknown() } else { bytes(size - shared) }),
        ],
    )
}

/// `docker history`.
pub(crate) fn history(context: &Context, parsed: &Parsed) -> Outcome {
    let (human, trunc) = (parsed.on("human"), !parsed.on("no-trunc"));
    let query = platform_query(parsed)?;
    let path = format!("/images/{}/history", path_escape(&parsed.args[0]));
    let layers = context.client()?.get(&path, &query)?;
    let rows: Vec<Value> =
        layers.as_array().into_iter().flatten().map(|item| layer(item, human, trunc)).collect();
    let format = match parsed.text("format") {
        "" | "table" if parsed.on("quiet") => "{{.ID}}",
        "" | "table" if human => "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
        "" | "table" => "table {{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
        format => format,
    };
    let headings = vec![
        ("ID", "IMAGE"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("Size", "SIZE"),
        ("Comment", "COMMENT"),
    ];
    Table { format, headings }.print(&rows)
}

fn layer(item: &Json, human: bool, trunc: bool) -> Value {
    let text = |name: &str| item[name].as_str().unwrap_or_default();
    let created = item["Created"].as_i64().unwrap_or(0);
    let size = item["Size"].as_i64().unwrap_or(0);
    let by = text("CreatedBy").replace('\t', " ");
    let at = units::rfc3339_local(created);
    Value::row(
        "*image.historyContext",
        vec![
            ("ID", if trunc { short_id(text("Id")) } else { text("Id") }.to_owned()),
            (
                "CreatedSince",
                match human {
                    false => at.clone(),
                    true if created <= OLDEST_HISTORY => "N/A".to_owned(),
                    true => units::age(created),
                },
            ),
            ("CreatedAt", at),
            ("CreatedBy", if trunc { ellipsis(&by, HISTORY_WIDTH) } else { by }),
            ("Size", if human { units::human_size_with(size as f64, 3) } else { size.to_string() }),
            ("Comment", text("Comment").to_owned()),
        ],
    )
}

/// `--platform os[/arch[/variant]]` as the query parameter of image requests.
fn platform_query(parsed: &Parsed) -> Result<Query, Failure> {
    match parsed.text("platform") {
        "" => Ok(Query::new()),
        text => Ok(Query::new().json("platform", &platform_json(text)?)),
    }
}

/// `--platform`, as the API's JSON.
pub(super) fn platform_json(text: &str) -> Result<Json, Failure> {
    let platform = text.parse::<types::Platform>();
    let platform = platform.map_err(|error| Failure::new(format!("invalid platform: {error}")))?;
    serde_json::to_value(platform).map_err(|error| Failure::new(error.to_string()))
}

/// `docker rmi`.
pub(crate) fn rmi(context: &Context, parsed: &Parsed) -> Outcome {
    let client = context.client()?;
    let mut query = Query::new().flag("force", parsed.on("force")).flag("noprune", parsed.on("no-prune"));
    for platform in parsed.list("platform") {
        query = query.json("platforms", &platform_json(&platform)?);
    }
    let mut errors = Vec::new();
    let mut fatal = false;
    for name in &parsed.args {
        match client.delete(&format!("/images/{}", path_escape(name)), &query) {
            Ok(removed) => {
                for item in removed.as_array().into_iter().flatten() {
                    match item["Deleted"].as_str() {
                        Some(id) => print_line(&format!("Deleted: {id}")),
                        None => print_line(&format!(
                            "Untagged: {}",
                            item["Untagged"].as_str().unwrap_or_default()
                        )),
                    }
                }
            }
            Err(error) => {
                fatal |= !error.is_not_found();
                errors.push(error.to_string());
            }
        }
    }
    match Failure::join(errors) {
        Err(failure) if parsed.on("force") && !fatal => {
            warn(&failure.message);
            Ok(())
        }
        result => result,
    }
}

/// `docker tag`.
pub(crate) fn tag(context: &Context, parsed: &Parsed) -> Outcome {
    let [source, target] = [&parsed.args[0], &parsed.args[1]];
    let invalid = |text: &str, why: &dyn std::fmt::Display| {
        Failure::new(format!(
            "Error parsing reference: {} is not a valid repository/tag: {why}",
            go_quote(text)
        ))
    };
    if !types::id::is_full_id(source) && !source.starts_with("sha256:") {
        source.parse::<ImageRef>().map_err(|error| invalid(source, &error))?;
    }
    let reference = target.parse::<ImageRef>().map_err(|error| invalid(target, &error))?;
    if reference.digest().is_some() {
        return Err(Failure::new("refusing to create a tag with a digest reference"));
    }
    let reference = reference.with_default_tag();
    let query =
        Query::new().with("repo", reference.repository()).with("tag", reference.tag().unwrap_or_default());
    context.client()?.post(&format!("/images/{}/tag", path_escape(source)), &query, None)?;
    Ok(())
}

/// `docker load`.
pub(crate) fn load(context: &Context, parsed: &Parsed) -> Outcome {
    let quiet = parsed.on("quiet") || !term::stdout_is_terminal();
    let mut query = Query::new().with("quiet", if quiet { "1" } else { "0" });
    if !parsed.text("platform").is_empty() {
        query = query.json("platform", &platform_json(parsed.text("platform"))?);
    }
    let mut source: Box<dyn Read> = match parsed.text("input") {
        "" if term::stdin_is_terminal() => {
            return Err(Failure::new("requested load from stdin, but stdin is empty"));
        }
        "" => Box::new(io::stdin().lock()),
        path => Box::new(open(path)?),
    };
    let payload = Payload::Stream { content_type: "application/x-tar", source: &mut source };
    let mut answer = context.client()?.send("POST", "/images/load", &query, &[], payload)?;
    if answer.header("Content-Type").is_some_and(|kind| kind.starts_with("application/json")) {
        return progress::show(answer, Target::Stdout);
    }
    crate::stream::copy_raw(&mut answer)
}

fn open(path: &str) -> Result<fs::File, Failure> {
    fs::File::open(path).map_err(|error| Failure::new(format!("open {path}: {}", os_error(&error))))
}

/// `docker save`.
pub(crate) fn save(context: &Context, parsed: &Parsed) -> Outcome {
    let mut query = parsed.args.iter().fold(Query::new(), |query, name| query.with("names", name.as_str()));
    if !parsed.text("platform").is_empty() {
        query = query.json("platform", &platform_json(parsed.text("platform"))?);
    }
    save_answer(context, parsed, "/images/get", &query, "save image")
}

/// Sends a `GET` whose answer is an archive, and writes that where `--output` says: to a file or to standard output, which must
/// be no terminal. `what` is what was tried, for Docker's message.
pub(super) fn save_answer(
    context: &Context,
    parsed: &Parsed,
    path: &str,
    query: &Query,
    what: &str,
) -> Outcome {
    let output = parsed.text("output");
    if output.is_empty() && term::stdout_is_terminal() {
        return Err(Failure::new("cowardly refusing to save to a terminal. Use the -o flag or redirect"));
    }
    let failed = |error: String| Failure::new(format!("failed to {what}: {error}"));
    if !output.is_empty() {
        check_output(output).map_err(failed)?;
    }
    let mut answer = context.client()?.send("GET", path, query, &[], Payload::Empty)?;
    write_output(&mut answer, output).map_err(failed)
}

/// Whether a file can be written there.
fn check_output(path: &str) -> Result<(), String> {
    let parent = Path::new(path).parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent
        && !parent.is_dir()
    {
        return Err(format!("invalid output path: stat {}: no such file or directory", parent.display()));
    }
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Err(format!("invalid output path: {path:?} must be a regular file")),
        _ => Ok(()),
    }
}

/// Writes an answer to a file, which appears only when it is whole, or to standard output.
fn write_output(answer: &mut dyn Read, path: &str) -> Result<(), String> {
    if path.is_empty() {
        return crate::stream::copy_raw(answer).map_err(|failure| failure.message);
    }
    let partial = format!("{path}.tmp-{}", std::process::id());
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&partial)
        .and_then(|mut file| io::copy(answer, &mut file))
        .and_then(|_| fs::rename(&partial, path));
    written.map_err(|error| {
        // What is half written is of no use to anybody.
        let _ = fs::remove_file(&partial);
        os_error(&error)
    })
}

/// `docker import`.
pub(crate) fn import(context: &Context, parsed: &Parsed) -> Outcome {
    let source = parsed.args[0].as_str();
    let reference = parsed.args.get(1).map(String::as_str).unwrap_or_default();
    if !reference.is_empty() {
        reference.parse::<ImageRef>().map_err(|error| Failure::new(error.to_string()))?;
    }
    let is_url = source.starts_with("http://") || source.starts_with("https://");
    let mut query = Query::new().with("fromSrc", if is_url { source } else { "-" });
    query = query
        .text("repo", reference)
        .text("message", parsed.text("message"))
        .text("platform", parsed.text("platform"));
    for change in parsed.list("change") {
        query = query.with("changes", change);
    }
    let client = context.client()?;
    let answer = if is_url {
        client.send("POST", "/images/create", &query, &[], Payload::Empty)?
    } else {
        let mut input: Box<dyn Read> = match source {
            "-" => Box::new(io::stdin().lock()),
            path => Box::new(open(path)?),
        };
        let payload = Payload::Stream { content_type: "text/plain", source: &mut input };
        client.send("POST", "/images/create", &query, &[], payload)?
    };
    progress::show(answer, Target::Stdout)
}
