//! STATUS.md: every endpoint and command, with what the code itself says of it.

use std::path::Path;

use anyhow::Context;

const INTRODUCTION: &str = "# Status

Every endpoint of the Engine API and every command of Docker's command line, with what stands here today. The table is
made by `cargo xtask status` from the tables that the daemon routes by and the client parses by, and `cargo xtask tidy`
fails when it is not what they say. *partly* says what is missing; *not yet* answers with a clear error.
";

pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    let path = root.join("STATUS.md");
    std::fs::write(&path, render()).with_context(|| format!("write {}", path.display()))
}

pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    if std::fs::read_to_string(root.join("STATUS.md")).unwrap_or_default() != render() {
        faults.push("STATUS.md is not what the code says: run `cargo xtask status`".to_owned());
    }
    let reference = root.join("../shared/reference");
    faults.extend(missing(&reference.join("engine-api/endpoints.tsv"), "endpoint", endpoint_of, &endpoints())?);
    faults.extend(missing(&reference.join("cli-commands.tsv"), "command", command_of, &commands())?);
    Ok(faults)
}

/// `METHOD path`, state.
fn endpoints() -> Vec<(String, String)> {
    let routes = api::routes().iter();
    routes.map(|route| (format!("{} {}", route.method, route.path), route.status.to_string())).collect()
}

/// Command, state.
fn commands() -> Vec<(String, String)> {
    cli::commands().into_iter().map(|command| (command.name, command.status)).collect()
}

fn endpoint_of(line: &str) -> Option<String> {
    let mut fields = line.split('\t');
    Some(format!("{} {}", fields.next()?, fields.next()?))
}

fn command_of(line: &str) -> Option<String> {
    line.split('\t').next().map(str::to_owned)
}

/// What the reference lists and the code does not know. Without the reference beside the checkout nothing is compared.
fn missing(
    reference: &Path,
    what: &str,
    name_of: fn(&str) -> Option<String>,
    known: &[(String, String)],
) -> anyhow::Result<Vec<String>> {
    if !reference.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(reference).with_context(|| format!("read {}", reference.display()))?;
    let names = text.lines().skip(1).filter_map(name_of);
    let unknown = names.filter(|name| !known.iter().any(|(known, _)| known == name));
    Ok(unknown.map(|name| format!("{what} {name} is in the reference, and neither built nor listed as not yet")).collect())
}

fn render() -> String {
    let mut text = INTRODUCTION.to_owned();
    for (title, column, rows) in [("Engine API", "Endpoint", endpoints()), ("Command line", "Command", commands())] {
        let works = rows.iter().filter(|(_, status)| status == "works").count();
        text.push_str(&format!("\n## {title}: {works} of {} work\n\n| {column} | State |\n|---|---|\n", rows.len()));
        for (name, status) in rows {
            text.push_str(&format!("| `{name}` | {status} |\n"));
        }
    }
    text
}
