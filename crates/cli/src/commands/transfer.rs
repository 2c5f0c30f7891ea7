//! `wharf volume export`, `import` and `clone`: not Docker's.

use std::fs::File;
use std::io::{self, Read};

use serde_json::json;
use wire::client::{Payload, Query, path_escape};

use super::images::save_answer;
use crate::context::Context;
use crate::flags::Parsed;
use crate::opts::to_map;
use crate::{Failure, Outcome, os_error, print_line, term};

/// A volume's files as a tar.
pub(crate) fn export(context: &Context, parsed: &Parsed) -> Outcome {
    save_answer(context, parsed, &path(&parsed.args[0], "export"), &Query::new(), "export volume")
}

/// A new volume of a tar.
pub(crate) fn import(context: &Context, parsed: &Parsed) -> Outcome {
    let source = parsed.args.get(1).map_or("-", String::as_str);
    let mut input: Box<dyn Read> = match source {
        "-" if term::stdin_is_terminal() => {
            return Err(Failure::new("requested import from stdin, but stdin is empty"));
        }
        "-" => Box::new(io::stdin().lock()),
        file => {
            let opened = File::open(file);
            Box::new(opened.map_err(|error| Failure::new(format!("open {file}: {}", os_error(&error))))?)
        }
    };
    let payload = Payload::Stream { content_type: "application/x-tar", source: &mut input };
    let path = path(&parsed.args[0], "import");
    let made = context.client()?.send("POST", &path, &labels(parsed), &[], payload)?.json()?;
    print_line(made["Name"].as_str().unwrap_or_default());
    Ok(())
}

/// A new volume like another one.
pub(crate) fn clone(context: &Context, parsed: &Parsed) -> Outcome {
    let query = labels(parsed).with("to", parsed.args[1].as_str());
    let made = context.client()?.post(&path(&parsed.args[0], "clone"), &query, None)?;
    print_line(made["Name"].as_str().unwrap_or_default());
    Ok(())
}

fn path(volume: &str, what: &str) -> String {
    format!("/wharf/volumes/{}/{what}", path_escape(volume))
}

fn labels(parsed: &Parsed) -> Query {
    if parsed.changed("label") {
        Query::new().json("labels", &json!(to_map(&parsed.list("label"))))
    } else {
        Query::new()
    }
}
