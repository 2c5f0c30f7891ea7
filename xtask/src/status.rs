//! STATUS.md: every endpoint and command, with what the code itself says of it.

use std::path::Path;

use anyhow::Context;

use crate::missing::MISSING;

const INTRODUCTION: &str = "# Status

Every endpoint of the Engine API and every command of Docker's command line, with what stands here today. `cargo xtask
status` makes the table from the tables that the daemon routes by and the client parses by, and `cargo xtask tidy` fails
when it is not what they say. *partly* says what is missing; *not yet* answers with a clear error. Smaller differences stand in
[docs/known-differences.md](docs/known-differences.md).
";

/// Docker's commands, as its help and documentation list them.
const COMMANDS: &str = include_str!("commands.txt");

pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    let path = root.join("STATUS.md");
    std::fs::write(&path, render()).with_context(|| format!("write {}", path.display()))
}

pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    if std::fs::read_to_string(root.join("STATUS.md")).unwrap_or_default() != render() {
        faults.push("STATUS.md is not what the code says: run `cargo xtask status`".to_owned());
    }
    for (name, state) in endpoints().iter().chain(&commands()) {
        if state == "unknown" {
            faults.push(format!("{name} is neither built nor listed as not yet"));
        }
        if state == "partly" {
            faults.push(format!("{name}: say in xtask/src/missing.rs what is missing"));
        }
    }
    for (name, _) in MISSING {
        let partly = endpoints()
            .into_iter()
            .chain(commands())
            .any(|(known, s)| known == *name && s.starts_with("partly"));
        if !partly {
            faults.push(format!("{name} stands in xtask/src/missing.rs, but its table does not say partly"));
        }
    }
    let reference = root.join("../shared/reference/engine-api/endpoints.tsv");
    if reference.exists() {
        let text =
            std::fs::read_to_string(&reference).with_context(|| format!("read {}", reference.display()))?;
        let names = text.lines().skip(1).filter_map(|line| {
            let mut fields = line.split('\t');
            Some(format!("{} {}", fields.next()?, fields.next()?))
        });
        let unknown = names.filter(|name| !endpoints().iter().any(|(known, _)| known == name));
        faults.extend(unknown.map(|name| format!("endpoint {name} of the reference is in no table")));
    }
    Ok(faults)
}

fn missing(name: &str) -> Option<&'static str> {
    MISSING.iter().find(|(known, _)| *known == name).map(|(_, what)| *what)
}

/// `METHOD path`, state.
fn endpoints() -> Vec<(String, String)> {
    let mut rows: Vec<(String, String)> = api::routes()
        .iter()
        .map(|route| {
            let name = format!("{} {}", route.method, route.path);
            let state = match (route.support, missing(&name)) {
                (api::Support::Works, _) => "works".to_owned(),
                (api::Support::Partly, Some(what)) => format!("partly: {what}"),
                (api::Support::Partly, None) => "partly".to_owned(),
                (api::Support::NotYet, _) => "not yet".to_owned(),
            };
            (name, state)
        })
        .collect();
    rows.sort_by(|(a, _), (b, _)| a.split(' ').nth(1).cmp(&b.split(' ').nth(1)).then(a.cmp(b)));
    rows
}

/// Command, state.
fn commands() -> Vec<(String, String)> {
    let state = |name: &str| match (cli::support(name), missing(name)) {
        _ if name == "dockerd" => format!("partly: {}", missing(name).unwrap_or_default()),
        (cli::Support::Works, None) => "works".to_owned(),
        (cli::Support::Works, Some(what)) => format!("partly: {what}"),
        (cli::Support::Refuses(flags), what) => {
            let flags: Vec<String> = flags.iter().map(|flag| format!("--{flag}")).collect();
            let refused = format!("partly: refuses {}", flags.join(", "));
            what.map_or_else(|| refused.clone(), |what| format!("{refused}; {what}"))
        }
        (cli::Support::NotYet(area), _) => format!("not yet ({area})"),
        (cli::Support::Unknown, _) => "unknown".to_owned(),
    };
    COMMANDS.lines().map(|name| (name.to_owned(), state(name))).collect()
}

fn render() -> String {
    let mut text = INTRODUCTION.to_owned();
    for (title, column, rows) in
        [("Engine API", "Endpoint", endpoints()), ("Command line", "Command", commands())]
    {
        let works = rows.iter().filter(|(_, state)| state == "works").count();
        text.push_str(&format!(
            "\n## {title}: {works} of {} work\n\n| {column} | State |\n|---|---|\n",
            rows.len()
        ));
        for (name, state) in rows {
            text.push_str(&format!("| `{name}` | {state} |\n"));
        }
    }
    text
}
