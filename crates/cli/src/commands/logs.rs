//! `docker logs`.

use time::OffsetDateTime;
use wire::client::{Payload, Query, path_escape};

use crate::context::Context;
use crate::flags::Parsed;
use crate::opts::time::timestamp;
use crate::{Failure, Outcome, stream};

/// `docker logs`.
pub(crate) fn run(context: &Context, parsed: &Parsed) -> Outcome {
    let client = context.client()?;
    let container =
        client.get(&format!("/containers/{}/json", path_escape(&parsed.args[0])), &Query::new())?;
    let id = container["Id"].as_str().unwrap_or(&parsed.args[0]);
    let query = Query::new()
        .with("stdout", "1")
        .with("stderr", "1")
        .text("since", &moment(parsed, "since")?)
        .text("until", &moment(parsed, "until")?)
        .flag("timestamps", parsed.on("timestamps"))
        .flag("details", parsed.on("details"))
        .flag("follow", parsed.on("follow"))
        .with("tail", parsed.text("tail"));
    let mut answer = client.send("GET", &format!("/containers/{id}/logs"), &query, &[], Payload::Empty)?;
    match container["Config"]["Tty"] == true {
        true => stream::copy_raw(&mut answer),
        false => stream::copy_frames(&mut answer, true, true),
    }
}

fn moment(parsed: &Parsed, flag: &str) -> Result<String, Failure> {
    match parsed.text(flag) {
        "" => Ok(String::new()),
        text => timestamp(text, OffsetDateTime::now_utc())
            .map_err(|why| Failure::new(format!("invalid value for \"{flag}\": {why}"))),
    }
}
