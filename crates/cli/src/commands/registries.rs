//! `push`, `login` and `logout`.

use std::io::Read as _;

use serde_json::json;
use types::ImageRef;
use wire::client::{ClientError, Payload, Query, path_escape};

use crate::context::{Context, HUB_AUTH_KEY};
use crate::credentials::{Credential, ENVIRONMENT, Keeper};
use crate::flags::{Action, Args, Command, Flag, Kind, Parsed, flag};
use crate::progress::{self, Target};
use crate::{Failure, Outcome, print, print_line, term, warn};

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
    let auth = context.registry_auth(&reference)?;
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

/// What is known of the user before anybody is asked.
fn check_login(parsed: &Parsed) -> Result<(String, String), Failure> {
    let (user, password) = (parsed.text("username"), parsed.text("password"));
    if parsed.changed("password-stdin") {
        if parsed.changed("password") {
            return Err("conflicting options: cannot specify both --password and --password-stdin".into());
        }
        if !parsed.changed("username") {
            return Err("the --password-stdin option requires --username to be set".into());
        }
    }
    for (flag, value) in [("username", user), ("password", password)] {
        if parsed.changed(flag) && value.is_empty() {
            return Err(Failure::new(format!("{flag} is empty")));
        }
    }
    if !password.is_empty() {
        warn("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    }
    if !parsed.on("password-stdin") {
        return Ok((user.trim().to_owned(), password.trim().to_owned()));
    }
    let mut given = String::new();
    let read = std::io::stdin().read_to_string(&mut given);
    read.map_err(|error| Failure::new(crate::os_error(&error)))?;
    let given = given.strip_suffix('\n').unwrap_or(&given);
    Ok((user.trim().to_owned(), given.strip_suffix('\r').unwrap_or(given).to_owned()))
}

/// A message with a heading in front of its first line, as Docker sets them apart.
fn note(heading: &str, text: &str) {
    let indented = text.replace('\n', &format!("\n{}", " ".repeat(heading.len())));
    warn(&format!("\n{heading}{indented}"));
}

fn warn_of_environment() {
    if std::env::var_os(ENVIRONMENT).is_some_and(|value| !value.is_empty()) {
        note(
            " Warn -> ",
            &format!(
                "{ENVIRONMENT} is set and takes precedence.\nUnset {ENVIRONMENT} to restore the CLI auth behaviour.\n"
            ),
        );
    }
}

fn login(context: &Context, parsed: &Parsed) -> Outcome {
    let (user, password) = check_login(parsed)?;
    warn_of_environment();
    let key = key_of(parsed);
    let keeper = Keeper::new(context.config(), &context.directory(), &key);
    let known = if user.is_empty() && password.is_empty() { keeper.get().unwrap_or_default() } else { None };
    let known_user = known.as_ref().map(|known| known.parts().0.to_owned()).unwrap_or_default();
    // Whoever has logged in before does so again without being asked.
    if let Some((user, password, _)) = known.as_ref().map(Credential::parts)
        && !user.is_empty()
    {
        warn(&format!("Authenticating with existing credentials... [Username: {user}]"));
        note(
            " Info -> ",
            "To login with a different account, run 'docker logout' followed by 'docker login'",
        );
        warn("\n");
        match authenticate(context, &keeper, &key, user, password) {
            Ok(status) => return say(&status),
            Err(error) if error.status() == Some(401) => warn("Stored credentials invalid or expired"),
            Err(error) => warn(&format!("Login did not succeed, error: {error}")),
        }
    }
    if (user.is_empty() || password.is_empty()) && !term::stdin_is_terminal() {
        return Err("Error: Cannot perform an interactive login from a non TTY device".into());
    }
    let user = if user.is_empty() { ask_user(&key, &known_user)? } else { user };
    let password = if password.is_empty() { ask_password(&key)? } else { password };
    say(&authenticate(context, &keeper, &key, &user, &password)?)
}

fn say(status: &str) -> Outcome {
    if !status.is_empty() {
        print_line(status);
    }
    Ok(())
}

fn ask_user(key: &str, known: &str) -> Result<String, Failure> {
    if key == HUB_AUTH_KEY {
        print_line(
            "Log in with your Docker ID or email address to push and pull images from Docker Hub. If you don't have a Docker \
             ID, head over to https://hub.docker.com/ to create one.",
        );
    }
    print(&if known.is_empty() { "Username: ".to_owned() } else { format!("Username ({known}): ") });
    let typed = read_line()?;
    match (typed.as_str(), known) {
        ("", "") => Err("Error: Non-null Username Required".into()),
        ("", known) => Ok(known.to_owned()),
        (typed, _) => Ok(typed.to_owned()),
    }
}

fn ask_password(key: &str) -> Result<String, Failure> {
    if key == HUB_AUTH_KEY {
        let advice = "A Personal Access Token (PAT) can be used instead.\nTo create a PAT, visit https://app.docker.com/settings\n\n";
        note(" Info -> ", advice);
    }
    let hidden = term::hide_typing().map_err(Failure::new)?;
    print("Password: ");
    let typed = read_line();
    drop(hidden);
    print_line("");
    match typed?.as_str() {
        "" => Err("Error: Password Required".into()),
        typed => Ok(typed.to_owned()),
    }
}

fn read_line() -> Result<String, Failure> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|error| Failure::new(crate::os_error(&error)))?;
    Ok(line.trim().to_owned())
}

/// Has the daemon try the credentials, and keeps what worked: the token, where the registry gave one.
fn authenticate(
    context: &Context,
    keeper: &Keeper<'_>,
    key: &str,
    user: &str,
    password: &str,
) -> Result<String, ClientError> {
    let client = context.client().map_err(|failure| ClientError::Unsupported(failure.message))?;
    let body = json!({ "username": user, "password": password, "serveraddress": key });
    let answer = client.post("/auth", &Query::new(), Some(&body))?;
    let token = answer["IdentityToken"].as_str().unwrap_or_default();
    keeper
        .store(user, password, token)
        .map_err(|error| ClientError::Unsupported(format!("Error saving credentials: {error}")))?;
    Ok(answer["Status"].as_str().unwrap_or_default().to_owned())
}

fn logout(context: &Context, parsed: &Parsed) -> Outcome {
    warn_of_environment();
    let key = key_of(parsed);
    print_line(&format!("Removing login credentials for {key}"));
    let erased = Keeper::new(context.config(), &context.directory(), &key).erase();
    if let Err(error) = erased {
        warn(&format!("WARNING: could not erase credentials:\n{key}: {error}"));
    }
    Ok(())
}
