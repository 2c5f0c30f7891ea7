//! `push`, `login` and `logout`.

use std::io::Read as _;

use serde_json::{Value as Json, json};
use types::ImageRef;
use wire::client::{Payload, Query, path_escape};

use crate::context::{Context, HUB_AUTH_KEY};
use crate::credentials::Keeper;
use crate::flags::{Action, Args, Command, Flag, Kind, Parsed, flag};
use crate::progress::{self, Target};
use crate::{Failure, Outcome, print_line, warn};

pub(super) static PUSH: Command =
    Command::new("push", "[OPTIONS] NAME[:TAG]", "Upload an image to a registry", Action::Run(push))
        .aliases("docker image push, docker push")
        .flags(PUSH_FLAGS)
        .args(Args::Exactly(1))
        .rank(6);
pub(super) static LOGIN: Command =
    Command::new("login", "[OPTIONS] [SERVER]", "Authenticate to a registry", Action::Run(login))
        .long("Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.")
        .flags(LOGIN_FLAGS)
        .args(Args::Between(0, 1))
        .rank(8);
pub(super) static LOGOUT: Command =
    Command::new("logout", "[SERVER]", "Log out from a registry", Action::Run(logout))
        .long("Log out from a registry.\nIf no server is specified, the default is defined by the daemon.")
        .args(Args::Between(0, 1))
        .rank(9);

const PUSH_FLAGS: &[Flag] = &[
    flag("all-tags", Kind::Bool, "Push all tags of an image to the repository").short('a'),
    flag("disable-content-trust", Kind::Bool, "Skip image signing").default("true"),
    flag(
        "platform",
        Kind::Str,
        "Push a platform-specific manifest as a single-platform image to the registry.\nImage index won't be pushed, \
         meaning that other manifests, including attestations won't be preserved.\n'os[/arch[/variant]]': Explicit \
         platform (eg. linux/amd64)",
    ),
    flag("quiet", Kind::Bool, "Suppress verbose output").short('q'),
];

const LOGIN_FLAGS: &[Flag] = &[
    flag("password", Kind::Str, "Password or Personal Access Token (PAT)").short('p'),
    flag("password-stdin", Kind::Bool, "Take the Password or Personal Access Token (PAT) from stdin"),
    flag("username", Kind::Str, "Username").short('u'),
];

fn push(context: &Context, parsed: &Parsed) -> Outcome {
    let reference: ImageRef = parsed.args[0]
        .parse()
        .map_err(|error: types::reference::InvalidReference| Failure::new(error.to_string()))?;
    let (all, quiet) = (parsed.on("all-tags"), parsed.on("quiet"));
    let is_bare = reference.tag().is_none() && reference.digest().is_none();
    if all && !is_bare {
        return Err(Failure::new("tag can't be used with --all-tags/-a"));
    }
    let reference = if all { reference } else { reference.with_default_tag() };
    if !all && is_bare && !quiet {
        print_line(&format!("Using default tag: {}", reference.tag().unwrap_or_default()));
    }
    let mut query = Query::new().text("tag", reference.tag().unwrap_or_default());
    if !parsed.text("platform").is_empty() {
        query = query.json("platform", &super::images::platform_json(parsed.text("platform"))?);
    }
    let auth = context.registry_auth(&reference);
    let headers = [("X-Registry-Auth", auth.as_str())];
    let path = format!("/images/{}/push", path_escape(&reference.familiar_repository()));
    let answer = context.client()?.send("POST", &path, &query, &headers, Payload::Empty)?;
    progress::show(answer, if quiet { Target::Nowhere } else { Target::Stdout })?;
    if quiet {
        print_line(&reference.to_string());
    }
    Ok(())
}

/// The key of a registry in `config.json`.
fn key_of(parsed: &Parsed) -> String {
    match parsed.args.first().map(String::as_str) {
        None | Some("" | "docker.io" | "index.docker.io" | "registry-1.docker.io") => HUB_AUTH_KEY.to_owned(),
        Some(server) => {
            let bare = server.trim_start_matches("https://").trim_start_matches("http://");
            bare.split('/').next().unwrap_or(bare).to_owned()
        }
    }
}

fn login(context: &Context, parsed: &Parsed) -> Outcome {
    let (user, given) = (parsed.text("username"), parsed.text("password"));
    let from_stdin = parsed.on("password-stdin");
    if !given.is_empty() {
        warn("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
        if from_stdin {
            return Err(Failure::new("--password and --password-stdin are mutually exclusive"));
        }
    }
    let mut password = given.to_owned();
    if from_stdin {
        if user.is_empty() {
            return Err(Failure::new("Must provide --username with --password-stdin"));
        }
        let read = std::io::stdin().read_to_string(&mut password);
        read.map_err(|error| Failure::new(crate::os_error(&error)))?;
        password = password.trim_end_matches('\n').trim_end_matches('\r').to_owned();
    }
    let key = key_of(parsed);
    let keeper = Keeper::new(context.config(), &context.directory(), &key);
    let mut body = json!({ "username": user, "password": password, "serveraddress": key });
    if user.is_empty() || password.is_empty() {
        // Whoever has logged in before does so again without being asked.
        let known = if user.is_empty() { keeper.get() } else { None };
        let Some((user, secret)) = known else {
            return Err(Failure::new("Cannot perform an interactive login from a non TTY device"));
        };
        print_line("Authenticating with existing credentials...");
        body = json!({ "username": user, "password": secret, "serveraddress": key });
    }
    let answer = context.client()?.post("/auth", &Query::new(), Some(&body))?;
    let text = |value: &Json, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let token = text(&answer, "IdentityToken");
    keeper.store(&text(&body, "username"), &text(&body, "password"), &token).map_err(Failure::new)?;
    match text(&answer, "Status") {
        status if status.is_empty() => {}
        status => print_line(&status),
    }
    Ok(())
}

fn logout(context: &Context, parsed: &Parsed) -> Outcome {
    let key = key_of(parsed);
    print_line(&format!("Removing login credentials for {key}"));
    Keeper::new(context.config(), &context.directory(), &key).erase().map_err(Failure::new)
}
