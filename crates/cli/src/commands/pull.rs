//! `docker pull`.

use types::ImageRef;
use wire::client::{Payload, Query};

use crate::context::Context;
use crate::flags::Parsed;
use crate::progress::{self, Target};
use crate::{Failure, Outcome, print_line};

/// `docker pull`.
pub(crate) fn run(context: &Context, parsed: &Parsed) -> Outcome {
    let reference: ImageRef = parsed.args[0]
        .parse()
        .map_err(|error: types::reference::InvalidReference| Failure::new(error.to_string()))?;
    let (all, quiet) = (parsed.on("all-tags"), parsed.on("quiet"));
    let named = reference.tag().is_some() || reference.digest().is_some();
    if all && named {
        return Err(Failure::new("tag can't be used with --all-tags/-a"));
    }
    let reference = if all {
        reference
    } else {
        let tagged = reference.clone().with_default_tag();
        if !named && !quiet {
            print_line(&format!("Using default tag: {}", tagged.tag().unwrap_or_default()));
        }
        tagged
    };
    let target = if quiet { Target::Nowhere } else { Target::Stdout };
    pull(context, &reference, parsed.text("platform"), target)?;
    print_line(&reference.to_string());
    Ok(())
}

/// Pulls an image and shows how far it is.
pub(super) fn pull(context: &Context, reference: &ImageRef, platform: &str, target: Target) -> Outcome {
    let tag = match reference.digest() {
        Some(digest) => digest.to_string(),
        None => reference.tag().unwrap_or_default().to_owned(),
    };
    let query =
        Query::new().with("fromImage", reference.repository()).text("tag", &tag).text("platform", platform);
    let auth = context.registry_auth(reference)?;
    let headers = [("X-Registry-Auth", auth.as_str())];
    let answer = context.client()?.send("POST", "/images/create", &query, &headers, Payload::Empty)?;
    progress::show(answer, target)
}
