//! `wharf network explain`: not Docker's.

use serde_json::Value as Json;
use wire::client::{Query, path_escape};

use crate::context::Context;
use crate::flags::Parsed;
use crate::{Outcome, print_line};

/// Who can reach a published port, and why.
pub(crate) fn run(context: &Context, parsed: &Parsed) -> Outcome {
    let port = &parsed.args[0];
    let path = format!("/wharf/networks/explain/{}", path_escape(port));
    let answer = context.client()?.get(&path, &Query::new())?;
    let publications: Vec<&Json> = answer["Publications"].as_array().into_iter().flatten().collect();
    if publications.is_empty() {
        print_line(&format!("{port}: no container publishes it"));
        return Ok(());
    }
    print_line(&format!("publish-policy: {}", text(&answer, "Policy")));
    for of in publications {
        let ip = text(of, "HostIp");
        let ip = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
        print_line(&format!(
            "{ip}:{}/{} -> {} port {} (network {})",
            of["HostPort"],
            text(of, "Protocol"),
            text(of, "Container"),
            of["ContainerPort"],
            text(of, "Network")
        ));
        for reach in of["Reach"].as_array().into_iter().flatten() {
            let (from, answer, why) = (text(reach, "From"), text(reach, "Answer"), text(reach, "Why"));
            print_line(&format!("  {from:<12} {answer:<8} {why}"));
        }
    }
    Ok(())
}

fn text<'a>(of: &'a Json, key: &str) -> &'a str {
    of[key].as_str().unwrap_or_default()
}
