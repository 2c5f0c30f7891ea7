//! `docker create`, and what `docker run` shares with it: from flags to a container.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;
use types::ImageRef;
use wire::client::Query;

use super::options::{self, ContainerRequest};
use crate::context::Context;
use crate::flags::Parsed;
use crate::progress::Target;
use crate::{Failure, Outcome, os_error, print_line, term, warn};

/// `docker create`.
pub(crate) fn run(context: &Context, parsed: &Parsed) -> Outcome {
    let request = request(context, parsed, "create")?;
    let id = create(context, parsed, request)?;
    print_line(&id);
    Ok(())
}

/// A failure as `docker run` and `docker create` report it.
pub(super) fn with_help(message: &str, command: &str, code: i32) -> Failure {
    Failure {
        message: format!("docker: {message}\n\nRun 'docker {command} --help' for more information"),
        code,
    }
}

/// Reads the flags; what is wrong with them ends with 125.
pub(super) fn request(
    context: &Context,
    parsed: &Parsed,
    command: &str,
) -> Result<ContainerRequest, Failure> {
    let pull = parsed.text("pull");
    if !matches!(pull, "" | "always" | "missing" | "never") {
        let message =
            format!("invalid pull option: '{pull}': must be one of \"always\", \"missing\" or \"never\"");
        return Err(with_help(&message, command, 125));
    }
    let host = context.host_text()?;
    options::request(parsed, context.config(), &host).map_err(|message| with_help(&message, command, 125))
}

/// Creates the container, pulling its image if need be, and returns its id.
pub(super) fn create(
    context: &Context,
    parsed: &Parsed,
    mut request: ContainerRequest,
) -> Result<String, Failure> {
    let client = context.client()?;
    let mut id_file = IdFile::create(&request.host.container_id_file)?;
    let image = reference(&request.config.image)?;
    if parsed.text("disable-content-trust") == "false" {
        return Err(Failure::new("--disable-content-trust=false: content trust is not implemented"));
    }
    if parsed.text("pull") == "always" {
        pull(context, parsed, &request.config.image)?;
    }
    request.host.console_size = term::size();
    let platform = parsed.text("platform");
    if let Some(Err(error)) = (!platform.is_empty()).then(|| platform.parse::<types::Platform>()) {
        return Err(Failure::new(format!("error parsing specified platform: {error}")));
    }
    let query = Query::new().text("name", parsed.text("name")).text("platform", platform);
    client.version()?;
    request.for_version(|version| client.speaks(version).unwrap_or(true));
    let body = request.body();
    let post = || client.post("/containers/create", &query, Some(&body));
    let answer = match post() {
        Err(error) if error.is_not_found() && parsed.text("pull") == "missing" => {
            let Some(image) = image else { return Err(error.into()) };
            if !parsed.on("quiet") {
                warn(&format!("Unable to find image '{}' locally", image.familiar()));
            }
            pull(context, parsed, &request.config.image)?;
            post()?
        }
        answer => answer?,
    };
    for warning in answer["Warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        warn(&format!("WARNING: {warning}"));
    }
    if let Some(address) = request.localhost_dns() {
        warn(&format!("WARNING: Localhost DNS ({address}) may fail in containers."));
    }
    let id = answer["Id"].as_str().unwrap_or_default().to_owned();
    id_file.write(&id)?;
    Ok(id)
}

/// The reference behind what the user typed; none when it is an image id.
fn reference(text: &str) -> Result<Option<ImageRef>, Failure> {
    let is_id = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id || text.starts_with("sha256:") {
        return Ok(None);
    }
    let reference = text.parse::<ImageRef>().map_err(|error| Failure::new(error.to_string()))?;
    Ok(Some(reference.with_default_tag()))
}

/// Pulls what a container needs; progress goes to standard error, so that standard output has only the id.
fn pull(context: &Context, parsed: &Parsed, image: &str) -> Outcome {
    let reference = image.parse::<ImageRef>().map_err(|error| Failure::new(error.to_string()))?;
    let target = if parsed.on("quiet") { Target::Nowhere } else { Target::Stderr };
    super::pull::pull(context, &reference.with_default_tag(), parsed.text("platform"), target)
}

/// `--cidfile`: made before the container so that two of them cannot share it, removed again if there is none.
struct IdFile {
    path: PathBuf,
    file: Option<fs::File>,
    written: bool,
}

impl IdFile {
    fn create(path: &str) -> Result<Self, Failure> {
        if path.is_empty() {
            return Ok(Self { path: PathBuf::new(), file: None, written: false });
        }
        if fs::metadata(path).is_ok() {
            let message = "container ID file found, make sure the other container isn't running or delete";
            return Err(Failure::new(format!("{message} {path}")));
        }
        match fs::File::create(path) {
            Ok(file) => Ok(Self { path: PathBuf::from(path), file: Some(file), written: false }),
            Err(error) => {
                let why = os_error(&error);
                Err(Failure::new(format!("failed to create the container ID file: open {path}: {why}")))
            }
        }
    }

    fn write(&mut self, id: &str) -> Outcome {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(id.as_bytes()).map_err(|error| {
            Failure::new(format!("failed to write the container ID to the file: {}", os_error(&error)))
        })?;
        self.written = true;
        Ok(())
    }
}

impl Drop for IdFile {
    fn drop(&mut self) {
        if self.file.is_some() && !self.written {
            // An empty file would keep the next container from being made.
            let _ = fs::remove_file(&self.path);
        }
    }
}
