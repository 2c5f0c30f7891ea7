//! `docker search`.

use serde_json::Value as Json;
use types::ImageRef;
use wire::client::{Payload, Query};

use crate::Outcome;
use crate::context::Context;
use crate::flags::{Action, Args, Command, Flag, Kind, Parsed, flag};
use crate::format::table::Table;
use crate::format::text::ellipsis;
use crate::opts::filter::Filters;
use crate::template::Value;

pub(super) static SEARCH: Command =
    Command::new("search", "[OPTIONS] TERM", "Search Docker Hub for images", Action::Run(search))
        .flags(FLAGS)
        .args(Args::Exactly(1))
        .rank(10);

const FLAGS: &[Flag] = &[
    flag("filter", Kind::Filter, "Filter output based on conditions provided").short('f'),
    flag("format", Kind::Str, "Pretty-print search using a Go template"),
    flag("limit", Kind::Int, "Max number of search results"),
    flag("no-trunc", Kind::Bool, "Don't truncate output"),
];
const TABLE: &str = "table {{.Name}}\\t{{.Description}}\\t{{.StarCount}}\\t{{.IsOfficial}}";
/// Columns of a description.
const DESCRIPTION_WIDTH: usize = 45;

/// `docker search`.
fn search(context: &Context, parsed: &Parsed) -> Outcome {
    let term = parsed.args[0].as_str();
    // Only to know whose credentials belong to it.
    let registry: Option<ImageRef> = term.parse().ok();
    let auth = registry.map(|reference| context.registry_auth(&reference)).transpose()?;
    let headers: Vec<(&str, &str)> = auth.iter().map(|auth| ("X-Registry-Auth", auth.as_str())).collect();
    let mut query = Query::new().with("term", term);
    if parsed.int("limit") != 0 {
        query = query.with("limit", parsed.int("limit").to_string());
    }
    query = query.text("filters", &Filters::parse(&parsed.list("filter")).to_query());
    let answer = context.client()?.send("GET", "/images/search", &query, &headers, Payload::Empty)?.json()?;
    let found: Vec<&Json> = answer.as_array().into_iter().flatten().collect();
    let format = match parsed.text("format") {
        "" | "table" => TABLE,
        format => format,
    };
    let as_json = format == "json" || format.contains("json .}}");
    let row = |one| row(one, parsed.on("no-trunc"), as_json);
    let rows: Vec<Value> = found.into_iter().map(row).collect();
    let headings = vec![
        ("Name", "NAME"),
        ("Description", "DESCRIPTION"),
        ("StarCount", "STARS"),
        ("IsOfficial", "OFFICIAL"),
    ];
    Table { format, headings }.print(&rows)
}

/// `whole`: nothing is cut. In JSON, Docker tells what is official in another word than in tables.
fn row(one: &Json, whole: bool, as_json: bool) -> Value {
    let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let is_official = match (one["is_official"] == true, as_json) {
        (true, true) => "true",
        (true, false) => "[OK]",
        (false, true) => "false",
        (false, false) => "",
    };
    let description = text("description").replace(['\n', '\r'], " ");
    let description = if whole { description } else { ellipsis(&description, DESCRIPTION_WIDTH) };
    Value::row(
        "*registry.searchContext",
        vec![
            ("Name", text("name")),
            ("Description", description),
            ("StarCount", one["star_count"].as_i64().unwrap_or(0).to_string()),
            ("IsOfficial", is_official.to_owned()),
        ],
    )
}
